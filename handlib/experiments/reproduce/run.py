"""Does the runs of a plan. One that is killed goes on where it stopped: trainings from their folders, results files
that are there are not made again.

Several processes of one command, on one disk, divide the work among themselves: each locks what it works on, passes
over what another has locked, and comes back to it at the end, in case that the other has died. Under torchrun or
accelerate every process takes a share of the runs, with a GPU of its own where there is one: runs are independent, so
this is faster than to spread each of them, and it is how the baselines are spread at all.
"""

import json
import os
import shlex
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from ...data import CachedHands, SyntheticHands, open_spec
from ...evaluation import results
from ...hand import HandModel
from ...support.files import atomic_path
from ...support.locks import Busy, alone_in
from ...training.checkpoint import read_log
from ...training.feed import Feed, training_hands
from ...training.profiles import TrainConfig
from ...training.train import train
from ..ablate import schedule_study
from ..ablation import ABLATIONS
from ..baselines import BASELINES, DHPEMethod, FitOptions, Method, best_learning_rate
from ..bench.training import full_step, make_trainer
from .experiments import FITTED, NETWORKS
from .measure import measured, on, refinement_settings
from .plan import Job, Plan, Unit, described_run, rated_as

_LAUNCHER = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK", "ROLE_RANK", "ROLE_WORLD_SIZE",
             "GROUP_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")  # fmt: skip
PAUSE = 5.0  # seconds between looks at what other processes have locked, once nothing else is left


