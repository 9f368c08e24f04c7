"""Data sets, each a map-style collection of `HandSample`."""

from .backgrounds import BuiltinBackgrounds
from .cache import CachedHands
from .sample import HandSample, collate
from .synthetic import SyntheticHands

__all__ = ["BuiltinBackgrounds", "CachedHands", "HandSample", "SyntheticHands", "collate"]

# The real data sets, each read from the folder that its download unpacks to.
from .dexter_object import DexterObject  # noqa: E402
from .folder_backgrounds import ImageFolderBackgrounds  # noqa: E402
from .freihand import FreiHAND  # noqa: E402
from .nyu import NYUBackgrounds  # noqa: E402
from .photo_folder import PhotoFolder  # noqa: E402
from .rhd import RHD  # noqa: E402
from .specs import open_backgrounds, open_spec  # noqa: E402
from .stb import STB  # noqa: E402

__all__ += ["RHD", "STB", "DexterObject", "FreiHAND", "ImageFolderBackgrounds", "NYUBackgrounds", "PhotoFolder"]
__all__ += ["open_backgrounds", "open_spec"]
