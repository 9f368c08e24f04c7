"""A hand from points: 2D ones of an image, and 3D ones where somebody knows them."""

from .fit import fit

__all__ = ["fit"]
