"""The runs that some tables need, which of them are there, and about how long the others take.

A `Unit` is one training with one seed and all that is measured of it: it needs nothing of another unit, so units can be
spread over processes and machines (`shard`), and whoever has all results files in one folder has the whole.

    OUT/SUITE/runs/TRAINING-seedN/    what a training keeps to go on (handlib.training.train,
    handlib.experiments.baselines) OUT/SUITE/rates/TRAINING.json     how its learning rate was chosen
    OUT/SUITE/results/*.json          one results file for each (experiment, test set, seed)
    OUT/SUITE/tables, figures         made from these
"""

import json
import os
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from ...evaluation import results
from ...networks.checkpoint import checkpoint_path
from ...support.files import sha256
from ...training.checkpoint import MACHINE, read_log
from .equipment import Equipment, pathless_backgrounds, pathless_model
from .experiments import EXPERIMENTS, NETWORKS, Experiment, chosen
from .hands import Hands, pathless
from .scales import SCALES, Scale

PREFIX = "reproduce-"
NOTHING = Equipment()
# Rough costs of a hand, relative to one joint training step of DHPE on it; for the plan alone, no result is made of it.
TRAINING_COST = {"direct": 1.0, "kanazawa": 0.5, "zimmermann": 0.9, "handsegnet": 1.6, "encoder-decoder": 1.6}
EVIDENCE_COST, LIFTING_COST = 0.5, 4.0  # an image of an evidence epoch; a step of lifting, which sees no image
ESTIMATE_COST, REFINED_COST = 0.4, 0.25  # a first estimate with its scores; each step of Eq. 13
FITTING_COST = {"panteleris": 15.0, "pso": 10.0}


class Job(NamedTuple):
    """One results file."""

    experiment: Experiment
    test: str  # name of a test set; "val" for the study of Eq. 12
    seed: int
    record: str  # name of the results file


class Unit(NamedTuple):
    """One training and what is measured of it."""

    training: str
    seed: int
    jobs: tuple[Job, ...]

    @property
    def name(self) -> str:
        return f"{self.training}-seed{self.seed}"


