"""handlib: dense 3D hand pose and shape from one RGB image, by neural rendering.

The names below are the public ones; submodules (`losses`, `metrics`, `data`, `plots`, …) hold the rest.
"""

from .camera import Camera
from .dhpe import DHPE, DHPEConfig
from .fitting import fit
from .hand import HandModel, HandOutput
from .output import DHPEOutput
from .parameters import MeshParameters
from .photo.predict import predict
from .refinement import refine
from .renderer import Renderer

__all__ = [
    "DHPE",
    "Camera",
    "DHPEConfig",
    "DHPEOutput",
    "HandModel",
    "HandOutput",
    "MeshParameters",
    "Renderer",
    "fit",
    "predict",
    "refine",
]
