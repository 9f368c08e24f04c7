"""Atomic writes: a file is either complete or absent. Also the digest of a file."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

FULL = (errno.ENOSPC, errno.EDQUOT)
FULL_TEXT = "No space left on device"  # in an error of safetensors, which has no number


def sha256(path: str | os.PathLike[str]) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def check_file(path: Path, most: int, missing: str) -> None:
    """Raises `FileNotFoundError(missing)` if there is no file, and `ValueError` if it has more than `most` bytes."""
    if not path.is_file():
        raise FileNotFoundError(missing)
    if (size := path.stat().st_size) > most:
        raise ValueError(f"{path}: {size >> 20} MB is too large; it was not read")


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields a temporary path beside `path`; it becomes `path` when the block succeeds and is deleted otherwise."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The process number alone is not unique: several machines or containers may write to one disk.
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        with naming_full_disk(path):
            yield temporary
            with suppress(OSError):  # a disk without permissions
                temporary.chmod(0o644)  # some writers make files that only their owner may read
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_file(path: str | os.PathLike[str], content: str | bytes) -> Path:
    """Writes a file atomically, text as UTF-8."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)
    return Path(path)


def write_json(path: str | os.PathLike[str], content: Any) -> Path:
    return write_file(path, json.dumps(content, indent=1) + "\n")


@contextmanager
def naming_full_disk(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turns any error caused by a full disk into one `OSError` with the path, which torch and safetensors omit."""
    try:
        yield
    except Exception as error:
        if not any(getattr(e, "errno", None) in FULL or FULL_TEXT in str(e) for e in _chain(error)):
            raise
        text = "the disk is full, or its quota is used up: free some space, then run the same command again"
        raise OSError(errno.ENOSPC, text, str(path)) from error


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and those in whose handling it came up: torch's writer fails anew at the end of a file cut short."""
    while error is not None:
        yield error
        error = error.__context__


def write_tensors(path: str | os.PathLike[str], tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Writes a safetensors file atomically; the same contents give the same bytes.

    The metadata is sorted here, because the library writes it in random order.
    """
    from safetensors.torch import save_file  # late: most writers of files do not need it

    with atomic_path(path) as temporary:
        save_file(tensors, temporary, metadata)
        with open(temporary, "r+b") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length))
            header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
            text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
            if len(text) <= length:  # the same characters in another order, less the padding
                file.seek(8)
                file.write(text.ljust(length))
