"""`handlib bench data`: times the rendering of the benchmark's images, for which training should never wait.

Every call makes a batch of new samples of a split, with all their fields. On the CPU one thread makes them, like one
worker of a DataLoader; on a GPU they are made and stay there. Parts that a split lacks (an object, a second hand) cost
nearly as much as those it has, so splits differ little.
"""

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from ...data import SyntheticHands
from ...data.synthetic.settings import SETTINGS
from ...evaluation.results import Metric, device_name
from ...hand import HandModel
from .timing import bench_record, in_turns, one_thread


@dataclass(frozen=True)
class DataBench:
    """Settings of the benchmark.

    Args:
        size: Side of the images in pixels.
        batch: Images per batch on the CPU.
        device_batch: Images per batch on a GPU.
        splits: The splits to time.
        seconds: Time for all; at least five rounds.
    """

    size: int = 224
    batch: int = 8
    device_batch: int = 256
    splits: tuple[str, ...] = tuple(SETTINGS)
    seconds: float = 30.0


DATA_BENCHES = {
    "smoke": DataBench(size=32, batch=2, device_batch=4, splits=("train",), seconds=0.0),
    "laptop": DataBench(),
}


def make_batches(split: str, size: int, batch: int, device: str, hand: HandModel) -> Callable[[], object]:
    """Returns a function that makes the next batch of a split."""
    data = SyntheticHands(split, size, hand=hand)
    first = itertools.count(0, batch)

    def make() -> dict[str, torch.Tensor]:
        return data.batch((next(first) + torch.arange(batch)) % len(data), device)

    return make


def bench_data(
    config: DataBench, profile: str, device: str = "cpu", say: Callable[[str], object] = print
) -> dict[str, Any]:
    """Runs the benchmark and returns its record. say: is called with each line of the table."""
    started, metrics = time.perf_counter(), []
    batch, hand = config.batch if device == "cpu" else config.device_batch, HandModel.load()
    with one_thread():
        say(f"{device_name(device)}; images per second at {config.size}², batch {batch}: fastest, median round")
        calls = {split: make_batches(split, config.size, batch, device, hand) for split in config.splits}
        for split, times in in_turns(calls, config.seconds, device).items():
            fastest, median = 1e3 * batch / min(times), 1e3 * batch / sorted(times)[len(times) // 2]
            metrics.append(Metric(f"{split}_images_per_second", fastest, "images/s", n=len(times)))
            metrics.append(Metric(f"{split}_images_per_second_median", median, "images/s", n=len(times)))
            say(f"{split:10} {fastest:8.1f} {median:8.1f}")
    claim = "how many images of the benchmark one core, or one GPU, makes per second"
    names = ", ".join(SyntheticHands(split, config.size, hand=hand).name for split in config.splits)
    return bench_record("data", claim, metrics, config, profile, device, started, {"name": names, "n": batch})
