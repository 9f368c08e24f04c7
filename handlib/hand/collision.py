"""Do the digits of a hand run through one another? A cheap answer: every bone is a row of spheres.

Digits are the fingers from the MCP and the thumb from its MCP; the metacarpals stand for the palm, which the thumb
must not enter. Lengths in meters, joints in C21 order.
"""

import itertools
from functools import lru_cache

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from .joints import BONES, C21, MANO16

SPHERES = 6  # along each bone, ends included
_METACARPALS = tuple(i for i, (parent, _) in enumerate(BONES) if parent == 0)  # wrist → MCP (thumb: wrist → CMC)
_THUMB_BASE, _THUMB_END = 1, (2, 3)  # CMC → MCP lies in the palm's flesh; MCP → IP → tip moves freely


def bone_radii(
    vertices: Float[Tensor, "778 3"], weights: Float[Tensor, "778 16"], joints: Float[Tensor, "21 3"]
) -> Float[Tensor, "20"]:
    """Radius of each bone of `BONES`: the median distance of the skin that mostly follows it from its axis."""
    owner, radii = weights.argmax(1), []
    for parent, child in BONES:
        skin = vertices[owner == (0 if parent == 0 else MANO16.index(C21.joints[parent]))]
        a, b = joints[parent], joints[child]
        along = ((skin - a) @ (b - a) / (b - a).square().sum()).clamp(0, 1)
        distance = (skin - a - along[:, None] * (b - a)).norm(dim=-1)
        # A metacarpal's skin is the whole palm: its nearest tenth measures the thickness.
        radii.append(distance.quantile(0.1 if parent == 0 else 0.5))
    return torch.stack(radii)


def penetration_depth(joints: Float[Tensor, "*batch 21 3"], radii: Float[Tensor, "20"]) -> Float[Tensor, "*batch"]:
    """How deep the digits of a hand overlap at most, in meters; 0 or less means that they do not touch."""
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
    """Which pairs of bones count: two digits against each other, and the thumb's end against the palm."""
    pairs = torch.zeros(20, 20, dtype=torch.bool)
    for i, j in itertools.product(range(20), repeat=2):
        finger = i // 4, j // 4
        if i in _METACARPALS or j in _METACARPALS:
            pairs[i, j] = i in _THUMB_END and j in _METACARPALS[1:]
        else:
            # Neighboring fingers share a web: their first bones always touch there. So does the thumb's.
            web = i % 4 == 1 and j % 4 == 1 and abs(finger[0] - finger[1]) == 1
            pairs[i, j] = finger[0] != finger[1] and not web and _THUMB_BASE not in (i, j)
    return pairs | pairs.T
