"""The training loop: steps, epochs, and the state between them.

What a step does depends on the config, the epoch and the step alone, and on the state before it: no random number
outlives a step. So a run that was killed and resumed equals one that was not, bit for bit on the CPU; and one of
several processes equals one of one, to rounding (processes.py).
"""

import json
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace

import torch
from jaxtyping import Float
from torch import Tensor
from tqdm.auto import tqdm

from ..camera import px_to_crop
from ..data import BuiltinBackgrounds, open_backgrounds
from ..dhpe import DHPE
from ..hand import HandOutput
from ..losses import dhpe_loss, heatmap_loss
from ..output import DHPEOutput, Iteration, detached
from .checkpoint import RunFolder
from .feed import Feed, Pool
from .processes import Processes, share_batch_norm
from .profiles import TrainConfig


class Trainer:
    """A model in training: its weights, the optimiser's, and how far it has come."""

    def __init__(
        self, model: DHPE, config: TrainConfig, processes: Processes, folder: RunFolder, notes: dict[str, str]
    ):
        """notes: for the checkpoints, beside the config."""
        self.model, self.config, self.processes, self.folder, self.notes = model, config, processes, folder, notes
        if processes.count > 1:
            share_batch_norm(model)
        model.to(processes.device)
        processes.equalise([*model.parameters(), *model.buffers()])
        optimizer = torch.optim.AdamW(
            model.parameters(), config.learning_rate, weight_decay=config.weight_decay, fused=True
        )
        self.optimizer = processes.optimizer(optimizer)
        self.average = {k: v.clone() for k, v in self._weights().items()} if config.average else {}
        self.pool = Pool(config.augment_cap)
        self.backgrounds = open_backgrounds(config.backgrounds) if config.backgrounds else None  # of augmented hands
        self.epoch, self.step, self.updates, self.seconds = 0, 0, 0, 0.0
        self.pool_at_start = 0  # rows of the pool when the epoch began: those it trains on
        self.sums: dict[str, Tensor] = {}  # of the terms of the epoch's steps so far
        self._replaced: dict[str, Tensor] = {}  # the weights in training, while `averaged` has taken their place

    def _weights(self) -> dict[str, Tensor]:
        return {k: v for k, v in self.model.state_dict().items() if not k.startswith("hand.")}

    # ---- states

    def save(self) -> None:
        """Writes the state, from which `restore` goes on."""
        rows = self.pool.unsaved()
        if self.processes.is_main:
            state = {
                "model": self._weights() | self._replaced, "optimizer": self.optimizer.state_dict(),
                "average": self.average, "sums": self.sums, "epoch": self.epoch, "step": self.step,
                "updates": self.updates, "rows": len(self.pool), "pool_at_start": self.pool_at_start,
                "seconds": self.seconds,
            }  # fmt: skip
            self.folder.save(state, rows)

    def restore(self, state: dict) -> None:
        """Goes on from a state that `save` wrote."""
        try:
            _load(self.model, state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            for name, value in self.average.items():
                value.copy_(state["average"][name])
        except (RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"{self.folder.path / 'state.pt'}: does not fit the run's config; choose another folder, or "
                "--no-resume to start anew"
            ) from error
        self.epoch, self.step, self.updates = state["epoch"], state["step"], state["updates"]
        self.seconds, self.sums, self.pool_at_start = state["seconds"], state["sums"], state["pool_at_start"]
        with self.processes.main_first():
            self.pool.restore(self.folder.rows(state["rows"]))

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Inside, the model has the averaged weights, if there are any; the state keeps those in training."""
        if self.average:
            self._replaced = {k: v.clone() for k, v in self._weights().items()}
        self.use_average()
        try:
            yield
        finally:
            if self._replaced:
                _load(self.model, self._replaced)
            self._replaced = {}

    def use_average(self) -> None:
        if self.average:
            _load(self.model, self.average)

    def save_model(self) -> None:
        notes = {"train": json.dumps(asdict(self.config)), "epochs": str(self.epoch), **self.notes}
        self.model.save(self.folder.path / "model.safetensors", notes)

    # ---- steps

    def plan(self, images: int) -> list[Tensor]:
        """The indices of every batch of this epoch: the images and what the pool held when the epoch began."""
        generator = torch.Generator().manual_seed(_seed(self.config.seed, self.epoch))
        order = torch.randperm(images + self.pool_at_start, generator=generator)
        least = max(2, self.processes.count)  # batch normalisation needs two, every process one
        return [
            torch.cat([part[part < images], part[part >= images]])
            for part in order.split(self.config.batch_size)
            if len(part) >= least
        ]

    def run_epoch(self, feed: Feed, progress: bool) -> dict[str, float]:
        """The steps of the epoch that are left; the mean of every loss term over all of them."""
        config, processes = self.config, self.processes
        if not self.step:
            self.sums, self.pool_at_start = {}, len(self.pool)
        plan = self.plan(len(feed))
        started, begun, saved = time.perf_counter(), self.seconds, time.perf_counter()
        evidence_alone = self.epoch < config.evidence_epochs
        # Each of the two stages has a learning-rate schedule of its own.
        first, last = (0, config.evidence_epochs) if evidence_alone else (config.evidence_epochs, config.epochs)
        peak = config.learning_rate if evidence_alone else config.joint_learning_rate
        self.model.train()
        left = range(self.step, len(plan))
        batches = feed.batches([processes.share(plan[step]) for step in left])
        bar = tqdm(left, f"epoch {self.epoch + 1}/{config.epochs}", unit="batch", disable=not progress, leave=False,
                   initial=self.step, total=len(plan))  # fmt: skip
        for step, batch in zip(bar, batches, strict=True):
            rate = peak * schedule((self.epoch - first + step / len(plan)) / (last - first), config.warmup)
            terms = self.train_step(batch, len(plan[step]), rate, int((plan[step] < len(feed)).sum()))
            for name, value in terms.items():
                self.sums[name] = self.sums.get(name, 0.0) + value.cpu() / len(plan)
            self.step = step + 1
            self.seconds = begun + time.perf_counter() - started
            if self.step % config.log_steps == 0 and processes.is_main:
                row = {"epoch": self.epoch + 1, "step": self.step, "rate": rate, "minutes": round(self.seconds / 60, 2)}
                self.folder.log(row | {name: float(value) for name, value in terms.items()})
            if time.perf_counter() - saved > 60 * config.save_minutes and self.step < len(plan):
                self.save()
                saved = time.perf_counter()
            bar.set_postfix(loss=f"{float(terms['loss']):.3f}")
        self.model.eval()
        images = sum(len(plan[step]) for step in left) / max(self.seconds - begun, 1e-9)
        means = {name: float(value) for name, value in self.sums.items()}
        self.epoch, self.step, self.sums = self.epoch + 1, 0, {}
        row = {"epoch": self.epoch, "minutes": round(self.seconds / 60, 2), "images_per_second": round(images, 2)}
        return row | means | {"pool": len(self.pool)}

    def train_step(self, batch: dict[str, Tensor], total: int, rate: float, images: int) -> dict[str, Tensor]:
        """One step of the optimiser on this process' part of a batch of `total`, of which the first `images` are images
        and the others rows of the pool; the mean loss terms of the whole batch."""
        config, processes = self.config, self.processes
        generator = torch.Generator().manual_seed(_seed(config.seed, self.epoch, self.step))
        torch.manual_seed(_seed(config.seed, self.epoch, self.step, processes.index))  # for dropout, where there is any
        noise = processes.share(color_noise(total, config.color_jitter, generator))
        share = processes.share(torch.arange(total))
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad()
        sums: dict[str, Tensor] = {}
        parts = torch.arange(len(share)).tensor_split(min(config.accumulate, len(share)))
        for part in parts:
            rows = {name: value[part[0] : part[-1] + 1] for name, value in batch.items()}
            pictures = jitter_colors(rows["image"], noise[part[0] : part[-1] + 1])
            with processes.autocast():
                loss, terms = self._loss(pictures, rows, share[part] < images)
            weight = len(part) / total
            processes.backward(loss * weight)
            for name, value in terms.items():
                sums[name] = sums.get(name, 0.0) + weight * torch.as_tensor(value, dtype=torch.float64).detach()
        means = processes.sum(torch.stack([v.to(processes.device) for v in sums.values()]))
        terms = dict(zip(sums, means, strict=True))
        processes.reduce_gradients(self.optimizer)
        norm = processes.clip(self.optimizer, config.gradient_clip)
        if not torch.isfinite(terms["loss"]) or not (config.precision == "fp16" or torch.isfinite(norm)):
            raise self._diverged(float(terms["loss"]), float(norm), batch)
        self.optimizer.step()
        self._update_average()
        return terms

    def _loss(
        self, images: Tensor, batch: dict[str, Tensor], seeds: Tensor
    ) -> tuple[Tensor, dict[str, Tensor | float]]:
        """Eq. 7, or, in an evidence epoch, Eq. 3 alone of J2D alone: the pre-trained J2D that the paper starts from."""
        config, model = self.config, self.model
        if self.epoch < config.evidence_epochs:
            joints = px_to_crop(batch["joints_px"], config.model.size)
            stages = [heatmap_loss(maps, joints) for maps in model.heatmaps(images)]
            loss = config.loss.heatmap * sum(stages) / len(stages)
            return loss, {"loss": loss.detach(), "heatmap": stages[-1].detach()}
        output = model(images)
        if self.processes.sum((~torch.isfinite(output.h)).any().float()):  # nothing that could be rendered
            raise self._diverged(math.nan, math.nan, batch | {"image": images})
        every = config.feature_every
        weights = replace(config.loss, feature=config.loss.feature * every * (self.step % every == 0))
        loss, terms = dhpe_loss(model, output, images, batch, weights)
        if every > 1:  # so that the mean over the steps is that of the term
            terms["feature"] = terms["feature"] * every
        if self._augments():
            self._augment(output, batch, seeds)
        return loss, terms

    def _augments(self) -> bool:
        config = self.config
        began = config.augment_from is not None and self.epoch >= config.augment_from
        return began and self.step % config.augment_every == 0 and not self.pool.full

    def _augment(self, output: DHPEOutput, batch: dict[str, Tensor], seeds: Tensor) -> None:
        """Sec. 3.5: new instances from the estimates on these images join the pool; the pool's own are no seeds.

        They wear the colors of the images before jitter, since they get one of their own each time they are drawn.
        """
        from ..augmentation import augment

        number = _seed(self.config.seed, self.epoch, self.step, 1 + self.processes.index)
        generator = torch.Generator().manual_seed(number)
        seeds = seeds.to(batch["image"].device)
        rows = {name: value[seeds] for name, value in batch.items()}
        estimates = taken(detached(output), seeds)
        backgrounds = BuiltinBackgrounds("train") if self.backgrounds is None else self.backgrounds
        found = augment(self.model, estimates, rows["image"], rows, generator, backgrounds)
        for rows in self.processes.gather(found):
            self.pool.add(rows)

    def _update_average(self) -> None:
        """A shorter memory at first, so that the random start is soon forgotten."""
        if not self.average:
            return
        now = self._weights()
        self.updates += 1
        keep = min(self.config.average, (1 + self.updates) / (10 + self.updates))
        for name, value in self.average.items():
            if value.is_floating_point():
                value.lerp_(now[name], 1 - keep)
            else:
                value.copy_(now[name])

    def _diverged(self, loss: float, gradient: float, batch: dict[str, Tensor]) -> FloatingPointError:
        path = self.folder.save_batch(batch, self.processes.index)
        option = "" if self.epoch < self.config.evidence_epochs else "joint-"
        what = f"gradient became {gradient}" if math.isfinite(loss) else f"loss became {loss}"
        return FloatingPointError(
            f"training diverged: the {what} in epoch {self.epoch + 1}, step {self.step + 1}: lower "
            f"--{option}learning-rate, then run again with --no-resume; the batch, to look at, is {path}"
        )


def _load(model: DHPE, weights: dict[str, Tensor]) -> None:
    """Everything but the hand model, of which a state holds nothing."""
    missing, unexpected = model.load_state_dict(weights, strict=False)
    wrong = [name for name in missing if not name.startswith("hand.")] + unexpected
    if wrong:
        raise ValueError(f"weights that do not fit: {', '.join(wrong[:3])}")


def taken(output: DHPEOutput, rows: Tensor) -> DHPEOutput:
    """The estimates of some images of the batch."""

    def part(value):
        if isinstance(value, Tensor):
            return value[rows]
        if isinstance(value, HandOutput):
            return HandOutput(*map(part, value))
        if isinstance(value, Iteration):
            return Iteration(*(part(field) for field in vars(value).values()))
        if isinstance(value, tuple):
            return tuple(map(part, value))
        return value

    return DHPEOutput(**{name: part(value) for name, value in vars(output).items()})


def _seed(*numbers: int) -> int:
    """One seed for a few small numbers."""
    seed = 0
    for number in numbers:
        seed = (seed * 1_000_003 + number + 1) % (1 << 62)
    return seed


def schedule(progress: float, warmup: float) -> float:
    """Learning-rate factor: a linear rise, then half a cosine to zero."""
    if progress < warmup:
        return (progress + 1e-3) / warmup
    return 0.5 * (1 + math.cos(math.pi * (progress - warmup) / (1 - warmup)))


def color_noise(n: int, strength: float, generator: torch.Generator) -> Float[Tensor, "{n} 2 3"]:
    """Another exposure and white balance for each of n images: what its channels' gains and offsets differ by."""
    return torch.randn(n, 2, 3, generator=generator).clamp(-2, 2) * strength


def jitter_colors(images: Float[Tensor, "b 3 h w"], noise: Float[Tensor, "b 2 3"]) -> Float[Tensor, "b 3 h w"]:
    """The images in other colours (`color_noise`)."""
    gain, offset = noise.to(images)[..., None, None].unbind(1)
    return (images * (1 + gain) + 0.3 * offset).clamp(0, 1)
