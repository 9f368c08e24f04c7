"""Measures any method by the scores of `handlib.evaluation.evaluate`, as far as they apply."""

from torch import Tensor

from ...camera import project
from ...data import CachedHands
from ...data.crop import recropped
from ...evaluation.evaluate import by_batch, compared, scores
from .interface import Method, view_of


def predictions(
    method: Method, data: CachedHands, batch_size: int = 32, progress: bool = True, device: str = "cpu"
) -> dict[str, Tensor]:
    """Estimates every sample and compares it with the truth: the fields of `evaluate.compared`, on the CPU."""

    def comparison(batch: dict[str, Tensor]) -> dict[str, Tensor]:
        batch = {name: value.to(device) for name, value in batch.items()}
        estimate = method.predict(view_of(batch))
        for _ in range(data.passes - 1):
            if estimate.joints_cam is not None:
                batch = recropped(batch, project(estimate.joints_cam, batch["K"]))
                estimate = method.predict(view_of(batch))
        return compared(batch, *estimate, data.scored, data.palm)

    return by_batch(comparison, data, batch_size, progress)


def measure(method: Method, data: CachedHands, progress: bool = True, device: str = "cpu") -> dict[str, float]:
    """Computes all scores of a method on a data set."""
    return scores(predictions(method, data, progress=progress, device=device))
