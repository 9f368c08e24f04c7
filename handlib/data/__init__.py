"""Data sets of `HandSample`: the open synthetic benchmark, and real data sets read from their downloads."""

from .backgrounds import BuiltinBackgrounds
from .cache import CachedHands
from .real.dexter_object import DexterObject
from .real.folder_backgrounds import ImageFolderBackgrounds
from .real.freihand import FreiHAND
from .real.ho3d import HO3D
from .real.interhand import InterHand26M
from .real.nyu import NYUBackgrounds
from .real.photo_folder import PhotoFolder
from .real.rhd import RHD
from .real.stb import STB
from .sample import HandSample, collate
from .specs import open_backgrounds, open_spec
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
