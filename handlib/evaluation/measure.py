"""From the samples of a test set to what a results file holds: metrics, each with its protocol, and curves."""

from torch import Tensor

from .evaluate import curves, describe, pck_curve, refinement_of, scores
from .protocols import PROTOCOLS, freihand_mesh
from .results import Metric

Curves = dict[str, dict[str, list]]


def measurements(samples: dict[str, Tensor], n: int, protocols: tuple[str, ...] = ()) -> tuple[list[Metric], Curves]:
    """Everything that `evaluate.predictions` of n hands come to; of a method that answers in part, what its answers do.

    protocols: names of `PROTOCOLS`, beside our own scores.
    """
    metrics, tables = describe(scores(samples), n), {}
    if "joints_cam" in samples:
        tables = curves(samples)
        joints = samples["joints_cam"], samples["truth_cam"], samples["visible"]
        for name in protocols if samples["visible"].any() else ():
            metrics += PROTOCOLS[name].scores(*joints)
            if name == "dexter_object":  # no root is annotated there, so its PCK is that of its own errors
                errors = PROTOCOLS[name].errors(*joints)
                tables[f"pck_{name}"] = pck_curve({"joints_mm": errors.mm, "visible": errors.counted})
    if "freihand" in protocols and "truth_vertices_cam" in samples:
        metrics += freihand_mesh(samples["vertices_cam"], samples["truth_vertices_cam"])
    if report := refinement_of(samples):
        metrics, tables = metrics + report.metrics(), tables | report.curves()
    return metrics, {name: _without_nan(curve) for name, curve in tables.items()}


def _without_nan(curve: dict[str, list]) -> dict[str, list]:
    """A curve that JSON can hold: None where there is no number."""

    def number(value: object) -> object:
        return None if isinstance(value, float) and value != value else value

    return {name: [number(value) for value in column] for name, column in curve.items()}
