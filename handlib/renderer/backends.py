"""Who does the work behind `Renderer`: plain torch on any device, compiled loops on the CPU, or pytorch3d."""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from .. import jit
from . import edges, kato, rasterize, soft

BACKENDS = ("reference", "fast", "pytorch3d")


class Backend(NamedTuple):
    """Its functions; the modules of REFERENCE's document them."""

    name: str
    rasterize: Callable[..., Tensor]
    edge_push: Callable[..., Tensor]
    kato_push: Callable[..., Tensor]
    soft_silhouette: Callable[..., Tensor]
    silhouette_error: Callable[..., Tensor] | None = None  # where it is one step; `Renderer` has the several


REFERENCE = Backend("reference", rasterize.rasterize, edges.edge_push, kato.kato_push, soft.soft_silhouette)


def choose(name: str, device: str = "cpu") -> Backend:
    """The backend of that name; `"auto"` is "fast" where that serves the device, else "reference"."""
    if name not in ("auto", *BACKENDS):
        raise ValueError(f"unknown backend '{name}': choose auto or one of {', '.join(BACKENDS)}")
    if name == "pytorch3d":
        return _pytorch3d()
    if name == "fast":
        if not jit.AVAILABLE:
            raise ModuleNotFoundError("the fast renderer needs numba: pip install numba, or choose backend='reference'")
        if device != "cpu":
            raise ValueError(f"the fast renderer runs on the CPU, the vertices are on {device}: choose backend='auto'")
    if name == "reference" or not jit.AVAILABLE or device != "cpu":
        return REFERENCE
    from . import fast, fast_kato, fast_silhouette, fast_soft  # late: importing numba takes half a second

    return Backend(
        "fast",
        fast.rasterize,
        fast.edge_push,
        fast_kato.kato_push,
        fast_soft.soft_silhouette,
        fast_silhouette.silhouette_error,
    )


def available() -> list[str]:
    """The backends whose libraries are installed."""
    found = []
    for name in BACKENDS:
        try:
            choose(name)
        except ModuleNotFoundError:
            continue
        found.append(name)
    return found


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
