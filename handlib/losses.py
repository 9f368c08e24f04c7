"""The losses, one function an equation, named after it. Every one is a mean, so no weight depends on the batch size.

Joints and meshes are in crop coordinates (camera.py) unless a name says otherwise. What the paper leaves open, the
weights above all, is a field of `LossWeights`.

Truth that is not known is NaN: a joint that nobody annotated, the mask of a data set without masks, the vertices of one
without meshes. It is left out, and the means are over what is known; where nothing is, a loss is 0. A joint that is
hidden but annotated counts: `visible` is for scores.
"""

from dataclasses import dataclass, fields

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from .camera import focal_length, project
from .evidence import target_heatmaps
from .hand.joints import MIDDLE_MCP
from .support.arguments import at_least, checked

PAPER_SIZE = 224  # pixels of the crop in which T of Eq. 12 is given


@dataclass(frozen=True)
class LossWeights:
    """Weights of the terms of Eq. 7. Ours to choose: the paper gives only the threshold of Eq. 12.

    A term of weight 0 is not computed, and logged as 0.
    """

    articulation: float = 10.0  # Eq. 8
    shape: float = 1.0  # Eq. 9, times the switch of Eq. 12
    laplacian: float = 1.0
    feature: float = 0.1  # Eq. 2
    feature_scaled: bool = True  # Eq. 2 over the variance of F(x) in a batch, or a process's part; not the paper's
    feature_joints: float = 5.0  # not in the paper: the skeleton read off F(x) alone, or E3D learns to do without F
    heatmap: float = 100.0  # Eq. 3; large because most of a heat map is zero
    earlier_heatmaps: float = 100.0  # Eq. 3 at the first stages of the paper's J2D, as its authors train it; 0: not
    refiner: float = 1.0  # Eq. 6
    reprojection: float = 2.0  # not in the paper: Eq. 8 is blind to where the hand is, so nothing else starts t
    shape_prior: float = 1e-3  # not in the paper: settles which part of a hand's size is β and which is σ
    vertices: float = 0.0  # not in the paper, which has no meshes to learn from: helps networks of a CPU's size
    threshold_px: float = 15.0  # T of Eq. 12, pixels of the paper's 224² crop
    scheduled: bool = True  # Eq. 12; False: the shape loss always counts (Fig. 5f, "constant weight")


TERMS = tuple(field.name for field in fields(LossWeights) if field.type is float and field.name != "threshold_px")


@checked
def valid_points(target: Float[Tensor, "*batch c"]) -> Bool[Tensor, "*batch 1"]:
    """Which points are known: those without a NaN among their coordinates."""
    return ~target.isnan().any(-1, keepdim=True)


