"""Files that are whole or not there, and their digests."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

FULL = (errno.ENOSPC, errno.EDQUOT)
FULL_TEXTS = ("No space left on device", "PytorchStreamWriter failed", "iostream error")  # of safetensors and torch


def sha256(path: str | os.PathLike[str]) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary path beside `path` that becomes `path` when the block ends well, and vanishes when it does not."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Processes of several machines, or containers, may have the same number.
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        with naming_full_disk(path):
            yield temporary
            with suppress(OSError):  # a disk without permissions
                temporary.chmod(0o644)  # some writers make files that only their owner may read
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def naming_full_disk(path: str | os.PathLike[str]) -> Iterator[None]:
    """Inside, an error because the disk is full becomes one `OSError` with the path, whoever writes: torch's and
    safetensors' own do not name it."""
    try:
        yield
    except Exception as error:
        if getattr(error, "errno", None) not in FULL and not any(text in str(error) for text in FULL_TEXTS):
            raise
        text = "the disk is full, or its quota is used up: free some space, then run the same command again"
        raise OSError(errno.ENOSPC, text, str(path)) from error


def write_tensors(path: str | os.PathLike[str], tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Writes a safetensors file, atomically, whose bytes depend on what it holds alone: the library writes metadata in
    an order that chance decides."""
    from safetensors.torch import save_file  # late: few who write files write tensors

    with atomic_path(path) as temporary:
        save_file(tensors, temporary, metadata)
        with open(temporary, "r+b") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length))
            header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
            text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
            if len(text) <= length:  # the same characters in another order; the rest was padding
                file.seek(8)
                file.write(text.ljust(length))
