"""Who does the work behind `Renderer`: plain torch on any device, or compiled loops on the CPU."""

import importlib.util
from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from . import edges, kato, rasterize, soft

BACKENDS = ("reference", "fast")


class Backend(NamedTuple):
    """Four functions; reference.py's modules document them."""

    name: str
    rasterize: Callable[..., Tensor]
    edge_push: Callable[..., Tensor]
    kato_push: Callable[..., Tensor]
    soft_silhouette: Callable[..., Tensor]


REFERENCE = Backend("reference", rasterize.rasterize, edges.edge_push, kato.kato_push, soft.soft_silhouette)


def choose(name: str, device: str = "cpu") -> Backend:
    """The backend of that name; `"auto"` is the fastest there is for the device's kind."""
    if name not in ("auto", *BACKENDS):
        raise ValueError(f"unknown backend '{name}': choose auto or one of {', '.join(BACKENDS)}")
    compiled = importlib.util.find_spec("numba") is not None
    if name == "fast":
        if not compiled:
            raise ModuleNotFoundError("the fast renderer needs numba: pip install numba, or choose backend='reference'")
        if device != "cpu":
            raise ValueError(f"the fast renderer runs on the CPU, the vertices are on {device}: choose backend='auto'")
    if name == "reference" or not compiled or device != "cpu":
        return REFERENCE
    from . import fast  # late: importing numba takes half a second

    return Backend("fast", fast.rasterize, fast.edge_push, fast.kato_push, fast.soft_silhouette)
