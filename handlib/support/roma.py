"""roma, which is imported when the first of its functions is asked for, and without torch's compiler.

Write `from ..support import roma`. At its import roma asks torch's compiler, which takes as long to load as torch, to
leave two functions out of compiled graphs. Here the compiler is asked when such a graph calls one of them.
"""

import sys
from collections.abc import Callable
from types import SimpleNamespace

import torch


def __getattr__(name: str):
    if name.startswith("__"):
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(_load(), name)


def _load():
    if "roma" not in sys.modules and "torch._dynamo" not in sys.modules:
        torch._dynamo = SimpleNamespace(disable=_disabled_later)
        try:
            import roma
        finally:
            del torch._dynamo  # torch loads its own when somebody asks for it
    import roma

    return roma


def _disabled_later(function: Callable) -> Callable:
    """`torch._dynamo.disable(function)`, made when it is called."""
    return lambda *arguments: torch._dynamo.disable(function)(*arguments)
