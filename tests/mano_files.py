"""Writers of MANO's files in their original form: what Python 2 pickled, with chumpy's and scipy's objects."""

from typing import NamedTuple

import numpy as np
from scipy import sparse

REQUIRED = ("v_template", "f", "shapedirs", "posedirs", "J_regressor", "weights", "kintree_table")
REQUIRED += ("hands_components", "hands_mean")  # what smplx asks of a hand beyond a body
M = np.diag([-1.0, 1.0, 1.0])


class Name(NamedTuple):
    """A class or function, as a pickle names it."""

    module: str
    name: str


class Call(NamedTuple):
    """What a function of the pickle returns, with a state set on it."""

    function: Name
    args: tuple
    state: object = None


class Instance(NamedTuple):
    """An instance of a class, made without a call of its `__init__`."""

    of: Name
    state: dict


CH, SELECT = Name("chumpy.ch", "Ch"), Name("chumpy.reordering", "Select")
CSC = Name("scipy.sparse.csc", "csc_matrix")
RECONSTRUCT, NDARRAY = Name("numpy.core.multiarray", "_reconstruct"), Name("numpy", "ndarray")


class Python2Pickle:
    """Writes values as Python 2's pickle does, under any class name; protocol 0 or 2."""

    def __init__(self, protocol: int):
        self.protocol, self.memo = protocol, 0

    def file(self, value) -> bytes:
        return (b"\x80\x02" if self.protocol == 2 else b"") + self.write(value) + b"."

    def write(self, value) -> bytes:
        two = self.protocol == 2
        if value is None:
            return b"N"
        if isinstance(value, bool):
            return (b"\x88" if value else b"\x89") if two else b"I%02d\n" % value
        if isinstance(value, int):
            return (b"J" + value.to_bytes(4, "little", signed=True)) if two else b"I%d\n" % value
        if isinstance(value, str | bytes):
            return self.string(value if isinstance(value, bytes) else value.encode("latin1"))
        if isinstance(value, Name):
            return f"c{value.module}\n{value.name}\n".encode() + self.put()
        if isinstance(value, Call):
            state = b"" if value.state is None else self.write(value.state) + b"b"
            return self.write(value.function) + self.write(value.args) + b"R" + self.put() + state
        if isinstance(value, Instance):
            if two:
                return self.write(value.of) + b")\x81" + self.put() + self.write(value.state) + b"b"
            reconstructor, base = Name("copy_reg", "_reconstructor"), Name("__builtin__", "object")
            return self.write(Call(reconstructor, (value.of, base, None), value.state))
        if isinstance(value, np.ndarray):
            order = bool(value.flags.f_contiguous and not value.flags.c_contiguous)
            state = (1, value.shape, value.dtype, order, value.tobytes("F" if order else "C"))
            return self.write(Call(RECONSTRUCT, (NDARRAY, (0,), b"b"), state))
        if isinstance(value, np.dtype):
            state = (3, "|" if value.itemsize == 1 else "<", None, None, None, -1, -1, 0)
            return self.write(Call(Name("numpy", "dtype"), (value.str[1:], 0, 1), state))
        if isinstance(value, set):
            return self.write(Call(Name("__builtin__", "set"), (sorted(value),)))
        if isinstance(value, dict):
            pairs = [self.write(k) + self.write(v) for k, v in value.items()]
            if two:
                return b"}" + self.put() + b"(" + b"".join(pairs) + b"u"
            return b"(d" + self.put() + b"".join(pair + b"s" for pair in pairs)
        items = [self.write(item) for item in value]
        if isinstance(value, tuple):
            return b"(" + b"".join(items) + b"t" + self.put()
        return b"(l" + self.put() + b"".join(item + b"a" for item in items)

    def string(self, value: bytes) -> bytes:
        if self.protocol == 0:
            return b"S" + repr(value)[1:].encode() + b"\n" + self.put()
        if len(value) < 256:
            return b"U" + bytes([len(value)]) + value + self.put()
        return b"T" + len(value).to_bytes(4, "little") + value + self.put()

    def put(self) -> bytes:
        self.memo += 1
        return b"r" + self.memo.to_bytes(4, "little") if self.protocol == 2 else b"p%d\n" % self.memo


def chumpy(**parts) -> dict:
    return parts | {"_dirty_vars": set(parts), "_itr": None, "_depends_on_deps": {}}


def selection(array: np.ndarray, shape: object = None) -> Instance:
    """The first components of an array that has more, as chumpy slices; MANO's `shapedirs` are 10 of 20."""
    more = np.concatenate([array, np.full_like(array, 7)], -1)
    idxs = np.arange(more.size).reshape(more.shape)[..., : array.shape[-1]].ravel()
    return Instance(
        SELECT, chumpy(a=Instance(CH, chumpy(x=more)), idxs=idxs, preferred_shape=shape or np.array(array.shape))
    )


def columns(array: np.ndarray) -> dict:
    matrix = sparse.csc_matrix(array)
    parts = {"data": matrix.data, "indices": matrix.indices, "indptr": matrix.indptr}
    return parts | {"_shape": array.shape, "maxprint": 50}


def originals_form(fields: dict[str, np.ndarray]) -> dict:
    """The dict that MANO's pickle holds: float64, chumpy's and scipy's objects, strings, and no vertex colors."""
    names = ("v_template", "posedirs", "weights", "hands_components", "hands_mean", "hands_coeffs")
    return {name: fields[name].astype(np.float64) for name in names} | {
        "f": fields["f"].astype(np.uint32),
        "kintree_table": np.array([[2**32 - 1, *fields["kintree_table"][0, 1:]], range(16)], np.uint32),
        "J": (fields["J_regressor"] @ fields["v_template"]).astype(np.float64),
        "J_regressor": Instance(CSC, columns(fields["J_regressor"].astype(np.float64))),
        "shapedirs": selection(fields["shapedirs"].astype(np.float64)),
        "bs_style": "lbs",
        "bs_type": "lrotmin",
    }


def mirrored_naive(right: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A left hand, number by number where it matters: every point p becomes Mp and every rotation R becomes MRM."""
    left = {key: array.copy() for key, array in right.items()}
    left["v_template"] = right["v_template"] @ M
    left["shapedirs"] = np.einsum("cd,vdk->vck", M, right["shapedirs"])
    for joint in range(15):
        for i in range(3):
            for j in range(3):
                entry = 9 * joint + 3 * i + j
                left["posedirs"][:, :, entry] = M[i, i] * M[j, j] * (right["posedirs"][:, :, entry] @ M)
    for axis in range(15):
        for coordinate in (3 * axis + 1, 3 * axis + 2):
            left["hands_mean"][coordinate] *= -1
            left["hands_components"][:, coordinate] *= -1
            left["named_poses"][:, coordinate] *= -1
    left["f"], left["ft"] = right["f"][:, [0, 2, 1]], right["ft"][:, [0, 2, 1]]
    return left
