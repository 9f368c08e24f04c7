"""Reads MANO's own files, which are Python 2 pickles of chumpy objects.

The pickles are read without running them (support/pickles.py). Objects of chumpy and scipy are computed here from their
parts, so neither library is needed.

Errors are `ValueError`s without the name of the file; the caller adds it.
"""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..support.pickles import ARRAYS, Stub, array_of, read_pickle, shape_of

WEBSITE = "https://mano.is.tue.mpg.de"
MAX_STEPS = 100_000  # opcodes of a pickle; MANO's files have some hundreds
MAX_DENSE = 1 << 20  # entries of a sparse matrix written out; MANO's joint regressor has 12448

# The admitted names, as Python 2 and 3 and old and new scipy spell them, and the kind of stub that each becomes.
_KINDS = ARRAYS | {
    "chumpy.ch Ch": "chumpy array",
    "chumpy.reordering Select": "chumpy selection",
    "scipy.sparse.csc csc_matrix": "sparse matrix",
    "scipy.sparse._csc csc_matrix": "sparse matrix",
    "copy_reg _reconstructor": "instance",
    "copyreg _reconstructor": "instance",
    "__builtin__ object": "object",
    "builtins object": "object",
    "__builtin__ set": "set",
    "builtins set": "set",
}


def unpickle(data: bytes, names: Iterable[str]) -> dict[str, np.ndarray]:
    """Returns those of the fields `names` that a pickled hand model holds, as arrays. Other fields are ignored."""
    if not data:
        raise ValueError("the file is empty; is the download complete?")
    if data.lstrip()[:1] == b"<":
        raise ValueError(f"a web page, not a hand model: register at {WEBSITE}, log in and download the file again")
    if data.startswith(b"PK"):
        raise ValueError(
            "a zip archive, not a pickle: unpack it, MANO_RIGHT.pkl is inside; or name it .npz if it is one"
        )
    stubs = read_pickle(data, _KINDS, MAX_STEPS, "MANO file", WEBSITE)
    fields = {}
    for name in names:
        if name in stubs:
            try:
                fields[name] = _array(stubs[name])
            except RecursionError:
                raise ValueError(f"the field '{name}' contains itself; refused") from None
            except ValueError as error:
                raise ValueError(f"the field '{name}' {error}; download the file again from {WEBSITE}") from error
    return fields


def _array(value: Any) -> np.ndarray:
    """Computes the array that a stub describes, as numpy, scipy or chumpy would."""
    kind = value.kind if isinstance(value, Stub) else type(value).__name__
    if kind == "instance" and value.args and getattr(value.args[0], "kind", None):
        kind = value.args[0].kind  # protocols 0 and 1: _reconstructor(the class, object, None)
    if kind == "chumpy array":
        return _array(_item(value, "x"))
    if kind == "chumpy selection":
        return _selection(value)
    if kind == "sparse matrix":
        return _dense(value)
    return array_of(value)


def _item(stub: Stub, name: str) -> Any:
    if not isinstance(stub.state, dict) or name not in stub.state:
        raise ValueError(f"lacks the attribute '{name}'")
    return stub.state[name]


def _within(indices: np.ndarray, end: int) -> np.ndarray:
    if indices.dtype.kind not in "iu" or indices.ndim != 1:
        raise ValueError("holds indices that are not integers")
    if len(indices) and not (0 <= indices.min() and indices.max() < end):
        raise ValueError(f"holds indices outside 0 … {end - 1}")
    return indices.astype(np.int64)


def _selection(stub: Stub) -> np.ndarray:
    """Computes chumpy's `Select`: elements of the flattened array `a`, in the shape `preferred_shape` if it has one.

    MANO's `shapedirs` is one: the first 10 of more components.
    """
    source = _array(_item(stub, "a")).ravel()
    chosen = source[_within(_array(_item(stub, "idxs")), source.size)]
    if "preferred_shape" not in stub.state:
        return chosen
    shape = shape_of(stub.state["preferred_shape"])
    if math.prod(shape) != chosen.size:
        raise ValueError(f"declares the shape {shape} and holds {chosen.size} numbers")
    return chosen.reshape(shape)


def _dense(stub: Stub) -> np.ndarray:
    """Expands a CSC matrix: column c has data[indptr[c]:indptr[c + 1]] at those rows of `indices`."""
    shape = shape_of(_item(stub, "_shape"))
    if len(shape) != 2 or math.prod(shape) > MAX_DENSE:
        raise ValueError(f"declares a sparse matrix of the shape {shape}; refused")
    data = _array(_item(stub, "data"))
    rows = _within(_array(_item(stub, "indices")), shape[0])
    ends = _within(_array(_item(stub, "indptr")), len(rows) + 1)
    counts = np.diff(ends)
    agree = data.shape == rows.shape and len(ends) == shape[1] + 1 and ends[0] == 0 and ends[-1] == len(rows)
    if not agree or (counts < 0).any():
        raise ValueError("is a sparse matrix whose parts do not agree")
    dense = np.zeros(shape, data.dtype)
    np.add.at(dense, (rows, np.repeat(np.arange(shape[1]), counts)), data)
    return dense
