"""The benchmarks' machinery and records. How fast anything is, is no business of a test."""

import dataclasses
import gc
import logging
import sys

import pytest
import torch

from handlib import jit, results
from handlib.bench import hand as bench
from handlib.bench.hand import DIRECTIONS, PROFILES, Comparison, HandBench, bench_hand
from handlib.bench.timing import in_turns, speedup

# ---- timing


def test_calls_take_turns():
    log = []
    calls = {name: lambda name=name: log.append(name) for name in "abc"}
    times = in_turns(calls, seconds=0, least=4)
    assert "".join(log) == "abc" * (2 + 4)  # two rounds to warm up
    assert list(times) == ["a", "b", "c"]
    assert all(len(column) == 4 and min(column) >= 0 for column in times.values())


def test_goes_on_for_as_long_as_asked():
    times = in_turns({"a": lambda: None}, seconds=0.05, least=1)
    assert len(times["a"]) > 10


def test_times_are_milliseconds(monkeypatch):
    clock = iter([0.0, 0.0, 1.0, 1.25, 2.0, 2.5, 9.0])  # start, loop, call a, call b, loop
    monkeypatch.setattr("handlib.bench.timing.time.perf_counter", lambda: next(clock))
    assert in_turns({"a": lambda: None, "b": lambda: None}, seconds=5, least=1) == {"a": [250.0], "b": [500.0]}


@pytest.mark.parametrize("enabled", [True, False])
def test_garbage_is_collected_again_afterwards(enabled):
    seen = []

    def call():
        seen.append(gc.isenabled())
        if len(seen) == 4:
            raise ZeroDivisionError

    try:
        (gc.enable if enabled else gc.disable)()
        with pytest.raises(ZeroDivisionError):
            in_turns({"a": call}, seconds=0)
        assert seen == [enabled, enabled, False, False] and gc.isenabled() == enabled
    finally:
        gc.enable()


def test_the_clock_waits_for_a_gpu(monkeypatch):
    log = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: log.append(device))
    in_turns({"a": lambda: log.append("a")}, seconds=0, device="cuda", least=2)
    assert log == ["a", "a"] + ["cuda", "a", "cuda"] * 2


def test_speedup_is_of_each_round():
    """Not of the totals: in the third round everything took a hundred times as long."""
    times = {"ours": [1.0, 1.0, 100.0, 1.0, 2.0], "theirs": [2.0, 3.0, 400.0, 5.0, 2.0]}
    assert speedup(times, "ours", "theirs") == (2, 3, 4)


# ---- the hand

OURS = ["handlib", "handlib_reference"] if jit.AVAILABLE else ["handlib"]  # the plain twin only where it is one


@pytest.fixture
def smoke() -> HandBench:
    pytest.importorskip("smplx")
    return PROFILES["smoke"]


@pytest.fixture
def lines() -> list[str]:
    return []


def assert_complete(record, config, names, pairs):
    metrics = {m["name"]: m for m in record["metrics"]}
    cases = [f"{direction}_b{batch}" for direction in DIRECTIONS for batch in config.batches]
    expected = {f"{name}_{case}_ms": "ms" for name in names for case in cases}
    expected |= {f"{pair}_{case}": "ratio" for pair in pairs for case in cases}
    assert {name: m["unit"] for name, m in metrics.items()} == expected
    assert all(m["value"] > 0 and m["n"] >= 5 for m in metrics.values())
    assert record["curves"].keys() == {f"{pair}_{direction}" for pair in pairs for direction in DIRECTIONS}
    for name, curve in record["curves"].items():
        assert curve["batch"] == list(config.batches)
        assert curve["median"] == [metrics[f"{name}_b{batch}"]["value"] for batch in config.batches]
        for low, median, high in zip(curve["low"], curve["median"], curve["high"], strict=True):
            assert low <= median <= high


def test_record_of_the_hand(smoke, lines, tmp_path):
    threads = torch.get_num_threads()
    record = bench_hand(smoke, "smoke", say=lines.append)
    assert torch.get_num_threads() == threads
    assert_complete(record, smoke, ["smplx", *OURS], [f"{name}_over_smplx" for name in OURS])
    assert record["name"] == "bench-hand-smoke" and record["profile"] == "smoke"
    assert record["config"]["peer"].startswith("smplx 0.") and record["config"]["threads"] == 1
    assert record["device"].endswith("1 threads")
    assert record["hand"] == {"name": "openhand", "fingertips": "smplx"}
    assert results.read(results.write(record, tmp_path))["metrics"] == record["metrics"]
    table = [line for line in lines if line.startswith("forward")]
    assert len(table) == 2 * (1 + len(OURS)) * len(smoke.batches)
    assert all("× smplx (" in line for line in table if "handlib" in line)


def test_compiled_contestants(smoke, lines, monkeypatch):
    """With a compiler that changes nothing; torch's own takes minutes."""
    compiled = []
    monkeypatch.setattr(torch, "compile", lambda function, dynamic: compiled.append(function) or function)
    config = dataclasses.replace(smoke, compiled=True)
    record = bench_hand(config, "smoke", say=lines.append)
    assert len(compiled) == 2 * 2 * len(config.batches)
    pairs = [f"{name}_over_smplx" for name in (*OURS, "handlib_compiled")] + ["handlib_compiled_over_smplx_compiled"]
    assert_complete(record, config, ["smplx", *OURS, "smplx_compiled", "handlib_compiled"], pairs)


def test_a_compiler_that_fails_is_left_out(smoke, lines, monkeypatch):
    def compile(function, dynamic):
        def fails(*_):
            raise RuntimeError("no g++\nand more of it")

        return fails

    monkeypatch.setattr(torch, "compile", compile)
    config = dataclasses.replace(smoke, batches=(1,), compiled=True)
    record = bench_hand(config, "smoke", say=lines.append)
    assert_complete(record, config, ["smplx", *OURS], [f"{name}_over_smplx" for name in OURS])
    assert "torch.compile of handlib failed and is left out: no g++" in lines
    assert logging.root.manager.disable == logging.NOTSET


@pytest.mark.parametrize(
    "wrong", [lambda v: v + 1e-4, lambda v: v.detach() + 1.01 * (v - v.detach()), lambda v: v * torch.nan]
)
def test_what_differs_is_not_timed(smoke, lines, monkeypatch, wrong):
    """By a tenth of a millimetre, in the derivatives only, or in being no number."""
    contestants = bench.contestants

    def skewed(*arguments):
        functions = contestants(*arguments)
        return functions | {"handlib": lambda *inputs: (wrong(functions["handlib"](*inputs)[0]), None)}

    monkeypatch.setattr(bench, "contestants", skewed)
    with pytest.raises(ValueError, match="handlib and smplx disagree by"):
        bench_hand(smoke, "smoke", say=lines.append)


def test_names_of_records(smoke):
    times = {"smplx": [2.0, 2.0], "handlib": [1.0, 1.0]}
    comparisons = [Comparison("forward", 1, times)]
    for profile, name in (("laptop", "bench-hand"), ("smoke", "bench-hand-smoke")):
        assert bench._record(smoke, profile, "cpu", comparisons, 0.0)["name"] == name


def test_without_smplx(monkeypatch, lines):
    monkeypatch.setitem(sys.modules, "smplx", None)
    with pytest.raises(ModuleNotFoundError, match="smplx, which is not installed: pip install smplx"):
        bench_hand(PROFILES["smoke"], "smoke", say=lines.append)
    assert not lines
