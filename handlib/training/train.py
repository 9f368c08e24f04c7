"""Training (Sec. 3.3): one loop for DHPE and for every baseline that has weights.

`train` prepares a run of DHPE; `Trainer.run` is the loop: epochs, steps, validation, states; `DHPEObjective` is what a
step of DHPE minimizes. Data come from a feed (feed.py), files go to a folder (checkpoint.py), and several devices are
called by processes.py.

What a step does depends on the config, the epoch and the step alone, and on the state before it: no random number
outlives a step. So a run that was killed and resumed equals one that was not, bit for bit on the CPU.
"""

import json
import math
import os
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from tqdm.auto import tqdm

from ..camera import px_to_crop
from ..data import BuiltinBackgrounds, open_backgrounds
from ..dhpe import DHPE
from ..evaluation.evaluate import evaluate
from ..losses import heatmap_loss
from ..output import DHPEOutput
from ..support.locks import Busy, alone_in
from .average import Average
from .checkpoint import RunFolder, read_log
from .colors import color_noise, jitter_colors
from .feed import Feed, Pool, open_feed
from .first_weights import first_weights, warm_start
from .loss import dhpe_loss
from .processes import Processes
from .profiles import PROFILES, TrainConfig, preset

__all__ = [
    "PROFILES",
    "TrainConfig",
    "Trainer",
    "color_noise",
    "jitter_colors",
    "preset",
    "read_log",
    "schedule",
    "train",
    "warm_start",
]

# (trainer, images, batch, which of the images are from the data sets) → loss, and its terms for the log
Objective = Callable[["Trainer", Tensor, dict[str, Tensor], Tensor], tuple[Tensor, dict[str, Tensor | float]]]


def train(
    config: TrainConfig,
    out: str | os.PathLike[str],
    resume: bool = True,
    cache: str | os.PathLike[str] | None = None,
    progress: bool = True,
    each_epoch: Callable[[], object] | None = None,
) -> DHPE:
    """Trains a DHPE and returns it in evaluation mode.

    out: the run's folder. resume: go on where an interrupted run of the same config stopped; a finished run is loaded.
    cache: folder that keeps the rendered hands for other runs. each_epoch: called after every epoch, to look at the
    log for example (`curves.live_curve`).

    In a script of your own, call it under `if __name__ == "__main__":` where `workers` is not 0: they may import it.

    `ValueError` for an invalid config, or a folder that cannot be used. `FloatingPointError` when the loss is no longer
    a number; the batch at which that happened is kept in the folder.
    """
    config.check()
    processes, folder = Processes(config.device, config.precision), RunFolder(out)
    progress = progress and processes.is_main
    try:
        with alone_in(out, ".training") if processes.is_main else nullcontext():
            with processes.main_first():
                state = folder.open(asdict(config), resume) if processes.is_main else folder.state()
            clock = time.perf_counter()
            torch.manual_seed(config.seed)
            model, notes = DHPE(config.model), {}
            if processes.is_main:  # the other processes are given the main one's weights
                start = config if state is None else replace(config, lifting_steps=0)
                notes = first_weights(model, start, cache, progress)
            trainer = Trainer(model, DHPEObjective(config), config, processes, folder)
            trainer.begin(state, time.perf_counter() - clock)

            def save_model() -> None:
                about = {"train": json.dumps(asdict(config)), "epochs": str(trainer.epoch), **notes}
                model.save(folder.path / "model.safetensors", about)

            if trainer.epoch < config.epochs:
                feed, val = open_feed(config, trainer.pool, processes, cache, progress)
                trainer.run(feed, lambda: evaluate(model, val, progress=False), progress, save_model, each_epoch)
            trainer.average.apply()
            if processes.is_main and not (folder.path / "model.safetensors").is_file():
                save_model()  # the run was stopped after it had written the state of its last epoch
            processes.wait()
            return model.eval()
    except Busy:
        raise ValueError(f"another process is training in {out}: wait for it, or choose another folder") from None


