"""Trains the baselines that have weights, by the same loop as DHPE (handlib.training.train).

A network is a `Method` and has `loss(images, batch) -> (loss, terms)`.
"""

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
from ...training.feed import Feed, open_feed
from ...training.processes import Processes
from ...training.train import TrainConfig, Trainer
from .interface import DEFAULTS, FitOptions, measure

Network = TypeVar("Network", bound=nn.Module)


def train_network(
    make: Callable[[], Network], config: TrainConfig, out: str | os.PathLike[str], options: FitOptions = DEFAULTS
) -> Network:
    """Trains the network that `make` returns, by `network_run(config)`; returns it in evaluation mode.

    A finished run is loaded. Raises `ValueError` for an invalid config.
    """
    config = network_run(config)
    config.check()
    folder = RunFolder(out)
    torch.manual_seed(config.seed)
    network = make()
    state = folder.open({"network": type(network).__name__, **asdict(config)}, options.resume)
    processes = Processes(options.device)
    trainer = Trainer(network, lambda t, images, batch, _: t.model.loss(images, batch), config, processes, folder)
    trainer.begin(state)
    if trainer.epoch < config.epochs:
        if options.data:
            feed, val = Feed(options.data[0], "memory", trainer.pool, processes.device), options.data[1]
        else:
            feed, val = open_feed(config, trainer.pool, processes, options.cache, options.progress)
        trainer.run(feed, lambda: measure(network, val, progress=False, device=options.device), options.progress)
    return network.eval()


def network_run(config: TrainConfig) -> TrainConfig:
    """Returns the config of a run without what only DHPE needs: evidence epochs with their own learning rate, lifting,
    averaged weights, augmentation, half precision."""
    return replace(
        config, evidence_epochs=0, joint_learning_rate=config.learning_rate, lifting_steps=0, average=0.0,
        augment_from=None, feature_every=1, accumulate=1, precision="no",
    )  # fmt: skip


def resized(images: Float[Tensor, "b 3 h w"], size: int) -> Float[Tensor, "b 3 s s"]:
    if images.shape[-2:] == (size, size):
        return images
    return functional.interpolate(images, (size, size), mode="bilinear", antialias=True)


def best_learning_rate(
    fit: Callable[[TrainConfig, Path], object], config: TrainConfig, out: Path, factors: tuple[float, ...]
) -> TrainConfig:
    """Tunes the learning rates, for every method alike; returns the config with both times the best factor.

    fit: trains with a config in a folder. The criterion is the joint error on the validation hands, or the mean IoU for
    a method without joints. The runs stay in `out` and are resumed like any other. To save time, give it a config of
    fewer epochs. `ValueError` where the validation hands have no masks for such a method.
    """

    def error_of(factor: float) -> float:
        folder = out / f"rate-times-{factor:g}"
        fit(with_rates_times(config, factor), folder)
        row = read_log(folder)[-1]
        if not row.keys() & {"val_joints_root_mean_mm", "val_mean_iou"}:
            raise ValueError(
                "the validation hands have no masks to choose by: name a data set with masks first in --data"
            )
        return row["val_joints_root_mean_mm"] if "val_joints_root_mean_mm" in row else -row["val_mean_iou"]

    errors = errors_of_each(factors, error_of)
    return with_rates_times(config, min(errors, key=errors.__getitem__))


def errors_of_each(rates: tuple[float, ...], error_of: Callable[[float], float]) -> dict[float, float]:
    """Returns the error at each rate, without those that diverge. Raises `FloatingPointError` if all do."""
    errors, reason = {}, None
    for rate in rates:
        try:
            errors[rate] = error_of(rate)
        except FloatingPointError as error:  # another rate may not diverge
            reason = error
    if not errors:
        raise reason
    return errors


def with_rates_times(config: TrainConfig, factor: float) -> TrainConfig:
    rates = (config.learning_rate * factor, config.joint_learning_rate * factor)
    return replace(config, learning_rate=rates[0], joint_learning_rate=rates[1])
