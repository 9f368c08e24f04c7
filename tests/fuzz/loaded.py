"""What many cases need, loaded or drawn once."""

from functools import cache

import numpy as np

from handlib import DHPE, HandModel
from handlib.data import SyntheticHands
from handlib.photo.predict import Predictor


@cache
def hand() -> HandModel:
    return HandModel.load()


@cache
def model(name: str = "lite") -> DHPE:
    return DHPE.from_pretrained(name)


@cache
def predictor() -> Predictor:
    return Predictor()


@cache
def photograph() -> np.ndarray:
    """A rendered hand in a picture of 224 pixels, bytes (h, w, 3)."""
    image = SyntheticHands("studio", 224, 24, crop_factor=2.0)[18].image
    return (image.movedim(0, -1) * 255).byte().numpy()
