"""From a method and a test set to what a results file holds: metrics, each with its protocol, and curves."""

from dataclasses import asdict

from ...data import CachedHands
from ...evaluation import evaluate
from ...evaluation.measure import Curves, measurements
from ...evaluation.protocols import OWN_PROTOCOLS
from ...evaluation.results import Metric
from ...refinement import METHOD, RefinementWeights
from ..baselines import DHPEMethod, Method, predictions

# The score by which methods are compared. No root is annotated in Dexter+Object, so its own protocol must do.
HEADLINE = {"do": "dexter_object_auc_20_50_mm"}
USUAL_HEADLINE = "joints_root_auc_20_50_mm"


def headline(test: str) -> str:
    """The name of the metric by which methods are compared on a test set: an AUC."""
    return HEADLINE.get(test, USUAL_HEADLINE)


def pck_name(test: str) -> str:
    """The PCK curve that belongs to the headline."""
    return "pck_dexter_object" if test in HEADLINE else "pck_root"


def measured(
    method: Method, data: CachedHands, test: str, progress: bool = True, device: str = "cpu"
) -> tuple[list[Metric], Curves]:
    """All that a method's estimates on a test set come to."""
    if isinstance(method, DHPEMethod):
        samples = evaluate.predictions(method.model, data, method.iterations, progress=progress)
    else:
        samples = predictions(method, data, progress=progress, device=device)
    return measurements(samples, len(data), OWN_PROTOCOLS.get(test, ()))


def refinement_settings(iterations: int) -> dict[str, object]:
    """For a record."""
    return {"iterations": iterations, **({"method": METHOD, **asdict(RefinementWeights())} if iterations else {})}


def on(data: CachedHands, device: str) -> CachedHands:
    """The same hands in the memory of a device."""
    return data.each(lambda value: value.to(device))
