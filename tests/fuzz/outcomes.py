"""Whether a call ended as it should: the one place that judges.

right: an answer without NaN, which is the same for the same numbers as plain tensors. clear error: raised by handlib,
in a sentence that names what was given. raw error: any other exception. silent: a wrong answer, or NaN, without a word.
A crash of Python is seen by the process that started this one (run.py).
"""

import dataclasses
import linecache
import traceback
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import handlib

OUTCOMES = ("right", "clear error", "raw error", "silent", "crash")
GOOD = OUTCOMES[:2]
HOME = str(Path(handlib.__file__).parent)
ERRORS = (ValueError, TypeError, KeyError, IndexError, OSError, ModuleNotFoundError, FloatingPointError)


def is_clear(error: BaseException, names: Iterable[str]) -> bool:
    """Whether handlib raised it, itself, and says which of these it is about."""
    if not isinstance(error, ERRORS) or isinstance(error, UnicodeError):
        return False
    if isinstance(error, OSError) and error.filename is not None:
        return True
    last = traceback.extract_tb(error.__traceback__)[-1]
    ours = last.filename.startswith(HOME) and "raise " in linecache.getline(last.filename, last.lineno)
    return ours and any(name in str(error) for name in names)


def where(error: BaseException) -> str:
    """The kind of an error and the lines that it came from."""
    lines = [f"{Path(f.filename).name}:{f.lineno}" for f in traceback.extract_tb(error.__traceback__)[-3:]]
    return f"{type(error).__name__}: {' '.join(str(error).split())[:150]} [{' > '.join(lines)}]"


def numbers_in(value: Any) -> list[np.ndarray]:
    """All real numbers of an answer, whatever holds them."""
    if isinstance(value, Tensor):
        if value.dtype is torch.bfloat16:
            value = value.float()
        return [] if value.is_meta or not value.is_floating_point() else [value.detach().cpu().numpy()]
    if isinstance(value, np.ndarray):
        return [value] if value.dtype.kind == "f" else []
    if isinstance(value, float):
        return [np.array(value)]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return numbers_in([getattr(value, field.name) for field in dataclasses.fields(value)])
    if isinstance(value, Mapping):
        return numbers_in(list(value.values()))
    if isinstance(value, list | tuple):
        return [array for part in value for array in numbers_in(part)]
    return []


def is_finite(value: Any) -> bool:
    return all(np.isfinite(array).all() for array in numbers_in(value))


def is_same(a: Any, b: Any) -> bool:
    a, b = numbers_in(a), numbers_in(b)
    return len(a) == len(b) and all(
        x.shape == y.shape and np.allclose(x, y, rtol=2e-3, atol=2e-3 * max(1.0, float(np.abs(y).max(initial=0))))
        for x, y in zip(a, b, strict=True)
    )
