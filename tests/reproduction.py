"""Results files as `handlib reproduce` writes them, with numbers that a test chooses: nothing is trained for them."""

import time
from collections.abc import Callable
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import torch

from handlib.evaluation import results
from handlib.evaluation.metrics import TONE_EDGES
from handlib.evaluation.results import Metric
from handlib.experiments.reproduce.equipment import Equipment
from handlib.experiments.reproduce.experiments import Experiment, tests_of
from handlib.experiments.reproduce.hands import parse_data
from handlib.experiments.reproduce.measure import keep_errors
from handlib.experiments.reproduce.records import command_of, hand_of
from handlib.experiments.reproduce.sets import SPLITS, headline, pck_name
from handlib.experiments.reproduce.suite import make_suite
from handlib.hand.joints import C21

REAL = "rhd:/there/RHD,stb:/there/STB,do:/there/DO"
HANDS = 150


class Job(NamedTuple):
    experiment: Experiment
    test: str
    seed: int


def write_suite(
    folder: Path,
    auc: Callable[[Job], float],
    profile: str = "laptop",
    data: str = "",
    leave_out: Callable[[Job], bool] = lambda job: False,
    gain_mm: float = 3.0,
    scheduled_mm: float = 30.0,
    under: float = 0.5,
    equipment: Equipment = Equipment(),  # noqa: B008
) -> Path:
    """A results file for every job of `reproduce all`: its headline and mean IoU are `auc(job)`, as is that of each
    hand but for its luck, refinement lowers the error by `gain_mm`, most of it early, and the study of Eq. 12 starts
    with `under` of the training hands under T and ends at `scheduled_mm` against 32 mm."""
    suite = make_suite("all", profile, parse_data(data), folder, equipment=equipment)
    for run in suite.runs:
        for experiment in run.experiments:
            if experiment.cached:
                jobs = [Job(experiment, test, run.seed) for test in SPLITS]
                if not leave_out(jobs[0]):
                    _write_cached(suite, folder, jobs, auc, gain_mm, under)
                continue
            for test in tests_of(experiment, suite.hands.tests):
                job = Job(experiment, test, run.seed)
                if not leave_out(job):
                    name = suite.record(experiment.name, test, run.seed).stem
                    _write(folder, _record(suite, name, job, auc(job), gain_mm, scheduled_mm),
                           hands(job, auc(job), gain_mm) if test != "val" else {})  # fmt: skip
    return folder


def hands(job: Job, auc: float, gain_mm: float) -> dict[str, torch.Tensor]:
    """Scores of hands that are easy or difficult for every method alike."""
    luck = torch.linspace(-0.1, 0.1, HANDS) * (1 - 2 * (torch.arange(HANDS) % 2))
    scores = {"auc": auc + luck, "iou": auc + luck, "root_mm": 30 * (1 - auc + luck)}
    if job.experiment.refined and job.test != "do":  # which has no root
        scores["half_mm"] = scores["root_mm"] + 0.01 * gain_mm * (1 + 0.01 * job.seed)
    return {name: value.half() for name, value in scores.items()}


def _write(folder: Path, record: dict, errors: dict) -> None:
    if errors:
        record = record | {"errors": keep_errors(errors, folder / f"{record['name']}.safetensors")}
    results.write(record, folder)


def _write_cached(
    suite, folder: Path, jobs: list[Job], auc: Callable[[Job], float], gain_mm: float, under: float
) -> None:
    metrics, curves, errors = [], {"training": {"step": [50], "loss": [1.0], "under_threshold": [under]}}, {}
    for job in jobs:
        some, drawn = _method(job, auc(job), gain_mm, 10)
        metrics += [asdict(metric) | {"name": f"{job.test}/{metric.name}"} for metric in some]
        curves |= {f"{job.test}/{name}": curve for name, curve in drawn.items()}
        errors |= {f"{job.test}/{name}": value for name, value in hands(job, auc(job), gain_mm).items()}
    metrics += [asdict(Metric("under_threshold", auc(jobs[0]), "fraction", n=100))]
    name, seed = jobs[0].experiment.name, jobs[0].seed
    about = {"suite": suite.name, "experiment": name, "test": "", "scale": suite.described, "tests": list(SPLITS),
             "refine": {"iterations": 50}}  # fmt: skip
    _write(folder, _template() | {
        "name": suite.record(name, "", seed).stem, "metrics": metrics, "curves": curves, "seed": seed,
        "profile": suite.profile, "config": about, "synthetic": True, "hand": hand_of(suite),
        "data": {"name": "cached evidence", "n": 3 * HANDS, "of": dict.fromkeys(SPLITS, HANDS)},
        "command": command_of(suite, jobs[0].experiment),
    }, errors)  # fmt: skip


