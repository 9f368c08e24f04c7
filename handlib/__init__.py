"""handlib: dense 3D hand pose and shape from one RGB image, by neural rendering.

The names in `__all__` are the public ones; modules (`losses`, `data`, …) hold the rest. Both are loaded when they are
first used, so `import handlib` costs nothing.
"""

import importlib
import pkgutil
import sys
from importlib.machinery import ModuleSpec
from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("handlib")
except PackageNotFoundError:  # used from its folder, without being installed
    __version__ = "unknown"

_PUBLIC = {
    "Camera": "camera",
    "DHPE": "dhpe",
    "DHPEConfig": "dhpe",
    "DHPEOutput": "output",
    "HandModel": "hand",
    "HandOutput": "hand",
    "MeshParameters": "parameters",
    "Renderer": "renderer",
    "fit": "fitting",
    "live_page": "photo.live_page",
    "predict": "photo.predict",
    "refine": "refinement",
}
__all__ = list(_PUBLIC)

_ROOMS = {
    "hand": "anatomy collision files joints mano mesh rotations skinning",
    "networks": "pose_machine pretrained resnet",
    "fitting": "posterior skeleton",
    "training": "checkpoint curves feed first_weights lifting processes profiles train",
    "evaluation": "audit evaluate metrics protocols refinement_report results",
    "experiments": "ablate ablation baselines bench published reproduce tune",
    "viz": "data.sheet plots widgets",
    "support": "jit locks pickles",
    "data.real": "data.dexter_object data.folder_backgrounds data.frames data.freihand data.json_rows data.nyu "
    "data.palm data.photo_folder data.pictures data.rhd data.stb",
    "data.synthetic": "data.appearance data.backdrop data.draws data.layers data.motion data.props data.render "
    "data.scene data.sensor data.settings data.views",
}
_MOVED = {old: f"{room}.{old.split('.')[-1]}" for room, names in _ROOMS.items() for old in names.split()}
_MOVED |= dict.fromkeys(("trainer", "training.trainer"), "training.train")


class _OldNames:
    """Imports a module by the name that it had before there were rooms: `handlib.metrics` is evaluation/metrics.py."""

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return ModuleSpec(name, cls) if _new_name(name) else None

    @staticmethod
    def create_module(spec):
        return None

    @staticmethod
    def exec_module(module):
        sys.modules[module.__name__] = importlib.import_module(_new_name(module.__name__))


def _new_name(name: str) -> str | None:
    package, _, old = name.partition(".")
    folder, _, rest = old.partition(".")  # of a folder that moved as a whole: bench.timing
    new = _MOVED.get(old) or (f"{_MOVED[folder]}.{rest}" if folder in _MOVED else None)
    return f"{package}.{new}" if new and package == __name__ else None


sys.meta_path.insert(0, _OldNames)  # before what would find bench/timing.py a second time, in its folder


def __getattr__(name: str):
    if name in _PUBLIC:
        return getattr(importlib.import_module(f".{_PUBLIC[name]}", __name__), name)
    full = f"{__name__}.{name}"
    try:
        if not name.startswith("_"):
            return importlib.import_module(full)
    except ModuleNotFoundError as error:
        if error.name != full:
            raise
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


def __dir__() -> list[str]:
    rooms = (module.name for module in pkgutil.iter_modules(__path__))
    return [*__all__, "__version__", *(name for name in rooms if name[0] != "_")]