class Runner:
    """resume: go on with what is there; without it, with what is newer than this object. cache: folder of rendered
    hands."""

    def __init__(
        self,
        plan: Plan,
        cache: str | os.PathLike[str] | None = None,
        resume: bool = True,
        progress: bool = True,
        say: Callable[[str], object] = print,
    ):
        self.plan, self.cache, self.resume, self.progress, self.say = plan, cache, resume, progress, say
        gpu = plan.scale.train.device == "auto" and torch.cuda.is_available()
        self.device = "cuda" if gpu else "cpu"
        self.test_set = lru_cache(None)(self._test_set)
        self.training_set = lru_cache(1)(self._training_set)
        self._since = time.time()

    def __call__(self) -> list[Path]:
        """Runs what is missing; returns the results files that were written, by this process. When it returns, none is
        missing: it waits for what other processes are at, and takes over from those that die.

        A training that diverges does not stop the others: `FloatingPointError`, at the end, names all that did. A file
        that is named but cannot be read does, before anything is trained.
        """
        written, diverged, told = [], [], set()
        todo = [unit for unit in self.plan.units if self._jobs(unit)]
        if todo:
            self._check_files()
        while todo:
            locked = []
            for unit in todo:
                try:
                    with alone_in(self.plan.run_folder(unit)):
                        for path in self._unit(unit):
                            self.say(f"  wrote {path}")
                            written.append(path)
                except Busy as busy:
                    locked.append(unit)
                    if unit.name not in told:
                        self.say(f"{unit.name} is left for later: {busy}")
                        told.add(unit.name)
                except FloatingPointError as error:
                    diverged.append(f"{unit.name}: {error}")
                    self.say(f"  {error}")
            if len(locked) == len(todo):
                time.sleep(PAUSE)
            todo = locked
        if diverged:
            raise FloatingPointError(
                f"{len(diverged)} of the trainings diverged, the others are done:\n" + "\n".join(diverged)
            )
        return written

    def _check_files(self) -> None:
        """Opens whatever was named: the last of it is else needed when hours have passed."""
        self.plan.equipment.check()
        for spec in self.plan.hands.specs:
            open_spec(spec, "test", self.plan.scale.train.model.size)

    def _jobs(self, unit: Unit) -> tuple[Job, ...]:
        """What is still to be done."""
        if self.resume:
            return self.plan.missing(unit)
        return tuple(job for job in unit.jobs if not self._is_there(self.plan.results / f"{job.record}.json"))

    def _is_there(self, path: Path) -> bool:
        """Whether a file need not be made: any will do, or one of this sitting, made here or by another process."""
        return path.is_file() and (self.resume or path.stat().st_mtime >= self._since)

    def _unit(self, unit: Unit) -> Iterator[Path]:
        """Trains, then measures job by job; gives the path of each results file when it is written."""
        jobs = self._jobs(unit)  # once more: until its folder was locked, another process may have done it
        if not jobs:
            return
        head = f"[{self.plan.units.index(unit) + 1}/{len(self.plan.units)}] {unit.name}: {len(jobs)} results"
        if unit.training == "schedule":
            self.say(head)
            for job in jobs:
                yield results.write(self._schedule(unit, job), self.plan.results)
            return
        config = replace(self._config(unit.training), seed=unit.seed)
        self.say(head)
        method = self._trained(unit.training, config, self.plan.run_folder(unit), self.resume)
        for job in jobs:
            yield results.write(self._record(unit, job, config, method), self.plan.results)

    # ---- training

    def _config(self, training: str) -> TrainConfig:
        """The run of a training, at the learning rate that was chosen for it."""
        config = self.plan.scale.run(training)
        if training in ABLATIONS:
            parts = ABLATIONS[training]
            config = replace(config, model=parts.of_model(config.model), loss=parts.of_loss(config.loss))
            if not parts.augmentation:
                config = replace(config, augment_from=None)
        factor = self._rate_factor(rated_as(training))
        return replace(
            config,
            learning_rate=config.learning_rate * factor,
            joint_learning_rate=config.joint_learning_rate * factor,
        )

    def _trained(self, training: str, config: TrainConfig, folder: Path, resume: bool) -> Method:
        if training in ABLATIONS:
            return DHPEMethod(train(config, folder, resume, self.cache, self.progress))
        options = FitOptions(resume, self.cache, None, None, self.progress, self.device)
        if training in NETWORKS:
            options = replace(options, data=self.training_set(config.images, config.data, config.val_data))
        return BASELINES[training].fit(config, folder, options)

    def _training_set(
        self, images: int, data: tuple[str, ...], val_data: tuple[str, ...]
    ) -> tuple[CachedHands, CachedHands]:
        """Once for all baselines."""
        config = replace(self.plan.scale.train, images=images, data=data, val_data=val_data)
        return training_hands(config, self.cache, self.progress)

    def _rate_factor(self, training: str) -> float:
        """What a training multiplies the profile's learning rates with: chosen once, and kept in a file. `Busy` while
        another process chooses it."""
        if not self.plan.tunes(training):
            return 1.0
        path = self.plan.rate_file(training)
        if not self._is_there(path):
            with alone_in(path.with_suffix("")):
                if not self._is_there(path):
                    self._choose_rate(training, path)
        try:
            return float(json.loads(path.read_text())["factor"])
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path} is damaged: delete it, and the learning rate is chosen again") from error

    def _choose_rate(self, training: str, path: Path) -> None:
        self.say(f"choosing the learning rate of {training}")
        run, scale = self.plan.hands.tuning(self.plan.scale.rate_run(training)), self.plan.scale
        options = FitOptions(self.resume, self.cache, None, None, self.progress, self.device)

        def fit(config: TrainConfig, folder: Path, options: FitOptions) -> Method:
            return self._trained(training, config, folder, options.resume)

        best = best_learning_rate(fit, run, path.with_suffix(""), options, scale.rate_factors)
        factor = best.learning_rate / run.learning_rate
        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps({"factor": factor, "tried": scale.rate_factors}) + "\n")

    # ---- measuring

    def _test_set(self, name: str) -> CachedHands:
        """Once for all methods."""
        plan = self.plan
        data = plan.hands.test(name, plan.scale.train, plan.scale.test_images, self.cache, self.progress)
        return on(data, self.device)

    def _record(self, unit: Unit, job: Job, config: TrainConfig, method: Method) -> dict:
        started = time.perf_counter()
        scale, experiment, data = self.plan.scale, job.experiment, self.test_set(job.test)
        iterations = scale.iterations if experiment.refined else 0
        if experiment.name in FITTED:
            options = FitOptions(detector=method.model, progress=self.progress, device=self.device)
            method = BASELINES[experiment.name].fit(config, self.plan.run_folder(unit), options)
        elif isinstance(method, DHPEMethod):
            method = DHPEMethod(method.model, iterations)
        metrics, curves = measured(method, data, job.test, self.progress, self.device)
        log = read_log(self.plan.run_folder(unit))
        trained = log[-1]["minutes"] if log else 0.0  # which several experiments may share
        metrics.append(results.Metric("training_minutes", trained, "minutes"))
        baseline = BASELINES.get(unit.training)
        used = baseline.used(config) if baseline else config  # not what it was given, but what it made of that
        settings = {"train": described_run(asdict(used)), "refine": refinement_settings(iterations)}
        record = results.record(
            job.record,
            f"{experiment.title}: accuracy on {data.name}",
            metrics,
            **self._common(job, data.name, len(data)),
            config=self._about(job) | settings,
            synthetic=not self.plan.hands.specs,
            started=started,
            curves=curves,
        )
        return record | {"minutes": round(record["minutes"] + trained, 3)}

    def _schedule(self, unit: Unit, job: Job) -> dict:
        """The study of Eq. 12, under this reproduction's name."""
        config = replace(self.plan.scale.schedule, seed=unit.seed)
        folder = self.plan.run_folder(unit)
        record = schedule_study(config, folder, self._command(job), self.resume, self.cache, self.say, self.progress)
        return record | {
            "name": job.record,
            "profile": self.plan.profile,
            "config": self._about(job) | {"train": described_run(asdict(config))},
            "hand": self._hand,
        }

    def _about(self, job: Job) -> dict:
        """What tables find a record by."""
        suite, scale = self.plan.suite, self.plan.described
        about = {"suite": suite, "experiment": job.experiment.name, "test": job.test, "scale": scale}
        return about | {"files": self.plan.files}

    def _common(self, job: Job, data: str, n: int) -> dict:
        return {
            "profile": self.plan.profile,
            "command": self._command(job),
            "seed": job.seed,
            "data": {"name": data, "n": n},
            "hand": self._hand,
            "device": self.device,
        }

    @property
    def _hand(self) -> dict[str, str]:
        model = self.plan.scale.train.model
        return {"name": Path(model.hand).stem, "fingertips": model.fingertips}

    def _command(self, job: Job) -> str:
        """It makes this results file among others: all seeds and test sets of the experiment."""
        words = ["handlib", "reproduce", "all", "--profile", self.plan.profile, "--only", job.experiment.name]
        if self.plan.hands.specs:
            words += ["--data", self.plan.hands.described]
        return shlex.join(words + self.plan.equipment.words)