@dataclass(frozen=True)
class Plan:
    """out: folder of the suite. units: of this share alone."""

    table: str
    profile: str
    scale: Scale
    hands: Hands
    out: Path
    units: tuple[Unit, ...]
    share: str = ""  # "1/2" of all
    equipment: Equipment = NOTHING  # of the scale's runs, which have it already
    resume: bool = True  # whether what is there counts

    @property
    def suite(self) -> str:
        return suite_name(self.profile, self.hands)

    @property
    def results(self) -> Path:
        return self.out / "results"

    def run_folder(self, unit: Unit) -> Path:
        return self.out / "runs" / unit.name

    def rate_file(self, training: str) -> Path:
        return self.out / "rates" / f"{training}.json"

    @cached_property
    def described(self) -> dict[str, Any]:
        """The scale as records have it: no paths, nothing that changes no result."""
        return described(self.scale, self.hands)

    @cached_property
    def files(self) -> dict[str, str]:
        """SHA-256 of every file that trainings start from: two of one name are not the same."""
        run = self.scale.train
        named = {
            "init_pose": run.init_pose and checkpoint_path(run.init_pose),
            "posenet": run.model.posenet,
            "hand": run.model.hand if run.model.hand != "openhand" else "",
        }
        return {name: sha256(path) for name, path in named.items() if path and Path(path).is_file()}

    def missing(self, unit: Unit) -> tuple[Job, ...]:
        """The jobs whose results file is not there. `ValueError` for one that is of another scale, or damaged."""
        return tuple(job for job in unit.jobs if not (self.resume and self._is_there(job)))

    def _is_there(self, job: Job) -> bool:
        path = self.results / f"{job.record}.json"
        if not path.is_file():
            return False
        config = results.read(path)["config"]
        # Older records do not say which files they started from.
        if config.get("scale") != self.described or config.get("files", self.files) != self.files:
            raise ValueError(
                f"{path} was made at another scale or with other options or files: choose another --out, or move that "
                "file away"
            )
        return True

    # ---- how long it takes

    def cost(self, unit: Unit, jobs: tuple[Job, ...] | None = None, left: float = 1.0) -> float:
        """Of jobs of a unit (by default all) and the part `left` of its training, in training steps of one hand."""
        train, scale = self.scale.train, self.scale
        total = left * self._training_cost(unit.training)
        for job in unit.jobs if jobs is None else jobs:
            steps = scale.iterations if job.experiment.refined else 0
            if job.test != "val":
                images = self.hands.test_images(job.test, scale.test_images)
                total += images * (FITTING_COST.get(job.experiment.name, 0.0) + ESTIMATE_COST + steps * REFINED_COST)
        return total + left * train.val_images * scale.run(unit.training).epochs * ESTIMATE_COST

    def _training_cost(self, training: str) -> float:
        if training == "schedule":
            run = self.scale.schedule
            return 2 * self.hands.training_images(run) * (run.epochs - (1 - EVIDENCE_COST) * run.evidence_epochs)
        run, step = self.scale.run(training), TRAINING_COST.get(training, 1.0)
        images = self.hands.training_images(run)
        dhpe = training not in NETWORKS
        if not dhpe:
            return images * run.epochs * step
        added = 0.0  # images that augmentation adds, over all epochs
        if run.augment_from is not None and training != "no_augmentation":
            added = run.augment_cap * (run.epochs - run.augment_from) / 2
        epochs = run.epochs - (1 - EVIDENCE_COST) * run.evidence_epochs
        return step * (images * epochs + added) + run.lifting_steps * LIFTING_COST

    def rate_cost(self, training: str) -> float:
        """Of the choice of a learning rate, if it is not made yet."""
        if not self.tunes(training) or (self.resume and self.rate_file(training).is_file()):
            return 0.0
        run, step = self.scale.rate_run(training), TRAINING_COST.get(training, 1.0)
        lifting = 0 if training in NETWORKS else run.lifting_steps * LIFTING_COST
        return len(self.scale.rate_factors) * (step * self.hands.training_images(run) * run.epochs + lifting)

    def tunes(self, training: str) -> bool:
        return len(self.scale.rate_factors) > 1 and rated_as(training) is not None

    def minutes(self, speed: float) -> dict[str, float]:
        """Of what is left of each unit, and of each choice of a learning rate; speed: steps of one hand a second."""
        left = {}
        for unit in self.units:
            if jobs := self.missing(unit):
                rated = rated_as(unit.training)
                if rated and f"rate of {rated}" not in left and (rate := self.rate_cost(rated)):
                    left[f"rate of {rated}"] = rate / speed / 60
                left[unit.name] = self.cost(unit, jobs, 1 - self.trained(unit)) / speed / 60
        return left

    def trained(self, unit: Unit) -> float:
        """How much of a unit's training is done, by its log."""
        if not self.resume:
            return 0.0
        folders = [self.run_folder(unit)]
        if unit.training == "schedule":
            folders = [folders[0] / name for name in ("scheduled", "constant")]
        schedule = unit.training == "schedule"
        epochs = (self.scale.schedule if schedule else self.scale.run(unit.training)).epochs
        logs = [len(read_log(f)) if (f / "log.jsonl").is_file() else 0 for f in folders]
        return sum(logs) / len(logs) / max(epochs, 1)

    def text(self, speed: float, source: str) -> str:
        """The plan, to print before anything is done."""
        minutes = self.minutes(speed)
        all_jobs = [job for unit in self.units for job in unit.jobs]
        todo = sum(len(self.missing(unit)) for unit in self.units)
        share = f", share {self.share}" if self.share else ""
        lines = [
            f"reproduce {self.table}, profile {self.profile}{share}: {len(all_jobs)} results from {len(self.units)} "
            f"trainings, {todo} of them still to be made",
            f"  trained on {' + '.join(pathless(self.hands.training))}, measured on {', '.join(self.hands.tests)}; "
            f"seeds {', '.join(map(str, self.scale.seeds))}; in {self.out}",
        ]
        if words := self.equipment.words:
            lines.append(f"  with {' '.join(words)}")
        for name, value in minutes.items():
            if name.startswith("rate of "):
                lines.append(f"  {name:28} {value:8.1f} min   {len(self.scale.rate_factors)} short runs")
        for unit in self.units:
            names = ", ".join(dict.fromkeys(job.experiment.name for job in unit.jobs))
            if unit.name in minutes:
                done = self.trained(unit)
                status = f"{minutes[unit.name]:8.1f} min   {names}" + (f"; {done:.0%} trained" if done else "")
            else:
                status = f"{'there':>8}       {names}"
            lines.append(f"  {unit.name:28} {status}")
        total = sum(minutes.values())
        hours = f" = {total / 60:.1f} hours" if total > 90 else ""
        lines.append(f"roughly {total:.0f} minutes{hours} in one process, at {speed:.0f} hands a second ({source})")
        return "\n".join(lines)


