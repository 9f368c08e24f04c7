"""The benchmarks' machinery and records. How fast anything is, is no business of a test."""

import dataclasses
import gc
import logging
import subprocess
import sys
from collections.abc import Callable

import pytest
import torch

from handlib import Renderer
from handlib.evaluation import results
from handlib.experiments.bench import hand as bench
from handlib.experiments.bench import renderer as renderer_bench
from handlib.experiments.bench.checks import CHECKS_BENCHES, bench_checks
from handlib.experiments.bench.data import DATA_BENCHES, bench_data
from handlib.experiments.bench.hand import DIRECTIONS, HAND_BENCHES, HandBench, bench_hand
from handlib.experiments.bench.memory import peak_memory_mb
from handlib.experiments.bench.predict import PREDICT_BENCHES, bench_predict, cold_times
from handlib.experiments.bench.refinement import REFINEMENT_BENCHES, bench_refinement
from handlib.experiments.bench.renderer import RENDERER_BENCHES, bench_renderer, contestants
from handlib.experiments.bench.timing import Measured, benchmark, in_turns, speedup
from handlib.support import jit

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
    for name in ("perf_counter", "process_time"):
        monkeypatch.setattr(f"handlib.experiments.bench.timing.time.{name}", lambda: next(clock))
    assert in_turns({"a": lambda: None, "b": lambda: None}, seconds=5, least=1) == {"a": [250.0], "b": [500.0]}


def test_a_turn_may_go_on_and_counts_by_its_fastest_call(monkeypatch):
    clock = iter([0.0, 0.0, 1.0, 1.5, 2.0, 2.25, 3.0, 3.75, 9.0])  # start, loop, three calls, loop
    for name in ("perf_counter", "process_time"):
        monkeypatch.setattr(f"handlib.experiments.bench.timing.time.{name}", lambda: next(clock))
    assert in_turns({"a": lambda: None}, seconds=5, least=1, warm=0, again=1.0) == {"a": [250.0]}


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

OURS = ["handlib", "handlib_reference"] if jit.available() else ["handlib"]  # the plain twin only where it is one


@pytest.fixture
def smoke() -> HandBench:
    pytest.importorskip("smplx")
    return HAND_BENCHES["smoke"]


@pytest.fixture
def lines(capsys) -> Callable[[], list[str]]:
    """What was printed since the last call."""
    return lambda: capsys.readouterr().out.splitlines()


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
    record = bench_hand(smoke, "smoke")
    assert torch.get_num_threads() == threads
    assert_complete(record, smoke, ["smplx", *OURS], [f"{name}_over_smplx" for name in OURS])
    assert record["name"] == "bench-hand-smoke" and record["profile"] == "smoke"
    assert record["config"]["peer"].startswith("smplx 0.") and record["config"]["threads"] == 1
    assert record["device"].endswith(", 1 thread")
    assert record["hand"] == {"name": "openhand", "fingertips": "smplx"}
    assert results.read(results.write(record, tmp_path))["metrics"] == record["metrics"]
    table = [line for line in lines() if line.startswith("forward")]
    assert len(table) == 2 * (1 + len(OURS)) * len(smoke.batches)
    assert all("× smplx (" in line for line in table if "handlib" in line)


def test_compiled_contestants(smoke, lines, monkeypatch):
    """With a compiler that changes nothing; torch's own takes minutes."""
    compiled = []
    monkeypatch.setattr(torch, "compile", lambda function, dynamic: compiled.append(function) or function)
    config = dataclasses.replace(smoke, compiled=True)
    record = bench_hand(config, "smoke")
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
    record = bench_hand(config, "smoke")
    assert_complete(record, config, ["smplx", *OURS], [f"{name}_over_smplx" for name in OURS])
    assert "torch.compile of handlib failed and is left out: no g++" in lines()
    assert logging.root.manager.disable == logging.NOTSET


