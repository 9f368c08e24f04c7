"""Files of tensors with a digest of their contents, stored in the file itself, so that damage is noticed."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from .files import atomic_path, write_tensors

MAX_BYTES = 16 << 30  # of a file


def digest_of(content: Any) -> str:
    """Returns the SHA-256 of tensors, numbers and texts in dicts, lists and tuples, whatever the order of dict keys."""
    digest = hashlib.sha256()
    _add(digest, content)
    return digest.hexdigest()


def _add(digest: "hashlib._Hash", content: Any) -> None:
    if isinstance(content, Tensor):
        digest.update(f"{content.dtype} {tuple(content.shape)} ".encode())
        digest.update(content.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    elif isinstance(content, dict):
        digest.update(f"dict {len(content)} ".encode())
        for key in sorted(content, key=repr):
            digest.update(repr(key).encode())
            _add(digest, content[key])
    elif isinstance(content, (list, tuple)):
        digest.update(f"list {len(content)} ".encode())
        for value in content:
            _add(digest, value)
    else:
        digest.update(f"{content!r} ".encode())


def save_tensors(path: str | os.PathLike[str], tensors: dict[str, Tensor]) -> None:
    """Writes a safetensors file, atomically, with a digest of what is in it."""
    tensors = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    write_tensors(path, tensors, {"digest": digest_of(tensors)})


def load_tensors(path: Path, mend: str) -> dict[str, Tensor]:
    """Reads a file of `save_tensors`; `ValueError` where it is damaged. Files of older versions have no digest."""
    with _undamaged(path, mend), safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        _check((file.metadata() or {}).get("digest"), tensors)
    return tensors


def save_state(path: str | os.PathLike[str], state: dict[str, Any]) -> None:
    """Writes a dict of tensors, numbers and texts as torch does, atomically, with a digest of what is in it."""
    with atomic_path(path) as temporary, open(temporary, "wb") as file:  # torch's own file has no errors with numbers
        torch.save(state | {"digest": digest_of(state)}, file)


def load_state(path: Path, fields: dict[str, type], mend: str) -> dict[str, Any]:
    """Reads a file of `save_state` without running it; `ValueError` where it is damaged or lacks one of the fields."""
    with _undamaged(path, mend):
        state = torch.load(path, map_location="cpu", weights_only=True)
        _check(state.pop("digest", None), state)
    if any(not isinstance(state.get(name), kind) for name, kind in fields.items()):
        raise ValueError(f"{path}: not the state of a run; {mend}")
    return state


@contextmanager
def _undamaged(path: Path, mend: str) -> Iterator[None]:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError("too large")
        yield
    except Exception as error:  # torch, zipfile and safetensors raise whatever damage leads them to
        raise ValueError(f"{path}: missing or damaged; {mend}") from error


def _check(digest: str | None, content: dict[str, Any]) -> None:
    if digest is not None and digest != digest_of(content):
        raise ValueError("its content is not what was written")
