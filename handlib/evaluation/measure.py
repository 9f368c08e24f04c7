"""Computes the contents of a results file from the samples of a test set: metrics with their protocols, and curves."""

from torch import Tensor

from .evaluate import curves, describe, pck_curve, refinement_of, scores
from .protocols import PROTOCOLS, freihand_mesh
from .results import Metric

Curves = dict[str, dict[str, list]]


def measurements(samples: dict[str, Tensor], n: int, protocols: tuple[str, ...] = ()) -> tuple[list[Metric], Curves]:
    """Computes all metrics and curves for which `evaluate.predictions` of n hands have estimates.

    protocols: names of `PROTOCOLS` to add to handlib's own scores.
    """
    metrics, tables = describe(scores(samples), n), {}
    if "joints_cam" in samples:
        tables = curves(samples)
        joints = samples["joints_cam"], samples["truth_cam"], samples["visible"]
        for name in protocols if samples["visible"].any() else ():
            metrics += PROTOCOLS[name].scores(*joints)
            if name == "dexter_object":  # has no annotated root, so its PCK curve uses its own errors
                errors = PROTOCOLS[name].errors(*joints)
                tables[f"pck_{name}"] = pck_curve({"joints_mm": errors.mm, "visible": errors.counted})
    if "freihand" in protocols and "truth_vertices_cam" in samples:
        metrics += freihand_mesh(samples["vertices_cam"], samples["truth_vertices_cam"])
    if report := refinement_of(samples):
        metrics, tables = metrics + report.metrics(), tables | report.curves()
    return metrics, {name: _without_nan(curve) for name, curve in tables.items()}


def _without_nan(curve: dict[str, list]) -> dict[str, list]:
    """Replaces NaN by None, which JSON can represent."""

    def number(value: object) -> object:
        return None if isinstance(value, float) and value != value else value

    return {name: [number(value) for value in column] for name, column in curve.items()}