def _mean_square(difference: Tensor, valid: Tensor) -> Float[Tensor, ""]:
    """Mean of the squares where `valid`, which is broadcast; 0 where nothing is."""
    count = valid.sum() * (difference.numel() // max(valid.numel(), 1))
    return torch.where(valid, difference, 0).square().sum() / count.clamp(min=1)


@checked
def feature_loss(
    features: Float[Tensor, "b c"],
    masked: Float[Tensor, "b c"],
    valid: Bool[Tensor, " b"] | None = None,
    scaled: bool = False,
) -> Float[Tensor, ""]:
    """Eq. 2: L_Feat = ‖F(x) − F(x ⊙ y_M)‖², which teaches F to look at the hand alone. valid: which have a mask.

    An F that shrinks to nothing satisfies Eq. 2. scaled: over the variance of F(x) in the batch, which settles that; of
    one hand alone there is none.
    """
    valid = features.new_ones(len(features), dtype=torch.bool) if valid is None else valid
    loss = _mean_square(features - masked, valid[:, None])
    if not scaled:
        return loss
    count = valid.sum()
    center = torch.where(valid[:, None], features, 0).sum(0) / count.clamp(min=1)
    variance = _mean_square(features - center, valid[:, None])
    return torch.where(count > 1, loss / variance.clamp(min=1e-12), loss)


@checked
def feature_joints_loss(joints: Float[Tensor, "b 21 3"], target: Float[Tensor, "b 21 3"]) -> Float[Tensor, ""]:
    """Not in the paper: the skeleton that is linear in F(x), `DHPE.feature_head`, against norm(y_J) of Eq. 8."""
    return _mean_square(joints - target, valid_points(target))


@checked
def heatmap_loss(heatmaps: Float[Tensor, "b 21 s s"], joints: Float[Tensor, "b 21 2"]) -> Float[Tensor, ""]:
    """Eq. 3: L_2D = ‖J2D(x) − y_Heat‖²."""
    difference = heatmaps - target_heatmaps(joints, heatmaps.shape[-1])
    return _mean_square(difference, valid_points(joints)[..., None])


@checked
def refiner_loss(evidence: list[Float[Tensor, "b 21 2"]], joints: Float[Tensor, "b 21 2"]) -> Float[Tensor, ""]:
    """Eq. 6: L_Ref = Σ_k ‖j2D(k) − y_2D‖², over the refined estimates k ≥ 1."""
    return sum((reprojection_loss(estimate, joints) for estimate in evidence), start=joints.new_zeros(()))


@checked
def articulation_loss(
    joints: Float[Tensor, "b 21 3"], target: Float[Tensor, "b 21 3"], omega: Float[Tensor, " b"]
) -> Tensor:
    """Eq. 8: L_Art = ‖norm(Reg(m)) − norm(y_J)‖².

    `target` is `normalize_joints` of the truth and `omega` (b) its ω in crop units. Under the scaled orthographic
    camera all axes share one unit, so the estimate is normalized by its root and ω alone. An ω that is not above 0 is
    unknown, too.
    """
    relative = joints - joints[:, MIDDLE_MCP : MIDDLE_MCP + 1]
    known = omega > 0
    unit = torch.where(known, omega, 1.0)[:, None, None]
    return _mean_square(relative / unit - target, valid_points(target) & known[:, None, None])


@checked
def shape_loss(
    silhouette: Float[Tensor, "b s s"], mask: Float[Tensor, "b s s"], weight: Float[Tensor, " b"]
) -> Float[Tensor, ""]:
    """Eq. 9: L_Sh = ‖Ren(m) − y_M‖², each instance with its weight of Eq. 12; the mean over those with a mask."""
    valid = ~mask.isnan().flatten(1).any(1)
    squares = torch.where(valid[:, None, None], silhouette - mask, 0).square()
    instances = squares.sum((1, 2)) / max(mask.shape[-1] ** 2, 1)
    return (weight * instances).sum() / valid.sum().clamp(min=1)


@checked
def shape_weight(
    joints: Float[Tensor, "b 21 2"], target: Float[Tensor, "b 21 2"], threshold: float
) -> Float[Tensor, " b"]:
    """Eq. 12: λ_Sh of each instance, 1 once its mean 2D joint error is at most `threshold`, else 0.

    The mean over its known joints; 0 for an instance that has none.
    """
    valid = valid_points(target)[..., 0]
    total = torch.where(valid, (joints - target).norm(dim=-1), 0).sum(-1)
    count = valid.sum(-1)
    return ((total <= threshold * count) & (count > 0)).to(joints.dtype)


@checked
def laplacian_loss(vertices: Float[Tensor, "*batch v 3"], laplacian: Float[Tensor, "v v"]) -> Float[Tensor, ""]:
    """L_Lap: mean over vertices of ‖(Lv)_i‖, of meshes in meters: how far a vertex is from its neighbors' mean."""
    lengths = (vertices.mT @ laplacian.mT).norm(dim=-2)  # one product of matrices; L @ V would be one a mesh
    return lengths.sum() / max(lengths.numel(), 1)


@checked
def reprojection_loss(joints: Float[Tensor, "b 21 2"], target: Float[Tensor, "b 21 2"]) -> Float[Tensor, ""]:
    """Mean squared error of the projected joints: what Eq. 8, being relative to the root, leaves free."""
    return _mean_square(joints - target, valid_points(target))


@checked
def vertex_loss(
    vertices: Float[Tensor, "b v 3"], root: Float[Tensor, "b 3"], target: Float[Tensor, "b v 3"]
) -> Float[Tensor, ""]:
    """Mean squared error of the vertices relative to the root; `target` is `relative_vertices` of the truth.

    Not in the paper, whose data sets have no meshes. On rendered hands, of which everything is known, a small network
    learns faster from the surface than from 21 joints and an outline.
    """
    return _mean_square(vertices - root[:, None] - target, valid_points(target))


@checked
def relative_vertices(
    vertices_cam: Float[Tensor, "b v 3"], root_cam: Float[Tensor, "b 3"], K: Float[Tensor, "b 3 3"], size: int
) -> Float[Tensor, "b v 3"]:
    """True vertices relative to the root (middle MCP), in crop units of a crop of `size` pixels.

    As norm of Eq. 8 treats joints, but in crop units: x and y as projected, z by the scale at the root's depth. What is
    not in front of the camera has no projection: such a vertex is NaN, unknown, and with such a root all are.
    """
    at_least(1, size=size)
    both = torch.cat([vertices_cam, root_cam[:, None]], 1)
    both = torch.where(both[..., 2:] > 0, both, torch.nan)
    xy = project(both, K) / (size / 2)
    z = both[..., 2:] * (focal_length(K) / both[:, -1, 2] / (size / 2))[:, None, None]
    points = torch.cat([xy, z], -1)
    return points[:, :-1] - points[:, -1:]


@checked
def filled_from_root(joints: Float[Tensor, "b 21 c"]) -> Float[Tensor, "b 21 c"]:
    """Unknown joints put where the middle MCP is, so that boxes around all joints are boxes around the known ones."""
    return torch.where(valid_points(joints), joints, joints[:, MIDDLE_MCP : MIDDLE_MCP + 1])
