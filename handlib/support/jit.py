"""Helpers for loops that numba compiles for the CPU: the fast twins of the plain torch code.

Compiled code is cached on disk, so only the first call on a machine waits some seconds for the compiler.
"""

import importlib.util
import inspect
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache

import numpy as np
import torch
from torch import Tensor

_left_out: ContextVar[bool] = ContextVar("numba is left out", default=False)


@contextmanager
def left_out(yes: bool = True) -> Iterator[None]:
    """Uses plain torch inside: for a few photographs numba takes longer to load than it saves."""
    token = _left_out.set(yes)
    try:
        yield
    finally:
        _left_out.reset(token)


def available() -> bool:
    """Returns whether compiled loops are used. `torch.jit.trace` would keep what they computed as constants."""
    return not (_left_out.get() or torch.jit.is_tracing()) and _importable()


@cache
def _importable() -> bool:
    """Returns whether numba can be used. Warns once if it refuses the installed numpy, which may be too new for it."""
    if importlib.util.find_spec("numba") is None:
        return False
    try:
        import numba  # noqa: F401  late: this takes half a second
    except ImportError as error:
        warnings.warn(f"numba cannot be used, so handlib runs more slowly: {error}", stacklevel=2)
        return False
    return True


def serves(*tensors: Tensor) -> bool:
    """Returns whether compiled loops can take these tensors: float32 or float64 on the CPU, not traced by torch."""
    return (
        not torch.compiler.is_compiling()
        and available()
        and all(t.is_cpu and t.dtype in (torch.float32, torch.float64) for t in tensors)
        and not any(map(torch._C._functorch.is_functorch_wrapped_tensor, tensors))  # of vmap, jacrev, …
    )


def jit(function: Callable) -> Callable:
    """Compiles a function with numba at its first call, for the types of that call; it runs without Python's lock."""
    from numba import njit  # late, as above

    # The type checker of the tests may have wrapped the function; numba needs the original.
    bare, options = inspect.unwrap(function), {"nogil": True, "error_model": "numpy"}
    try:
        return njit(cache=True, **options)(bare)
    except RuntimeError:  # no folder for the cache: neither that of the code nor the home is writable
        return njit(**options)(bare)


def each(kernel: Callable, batch: int, *arguments: Tensor | float) -> list:
    """Runs a kernel on every element of a batch, spread over torch's threads; returns what it returns.

    The kernel gets tensors as numpy arrays without their batch dimension, and numbers as they are. A tensor of length 1
    is shared by all elements.
    """
    arrays = _arrays(arguments, batch)
    return _threads(
        lambda n: kernel(*((a[n] if len(a) > 1 else a[0]) if hasattr(a, "shape") else a for a in arrays)), range(batch)
    )


def parts(kernel: Callable, batch: int, *arguments: Tensor) -> None:
    """Runs a kernel that itself loops over a batch, with one part of the batch per thread.

    A tensor of length 1 is shared. For kernels so short that one Python call per element would dominate.
    """
    arrays, threads = _arrays(arguments, batch), max(1, min(torch.get_num_threads(), batch))
    bounds = [round(batch * k / threads) for k in range(threads + 1)]
    _threads(lambda k: kernel(*(a[bounds[k] : bounds[k + 1]] if len(a) > 1 else a for a in arrays)), range(threads))


def _arrays(arguments: tuple[Tensor | float, ...], batch: int) -> list[np.ndarray | float]:
    arrays = [_array(a) if isinstance(a, Tensor) else a for a in arguments]
    lengths = {len(a) for a in arrays if hasattr(a, "shape")}
    if not lengths <= {1, batch}:  # a shorter array would be read past its end
        raise ValueError(f"all tensors must have length 1 or {batch}: got {', '.join(map(str, sorted(lengths)))}")
    return arrays


def _array(tensor: Tensor) -> np.ndarray:
    return (tensor.detach() if tensor.requires_grad else tensor).contiguous().numpy()


def _threads(work: Callable[[int], object], items: range) -> list:
    threads = min(torch.get_num_threads(), len(items))
    if threads < 2:
        return [work(item) for item in items]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, items))