def _record(suite, name: str, job: Job, auc: float, gain_mm: float, scheduled_mm: float) -> dict:
    if job.test == "val":
        metrics, curves = _schedule(job.seed, scheduled_mm)
    else:
        metrics, curves = _method(job, auc, gain_mm, suite.scale.iterations)
    train = {
        "seed": job.seed,
        "images": 10,
        "epochs": 2,
        "learning_rate": 1e-3,
        "joint_learning_rate": 3e-4,
        "data": ["synthetic"],
    }
    metrics.append(Metric("training_minutes", 4.0 + job.seed, "minutes"))
    about = {"suite": suite.name, "experiment": job.experiment.name, "test": job.test, "scale": suite.described}
    return _template() | {
        "name": name, "metrics": [asdict(metric) for metric in metrics], "curves": curves, "seed": job.seed,
        "profile": suite.profile, "synthetic": not suite.hands.specs, "hand": hand_of(suite),
        "config": about | {"train": train, "refine": {"iterations": 50}},
        "data": {"name": f"{job.test} hands", "n": HANDS}, "command": command_of(suite, job.experiment),
    }  # fmt: skip


@lru_cache
def _template() -> dict:
    """Once, since it asks git for the commit."""
    hand = {"name": "openhand", "fingertips": "smplx"}
    return results.record("", "a claim", [], profile="", config={}, data={}, hand=hand, started=time.perf_counter())


def _schedule(seed: int, scheduled_mm: float) -> tuple[list[Metric], dict]:
    metrics, curves = [], {}
    for name, under, error in (("scheduled", 0.8, scheduled_mm), ("constant", 0.6, 32.0)):
        metrics += [
            Metric(f"{name}_under_threshold", under + 0.01 * seed * (name == "scheduled"), "fraction"),
            Metric(f"{name}_joints_root_mean_mm", error + 0.1 * seed, "mm", "root"),
            Metric(f"{name}_mean_iou", 0.7, "fraction"),
        ]
        columns = {"under_threshold": [0.3, under], "shape": [0.1, 0.05], "val_mean_iou": [0.6, 0.7]}
        curves[name] = {"epoch": [3, 4], **columns, "val_joints_root_mean_mm": [40.0, error]}
    return metrics, curves


def _method(job: Job, auc: float, gain_mm: float, iterations: int) -> tuple[list[Metric], dict]:
    metrics, curves = [], {}
    if job.experiment.name not in ("handsegnet", "encoder-decoder"):
        metrics.append(Metric(headline(job.test), auc, "fraction", "root", "20 thresholds, 20–50 mm", n=HANDS))
        curves[pck_name(job.test)] = {"threshold_mm": [0.0, 25.0, 50.0], "pck": [0.0, auc / 2, auc]}
        curves["joint"] = {"joint": list(C21.joints), "mean_mm": [20.0 + job.seed, *[None] * 20], "n": [HANDS] * 21}
        low, high = list(TONE_EDGES[:-1]), list(TONE_EDGES[1:])
        measured = {"mean_mm": [20.0, 21.0, None], "standard_error_mm": [1.0, None, None], "n": [100, 1, 0]}
        curves["tone"] = {"low": low, "high": high, **measured}
    if job.test not in ("stb", "do") and job.experiment.name != "zimmermann":
        metrics.append(Metric("mean_iou", auc, "fraction", n=HANDS))
    if job.experiment.name not in ("zimmermann", "handsegnet", "encoder-decoder") and job.test in ("diverse", "studio"):
        metrics.append(Metric("vertices_procrustes_mean_mm", 12.0, "mm", "procrustes", n=HANDS))
        metrics += [Metric(f"freihand_vertices_f_{mm}_mm", mm / 20, "fraction", n=HANDS) for mm in (5, 15)]
    if job.experiment.refined:
        metrics.append(Metric("refinement_error_rose_fraction", 0.3, "fraction", "root", n=HANDS))
        fall = [gain_mm * (1 - 0.8**k) for k in range(iterations + 1)]
        steps = [30 + 0.01 * job.seed - fallen * (1 + 0.01 * job.seed) for fallen in fall]
        curves["refinement"] = {"iteration": list(range(iterations + 1)), "joints_root_mean_mm": steps}
    return metrics, curves
