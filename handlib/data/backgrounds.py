"""Background photographs for synthetic hands, from the wheels of scikit-image and scikit-learn.

They need no download and show no hands. Each split has its own photographs, so that no test background was seen in
training. A source of backgrounds is any object with a length and `photograph(i)`, such as those in data/real.
"""

import importlib.util
from functools import lru_cache
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

_PHOTOGRAPHS = {
    "train": (
        "skimage/data/astronaut.png",
        "skimage/data/chelsea.png",
        "skimage/data/coffee.png",
        "skimage/data/rocket.jpg",
        "skimage/data/motorcycle_left.png",
        "skimage/data/brick.png",
        "skimage/data/gravel.png",
        "skimage/data/hubble_deep_field.jpg",
        "skimage/data/page.png",
    ),
    "val": ("sklearn/datasets/images/flower.jpg", "skimage/data/ihc.png"),
    "test": ("sklearn/datasets/images/china.jpg", "skimage/data/grass.png", "skimage/data/coins.png"),
}
_PACKAGES = {"skimage": "scikit-image", "sklearn": "scikit-learn"}


@runtime_checkable
class Backgrounds(Protocol):
    """A source of photographs without hands."""

    name: str  # for the record

    def __len__(self) -> int: ...

    def photograph(self, index: int) -> UInt8[Tensor, "3 h w"]: ...


class BuiltinBackgrounds:
    """The photographs of one split: "train", "val" or "test"."""

    def __init__(self, split: str = "train"):
        if split not in _PHOTOGRAPHS:
            raise ValueError(f"unknown split '{split}': choose one of {', '.join(_PHOTOGRAPHS)}")
        self.name = f"builtin/{split}"
        self.photographs = [_read(path) for path in _PHOTOGRAPHS[split]]

    def __len__(self) -> int:
        return len(self.photographs)

    def photograph(self, index: int) -> UInt8[Tensor, "3 h w"]:
        return self.photographs[index]


@lru_cache
def _read(path: str) -> UInt8[Tensor, "3 h w"]:
    package = path.split("/")[0]
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(
            f"the background photographs are part of {_PACKAGES[package]}, which is not installed: "
            "pip install 'handlib[train]'"
        )
    with Image.open(Path(spec.origin).parent.parent / path) as image:
        return torch.from_numpy(np.array(image.convert("RGB"))).movedim(-1, 0).contiguous()
