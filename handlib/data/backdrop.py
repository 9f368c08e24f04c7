"""Behind a hand: a crop of a photograph with patches of others and of plain shapes before it. Batches, linear light."""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from .appearance import to_linear
from .backgrounds import Backgrounds
from .draws import Draws

SIDE = 320  # photographs are kept as squares of this side
PHOTOGRAPHS = 64  # of a large source, so many in a batch at most
PATCHES = 1  # of another photograph
SHAPES = 2  # plain or striped


class Backdrops:
    """Makes backgrounds from the photographs of a source, which are read when they are first needed."""

    def __init__(self, source: Backgrounds):
        if len(source) == 0:
            raise ValueError(f"the backgrounds '{source.name}' hold no photograph")
        self.source = source
        self._squares: dict[tuple[int, str], Tensor] = {}

    def __call__(self, draws: Draws, size: int) -> Float[Tensor, "b 3 size size"]:
        """One background a sample of `draws`."""
        canvas = self._crop(draws, size)
        place = (torch.arange(size, device=canvas.device) + 0.5) / size
        for _ in range(PATCHES):
            inside = _region(draws, place)
            canvas = canvas.where(~(inside & draws.chance(0.5)[:, None, None])[:, None], self._crop(draws, size))
        for _ in range(SHAPES):
            inside = _region(draws, place) & draws.chance(0.5)[:, None, None]
            canvas = canvas.where(~inside[:, None], _stripes(draws, place))
        return canvas

    def _crop(self, draws: Draws, size: int) -> Float[Tensor, "b 3 size size"]:
        """A window of a photograph, mirrored or not, recoloured."""
        number = draws.integer(len(self.source)).tolist()
        squares = torch.stack([self._square(n, str(draws.device)) for n in number])
        half = draws.uniform(low=0.25, high=1.0)
        shift = draws.uniform(2, low=-1, high=1) * (1 - half)[:, None]
        mirror = torch.where(draws.chance(0.5), -1.0, 1.0)
        place = (torch.arange(size, device=draws.device) + 0.5) * (2 / size) - 1
        x = place * (half * mirror)[:, None] + shift[:, :1]
        y = place * half[:, None] + shift[:, 1:]
        grid = torch.stack([x[:, None].expand(-1, size, -1), y[:, :, None].expand(-1, -1, size)], -1)
        crop = functional.grid_sample(squares, grid, padding_mode="reflection", align_corners=False)
        return to_linear(crop) * draws.uniform(3, 1, 1, low=0.4, high=1.4)

    def _square(self, number: int, device: str) -> Float[Tensor, "3 SIDE SIDE"]:
        """The middle of a photograph, in [0, 1]."""
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


def _region(draws: Draws, place: Float[Tensor, " s"]) -> Tensor:
    """A turned ellipse or rectangle somewhere in the picture, (b, s, s) bool."""
    centre, half = draws.uniform(2, low=-0.1, high=1.1), draws.uniform(2, low=0.08, high=0.45)
    angle = draws.uniform(high=math.pi)[:, None, None]
    x, y = (place - centre[:, :1])[:, None], (place - centre[:, 1:])[:, :, None]
    u = (angle.cos() * x + angle.sin() * y) / half[:, :1, None]
    v = (angle.cos() * y - angle.sin() * x) / half[:, 1:, None]
    round_ = draws.chance(0.5)[:, None, None]
    return torch.where(round_, u.square() + v.square(), torch.maximum(u.abs(), v.abs())) < 1


def _stripes(draws: Draws, place: Float[Tensor, " s"]) -> Float[Tensor, "b 3 s s"]:
    """Waves of any direction between two colours; many are so long that they are a gradient."""
    angle, frequency = draws.uniform(high=2 * math.pi), 2 ** draws.uniform(low=-1.0, high=5.0)
    x, y = (angle.cos() * frequency)[:, None] * place, (angle.sin() * frequency)[:, None] * place
    wave = torch.sin(x[:, None] + y[:, :, None] + draws.uniform(high=6.0)[:, None, None])
    part = (wave + 0.5).clamp_(0, 1)[:, None]
    first, second = (to_linear(draws.uniform(3, 1, 1)) for _ in range(2))
    return torch.lerp(first, second, part)
