"""handlib: dense 3D hand pose and shape from one RGB image, by neural rendering.

The names in `__all__` are the public ones; modules (`losses`, `data`, …) hold the rest. Both are loaded when they are
first used, so `import handlib` costs nothing.
"""

import importlib
import pkgutil
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
    "metrics": "evaluation.metrics",
    "predict": "photo.predict",
    "refine": "refinement",
}
__all__ = list(_PUBLIC)


def __getattr__(name: str):
    if name in _PUBLIC:
        module = importlib.import_module(f".{_PUBLIC[name]}", __name__)
        return getattr(module, name, module)  # `metrics` is a module itself
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
