"""The differentiable renderer: rasterise, interpolate, and the gradient of what is visible."""

from .renderer import Renderer

__all__ = ["Renderer"]
