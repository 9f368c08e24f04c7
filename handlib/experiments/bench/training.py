"""`handlib bench training`: times a training step, and how much of it is not the networks.

The *full step* is everything that training does for a batch: data, colors, F and J2D, the regressor, the hand, the
renderer, all losses, their gradients, clipping, the optimizer. The *networks alone* are F (twice, as for Eq. 2), J2D
and the regressor on constant tensors, with a mean square as loss, clipping and the optimizer. Both are timed in turns.
The difference is the overhead of data, rendering and losses.

The matrix rate is that of one large matrix product in the precision of the networks on the same device. The fraction of
it that training reaches counts only the floating-point operations of the networks.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from tempfile import TemporaryDirectory

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from ...data import SyntheticHands
from ...data.cache import CACHE
from ...dhpe import DHPE
from ...evaluation.results import Metric, device_name
from ...evidence import keeping_statistics
from ...training.checkpoint import RunFolder
from ...training.feed import Feed
from ...training.processes import Processes
from ...training.profiles import TrainConfig, preset
from ...training.train import DHPEObjective, Trainer
from .timing import Measured, benchmark, in_turns


@dataclass(frozen=True)
class TrainingBench:
    """Settings of the benchmark."""

    train: str = "laptop"  # Profile of `handlib train` whose networks, batches and precision are used.
    images: int = 64  # Number of synthetic training hands.
    matrix: int = 2048  # Side of the matrices for the matrix rate.
    seconds: float = 30.0  # Time for all steps; at least five rounds.


TRAINING_BENCHES = {
    "smoke": TrainingBench("smoke", images=8, matrix=128, seconds=0.0),
    "laptop": TrainingBench(),
    "gpu": TrainingBench("gpu", images=4096, matrix=8192, seconds=60.0),
}


def make_trainer(config: TrainConfig, device: str, folder: str) -> Trainer:
    """Makes a trainer in its first joint epoch."""
    torch.manual_seed(config.seed)
    processes = Processes("cpu" if device == "cpu" else "auto", config.precision)
    trainer = Trainer(DHPE(config.model), DHPEObjective(config), config, processes, RunFolder(folder))
    trainer.epoch = config.evidence_epochs
    trainer.model.train()
    return trainer


def full_step(trainer: Trainer, feed: Feed) -> Callable[[], object]:
    """Returns a function that takes one training step on the next batch."""
    n = trainer.config.batch_size

    def batches() -> Iterator[dict[str, Tensor]]:
        order = torch.arange(64 * n) % len(feed)
        while True:
            yield from feed.batches(list(order.split(n)))

    source = batches()
    return lambda: trainer.train_step(next(source), n, 1e-5, n)


def networks_step(trainer: Trainer) -> Callable[[], object]:
    """Returns a function that takes one step of the networks alone, on constant tensors."""
    model, config = trainer.model, trainer.config
    generator = torch.Generator().manual_seed(0)
    size = config.model.size
    images = torch.rand(config.batch_size, 3, size, size, generator=generator).to(trainer.processes.device)
    joints = (torch.rand(config.batch_size, 21, 2, generator=generator) - 0.5).to(images)

    def step() -> None:
        trainer.optimizer.zero_grad()
        with trainer.processes.autocast():
            features, stages = model.feature_extractor(images), model.heatmaps(images)
            with keeping_statistics(model.feature_extractor):
                again = model.feature_extractor(images)
        last = model.regressor(model.hand, features.float(), joints)[-1]
        loss = sum(values.float().square().mean() for values in [features, again, *stages, last.h, last.evidence_2d])
        trainer.processes.backward(loss)
        nn.utils.clip_grad_norm_(model.parameters(), config.gradient_clip)
        trainer.optimizer.step()

    return step


def product(side: int, device: str, dtype: torch.dtype) -> Callable[[], object]:
    """Returns a function that multiplies two square matrices."""
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    return lambda: a @ b


@benchmark("training", one_thread_only=False)
def bench_training(config: TrainingBench, device: str) -> Measured:
    """Times a step of training and its networks alone."""
    run = preset(config.train)
    run = replace(run, data=("synthetic",), augment_from=None, precision="no" if device == "cpu" else run.precision)
    dtype = {"no": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[run.precision]
    n = run.batch_size
    with TemporaryDirectory() as folder:
        trainer = make_trainer(run, device, folder)
        data = SyntheticHands("train", run.model.size, config.images)
        feed = Feed([data], run.feed, trainer.pool, trainer.processes.device, run.workers, CACHE, progress=False)
        networks = networks_step(trainer)
        with FlopCounterMode(display=False) as counter:
            networks()
        flops = counter.get_total_flops() / n
        times = in_turns({"full": full_step(trainer, feed), "networks": networks}, config.seconds, device)
        matrix = in_turns({"product": product(config.matrix, device, dtype)}, config.seconds / 30, device, warm=3)
    full, alone = (sorted(times[name])[len(times[name]) // 2] / 1e3 / n for name in ("full", "networks"))
    rate = 2 * config.matrix**3 / (min(matrix["product"]) / 1e3)
    rounds = len(times["full"])
    metrics = [
        Metric("full_step_images_per_second", 1 / full, "images/s", n=rounds),
        Metric("networks_images_per_second", 1 / alone, "images/s", n=rounds),
        Metric("overhead", max(0.0, 1 - alone / full), "fraction", n=rounds),
        Metric("networks_gflop_per_image", flops / 1e9, "GFLOP"),
        Metric("matrix_rate_tflops", rate / 1e12, "TFLOP/s", n=len(matrix["product"])),
        Metric("fraction_of_matrix_rate", flops / full / rate, "fraction"),
    ]
    print(f"{device_name(device)}; {config.train}, batches of {n}, {run.precision} half precision")
    for metric in metrics:
        print(f"{metric.name:28} {metric.value:10.3f} {metric.unit}")
    claim = "how fast a network is trained, and how much of the time is not the network"
    return Measured(claim, metrics, {"name": data.name, "n": len(data)}, {"run": asdict(run)})
