"""`handlib bench data`: how fast the benchmark's pictures are made, so that training never waits for them.

Batches of every split, each of other samples, with all that a picture has. On the CPU one thread makes them, as one
worker of a DataLoader would; on a GPU they are made and stay there. What a split's samples lack (an object, another
hand) costs nearly as much as what they have, so splits differ little.
"""

import itertools
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch

from ...data import SyntheticHands
from ...data.synthetic.settings import SETTINGS
from ...evaluation import results
from ...evaluation.results import Metric
from ...hand import HandModel
from .timing import in_turns, one_thread, record_name


@dataclass(frozen=True)
class DataBench:
    """Settings of the benchmark.

    Args:
        size: Side of the pictures in pixels.
        batch: Pictures at once on the CPU.
        device_batch: Pictures at once on a GPU.
        splits: Which splits.
        seconds: How long they are timed; five rounds at least.
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
    """A call that makes the next batch of a split."""
    data = SyntheticHands(split, size, hand=hand)
    first = itertools.count(0, batch)

    def make() -> dict[str, torch.Tensor]:
        return data.batch((next(first) + torch.arange(batch)) % len(data), device)

    return make


def bench_data(
    config: DataBench, profile: str, device: str = "cpu", say: Callable[[str], object] = print
) -> dict[str, Any]:
    """Runs the benchmark and returns its record; `say` gets the table."""
    started, metrics = time.perf_counter(), []
    batch, hand = config.batch if device == "cpu" else config.device_batch, HandModel.load()
    with one_thread():
        say(f"{results.device_name(device)}; images a second at {config.size}², batch {batch}: fastest, median round")
        calls = {split: make_batches(split, config.size, batch, device, hand) for split in config.splits}
        for split, times in in_turns(calls, config.seconds, device).items():
            fastest, median = 1e3 * batch / min(times), 1e3 * batch / sorted(times)[len(times) // 2]
            metrics.append(Metric(f"{split}_images_per_second", fastest, "images/s", n=len(times)))
            metrics.append(Metric(f"{split}_images_per_second_median", median, "images/s", n=len(times)))
            say(f"{split:10} {fastest:8.1f} {median:8.1f}")
    return results.record(
        record_name("data", device, profile),
        "how many pictures of the benchmark one core, or one GPU, makes in a second",
        metrics,
        profile=profile,
        config=asdict(config) | {"threads": 1},
        data={"name": ", ".join(SyntheticHands(split, config.size, hand=hand).name for split in config.splits),
              "n": batch},
        hand={"name": hand.name, "fingertips": hand.fingertips.name},
        started=started,
        device=device,
    )  # fmt: skip
