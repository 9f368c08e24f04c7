"""What is peculiar to MANO's own files: they are Python 2 pickles of chumpy objects, and there is a left hand.

A pickle is a program that may call anything it names. Here nothing it names is called: every name becomes a stub that
keeps its arguments and its state, only the names that MANO's files need are admitted, and the arrays are built from
the bytes in the stubs, after each declared length has been compared with the bytes that are there. Neither chumpy nor
scipy is needed.

A left hand becomes a right one on the way in (`as_right_hand`), since handlib works with right hands only. MANO's left
hand is the mirror image in x: its fingers point towards +x, its back towards +y and its thumb towards +z.

Errors are `ValueError`s without the file's name, which the caller knows.
"""

import io
import math
import pickle
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

WEBSITE = "https://mano.is.tue.mpg.de"


class Origin(NamedTuple):
    """What a pickle should be and where it comes from, for the messages."""

    what: str
    where: str
    how: str  # to get it
    packed: str  # what to do with the archive it comes in
    also: tuple[tuple[str, str], ...] = ()  # names that may occur beyond MANO's, and what is made of them


MANO = Origin(
    "MANO file",
    WEBSITE,
    f"register at {WEBSITE}, log in and download the file again",
    "unpack it, MANO_RIGHT.pkl is inside; or name it .npz if it is one",
)
MAX_STEPS = 100_000  # opcodes of a pickle; MANO's have some hundreds
MAX_DENSE = 1 << 20  # entries of a sparse matrix written out; MANO's joint regressor has 12448

# The names that may occur, as Python 2 and 3, old and new numpy and scipy spell them, and what handlib makes of them.
_KINDS = {
    "chumpy.ch Ch": "chumpy array",
    "chumpy.reordering Select": "chumpy selection",
    "scipy.sparse.csc csc_matrix": "sparse matrix",
    "scipy.sparse._csc csc_matrix": "sparse matrix",
    "numpy.core.multiarray _reconstruct": "array",
    "numpy._core.multiarray _reconstruct": "array",
    "numpy ndarray": "array type",
    "numpy dtype": "dtype",
    "copy_reg _reconstructor": "instance",
    "copyreg _reconstructor": "instance",
    "__builtin__ object": "object",
    "builtins object": "object",
    "__builtin__ set": "set",
    "builtins set": "set",
}
_NUMBERS = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8")
# Opcodes that reach outside the file, or that reserve memory for bytes which the file need not hold.
_FORBIDDEN = pickle.EXT1 + pickle.EXT2 + pickle.EXT4 + pickle.PERSID + pickle.BINPERSID
_FORBIDDEN += pickle.BYTEARRAY8 + pickle.NEXT_BUFFER + pickle.READONLY_BUFFER


class _Refused(ValueError):
    pass


class _Stub:
    """An object of the file, not made but described: the arguments of its maker and its state."""

    kind = ""

    def __new__(cls, *args):
        stub = object.__new__(cls)
        stub.args, stub.state = args, None
        return stub

    def __setstate__(self, state):
        self.state = state


class _File(io.BytesIO):
    """Bytes with an end: whoever reads past it is told so, rather than given less."""

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
    """The unpickler's table of opcodes, less the forbidden ones, which serves `MAX_STEPS` look-ups."""

    def __init__(self, origin: Origin):
        super().__init__(pickle._Unpickler.dispatch)
        self.origin = origin
        for code in _FORBIDDEN:
            del self[code]
        self.left = MAX_STEPS

    def __getitem__(self, code):
        self.left -= 1
        if self.left < 0:
            raise _Refused(f"refused: a pickle of more than {MAX_STEPS} steps; this is no {self.origin.what}")
        return super().__getitem__(code)

    def __missing__(self, code):
        raise pickle.UnpicklingError(f"unexpected byte {code:#04x}")


class _Unpickler(pickle._Unpickler):
    """Python's own unpickler in its pure-Python form: the C one lets a file of ten bytes reserve gigabytes."""

    def __init__(self, data: bytes, origin: Origin):
        super().__init__(_File(data), encoding="latin1")
        self.origin, self.dispatch = origin, _Steps(origin)
        self.stubs = {}  # made anew for every file, so that none can change what the next one meets

    def find_class(self, module: str, name: str) -> type:
        kind = (_KINDS | dict(self.origin.also)).get(f"{module} {name}")
        if kind is None:
            named = ascii(f"{module}.{name}")[1:-1][:100]
            raise _Refused(f"refused: {named}; this is no {self.origin.what} as downloaded from {self.origin.where}")
        return self.stubs.setdefault(kind, type(kind, (_Stub,), {"kind": kind}))


