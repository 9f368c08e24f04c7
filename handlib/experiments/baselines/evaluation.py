"""One loop for all methods; its numbers are those of `handlib.evaluation.evaluate`, under the same names, where they
apply."""

import torch
from torch import Tensor
from tqdm.auto import tqdm

from ...camera import project
from ...data import CachedHands
from ...data.crop import recropped
from ...evaluation.evaluate import compared, scores
from .interface import Method, view_of


def predictions(
    method: Method, data: CachedHands, batch_size: int = 32, progress: bool = True, device: str = "cpu"
) -> dict[str, Tensor]:
    """What scores and protocols are made from, sample by sample, as of `evaluate.compared`; on the CPU."""
    rows: dict[str, list] = {}
    for indices in tqdm(torch.arange(len(data)).split(batch_size), "evaluating", unit="batch", disable=not progress):
        batch = {name: value.to(device) for name, value in data.batch(indices).items()}
        estimate = method.predict(view_of(batch))
        for _ in range(data.passes - 1):
            if estimate.joints_cam is not None:
                batch = recropped(batch, project(estimate.joints_cam, batch["K"]))
                estimate = method.predict(view_of(batch))
        for name, value in compared(batch, *estimate, data.scored, data.palm).items():
            rows.setdefault(name, []).append(value.cpu())
    return {name: torch.cat(values) for name, values in rows.items()}


def measure(method: Method, data: CachedHands, progress: bool = True, device: str = "cpu") -> dict[str, float]:
    """All scores of a method on a data set."""
    return scores(predictions(method, data, progress=progress, device=device))
