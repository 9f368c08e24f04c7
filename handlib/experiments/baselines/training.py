"""Training of the baselines that have weights, by the same loop as DHPE's (handlib.training.train).

A network has `loss(images, batch) -> (loss, terms)` and is a `Method`.
"""

import math
import os
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from ...training.checkpoint import RunFolder, read_log
from ...training.feed import Feed, training_hands
from ...training.processes import Processes
from ...training.train import TrainConfig, Trainer
from .evaluation import measure
from .interface import DEFAULTS, FitOptions, Method

Network = TypeVar("Network", bound=nn.Module)
FACTORS = (0.3, 1.0, 3.0)  # of the learning rates, that `best_learning_rate` tries


def train_network(
    make: Callable[[], Network], config: TrainConfig, out: str | os.PathLike[str], options: FitOptions = DEFAULTS
) -> Network:
    """Trains the network that `make` makes and returns it in evaluation mode; a finished run is loaded.

    The config is taken as `network_run` makes it.
    """
    config = network_run(config)
    config.check()
    if config.epochs < 1:
        raise ValueError("epochs must be at least 1, or there is nothing to train")
    folder = RunFolder(out)
    torch.manual_seed(config.seed)
    network = make()
    state = folder.open({"network": type(network).__name__, **asdict(config)}, options.resume)
    trainer = Trainer(network, _objective, config, Processes(options.device), folder)
    trainer.begin(state)
    if trainer.epoch < config.epochs:
        data, val = options.data or training_hands(config, options.cache, options.progress)
        feed = Feed(data, "memory", trainer.pool, trainer.processes.device)
        trainer.run(feed, lambda: measure(network, val, progress=False, device=options.device), options.progress)
    return network.eval()


def network_run(config: TrainConfig) -> TrainConfig:
    """A run without what only DHPE needs: evidence epochs with a rate of their own, lifting, an average of the weights,
    augmentation, half precision."""
    return replace(
        config, evidence_epochs=0, joint_learning_rate=config.learning_rate, lifting_steps=0, average=0.0,
        augment_from=None, feature_every=1, accumulate=1, precision="no",
    )  # fmt: skip


def _objective(trainer: Trainer, images: Tensor, batch: dict, original: Tensor) -> tuple[Tensor, dict[str, float]]:
    return trainer.model.loss(images, batch)


def resized(images: Float[Tensor, "b 3 h w"], size: int) -> Float[Tensor, "b 3 s s"]:
    """Images at a network's own size."""
    if images.shape[-2:] == (size, size):
        return images
    return functional.interpolate(images, (size, size), mode="bilinear", antialias=True)


def best_learning_rate(
    fit: Callable[[TrainConfig, Path, FitOptions], Method],
    config: TrainConfig,
    out: str | os.PathLike[str],
    options: FitOptions = DEFAULTS,
    factors: tuple[float, ...] = FACTORS,
) -> TrainConfig:
    """The config with both learning rates times the factor whose run ends best: how every method is tuned, alike.

    Judged on the validation hands by the joints' error, or by the mean IoU of a method that gives no joints. The runs
    stay in `out` and are resumed like any other. Where the full length is too long, give it a config of fewer epochs. A
    factor whose run diverges is out; `FloatingPointError` when all do.
    """
    ends, reason = {}, None
    for factor in factors:
        folder = Path(out) / f"rate-times-{factor:g}"
        try:
            fit(_faster(config, factor), folder, options)
        except FloatingPointError as error:  # this one diverges; another may not
            ends[factor], reason = math.inf, error
            continue
        row = read_log(folder)[-1]
        mask_alone = "val_joints_root_mean_mm" not in row
        ends[factor] = -row["val_mean_iou"] if mask_alone else row["val_joints_root_mean_mm"]
    if all(math.isinf(end) for end in ends.values()):
        raise reason
    return _faster(config, min(factors, key=ends.__getitem__))


def _faster(config: TrainConfig, factor: float) -> TrainConfig:
    return replace(
        config,
        learning_rate=config.learning_rate * factor,
        joint_learning_rate=config.joint_learning_rate * factor,
    )
