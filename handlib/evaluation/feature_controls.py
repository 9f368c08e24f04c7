"""Whether F matters: two controls of a model's features on a data set.

A regressor that sees 2D joints can do without F, and Eq. 2 is satisfied by an F that shrinks to nothing. Neither shows
in the loss or in the error, but both show here.
"""

import torch

from ..data import CachedHands
from ..dhpe import DHPE
from .evaluate import compared, depth_of_root

INERT = 0.01  # F of other hands makes the error larger by less than this share of it: F is inert


@torch.no_grad()
def feature_controls(model: DHPE, data: CachedHands, batch_size: int = 32) -> dict[str, float]:
    """Measures F of a model whose trunk is not `photo`. By name:

    `feature_ratio`: the mean of ‖F(x) − F(x ⊙ y_M)‖² over the variance of F, which Eq. 2 is to make small; 1 or
    more if F looks at the background alone; left out where no hand has a mask. `shuffled_features_mm`: by how much the
    root-aligned error grows if each hand gets F of another; near 0 if F is inert.
    """
    model.eval()
    batches = [data.batch(indices) for indices in torch.arange(len(data)).split(batch_size)]
    features = torch.cat([model.features(batch["image"]) for batch in batches])
    controls, changes = {}, []
    for batch, own in zip(batches, features.split(batch_size), strict=True):
        if (mask := batch.get("mask")) is not None:
            known = mask.isfinite().flatten(1).all(1)
            masked = model.features(batch["image"][known] * mask[known, None])
            changes.append((own[known] - masked).square().sum(1))
    if changes and len(change := torch.cat(changes)):
        controls["feature_ratio"] = float(change.mean() / features.var(0, correction=0).sum().clamp(min=1e-30))
    errors = [
        torch.cat([_errors_mm(model, batch, part) for batch, part in zip(batches, each.split(batch_size), strict=True)])
        for each in (features, features.roll(1, 0))
    ]
    controls["shuffled_features_mm"] = float(errors[1].nanmean() - errors[0].nanmean())
    return controls


def verdict_on_features(change_mm: float, error_mm: float) -> str:
    """Says in a sentence whether F is inert, for a model's card: by `shuffled_features_mm` and the error with own F."""
    inert = "F is inert" if change_mm < INERT * error_mm else "F is live"
    return f"{inert}: F of other hands changes the error of {error_mm:.1f} mm by {change_mm:+.2f} mm"


def _errors_mm(model: DHPE, batch: dict[str, torch.Tensor], features: torch.Tensor) -> torch.Tensor:
    stages = model.heatmaps(batch["image"])
    output = model.estimate(features, stages[-1] if stages else None, batch["image"].shape[-1])
    hands = output.in_camera(batch["K"], depth_of_root(batch["joints_cam"]))
    return compared(batch, hands.joints)["joints_mm"]
