import json
import math
import subprocess
import time

import pytest
import torch

from handlib.evaluation import results
from handlib.evaluation.evaluate import describe
from handlib.evaluation.results import OPTIONAL, SCHEMA, Metric


@pytest.fixture
def record():
    return results.record(
        "run",
        "a claim with an é",
        [Metric("joints_root_mean_mm", 12.5, "mm", "root", n=3), Metric("mean_iou", 0.9, "fraction", n=3)],
        profile="smoke",
        config={"model": {"size": 64}},
        data={"name": "SyntheticHands", "n": 3},
        hand={"name": "openhand", "fingertips": "smplx"},
        started=time.perf_counter() - 30,
        seed=4,
        curves={"pck": {"threshold_mm": [0.0, 1.0], "pck": [0.0, 1.0]}},
    )


def test_round_trip(record, tmp_path):
    path = results.write(record, tmp_path / "new")
    assert path == tmp_path / "new" / "run.json"
    assert results.read(path) == {**record, "digest": results.digest(record)}
    assert list(path.parent.iterdir()) == [path]


def test_record_has_every_field(record):
    assert record.keys() == SCHEMA.keys() and not SCHEMA.keys() & OPTIONAL.keys()
    assert record["minutes"] == pytest.approx(0.5, abs=0.02)
    assert record["peak_memory_mb"] > 50 and record["seed"] == 4
    assert {"handlib", "torch", "python", "platform"} <= record["versions"].keys()


@pytest.mark.parametrize("threads, said", [(1, ", 1 thread"), (2, ", 2 threads")])
def test_the_device_says_which_instructions_and_how_many_threads_ran(monkeypatch, threads, said):
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX9")
    assert results.device_name("cpu").endswith(", AVX9" + said)


@pytest.mark.parametrize("stored, said", [("CPU, 1 threads", "CPU, 1 thread"), ("CPU, 16 threads", "CPU, 16 threads")])
def test_an_older_record_reads_well(stored, said):
    assert results.device_of({"device": stored}) == said


def test_value_by_name(record):
    assert results.value(record, "mean_iou") == 0.9
    with pytest.raises(KeyError, match="run has no metric 'iou': it has joints_root_mean_mm, mean_iou"):
        results.value(record, "iou")


def test_files_that_are_there_and_those_that_are_not(record, tmp_path):
    results.write(record, tmp_path)
    found, note = results.present(tmp_path, ["run", "another", "third"])
    assert list(found) == ["run"] and found["run"]["seed"] == 4
    assert note == "Not measured yet; missing results files: `another.json`, `third.json`."
    assert results.present(tmp_path, ["run"])[1] == ""
    (tmp_path / "another.json").write_text("{")
    with pytest.raises(ValueError, match="another.json: not JSON"):
        results.present(tmp_path, ["another"])


@pytest.mark.parametrize("field", SCHEMA)
def test_missing_field_is_named(record, tmp_path, field):
    del record[field]
    path = tmp_path / "run.json"
    path.write_text(json.dumps(record))
    with pytest.raises(ValueError, match=f"run.json: the field '{field}' is missing"):
        results.read(path)


@pytest.mark.parametrize("field, wrong", [("seed", "0"), ("metrics", {}), ("synthetic", "yes"), ("minutes", None)])
def test_wrong_type_is_named(record, tmp_path, field, wrong):
    record[field] = wrong
    with pytest.raises(ValueError, match=f"the field '{field}' must be {SCHEMA[field].__name__}, not"):
        results.write(record, tmp_path)
    assert not list(tmp_path.iterdir())


def test_whole_numbers_may_stand_for_fractions(record, tmp_path):
    record["minutes"] = 2
    assert results.read(results.write(record, tmp_path))["minutes"] == 2


@pytest.mark.parametrize("metric", [{"name": "x"}, {"name": "x", "value": 1.0, "unit": "mm", "range": "0–50"}])
def test_metrics_have_their_fields(record, tmp_path, metric):
    record["metrics"] = [metric]
    with pytest.raises(ValueError, match="a metric must have the fields of handlib.evaluation.results.Metric"):
        results.write(record, tmp_path)


@pytest.mark.parametrize("number", ["12.5", None, True, math.nan, math.inf])
def test_a_metric_is_a_finite_number(record, tmp_path, number):
    record["metrics"][0]["value"] = number
    with pytest.raises(ValueError, match="the metric 'joints_root_mean_mm' must have a finite number, not"):
        results.write(record, tmp_path)


