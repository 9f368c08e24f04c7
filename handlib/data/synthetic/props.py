"""Objects around a hand: forearm, sleeve, solids, other arms. Each is a grid of vertices, so a batch shares its faces.

An object that a sample lacks is shrunk to a point, so its faces have no area and are not drawn.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

FOREARM_LENGTH = 0.22  # meters
ARM_RINGS = 6  # of a forearm, besides the rim of the wrist
SLEEVE_RINGS = 5
TUBE_RINGS, TUBE_SIDES = 5, 12  # of another person's arm
SOLID_RINGS, SOLID_SIDES = 9, 16  # of an object


def grid_faces(rings: int, sides: int) -> Int[Tensor, "f 3"]:
    """Returns the faces between `rings` closed rings of `sides` vertices.

    Normals point outwards if the rings run clockwise about the axis.
    """
    number = torch.arange(rings * sides).view(rings, sides)
    inner, outer = number[:-1], number[1:]
    inner_next, outer_next = inner.roll(-1, 1), outer.roll(-1, 1)
    return torch.stack([inner_next, inner, outer, inner_next, outer, outer_next], -1).reshape(-1, 3)


def extruded(
    rim: Float[Tensor, "b n 3"],
    direction: Float[Tensor, "b 3"],
    along: Float[Tensor, "b r"],
    width: Float[Tensor, "b r"],
) -> Float[Tensor, "b r*n 3"]:
    """Copies a rim to rings that are moved by `along` meters in a direction and widened about their center."""
    center = rim.mean(1, keepdim=True)
    rings = (rim - center)[:, None] * width[..., None, None]
    axis = center[:, None] + direction[:, None, None] * along[..., None, None]
    return (axis + rings).flatten(1, 2)


def forearm(rim: Float[Tensor, "b n 3"], direction: Float[Tensor, "b 3"]) -> Float[Tensor, "b m 3"]:
    """Returns the rim of the wrist and `ARM_RINGS` rings behind it, which widen towards the elbow."""
    part = torch.linspace(0, 1, ARM_RINGS + 1, device=rim.device).expand(len(rim), -1)
    return extruded(rim, direction, FOREARM_LENGTH * part, 1 + 0.4 * part)


def sleeve(
    rim: Float[Tensor, "b n 3"],
    direction: Float[Tensor, "b 3"],
    start: Float[Tensor, " b"],
    width: Float[Tensor, " b"],
) -> Float[Tensor, "b m 3"]:
    """Returns cloth around the forearm from the fraction `start` in [0, 1), `width` times as wide; width 0: none.

    Its first ring is a hem that touches the skin.
    """
    part = torch.linspace(0, 1, SLEEVE_RINGS - 1, device=rim.device)
    part = torch.cat([part[:1], part]) * (1 - start)[:, None] + start[:, None]
    arm = 1 + 0.4 * part
    wide = torch.cat([arm[:, :1], arm[:, 1:] * width[:, None]], 1)
    return extruded(rim, direction, FOREARM_LENGTH * 1.02 * part, wide * (width > 0)[:, None])


def tube(
    start: Float[Tensor, "b 3"], end: Float[Tensor, "b 3"], radius: Float[Tensor, " b"], taper: Float[Tensor, " b"]
) -> Float[Tensor, "b m 3"]:
    """Returns an arm from `start`, with this radius, to `end`, with `taper` times the radius; radius 0: none."""
    axis = functional.normalize(end - start, dim=-1)
    across = functional.normalize(torch.linalg.cross(axis, axis.roll(1, -1) + axis.new_tensor([0.1, 0.2, 0.3])), dim=-1)
    third = torch.linalg.cross(axis, across)
    angle = torch.arange(TUBE_SIDES, device=start.device) * (-2 * math.pi / TUBE_SIDES)
    circle = angle.cos()[:, None] * across[:, None] + angle.sin()[:, None] * third[:, None]  # (b, sides, 3)
    part = torch.linspace(0, 1, TUBE_RINGS, device=start.device)
    center = start[:, None] + part[:, None] * (end - start)[:, None]
    thick = radius[:, None] * (1 + part * (taper[:, None] - 1))
    return (center[:, :, None] + thick[..., None, None] * circle[:, None]).flatten(1, 2)


def solid(
    center: Float[Tensor, "b 3"],
    rotation: Float[Tensor, "b 3 3"],
    radii: Float[Tensor, "b 3"],
    roundness: Float[Tensor, "b 2"],
) -> Float[Tensor, "b m 3"]:
    """Returns a superquadric: roundness (1, 1) is an ellipsoid, (0.2, 1) almost a cylinder, (0.2, 0.2) almost a box.

    The axis of the cylinder is the third one. Radii of 0: none.
    """
    latitude = torch.linspace(-math.pi / 2, math.pi / 2, SOLID_RINGS, device=center.device)
    longitude = torch.arange(SOLID_SIDES, device=center.device) * (-2 * math.pi / SOLID_SIDES)
    e, f = roundness[:, :1], roundness[:, 1:]
    ring, height = _power(latitude.cos(), e), _power(latitude.sin(), e)  # (b, rings)
    x, y = _power(longitude.cos(), f), _power(longitude.sin(), f)  # (b, sides)
    xy = [ring[..., None] * x[:, None], ring[..., None] * y[:, None]]
    unit = torch.stack([*xy, height[..., None].expand(-1, -1, SOLID_SIDES)], -1).flatten(1, 2)
    return center[:, None] + (unit * radii[:, None]) @ rotation.mT


def _power(x: Float[Tensor, " n"], exponent: Float[Tensor, "b 1"]) -> Float[Tensor, "b n"]:
    """Returns |x|^e with the sign of x."""
    return x.sign() * x.abs().clamp(min=1e-6) ** exponent
