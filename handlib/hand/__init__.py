"""The hand: model, skinning, joints and their orders, anatomy, collision, geometry, reading MANO files."""

from .model import HandModel, HandOutput

__all__ = ["HandModel", "HandOutput"]
