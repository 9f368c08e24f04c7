"""`handlib bench`."""

import sys

import pytest

from handlib.evaluation import results


def test_bench_explains_itself(run):
    for flag in ("-h", "--help"):
        status, out, _ = run("bench", flag)
        assert status == 0 and all(f" {name} " in out for name in ("hand", "renderer", "refinement"))
        assert "writes a results file" in out
    status, out, _ = run("bench", "hand", "--help")
    assert status == 0 and all(option in out for option in ("--batches", "--seconds", "--compiled", "--results-dir"))


@pytest.mark.parametrize("name, option", [("renderer", "--patience"), ("refinement", "--gradient-iterations")])
def test_each_bench_explains_itself(run, name, option):
    status, out, _ = run("bench", name, "--help")
    assert status == 0 and option in out and "--results-dir" in out


def test_bench_hand_writes_a_valid_record(run, tmp_path):
    pytest.importorskip("smplx")
    status, out, _ = run("bench", "hand", "--profile", "smoke", "--batches", 1, "--results-dir", tmp_path)
    assert status == 0 and str(tmp_path / "bench-hand-smoke.json") in out
    record = results.read(tmp_path / "bench-hand-smoke.json")
    assert record["profile"] == "smoke" and record["config"]["batches"] == [1]
    assert record["command"].startswith("handlib bench hand --profile smoke")


def test_unknown_benchmark(run, refused):
    status, out, err = run("bench", "foot")
    names = "checks, data, hand, renderer, predict, refinement, training"
    said = " ".join(err.replace("│", " ").split())  # without the frame, and where lines break in it
    assert status == 2 and not out and "foot" in said and names in said
    assert "unknown profile 'gpu': choose one of smoke, laptop" in refused("bench", "hand", "--profile", "gpu")
    assert "unknown profile 'huge': choose one of smoke, laptop" in refused("bench", "hand", "--profile", "huge")


def test_bench_without_smplx(refused, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "smplx", None)
    line = refused("bench", "hand", "--profile", "smoke", "--results-dir", tmp_path)
    assert "smplx, which is not installed: pip install smplx" in line and not list(tmp_path.iterdir())
