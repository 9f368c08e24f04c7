"""Evaluation protocols of the field as named functions; the same estimate has a different error under each.

Every protocol takes predicted and true joints (C21 order, meters) and which of them are visible; joints that do not
count may be NaN in the truth. It returns errors in millimeters, and names the threshold grids of its AUCs. `PROTOCOLS`
lists all protocols.

Every AUC integrates the PCK curve of each keypoint by trapezoids and takes the mean over keypoints.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..hand.joints import C21, MIDDLE_MCP, TIPS
from .metrics import align, auc_on, f_scores, joint_errors_mm, without_rounding
from .results import Metric

Joints = Float[Tensor, "n 21 3"]
Visible = Bool[Tensor, "n 21"]
PHALANX = (C21.index("middle2"), MIDDLE_MCP)  # RHD's joints 11 and 12
PALM = (C21.index("wrist"), MIDDLE_MCP)  # C21's joints 0 and 9
FEWEST_TIPS = 2  # annotated fingertips that a frame of Dexter+Object needs to count
F_THRESHOLDS_MM = (5.0, 15.0)


@dataclass(frozen=True)
class Grid:
    """`steps` evenly spaced thresholds from `low` to `high` millimeters, without those before the index `first`."""

    low: float
    high: float
    steps: int
    first: int = 0

    @property
    def thresholds_mm(self) -> Float[Tensor, " t"]:
        return torch.linspace(self.low, self.high, self.steps)[self.first :]

    @property
    def name(self) -> str:
        """The text for the field `grid` of a results file."""
        text = f"{self.steps} thresholds, {self.low:g}–{self.high:g} mm"
        return text + (f", from index {self.first}: {float(self.thresholds_mm[0]):.2f} mm" if self.first else "")


class Errors(NamedTuple):
    """The errors that a protocol measures; rows are the frames that count, columns are keypoints."""

    mm: Float[Tensor, "n k"]  # 0 where not counted
    counted: Bool[Tensor, "n k"]


# ---- alignments


def rhd_hand3d(predicted: Joints, truth: Joints, visible: Visible) -> Errors:
    """Measures RHD and STB as in Zimmermann & Brox's code, hand3d: relative to joint 0, scaled by the middle phalanx.

    Joint 0 is the wrist or, in their code, a palm point; `evaluate.compared` converts both sides to that of the data
    set. A prediction is divided by its own middle proximal phalanx and multiplied by the true one.
    """
    relative = (predicted - predicted[:, :1]) / _bone(predicted, PHALANX).clamp(min=1e-9)
    return _errors(relative * _bone(truth, PHALANX), truth - truth[:, :1], visible)


def minimal_hand(predicted: Joints, truth: Joints, visible: Visible) -> Errors:
    """Measures RHD and STB as in Minimal-Hand's code: the middle MCPs coincide and the bones 0–9 have equal length.

    Joint 0 is the wrist; STB's is estimated from its palm. That code counts every joint; here joints that are not
    visible are left out, as in all protocols.
    """
    return _errors(align(predicted, truth, "root_scale"), truth, visible)


def dexter_object(predicted: Joints, truth: Joints, visible: Visible) -> Errors:
    """Measures Dexter+Object as in Minimal-Hand's code: annotated fingertips in frames with at least two of them.

    The centroids of these tips coincide, and so do their mean distances from it. This is very forgiving: with two tips,
    only the direction from one to the other is compared. Their code averages the PCK curves of the first, second …
    annotated tip of a frame; here each finger has its own.
    """
    tips = list(TIPS)
    counted = visible[:, tips] & torch.isfinite(truth[:, tips]).all(-1)
    frames = counted.sum(1) >= FEWEST_TIPS
    counted, x, y = counted[frames], predicted[frames][:, tips], truth[frames][:, tips]
    x, x_size = _centered(x, counted)
    y, y_size = _centered(y, counted)
    return _errors(x * (y_size / x_size.clamp(min=1e-9))[:, None, None], y, counted)


def freihand(
    predicted: Float[Tensor, "n k 3"], truth: Float[Tensor, "n k 3"], visible: Bool[Tensor, "n k"] | None = None
) -> Errors:
    """Measures FreiHAND and HO3D: after the best similarity (Procrustes) of all known joints or vertices.

    Like the original code, this allows the similarity to be a mirror image.
    """
    valid = torch.isfinite(truth).all(-1)
    return _errors(
        align(predicted, truth, "reflected_procrustes", valid), truth, valid if visible is None else visible & valid
    )


def wrist(predicted: Joints, truth: Joints, visible: Visible) -> Errors:
    """Measures InterHand2.6M, and HO3D as papers do: the wrists coincide. Frames without a wrist do not count."""
    visible = visible & torch.isfinite(truth[:, :1]).all(-1)
    return _errors(align(predicted, truth, "wrist"), truth, visible)


def ho3d(predicted: Joints, truth: Joints, visible: Visible) -> Errors:
    """Measures HO3D's "scale and translation": the wrists coincide and the bones 0–9 have equal length."""
    return _errors(align(predicted, truth, "wrist_scale"), truth, visible)


def root(predicted: Joints, truth: Joints, visible: Visible) -> Errors:
    """Measures handlib's own protocol: the middle MCPs coincide; only the depth of that joint was given."""
    return _errors(align(predicted, truth, "root"), truth, visible)


