"""The appearance of surfaces: skin tones, soft shading, and the shadows of a hand on itself.

Light is linear. Image values are its square root, which is close to the sRGB curve and cheap. Functions take batches of
meshes in the camera frame (y down), in meters.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

# The ten tones of the Monk Skin Tone scale (E. Monk, 2023), lightest first, sRGB.
MONK_TONES = (
    "f6ede4", "f3e7db", "f7ead0", "eadaba", "d7bd96", "a07e56", "825c43", "604134", "3a312a", "292420",
)  # fmt: skip
REFLECTANCE = 0.75  # of skin as light as the scale's white; the rest is room for the sheen
TONES = torch.tensor([[int(t[i : i + 2], 16) for i in (0, 2, 4)] for t in MONK_TONES]) / 255
BLUSH = (1.14, 0.93, 0.8)  # blood makes skin redder than the scale's printed swatches
DEEPEST = 0.8  # fraction of its light that one object can take from a surface
WRAP = 0.25  # Lambert's term continues past the terminator, like light in skin


def skin_tone(tone: Float[Tensor, " b"]) -> Float[Tensor, "b 3"]:
    """Returns the linear color of skin; `tone` is 0 … 9 on the Monk scale."""
    tones = TONES.to(tone)
    low = tone.long().clamp(0, 8)
    return to_linear(torch.lerp(tones[low], tones[low + 1], (tone - low)[:, None]))


def relief(vertex_colors: Float[Tensor, "v 3"]) -> Float[Tensor, "v 3"]:
    """Returns the hand's own colors (nails, knuckles, paler palm) as ratios to their mean, to multiply a tone by."""
    linear = to_linear(vertex_colors)
    return linear / linear.mean(0)


class Light(NamedTuple):
    """A lamp, the sky and the ground; colors are linear."""

    light: Float[Tensor, "b 3"]  # unit direction towards the lamp
    color: Float[Tensor, "b 3"]
    sky: Float[Tensor, "b 3"]
    ground: Float[Tensor, "b 3"]

    def shade(
        self,
        vertices: Float[Tensor, "b v 3"],
        normals: Float[Tensor, "b v 3"],
        albedo: Float[Tensor, "b v 3"],
        gloss: Float[Tensor, "b n"],
        lit: Float[Tensor, "b n"],
        open_: Float[Tensor, "b n"],
    ) -> Float[Tensor, "b v 3"]:
        """Computes linear colors with a Blinn–Phong sheen.

        lit: the fraction of the lamp, and open_: the fraction of the sky, that each vertex sees (or one for all).
        """
        toward = torch.einsum("bvc,bc->bv", normals, self.light)
        diffuse = (((toward + WRAP) / (1 + WRAP)).clamp(min=0) * lit)[..., None] * self.color[:, None]
        up = (1 - normals[..., 1:2]) / 2
        ambient = torch.lerp(self.ground[:, None], self.sky[:, None], up) * open_[..., None]
        half = functional.normalize(self.light[:, None] - functional.normalize(vertices, dim=-1), dim=-1)
        sheen = (normals * half).sum(-1).clamp(min=0) ** 24 * gloss * lit
        return albedo * (diffuse + ambient) + sheen[..., None] * self.color[:, None]


def occlusion(
    vertices: Float[Tensor, "b v 3"],
    normals: Float[Tensor, "b v 3"],
    centers: Float[Tensor, "b s 3"],
    radii: Float[Tensor, "#b s"],
    light: Float[Tensor, "b 3"],
    apart: Float[Tensor, "v s"],
) -> tuple[Float[Tensor, "b v"], Float[Tensor, "b v"]]:
    """Computes the fractions of a lamp and of the sky that each vertex sees past spheres, such as the hand's bones.

    A sphere of radius r (0: none) at distance d covers (r/d)² of the sky of a surface that faces it. It covers the lamp
    with a penumbra that grows with distance. apart: 1 for the spheres that count for a vertex, else 0; a finger does
    not shade itself.
    """
    # Matrix products of points avoid storing the differences, which are three times as many numbers.
    squared = (
        vertices.square().sum(-1, keepdim=True) + centers.square().sum(-1)[:, None] - 2 * vertices @ centers.mT
    ).clamp(min=1e-8)
    along = (centers @ light[..., None]).mT - vertices @ light[..., None]
    facing = torch.baddbmm(-(normals * vertices).sum(-1, keepdim=True), normals, centers.mT).clamp_(min=0)
    reach = radii[:, None] * apart
    sky = (facing * reach.square() * squared.rsqrt() / squared).clamp_(max=0.9)
    aside = (squared - along.square()).clamp_(min=0).sqrt_()
    along = along.clamp_(min=0)
    penumbra = 0.004 + 0.15 * along
    covered = ((reach + penumbra - aside) / (2 * penumbra)).clamp_(0, 1)
    covered = covered * (along / reach.clamp(min=1e-6)).clamp_(max=1) * (reach > 0)
    return (1 - DEEPEST * covered).prod(-1), (1 - DEEPEST * sky).prod(-1)


def to_linear(picture: Tensor) -> Tensor:
    """Converts image values in [0, 1] to linear light."""
    return picture.square()


def to_picture(linear: Tensor) -> Tensor:
    """Converts linear light to image values, clamped to [0, 1]."""
    return linear.clamp(0, 1).sqrt_()
