"""The common part of the measurements on photographs: loading, errors, records."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from handlib.data import PhotoFolder
from handlib.evaluation import results
from handlib.evaluation.metrics import align
from handlib.evaluation.results import Metric
from handlib.hand.landmark_sets import landmark_set
from handlib.photo.predict import Predictor

RESULTS = Path(__file__).resolve().parents[2] / "results"
LANDMARKS = landmark_set("image").regressor


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


def write(
    name: str,
    claim: str,
    metrics: list[Metric],
    predictor: Predictor,
    data: dict,
    started: float,
    command: str,
    synthetic: bool,
) -> None:
    model = predictor.model
    record = results.record(
        name, claim, metrics, profile="laptop", config={"model": asdict(model.config), **model.provenance}, data=data,
        hand={"name": model.hand.name, "fingertips": model.hand.fingertips.name}, started=started, synthetic=synthetic,
        command=command,
    )  # fmt: skip
    for metric in metrics:
        print(f"{metric.name:44} {metric.value:9.3f} {metric.unit}  n {metric.n}")
    print("wrote", results.write(record, RESULTS), f"{time.perf_counter() - started:.0f} s")
