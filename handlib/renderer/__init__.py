"""The differentiable renderer: rasterize, interpolate, and the gradient of what is visible."""

from .renderer import Renderer

__all__ = ["Renderer"]
