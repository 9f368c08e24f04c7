"""Chooses the implementation behind `Renderer`: plain torch, compiled loops for CPU and CUDA, or pytorch3d."""

import importlib.util
import os
import shutil
import sysconfig
from collections.abc import Callable
from functools import cache, wraps
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from ..support import jit
from . import edges, kato, rasterize, soft

BACKENDS = ("reference", "fast", "pytorch3d")


def _has_triton() -> bool:
    """Returns whether Triton, which comes with torch for CUDA, finds the C compiler and the Python headers it needs."""
    if importlib.util.find_spec("triton") is None:
        return False
    try:
        recent = tuple(map(int, version("triton").split(".")[:2])) >= (3, 3)  # older ones cannot pass tuples
    except (PackageNotFoundError, ValueError):
        recent = True  # a nightly build, which has another name
    compilers = filter(None, (os.environ.get("CC"), "gcc", "clang"))
    return recent and any(map(shutil.which, compilers)) and Path(sysconfig.get_path("include"), "Python.h").is_file()


TRITON = _has_triton()
VOLTA = (7, 0)  # compute capability of the oldest GPUs that Triton compiles for


class Backend(NamedTuple):
    """The functions of a backend; those of `REFERENCE` are documented in their modules.

    checks: they refuse, themselves, a mesh that cannot be drawn.
    """

    name: str
    rasterize: Callable[..., Tensor]
    edge_push: Callable[..., Tensor]
    kato_push: Callable[..., Tensor]
    soft_silhouette: Callable[..., Tensor]
    checks: bool = False


REFERENCE = Backend("reference", rasterize.rasterize, edges.edge_push, kato.kato_push, soft.soft_silhouette)


def choose(name: str, device: str = "cpu") -> Backend:
    """Returns the backend with this name; `"auto"` is "fast" where the device supports it, else "reference"."""
    check(name)
    if name == "pytorch3d":
        return _pytorch3d()
    if device == "mps":
        raise ValueError("the renderer needs double precision, which mps lacks: move its inputs to the CPU")
    if name == "fast":
        if device not in ("cpu", "cuda"):
            raise ValueError(f"the fast renderer runs on cpu and cuda, not on {device}: choose backend='auto'")
        if not fast_serves(device):
            raise ModuleNotFoundError(_missing(device))
    if name == "reference" or not fast_serves(device):
        return REFERENCE
    return _numba() if device == "cpu" else _triton()


def check(name: str) -> None:
    """Raises an error if there is no backend with this name, or if it cannot run on any device of this machine."""
    if name not in ("auto", *BACKENDS):
        raise ValueError(f"unknown backend '{name}': choose auto or one of {', '.join(BACKENDS)}")
    if name == "pytorch3d":
        _pytorch3d()
    if name == "fast" and not (fast_serves("cpu") or fast_serves("cuda")):
        raise ModuleNotFoundError(_missing("cpu"))


def fast_serves(device: str) -> bool:
    """Returns whether everything that the fast renderer needs on this device is installed."""
    if device == "cuda":
        return TRITON and (not torch.cuda.is_available() or torch.cuda.get_device_capability() >= VOLTA)
    return device == "cpu" and jit.available()


def available() -> list[str]:
    """Lists the backends whose libraries are installed."""
    names = []
    for name in BACKENDS:
        try:
            check(name)
        except ModuleNotFoundError:
            continue
        names.append(name)
    return names


def _missing(device: str) -> str:
    if device == "cuda":
        needs = "triton 3.3, a C compiler and the headers of Python (python3-dev) on CUDA: install them"
    else:
        needs = "numba on the CPU: pip install numba"
    return f"the fast renderer needs {needs}, or choose backend='reference'"


def _numba() -> Backend:
    from .numba import edges, kato, rasterize, soft  # late: importing numba takes half a second

    return Backend("fast", rasterize.rasterize, edges.edge_push, kato.kato_push, soft.soft_silhouette, checks=True)


def _triton() -> Backend:
    from .triton import edges, kato, rasterize, soft  # late: on a CPU there may be no Triton

    functions = (rasterize.rasterize, edges.edge_push, kato.kato_push, soft.soft_silhouette)
    return Backend("fast", *map(_on_its_device, functions))


@cache
def _on_its_device(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Makes a function run on the GPU of its first argument, since Triton launches on the current GPU."""

    @wraps(function)
    def there(first: Tensor, *arguments):
        with torch.cuda.device_of(first):
            return function(first, *arguments)

    return there


def _pytorch3d() -> Backend:
    try:
        from . import pytorch3d
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "backend 'pytorch3d' needs pytorch3d, which its authors' INSTALL.md shows how to build"
        ) from error
    return REFERENCE._replace(
        name="pytorch3d", rasterize=pytorch3d.rasterize, soft_silhouette=pytorch3d.soft_silhouette
    )
