"""Data sets, each a map-style collection of `HandSample`: the open benchmark, and the real ones from their folders."""

from .backgrounds import BuiltinBackgrounds
from .cache import CachedHands
from .dexter_object import DexterObject
from .folder_backgrounds import ImageFolderBackgrounds
from .freihand import FreiHAND
from .ho3d import HO3D
from .interhand import InterHand26M
from .nyu import NYUBackgrounds
from .photo_folder import PhotoFolder
from .rhd import RHD
from .sample import HandSample, collate
from .specs import open_backgrounds, open_spec
from .stb import STB
from .synthetic import SyntheticHands

__all__ = [
    "HO3D",
    "RHD",
    "STB",
    "BuiltinBackgrounds",
    "CachedHands",
    "DexterObject",
    "FreiHAND",
    "HandSample",
    "ImageFolderBackgrounds",
    "InterHand26M",
    "NYUBackgrounds",
    "PhotoFolder",
    "SyntheticHands",
    "collate",
    "open_backgrounds",
    "open_spec",
]
