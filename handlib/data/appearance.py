"""What a synthetic hand looks like: skin tones, light and the forearm behind the wrist."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..mesh import vertex_normals

# The ten tones of the Monk Skin Tone scale (E. Monk, 2023), lightest first, sRGB.
MONK_TONES = (
    "f6ede4", "f3e7db", "f7ead0", "eadaba", "d7bd96", "a07e56", "825c43", "604134", "3a312a", "292420",
)  # fmt: skip
FOREARM_RINGS = 6
FOREARM_LENGTH = 0.22  # metres


def skin_colors(
    vertex_colors: Float[Tensor, "v 3"], tone: float, variation: Float[Tensor, "3"]
) -> Float[Tensor, "v 3"]:
    """Colours of a hand of a given tone, linear light: `tone` runs from 0 to 9 along the Monk scale.

    The hand's own colours (nails, knuckles, paler palm) are kept as ratios to their mean.
    """
    tones = torch.tensor([[int(t[i : i + 2], 16) for i in (0, 2, 4)] for t in MONK_TONES]) / 255
    low = min(int(tone), 8)
    target = tones[low] + (tones[low + 1] - tones[low]) * (tone - low)
    relief = to_linear(vertex_colors) / to_linear(vertex_colors).mean(0)
    return (to_linear(target) * variation * relief).clamp(0, 1)


def shade(
    vertices: Float[Tensor, "v 3"],
    faces: Int[Tensor, "f 3"],
    albedo: Float[Tensor, "v 3"],
    light: Float[Tensor, "3"],
    light_color: Float[Tensor, "3"],
    sky: Float[Tensor, "3"],
    ground: Float[Tensor, "3"],
    gloss: float,
) -> Float[Tensor, "v 3"]:
    """sRGB colours of the vertices, camera frame: one directional light, sky and ground from above and below, a sheen.

    `light` is the unit direction towards the light. Lambert's term is wrapped a little past the terminator, as light is
    in skin; the sheen is Blinn and Phong's.
    """
    normals = vertex_normals(vertices, faces)
    wrap = 0.25
    diffuse = ((normals @ light + wrap) / (1 + wrap)).clamp(min=0)[:, None] * light_color
    up = (1 - normals[:, 1:2]) / 2  # y points down
    ambient = sky * up + ground * (1 - up)
    half = torch.nn.functional.normalize(light - torch.nn.functional.normalize(vertices, dim=-1), dim=-1)
    sheen = gloss * (normals * half).sum(-1, keepdim=True).clamp(min=0) ** 24 * light_color
    return to_srgb(albedo * (diffuse + ambient) + sheen)


def add_forearm(
    vertices: Float[Tensor, "v 3"],
    faces: Int[Tensor, "f 3"],
    loop: Int[Tensor, " n"],
    direction: Float[Tensor, "3"],
) -> tuple[Tensor, Tensor]:
    """Extrudes the open wrist, given by its loop of vertices, along a unit direction. Returns vertices and faces.

    The new faces come after the hand's, so a face index below the hand's count still means hand.
    """
    n, rim = len(loop), vertices[loop]
    centre = rim.mean(0)
    rings = []
    for ring in range(1, FOREARM_RINGS + 1):
        along = ring / FOREARM_RINGS
        width = 1 + 0.35 * along  # a forearm widens towards the elbow
        rings.append(centre + (rim - centre) * width + direction * (FOREARM_LENGTH * along))
    numbers = torch.cat([loop, len(vertices) + torch.arange(n * FOREARM_RINGS)]).view(-1, n)
    inner, outer = numbers[:-1], numbers[1:]
    inner_next, outer_next = inner.roll(-1, 1), outer.roll(-1, 1)
    # The hand's faces run along the loop, so the new ones run against it: outward normals stay outward.
    quads = torch.stack([inner_next, inner, outer, inner_next, outer, outer_next], -1)
    return torch.cat([vertices, *rings]), torch.cat([faces, quads.reshape(-1, 3)])


def to_linear(srgb: Tensor) -> Tensor:
    """sRGB in [0, 1] to linear light."""
    return torch.where(srgb <= 0.04045, srgb / 12.92, ((srgb.clamp(min=0.04045) + 0.055) / 1.055) ** 2.4)


def to_srgb(linear: Tensor) -> Tensor:
    """Linear light to sRGB in [0, 1]; what is brighter than white is cut."""
    linear = linear.clamp(0, 1)
    return torch.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear.clamp(min=0.0031308) ** (1 / 2.4) - 0.055)
