"""Frames of one right hand that makes gestures, rendered as a camera at rest sees them."""

from functools import cache

import torch
from torch import Tensor

from handlib.data import SyntheticHands
from handlib.photo.predict import Predictor

SIZE = 320
BOX = (90.0, -60.0, 600.0)  # in the benchmark's picture: room for the hand on all sides
FIRST, COUNT = 26, 24


@cache
def predictor() -> Predictor:
    return Predictor()


@cache
def rendered() -> dict[str, Tensor]:
    """`frames`, bytes; `joints_px`; `K`."""
    data = SyntheticHands("studio", SIZE, n=2 * (FIRST + COUNT), box=BOX)
    fields = data.batch(2 * torch.arange(FIRST, FIRST + COUNT))  # of the left camera
    frames = (fields["image"] * 255).round().byte()
    return {"frames": frames, "joints_px": fields["joints_px"], "K": fields["K"][0]}


def plain(count: int) -> Tensor:
    """Frames without a hand."""
    return torch.full((count, 3, SIZE, SIZE), 120, dtype=torch.uint8)
