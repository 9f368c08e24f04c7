"""From a method and a test set to what a results file holds: metrics, each with its protocol, and curves."""

from dataclasses import asdict

from ...data import CachedHands
from ...evaluation import evaluate
from ...evaluation.protocols import OWN_PROTOCOLS, PROTOCOLS
from ...evaluation.results import Metric
from ...refinement import RefinementWeights
from ..baselines import DHPEMethod, Method, predictions

# The score by which methods are compared. No root is annotated in Dexter+Object, so its own protocol must do.
HEADLINE = {"do": "dexter_object_auc_20_50_mm"}
USUAL_HEADLINE = "joints_root_auc_20_50_mm"
Curves = dict[str, dict[str, list]]


def headline(test: str) -> str:
    """The name of the metric by which methods are compared on a test set: an AUC."""
    return HEADLINE.get(test, USUAL_HEADLINE)


def pck_name(test: str) -> str:
    """The PCK curve that belongs to the headline."""
    return "pck_dexter_object" if test in HEADLINE else "pck_root"


def measured(
    method: Method, data: CachedHands, test: str, progress: bool = True, device: str = "cpu"
) -> tuple[list[Metric], Curves]:
    """All that a method's estimates on a test set come to; of a method that answers in part, what its answers do."""
    if isinstance(method, DHPEMethod):
        samples = evaluate.predictions(method.model, data, method.iterations, progress=progress)
        samples = {name: value.cpu() for name, value in samples.items()}
    else:
        samples = predictions(method, data, progress=progress, device=device)
    metrics, drawn = evaluate.describe(evaluate.scores(samples), len(data)), {}
    if "joints_cam" in samples and samples["visible"].any():
        for name in OWN_PROTOCOLS.get(test, ()):
            metrics += PROTOCOLS[name].scores(samples["joints_cam"], samples["truth_cam"], samples["visible"])
        drawn = evaluate.curves(samples)
        if pck_name(test) != "pck_root":
            errors = PROTOCOLS["dexter_object"].errors(samples["joints_cam"], samples["truth_cam"], samples["visible"])
            drawn[pck_name(test)] = evaluate.pck_curve({"joints_mm": errors.mm, "visible": errors.counted})
    if report := evaluate.refinement_of(samples):
        metrics, drawn = metrics + report.metrics(), drawn | report.curves()
    return metrics, {name: _without_nan(curve) for name, curve in drawn.items()}


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
    return data.each(lambda value: value.to(device))
