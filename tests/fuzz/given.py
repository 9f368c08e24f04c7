"""What is given to functions: arguments as their annotations want them, and, now and then, as they do not."""

import inspect
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st
from torch import Tensor

SIZES = {"n": 5, "k": 4, "t": 6, "v": 778, "w": 12, "s": 16, "h": 32, "f": 1538, "b": 2, "c": 3, "j": 21, "size": 16}
LEADS = [(), (2,), (2,), (1, 2), (0,)]


@dataclass(frozen=True)
class Given:
    """One argument. `plain` is the same as a float32 tensor, where it has one. wild: it holds NaN, infinity or numbers
    near the end of single precision, or nothing, or the same everywhere, or zeros where numbers were rounded. strange:
    no answer to it is known."""

    value: Any
    plain: Any
    form: str = "plain"
    strange: bool = False
    wild: bool = False

    def __repr__(self) -> str:
        shape = f" {tuple(self.value.shape)}" if hasattr(self.value, "shape") else f" {self.value!r}"[:60]
        return self.form + shape


def _mark(number: float) -> Callable[[np.ndarray], Any]:
    def marked(base: np.ndarray) -> Tensor:
        base = base.copy()
        base.reshape(-1)[: max(1, base.size // 3)] = number
        return torch.from_numpy(base).float()

    return marked


def _strided(base: np.ndarray) -> Tensor:
    tensor = torch.from_numpy(base).float()
    return torch.stack([tensor, tensor], -1)[..., 0]


# How numbers may come: as tensors, arrays and lists of any precision …
FRIENDLY: dict[str, Callable[[np.ndarray], Any]] = {
    "tensor": lambda a: torch.from_numpy(a).float(),
    "double tensor": torch.from_numpy,
    "array": lambda a: a.astype(np.float32),
    "double array": lambda a: a,
    "array backwards": lambda a: a.astype(np.float32)[::-1][::-1] if a.ndim else a,
    "list": lambda a: a.tolist(),
    "strided": _strided,
    "with gradient": lambda a: torch.from_numpy(a).float().requires_grad_(),
    "read-only": lambda a: np.frombuffer(a.tobytes(), a.dtype).reshape(a.shape),
}
# … and how they should not.
WILD = {"NaN": _mark(np.nan), "infinity": _mark(np.inf), "huge": _mark(3e38), "large": _mark(1e20)}
STRANGE: dict[str, Callable[[np.ndarray], Any]] = {
    "zeros": lambda a: torch.zeros(a.shape),
    "equal": lambda a: torch.full(a.shape, 0.25),
    "half": lambda a: torch.from_numpy(a).half(),
    "bfloat16": lambda a: torch.from_numpy(a).bfloat16(),
    "whole": lambda a: torch.from_numpy(a).round().long(),
    "bytes": lambda a: np.abs(a).astype(np.uint8),
    "boolean": lambda a: a > 0,
    "complex": lambda a: torch.from_numpy(a).to(torch.complex64),
    "meta": lambda a: torch.from_numpy(a).to("meta"),
    "sparse": lambda a: torch.from_numpy(a).float().to_sparse() if a.ndim else "sparse",
    "empty": lambda a: torch.zeros(0),
    "no rows": lambda a: torch.from_numpy(a)[:0] if a.ndim else None,
    "longer": lambda a: np.concatenate([a, a[..., :1]], -1) if a.ndim else [1.0, 2.0],
    "shorter": lambda a: a[..., :-1] if a.ndim else torch.zeros(1, 1),
    "flat": lambda a: torch.from_numpy(a).reshape(-1),
    "more dimensions": lambda a: torch.from_numpy(np.stack([a] * 3)).float(),
    "one number": lambda a: 1.5,
    "text": lambda a: "NaN",
    "nothing": lambda a: None,
    "objects": lambda a: np.full(a.shape, None),
    "ragged": lambda a: [[1.0, 2.0], [3.0]],
    "beyond": lambda a: [10**400] * 3,
    "deep": lambda a: [[[[[[[[1.0]]]]]]]],
}
WHOLE = {
    "tensor": torch.from_numpy,
    "int32": lambda a: torch.from_numpy(a).int(),
    "array": lambda a: a,
    "list": lambda a: a.tolist(),
}
STRANGE_WHOLE = {
    "far": lambda a: torch.from_numpy(np.where(np.arange(a.size).reshape(a.shape) == 5, 2**31, a)),
    "farther": lambda a: torch.from_numpy(np.where(np.arange(a.size).reshape(a.shape) == 5, 2**40, a)),
    "negative": lambda a: torch.from_numpy(np.where(np.arange(a.size).reshape(a.shape) == 7, -1, a)),
    "unsigned": lambda a: a.astype(np.uint64),
    "real": lambda a: torch.from_numpy(a).float(),
} | {
    name: STRANGE[name]
    for name in ("boolean", "meta", "empty", "no rows", "longer", "flat", "text", "nothing", "one number")
}

SCALARS = {
    int: [1, 2, 20, 64, 0, -1, 2**31, 10**30, 2.5, "x", None, True, float("nan")],
    float: [0.5, 1, 30.0, np.float32(2), 0, -1.0, float("nan"), float("inf"), 1e300, "x", None],
    str: ["x", "", "NaN", None, 3],
    bool: [True, False, "x", None, 2],
}


def scalars(kind: type, *more: Any) -> st.SearchStrategy[Given]:
    values = [*more] * 3 + SCALARS[kind]
    return st.sampled_from(values).map(lambda value: Given(value, value, "scalar", strange=True))


def just(value: Any) -> st.SearchStrategy[Given]:
    return st.just(Given(value, value))


def one_of(*values: Any) -> st.SearchStrategy[Given]:
    """Any of these, none of which has an answer that is known."""
    return st.sampled_from(values).map(lambda value: Given(value, value, "value", strange=True))


def each(optional: dict[str, st.SearchStrategy] | None = None, **arguments: st.SearchStrategy) -> st.SearchStrategy:
    return st.fixed_dictionaries(arguments, optional=optional)


@st.composite
def numbers(draw, make: Callable[[np.random.Generator], np.ndarray], odds: int = 3) -> Given:
    """What `make` makes in one of all forms; one in `odds` is not as it should be."""
    base = np.asarray(make(np.random.default_rng(draw(st.integers(0, 50)))))
    whole, odd = base.dtype.kind in "iu", draw(st.integers(1, odds)) == 1
    if base.dtype.kind == "b":
        forms = {"tensor": torch.from_numpy, "array": lambda a: a, "list": lambda a: a.tolist()}
        strange = STRANGE_WHOLE | {"real": lambda a: torch.from_numpy(a).float() * 0.5}
    else:
        forms, strange = (WHOLE, STRANGE_WHOLE) if whole else (FRIENDLY, STRANGE | WILD)
    name = draw(st.sampled_from(sorted(strange if odd else forms)))
    plain = torch.from_numpy(base) if whole or base.dtype.kind == "b" else torch.from_numpy(base).float()
    try:
        value = (strange if odd else forms)[name](base)
    except (TypeError, ValueError, IndexError, RuntimeError):  # this array has no such form
        name, value, odd = "tensor", plain, False
    degenerate = name in ("zeros", "equal") or 0 in getattr(value, "shape", ())
    if name in ("whole", "bytes", "boolean"):
        degenerate |= bool(((np.asarray(value) == 0) & (base != 0)).any())
    return Given(value, plain, name, strange=odd, wild=name in WILD or degenerate)


# ---- from a function's annotations


def intrinsics(rng: np.random.Generator, lead: tuple[int, ...]) -> np.ndarray:
    K = np.zeros((*lead, 3, 3))
    K[..., 0, 0] = K[..., 1, 1] = rng.uniform(200, 300, lead)
    K[..., :2, 2], K[..., 2, 2] = 112, 1
    return K


def in_camera(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.normal(0, 0.04, shape) + [0, 0, 0.6]


# By an argument's name: what is in it, of which shape. Everything else is normally distributed.
VALUES: dict[str, Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]] = {
    "K": lambda rng, shape: intrinsics(rng, shape[:-2]),
    "joints_cam": in_camera,
    "points_cam": in_camera,
    "vertices_cam": in_camera,
    "root_cam": in_camera,
    "depth": lambda rng, shape: rng.uniform(0.3, 1, shape),
    "root_depth": lambda rng, shape: rng.uniform(0.3, 1, shape),
    "joints_px": lambda rng, shape: rng.uniform(20, 200, shape),
    "points_px": lambda rng, shape: rng.uniform(20, 200, shape),
    "joints_2d": lambda rng, shape: rng.uniform(20, 200, shape),
    "box": lambda rng, shape: rng.uniform(20, 60, shape),
    "omega": lambda rng, shape: rng.uniform(0.5, 1, shape),
    "errors": lambda rng, shape: rng.uniform(0, 80, shape),
    "errors_mm": lambda rng, shape: rng.uniform(0, 80, shape),
    "thresholds": lambda rng, shape: np.sort(rng.uniform(0, 50, shape)),
    "tone": lambda rng, shape: rng.uniform(0, 9, shape),
    "images": lambda rng, shape: rng.uniform(0, 1, shape),
    "heatmaps": lambda rng, shape: rng.uniform(0, 1, shape),
    "mask": lambda rng, shape: rng.uniform(0, 1, shape),
    "silhouette": lambda rng, shape: rng.uniform(0, 1, shape),
    "weight": lambda rng, shape: rng.uniform(0, 1, shape),
}


@st.composite
def of(draw, function: Callable, odds: int = 4, **known: st.SearchStrategy) -> dict[str, Given]:
    """Arguments for a function by its annotations; leading dimensions and sizes are drawn once for all."""
    lead, arguments = draw(st.sampled_from(LEADS)), {}
    for name, parameter in inspect.signature(function).parameters.items():
        if name in known:
            arguments[name] = draw(known[name])
            continue
        if parameter.default is not inspect.Parameter.empty and draw(st.booleans()):
            continue
        parts, union = [parameter.annotation], typing.get_origin(parameter.annotation)
        if union in (typing.Union, types.UnionType):
            parts = [part for part in typing.get_args(parameter.annotation) if part is not type(None)]
        kind = parts[0]
        if kind in SCALARS:
            arguments[name] = draw(scalars(kind))
            continue
        dims = getattr(kind, "dim_str", "n k").split()
        ends = [dim for dim in dims if dim[0] != "*"]
        shape = (
            *(lead if len(ends) < len(dims) else ()),
            *(int(d) if d.isdigit() else SIZES[d.strip("#")] for d in ends),
        )
        dtypes = getattr(kind, "dtypes", ("float32",))
        arguments[name] = draw(numbers(lambda rng, n=name, s=shape, d=dtypes: _array(rng, n, s, d), odds))
    return arguments


def _array(rng: np.random.Generator, name: str, shape: tuple[int, ...], dtypes: tuple[str, ...]) -> np.ndarray:
    if "float32" in dtypes:
        return VALUES.get(name, lambda rng, shape: rng.normal(0, 0.5, shape))(rng, shape)
    array = rng.random(shape) < 0.9
    if "bool" in dtypes:
        array[:1] = True
        return array
    return array.astype(np.int64)