@pytest.mark.parametrize(
    "wrong", [lambda v: v + 1e-4, lambda v: v.detach() + 1.01 * (v - v.detach()), lambda v: v * torch.nan]
)
def test_what_differs_is_not_timed(smoke, lines, monkeypatch, wrong):
    """By a tenth of a millimeter, in the derivatives only, or in being no number."""
    contestants = bench.contestants

    def skewed(*arguments):
        functions = contestants(*arguments)
        return functions | {"handlib": lambda *inputs: (wrong(functions["handlib"](*inputs)[0]), None)}

    monkeypatch.setattr(bench, "contestants", skewed)
    with pytest.raises(ValueError, match="handlib and smplx disagree by"):
        bench_hand(smoke, "smoke")


@pytest.mark.parametrize(
    "variant, profile, device, name",
    [
        ("", "laptop", "cpu", "bench-any"),
        ("", "smoke", "cpu", "bench-any-smoke"),
        ("repaired", "gpu", "meta", "bench-any-repaired-meta-gpu"),
    ],
)
def test_names_of_records(variant, profile, device, name):
    run = benchmark("any")(lambda config, device: Measured("a claim", [], {}, variant=variant))
    assert run(HandBench(), profile, device)["name"] == name


def test_without_smplx(monkeypatch, lines):
    monkeypatch.setitem(sys.modules, "smplx", None)
    with pytest.raises(ModuleNotFoundError, match="smplx, which is not installed: pip install smplx"):
        bench_hand(HAND_BENCHES["smoke"], "smoke")
    assert not lines()


# ---- memory


def test_peak_of_memory():
    """Of what is held at a time, though it is gone afterwards; in a fresh process, as it should be measured."""
    code = """if True:
        from handlib.experiments.bench.memory import peak_memory_mb
        print(peak_memory_mb(lambda: bytearray(50 << 20).count(1)))
    """
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    if found == "None":
        pytest.skip("this system does not say how much memory a process held")
    assert 45 < float(found) < 80


def test_memory_where_the_system_does_not_say(monkeypatch, tmp_path):
    monkeypatch.setattr("handlib.experiments.bench.memory.RESET", tmp_path / "missing" / "file")
    assert peak_memory_mb(lambda: None) is None


# ---- the renderer


@pytest.fixture
def without_peer(monkeypatch):
    """pytorch3d takes seconds for a picture."""
    monkeypatch.setitem(sys.modules, "handlib.renderer.pytorch3d", None)
    monkeypatch.delattr("handlib.renderer.pytorch3d", raising=False)


def test_record_of_the_renderer_alone(without_peer, lines, tmp_path):
    config = RENDERER_BENCHES["smoke"]
    record = bench_renderer(config, "smoke")
    names = list(contestants(32))
    assert "pytorch3d_soft" not in names and {"antialias", "soft", "kato"} <= set(names)
    metrics = {m["name"]: m for m in record["metrics"]}
    cases = [f"{name}_{way}_b{batch}" for name in names for way in DIRECTIONS for batch in config.batches]
    assert (
        {f"{case}_ms" for case in cases} <= metrics.keys() <= {f"{c}_{k}" for c in cases for k in ("ms", "memory_mb")}
    )
    assert all(m["value"] > 0 for name, m in metrics.items() if name.endswith("_ms"))
    assert record["config"]["peer"] == "none" and "peer: none, since pytorch3d is not installed" in lines()
    assert results.read(results.write(record, tmp_path))["name"] == "bench-renderer-smoke"


def test_peer_of_the_renderer(monkeypatch, lines):
    """With a peer that is our own soft silhouette: it agrees, is compared with, and is left out where it is slow."""
    monkeypatch.setattr(renderer_bench, "contestants", lambda size, device="cpu": dict(
        soft=Renderer(size, gradient="soft"), pytorch3d_soft=Renderer(size, gradient="soft")
    ))  # fmt: skip
    monkeypatch.setattr(renderer_bench, "version", lambda _: "0.0")
    monkeypatch.setattr(renderer_bench, "_memory", lambda *_: None)
    config = dataclasses.replace(RENDERER_BENCHES["smoke"], batches=(1, 2), variant="repaired")
    record = bench_renderer(config, "smoke")
    metrics = {m["name"]: m for m in record["metrics"]}
    assert record["name"] == "bench-renderer-repaired-smoke" and record["config"]["peer"] == "pytorch3d 0.0, repaired"
    assert {f"soft_over_pytorch3d_soft_{way}_b{batch}" for way in DIRECTIONS for batch in (1, 2)} <= metrics.keys()
    impatient = bench_renderer(dataclasses.replace(config, patience=1e-9), "smoke")
    assert {m["name"] for m in impatient["metrics"]} == {
        "soft_forward_b1_ms", "pytorch3d_soft_forward_b1_ms", "soft_over_pytorch3d_soft_forward_b1"
    }  # fmt: skip
    assert any(line.startswith("pytorch3d_soft is left out") for line in lines())