class Trainer:
    """A network in training: its weights, the optimizer's, and how far it has come."""

    def __init__(
        self, model: nn.Module, objective: Objective, config: TrainConfig, processes: Processes, folder: RunFolder
    ):
        self.objective, self.config, self.processes, self.folder = objective, config, processes, folder
        self.model = processes.prepared(model)
        self.optimizer = processes.optimizer(
            torch.optim.AdamW(model.parameters(), config.learning_rate, weight_decay=config.weight_decay, fused=True)
        )
        self.average = Average(self.model, config.average)
        self.pool = Pool(config.augment_cap)
        self.pool_at_start = 0  # rows of the pool when the epoch began: those it trains on
        self.epoch, self.step, self.seconds = 0, 0, 0.0
        self.sums: dict[str, Tensor] = {}  # of the terms of the epoch's steps so far

    def run(
        self,
        feed: Feed,
        validate: Callable[[], dict[str, float]],
        progress: bool = True,
        save_model: Callable[[], object] | None = None,
        each_epoch: Callable[[], object] | None = None,
    ) -> None:
        """The epochs that are left; each ends with a validation, a row of the log and a state."""
        while self.epoch < self.config.epochs:
            row = self.run_epoch(feed, progress)
            if self.processes.is_main:
                with self.average.applied(), self.processes.autocast():
                    scores = validate()
                    # The state comes last, since a row and a model without their state are made again.
                    self.folder.log(row | {f"val_{name}": score for name, score in scores.items()})
                    if save_model is not None:
                        save_model()
                    self.save()
            self.processes.wait()
            if each_epoch is not None and self.processes.is_main:
                each_epoch()

    def run_epoch(self, feed: Feed, progress: bool) -> dict[str, float]:
        """The steps of the epoch that are left; the mean of every loss term over all of them."""
        config, processes = self.config, self.processes
        if not self.step:
            self.sums, self.pool_at_start = {}, len(self.pool)
        plan = self.plan(len(feed))
        started, begun, saved = time.perf_counter(), self.seconds, time.perf_counter()
        self.model.train()
        left = range(self.step, len(plan))
        batches = feed.batches([processes.share(plan[step]) for step in left])
        bar = tqdm(left, f"epoch {self.epoch + 1}/{config.epochs}", unit="batch", disable=not progress, leave=False,
                   initial=self.step, total=len(plan))  # fmt: skip
        for step, batch in zip(bar, batches, strict=True):
            rate = self.rate(step / len(plan))
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

    def plan(self, images: int) -> list[Tensor]:
        """The indices of every batch of this epoch: the images and what the pool held when the epoch began."""
        order = torch.randperm(images + self.pool_at_start, generator=self.generator(step=None))
        least = max(2, self.processes.count)  # batch normalization needs two, every process one
        return [
            torch.cat([part[part < images], part[part >= images]])
            for part in order.split(self.config.batch_size)
            if len(part) >= least
        ]

    def rate(self, done: float) -> float:
        """The learning rate where `done` of the epoch is behind. Each of the two stages has a schedule of its own."""
        config = self.config
        if self.epoch < config.evidence_epochs:
            first, last, peak = 0, config.evidence_epochs, config.learning_rate
        else:
            first, last, peak = config.evidence_epochs, config.epochs, config.joint_learning_rate
        return peak * schedule((self.epoch - first + done) / (last - first), config.warmup)

    def train_step(self, batch: dict[str, Tensor], total: int, rate: float, images: int) -> dict[str, Tensor]:
        """One step of the optimizer on this process' part of a batch of `total`, of which the first `images` are images
        and the others rows of the pool; the mean loss terms of the whole batch."""
        config, processes = self.config, self.processes
        self.generator(processes.index, globally=True)  # for dropout, where there is any
        noise = processes.share(color_noise(total, config.color_jitter, self.generator()))
        share = processes.share(torch.arange(total))
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad()
        sums: dict[str, Tensor] = {}
        for part in torch.arange(len(share)).tensor_split(min(config.accumulate, len(share))):
            rows = {name: value[part[0] : part[-1] + 1] for name, value in batch.items()}
            pictures = jitter_colors(rows["image"], noise[part[0] : part[-1] + 1])
            with processes.autocast():
                loss, terms = self.objective(self, pictures, rows, share[part] < images)
            weight = len(part) / total
            processes.backward(loss * weight)
            for name, value in terms.items():
                sums[name] = sums.get(name, 0.0) + weight * torch.as_tensor(value, dtype=torch.float64).detach()
        means = processes.sum(torch.stack([v.to(processes.device) for v in sums.values()]))
        terms = dict(zip(sums, means, strict=True))
        processes.reduce_gradients(self.optimizer)
        norm = processes.clip(self.optimizer, config.gradient_clip)
        if not torch.isfinite(terms["loss"]) or not (config.precision == "fp16" or torch.isfinite(norm)):
            raise self.diverged(batch, float(terms["loss"]), float(norm))
        self.optimizer.step()
        self.average.update()
        return terms

    def generator(self, *numbers: int, step: int | None = -1, globally: bool = False) -> torch.Generator:
        """Random numbers of this epoch and step (None: of the epoch), and of further numbers; with `globally` they are
        torch's own from here on."""
        numbers = (self.config.seed, self.epoch, *(() if step is None else (self.step,)), *numbers)
        seed = 0
        for number in numbers:
            seed = (seed * 1_000_003 + number + 1) % (1 << 62)
        return torch.manual_seed(seed) if globally else torch.Generator().manual_seed(seed)

    def diverged(self, batch: dict[str, Tensor], loss: float = math.nan, norm: float = math.nan) -> FloatingPointError:
        """What to raise when a step has no number for an answer; its batch is kept in the run's folder."""
        path = self.folder.save_batch(batch, self.processes.index)
        config = self.config
        joint = self.epoch >= config.evidence_epochs and config.joint_learning_rate != config.learning_rate
        option = "joint-" if joint else ""
        what = f"gradient became {norm}" if math.isfinite(loss) else f"loss became {loss}"
        return FloatingPointError(
            f"training diverged: the {what} in epoch {self.epoch + 1}, step {self.step + 1}: lower "
            f"--{option}learning-rate, then run again with --no-resume; the batch, to look at, is {path}"
        )

    # ---- states

    def begin(self, state: dict | None, seconds: float = 0.0) -> None:
        """Goes on from a state that `save` wrote, or saves the first; `seconds` is what it took to get there."""
        if state is None:
            self.seconds = seconds
            self.save()
            return
        try:
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            for name, value in self.average.weights.items():
                value.copy_(state["average"][name])
        except (RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"{self.folder.path / 'state.pt'}: does not fit the run's config; choose another folder, or "
                "--no-resume to start anew"
            ) from error
        self.epoch, self.step, self.average.updates = state["epoch"], state["step"], state["updates"]
        self.seconds, self.sums, self.pool_at_start = state["seconds"], state["sums"], state["pool_at_start"]
        with self.processes.main_first():
            self.pool.restore(self.folder.rows(state["rows"]))

    def save(self) -> None:
        """Writes the state, from which `begin` goes on."""
        rows = self.pool.unsaved()
        if self.processes.is_main:
            state = {
                "model": self.average.in_training(), "optimizer": self.optimizer.state_dict(),
                "average": self.average.weights, "updates": self.average.updates, "sums": self.sums,
                "epoch": self.epoch, "step": self.step, "seconds": self.seconds, "rows": len(self.pool),
                "pool_at_start": self.pool_at_start,
            }  # fmt: skip
            self.folder.save(state, rows)


