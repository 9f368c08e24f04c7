"""Whether F matters: two controls of a model's features on a data set.

A regressor that sees 2D joints can do without F, and Eq. 2 is satisfied by an F that shrinks to nothing. Neither shows
in the loss or in the error, but both show here.
"""

import math

import torch
from torch import Tensor

from ..data import CachedHands
from ..dhpe import DHPE
from ..losses import feature_loss
from .evaluate import compared_output

INERT = 0.01  # F of other hands makes the error larger by less than this share of it: F is inert


@torch.no_grad()
def feature_controls(model: DHPE, data: CachedHands, batch_size: int = 32) -> dict[str, float]:
    """Measures F of a model whose trunk is not `photo`. By name:

    `feature_ratio`: Eq. 2 over the variance of F, of the hands with a mask; 1 or more if F looks at the background
    alone; left out where no hand has one. `shuffled_features_mm`: by how much the root-aligned error grows if each hand
    gets F of another; near 0 if F is inert; left out where no hand has a known root.
    """
    model.eval()
    batches = [data.batch(indices) for indices in torch.arange(len(data)).split(batch_size)]
    features = torch.cat([model.features(batch["image"]) for batch in batches])
    whole, cut_out, grown = [], [], []
    parts = zip(batches, features.split(batch_size), features.roll(1, 0).split(batch_size), strict=True)
    for batch, own, other in parts:
        if (mask := batch.get("mask")) is not None:
            known = mask.isfinite().flatten(1).all(1)
            whole.append(own[known])
            cut_out.append(model.features(batch["image"][known] * mask[known, None]))
        stages = model.heatmaps(batch["image"])
        errors = [_errors_mm(model, batch, each, stages[-1] if stages else None) for each in (own, other)]
        grown.append(errors[1] - errors[0])
    controls = {"shuffled_features_mm": float(torch.cat(grown).nanmean())}
    if sum(map(len, whole)):
        controls["feature_ratio"] = float(feature_loss(torch.cat(whole), torch.cat(cut_out), scaled=True))
    return {name: value for name, value in controls.items() if math.isfinite(value)}


def verdict_on_features(change_mm: float, error_mm: float) -> str:
    """Says in a sentence whether F is inert, for a model's card: by `shuffled_features_mm` and the error with own F."""
    inert = "F is inert" if change_mm < INERT * error_mm else "F is live"
    return f"{inert}: F of other hands changes the error of {error_mm:.1f} mm by {change_mm:+.2f} mm"


def _errors_mm(model: DHPE, batch: dict[str, Tensor], features: Tensor, heatmaps: Tensor | None) -> Tensor:
    with torch.autocast(features.device.type, enabled=False):  # as in `predictions`
        return compared_output(model.estimate(features, heatmaps, batch["image"].shape[-1]), batch)["joints_mm"]
