import json
from dataclasses import asdict, replace

import pytest

from handlib.evaluation import results
from handlib.experiments.ablate import CURVES, VARIANTS, _record, schedule_study
from handlib.experiments.reproduce.scales import SCALES
from handlib.losses import LossWeights
from handlib.training.train import read_log

SMOKE = SCALES["smoke"].schedule


class Interrupted(Exception):
    pass


def study(folder, trained, config=SMOKE, **options):
    told = []
    options = {"say": told.append, "progress": False, "cache": trained.cache} | options
    return schedule_study(config, folder, "a command", **options), told


@pytest.fixture(scope="module")
def finished(trained, tmp_path_factory):
    """The folder of a study at the smoke profile, its record, and what it told."""
    folder = tmp_path_factory.mktemp("study")
    return folder, *study(folder, trained)


def test_the_record_is_complete_and_says_what_the_logs_say(finished, tmp_path):
    folder, record, _ = finished
    again = results.read(results.write(record, tmp_path))
    assert again["name"] == "schedule-smoke" and again["profile"] == "smoke" and again["synthetic"]
    for name in VARIANTS:
        rows = read_log(folder / name)
        curves = again["curves"][name]
        assert curves["epoch"] == [row["epoch"] for row in rows] == [1, 2]
        for key in CURVES:
            assert curves[key] == [row[key] for row in rows]
        assert results.value(again, f"{name}_under_threshold") == rows[-1]["under_threshold"]
        assert results.value(again, f"{name}_joints_root_mean_mm") == rows[-1]["val_joints_root_mean_mm"]
    assert again["minutes"] == pytest.approx(sum(read_log(folder / name)[-1]["minutes"] for name in VARIANTS), abs=1e-3)


def test_the_runs_differ_in_the_switch_alone(finished):
    configs = [json.loads((finished[0] / name / "config.json").read_text()) for name in VARIANTS]
    assert [config["loss"].pop("scheduled") for config in configs] == [True, False]
    assert configs[0] == configs[1] and configs[0]["lifting_steps"] == 0


def test_with_the_switch_the_shape_loss_counts_only_what_is_under_the_threshold(finished):
    curves = finished[1]["curves"]
    # An untrained network brings no hand under T, so all of the scheduled run's shape losses are switched off.
    for under, shape in zip(curves["scheduled"]["under_threshold"], curves["scheduled"]["shape"], strict=True):
        assert (shape > 0) == (under > 0)
    assert all(shape > 0 for shape in curves["constant"]["shape"])


def test_it_tells_every_epoch(finished):
    _, _, told = finished
    assert [line.split(",")[0].split() for line in told] == [
        [f"{name}:", "epoch", f"{epoch}/2"] for name in VARIANTS for epoch in (1, 2)
    ]
    assert "under T, validation error" in told[-1]


def test_a_finished_study_is_not_trained_again(finished, trained):
    folder, record, _ = finished
    before = (folder / "constant" / "state.pt").stat().st_mtime_ns
    again, told = study(folder, trained)
    assert again["curves"] == record["curves"] and again["minutes"] == record["minutes"] and not told
    assert (folder / "constant" / "state.pt").stat().st_mtime_ns == before


def test_an_interrupted_study_ends_as_an_uninterrupted_one(finished, trained, tmp_path):
    def stop(line):
        if line.startswith(" constant: epoch 1"):
            raise Interrupted

    with pytest.raises(Interrupted):
        study(tmp_path, trained, say=stop)
    resumed, told = study(tmp_path, trained)
    assert [line.split(",")[0] for line in told] == [" constant: epoch 2/2"]
    assert resumed["curves"] == finished[1]["curves"]


def test_hands_without_masks_have_no_iou_and_the_device_is_that_of_the_runs(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr(results, "device_name", str.upper)
    row = {"epoch": 1, "under_threshold": 0.1, "shape": 0.2, "val_joints_root_mean_mm": 30.0, "minutes": 1.0}
    record = _record(replace(SMOKE, device="auto"), dict.fromkeys(VARIANTS, [row]), 0.0, "a command")
    assert not any("iou" in metric["name"] for metric in record["metrics"]) and record["device"] == "CUDA"
    assert record["curves"]["constant"] == {name: [row[name]] for name in ("epoch", *CURVES[:-1])}


def test_another_seed_has_a_record_of_its_own(trained, tmp_path):
    record, _ = study(tmp_path, trained, replace(SMOKE, seed=3, epochs=1))
    assert record["name"] == "schedule-smoke-seed3" and record["seed"] == 3
    assert record["config"]["train"] == asdict(replace(SMOKE, seed=3, epochs=1))


@pytest.mark.parametrize("loss, message", [({"shape": 0.0}, "loss.shape is 0"), ({"scheduled": False}, "at True")])
def test_studies_that_would_compare_a_run_with_itself_are_refused(loss, message, trained, tmp_path):
    with pytest.raises(ValueError, match=message):
        study(tmp_path, trained, replace(SMOKE, loss=LossWeights(**loss)))
    assert not list(tmp_path.iterdir())


def test_the_command_writes_the_record(finished, trained, handlib_command, monkeypatch, tmp_path):
    monkeypatch.setattr("handlib.cli.ablate.CACHE", trained.cache)
    arguments = ("schedule", "--profile", "smoke", "--resume", "--out", finished[0], "--results-dir", tmp_path)
    status, out, _ = handlib_command("ablate", *arguments)
    assert status == 0 and out.splitlines()[-1] == f"wrote {tmp_path / 'schedule-smoke.json'}"
    record = results.read(tmp_path / "schedule-smoke.json")
    assert record["curves"] == finished[1]["curves"]
    assert record["command"].startswith("handlib ablate schedule --profile smoke --out ")


def test_the_command_explains_itself(handlib_command):
    status, out, _ = handlib_command("ablate", "--help")
    assert status == 0 and "\n  schedule " in out
    status, out, _ = handlib_command("ablate", "schedule", "--help")
    assert status == 0 and "--results-dir" in out and "--epochs" in out
    status, _, err = handlib_command("ablate", "rotations")
    assert status == 2 and err == "handlib: unknown study 'rotations': choose schedule\n"