class DHPEObjective:
    """The loss of a step of DHPE's training, whose epoch and step the trainer knows.

    Eq. 7, or, in an evidence epoch, Eq. 3 alone of J2D alone: the pre-trained J2D that the paper starts from.
    """

    def __init__(self, config: TrainConfig):
        self.config = config
        self.backgrounds = open_backgrounds(config.backgrounds) if config.backgrounds else None  # of augmented hands

    def __call__(
        self,
        trainer: Trainer,
        images: Float[Tensor, "b 3 s s"],
        batch: dict[str, Tensor],
        original: Bool[Tensor, " b"],
    ) -> tuple[Float[Tensor, ""], dict[str, Tensor | float]]:
        """original: which are images of the data sets, not rows of the pool."""
        config, model = self.config, trainer.model
        if trainer.epoch < config.evidence_epochs:
            joints = px_to_crop(batch["joints_px"], config.model.size)
            stages = [heatmap_loss(maps, joints) for maps in model.heatmaps(images)]
            loss = config.loss.heatmap * sum(stages) / len(stages)
            return loss, {"loss": loss.detach(), "heatmap": stages[-1].detach()}
        output = model(images)
        if trainer.processes.sum((~torch.isfinite(output.h)).any().float()):  # nothing that could be rendered
            raise trainer.diverged(batch | {"image": images})
        every = config.feature_every
        weights = replace(config.loss, feature=config.loss.feature * every * (trainer.step % every == 0))
        loss, terms = dhpe_loss(model, output, images, batch, weights)
        if every > 1:  # so that the mean over the steps is that of the term
            terms["feature"] = terms["feature"] * every
        first, due = config.augment_from, trainer.step % config.augment_every == 0
        if first is not None and trainer.epoch >= first and due and not trainer.pool.full:
            self._augment(trainer, output, batch, original)
        return loss, terms

    def _augment(self, trainer: Trainer, output: DHPEOutput, batch: dict[str, Tensor], original: Tensor) -> None:
        """Sec. 3.5: new instances from the estimates on these images join the pool; the pool's own are no seeds.

        They wear the colors of the images before jitter, since they get one of their own each time they are drawn.
        """
        from ..augmentation import augment

        original = original.to(batch["image"].device)
        estimates = output.map(lambda tensor: tensor.detach()[original])
        rows = {name: value[original] for name, value in batch.items()}
        generator = trainer.generator(1 + trainer.processes.index)
        backgrounds = BuiltinBackgrounds("train") if self.backgrounds is None else self.backgrounds
        instances = augment(trainer.model, estimates, rows["image"], rows, generator, backgrounds)
        for rows in trainer.processes.gather(instances):
            trainer.pool.add(rows)


def schedule(progress: float, warmup: float) -> float:
    """Learning-rate factor: a linear rise, then half a cosine to zero."""
    if progress < warmup:
        return (progress + 1e-3) / warmup
    return 0.5 * (1 + math.cos(math.pi * (progress - warmup) / (1 - warmup)))