def test_peer_that_disagrees_is_not_timed(monkeypatch):
    monkeypatch.setattr(renderer_bench, "contestants", lambda size, device="cpu": dict(
        soft=Renderer(size, gradient="soft"), pytorch3d_soft=Renderer(size, gradient="soft", sigma=1e-3)
    ))  # fmt: skip
    monkeypatch.setattr(renderer_bench, "version", lambda _: "0.0")
    with pytest.raises(ValueError, match="the soft silhouettes disagree by"):
        bench_renderer(RENDERER_BENCHES["smoke"], "smoke")


# ---- photographs


def test_record_of_a_photograph(lines, tmp_path):
    record = bench_predict(PREDICT_BENCHES["smoke"], "smoke")
    values = {m["name"]: m["value"] for m in record["metrics"]}
    warm, cold = {"photograph_cpu_ms_per_hand", "batch_cpu_ms_per_hand"}, {"cold_torch_cpu_s", "cold_predict_cpu_s"}
    assert values.keys() == warm | cold and min(values.values()) > 0 and len(lines()) == 4
    assert values["cold_predict_cpu_s"] > values["cold_torch_cpu_s"]  # it imports torch, too
    assert results.read(results.write(record, tmp_path))["name"] == "bench-predict-smoke"


def test_a_cold_process_that_fails_is_not_timed():
    with pytest.raises(RuntimeError, match="handlib failed: handlib: .*nothing"):
        cold_times(torch.zeros(3, 8, 8, dtype=torch.uint8), "nothing", 1)


# ---- the refinement


def test_record_of_the_refinement(lines, tmp_path):
    config = REFINEMENT_BENCHES["smoke"]
    record = bench_refinement(config, "smoke")
    cases = ("refine", "refine_features", "gradient", "gradient_plain", "fit", "fit_joints_3d", "fit_mask")
    wanted = {f"{name}_b{n}_ms_per_hand" for name in cases for n in config.batches}
    found = {m["name"]: m["value"] for m in record["metrics"]}
    assert wanted <= found.keys() and all(value > 0 for value in found.values())
    assert {"refine_over_gradient_b1", "gradient_over_gradient_plain_b2"} <= found.keys()
    assert results.read(results.write(record, tmp_path))["name"] == "bench-refinement-smoke"


# ---- checks


def test_checks_bench(lines, tmp_path):
    record = bench_checks(CHECKS_BENCHES["smoke"], "smoke")
    assert results.read(results.write(record, tmp_path))["name"] == "bench-checks-smoke"
    assert {m["name"] for m in record["metrics"]} == {"share_b1", "share_b2"}
    assert all(0 < m["value"] < 100 and m["unit"] == "%" for m in record["metrics"]) and len(lines()) == 2
    assert bench_checks(CHECKS_BENCHES["smoke"], "smoke", "cuda") is None


# ---- data


def test_data_bench(lines, tmp_path):
    record = bench_data(DATA_BENCHES["smoke"], "smoke")
    names = [metric["name"] for metric in record["metrics"]]
    assert names == ["train_images_per_second", "train_images_per_second_median"]
    fastest, median = (metric["value"] for metric in record["metrics"])
    assert 0 < median <= fastest and len(lines()) == 2
    assert results.read(results.write(record, tmp_path))["name"] == "bench-data-smoke"