def launched_share() -> str:
    """This process' share under torchrun or accelerate, "2/4", or "" where it is alone; it then is a process like any
    other, which sees its own GPU only."""
    count, index = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    if count <= 1:
        return ""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    gpus = visible.split(",") if visible else [str(i) for i in range(torch.cuda.device_count())]
    if gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus[int(os.environ.get("LOCAL_RANK", "0")) % len(gpus)]
    for name in _LAUNCHER:
        os.environ.pop(name, None)
    return f"{index + 1}/{count}"


def speed(plan: Plan, steps: int = 3) -> tuple[float, str]:
    """Joint training steps, of one hand, a second; and where that number comes from: a run of this suite that has its
    log here, or, the first time, a probe of a few steps."""
    rows = [
        row
        for unit in plan.units
        if unit.training == "full" and (plan.run_folder(unit) / "log.jsonl").is_file()
        for row in read_log(plan.run_folder(unit))[plan.scale.train.evidence_epochs :]
        if "images_per_second" in row
    ]
    if rows:
        return rows[-1]["images_per_second"], "as the last training here"
    config = replace(plan.scale.train, augment_from=None, workers=0)
    model, device = config.model, "cuda" if torch.cuda.is_available() and config.device == "auto" else "cpu"
    with TemporaryDirectory() as folder:
        trainer = make_trainer(config, device, folder)
        data = SyntheticHands("train", model.size, config.batch_size, hand=HandModel.load(model.hand, model.fingertips))
        step = full_step(trainer, Feed([data], "memory", trainer.pool, trainer.processes.device, progress=False))
        step()
        clock = time.perf_counter()
        for _ in range(steps):
            step()
        if device == "cuda":
            torch.cuda.synchronize()
        return steps * config.batch_size / (time.perf_counter() - clock), f"measured now in {steps} steps"
