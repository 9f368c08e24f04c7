"""Training (Sec. 3.3): one loop for DHPE and for every baseline that has weights.

`train` prepares a run of DHPE. `Trainer.run` is the loop of epochs, steps, validation and states. `DHPEObjective` is
what a step of DHPE minimizes. Data come from feed.py, files are written by checkpoint.py, and processes.py handles
several devices.

A step depends only on the config, the epoch, the step and the state before it, because every step seeds its own random
numbers. A run that was killed and resumed therefore equals one that was not, bit for bit on the CPU.
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
from ..evaluation.feature_controls import feature_controls, verdict_on_features
from ..losses import heatmap_loss
from ..output import DHPEOutput
from ..support.locks import Busy, alone_in
from .average import Average
from .checkpoint import RunFolder, read_log
from .colors import color_noise, jitter_colors
from .feed import Feed, Pool, open_feed
from .first_weights import first_weights
from .loss import dhpe_loss
from .processes import Processes
from .profiles import PROFILES, TrainConfig, preset, schedule

__all__ = ["PROFILES", "TrainConfig", "Trainer", "preset", "read_log", "schedule", "train"]

# (trainer, images, batch, which images come from the data sets) → loss, and its terms for the log
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

    out: folder of the run. resume: continue an interrupted run of the same config; a finished run is loaded. cache:
    folder that keeps rendered hands for other runs. each_epoch: called after every epoch, for example to draw the log
    (`curves.live_curve`).

    In a script, call it under `if __name__ == "__main__":` unless `workers` is 0, since workers may import the script.

    Raises `ValueError` for an invalid config or a folder that cannot be used, and `FloatingPointError` when the loss
    becomes NaN or infinite; the batch is then saved in the folder.
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
            model, notes = DHPE(config.model, published=state is None), (state or {}).get("notes")
            if processes.is_main and notes is None:  # the others get the weights of the main process
                start = config if state is None else replace(config, lifting_steps=0)  # a state of an older version
                notes = first_weights(model, start, cache, progress)
            trainer = Trainer(model, DHPEObjective(config), config, processes, folder)
            trainer.notes = notes or {}
            trainer.begin(state, time.perf_counter() - clock)

            def save_model() -> None:
                about = {"train": json.dumps(asdict(config)), "epochs": str(trainer.epoch), **trainer.notes}
                last = read_log(out)[-1]
                if "val_shuffled_features_mm" in last:  # the validation set has roots
                    change, error = last["val_shuffled_features_mm"], last["val_joints_root_mean_mm"]
                    about["features"] = verdict_on_features(change, error)
                model.save(folder.path / "model.safetensors", about)

            if trainer.epoch < config.epochs:
                feed, val = open_feed(config, trainer.pool, processes, cache, progress)

                def validate() -> dict[str, float]:
                    return evaluate(model, val, progress=False) | feature_controls(model, val)

                trainer.run(feed, validate, progress, save_model, each_epoch)
            trainer.average.apply()
            if processes.is_main and not folder.holds(model):
                save_model()  # a disk that lost power may have kept the last state and not the model before it
            processes.wait()
            return model.eval()
    except Busy:
        raise ValueError(f"another process is training in {out}: wait for it, or choose another folder") from None


class Trainer:
    """A network in training: its weights, the optimizer's state, and the progress."""

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
        self.pool_at_start = 0  # rows of the pool at the start of the epoch, which trains on these
        self.notes: dict[str, str] = {}  # on where the first weights came from
        self.epoch, self.step, self.seconds = 0, 0, 0.0
        self.part = 0  # of the batch, where gradients are accumulated
        self.sums: dict[str, Tensor] = {}  # of the loss terms over the steps of the epoch so far

    def run(
        self,
        feed: Feed,
        validate: Callable[[], dict[str, float]],
        progress: bool = True,
        save_model: Callable[[], object] | None = None,
        each_epoch: Callable[[], object] | None = None,
    ) -> None:
        """Runs the remaining epochs; each ends with a validation, a row of the log and a state."""
        while self.epoch < self.config.epochs:
            row = self.run_epoch(feed, progress)
            if self.processes.is_main:
                with self.average.applied(), self.processes.autocast():
                    scores = validate()
                    self.folder.log(row | {f"val_{name}": score for name, score in scores.items()})
                    if save_model is not None:
                        save_model()
                self.save()  # comes last: without it, the row and the model are made again
            self.processes.wait()
            if each_epoch is not None and self.processes.is_main:
                each_epoch()

    def run_epoch(self, feed: Feed, progress: bool) -> dict[str, float]:
        """Runs the remaining steps of the epoch; returns a row of the log with the mean of every loss term."""
        config, processes = self.config, self.processes
        if not self.step:
            self.sums, self.pool_at_start = {}, len(self.pool)
        plan = self.plan(len(feed))
        started, begun, saved = time.perf_counter(), self.seconds, time.perf_counter()
        self.model.train()
        steps = range(self.step, len(plan))
        batches = feed.batches([processes.share(plan[step]) for step in steps])
        bar = tqdm(steps, f"epoch {self.epoch + 1}/{config.epochs}", unit="batch", disable=not progress, leave=False,
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
        images = sum(len(plan[step]) for step in steps) / max(self.seconds - begun, 1e-9)
        means = {name: float(value) for name, value in self.sums.items()}
        self.epoch, self.step, self.sums = self.epoch + 1, 0, {}
        row = {"epoch": self.epoch, "minutes": round(self.seconds / 60, 2), "images_per_second": round(images, 2)}
        return row | means | {"pool": len(self.pool)}

    def plan(self, images: int) -> list[Tensor]:
        """Returns the indices of every batch of this epoch: images, and rows of the pool at the epoch's start."""
        order = torch.randperm(images + self.pool_at_start, generator=self.generator(step=None))
        least = max(2, self.processes.count)  # batch normalization needs two images, every process one
        return [
            torch.cat([part[part < images], part[part >= images]])
            for part in order.split(self.config.batch_size)
            if len(part) >= least
        ]

    def rate(self, done: float) -> float:
        """Returns the learning rate after the fraction `done` of the epoch. Each of the two stages has a schedule."""
        config = self.config
        if self.epoch < config.evidence_epochs:
            first, last, peak = 0, config.evidence_epochs, config.learning_rate
        else:
            first, last, peak = config.evidence_epochs, config.epochs, config.joint_learning_rate
        return peak * schedule((self.epoch - first + done) / (last - first), config.warmup)

    def train_step(self, batch: dict[str, Tensor], total: int, rate: float, images: int) -> dict[str, Tensor]:
        """Takes one step of the optimizer; returns the mean loss terms of the whole batch.

        batch: this process's part of `total` instances, the first `images` of which are images and the others rows of
        the pool.
        """
        config, processes = self.config, self.processes
        self.generator(processes.index, globally=True)  # for dropout
        noise = processes.share(color_noise(total, config.color_jitter, self.generator()))
        share = processes.share(torch.arange(total))
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad()
        sums: dict[str, Tensor] = {}
        count = min(config.accumulate, total // processes.count)  # as many in every process
        for self.part, part in enumerate(torch.arange(len(share)).tensor_split(count)):
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
        """Returns a generator seeded by run, epoch, step (None: no step) and further numbers; with `globally`, seeds
        torch's own generator."""
        numbers = (self.config.seed, self.epoch, *(() if step is None else (self.step,)), *numbers)
        seed = 0
        for number in numbers:
            seed = (seed * 1_000_003 + number + 1) % (1 << 62)
        return torch.manual_seed(seed) if globally else torch.Generator().manual_seed(seed)

    def diverged(self, batch: dict[str, Tensor], loss: float = math.nan, norm: float = math.nan) -> FloatingPointError:
        """Saves the batch of a step that gave NaN or infinity, and returns the error to raise."""
        path = self.folder.save_batch(batch, self.processes.index)
        joint = self.epoch >= self.config.evidence_epochs
        same = self.config.joint_learning_rate == self.config.learning_rate  # some methods have only one rate
        option = " and ".join(["--learning-rate"] * (same or not joint) + ["--joint-learning-rate"] * joint)
        what = f"gradient became {norm}" if math.isfinite(loss) else f"loss became {loss}"
        return FloatingPointError(
            f"training diverged: the {what} in epoch {self.epoch + 1}, step {self.step + 1}: lower "
            f"{option}, then run again with --no-resume; the batch is saved as {path}"
        )

    # ---- states

    def begin(self, state: dict | None, seconds: float = 0.0) -> None:
        """Restores a state written by `save`, or saves the first one. seconds: the time taken before the first."""
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
                "--no-resume to start again"
            ) from error
        self.epoch, self.step, self.average.updates = state["epoch"], state["step"], state["updates"]
        self.seconds, self.sums, self.pool_at_start = state["seconds"], state["sums"], state["pool_at_start"]
        if self.processes.scaler and state.get("scaler"):  # an older version saved none
            self.processes.scaler.load_state_dict(state["scaler"])
        with self.processes.main_first():
            self.pool.restore(self.folder.rows(state["rows"]))

    def save(self) -> None:
        """Writes the state for `begin`."""
        rows = self.pool.unsaved()
        if self.processes.is_main:
            state = {
                "model": self.model.state_dict(), "optimizer": self.optimizer.state_dict(),
                "average": self.average.weights, "updates": self.average.updates, "sums": self.sums,
                "epoch": self.epoch, "step": self.step, "seconds": self.seconds, "rows": len(self.pool),
                "pool_at_start": self.pool_at_start, "notes": self.notes,
                "scaler": self.processes.scaler.state_dict() if self.processes.scaler else {},
            }  # fmt: skip
            self.folder.save(state, rows)


class DHPEObjective:
    """The loss of a training step of DHPE: Eq. 7, or in an evidence epoch Eq. 3 of J2D alone.

    The evidence epochs replace the pre-training of the J2D that the paper starts from.
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
        """Computes the loss and its terms. original: which images come from the data sets, not from the pool."""
        config, model = self.config, trainer.model
        if trainer.epoch < config.evidence_epochs:
            joints = px_to_crop(batch["joints_px"], config.model.size)
            stages = [heatmap_loss(maps, joints) for maps in model.heatmaps(images)]
            loss = config.loss.heatmap * sum(stages) / len(stages)
            return loss, {"loss": loss.detach(), "heatmap": stages[-1].detach()}
        output = model(images)
        if trainer.processes.sum((~torch.isfinite(output.h)).any().float()):  # NaN cannot be rendered
            raise trainer.diverged(batch | {"image": images})
        if trainer.processes.count > 1 and "mask" not in batch:  # else a share without masks would skip a pass of F
            batch = batch | {"mask": images.new_full(images[:, 0].shape, torch.nan)}
        every = config.feature_every
        weights = replace(config.loss, feature=config.loss.feature * every * (trainer.step % every == 0))
        loss, terms = dhpe_loss(model, output, images, batch, weights)
        if every > 1:  # so that the mean over all steps is the mean of the term
            terms["feature"] = terms["feature"] * every
        first, due = config.augment_from, trainer.step % config.augment_every == 0
        if first is not None and trainer.epoch >= first and due and not trainer.pool.full:
            self._augment(trainer, output, batch, original)
        return loss, terms

    def _augment(self, trainer: Trainer, output: DHPEOutput, batch: dict[str, Tensor], original: Tensor) -> None:
        """Adds new instances, made from the estimates on these images but not on rows of the pool, to it (Sec. 3.5).

        Their colors are those before jitter, since they are jittered each time they are drawn.
        """
        from ..augmentation import augment

        original = original.to(batch["image"].device)
        estimates = output.map(lambda tensor: tensor.detach()[original])
        rows = {name: value[original] for name, value in batch.items()}
        generator = trainer.generator(1 + trainer.processes.index + trainer.part * trainer.processes.count)
        backgrounds = BuiltinBackgrounds("train") if self.backgrounds is None else self.backgrounds
        instances = augment(trainer.model, estimates, rows["image"], rows, generator, backgrounds)
        for rows in trainer.processes.gather(instances):
            trainer.pool.add(rows)