@pytest.mark.parametrize(
    "text, words", [("", "not JSON"), ("{", "not JSON"), ("[]", "one JSON object"), ("3", "one JSON object")]
)
def test_what_is_no_record(tmp_path, unchecked, text, words):
    path = tmp_path / "bad.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=f"bad.json: .*{words}"):
        results.read(path)


def test_digest_is_of_the_content(record):
    """Of all of it, but not of the order in which it happens to be written, and not of the digest itself."""
    first = results.digest(record)
    assert first.startswith("sha256:") and len(first) == 7 + 64
    assert results.digest(dict(reversed(record.items()))) == first == results.digest({**record, "digest": "old"})
    for field in SCHEMA:
        assert results.digest({**record, field: "changed"}) != first, field


def test_digest_survives_the_file(record, tmp_path):
    record["metrics"][0]["value"] = 0.1 + 0.2
    read = results.read(results.write(record, tmp_path))
    assert results.digest(read) == read["digest"]
    again = results.read(results.write(read, tmp_path))
    assert again == read


def test_a_record_may_lack_its_digest_but_not_have_a_number_for_it(record, tmp_path):
    path = tmp_path / "run.json"
    path.write_text(json.dumps(record))
    assert "digest" not in results.read(path)
    path.write_text(json.dumps({**record, "digest": 3}))
    with pytest.raises(ValueError, match="the field 'digest' must be str, not int"):
        results.read(path)


def seeded(record, seed, value):
    metrics = [{**m, "value": value * (i + 1)} for i, m in enumerate(record["metrics"])]
    return {**record, "seed": seed, "config": {"train": {"seed": seed}}, "metrics": metrics}


def test_runs_that_must_not_be_averaged(record):
    a, b = seeded(record, 0, 1.0), seeded(record, 1, 1.0)
    for wrong, words in (
        ([a, a], "the same seed"),
        ([a, {**b, "data": {"name": "RHD"}}], "do not measure the same"),
        ([a, {**b, "metrics": b["metrics"][:1]}], "do not measure the same"),
        ([a, {**b, "config": {"train": {"seed": 1, "epochs": 3}}}], "differ in more than their seed"),
    ):
        with pytest.raises(ValueError, match=words):
            results.check_alike(wrong)
    results.check_alike([a, b, seeded(record, 2, 6.0)])


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="none.json"):
        results.read(tmp_path / "none.json")


def test_score_names_say_what_they_are():
    found = {
        m.name: (m.unit, m.alignment, m.grid, m.n)
        for m in describe(
            dict.fromkeys(
                [
                    "joints_root_mean_mm",
                    "joints_procrustes_mean_mm",
                    "joints_root_auc_20_50_mm",
                    "joints_root_auc_reference_20_50_mm",
                    "mean_iou",
                ],
                0.5,
            ),
            7,
        )
    }
    assert found == {
        "joints_root_mean_mm": ("mm", "root", "none", 7),
        "joints_procrustes_mean_mm": ("mm", "procrustes", "none", 7),
        "joints_root_auc_20_50_mm": ("fraction", "root", "20 thresholds, 20–50 mm", 7),
        "joints_root_auc_reference_20_50_mm": (
            "fraction", "root", "0–50 mm in 20 thresholds, from index 8: 21.05–50 mm", 7,
        ),
        "mean_iou": ("fraction", "none", "none", 7),
    }  # fmt: skip


def test_command_is_what_was_typed(monkeypatch):
    monkeypatch.setattr("sys.argv", ["/usr/bin/handlib", "evaluate", "--n", "4"])
    made = results.record("x", "y", [], profile="smoke", config={}, data={}, hand={}, started=time.perf_counter())
    assert made["command"] == "handlib evaluate --n 4"
    assert math.isclose(made["minutes"], 0, abs_tol=0.01)


def test_outside_a_checkout_there_is_no_commit(monkeypatch):
    def missing(*_, **__):
        raise FileNotFoundError("git")

    monkeypatch.setattr(results.subprocess, "run", missing)
    assert results._git() == {}


def test_inside_another_project_there_is_no_commit(tmp_path, monkeypatch):
    """A virtual environment within a checkout of something else is not that something."""
    for command in ("init -q", "-c user.name=a -c user.email=b commit -q --allow-empty -m x"):
        subprocess.run(["git", *command.split()], cwd=tmp_path, check=True)
    module = tmp_path / "handlib" / "evaluation" / "results.py"
    module.parent.mkdir(parents=True)
    module.write_text("")
    monkeypatch.setattr(results, "__file__", str(module))
    assert results._git() == {}
