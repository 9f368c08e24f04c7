"""Results files as `handlib reproduce` writes them, with numbers that a test chooses: nothing is trained for them."""

import time
from collections.abc import Callable
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path

from handlib.evaluation import results
from handlib.evaluation.metrics import TONE_EDGES
from handlib.evaluation.results import Metric
from handlib.experiments.reproduce.equipment import Equipment
from handlib.experiments.reproduce.hands import parse_data
from handlib.experiments.reproduce.measure import headline, pck_name
from handlib.experiments.reproduce.plan import Job, make_plan
from handlib.hand.joints import C21

REAL = "rhd:/there/RHD,stb:/there/STB,do:/there/DO"


def write_suite(
    folder: Path,
    auc: Callable[[Job], float],
    profile: str = "laptop",
    data: str = "",
    leave_out: Callable[[Job], bool] = lambda job: False,
    gain_mm: float = 3.0,
    scheduled_mm: float = 30.0,
    equipment: Equipment = Equipment(),  # noqa: B008
) -> Path:
    """A results file for every job of `reproduce all`: its headline and mean IoU are `auc(job)`, refinement lowers the
    error by `gain_mm`, most of it early, and the study of Eq. 12 ends at `scheduled_mm` against 32 mm."""
    plan = make_plan("all", profile, parse_data(data), folder, equipment=equipment)
    for unit in plan.units:
        for job in unit.jobs:
            if not leave_out(job):
                results.write(_record(plan, job, auc(job), gain_mm, scheduled_mm), folder)
    return folder


def _record(plan, job: Job, auc: float, gain_mm: float, scheduled_mm: float) -> dict:
    if job.test == "val":
        metrics, curves = _schedule(job.seed, scheduled_mm)
    else:
        metrics, curves = _method(job, auc, gain_mm, plan.scale.iterations)
    train = {
        "seed": job.seed,
        "images": 10,
        "epochs": 2,
        "learning_rate": 1e-3,
        "joint_learning_rate": 3e-4,
        "data": ["synthetic"],
    }
    metrics.append(Metric("training_minutes", 4.0 + job.seed, "minutes"))
    about = {"suite": plan.suite, "experiment": job.experiment.name, "test": job.test, "scale": plan.described}
    return _template() | {
        "name": job.record, "metrics": [asdict(metric) for metric in metrics], "curves": curves, "seed": job.seed,
        "profile": plan.profile, "config": about | {"train": train}, "synthetic": not plan.hands.specs,
        "data": {"name": f"{job.test} hands", "n": 150},
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
        metrics.append(Metric(headline(job.test), auc, "fraction", "root", "20 thresholds, 20–50 mm", n=150))
        curves[pck_name(job.test)] = {"threshold_mm": [0.0, 25.0, 50.0], "pck": [0.0, auc / 2, auc]}
        curves["joint"] = {"joint": list(C21.joints), "mean_mm": [20.0 + job.seed, *[None] * 20], "n": [150] * 21}
        low, high = list(TONE_EDGES[:-1]), list(TONE_EDGES[1:])
        measured = {"mean_mm": [20.0, 21.0, None], "standard_error_mm": [1.0, None, None], "n": [100, 1, 0]}
        curves["tone"] = {"low": low, "high": high, **measured}
    if job.test not in ("stb", "do") and job.experiment.name != "zimmermann":
        metrics.append(Metric("mean_iou", auc, "fraction", n=150))
    if job.experiment.name not in ("zimmermann", "handsegnet", "encoder-decoder") and job.test in ("diverse", "studio"):
        metrics.append(Metric("vertices_procrustes_mean_mm", 12.0, "mm", "procrustes", n=150))
    if job.experiment.refined:
        metrics.append(Metric("refinement_error_rose_fraction", 0.3, "fraction", "root", n=150))
        fall = [gain_mm * (1 - 0.8**k) for k in range(iterations + 1)]
        steps = [30 + 0.01 * job.seed - fallen * (1 + 0.01 * job.seed) for fallen in fall]
        curves["refinement"] = {"iteration": list(range(iterations + 1)), "joints_root_mean_mm": steps}
    return metrics, curves
