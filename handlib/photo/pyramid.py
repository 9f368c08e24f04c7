"""An image at every power of two, so that a crop of any size is sampled without aliasing."""

import math

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional

from ..networks.turned_crop import TurnedCrop

STRIP = 256  # rows, an even number


class Pyramid:
    """Levels of half the side each, made when they are first asked for; bytes stay bytes until then.

    Crops that need a small part of the image get that part alone made smaller: a video has a new image every time.
    reduction: by how much the image is smaller than the photograph, in whose pixels crops are.
    """

    def __init__(self, image: Float[Tensor, "3 h w"] | UInt8[Tensor, "3 h w"], reduction: int = 1):
        self.height, self.width = (side * reduction for side in image.shape[-2:])
        self.reduction = reduction
        self._levels = [image[None]]

    def level(self, number: int) -> Float[Tensor, "1 3 h w"]:
        """The image at 1 / 2^number of its side, in [0, 1]."""
        while len(self._levels) <= number:
            self._levels.append(_halved(self._levels[-1]))
        return _floats(self._levels[number])

    def sample(self, crop: TurnedCrop, size: int, border: str = "border") -> Float[Tensor, "n 3 s s"]:
        """Each crop from the level at which one of its pixels covers one to two of the image's."""
        own = 1 / self.reduction
        crop = TurnedCrop(crop.center * own, crop.side * own, crop.angle)
        numbers = [max(0, math.floor(math.log2(max(side / size, 1)))) for side in crop.side.tolist()]
        pictures = torch.empty(len(numbers), 3, size, size)
        for number in set(numbers):
            rows = torch.tensor([i for i, n in enumerate(numbers) if n == number])
            part = crop.take(rows)
            level, corner = self._around(number, part)
            scale = 1 / 2**number
            part = TurnedCrop((part.center - corner) * scale, part.side * scale, part.angle)
            # In double precision: a single one knows where it is in an image only to some 1e-5 pixels.
            part = TurnedCrop(*(value.double() for value in part))
            pictures[rows] = part.sample(level.double(), size, border).float()
        return pictures

    def _around(self, number: int, crop: TurnedCrop) -> tuple[Float[Tensor, "1 3 h w"], Float[Tensor, "2"]]:
        """The part of a level that these crops show, and where in the image it begins."""
        step = 2**number  # parts begin at whole pixels of the level
        reach = (crop.side * (crop.angle.cos().abs() + crop.angle.sin().abs()) / 2)[:, None] + 2 * step
        low, high = (crop.center - reach).amin(0), (crop.center + reach).amax(0)
        sizes = self._levels[0].shape[:-3:-1]  # width, height
        (left, right), (top, bottom) = (
            (min(max(a // step, 0), (n - 1) // step) * step, min(max(-(-b // step), 1) * step, n))
            for a, b, n in zip(low.int().tolist(), high.ceil().int().tolist(), sizes, strict=True)
        )
        made = number < len(self._levels) and self._levels[number].is_floating_point()
        if made or 2 * (right - left) * (bottom - top) > math.prod(sizes):
            part = self.level(number)[..., top // step : -(-bottom // step), left // step : -(-right // step)]
        else:
            part = self._levels[0][..., top:bottom, left:right]
            for _ in range(number):
                part = _halved(part)
        return _floats(part), torch.tensor([left, top], dtype=torch.float32)


def _halved(image: Tensor) -> Tensor:
    strips = map(_floats, image.split(STRIP, -2))  # one after another: a whole photograph as floats would be large
    return torch.cat([functional.avg_pool2d(s, 2, ceil_mode=True, count_include_pad=False) for s in strips], -2)


def _floats(image: Tensor) -> Tensor:
    return image if image.is_floating_point() else image.float().div_(255)
