"""Studies that train: one run with a part of the method and one without, all else equal, and what each came to.

`schedule` is Fig. 5f of the paper: the shape loss switched on instance by instance (Eq. 12), or always on. Which parts
can be left out, and what that means, is said in ablation.py. A study's runs lie in folders of their own and are resumed
as `train` resumes; of a finished study only the record is made again.
"""

import os
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from ..evaluation import results
from ..evaluation.results import Metric
from ..hand import HandModel
from ..training.checkpoint import read_log
from ..training.feed import open_data
from ..training.profiles import TrainConfig
from ..training.train import train
from .ablation import ABLATIONS

# Name of the run → the row of the paper's study. Both see the same images in the same order from the same weights.
VARIANTS = {"scheduled": "full", "constant": "constant_shape_weight"}
CURVES = ("under_threshold", "shape", "val_joints_root_mean_mm", "val_mean_iou")  # of a row of the log, if it has them


def schedule_study(
    config: TrainConfig,
    out: str | os.PathLike[str],
    command: str,
    resume: bool = True,
    cache: str | os.PathLike[str] | None = None,
    say: Callable[[str], object] = print,
    progress: bool = True,
) -> dict[str, Any]:
    """Trains `config` with the weight of Eq. 12 and with a constant one; returns the record of both.

    out: folder of the runs, one folder each. say: called with a line an epoch. The record's curves
    have a list an entry of `CURVES`, one number an epoch of joint training: `under_threshold`, the fraction of training
    instances whose 2D error was at most T when they were seen, and the validation scores after the epoch.

    `ValueError` for a config whose shape loss has no weight: the two runs would be one.
    """
    started = time.perf_counter()
    if not config.loss.shape:
        raise ValueError("loss.shape is 0: without a shape loss there is no weight to schedule; give it one")
    runs = {name: replace(config, loss=ABLATIONS[row].of_loss(config.loss)) for name, row in VARIANTS.items()}
    if runs["scheduled"] == runs["constant"]:
        raise ValueError("loss.scheduled is False, so both runs would have a constant weight: leave it at True")
    config.check()
    logs = {}
    for name, run in runs.items():
        folder = Path(out) / name
        train(run, folder, resume, cache, progress, lambda name=name, folder=folder: say(_line(name, config, folder)))
        logs[name] = [row for row in read_log(folder) if "under_threshold" in row]
    return _record(config, logs, started, command)


def _line(name: str, config: TrainConfig, folder: Path) -> str:
    row = read_log(folder)[-1]
    under = f"{row['under_threshold']:6.1%} under T" if "under_threshold" in row else "J2D alone"
    return (
        f"{name:>9}: epoch {row['epoch']}/{config.epochs}, {under}, validation error "
        f"{row['val_joints_root_mean_mm']:.1f} mm, {row['minutes']:.1f} minutes"
    )


def _record(config: TrainConfig, logs: dict[str, list[dict[str, float]]], started: float, command: str) -> dict:
    model, last = config.model, {name: rows[-1] for name, rows in logs.items()}
    hand = HandModel.load(model.hand, model.fingertips)
    data = open_data(config.val_data, "val", model.size, hand, config.val_images)
    n = sum(min(len(dataset), config.val_images) for dataset in data)
    metrics = []
    for name, row in last.items():
        metrics += [
            Metric(f"{name}_under_threshold", row["under_threshold"], "fraction", n=config.images),
            Metric(f"{name}_joints_root_mean_mm", row["val_joints_root_mean_mm"], "mm", "root", n=n),
        ]
        if "val_mean_iou" in row:
            metrics.append(Metric(f"{name}_mean_iou", row["val_mean_iou"], "fraction", n=n))
    record = results.record(
        f"schedule-{config.profile}" + (f"-seed{config.seed}" if config.seed else ""),
        "what the switch of Eq. 12 does to the fraction of instances under T and to the error (Fig. 5f)",
        metrics,
        profile=config.profile,
        config={"train": asdict(config), "variants": VARIANTS},
        data={"name": " + ".join(dataset.name for dataset in data), "n": n},
        hand={"name": model.hand, "fingertips": model.fingertips},
        started=started,
        command=command,
        seed=config.seed,
        synthetic=set((*config.data, *config.val_data)) == {"synthetic"},
        curves={
            name: {key: [row[key] for row in rows] for key in ("epoch", *CURVES) if key in last[name]}
            for name, rows in logs.items()
        },
        device="cuda" if config.device == "auto" and torch.cuda.is_available() else "cpu",
    )
    # Both runs took this long, in however many sittings.
    return record | {"minutes": round(sum(row["minutes"] for row in last.values()), 3)}
