"""Things around a hand: forearm, sleeve, objects, other arms. Each is a grid of vertices, so a batch shares its faces.

What a sample lacks is shrunk to a point: its faces then have no area and are seen by no pixel.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

FOREARM_LENGTH = 0.22  # meters
ARM_RINGS = 6  # of a forearm, beside the wrist's own rim
SLEEVE_RINGS = 5
TUBE_RINGS, TUBE_SIDES = 5, 12  # of another person's arm
SOLID_RINGS, SOLID_SIDES = 9, 16  # of an object


def grid_faces(rings: int, sides: int) -> Int[Tensor, "f 3"]:
    """Faces between `rings` closed rings of `sides` vertices; outward normals if rings run against their axis' turn."""
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
    """Rings like a rim, moved by `along` meters in a direction and widened about their middle."""
    center = rim.mean(1, keepdim=True)
    rings = (rim - center)[:, None] * width[..., None, None]
    axis = center[:, None] + direction[:, None, None] * along[..., None, None]
    return (axis + rings).flatten(1, 2)


def forearm(rim: Float[Tensor, "b n 3"], direction: Float[Tensor, "b 3"]) -> Float[Tensor, "b m 3"]:
    """The open wrist's rim and `ARM_RINGS` rings behind it; a forearm widens towards the elbow."""
    part = torch.linspace(0, 1, ARM_RINGS + 1, device=rim.device).expand(len(rim), -1)
    return extruded(rim, direction, FOREARM_LENGTH * part, 1 + 0.4 * part)


def sleeve(
    rim: Float[Tensor, "b n 3"],
    direction: Float[Tensor, "b 3"],
    start: Float[Tensor, " b"],
    width: Float[Tensor, " b"],
) -> Float[Tensor, "b m 3"]:
    """Cloth around the forearm from the part `start` in [0, 1) on, `width` times as wide; 0 for none.

    Its first ring is a hem that closes on to the skin.
    """
    part = torch.linspace(0, 1, SLEEVE_RINGS - 1, device=rim.device)
    part = torch.cat([part[:1], part]) * (1 - start)[:, None] + start[:, None]
    arm = 1 + 0.4 * part
    wide = torch.cat([arm[:, :1], arm[:, 1:] * width[:, None]], 1)
    return extruded(rim, direction, FOREARM_LENGTH * 1.02 * part, wide * (width > 0)[:, None])


def tube(
    start: Float[Tensor, "b 3"], end: Float[Tensor, "b 3"], radius: Float[Tensor, " b"], taper: Float[Tensor, " b"]
) -> Float[Tensor, "b m 3"]:
    """An arm from `start`, where it is `radius` thick, to `end`, where it is `taper` times that; 0 for none."""
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
    """A superquadric: roundness (1, 1) is an ellipsoid, (0.2, 1) nearly a cylinder, (0.2, 0.2) nearly a box.

    The axis of the cylinder is the third. Radii of 0: nothing.
    """
    latitude = torch.linspace(-math.pi / 2, math.pi / 2, SOLID_RINGS, device=center.device)
    longitude = torch.arange(SOLID_SIDES, device=center.device) * (-2 * math.pi / SOLID_SIDES)
    e, f = roundness[:, :1], roundness[:, 1:]
    ring, height = _power(latitude.cos(), e), _power(latitude.sin(), e)  # (b, rings)
    x, y = _power(longitude.cos(), f), _power(longitude.sin(), f)  # (b, sides)
    unit = torch.stack(
        [
            ring[..., None] * x[:, None],
            ring[..., None] * y[:, None],
            height[..., None].expand(-1, -1, SOLID_SIDES),
        ],
        -1,
    ).flatten(1, 2)
    return center[:, None] + (unit * radii[:, None]) @ rotation.mT


def _power(x: Float[Tensor, " n"], exponent: Float[Tensor, "b 1"]) -> Float[Tensor, "b n"]:
    """|x|^e with the sign of x."""
    return x.sign() * x.abs().clamp(min=1e-6) ** exponent