def make_plan(
    table: str,
    profile: str,
    hands: Hands,
    out: str | os.PathLike[str],
    only: tuple[str, ...] = (),
    shard: str = "",
    equipment: Equipment = NOTHING,
) -> Plan:
    """The runs of a table, or of "all". only: names of experiments. shard: "i/n", the i-th of n shares. equipment: of
    every training.

    Shares are disjoint, together they are all, and they depend on nothing but the table, the profile, which data are
    named, wherever they are, and `only`.
    """
    if profile not in SCALES:
        raise ValueError(f"unknown profile '{profile}': choose one of {', '.join(SCALES)}")
    scale = SCALES[profile]
    train, schedule = (equipment.equipped(hands.config(run)) for run in (scale.train, scale.schedule))
    scale = replace(scale, train=train, schedule=schedule)
    suite, jobs = suite_name(profile, hands), {}
    for experiment in chosen(table, only):
        for seed in scale.seeds:
            for test in tests_of(experiment, hands.tests):
                record = f"{PREFIX}{suite}-{experiment.name}-{test}-seed{seed}"
                jobs.setdefault((seed, experiment.training), []).append(Job(experiment, test, seed, record))
    units = tuple(Unit(training, seed, tuple(found)) for (seed, training), found in sorted(jobs.items(), key=_order))
    plan = Plan(table, profile, scale, hands, Path(out) / suite, units, equipment=equipment)
    return replace(plan, units=_share(plan, *_parse(shard)), share=shard) if shard else plan


def tests_of(experiment: Experiment, tests: tuple[str, ...]) -> tuple[str, ...]:
    """Where an experiment is measured: the study of Eq. 12 on the validation hands, as its training goes on."""
    return ("val",) if experiment.training == "schedule" else tests


def suite_name(profile: str, hands: Hands) -> str:
    return profile + hands.suffix


def rated_as(training: str) -> str | None:
    """The training whose learning rate another one takes: an ablation the full method's; the study of Eq. 12 none."""
    if training == "schedule":
        return None
    return training if training in TRAINING_COST else "full"


def described(scale: Scale, hands: Hands) -> dict[str, Any]:
    """A scale as records have it."""
    fields = json.loads(json.dumps(asdict(scale)))
    for run in ("train", "schedule"):
        fields[run] = described_run(fields[run])
    return fields


def described_run(fields: dict[str, Any]) -> dict[str, Any]:
    """A training config, as a dict, without paths and without what changes no result."""
    kept = {name: value for name, value in json.loads(json.dumps(fields)).items() if name not in MACHINE}
    sets = {name: pathless(kept[name]) for name in ("data", "val_data")}
    return (
        kept
        | sets
        | {
            "backgrounds": pathless_backgrounds(kept["backgrounds"]),
            "model": pathless_model(kept["model"]),
        }
    )


def _order(item: tuple[tuple[int, str], Any]) -> tuple[int, int]:
    """Seeds one after the other, so that an interrupted reproduction has whole tables of fewer seeds."""
    seed, training = item[0]
    return seed, list(dict.fromkeys(e.training for e in EXPERIMENTS.values())).index(training)


def _parse(shard: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)/(\d+)", shard)
    i, n = map(int, match.groups()) if match else (0, 0)
    if not 1 <= i <= n:
        raise ValueError(f"--shard {shard}: write the share and of how many, 1/4 … 4/4")
    return i, n


def _share(plan: Plan, i: int, n: int) -> tuple[Unit, ...]:
    """The largest units first, each to the share that has least so far; within a share in the plan's order."""
    loads, shares = [0.0] * n, [[] for _ in range(n)]
    cost: Callable[[Unit], float] = plan.cost
    for unit in sorted(plan.units, key=lambda unit: (-cost(unit), unit.name)):
        least = loads.index(min(loads))
        loads[least] += cost(unit)
        shares[least].append(unit)
    return tuple(unit for unit in plan.units if unit in shares[i - 1])
