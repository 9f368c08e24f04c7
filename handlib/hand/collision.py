"""Tests cheaply whether the digits of a hand intersect: every bone is a row of spheres.

Digits are the fingers and the thumb from their MCP to the tip; the metacarpals stand for the palm, which the thumb must
not enter. Lengths are in meters, joints in C21 order.
"""

import itertools
from functools import lru_cache

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from .joints import BONES, C21, MANO16

SPHERES = 6  # along each bone, ends included
_METACARPALS = tuple(i for i, (parent, _) in enumerate(BONES) if parent == 0)  # wrist → MCP (thumb: wrist → CMC)
_THUMB_BASE, _THUMB_END = 1, (2, 3)  # CMC → MCP lies inside the palm; MCP → IP → tip moves freely


def bone_radii(
    vertices: Float[Tensor, "778 3"], weights: Float[Tensor, "778 16"], joints: Float[Tensor, "21 3"]
) -> Float[Tensor, "20"]:
    """Returns the radius of each bone of `BONES`: the median distance from its axis to the skin that it moves most."""
    owner, radii = weights.argmax(1), []
    for parent, child in BONES:
        skin = vertices[owner == (0 if parent == 0 else MANO16.index(C21.joints[parent]))]
        a, b = joints[parent], joints[child]
        along = ((skin - a) @ (b - a) / (b - a).square().sum()).clamp(0, 1)
        distance = (skin - a - along[:, None] * (b - a)).norm(dim=-1)
        # The skin of a metacarpal is the whole palm, so only its nearest tenth measures the thickness.
        radii.append(distance.quantile(0.1 if parent == 0 else 0.5))
    return torch.stack(radii)


def penetration_depth(joints: Float[Tensor, "*batch 21 3"], radii: Float[Tensor, "20"]) -> Float[Tensor, "*batch"]:
    """Returns the deepest overlap of two digits in meters; 0 or less means that no digits touch."""
    ends = torch.tensor(BONES, device=joints.device)
    parent, child = joints[..., ends[:, 0], :], joints[..., ends[:, 1], :]  # (..., 20, 3)
    along = torch.linspace(0, 1, SPHERES, device=joints.device, dtype=joints.dtype)[:, None]
    centers = (parent[..., None, :] + along * (child - parent)[..., None, :]).flatten(-3, -2)
    radius = radii.repeat_interleave(SPHERES)
    depth = radius[:, None] + radius - torch.cdist(centers, centers)
    apart = _may_collide().to(joints.device).repeat_interleave(SPHERES, 0).repeat_interleave(SPHERES, 1)
    return depth.masked_fill(~apart, -1.0).flatten(-2).amax(-1)


@lru_cache
def _may_collide() -> Bool[Tensor, "20 20"]:
    """Marks the pairs of bones to test: those of different digits, and the end of the thumb with the palm."""
    pairs = torch.zeros(20, 20, dtype=torch.bool)
    for i, j in itertools.product(range(20), repeat=2):
        finger = i // 4, j // 4
        if i in _METACARPALS or j in _METACARPALS:
            pairs[i, j] = i in _THUMB_END and j in _METACARPALS[1:]
        else:
            # The first bones of neighboring digits always touch at the web between them.
            web = i % 4 == 1 and j % 4 == 1 and abs(finger[0] - finger[1]) == 1
            pairs[i, j] = finger[0] != finger[1] and not web and _THUMB_BASE not in (i, j)
    return pairs | pairs.T
