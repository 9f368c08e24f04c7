"""Data sets, each a map-style collection of `HandSample`."""

from .backgrounds import BuiltinBackgrounds
from .cache import CachedHands
from .sample import HandSample, collate
from .synthetic import SyntheticHands

__all__ = ["BuiltinBackgrounds", "CachedHands", "HandSample", "SyntheticHands", "collate"]
