"""Combines the samples of an image into layers: color, cover, mask, parts, depth.

A pixel has two by two samples. Its color and cover are their means. It belongs to the hand if at least two samples do;
its part and depth are those of the nearest sample that agrees with this.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int, Integer
from torch import Tensor

from ...renderer.interpolate import barycentrics
from ...support import jit
from ..sample import OTHER

SAMPLES = 2  # per pixel along each axis


class Layers(NamedTuple):
    """Images of size h × w."""

    color: Float[Tensor, "b 3 h w"]  # linear light times cover
    cover: Float[Tensor, "b h w"]  # by anything that is not background
    mask: Bool[Tensor, "b h w"]  # of the hand
    part: Integer[Tensor, "b h w"]  # uint8, codes of `sample.PARTS`
    depth: Float[Tensor, "b h w"]  # meters; 0 in the background


def resolve(
    face: Int[Tensor, "b hs ws"],
    vertices: Float[Tensor, "b v 3"],
    faces: Int[Tensor, "f 3"],
    colors: Float[Tensor, "b v 3"],
    part: Int[Tensor, " f"],
) -> Layers:
    """Computes the layers.

    face: the face that each sample sees, −1 for none. vertices: x and y in samples, z a depth in meters. colors: linear
    light. part: the code of each face in `sample.PARTS`.
    """
    if jit.serves(vertices, colors):
        from .numba import layers as compiled  # late: importing numba takes half a second

        return Layers(*compiled.resolve(face, vertices, faces, colors, part))
    return resolve_reference(face, vertices, faces, colors, part)


def resolve_reference(face: Tensor, vertices: Tensor, faces: Tensor, colors: Tensor, part: Tensor) -> Layers:
    """Computes `resolve` in plain torch, on any device."""
    image, row, column = (face >= 0).nonzero(as_tuple=True)
    number = face[image, row, column].long()
    corner = vertices[image[:, None], faces[number]]  # (n, 3, 3)
    center = torch.stack([column, row], -1).to(vertices) + 0.5
    weights = barycentrics(corner[..., :2], center)
    depth = torch.full(face.shape, torch.inf, device=face.device)
    depth[image, row, column] = 1 / (weights / corner[..., 2]).sum(-1)  # 1/z is linear in the image
    color = colors.new_zeros(*face.shape, 3)
    color[image, row, column] = (weights[..., None] * colors[image[:, None], faces[number]]).sum(1)
    label = torch.zeros(face.shape, dtype=torch.uint8, device=face.device)
    label[image, row, column] = part[number].to(torch.uint8)

    color, depth, label, hit = _samples(color), _samples(depth), _samples(label), _samples(face >= 0)
    mask = (label > OTHER).sum(0) >= 2
    agrees = hit & ((label > OTHER) == mask)
    best = depth.where(agrees, torch.inf).argmin(0, keepdim=True)
    covered = agrees.any(0)
    return Layers(
        color.mean(0).movedim(-1, 1),
        hit.float().mean(0),
        mask,
        label.gather(0, best)[0].where(covered, 0),
        depth.gather(0, best)[0].where(covered, 0.0),
    )


def _samples(x: Tensor) -> Tensor:
    """Moves the four samples of every pixel to a leading dimension."""
    return torch.stack([x[:, i::SAMPLES, j::SAMPLES] for i in range(SAMPLES) for j in range(SAMPLES)])
