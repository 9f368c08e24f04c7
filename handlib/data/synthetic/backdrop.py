"""Backgrounds: crops of photographs with patches of other photographs and plain shapes. Batches, in linear light."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from ..backgrounds import Backgrounds
from .appearance import to_linear
from .draws import Draws

SIDE = 320  # photographs are kept as squares of this side
PHOTOGRAPHS = 64  # most photographs that are kept in memory
PATCHES = 1  # of another photograph
SHAPES = 2  # plain or striped


class Backdrops:
    """Makes backgrounds from the photographs of a source, which are read when they are first used."""

    def __init__(self, source: Backgrounds):
        if len(source) == 0:
            raise ValueError(f"the backgrounds '{source.name}' have no photographs")
        self.source = source
        self._squares: dict[tuple[int, str], Tensor] = {}

    def __call__(self, draws: Draws, size: int) -> Float[Tensor, "b 3 size size"]:
        """Makes one background for each sample of `draws`."""
        canvas = self._crop(draws, size)
        pixels = (torch.arange(size, device=canvas.device) + 0.5) / size
        for _ in range(PATCHES):
            region, chosen = _Region.drawn(draws), draws.chance(0.5)
            _cover(canvas, region, chosen, pixels, self._crop(draws, size, chosen))
        for _ in range(SHAPES):
            region, chosen = _Region.drawn(draws), draws.chance(0.5)
            _cover(canvas, region, chosen, pixels, _Stripes.drawn(draws).rows(chosen).picture(pixels))
        return canvas

    def _crop(self, draws: Draws, size: int, chosen: Tensor | None = None) -> Float[Tensor, "n 3 size size"]:
        """Returns random windows of photographs, some mirrored, recolored; for the chosen samples or all."""
        number = draws.integer(len(self.source))
        half = draws.uniform(low=0.25, high=1.0)
        shift = draws.uniform(2, low=-1, high=1) * (1 - half)[:, None]
        mirror = torch.where(draws.chance(0.5), -1.0, 1.0)
        pixels = (torch.arange(size, device=draws.device) + 0.5) * (2 / size) - 1
        x = pixels * (half * mirror)[:, None] + shift[:, :1]
        y = pixels * half[:, None] + shift[:, 1:]
        grid = torch.stack([x[:, None].expand(-1, size, -1), y[:, :, None].expand(-1, -1, size)], -1)
        gain = draws.uniform(3, 1, 1, low=0.4, high=1.4)
        if chosen is not None:
            number, grid, gain = number[chosen], grid[chosen], gain[chosen]
        crops = gain.new_empty(len(grid), 3, size, size)
        for n, crop, window in zip(number.tolist(), crops, grid, strict=True):
            square = self._square(n, str(draws.device))
            crop.copy_(
                functional.grid_sample(square[None], window[None], padding_mode="reflection", align_corners=False)[0]
            )
        return crops.square_().mul_(gain)  # square: to linear light

    def _square(self, number: int, device: str) -> Float[Tensor, "3 SIDE SIDE"]:
        """Returns the central square of a photograph, in [0, 1]."""
        key = number, device
        if key not in self._squares:
            while len(self._squares) >= PHOTOGRAPHS:
                self._squares.pop(next(iter(self._squares)))
            photograph = self.source.photograph(number)
            side = min(photograph.shape[1:])
            top, left = ((n - side) // 2 for n in photograph.shape[1:])
            middle = photograph[:, top : top + side, left : left + side].float() / 255
            resized = functional.interpolate(middle[None], (SIDE, SIDE), mode="bilinear", antialias=side > SIDE)
            self._squares[key] = resized[0].to(device)
        return self._squares[key]


class _Region(NamedTuple):
    """A rotated ellipse or rectangle in each sample's image."""

    center: Float[Tensor, "n 2"]
    half: Float[Tensor, "n 2"]
    angle: Float[Tensor, " n"]
    round_: Bool[Tensor, " n"]

    @classmethod
    def drawn(cls, draws: Draws) -> "_Region":
        center, half = draws.uniform(2, low=-0.1, high=1.1), draws.uniform(2, low=0.08, high=0.45)
        return cls(center, half, draws.uniform(high=math.pi), draws.chance(0.5))

    def rows(self, chosen: Tensor) -> "_Region":
        return _Region(*(part[chosen] for part in self))

    def contains(self, pixels: Float[Tensor, " s"]) -> Bool[Tensor, "n s s"]:
        angle = self.angle[:, None, None]
        x, y = (pixels - self.center[:, :1])[:, None], (pixels - self.center[:, 1:])[:, :, None]
        u = (angle.cos() * x + angle.sin() * y) / self.half[:, :1, None]
        v = (angle.cos() * y - angle.sin() * x) / self.half[:, 1:, None]
        return torch.where(self.round_[:, None, None], u.square() + v.square(), torch.maximum(u.abs(), v.abs())) < 1


class _Stripes(NamedTuple):
    """Waves in any direction between two colors; long waves look like a gradient."""

    angle: Float[Tensor, " n"]
    frequency: Float[Tensor, " n"]
    phase: Float[Tensor, " n"]
    first: Float[Tensor, "n 3 1 1"]
    second: Float[Tensor, "n 3 1 1"]

    @classmethod
    def drawn(cls, draws: Draws) -> "_Stripes":
        angle, frequency = draws.uniform(high=2 * math.pi), 2 ** draws.uniform(low=-1.0, high=5.0)
        return cls(angle, frequency, draws.uniform(high=6.0), *(to_linear(draws.uniform(3, 1, 1)) for _ in range(2)))

    def rows(self, chosen: Tensor) -> "_Stripes":
        return _Stripes(*(part[chosen] for part in self))

    def picture(self, pixels: Float[Tensor, " s"]) -> Float[Tensor, "n 3 s s"]:
        x = (self.angle.cos() * self.frequency)[:, None] * pixels + self.phase[:, None]
        y = (self.angle.sin() * self.frequency)[:, None] * pixels
        part = torch.sin(x[:, None] + y[:, :, None]).add_(0.5).clamp_(0, 1)[:, None]
        return torch.lerp(self.first, self.second, part)


def _cover(canvas: Tensor, region: _Region, chosen: Tensor, pixels: Tensor, picture: Tensor) -> None:
    """Pastes pictures into the regions of the chosen samples."""
    canvas[chosen] = torch.where(region.rows(chosen).contains(pixels)[:, None], picture, canvas[chosen])