def unpickle(data: bytes, names: Iterable[str], origin: Origin = MANO) -> dict[str, np.ndarray]:
    """The fields `names` of a pickled dict, those that it holds, as arrays. The rest of it is not looked at.

    A hand model, unless `origin` says what else the messages should ask for.
    """
    if not data:
        raise ValueError("the file is empty; is the download complete?")
    if data.lstrip()[:1] == b"<":
        raise ValueError(f"a web page, not a {origin.what}: {origin.how}")
    if data.startswith(b"PK"):
        raise ValueError(f"a zip archive, not a pickle: {origin.packed}")
    try:
        holds = _Unpickler(data, origin).load()
    except _Refused:
        raise
    except Exception as error:  # a damaged pickle can make the unpickler raise anything
        reason = " ".join(str(error).split())[:100] or "it ends too early"
        raise ValueError(f"not a readable pickle ({reason}); is the download complete?") from error
    if not isinstance(holds, dict):
        raise ValueError(
            f"the pickle holds no dict of fields; this is no {origin.what} as downloaded from {origin.where}"
        )
    fields = {}
    for name in names:
        if name in holds:
            try:
                fields[name] = _array(holds[name])
            except RecursionError:
                raise ValueError(f"the field '{name}' is made of itself; refused") from None
            except ValueError as error:
                raise ValueError(f"the field '{name}' {error}; download the file again from {origin.where}") from error
    return fields


def _array(value: Any) -> np.ndarray:
    """The array that a stub describes, computed as numpy, scipy or chumpy would."""
    kind = value.kind if isinstance(value, _Stub) else type(value).__name__
    if kind == "instance" and value.args and getattr(value.args[0], "kind", None):
        kind = value.args[0].kind  # protocols 0 and 1: _reconstructor(the class, object, None)
    if kind == "array":
        return _from_bytes(value.state)
    if kind == "chumpy array":
        return _array(_item(value, "x"))
    if kind == "chumpy selection":
        return _selection(value)
    if kind == "sparse matrix":
        return _dense(value)
    raise ValueError(f"must be an array of numbers, not of the type {kind}")


def _item(stub: _Stub, name: str) -> Any:
    if not isinstance(stub.state, dict) or name not in stub.state:
        raise ValueError(f"lacks its part '{name}'")
    return stub.state[name]


def _from_bytes(state: Any) -> np.ndarray:
    """State of a pickled array: version, shape, dtype, whether in Fortran's order, bytes (latin1 in Python 2)."""
    if not isinstance(state, tuple) or len(state) != 5:
        raise ValueError("is an array without contents")
    _, shape, dtype, fortran, content = state
    shape, dtype = _shape(shape), _dtype(dtype)
    if isinstance(content, _Stub) and content.kind == "bytes" and content.args[1:] == ("latin1",):
        content = content.args[0]
    content = content.encode("latin1") if isinstance(content, str) else content
    if not isinstance(content, bytes) or math.prod(shape) * dtype.itemsize != len(content):
        held = f"{len(content)} bytes" if isinstance(content, bytes) else "no bytes"
        raise ValueError(f"declares the shape {shape} of {dtype} and holds {held}")
    array = np.frombuffer(content, dtype).reshape(shape, order="F" if fortran else "C")
    return array.astype(dtype.newbyteorder("="))


def _dtype(stub: Any) -> np.dtype:
    """A pickled dtype: dtype("f8", …) with the byte order second in its state."""
    code = stub.args[0] if isinstance(stub, _Stub) and stub.kind == "dtype" and stub.args else None
    if code not in _NUMBERS:
        what = "Python objects" if isinstance(code, str) and code.startswith("O") else "something"
        raise ValueError(f"holds {what} instead of numbers; refused")
    order = stub.state[1] if isinstance(stub.state, tuple) and len(stub.state) > 1 else "="
    return np.dtype(code).newbyteorder(order if order in ("<", ">") else "=")


def _shape(value: Any) -> tuple[int, ...]:
    """A shape, written as a tuple or as an array of integers."""
    if isinstance(value, _Stub):
        value = _array(value).tolist()
    if not isinstance(value, tuple | list) or len(value) > 8:
        raise ValueError("declares no shape")
    if not all(type(n) is int and 0 <= n < 1 << 40 for n in value):
        raise ValueError("declares a shape that is not made of lengths")
    return tuple(value)


def _within(indices: np.ndarray, end: int) -> np.ndarray:
    if indices.dtype.kind not in "iu" or indices.ndim != 1:
        raise ValueError("holds indices that are no integers")
    if len(indices) and not (0 <= indices.min() and indices.max() < end):
        raise ValueError(f"holds indices outside 0 … {end - 1}")
    return indices.astype(np.int64)


