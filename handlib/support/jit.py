"""Loops compiled for the CPU by numba, where it is installed: what the fast twins of the plain torch are made of.

Compiled code is cached on disk, so only the first call on a machine waits for the compiler, some seconds.
"""

import importlib.util
import inspect
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
import torch
from torch import Tensor


@cache
def available() -> bool:
    """Whether numba can be used. It refuses a numpy newer than it knows, which says so once."""
    if importlib.util.find_spec("numba") is None:
        return False
    try:
        import numba  # noqa: F401  late: this takes half a second
    except ImportError as error:
        warnings.warn(f"numba is not used, so all is slower: {error}", stacklevel=2)
        return False
    return True


def serves(*tensors: Tensor) -> bool:
    """Whether compiled loops can take these: on the CPU, single or double, and nothing asks for torch's own steps."""
    return (
        not torch.compiler.is_compiling()
        and available()
        and all(t.is_cpu and t.dtype in (torch.float32, torch.float64) for t in tensors)
        and not any(map(torch._C._functorch.is_functorch_wrapped_tensor, tensors))  # of vmap, jacrev, …
    )


def jit(function: Callable) -> Callable:
    """The function, compiled at its first call for the types it then gets; it runs without Python's lock."""
    from numba import njit  # late, as above

    # A checker of types, such as the tests', may have wrapped the function; numba wants it bare.
    bare, options = inspect.unwrap(function), {"nogil": True, "error_model": "numpy"}
    try:
        return njit(cache=True, **options)(bare)
    except RuntimeError:  # no folder to cache in: neither that of the code nor the home can be written
        return njit(**options)(bare)


def each(kernel: Callable, batch: int, *arguments: Tensor | float) -> None:
    """Runs a kernel on every element of a batch, spread over torch's threads.

    Tensors come to it as numpy arrays without their batch dimension; one of length 1 is shared, numbers are passed on.
    """
    arrays = _arrays(arguments, batch)
    _threads(
        lambda n: kernel(*((a[n] if len(a) > 1 else a[0]) if hasattr(a, "shape") else a for a in arrays)), range(batch)
    )


def parts(kernel: Callable, batch: int, *arguments: Tensor) -> None:
    """Runs a kernel that itself loops over a batch: on one part of it a thread. One whose length is 1 is shared.

    For short kernels, next to which a call from Python for every element would count.
    """
    arrays, threads = _arrays(arguments, batch), max(1, min(torch.get_num_threads(), batch))
    bounds = [round(batch * k / threads) for k in range(threads + 1)]
    _threads(lambda k: kernel(*(a[bounds[k] : bounds[k + 1]] if len(a) > 1 else a for a in arrays)), range(threads))


def _arrays(arguments: tuple[Tensor | float, ...], batch: int) -> list[np.ndarray | float]:
    arrays = [_array(a) if isinstance(a, Tensor) else a for a in arguments]
    lengths = {len(a) for a in arrays if hasattr(a, "shape")}
    if not lengths <= {1, batch}:  # the loops read as far as the batch goes
        raise ValueError(f"a batch of {batch} cannot be made of parts of {', '.join(map(str, sorted(lengths)))}")
    return arrays


def _array(tensor: Tensor) -> np.ndarray:
    return (tensor.detach() if tensor.requires_grad else tensor).contiguous().numpy()


def _threads(work: Callable[[int], None], items: range) -> None:
    threads = min(torch.get_num_threads(), len(items))
    if threads < 2:
        for item in items:
            work(item)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(work, items))
