"""`handlib bench data`: times the rendering of the benchmark's images, for which training should never wait.

Every call makes a batch of new samples of a split, with all their fields. On the CPU one thread makes them, like one
worker of a DataLoader; on a GPU they are made and stay there. Parts that a split lacks (an object, a second hand) cost
nearly as much as those it has, so splits differ little.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import torch

from ...data import SyntheticHands
from ...data.synthetic.settings import SETTINGS
from ...evaluation.results import Metric, device_name
from ...hand import HandModel
from .timing import Measured, benchmark, in_turns


@dataclass(frozen=True)
class DataBench:
    """Settings of the benchmark."""

    size: int = 224  # Side of the images in pixels.
    batch: int = 8  # Images per batch on the CPU.
    device_batch: int = 256  # Images per batch on a GPU.
    splits: tuple[str, ...] = tuple(SETTINGS)  # The splits to time.
    seconds: float = 30.0  # Time for all; at least five rounds.


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


@benchmark("data")
def bench_data(config: DataBench, device: str) -> Measured:
    """Times the rendering of the benchmark's images, in images per second."""
    metrics, hand = [], HandModel.load()
    batch = config.batch if device == "cpu" else config.device_batch
    print(f"{device_name(device)}; images per second at {config.size}², batch {batch}: fastest, median round")
    calls = {split: make_batches(split, config.size, batch, device, hand) for split in config.splits}
    for split, times in in_turns(calls, config.seconds, device).items():
        fastest, median = 1e3 * batch / min(times), 1e3 * batch / sorted(times)[len(times) // 2]
        metrics.append(Metric(f"{split}_images_per_second", fastest, "images/s", n=len(times)))
        metrics.append(Metric(f"{split}_images_per_second_median", median, "images/s", n=len(times)))
        print(f"{split:10} {fastest:8.1f} {median:8.1f}")
    claim = "how many images of the benchmark one core, or one GPU, makes per second"
    names = ", ".join(SyntheticHands(split, config.size, hand=hand).name for split in config.splits)
    return Measured(claim, metrics, {"name": names, "n": batch})