def _selection(stub: _Stub) -> np.ndarray:
    """chumpy's `Select`: elements of the flattened array `a`, in the shape `preferred_shape` when it has one.

    MANO's `shapedirs` is one: the first 10 of more components.
    """
    source = _array(_item(stub, "a")).ravel()
    chosen = source[_within(_array(_item(stub, "idxs")), source.size)]
    if "preferred_shape" not in stub.state:
        return chosen
    shape = _shape(stub.state["preferred_shape"])
    if math.prod(shape) != chosen.size:
        raise ValueError(f"declares the shape {shape} and holds {chosen.size} numbers")
    return chosen.reshape(shape)


def _dense(stub: _Stub) -> np.ndarray:
    """A matrix by columns (CSC): column c has data[indptr[c]:indptr[c + 1]] at these rows of `indices`."""
    shape = _shape(_item(stub, "_shape"))
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


def as_right_hand(fields: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A right hand as it is; a left hand as its mirror image, with `side` "left" added. `fields` are checked ones.

    Which it is, the template tells: fingers towards −x or towards +x, the thumb towards +z in either.

    With M = diag(−1, 1, 1), a point x mirrors to Mx, a rotation R to MRM and an axis-angle (x, y, z) to (x, −y, −z),
    so that right(mirrored pose, shape) = M left(pose, shape): the shape means the same for both hands.

    One field of the published MANO_LEFT.pkl is not mirrored: its `shapedirs` are the right hand's, copied, so that a
    shape that should lengthen the left hand shortens it (github.com/vchoutas/smplx/issues/48). Comparing both files
    shows it; one file alone shows it too. Over a population with shapes N(0, 1), the growth of length and the growth
    of breadth have the covariance Σ_k length_k · breadth_k, where length_k is how much component k stretches the
    template along x, and breadth_k along z. Long hands are broad hands, so it is positive; with x of the wrong sign
    it is negative, and then x is left as it is. A file that somebody has already mended reads the same.
    """
    joints = fields["J_regressor"] @ fields["v_template"]
    fingers, thumbwards = joints[4] - joints[0], joints[1] - joints[7]  # wrist to middle, little to index finger
    if np.abs(fingers).argmax() != 0 or np.abs(thumbwards).argmax() != 2 or thumbwards[2] < 0:
        raise ValueError(
            "the field 'v_template' is not in MANO's frame: fingers towards −x (right hand) or +x (left), back of the "
            "hand towards +y, thumb towards +z; turn the model into it"
        )
    if fingers[0] < 0:
        return fields

    mirror = np.array([-1, 1, 1], np.int8)
    turn = np.tile(np.array([1, -1, -1], np.int8), 15)
    template = fields["v_template"] * mirror
    shapes = fields["shapedirs"] * mirror[:, None]
    if _covariance_of_length_and_breadth(template, shapes) < 0:
        shapes = fields["shapedirs"]
    entries = mirror[:, None, None, None] * mirror[:, None] * mirror  # (3, 1, 3, 3): a coordinate, a joint, MRM
    faces = {key: fields[key] for key in ("f", "ft") if key in fields}  # of the mesh and of its texture
    if _volume(template, fields["f"]) < 0:
        faces = {key: corners[:, [0, 2, 1]] for key, corners in faces.items()}
    poses = {key: fields[key] * turn for key in ("hands_components", "hands_mean", "named_poses") if key in fields}
    right = (
        fields
        | faces
        | poses
        | {
            "v_template": template,
            "shapedirs": shapes,
            "posedirs": (fields["posedirs"].reshape(-1, 3, 15, 3, 3) * entries).reshape(fields["posedirs"].shape),
            "side": np.array("left"),
        }
    )
    right.pop("J", None)  # the rest joints: what `J_regressor` gives
    return right


def _covariance_of_length_and_breadth(template: np.ndarray, shapes: np.ndarray) -> float:
    centred = template - template.mean(0)
    growth = np.einsum("vc,vck->ck", centred, shapes) / (centred**2).sum(0)[:, None]
    return float(growth[0] @ growth[2])


def _volume(vertices: np.ndarray, faces: np.ndarray) -> float:
    """Six times the volume, negative when the faces turn inwards. The wrist's open loop is joined to the centre."""
    centred = vertices - vertices.mean(0)
    a, b, c = (centred[faces[:, i]] for i in range(3))
    return float(np.einsum("fc,fc->", a, np.cross(b, c)))
