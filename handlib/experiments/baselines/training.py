"""The one trainer of all baselines that have weights: AdamW, a cosine, the pictures and epochs of a `TrainConfig`.

A network has `loss(images, batch) -> (loss, terms)` and is a `Method`. A run is a folder: `config.json`, `log.jsonl`
(one line an epoch) and `state.pt`, which holds all that is needed to go on, so a run is never half written.
"""

import json
import math
import os
import pickle
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional
from tqdm.auto import tqdm

from ...data import CachedHands
from ...support.files import atomic_path
from ...training.feed import training_hands
from ...training.train import TrainConfig, color_noise, jitter_colors, read_log, schedule
from .evaluation import measure
from .interface import DEFAULTS, FitOptions, Method

Network = TypeVar("Network", bound=nn.Module)
FACTORS = (0.3, 1.0, 3.0)  # of the learning rates, that `best_learning_rate` tries


def train_network(
    make: Callable[[], Network], config: TrainConfig, out: str | os.PathLike[str], options: FitOptions = DEFAULTS
) -> Network:
    """Trains the network that `make` makes and returns it in evaluation mode; a finished run is loaded.

    Of the config it uses images, val_images, epochs, batch_size, learning_rate, weight_decay, warmup, gradient_clip,
    color_jitter, seed, workers, the data and the size and hand of the model; pictures are held in memory. A resumed run
    equals an uninterrupted one.
    """
    if min(config.images, config.batch_size) < 2 or config.epochs < 1:
        raise ValueError("images and batch_size must be at least 2, for batch normalisation, and epochs at least 1")
    out = Path(out)
    torch.manual_seed(config.seed)
    network = make().to(options.device)
    optimizer = torch.optim.AdamW(network.parameters(), config.learning_rate, weight_decay=config.weight_decay)
    rows, seconds = _prepare(network, optimizer, config, out, options.resume)
    if len(rows) < config.epochs:
        data, val = options.data or training_hands(config, options.cache, options.progress)
    for epoch in range(len(rows), config.epochs):
        clock = time.perf_counter()
        terms = _epoch(network, optimizer, data, config, epoch, options)
        seconds += time.perf_counter() - clock
        found = measure(network.eval(), val, progress=False, device=options.device)
        scores = {f"val_{name}": score for name, score in found.items()}
        rows.append({"epoch": epoch + 1, "minutes": round(seconds / 60, 2), **terms, **scores})
        state = {"network": network.state_dict(), "optimizer": optimizer.state_dict()}
        with atomic_path(out / "state.pt") as temporary:
            torch.save({**state, "rows": rows, "seconds": seconds}, temporary)
        _write_log(out, rows)
    return network.eval()


def network_run(config: TrainConfig) -> TrainConfig:
    """A run without what only DHPE's loop does: evidence epochs, lifting, an average of the weights, augmentation."""
    return replace(config, evidence_epochs=0, lifting_steps=0, average=0.0, augment_from=None, feature_every=1)


def _prepare(
    network: nn.Module, optimizer: torch.optim.Optimizer, config: TrainConfig, out: Path, resume: bool
) -> tuple[list[dict[str, float]], float]:
    """Makes the run's folder, or loads its state: the rows of its log and the seconds it has taken."""
    described = json.loads(json.dumps({"network": type(network).__name__, **asdict(config)}))
    if not (resume and (out / "state.pt").is_file()):
        out.mkdir(parents=True, exist_ok=True)
        (out / "state.pt").unlink(missing_ok=True)  # of a run that this one takes the place of
        with atomic_path(out / "config.json") as temporary:
            temporary.write_text(json.dumps(described, indent=1))
        _write_log(out, [])
        return [], 0.0
    try:
        found = json.loads((out / "config.json").read_text())
        state = torch.load(out / "state.pt", map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError) as error:
        raise ValueError(f"{out}: config.json or state.pt is missing or damaged: choose another folder") from error
    if found != described:
        raise ValueError(f"{out} holds a run of another config: choose another folder, or resume=False to overwrite it")
    network.load_state_dict(state["network"])
    optimizer.load_state_dict(state["optimizer"])
    _write_log(out, state["rows"])
    return state["rows"], state["seconds"]


def _write_log(out: Path, rows: list[dict[str, float]]) -> None:
    with atomic_path(out / "log.jsonl") as temporary:
        temporary.write_text("".join(json.dumps(row) + "\n" for row in rows))


def _epoch(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    data: CachedHands,
    config: TrainConfig,
    epoch: int,
    options: FitOptions,
) -> dict[str, float]:
    """One pass over the data; the mean of every loss term. Its randomness depends on seed and epoch alone."""
    generator = torch.Generator().manual_seed(config.seed * 100_003 + epoch)
    torch.manual_seed(config.seed * 100_003 + epoch)  # of dropout
    order = torch.randperm(len(data), generator=generator)
    batches = [b for b in order.split(config.batch_size) if len(b) > 1]  # batch normalisation needs two
    sums: dict[str, float] = {}
    network.train()
    bar = tqdm(batches, f"epoch {epoch + 1}/{config.epochs}", unit="batch", disable=not options.progress, leave=False)
    for step, indices in enumerate(bar):
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * schedule((epoch + step / len(batches)) / config.epochs, config.warmup)
        batch = data.batch(indices)
        noise = color_noise(len(indices), config.color_jitter, generator)
        images = jitter_colors(batch["image"], noise).to(options.device)
        loss, terms = network.loss(images, {name: value.to(options.device) for name, value in batch.items()})
        if not torch.isfinite(loss):
            raise FloatingPointError(
                f"training diverged: the loss became {loss.item()} in epoch {epoch + 1}, step {step + 1}: "
                "lower learning_rate, then run again with resume=False"
            )
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), config.gradient_clip)
        optimizer.step()
        for name, value in terms.items():
            sums[name] = sums.get(name, 0.0) + value / len(batches)
        bar.set_postfix(loss=f"{terms['loss']:.3f}")
    return sums


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
