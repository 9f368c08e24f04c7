"""The soft silhouette (Liu et al., "Soft Rasterizer", ICCV 2019): faces are blurred, and every face contributes.

A pixel at distance d from the outline of face j, positive inside, belongs to it with probability p_j = sigmoid(±d²/σ),
and to the hand with 1 − Π_j (1 − p_j) = 1 − exp(−Σ_j softplus(±d²/σ)). Distances are in units of half the image's
shorter side, as is σ's root. Faces so far away that p_j < 1e-4 are left out.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from .rasterize import TINY_AREA, candidates, corners, twice_area

CUT = math.log(1 / 1e-4 - 1)  # in units of σ


def soft_silhouette(
    vertices: Float[Tensor, "b v 3"], faces: Int[Tensor, "#b f 3"], height: int, width: int, sigma: float
) -> Float[Tensor, "b h w"]:
    """Computes the probability that a pixel shows the mesh; differentiable in x and y by autograd."""
    b, f = len(vertices), faces.shape[1]
    unit = min(height, width) / 2
    triangles = corners(vertices[..., :2], faces).reshape(b * f, 3, 2)
    reach = unit * math.sqrt(CUT * sigma)
    with torch.no_grad():
        flat = twice_area(triangles).abs() <= TINY_AREA
        x, y = torch.where(flat[:, None, None], torch.nan, triangles).unbind(-1)
        grown = [torch.stack([t.amin(1) - reach, t.amax(1) + reach], 1).nan_to_num(-1e9) for t in (x, y)]
        face, column, row = candidates(*grown, height, width)
    pixel = torch.stack([column, row], -1).to(vertices) + 0.5
    squared, inside = _squared_distance(triangles[face], pixel)
    signed = torch.where(inside, squared, -squared) / (unit * unit * sigma)
    counted = (signed > -CUT).nonzero()[:, 0]
    pixel_index = (torch.div(face, f, rounding_mode="floor") * height + row) * width + column
    total = vertices.new_zeros(b * height * width)
    total = total.index_add(0, pixel_index[counted], functional.softplus(signed[counted]))
    return (1 - torch.exp(-total)).view(b, height, width)


def _squared_distance(triangles: Float[Tensor, "n 3 2"], points: Float[Tensor, "n 2"]) -> tuple[Tensor, Tensor]:
    """Returns the squared distance of each point from the outline of its triangle, and whether it lies inside."""
    start = triangles - points[:, None]  # corners relative to the point
    along = triangles.roll(-1, 1) - triangles
    t = -(start * along).sum(-1) / along.square().sum(-1).clamp(min=1e-12)
    nearest = start + t.clamp(0, 1)[..., None] * along
    end = start.roll(-1, 1)
    side = (start[..., 0] * end[..., 1] - start[..., 1] * end[..., 0]).detach()
    return nearest.square().sum(-1).amin(1), (side > 0).all(1) | (side < 0).all(1)
