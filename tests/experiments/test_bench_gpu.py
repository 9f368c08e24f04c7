"""`handlib bench gpu`: its parts survive a lack of time and each other's failures, and the training fits the rest."""

import os
import sys
import time
from dataclasses import replace

import pytest

from handlib import cli
from handlib.evaluation import results
from handlib.experiments.bench import gpu
from handlib.experiments.bench.gpu import GPU_BENCHES, Part, bench_gpu, measured_rate, run_for, training_command
from handlib.training.profiles import preset

SMOKE = GPU_BENCHES["smoke"]


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


def metrics_of(record) -> dict[str, float]:
    return {metric["name"]: metric["value"] for metric in record["metrics"]}


def test_a_command_that_takes_too_long_is_stopped_with_what_it_started(tmp_path):
    child = f"import time; time.sleep(3); open({str(tmp_path / 'late')!r}, 'w')"
    command = python(
        f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {child!r}]); time.sleep(60)"
    )
    assert run_for(command, 1.0) == "stopped, since its time was over"
    time.sleep(3)
    assert not (tmp_path / "late").exists()


def test_a_command_that_fails_says_so():
    assert run_for(python("raise SystemExit(3)"), 30) == "failed with status 3"
    assert run_for(python("pass"), 30) == ""


def test_a_part_that_fails_leaves_the_others_their_turn(tmp_path, monkeypatch):
    written = tmp_path / "second"
    doing = [Part("first", python("1 / 0"), 0.5), Part("second", python(f"open({str(written)!r}, 'w')"), 0.5)]
    monkeypatch.setattr(gpu, "parts", lambda *_: doing)
    monkeypatch.setattr(gpu, "training_command", lambda *_: python("pass"))
    record = bench_gpu(SMOKE, "smoke", tmp_path, tmp_path / "run")
    found = metrics_of(record)
    assert (found["first_done"], found["second_done"], found["train_done"]) == (0, 1, 1)
    assert written.exists() and "train_epoch" not in found
    assert results.read(results.write(record, tmp_path))["metrics"] == record["metrics"]


def test_without_time_nothing_is_started(tmp_path, monkeypatch):
    monkeypatch.setattr(gpu, "run_for", lambda *_: pytest.fail("a part was started"))
    found = metrics_of(bench_gpu(replace(SMOKE, minutes=0.1), "smoke", tmp_path, tmp_path / "run"))
    assert {name for name in found if name.endswith("_done")} >= {"renderer_done", "training_done", "train_done"}
    assert not any(value for name, value in found.items() if name.endswith("_done"))


def test_what_an_earlier_session_left_is_not_reported(tmp_path, monkeypatch):
    run = tmp_path / "run"
    run.mkdir()
    (run / "log.jsonl").write_text('{"epoch": 3, "images_per_second": 1.0, "val_joints_root_mean_mm": 9.0}\n')
    os.utime(run / "log.jsonl", (0, 0))
    monkeypatch.setattr(gpu, "run_for", lambda *_: "failed")
    monkeypatch.setattr(gpu, "measured_rate", lambda *_: pytest.fail("the rate of another session was taken"))
    assert "train_epoch" not in metrics_of(bench_gpu(SMOKE, "smoke", tmp_path, run))


def test_no_time_is_refused(tmp_path):
    for minutes in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="minutes must be more than 0"):
            bench_gpu(replace(SMOKE, minutes=minutes), "smoke", tmp_path, tmp_path / "run")


def test_the_training_takes_half_of_what_is_left_in_steps(tmp_path):
    config = GPU_BENCHES["laptop"]
    command = training_command(config, 1000.0, time.perf_counter() + 200, tmp_path)
    options = dict(zip(command, command[1:], strict=False))
    assert options["--profile"] == "gpu" and options["--epochs"] == "10"
    assert 9_900 <= int(options["--images"]) <= 10_000  # 1,000 a second, 100 seconds, ten times each
    assert 0 < int(options["--evidence-epochs"]) < 10
    options = dict(zip(late := training_command(config, 1000.0, 0.0, tmp_path), late[1:], strict=False))
    assert int(options["--images"]) == 2 * preset("gpu").batch_size


def test_the_rate_is_that_of_the_benchmark_where_there_is_one(tmp_path):
    assert measured_rate(SMOKE, "cpu", tmp_path) == SMOKE.images_per_second
    record = bench_gpu(replace(SMOKE, minutes=0.1), "smoke", tmp_path, tmp_path / "run")
    rate = results.Metric("full_step_images_per_second", 321.0, "images/s").__dict__
    results.write(record | {"name": "bench-training-smoke", "metrics": [rate]}, tmp_path)
    assert measured_rate(SMOKE, "cpu", tmp_path) == 321.0


@pytest.mark.slow
def test_the_rehearsal_on_this_machine(tmp_path, monkeypatch):
    """One benchmark and the training, by the command."""
    monkeypatch.chdir(tmp_path)
    all_parts = gpu.parts
    monkeypatch.setattr(gpu, "parts", lambda *args: [part for part in all_parts(*args) if part.name == "data"])
    monkeypatch.setattr(sys, "argv", ["handlib", "bench", "gpu", "--profile", "smoke"])
    cli.main()
    (path,) = (tmp_path / "results").glob("bench-gpu-*smoke.json")
    found = metrics_of(results.read(path))
    assert found["data_done"] == found["train_done"] == 1 and found["train_epoch"] == 2
    assert (tmp_path / "runs" / "gpu" / "model.safetensors").is_file()
    assert list((tmp_path / "results").glob("bench-data-*smoke.json"))
