"""Choosing what Eq. 13 leaves open, on the validation split: one field of `RefinementWeights` after the other.

A value takes the place of the one before it only if the mean error over the hands falls by more than twice the
standard error of that fall, hand by hand: with a few hundred hands the best of a grid is else a matter of luck.
The feature term needs the renderer and F at every step, which costs more than all the rest, so the other fields are
chosen without it and on more hands. The paper's fifty gradient steps stand beside the choice.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch

from ..data import CachedHands, SyntheticHands
from ..dhpe import DHPE
from ..evaluation import results
from ..evaluation.refinement_report import RefinementReport, refinement_report
from ..evaluation.results import Metric
from ..refinement import ITERATIONS, METHOD, RefinementWeights


@dataclass(frozen=True)
class TuneConfig:
    """What is tried, and on how many hands.

    Args:
        checkpoint: Name or path of the model.
        hands: Validation hands on which all fields but `feature` are chosen.
        rendered_hands: How many of them choose `feature`.
        iterations: Steps of refinement.
        gradient_iterations: Steps of the paper's descent, with which the choice is compared.
    """

    checkpoint: str = "lite"
    hands: int = 500
    rendered_hands: int = 100
    iterations: int = ITERATIONS[METHOD]
    gradient_iterations: int = ITERATIONS["gradient"]
    confidence: tuple[float, ...] = (0.0, 2.0, 4.0, 6.0)
    stay: tuple[float, ...] = (0.03, 0.1, 0.3)
    laplacian: tuple[float, ...] = (0.0, 1.0, 10.0, 30.0)
    update_2d: tuple[float, ...] = (0.0, 0.25, 1.0)
    feature: tuple[float, ...] = (0.0, 0.1, 1.0, 10.0)
    start: RefinementWeights = field(default_factory=RefinementWeights)


SWEEPS = {
    "smoke": TuneConfig(
        hands=4, rendered_hands=2, iterations=2, gradient_iterations=2, confidence=(4.0,), stay=(0.1, 0.3),
        laplacian=(1.0,), update_2d=(0.25,), feature=(0.0, 0.1),
    ),
    "laptop": TuneConfig(),
}  # fmt: skip
SWEPT = ("confidence", "stay", "laplacian", "update_2d")  # then feature


def tune_refinement(
    config: TuneConfig, profile: str, command: str, say: Callable[[str], object] = print, cache: str | None = None
) -> dict[str, Any]:
    """Sweeps the grid and returns its record; the weights it arrives at are in `config` → `chosen`."""
    started = time.perf_counter()
    model = DHPE.from_pretrained(config.checkpoint)
    dataset = SyntheticHands("val", model.config.size, config.hands, hand=model.hand)
    data = CachedHands.make(dataset, folder=cache, progress=False)
    few = data.first(config.rendered_hands)
    weights, metrics = replace(config.start, feature=0.0), []
    for name in (*SWEPT, "feature"):
        subset = few if name == "feature" else data
        current = _report(model, subset, config, weights)
        for value in getattr(config, name):
            trial = replace(weights, **{name: value})
            report = current if trial == weights else _report(model, subset, config, trial)
            metrics += _metrics(f"{name}={value:g}", report)
            say(f"{name:>10} = {value:<6g} {_line(report)}")
            if significantly_lower(report.error_mm[:, -1], current.error_mm[:, -1]):
                weights, current = trial, report
        say(f"{name:>10} : {getattr(weights, name):g} chosen")
    report = _report(model, data, config, weights)
    gradient = refinement_report(model, data, config.gradient_iterations, weights, progress=False, method="gradient")
    metrics += _metrics("chosen", report) + _metrics("chosen_gradient", gradient)
    say(f"chosen {weights}\n{_line(report)}\nby gradient steps {_line(gradient)}")
    return results.record(
        "refinement-tuning" if profile == "laptop" else f"refinement-tuning-{profile}",
        "which settings of test-time refinement lower the error most on the validation split",
        metrics,
        profile=profile,
        config={"tune": asdict(config), "chosen": asdict(weights), "model": asdict(model.config)},
        data={"name": data.name, "n": len(data)},
        hand={"name": model.config.hand, "fingertips": model.config.fingertips},
        started=started,
        command=command,
        curves={"chosen": _curve(report), "chosen_gradient": _curve(gradient)},
    )


def significantly_lower(errors: torch.Tensor, before: torch.Tensor) -> bool:
    """Whether paired errors (n) fell in the mean by more than twice the standard error of their differences."""
    difference = errors - before
    return len(difference) > 1 and float(difference.mean()) < -2 * float(difference.std()) / len(difference) ** 0.5


def _report(model: DHPE, data: CachedHands, config: TuneConfig, weights: RefinementWeights) -> RefinementReport:
    return refinement_report(model, data, config.iterations, weights, progress=False)


def _metrics(label: str, report: RefinementReport) -> list[Metric]:
    summary, n = report.summary(), len(report.error_mm)
    return [
        Metric(f"{label}_joints_root_mean_start_mm", summary["joints_root_mean_start_mm"], "mm", "root", n=n),
        Metric(f"{label}_joints_root_mean_end_mm", summary["joints_root_mean_end_mm"], "mm", "root", n=n),
        Metric(f"{label}_error_rose_fraction", summary["error_rose_fraction"], "fraction", "root", n=n),
        Metric(f"{label}_objective_end", summary["objective_end"], "objective", n=n),
    ]


def _line(report: RefinementReport) -> str:
    summary = report.summary()
    return (
        f"{summary['joints_root_mean_start_mm']:6.2f} → {summary['joints_root_mean_end_mm']:6.2f} mm, "
        f"rose for {summary['error_rose_fraction']:.0%}, objective {summary['objective_end']:.4g}"
    )


def _curve(report: RefinementReport) -> dict[str, list]:
    return report.curves()["refinement"]
