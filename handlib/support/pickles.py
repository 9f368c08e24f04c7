"""Reading pickles from outside without running them.

A pickle is a program that may call anything it names. Here nothing is called: every name becomes a stub that keeps its
arguments and its state, and only the names that the caller admits are accepted. Arrays are built from the bytes in the
stubs, after each declared length has been compared with the number of bytes. The callers (hand/mano.py,
networks/pretrained.py, data/real/rhd.py) say which names they admit and how many steps a pickle may take.

Errors are `ValueError`s without the name of the file; the caller adds it.
"""

import io
import math
import pickle
from typing import Any

import numpy as np

# The names under which old and new numpy pickle an array, and the kind of stub that each becomes.
ARRAYS = {
    "numpy.core.multiarray _reconstruct": "array",
    "numpy._core.multiarray _reconstruct": "array",
    "numpy ndarray": "array type",
    "numpy dtype": "dtype",
}
# The protocols of Python 2 cannot express bytes, so Python 3 writes them as encoded text.
BYTES = {"_codecs encode": "encoded", "__builtin__ bytes": "no bytes"}
_NUMBERS = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8")
# Opcodes that reach outside the file, or that reserve memory for bytes that the file may not contain.
_FORBIDDEN = pickle.EXT1 + pickle.EXT2 + pickle.EXT4 + pickle.PERSID + pickle.BINPERSID
_FORBIDDEN += pickle.BYTEARRAY8 + pickle.NEXT_BUFFER + pickle.READONLY_BUFFER


class Refused(ValueError):
    """Raised for a pickle that uses a name or takes a step that its kind of file never does."""


class Stub:
    """Describes an object of the file without making it: the arguments of its constructor and its state."""

    kind = ""

    def __new__(cls, *args):
        stub = object.__new__(cls)
        stub.args, stub.state = args, None
        return stub

    def __setstate__(self, state):
        self.state = state


class _File(io.BytesIO):
    """Bytes that raise `EOFError` when read past their end, instead of returning fewer."""

    def read(self, size=-1):
        content = super().read(size)
        if len(content) < size:
            raise EOFError
        return content

    def readline(self):
        line = super().readline()
        if not line.endswith(b"\n"):
            raise EOFError
        return line


class _Steps(dict):
    """The unpickler's table of opcodes without the forbidden ones; allows a limited number of look-ups."""

    def __init__(self, steps: int, origin: str):
        super().__init__(pickle._Unpickler.dispatch)
        for code in _FORBIDDEN:
            del self[code]
        self.steps, self.left, self.origin = steps, steps, origin

    def __getitem__(self, code):
        self.left -= 1
        if self.left < 0:
            raise Refused(f"refused: the pickle takes more than {self.steps} steps; this is not a {self.origin}")
        return super().__getitem__(code)

    def __missing__(self, code):
        raise pickle.UnpicklingError(f"unexpected byte {code:#04x}")


class _Unpickler(pickle._Unpickler):
    """Python's own unpickler in its pure-Python form: the C one lets a file of ten bytes reserve gigabytes."""

    def __init__(self, data: bytes, kinds: dict[str, str], steps: int, kind: str, source: str):
        super().__init__(_File(data), encoding="latin1")
        self.dispatch = _Steps(steps, kind)
        self.kinds, self.origin = kinds, f"{kind} as downloaded from {source}"
        self.stubs = {}  # new for every file, so that no file can affect the next

    def find_class(self, module: str, name: str) -> type:
        kind = self.kinds.get(f"{module} {name}")
        if kind is None:
            named = ascii(f"{module}.{name}")[1:-1][:100]
            raise Refused(f"refused: {named}; this is not a {self.origin}")
        return self.stubs.setdefault(kind, type(kind, (Stub,), {"kind": kind}))


def read_pickle(data: bytes, kinds: dict[str, str], steps: int, kind: str, source: str) -> dict:
    """Returns the dict in a pickle, with stubs for its objects.

    kinds: the admitted names, "module name", and the `Stub.kind` of each. steps: the most opcodes it may take.
    kind, source: what the file should be, such as "MANO file", and where to get it, for error messages.
    """
    try:
        fields = _Unpickler(data, kinds, steps, kind, source).load()
    except Refused:
        raise
    except Exception as error:  # a damaged pickle can make the unpickler raise anything
        reason = " ".join(str(error).split())[:100] or "it ends too early"
        raise ValueError(f"not a readable pickle ({reason}); is the download complete?") from error
    if not isinstance(fields, dict):
        raise ValueError(f"the pickle is not a dict of fields; this is not a {kind} as downloaded from {source}")
    return fields


def array_of(value: Any) -> np.ndarray:
    """Returns the array of numbers that a stub of the kind "array" describes."""
    kind = value.kind if isinstance(value, Stub) else type(value).__name__
    if kind != "array":
        raise ValueError(f"must be an array of numbers, not of the type {kind}")
    return _from_bytes(value.state)


def _from_bytes(state: Any) -> np.ndarray:
    """Builds an array from its pickled state: version, shape, dtype, Fortran order, bytes (latin1 in Python 2)."""
    if not isinstance(state, tuple) or len(state) != 5:
        raise ValueError("is an array without contents")
    _, shape, dtype, fortran, content = state
    shape, dtype = shape_of(shape), _dtype(dtype)
    if isinstance(content, Stub) and content.kind == "encoded" and content.args[1:] == ("latin1",):
        content = content.args[0]
    if isinstance(content, Stub) and content.kind == "no bytes":
        content = b""
    try:
        content = content.encode("latin1") if isinstance(content, str) else content
    except UnicodeEncodeError:
        content = None
    if not isinstance(content, bytes) or math.prod(shape) * dtype.itemsize != len(content):
        length = f"{len(content)} bytes" if isinstance(content, bytes) else "no bytes"
        raise ValueError(f"declares the shape {shape} of {dtype} and holds {length}")
    array = np.frombuffer(content, dtype).reshape(shape, order="F" if fortran else "C")
    return array.astype(dtype.newbyteorder("="))


def _dtype(stub: Any) -> np.dtype:
    """Returns a pickled dtype: dtype("f8", …) with the byte order second in its state."""
    code = stub.args[0] if isinstance(stub, Stub) and stub.kind == "dtype" and stub.args else None
    if code not in _NUMBERS:
        what = "Python objects" if isinstance(code, str) and code.startswith("O") else "something"
        raise ValueError(f"holds {what} instead of numbers; refused")
    order = stub.state[1] if isinstance(stub.state, tuple) and len(stub.state) > 1 else "="
    return np.dtype(code).newbyteorder(order if order in ("<", ">") else "=")


def shape_of(value: Any) -> tuple[int, ...]:
    """Returns a shape that was written as a tuple or as an array of integers."""
    if isinstance(value, Stub):
        value = array_of(value).tolist()
    if not isinstance(value, tuple | list) or len(value) > 8:
        raise ValueError("declares no shape")
    if not all(type(n) is int and 0 <= n < 1 << 40 for n in value):
        raise ValueError("declares a shape with entries that are not lengths")
    return tuple(value)
