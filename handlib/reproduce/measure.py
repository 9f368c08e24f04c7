"""From a method and a test set to what a results file holds: metrics, each with its protocol, and curves."""

from dataclasses import asdict

import torch
from torch import Tensor

from ..baselines import DHPEMethod, Method, predictions
from ..data import CachedHands
from ..evaluate import pck_curve, scores
from ..metrics import error_by_joint, error_by_tone
from ..protocols import PROTOCOLS
from ..refinement import RefinementWeights
from ..refinement_report import refinement_report
from ..results import Metric, describe

# Beside alignment at the root, which all have whose root is known: the protocols of the set's own literature.
OWN_PROTOCOLS = {
    "diverse": ("rhd_hand3d", "minimal_hand"),
    "studio": ("minimal_hand",),
    "object": ("dexter_object",),
    "rhd": ("rhd_hand3d", "minimal_hand"),
    "stb": ("minimal_hand",),
    "do": ("dexter_object",),
    "freihand": ("freihand",),
}
# The score by which methods are compared. No root is annotated in Dexter+Object, so its own protocol must do.
HEADLINE = {"do": "dexter_object_auc_20_50_mm"}
USUAL_HEADLINE = "joints_root_auc_20_50_mm"
Curves = dict[str, dict[str, list]]


def headline(test: str) -> str:
    """The name of the metric by which methods are compared on a test set: an AUC."""
    return HEADLINE.get(test, USUAL_HEADLINE)


def measured(
    method: Method, data: CachedHands, test: str, progress: bool = True, device: str = "cpu"
) -> tuple[list[Metric], Curves]:
    """All that a method's estimates on a test set come to; of a method that answers in part, what its answers do."""
    found = predictions(method, data, progress=progress, device=device)
    metrics = [m for m in describe(scores(found), len(data)) if m.value == m.value]  # NaN: nothing to measure it on
    curves: Curves = {}
    if "joints_cam" in found:
        visible, truth = found["visible"], found["truth_cam"]
        for name in OWN_PROTOCOLS.get(test, ()):
            metrics += PROTOCOLS[name].scores(found["joints_cam"], truth, visible)
        known = visible & torch.isfinite(found["joints_mm"])
        if known.any():
            errors = torch.where(known, found["joints_mm"], 0)
            curves["pck_root"] = pck_curve(found | {"joints_mm": errors, "visible": known})
            curves["by_joint"] = error_by_joint(errors, known)
            if "tone" in found:
                curves["by_tone"] = error_by_tone(errors, found["tone"], known)
    return metrics, {name: _without_nan(curve) for name, curve in curves.items()}


def refinement_steps(
    method: DHPEMethod, data: CachedHands, iterations: int, progress: bool = True
) -> tuple[list[Metric], Curves]:
    """The mean error at each step of Eq. 13, on the hands whose root is known."""
    report = refinement_report(method.model, data, iterations, progress=progress)
    n, summary = len(report.error_mm), report.summary()
    metrics = [
        Metric("joints_root_mean_start_mm", summary["joints_root_mean_start_mm"], "mm", "root", n=n),
        Metric("joints_root_mean_end_mm", summary["joints_root_mean_end_mm"], "mm", "root", n=n),
        Metric("error_rose_fraction", summary["error_rose_fraction"], "fraction", "root", n=n),
        Metric("objective_rose_fraction", summary["objective_rose_fraction"], "fraction", "none", n=n),
    ]
    rounded = [round(value, 4) for value in report.mean_mm.tolist()]
    return metrics, {"steps": {"iteration": list(range(iterations + 1)), "joints_root_mean_mm": rounded}}


def refinement_settings(iterations: int) -> dict[str, object]:
    """For a record."""
    return {"iterations": iterations, **(asdict(RefinementWeights()) if iterations else {})}


def _without_nan(curve: dict[str, list]) -> dict[str, list]:
    """A curve that JSON can hold: None where there is no number."""

    def number(value: object) -> object:
        return None if isinstance(value, float) and value != value else value

    return {name: [number(value) for value in column] for name, column in curve.items()}


def on(data: CachedHands, device: str) -> CachedHands:
    """The same hands in the memory of a device."""
    tensors: dict[str, Tensor] = {name: value.to(device) for name, value in data.tensors.items()}
    return CachedHands(tensors, data.name, data.scored)
