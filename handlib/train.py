"""Joint training of evidence and regressor (Sec. 3.3): one readable loop, resumable after every epoch.

A run is a folder: `config.json`, `log.jsonl` (one line an epoch), `state.pt` (to resume) and `model.safetensors`.
"""

import json
import math
import os
import pickle
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
import tyro
from torch import Tensor
from tqdm.auto import tqdm

from .camera import px_to_crop
from .data import CachedHands, SyntheticHands
from .dhpe import DHPE, DHPEConfig
from .evaluate import evaluate
from .files import atomic_path
from .lifting import pretrain_regressor
from .losses import LossWeights, dhpe_loss, heatmap_loss


@dataclass(frozen=True)
class TrainConfig:
    """One training run. A profile is a preset of this; every field can be overridden on the command line."""

    images: int = 1200  # synthetic training hands, rendered once before the first epoch
    val_images: int = 200  # measured after every epoch
    epochs: int = 8  # in all
    evidence_epochs: int = (
        3  # of these the first ones, which train J2D alone: the paper's starts from published weights
    )
    batch_size: int = 16
    lifting_steps: int = 1000  # pre-training of the regressor on skeletons alone (lifting.py); 0: as in the paper
    learning_rate: float = 1e-3  # of the evidence epochs
    joint_learning_rate: float = 3e-4  # of the joint epochs; a larger one undoes what lifting has taught
    weight_decay: float = 1e-4
    warmup: float = 0.05  # fraction of the steps of a stage; then a cosine down to nothing
    gradient_clip: float = 1.0
    color_jitter: float = 0.15  # standard deviation of the gain and the offset of each colour channel
    seed: int = 0
    workers: int = 2  # processes that render
    profile: tyro.conf.Suppress[str] = "laptop"  # the preset this is, for the record; not an option of its own
    model: DHPEConfig = field(default_factory=DHPEConfig)
    loss: LossWeights = field(default_factory=LossWeights)


PROFILES = {
    "smoke": TrainConfig(
        images=32, val_images=16, epochs=2, evidence_epochs=0, lifting_steps=2, workers=0, profile="smoke",
        model=DHPEConfig(size=64, feature_width=4, features=32, pose_width=4, hidden=32),
    ),
    "laptop": TrainConfig(),
}  # fmt: skip


def train(
    config: TrainConfig,
    out: str | os.PathLike[str],
    resume: bool = True,
    cache: str | os.PathLike[str] | None = None,
    progress: bool = True,
) -> DHPE:
    """Trains a DHPE and returns it in evaluation mode.

    out: the run's folder. resume: go on where an interrupted run of the same config stopped; a finished run is loaded.
    cache: folder that keeps the rendered hands for other runs.
    """
    if min(config.images, config.batch_size) < 2:
        raise ValueError("images and batch_size must be at least 2: batch normalisation needs two")
    if config.evidence_epochs >= max(config.epochs, 1):
        raise ValueError("epochs must be more than evidence_epochs, or the regressor would never see a picture")
    out = Path(out)
    start = _prepare(config, out, resume)
    torch.manual_seed(config.seed)
    model = DHPE(config.model)
    optimizer = torch.optim.AdamW(model.parameters(), config.learning_rate, weight_decay=config.weight_decay)
    seconds = 0.0
    if start is not None:
        model.load_state_dict(start["model"])
        optimizer.load_state_dict(start["optimizer"])
        seconds = start["seconds"]
    elif config.lifting_steps:
        clock = time.perf_counter()
        pretrain_regressor(model, config.lifting_steps, config.loss, seed=config.seed, progress=progress)
        seconds += time.perf_counter() - clock
        _save_state(model, optimizer, out, 0, seconds)
    first = 0 if start is None else start["epoch"]
    if first < config.epochs:
        size = config.model.size
        data = CachedHands.make(
            SyntheticHands("train", size, config.images, hand=model.hand), config.workers, cache, progress
        )
        val = CachedHands.make(
            SyntheticHands("val", size, config.val_images, hand=model.hand), config.workers, cache, progress
        )
    for epoch in range(first, config.epochs):
        clock = time.perf_counter()
        terms = _epoch(model, optimizer, data, config, epoch, progress)
        seconds += time.perf_counter() - clock
        scores = {f"val_{name}": score for name, score in evaluate(model, val, progress=False).items()}
        row = {"epoch": epoch + 1, "minutes": round(seconds / 60, 2), **terms, **scores}
        with open(out / "log.jsonl", "a") as log:
            log.write(json.dumps(row) + "\n")
        _save_state(model, optimizer, out, epoch + 1, seconds)
        _save(model, config, out, epoch + 1)
    if not (out / "model.safetensors").is_file():  # stopped after the state of the last epoch was written
        _save(model, config, out, config.epochs)
    return model.eval()


def _save_state(model: DHPE, optimizer: torch.optim.Optimizer, out: Path, epoch: int, seconds: float) -> None:
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": epoch, "seconds": seconds}
    with atomic_path(out / "state.pt") as temporary:
        torch.save(state, temporary)


def _save(model: DHPE, config: TrainConfig, out: Path, epochs: int) -> None:
    model.save(out / "model.safetensors", {"train": json.dumps(asdict(config)), "epochs": str(epochs)})


