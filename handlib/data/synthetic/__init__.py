"""The open benchmark: synthetic hands rendered from a seed."""

from .hands import VERSION, SyntheticHands, digest

__all__ = ["VERSION", "SyntheticHands", "digest"]