@dataclass(frozen=True)
class Protocol:
    name: str
    rule: str  # one line, for tables
    errors: Callable[[Tensor, Tensor, Tensor], Errors]
    grids: tuple[Grid, ...]
    wrist: bool = False  # joint 0 is the wrist, also where other scores of a data set take its palm point

    def scores(self, predicted: Joints, truth: Joints, visible: Visible) -> list[Metric]:
        """Computes mean and median error and an AUC for each grid. Raises `ValueError` if no joint counts.

        Mean and median are over all joints that count; hand3d and InterHand2.6M's code take the mean of those of each
        keypoint, which differs where some are seen less often.
        """
        return _metrics(self.name, self.rule, self.errors(predicted, truth, visible), self.grids)


HAND3D_GRID = Grid(0, 50, 20)
FREIHAND_GRID = Grid(0, 50, 100)  # HO3D's, too
PROTOCOLS = {
    p.name: p
    for p in (
        Protocol("root", "middle MCPs coincide", root, (Grid(20, 50, 20), Grid(0, 50, 20))),
        Protocol(
            "rhd_hand3d",
            "relative to joint 0, scaled by the true middle proximal phalanx",
            rhd_hand3d,
            (HAND3D_GRID, Grid(0, 50, 20, first=8)),  # its "20–50 mm" is the end of the same grid
        ),
        Protocol(
            "minimal_hand", "middle MCPs coincide, bones 0–9 have one length", minimal_hand, (Grid(20, 50, 15),), True
        ),
        Protocol(
            "dexter_object",
            "annotated tips, frames with two at least; one centroid, one mean distance from it",
            dexter_object,
            (Grid(20, 50, 15), Grid(0, 50, 20), Grid(0, 100, 20)),  # the literature uses all three ranges
        ),
        Protocol("freihand", "similarity (Procrustes)", freihand, (FREIHAND_GRID,)),
        Protocol("wrist", "wrists coincide", wrist, (FREIHAND_GRID,)),
        Protocol("ho3d", "wrists coincide, bones 0–9 have one length", ho3d, (FREIHAND_GRID,)),
    )
}


# The protocols that the literature uses for each data set, by the kind of its spec. The test splits of the benchmark
# have those of the data sets that they imitate, but for hand3d's on "studio", which no record of it has.
OWN_PROTOCOLS = {
    "diverse": ("rhd_hand3d", "minimal_hand"),
    "studio": ("minimal_hand",),
    "object": ("dexter_object",),
    "rhd": ("rhd_hand3d", "minimal_hand"),
    "stb": ("rhd_hand3d", "minimal_hand"),
    "do": ("dexter_object",),
    "freihand": ("freihand",),
    "ho3d": ("wrist", "ho3d", "freihand"),
    "interhand": ("wrist",),
}


def freihand_mesh(predicted: Float[Tensor, "n v 3"], truth: Float[Tensor, "n v 3"]) -> list[Metric]:
    """Computes the mesh scores of FreiHAND and HO3D: vertex error and AUC after Procrustes, F-scores at 5 and 15 mm.

    predicted, truth: vertices in meters. There are F-scores of the aligned meshes (`_f_5_mm`) and of the meshes as they
    lie in the camera frame (`_raw_f_5_mm`).
    """
    protocol = PROTOCOLS["freihand"]
    metrics = _metrics("freihand_vertices", protocol.rule, protocol.errors(predicted, truth), protocol.grids)
    aligned = align(predicted, truth, "reflected_procrustes")
    for kind, rule, moved in (("", protocol.rule, aligned), ("raw_", "none", predicted)):
        rows = [f_scores(p, t, F_THRESHOLDS_MM) for p, t in zip(moved, truth, strict=True)]
        for threshold, values in zip(F_THRESHOLDS_MM, zip(*rows, strict=True), strict=True):
            name = f"freihand_vertices_{kind}f_{threshold:g}_mm"
            metrics.append(Metric(name, sum(values) / len(values), "fraction", rule, n=len(values)))
    return metrics


# ---- shared


def _bone(joints: Float[Tensor, "n 21 3"], bone: tuple[int, int]) -> Float[Tensor, "n 1 1"]:
    return (joints[:, bone[0]] - joints[:, bone[1]]).norm(dim=-1)[:, None, None]


def _centered(points: Float[Tensor, "n k 3"], counted: Bool[Tensor, "n k"]) -> tuple[Tensor, Float[Tensor, " n"]]:
    """Returns points relative to the centroid of the counted ones, and the mean distance of these from it."""
    points = torch.where(counted[..., None], points, 0)
    number = counted.sum(1)
    points = points - points.sum(1, keepdim=True) / number[:, None, None]
    return points, (points.norm(dim=-1) * counted).sum(1) / number


def _errors(predicted: Tensor, truth: Tensor, visible: Tensor) -> Errors:
    return Errors(torch.where(visible, without_rounding(joint_errors_mm(predicted, truth)), 0), visible)


def _metrics(name: str, rule: str, errors: Errors, grids: tuple[Grid, ...]) -> list[Metric]:
    if not errors.counted.any():
        raise ValueError(f"{name}: no joint of any frame counts, so there is nothing to measure")
    counted, n = errors.mm[errors.counted], len(errors.mm)
    metrics = [
        Metric(f"{name}_mean_mm", float(counted.mean()), "mm", rule, n=n),
        Metric(f"{name}_median_mm", float(counted.median()), "mm", rule, n=n),
    ]
    for grid in grids:
        low = "reference_20" if grid.first else f"{grid.low:g}"
        value = auc_on(errors.mm, grid.thresholds_mm.to(errors.mm), errors.counted)
        metrics.append(Metric(f"{name}_auc_{low}_{grid.high:g}_mm", value, "fraction", rule, grid.name, n))
    return metrics
