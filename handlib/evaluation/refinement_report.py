"""Measures what each step of test-time refinement does to the true error: the curve of the paper's Fig. 5(e).

Refinement does not know the truth, so it may lower its objective and raise the error. This module measures how often
that happens on data with known truth. Joints are placed and aligned as in evaluate.py.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from tqdm.auto import tqdm

from ..camera import crop_to_cam
from ..data import CachedHands
from ..data.real.palm import wrist_to_palm
from ..dhpe import DHPE
from ..hand.joints import MIDDLE_MCP
from ..output import DHPEOutput
from ..refinement import METHOD, RefinementWeights, refine
from .metrics import align, joint_errors_mm
from .results import Metric

CHANGES_MM = [float(edge) for edge in range(-20, 21, 2)]  # bin edges of the histogram of changes of the error


class RefinementReport(NamedTuple):
    """Error and objective of each hand at every step 0 … iterations."""

    error_mm: Float[Tensor, "n steps"]  # mean over the joints that count
    objective: Float[Tensor, "n steps"]  # of Eq. 13, which refinement lowers

    @property
    def mean_mm(self) -> Float[Tensor, " steps"]:
        """Mean error after each number of iterations."""
        return self.error_mm.mean(0)

    @property
    def rose(self) -> Float[Tensor, " steps"]:
        """Fraction of hands whose error is higher than that of their first estimate."""
        return (self.error_mm > self.error_mm[:, :1]).float().mean(0)

    def summary(self) -> dict[str, float]:
        """Computes the numbers that a results file records."""
        change = self.error_mm[:, -1] - self.error_mm[:, 0]
        risen = change[change > 0]
        start, end = self.objective[:, 0], self.objective[:, -1]
        return {
            "joints_root_mean_start_mm": float(self.mean_mm[0]),
            "joints_root_mean_end_mm": float(self.mean_mm[-1]),
            "error_rose_fraction": float(self.rose[-1]),
            "error_rose_by_mean_mm": float(risen.mean()) if len(risen) else 0.0,
            "error_rose_by_most_mm": float(change.amax().clamp(min=0)),
            "error_change_standard_error_mm": float(change.std() / len(change) ** 0.5) if len(change) > 1 else 0.0,
            "objective_start": float(start.mean()),
            "objective_end": float(end.mean()),
            "objective_rose_fraction": float((end > start).float().mean()),
        }

    def metrics(self) -> list[Metric]:
        """Converts `summary` to the metrics of a results file; every name begins with "refinement_"."""
        n, metrics = len(self.error_mm), []
        for name, value in self.summary().items():
            unit = "mm" if name.endswith("_mm") else "fraction" if name.endswith("_fraction") else "objective"
            metrics.append(Metric(f"refinement_{name}", value, unit, "none" if "objective" in name else "root", n=n))
        return metrics

    def curves(self) -> dict[str, dict[str, list]]:
        """Computes the curves for figures: means after each number of iterations, and a histogram of changes."""
        change = self.error_mm[:, -1] - self.error_mm[:, 0]
        edges = change.new_tensor(CHANGES_MM)
        counts = torch.bincount(torch.bucketize(change, edges), minlength=len(edges) + 1)
        return {
            "refinement": {
                "iteration": list(range(self.error_mm.shape[1])),
                "joints_root_mean_mm": [round(v, 4) for v in self.mean_mm.tolist()],
                "error_rose_fraction": [round(v, 4) for v in self.rose.tolist()],
                "objective": [round(v, 7) for v in self.objective.mean(0).tolist()],
            },
            "refinement_change": {  # low < change ≤ high; None: no bound
                "low_mm": [None, *CHANGES_MM],
                "high_mm": [*CHANGES_MM, None],
                "hands": counts.tolist(),
            },
        }


def refinement_report(
    model: DHPE,
    data: CachedHands,
    iterations: int | None = None,
    weights: RefinementWeights | None = None,
    batch_size: int = 32,
    progress: bool = True,
    method: str = METHOD,
) -> RefinementReport:
    """Refines every hand of `data` and measures each step.

    Joints without annotation (NaN) do not count, nor do joints outside the data set's `scored`. Raises `ValueError` if
    there are no hands, or a hand without any joint.
    """
    if not len(data):
        raise ValueError("there are no hands to refine")
    model.eval()

    def measure(batch: dict[str, Tensor]) -> dict[str, Tensor]:
        with torch.no_grad():
            output = model(batch["image"])
        refined = refine(model, batch["image"], output, iterations, weights, method)
        return trajectory(refined, batch, data.scored, data.palm)._asdict()

    report = RefinementReport(**by_batch(measure, data, batch_size, progress))
    if not torch.isfinite(report.error_mm).all():
        raise ValueError("a hand has no joint with a known error: are its root and its camera annotated?")
    return report


def by_batch(
    measure: Callable[[dict[str, Tensor]], dict[str, Tensor]], data: CachedHands, batch_size: int, progress: bool
) -> dict[str, Tensor]:
    """Applies `measure` to every batch and joins the results on the CPU."""
    rows: dict[str, list] = {}
    for indices in tqdm(torch.arange(len(data)).split(batch_size), "evaluating", unit="batch", disable=not progress):
        for name, value in measure(data.batch(indices)).items():
            rows.setdefault(name, []).append(value.cpu())
    return {name: torch.cat(values) for name, values in rows.items()}


def trajectory(
    refined: DHPEOutput, batch: dict[str, Tensor], scored: tuple[int, ...] = tuple(range(21)), palm: str = ""
) -> RefinementReport:
    """Makes the report of one refined batch. The error is NaN for a hand without a known joint or root."""
    states, truth = refined.history, batch["joints_cam"]
    joints = torch.stack([state.joints for state in states], 1)  # (b, steps, 21, 3)
    steps = joints.shape[1]
    K = batch["K"][:, None].expand(-1, steps, -1, -1)
    depth = truth[:, MIDDLE_MCP, 2][:, None].expand(-1, steps)
    joints_cam = crop_to_cam(joints, joints[:, :, MIDDLE_MCP], depth, K, refined.size)
    target = truth[:, None].expand(-1, steps, -1, -1)
    joints_cam, target = wrist_to_palm(joints_cam, palm), wrist_to_palm(target, palm)  # as in `evaluate.compared`
    error = joint_errors_mm(align(joints_cam, target, "root"), target)[..., list(scored)].nanmean(-1)
    return RefinementReport(error, torch.stack([state.objective for state in states], 1))
