"""Locks on folders, by which processes leave each other's work alone: two trainings, or the runs of a reproduction.

A lock is held by the operating system for as long as its process lives: one that is killed leaves none behind, only an
empty file. Processes on one disk see each other, also from several machines where that disk passes locks on.
"""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

LOCK = ".lock"  # name of the file


class Busy(Exception):
    """Another process works in a folder."""


@contextmanager
def alone_in(folder: str | os.PathLike[str], name: str = LOCK) -> Iterator[None]:
    """Inside, no other process is in the same folder, which is made if it is not there. `Busy` where one is.

    name: of the file; those who use different ones do not see each other.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / name)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise Busy(f"another process works in {folder}") from None
    except NotImplementedError:  # what older versions of filelock raise
        warnings.warn(f"the disk of {folder} has no locks: let no other process work there", stacklevel=3)
    try:
        yield
    finally:
        lock.release()
