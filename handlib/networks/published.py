"""The published networks that ship with handlib: read from handlib/networks/weights, each file checked by its
SHA-256."""

from functools import lru_cache
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn

from ..support.files import sha256
from .landmarks import LandmarkNetwork
from .palms import PalmNetwork

WEIGHTS = Path(__file__).parent / "weights"
DIGESTS = {
    "hand_landmarks": "41ea154ee2a4f288aab4ff1a99f3b17801b0c7fe539d18fb1b7e89c4ddec7a52",
    "palms": "70d38f09c370e5177bc5fc7c7f65320c03c5aff07ec35ff7a19f42eb8c9737af",
}


@lru_cache(1)
def palm_network() -> PalmNetwork:
    """The palm detector, frozen, in evaluation mode. One for all callers, so leave it where and as it is."""
    return _load(PalmNetwork(), "palms")


@lru_cache(1)
def landmark_network() -> LandmarkNetwork:
    """The landmark network, frozen, in evaluation mode. One for all callers, so leave it where and as it is."""
    return _load(LandmarkNetwork(), "hand_landmarks")


def load_landmarks(network: LandmarkNetwork) -> None:
    """Gives a landmark network its published weights, and freezes it."""
    _load(network, "hand_landmarks")


def _load(network: nn.Module, name: str) -> nn.Module:
    """The network with its published weights; `ValueError` for a file that is not the one that shipped."""
    path = WEIGHTS / f"{name}.safetensors"
    if not path.is_file():
        raise FileNotFoundError(f"no weights at {path}: install handlib again")
    if sha256(path) != DIGESTS[name]:
        raise ValueError(f"{path}: not the file that came with handlib (another SHA-256); install handlib again")
    network.load_state_dict(load_file(path))
    return network.to(memory_format=torch.channels_last).eval().requires_grad_(False)
