"""Chooses the settings of test-time refinement on the validation split and writes results/refinement-tuning.json.

    python tools/tune_refinement.py [--profile smoke] [--checkpoint runs/x/model.safetensors] [--hands 500] …

Copy the chosen settings to handlib/refinement.py by hand. One field of `RefinementWeights` is chosen after the other: a
value takes the place of the one before it only if the mean error over the hands falls by more than twice the standard
error of that fall, hand by hand. With a few hundred hands the best of a grid is else a matter of luck. The feature term
needs the renderer and F at every step, which costs more than all the rest, so the other fields are chosen without it
and on more hands. The paper's fifty gradient steps stand beside the choice.
"""

import shlex
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
import tyro

from handlib import DHPE
from handlib.data import CachedHands, SyntheticHands
from handlib.data.cache import CACHE
from handlib.evaluation import results
from handlib.evaluation.refinement_report import RefinementReport, refinement_report
from handlib.evaluation.results import Metric
from handlib.refinement import ITERATIONS, METHOD, RefinementWeights


@dataclass(frozen=True)
class TuneConfig:
    """What is tried, and on how many hands."""

    checkpoint: str = "lite"
    hands: int = 500  # of the validation split, on which all fields but `feature` are chosen
    rendered_hands: int = 100  # of them, on which `feature` is
    iterations: int = ITERATIONS[METHOD]
    gradient_iterations: int = ITERATIONS["gradient"]  # of the paper's descent
    confidence: tuple[float, ...] = (0.0, 2.0, 4.0, 6.0)
    stay: tuple[float, ...] = (0.03, 0.1, 0.3)
    laplacian: tuple[float, ...] = (0.0, 1.0, 10.0, 30.0)
    update_2d: tuple[float, ...] = (0.0, 0.25, 1.0)
    feature: tuple[float, ...] = (0.0, 0.1, 1.0, 10.0)
    start: RefinementWeights = RefinementWeights()


SWEEPS = {
    "smoke": TuneConfig(
        hands=4, rendered_hands=2, iterations=2, gradient_iterations=2, confidence=(4.0,), stay=(0.1, 0.3),
        laplacian=(1.0,), update_2d=(0.25,), feature=(0.0, 0.1),
    ),
    "laptop": TuneConfig(),
}  # fmt: skip


def main(
    profile: str = "laptop",
    checkpoint: str | None = None,
    hands: int | None = None,
    rendered_hands: int | None = None,
    out: Path = Path("results"),
) -> None:
    """Sweeps the grid of `TuneConfig`; options default to those of the profile."""
    if profile not in SWEEPS:
        sys.exit(f"unknown profile '{profile}': choose one of {', '.join(SWEEPS)}")
    options = {"checkpoint": checkpoint, "hands": hands, "rendered_hands": rendered_hands}
    config = replace(SWEEPS[profile], **{name: value for name, value in options.items() if value is not None})
    command = shlex.join(["python", "tools/tune_refinement.py", *sys.argv[1:]])
    print(f"wrote {results.write(tune_refinement(config, profile, command, cache=str(CACHE)), out)}")


def tune_refinement(
    config: TuneConfig, profile: str, command: str, say: Callable[[str], object] = print, cache: str | None = None
) -> dict[str, Any]:
    """Sweeps the grid and returns its record; the weights it arrives at are in `config` → `chosen`."""
    started = time.perf_counter()
    model = DHPE.from_pretrained(config.checkpoint)
    dataset = SyntheticHands("val", model.config.size, config.hands, hand=model.hand)
    data = CachedHands.make(dataset, folder=cache, progress=False)

    def report(subset: CachedHands, weights: RefinementWeights) -> RefinementReport:
        return refinement_report(model, subset, config.iterations, weights, progress=False)

    weights, metrics = replace(config.start, feature=0.0), []
    for name in ("confidence", "stay", "laplacian", "update_2d", "feature"):
        subset = data.first(config.rendered_hands) if name == "feature" else data
        current = report(subset, weights)
        for value in getattr(config, name):
            trial = replace(weights, **{name: value})
            tried = current if trial == weights else report(subset, trial)
            metrics += _metrics(f"{name}={value:g}", tried)
            say(f"{name:>10} = {value:<6g} {_line(tried)}")
            if significantly_lower(tried.error_mm[:, -1], current.error_mm[:, -1]):
                weights, current = trial, tried
        say(f"{name:>10} : {getattr(weights, name):g} chosen")
    chosen = report(data, weights)
    gradient = refinement_report(model, data, config.gradient_iterations, weights, progress=False, method="gradient")
    metrics += _metrics("chosen", chosen) + _metrics("chosen_gradient", gradient)
    say(f"chosen {weights}\n{_line(chosen)}\nby gradient steps {_line(gradient)}")
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
        curves={"chosen": chosen.curves()["refinement"], "chosen_gradient": gradient.curves()["refinement"]},
    )


def significantly_lower(errors: torch.Tensor, before: torch.Tensor) -> bool:
    """Whether paired errors (n) fell in the mean by more than twice the standard error of their differences."""
    difference = errors - before
    return len(difference) > 1 and float(difference.mean()) < -2 * float(difference.std()) / len(difference) ** 0.5


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


if __name__ == "__main__":
    tyro.cli(main)
