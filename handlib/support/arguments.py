"""What users give as arguments: tensors, NumPy arrays, lists and numbers, each checked against the function's own
annotation, so that an error names the argument rather than a step inside of torch.
"""

import inspect
import math
import operator
import os
import types
import typing
from collections.abc import Callable, Iterable
from dataclasses import fields
from functools import reduce, wraps
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

_LARGEST = torch.finfo(torch.float32).max
_KINDS = {"f": "numbers", "i": "whole numbers", "b": "true and false", "n": "numbers"}


def checked(function: Callable) -> Callable:
    """Lets a function of tensors take arrays and lists, too, and refuses what its annotations do not say.

    Of `joints: Float[Tensor, "*batch 21 2"]` the shape is checked, with sizes of one name equal in all arguments, and
    whole numbers become real ones. Real numbers come out in one precision, single at least; arrays and lists become
    tensors where the first tensor is. Numbers, texts and paths are checked, too. `ValueError` or `TypeError` names the
    argument. Values of tensors are left alone: NaN means what the function says that it means.
    """
    parameters = inspect.signature(function).parameters
    names = tuple(parameters)
    rules = {name: rule for name, p in parameters.items() if (rule := _rule(p.annotation)) is not None}
    accepted: set[tuple] = set()  # forms of arguments that were checked and needed no change: inner loops repeat them
    last: tuple = ()  # one of them: comparing with it costs less than finding it in the set

    @wraps(function)
    def call(*args, **kwargs):
        nonlocal last
        form = ()  # everything about the arguments but the values
        for value in args:
            if type(value) is Tensor:
                form += (value.shape, value.dtype, value.is_cpu or value.device, value.layout)
            else:
                form += (type(value),)
        if not kwargs and (form == last or form in accepted):
            last = form
            return function(*args)
        given = dict(zip(names, args, strict=False), **kwargs)
        if len(given) < len(args) + len(kwargs):
            return function(*args, **kwargs)  # Python's own error: too many
        device, single, sizes, mixed = None, torch.float32, {}, False
        for name, value in given.items():
            rule = rules.get(name)
            if rule is None or (value is None and rule.optional):
                continue
            if rule.check is not None:
                given[name] = rule.check(name, value)
                continue
            if rule.many:
                given[name] = _each(name, value, rule, sizes)
                continue
            given[name] = tensor = as_tensor(name, value, rule.kind, device)
            if tensor.dtype is not torch.float32 and rule.kind in "fn" and tensor.is_floating_point():
                mixed, single = True, torch.promote_types(single, tensor.dtype)
            if device is None and isinstance(value, Tensor):
                device = tensor.device
                mixed = mixed or device.type != "cpu"  # a list before it is not there
            if rule.shape is not None:
                _check_shape(name, tensor.shape, rule.shape, sizes)
        if mixed:
            for name, value in given.items():
                if name in rules and isinstance(value, Tensor):
                    real = rules[name].kind in "fn" and value.is_floating_point()
                    given[name] = value.to(device or value.device, single if real else value.dtype)
        if not kwargs and len(accepted) < 1000:
            by_form = (name not in rules or value is None or type(value) is Tensor for name, value in given.items())
            if all(by_form) and all(map(operator.is_, args, given.values())):
                accepted.add(form)
        return function(**given)

    return call


def check_fields(config: Any) -> None:
    """`TypeError` for a field of a dataclass that is not what its annotation says: numbers, texts, true and false."""
    for field in fields(config):
        rule = _rule(field.type)
        value = getattr(config, field.name)
        if rule is not None and rule.check is not None and not (value is None and rule.optional):
            rule.check(field.name, value)


def at_least(least: float, most: float = math.inf, **values: float | None) -> None:
    """`ValueError` for a number that is too small, or too large; None is one that was not given."""
    for name, value in values.items():
        if value is not None and not least <= value <= most:
            upto = "" if most == math.inf else f" and at most {most:,}"
            raise ValueError(f"{name} must be at least {least:,}{upto}, not {value}"[:200])


