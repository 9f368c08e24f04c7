"""Locks on folders, which keep two processes from writing to the same folder.

The operating system holds a lock as long as its process lives, so a killed process leaves only an empty file behind.
On a network disk that supports locks, this works across machines.
"""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

LOCK = ".lock"  # name of the file


class Busy(Exception):
    """Raised when another process works in a folder."""


@contextmanager
def alone_in(folder: str | os.PathLike[str], name: str = LOCK) -> Iterator[None]:
    """Holds the lock of a folder, which is made if needed. Raises `Busy` when another process holds it.

    name: of the lock file; locks with different names are independent.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / name)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise Busy(f"another process works in {folder}") from None
    except NotImplementedError:  # raised by older versions of filelock
        warnings.warn(f"the disk of {folder} does not support locks: run only one process there", stacklevel=3)
    try:
        yield
    finally:
        lock.release()
