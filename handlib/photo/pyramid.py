"""An image at every power of two, so that a crop of any size is sampled without aliasing."""

import math

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional

from ..networks.turned_crop import TurnedCrop


class Pyramid:
    """Levels of half the side each, made when they are first asked for; bytes stay bytes until then.

    reduction: by how much the image is smaller than the photograph, in whose pixels crops are.
    """

    def __init__(self, image: Float[Tensor, "3 h w"] | UInt8[Tensor, "3 h w"], reduction: int = 1):
        self.height, self.width = (side * reduction for side in image.shape[-2:])
        self.reduction = reduction
        self._levels = [image[None]]

    def level(self, number: int) -> Float[Tensor, "1 3 h w"]:
        """The image at 1 / 2^number of its side, in [0, 1]."""
        while len(self._levels) <= number:
            finer = _floats(self._levels[-1])
            self._levels.append(functional.avg_pool2d(finer, 2, ceil_mode=True, count_include_pad=False))
        return _floats(self._levels[number])

    def sample(self, crop: TurnedCrop, size: int, border: str = "border") -> Float[Tensor, "n 3 s s"]:
        """Each crop from the level at which one of its pixels covers one to two of the image's."""
        sides = (crop.side / self.reduction).tolist()
        numbers = [math.floor(math.log2(max(side / size, 1))) for side in sides]
        pictures = torch.empty(len(numbers), 3, size, size)
        for number in set(numbers):
            rows = torch.tensor([i for i, n in enumerate(numbers) if n == number])
            level, part = self.level(number), crop.take(rows)
            scale = 1 / (self.reduction * 2**number)
            part = TurnedCrop(part.center * scale, part.side * scale, part.angle)
            pictures[rows] = part.sample(level, size, border)
        return pictures


def _floats(image: Tensor) -> Tensor:
    return image if image.is_floating_point() else image.float() / 255
