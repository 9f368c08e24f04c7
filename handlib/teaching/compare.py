"""Says how an answer differs from what was asked for, in words that lead to the mistake."""

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

FACTORS = {  # of an answer that is a multiple of the right one
    1000.0: "are these millimeters, where meters are asked for?",
    0.001: "are these meters, where millimeters are asked for?",
    57.29578: "are these degrees, where radians are asked for?",
    0.0174533: "are these radians, where degrees are asked for?",
    2.0: "is a factor of ½ missing?",
    0.5: "is there a factor of ½ too many?",
    100.0: "is this a percentage, where a fraction is asked for?",
}


def copied(inputs: tuple) -> tuple:
    """Inputs that an answer may write into without spoiling those of the solution; hands as they are."""
    return tuple(copy.deepcopy(x) if isinstance(x, (Tensor, list, dict, nn.Linear)) else x for x in inputs)


def as_tensor(answer: Any, shape: tuple[int, ...]) -> Tensor | str:
    """The answer as a tensor of floats; or what it is instead, if it is none of this shape."""
    try:
        given = torch.as_tensor(answer).detach().float().cpu()
    except (TypeError, ValueError, RuntimeError):
        return f"yours is a {type(answer).__name__}"
    return given if given.shape == shape else f"yours has shape {tuple(given.shape)}"


def difference(given: Any, wanted: Any, what: str = "answer", tolerance: float = 1e-4) -> str | None:
    """What is wrong with `given`, as the end of "not yet: …"; None where it agrees with `wanted`.

    Compares numbers, booleans, strings, tensors, arrays, and tuples and dictionaries of them.
    """
    if isinstance(wanted, str):
        return None if given == wanted else f"{given!r} is not it"
    if isinstance(wanted, Mapping):
        return _of_parts(given, wanted, what, tolerance)
    if isinstance(wanted, tuple):
        if not isinstance(given, (tuple, list)) or len(given) != len(wanted):
            got = f"{len(given)} things" if isinstance(given, (tuple, list)) else f"one {type(given).__name__}"
            return f"{len(wanted)} things are to be returned, in a tuple; you return {got}"
        parts = {str(n): value for n, value in enumerate(wanted, 1)}
        return _of_parts({str(n): value for n, value in enumerate(given, 1)}, parts, what, tolerance)
    try:
        a, b = torch.as_tensor(given).detach().double().cpu(), torch.as_tensor(wanted).detach().double().cpu()
    except (TypeError, ValueError, RuntimeError):
        return f"your {what} is a {type(given).__name__}, where {_kind(wanted)} is asked for"
    return _of_numbers(a, b, f"your {what}", tolerance)


def _kind(wanted: Any) -> str:
    shape = tuple(torch.as_tensor(wanted).shape)
    return f"a tensor of shape {shape}" if shape else "a number"


def _of_parts(given: Any, wanted: Mapping, what: str, tolerance: float) -> str | None:
    if not isinstance(given, Mapping) or set(given) != set(wanted):
        return f"a dictionary with {', '.join(map(repr, wanted))} is asked for"
    for name, value in wanted.items():
        said = difference(given[name], value, f"{what} no. {name}" if name.isdigit() else f"{what} {name!r}", tolerance)
        if said is not None:
            return said
    return None


def _of_numbers(a: Tensor, b: Tensor, what: str, tolerance: float) -> str | None:
    if a.shape != b.shape:
        turned = " Is it transposed?" if a.shape[::-1] == b.shape else ""
        return f"{what} has shape {tuple(a.shape)}, where {_kind(b)} is asked for.{turned}"
    odd = ~torch.isfinite(a) & torch.isfinite(b)
    if odd.any():
        return f"{what} is NaN or infinite in {int(odd.sum())} of {odd.numel()} places: is something divided by zero?"
    a, b = a.nan_to_num(nan=0.0, posinf=1e9, neginf=-1e9), b.nan_to_num(nan=0.0, posinf=1e9, neginf=-1e9)
    allowed = tolerance * float(b.abs().max()) + 1e-12 if b.numel() else 0.0

    def near(x: Tensor, y: Tensor = b) -> bool:
        return bool((x - y).abs().max() <= max(allowed, tolerance * float(y.abs().max())))

    if not a.numel() or near(a):
        return None
    if near(-a):
        return f"{what} has the right size and the wrong sign"
    if not a.any():
        return f"{what} is zero everywhere"
    factor = float((a * b).sum() / b.square().sum()) if b.any() else 0.0
    if factor and near(a / factor):
        hint = next((f": {hint}" for known, hint in FACTORS.items() if abs(factor / known - 1) < 1e-3), "")
        return f"{what} is {factor:.4g} times what it should be{hint}"
    offset = float((a - b).mean())
    if b.numel() > 1 and near(a - offset):
        hint = ": half a pixel?" if abs(abs(offset) - 0.5) < 1e-3 else ""
        return f"{what} is off by {offset:+.4g} everywhere{hint}"
    return _by_place(a, b, what, near)


def _by_place(a: Tensor, b: Tensor, what: str, near) -> str:
    """Rows exchanged, coordinates mirrored, and otherwise the first place that is wrong."""
    if a.ndim and a.shape[-1] in (2, 3, 4):
        for axis in range(a.shape[-1]):
            mirrored = a.clone()
            mirrored[..., axis] *= -1
            if near(mirrored):
                return f"{what} has the wrong sign in coordinate {axis}"
        if near(a.flip(-1)):
            return f"{what} has its coordinates in the wrong order"
    for axis in range(a.ndim):
        if a.shape[axis] > 1 and near(a.sort(axis).values, b.sort(axis).values):
            return f"{what} holds the right numbers in the wrong order, along axis {axis}"
    if a.ndim == 0:
        return f"{what} is {float(a):.6g}, which is too {'large' if a > b else 'small'}"
    off = (a - b).abs() > 1e-4 * b.abs().max()
    place = tuple(off.nonzero()[0].tolist())
    return (
        f"{what} is wrong in {int(off.sum())} of {off.numel()} places; the first is {list(place)}: "
        f"{float(a[place]):.4g}, where {float(b[place]):.4g} is right"
    )
