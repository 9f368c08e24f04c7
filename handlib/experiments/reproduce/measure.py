"""The errors of each hand, by which differences are judged (statistics.py), in a file beside their results file."""

import hashlib
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from ...evaluation.metrics import auc_on
from ...evaluation.protocols import PROTOCOLS
from ...support.files import write_file
from .sets import HEADLINE, headline, pck_name  # noqa: F401  pages look for the two functions here

GRID_MM = torch.linspace(20, 50, 20)  # of the AUC that methods are compared by
Errors = dict[str, Tensor]  # one number a hand, half precision; the names are those of sets.ERRORS


def errors_of(samples: dict[str, Tensor], test: str = "") -> Errors:
    """The scores of each hand, of what `evaluate.compared` gives; NaN for a hand without any joint to score.

    "auc" is that of the hand's own visible joints: where all are visible, the mean over hands is the AUC of the set.
    """
    errors = {}
    if "joints_mm" in samples:
        joints, visible = samples["joints_mm"], samples["visible"]
        if test in HEADLINE:  # no root is annotated there
            own = PROTOCOLS["dexter_object"].errors(samples["joints_cam"], samples["truth_cam"], visible)
            joints, visible = own.mm.where(own.counted, torch.nan), own.counted
        counted = visible & joints.isfinite()
        errors["auc"] = torch.tensor([
            auc_on(hand[seen][:, None], GRID_MM.to(hand)) if seen.any() else torch.nan
            for hand, seen in zip(joints, counted, strict=True)
        ])  # fmt: skip
        errors |= {"root_mm": joints.nanmean(1), "procrustes_mm": samples["joints_pa_mm"].nanmean(1)}
    if "refinement_mm" in samples and samples["refinement_mm"].isfinite().any():
        errors["half_mm"] = samples["refinement_mm"][:, samples["refinement_mm"].shape[1] // 2]
    if "vertices_pa_mm" in samples:
        errors["vertices_mm"] = samples["vertices_pa_mm"]
    if "mask" in samples and len(samples["mask"]):
        said, true = samples["mask"], samples["target"]
        errors["iou"] = (said & true).sum((1, 2)) / (said | true).sum((1, 2)).clamp(min=1)
    return {name: value.half().cpu() for name, value in errors.items()}


def keep_errors(errors: Errors, path: Path) -> str:
    """Writes errors of hands beside their results file; returns the SHA-256, which the record holds."""
    content = save({name: value.contiguous() for name, value in errors.items()})
    write_file(path, content)
    return hashlib.sha256(content).hexdigest()