def as_tensor(name: str, value: Any, kind: str = "f", device: torch.device | None = None) -> Tensor:
    """A tensor of what a user gives: kind "f" for real numbers, "i" for whole ones, "b" for true and false, "n" for
    whichever of real and whole ones it holds. An array of doubles becomes single, a tensor of them stays as it is.

    `TypeError` for what holds no numbers, `ValueError` for a list whose rows differ in length; `name` is in both.
    """
    tensor = value if isinstance(value, Tensor) else _of_array(name, value)
    if tensor.is_meta or tensor.layout is not torch.strided or tensor.is_quantized:
        raise TypeError(f"{name} must be a dense tensor that holds its numbers, not one of {tensor.device.type}")
    if device is not None and tensor.device != device:
        if isinstance(value, Tensor):
            raise ValueError(f"{name} must be on {device} like the arguments before it, not on {tensor.device}")
        tensor = tensor.to(device)
    dtype = tensor.dtype
    real = dtype.is_floating_point
    if dtype.is_complex or (kind == "i" and (real or dtype is torch.bool)):
        raise TypeError(f"{name} must hold {_KINDS[kind]}, not {_word(dtype)}")
    if kind == "f":
        return tensor if real else tensor.float()
    if kind == "b" and dtype is not torch.bool:
        if not ((tensor == 0) | (tensor == 1)).all():
            raise TypeError(f"{name} must hold true and false, not {_word(dtype)}")
        return tensor.bool()
    return tensor


def unified(given: dict[str, Any]) -> list[Tensor]:
    """Real numbers by their names as tensors of one precision, single at least, on the device of the first tensor."""
    device = next((value.device for value in given.values() if isinstance(value, Tensor)), None)
    tensors = [as_tensor(name, value, device=device) for name, value in given.items()]
    single = reduce(torch.promote_types, (tensor.dtype for tensor in tensors), torch.float32)
    return [tensor.to(single) for tensor in tensors]


def common_lead(names: str, *leads: torch.Size) -> torch.Size:
    """The leading dimensions that all are broadcast to; `ValueError` names the arguments where there are none."""
    if all(lead == leads[0] for lead in leads):
        return leads[0]
    try:
        return torch.Size(np.broadcast_shapes(*leads))  # torch's own would load sympy
    except ValueError:
        shown = ", ".join(str(tuple(lead)) for lead in leads)
        raise ValueError(f"the leading dimensions of {names} do not fit together: {shown}") from None


def _of_array(name: str, value: Any) -> Tensor:
    try:
        array = np.asarray(value)
    except (ValueError, TypeError, RuntimeError, OverflowError, RecursionError) as error:
        raise ValueError(f"{name} must be a tensor, an array or a list whose rows are of one length") from error
    if array.dtype.kind not in "fiub":
        given = f"an array of {value.dtype}" if isinstance(value, np.ndarray) else type(value).__name__
        raise TypeError(f"{name} must be a tensor, an array or a list of numbers, not {given}")
    if array.dtype.kind == "f":
        with np.errstate(over="ignore"):  # infinity, which the function judges
            array = array.astype(np.float32)
    elif array.dtype.kind in "iu":
        array = array.astype(np.int64)
    return torch.from_numpy(np.array(array, order="C"))  # a copy: torch wants positive strides and leave to write