def _prepare(config: TrainConfig, out: Path, resume: bool) -> dict | None:
    """Makes the run's folder; returns the state to go on from, if there is one."""
    out.mkdir(parents=True, exist_ok=True)
    described = json.loads(json.dumps(asdict(config)))
    if resume and (out / "state.pt").is_file():
        if _read(out / "config.json", lambda path: json.loads(path.read_text())) != described:
            raise ValueError(
                f"{out} holds a run of another config: choose another folder, or --no-resume to overwrite it"
            )
        state = _read(out / "state.pt", lambda path: torch.load(path, weights_only=True))
        _trim_log(out / "log.jsonl", state["epoch"])
        return state
    with atomic_path(out / "config.json") as temporary:
        temporary.write_text(json.dumps(described, indent=1))
    (out / "log.jsonl").write_text("")
    return None


def _read(path: Path, reader: Callable[[Path], Any]) -> Any:
    try:
        return reader(path)
    except (OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError) as error:
        raise ValueError(f"{path}: missing or damaged; choose another folder, or --no-resume to start anew") from error


def _trim_log(path: Path, epochs: int) -> None:
    """Drops the line of an epoch whose state was never written: it is about to be made again."""
    lines = path.read_text().splitlines()[:epochs]
    with atomic_path(path) as temporary:
        temporary.write_text("".join(line + "\n" for line in lines))


def read_log(out: str | os.PathLike[str]) -> list[dict[str, float]]:
    """The rows of a run's log, one an epoch."""
    return [json.loads(line) for line in (Path(out) / "log.jsonl").read_text().splitlines()]


def _epoch(
    model: DHPE,
    optimizer: torch.optim.Optimizer,
    data: CachedHands,
    config: TrainConfig,
    epoch: int,
    progress: bool,
) -> dict[str, float]:
    """One pass over the data; the mean of every loss term. Its randomness depends on seed and epoch alone."""
    generator = torch.Generator().manual_seed(config.seed * 100_003 + epoch)
    order = torch.randperm(len(data), generator=generator)
    batches = [b for b in order.split(config.batch_size) if len(b) > 1]  # batch normalisation needs two
    evidence_alone = epoch < config.evidence_epochs
    # Each of the two stages has a learning-rate schedule of its own.
    first, last = (0, config.evidence_epochs) if evidence_alone else (config.evidence_epochs, config.epochs)
    peak = config.learning_rate if evidence_alone else config.joint_learning_rate
    sums: dict[str, float] = {}
    model.train()
    bar = tqdm(batches, f"epoch {epoch + 1}/{config.epochs}", unit="batch", disable=not progress, leave=False)
    for step, indices in enumerate(bar):
        done = (epoch - first + step / len(batches)) / (last - first)
        for group in optimizer.param_groups:
            group["lr"] = peak * schedule(done, config.warmup)
        batch = data.batch(indices)
        images = jitter_colors(batch["image"], config.color_jitter, generator)
        loss, terms = (_evidence_loss if evidence_alone else _joint_loss)(model, images, batch, config.loss)
        if not torch.isfinite(loss):
            raise FloatingPointError(
                f"training diverged: the loss became {loss.item()} in epoch {epoch + 1}, step {step + 1}: "
                f"lower --{'' if evidence_alone else 'joint-'}learning-rate, then run again with --no-resume"
            )
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), config.gradient_clip)
        optimizer.step()
        for name, value in terms.items():
            sums[name] = sums.get(name, 0.0) + value / len(batches)
        bar.set_postfix(loss=f"{terms['loss']:.3f}")
    model.eval()
    return sums


def _joint_loss(
    model: DHPE, images: Tensor, batch: dict[str, Tensor], weights: LossWeights
) -> tuple[Tensor, dict[str, float]]:
    """Eq. 7; NaN, without rendering, where the estimate itself is not finite."""
    output = model(images)
    if not torch.isfinite(output.h).all():
        return output.h.sum() * torch.nan, {}
    return dhpe_loss(model, output, images, batch, weights)


def _evidence_loss(
    model: DHPE, images: Tensor, batch: dict[str, Tensor], weights: LossWeights
) -> tuple[Tensor, dict[str, float]]:
    """Eq. 3 alone, of J2D alone: stands for the pre-trained J2D that the paper starts from."""
    joints = px_to_crop(batch["joints_px"], model.config.size)
    loss = heatmap_loss(model.pose_network(images), joints)
    return weights.heatmap * loss, {"loss": weights.heatmap * loss.item(), "heatmap": loss.item()}


def schedule(progress: float, warmup: float) -> float:
    """Learning-rate factor: a linear rise, then half a cosine to zero."""
    if progress < warmup:
        return (progress + 1e-3) / warmup
    return 0.5 * (1 + math.cos(math.pi * (progress - warmup) / (1 - warmup)))


def jitter_colors(images: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Another exposure and white balance for every image."""
    noise = torch.randn(2, len(images), 3, 1, 1, generator=generator).clamp(-2, 2) * strength
    return (images * (1 + noise[0]) + 0.3 * noise[1]).clamp(0, 1)


def preset(profile: str, **overrides) -> TrainConfig:
    """A profile's config with some fields changed."""
    if profile not in PROFILES:
        raise ValueError(f"unknown profile '{profile}': choose one of {', '.join(PROFILES)}")
    return replace(PROFILES[profile], **overrides)
