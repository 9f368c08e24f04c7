"""`handlib bench gpu`: all that only a GPU can show, in the few minutes that one is lent for.

Parts run one after the other, each in a process of its own: the kernels' tests, the benchmarks, and for the rest of the
time a training. A part that fails, or takes longer than its share, is left out and the next one starts. The training is
as long as the measured rate allows, and its weights are written after every epoch.
"""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch

from ...evaluation import results
from ...evaluation.results import Metric
from ...hand import HandModel
from ...training.checkpoint import read_log
from ...training.profiles import preset

HANDLIB = (sys.executable, "-m", "handlib")
KERNEL_TESTS = Path(__file__).parents[3] / "tests" / "kernels"  # in a checkout
EPOCHS = 10  # of the training, at most
IN_STEPS = 0.5  # of its time; the rest goes into the start, lifting and validation
RESERVE = 10.0  # seconds for writing what was measured


@dataclass(frozen=True)
class GpuBench:
    """Settings of the session."""

    minutes: float = 8.0  # Time for all parts.
    benches: Literal["smoke", "laptop"] = "laptop"  # Profile of the benchmarks.
    train: Literal["smoke", "laptop", "gpu"] = "gpu"  # Profile of the training.
    images_per_second: float = 100.0  # Rate that the training's length is taken from where its benchmark was left out.


GPU_BENCHES = {"smoke": GpuBench(5.0, "smoke", "smoke"), "laptop": GpuBench()}


class Part(NamedTuple):
    name: str
    command: tuple[str, ...]
    share: float  # of all the time, at most


def parts(config: GpuBench, device: str, folder: Path) -> list[Part]:
    """The parts before the training; their results files go into `folder`."""

    def bench(name: str, share: float, rounds: int, profile: str = config.benches) -> Part:
        """rounds: how often the benchmark takes `--seconds`, which then come to half of its share."""
        seconds = 0.0 if config.benches == "smoke" else 60 * config.minutes * share / 2 / rounds
        options = ("--device", device, "--seconds", f"{seconds:.1f}", "--results-dir", str(folder))
        return Part(name, (*HANDLIB, "bench", name, "--profile", profile, *options), share)

    tests = (sys.executable, "-m", "pytest", "-q", "-x", str(KERNEL_TESTS))
    return [
        *([Part("kernels", tests, 0.15)] if KERNEL_TESTS.is_dir() else []),
        bench("renderer", 0.2, 6),
        bench("data", 0.1, 1),
        bench("refinement", 0.15, 3),
        bench("training", 0.15, 1, config.train),
    ]


def bench_gpu(config: GpuBench, profile: str, folder: Path, out: Path) -> dict[str, Any]:
    """Does the parts and the training; returns the record of what each took, and what the training reached.

    folder: of the results files. out: of the training's run. `ValueError` for a time that is no number of minutes.
    """
    if not 0 < config.minutes < 1e6:
        raise ValueError(f"minutes must be more than 0, not {config.minutes:g}")
    started, began = time.perf_counter(), time.time()
    device, ends = ("cuda" if torch.cuda.is_available() else "cpu"), started + 60 * config.minutes - RESERVE
    metrics = []

    def do(part: Part) -> bool:
        begun = time.perf_counter()
        seconds = min(60 * config.minutes * part.share, ends - begun)
        print(f"== {part.name}, {max(seconds, 0):.0f} s at most", flush=True)
        how = "no time was left" if seconds <= 0 else run_for(part.command, seconds)
        took = time.perf_counter() - begun
        print(f"== {part.name}: {how or 'done'}, {took:.0f} s", flush=True)
        metrics.extend([Metric(f"{part.name}_done", float(not how), "yes"), Metric(f"{part.name}_seconds", took, "s")])
        return not how

    *_, rated = [do(part) for part in parts(config, device, folder)]
    rate = measured_rate(config, device, folder) if rated else config.images_per_second  # no earlier session's
    do(Part("train", training_command(config, rate, ends, out), 1.0))
    log = out / "log.jsonl"
    rows = read_log(out) if log.is_file() and log.stat().st_mtime >= began else []  # not those of an earlier run
    for last in rows[-1:]:
        for name, unit in (("epoch", "epochs"), ("images_per_second", "images/s"), ("val_joints_root_mean_mm", "mm")):
            metrics.append(Metric(f"train_{name}", last[name], unit))
    hand = HandModel.load()
    return results.record(
        "-".join(["bench-gpu", *([] if device == "cuda" else [device]), *([] if profile == "laptop" else [profile])]),
        "what a GPU does within a few minutes: which parts were done, and what a training reaches in the rest",
        metrics, profile=profile, config=asdict(config), data={"name": "synthetic", "n": 0},
        hand={"name": hand.name, "fingertips": hand.fingertips.name}, started=started, device=device,
    )  # fmt: skip


def run_for(command: tuple[str, ...], seconds: float) -> str:
    """Runs a command with all that it starts for `seconds` at most; returns "" or why it was not done."""
    process = subprocess.Popen(command, start_new_session=True)
    try:
        status = process.wait(seconds)
        return f"failed with status {status}" if status else ""
    except subprocess.TimeoutExpired:
        return "stopped, since its time was over"
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def measured_rate(config: GpuBench, device: str, folder: Path) -> float:
    """Images a second that the training's benchmark found, or the config's where it was left out."""
    parts = ["bench-training", *(part for part in (device, config.train) if part not in ("cpu", "laptop"))]
    with suppress(FileNotFoundError):
        return results.value(results.read(folder / f"{'-'.join(parts)}.json"), "full_step_images_per_second")
    return config.images_per_second


def training_command(config: GpuBench, rate: float, ends: float, out: Path) -> tuple[str, ...]:
    """A training of the profile whose steps take `IN_STEPS` of the time that is left."""
    run = preset(config.train)
    epochs = min(EPOCHS, run.epochs)
    images = int(rate * IN_STEPS * max(ends - time.perf_counter(), 0) / epochs)
    changed = {
        "images": min(max(images, 2 * run.batch_size), run.images),
        "val-images": min(200, run.val_images),
        "epochs": epochs,
        "evidence-epochs": run.evidence_epochs * epochs // run.epochs,
        "lifting-steps": min(1000, run.lifting_steps),
    }
    options = [text for name, number in changed.items() for text in (f"--{name}", str(number))]
    return (*HANDLIB, "train", "--profile", config.train, *options, "--out", str(out), "--no-resume")
