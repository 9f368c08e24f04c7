import json
import math
import re
import time
from pathlib import Path

import pytest

from handlib import results
from handlib.results import SCHEMA, Metric


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
    assert results.read(path) == record
    assert list(path.parent.iterdir()) == [path]


def test_record_has_every_field(record):
    assert record.keys() == SCHEMA.keys()
    assert record["minutes"] == pytest.approx(0.5, abs=0.02)
    assert record["peak_memory_mb"] > 50 and record["seed"] == 4
    assert {"handlib", "torch", "python", "platform"} <= record["versions"].keys()
    assert "threads" in record["device"]


def test_value_by_name(record):
    assert results.value(record, "mean_iou") == 0.9
    with pytest.raises(KeyError, match="run has no metric 'iou': it has joints_root_mean_mm, mean_iou"):
        results.value(record, "iou")


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
    with pytest.raises(ValueError, match="a metric must have the fields of handlib.results.Metric"):
        results.write(record, tmp_path)


@pytest.mark.parametrize(
    "text, words", [("", "not JSON"), ("{", "not JSON"), ("[]", "one JSON object"), ("3", "one JSON object")]
)
def test_what_is_no_record(tmp_path, unchecked, text, words):
    path = tmp_path / "bad.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=f"bad.json: .*{words}"):
        results.read(path)


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="none.json"):
        results.read(tmp_path / "none.json")


def test_score_names_say_what_they_are():
    found = {
        m.name: (m.unit, m.alignment, m.grid, m.n)
        for m in results.describe(
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


def test_a_chapter_without_a_measured_cost(tmp_path):
    assert "was not measured" in results.chapter_cost(tmp_path, "data")  # no file
    folder = Path(__file__).parents[1] / "results"
    assert "was not measured yet" in results.chapter_cost(folder, "of a chapter that does not exist")
    assert re.search(r"took \d+\.\d min and \d+\.\d GB", results.chapter_cost(folder, "hand"))