def _word(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


# ---- annotations


class _End(NamedTuple):
    name: str
    size: int | None  # of "3"; None: any, the same for every argument that has this name
    or_one: bool  # "#f"


class _Shape(NamedTuple):
    lead: str | None  # the name of "*batch" and "*#batch"
    broadcast: bool  # "*#batch"
    ends: tuple[_End, ...]


class _Rule(NamedTuple):
    kind: str = ""  # of a tensor, as for `as_tensor`
    shape: _Shape | None = None
    check: Callable[[str, Any], Any] | None = None  # of anything else
    optional: bool = False
    many: bool = False  # a list of such tensors


def _rule(annotation: Any) -> _Rule | None:
    """What an annotation asks for; None for what is not checked here."""
    parts, optional = [annotation], False
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        parts = [part for part in typing.get_args(annotation) if part is not type(None)]
        optional = len(parts) < len(typing.get_args(annotation))
    first, rest = parts[0], parts[1:]
    if first in _CHECKS and not rest:
        return _Rule(check=_CHECKS[first], optional=optional)
    if first is str and all((typing.get_origin(part) or part) is os.PathLike for part in rest):
        return _Rule(check=as_path, optional=optional)
    if typing.get_origin(first) is tuple and typing.get_args(first) == (float, ...):
        return _Rule(check=as_numbers, optional=optional)
    many = typing.get_origin(first) is list
    if many:
        parts = typing.get_args(first)
    if parts == [Tensor]:
        return _Rule("n", optional=optional)
    if any(getattr(part, "array_type", None) is not Tensor for part in parts):
        return None
    first = parts[0]
    lead, *dims = first.dim_str.split() if first.dim_str.startswith("*") else (None, *first.dim_str.split())
    names = [dim.lstrip("#") for dim in dims]
    ends = (_End(n, int(n) if n.isdecimal() else None, n != dim) for n, dim in zip(names, dims, strict=True))
    shape = _Shape(lead and lead.lstrip("*#"), lead is not None and lead[1] == "#", tuple(ends))
    real, whole = "float32" in first.dtypes, "int64" in first.dtypes
    return _Rule("n" if real and whole else "f" if real else "i" if whole else "b", shape, None, optional, many)


def _each(name: str, value: Any, rule: _Rule, sizes: dict[str, Any]) -> list[Tensor]:
    if not isinstance(value, list | tuple):
        raise TypeError(f"{name} must be a list of tensors, not {type(value).__name__}")
    tensors = [as_tensor(name, part, rule.kind) for part in value]
    for tensor in tensors:
        _check_shape(name, tensor.shape, rule.shape, sizes)
    return tensors


def _check_shape(name: str, shape: torch.Size, wanted: _Shape, sizes: dict[str, Any]) -> None:
    """`sizes` are those of the arguments before, by name; they are added to."""
    lead_name, broadcast, ends = wanted
    before, count = len(sizes), len(shape) - len(ends)
    fits = count == 0 or (count > 0 and lead_name is not None)
    if fits:
        for have, (key, size, or_one) in zip(shape[count:] if count else shape, ends, strict=True):
            if size is None:
                size = sizes.setdefault(key, have) if not or_one or have != 1 else 1
            if have != size and not (or_one and have == 1):
                fits = False
    if fits and lead_name is not None:
        lead = shape[:count]
        first = sizes.setdefault(lead_name, lead)
        fits = lead == first or (broadcast and _broadcasts(lead, first))
    if not fits:
        known = dict(list(sizes.items())[:before])
        text = ", ".join(["…"] * (lead_name is not None) + [str(known.get(end.name, end.name)) for end in ends])
        first = known.get(lead_name, ())
        like = f" with … = {', '.join(map(str, first))}" if first else ""
        raise ValueError(f"{name} must have the shape ({text}){like}, got {tuple(shape)}")


def _broadcasts(lead: tuple[int, ...], to: tuple[int, ...]) -> bool:
    return len(lead) <= len(to) and all(a in (1, b) for a, b in zip(lead[::-1], to[::-1], strict=False))


# ---- what is no tensor


def as_path(name: str, value: Any) -> Any:
    """A path as it was given, once it is seen to be one."""
    if not isinstance(value, str | os.PathLike) or isinstance(os.fspath(value), bytes):
        raise TypeError(f"{name} must be a path, not {type(value).__name__}")
    if "\0" in os.fspath(value):
        raise ValueError(f"{name} must be a path, which holds no zero byte: {os.fspath(value)!r}"[:200])
    return value


def as_numbers(name: str, value: Any) -> tuple[float, ...]:
    """Numbers of a tuple, a list, an array or a tensor."""
    tensor = as_tensor(name, value)
    return tuple((tensor if isinstance(value, Tensor) else np.asarray(value, float)).flatten().tolist())


def _as_text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a text, not {value!r}"[:200])
    return value


def _as_bool(name: str, value: Any) -> bool:
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be True or False, not {value!r}"[:200])
    return value


def _as_whole(name: str, value: Any) -> int:
    if isinstance(value, Tensor) and torch.jit.is_tracing():  # a side of an image is a tensor there
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be a whole number, not {value!r}"[:200])
    if not -(2**63) <= value < 2**63:
        raise ValueError(f"{name} must have at most 64 bits, not {int(value).bit_length()}")
    return int(value)  # NumPy's, too


def _as_number(name: str, value: Any) -> float:
    number = value.item() if isinstance(value, Tensor) and value.numel() == 1 and not value.is_meta else value
    real = isinstance(number, Real) and not isinstance(number, bool)
    if not real or (isinstance(number, Integral) and number.bit_length() > 64):
        raise TypeError(f"{name} must be a number, not {value!r}"[:200])
    if math.isnan(number):
        raise ValueError(f"{name} must be a number, not {value!r}"[:200])
    if _LARGEST < abs(number) < math.inf:
        raise ValueError(f"{name} must be a number of single precision, at most {_LARGEST:.1e}, not {value!r}"[:200])
    return value


_CHECKS = {str: _as_text, bool: _as_bool, int: _as_whole, float: _as_number}


def shapes(name: str, fields: Iterable[tuple[str, object]]) -> str:
    """Returns `Name(field (2, 63), …)`: the shape of every field that is a tensor."""
    tensors = (f"{field} {tuple(value.shape)}" for field, value in fields if isinstance(value, Tensor))
    return f"{name}({', '.join(tensors)})"
