"""Short reprs for objects that hold tensors, as a notebook shows them."""

from collections.abc import Iterable

from torch import Tensor


def shapes(name: str, fields: Iterable[tuple[str, object]]) -> str:
    """Returns `Name(field (2, 63), …)`: the shape of every field that is a tensor."""
    tensors = (f"{field} {tuple(value.shape)}" for field, value in fields if isinstance(value, Tensor))
    return f"{name}({', '.join(tensors)})"
