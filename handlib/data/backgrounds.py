"""Photographs to put behind synthetic hands: those that scikit-image and scikit-learn carry in their wheels.

No download, no hands in them. Each split has photographs of its own, so that no test background was seen in training.
"""

import importlib.util
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor
from torch.nn import functional

_PHOTOGRAPHS = {
    "train": (
        "skimage/data/astronaut.png",
        "skimage/data/chelsea.png",
        "skimage/data/coffee.png",
        "skimage/data/rocket.jpg",
        "skimage/data/motorcycle_left.png",
        "skimage/data/brick.png",
        "skimage/data/gravel.png",
    ),
    "val": ("sklearn/datasets/images/flower.jpg", "skimage/data/ihc.png"),
    "test": ("sklearn/datasets/images/china.jpg", "skimage/data/grass.png"),
}
_PACKAGES = {"skimage": "scikit-image", "sklearn": "scikit-learn"}


class BuiltinBackgrounds:
    """Random cluttered backgrounds cut from the photographs of one split: "train", "val" or "test"."""

    def __init__(self, split: str = "train"):
        if split not in _PHOTOGRAPHS:
            raise ValueError(f"unknown split '{split}': choose one of {', '.join(_PHOTOGRAPHS)}")
        self.photographs = [_read(path) for path in _PHOTOGRAPHS[split]]

    def sample(self, size: int, generator: torch.Generator) -> Float[Tensor, "3 size size"]:
        """One background: a crop of one photograph with up to three patches of others, each recoloured."""
        canvas = self._crop(size, generator)
        for _ in range(int(torch.randint(4, (), generator=generator))):
            side = int(size * (0.2 + 0.5 * torch.rand((), generator=generator)))
            top, left = torch.randint(size - side + 1, (2,), generator=generator).tolist()
            canvas[:, top : top + side, left : left + side] = self._crop(side, generator)
        return canvas

    def _crop(self, size: int, generator: torch.Generator) -> Tensor:
        photograph = self.photographs[int(torch.randint(len(self.photographs), (), generator=generator))]
        _, height, width = photograph.shape
        side = int(min(height, width) * (0.25 + 0.75 * torch.rand((), generator=generator)))
        top = int(torch.randint(height - side + 1, (), generator=generator))
        left = int(torch.randint(width - side + 1, (), generator=generator))
        crop = photograph[:, top : top + side, left : left + side].float() / 255
        crop = functional.interpolate(crop[None], (size, size), mode="bilinear", antialias=side > size)[0]
        if torch.rand((), generator=generator) < 0.5:
            crop = crop.flip(-1)
        gain = 0.5 + 0.8 * torch.rand(3, 1, 1, generator=generator)
        return (crop * gain).clamp(0, 1)


@lru_cache
def _read(path: str) -> Tensor:
    package = path.split("/")[0]
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(
            f"the background photographs come with {_PACKAGES[package]}, which is not installed: "
            "pip install 'handlib[train]'"
        )
    with Image.open(Path(spec.origin).parent.parent / path) as image:
        return torch.from_numpy(np.array(image.convert("RGB"))).movedim(-1, 0).contiguous()
