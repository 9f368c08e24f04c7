"""The common part of the measurements: loading, errors, records."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from handlib.data import PhotoFolder
from handlib.dhpe import DHPE
from handlib.evaluation import results
from handlib.evaluation.metrics import align
from handlib.evaluation.results import Metric
from handlib.hand.landmark_sets import landmark_set
from handlib.photo.estimate import HandEstimate

RESULTS = Path(__file__).resolve().parents[2] / "results"
LANDMARKS = landmark_set("image").regressor
LIVE = "Object.values(window.handlibLive)[0]"  # the live page's own object


def truths(folder: str) -> Iterator[tuple[str, Tensor, Tensor, str]]:
    """Yields path, K, joints (21, 3) in the camera frame and side of each photograph, as in the file."""
    data = PhotoFolder(folder, crop="picture")
    for row in range(len(data)):
        frame = data.read(row)
        yield str(data.folder / data.entries[row]["image"]), frame.K.float(), frame.joints_cam.float(), frame.side


def pa_mm(points: Tensor, truth: Tensor) -> Tensor:
    """Returns the mean error of each hand after the best similarity."""
    return 1000 * (align(points, truth, "procrustes") - truth).norm(dim=-1).mean(-1)


def root_mm(joints: Tensor, truth: Tensor) -> Tensor:
    """Returns the mean error of each hand after moving the middle MCP to the true one."""
    return 1000 * (align(joints, truth, "root") - truth).norm(dim=-1).mean(-1)


def spread(name: str, values: Tensor | Sequence[float], unit: str, alignment: str) -> list[Metric]:
    """Makes metrics of mean and median."""
    values = torch.as_tensor(values, dtype=torch.float64)
    return [
        Metric(f"{name}_mean", float(values.mean()), unit, alignment, "none", len(values)),
        Metric(f"{name}_median", float(values.median()), unit, alignment, "none", len(values)),
    ]


def share(name: str, count: int, of: int, rule: str) -> Metric:
    return Metric(name, count / of, "fraction", rule, "none", of)


def reliability(name: str, predicted: Tensor, true: Tensor) -> list[Metric]:
    """Measures how often predictions are true, in four ranges of the predicted probability."""
    metrics = []
    for low, high in ((0.0, 0.5), (0.5, 0.7), (0.7, 0.9), (0.9, 1.01)):
        some = (predicted >= low) & (predicted < high)
        if some.any():
            rule = f"said {low} to {min(high, 1.0)}, on average {float(predicted[some].mean()):.2f}"
            value = float(true[some].double().mean())
            metrics.append(Metric(f"{name}_{low}", value, "fraction", rule, "none", int(some.sum())))
    return metrics


def differences(found: list[dict], expected: list[HandEstimate]) -> tuple[float, float]:
    """Returns the largest difference of h, and of the vertices in millimeters, of a page's hands from Python's."""
    pairs = list(zip(found, expected, strict=True))
    h = max(np.abs(np.array(one["h"]) - hand.h.numpy()).max() for one, hand in pairs)
    apart = [np.array(one["vertices"]).reshape(-1, 3) - hand.vertices_cam.numpy() for one, hand in pairs]
    return float(h), float(1000 * max(np.linalg.norm(each, axis=1).max() for each in apart))


def write(
    name: str,
    claim: str,
    metrics: list[Metric],
    model: DHPE,
    data: dict,
    started: float,
    command: str,
    config: dict | None = None,
    synthetic: bool = True,
) -> None:
    """Prints the metrics and writes their record; without a config it is the model's."""
    config = config or {"model": asdict(model.config), **model.provenance}
    record = results.record(
        name, claim, metrics, profile="laptop", config=config, data=data, started=started, synthetic=synthetic,
        hand={"name": model.hand.name, "fingertips": model.hand.fingertips.name},
        command=f"python tools/measure/{command}",
    )  # fmt: skip
    for metric in metrics:
        print(f"{metric.name:44} {metric.value:9.4g} {metric.unit}  n {metric.n}")
    print("wrote", results.write(record, RESULTS), f"{time.perf_counter() - started:.0f} s")
