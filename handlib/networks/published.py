"""Loads the networks from MediaPipe that ship in handlib/networks/weights; each file's SHA-256 is checked.

The palm detector is as it was published; the landmark network was tuned further (tools/tune_landmarks.py).
"""

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
    "hand_landmarks": "b6d373fe55ab2e4ad44bcd8dec124a8a9640338fc73922ca61059c00dd5f3dc7",
    "palms": "70d38f09c370e5177bc5fc7c7f65320c03c5aff07ec35ff7a19f42eb8c9737af",
}


@lru_cache(1)
def palm_network() -> PalmNetwork:
    """Returns the palm detector, frozen, in evaluation mode. All callers share one: do not move or change it."""
    return _load(PalmNetwork(), "palms")


@lru_cache(1)
def landmark_network() -> LandmarkNetwork:
    """Returns the landmark network, frozen, in evaluation mode. All callers share one: do not move or change it."""
    return _load(LandmarkNetwork(), "hand_landmarks")


def load_landmarks(network: LandmarkNetwork) -> None:
    """Loads the shipped weights into a landmark network and freezes it."""
    _load(network, "hand_landmarks")


def _load(network: nn.Module, name: str) -> nn.Module:
    """Loads shipped weights and freezes the network. Raises `ValueError` if the file is not the one that shipped."""
    path = WEIGHTS / f"{name}.safetensors"
    if not path.is_file():
        raise FileNotFoundError(f"no weights at {path}: install handlib again")
    if sha256(path) != DIGESTS[name]:
        raise ValueError(f"{path}: not the file that came with handlib (its SHA-256 differs): install handlib again")
    network.load_state_dict(load_file(path))
    return network.to(memory_format=torch.channels_last).eval().requires_grad_(False)
