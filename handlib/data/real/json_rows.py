"""Reads single matrices from a JSON list of matrices, such as `[[[…], …], [[…], …], …]`.

FreiHAND's vertices are 1.5 GB of text, which would become about 10 GB of Python objects. A matrix ends where two
brackets close, so the positions of these form an index, and only the text of the requested matrix is parsed.
"""

import mmap
import os
import re
from pathlib import Path

import numpy as np
from jaxtyping import Float

from ...support.json_text import parse_json

_END = re.compile(rb"\]\s{0,64}\]")
_LISTS = re.compile(rb"\s*\[\s*\[\s*\[")
MAX_ROW_BYTES = 1 << 20  # 778 vertices have about 50 kB


def mapped(path: Path, source: str) -> mmap.mmap:
    """A file as a memory map. Raises `FileNotFoundError`, and `ValueError` for an empty one, which has no map."""
    if not path.is_file():
        raise FileNotFoundError(f"no {path.name} in {path.parent}; get it from {source}")
    if path.stat().st_size == 0:
        raise ValueError(f"{path}: the file is empty; get it again from {source}")
    with open(path, "rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


class JsonRows:
    """A sequence of matrices: `rows[i]` is an array of `shape` in double precision.

    source: where to get the file, for error messages, which name the file and the row. It reads through a memory map; a
    copy in another process makes its own.
    """

    def __init__(self, path: str | os.PathLike[str], shape: tuple[int, int], source: str):
        self.path, self.shape, self.source = Path(path), shape, source
        self._map = mapped(self.path, source)
        if not _LISTS.match(self._map):
            raise ValueError(f"{self.path}: not a JSON list of matrices; download it again from {source}")
        self.ends = np.array([match.end() for match in _END.finditer(self._map)], np.int64)

    def __getstate__(self) -> dict:
        return self.__dict__ | {"_map": None}

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, row: int) -> Float[np.ndarray, "m n"]:
        if not 0 <= row < len(self):
            raise IndexError(f"{self.path} has no row {row}; it has {len(self)}")
        if self._map is None:
            self._map = mapped(self.path, self.source)
        start = int(self.ends[row - 1]) if row else 0
        where = f"{self.path}: row {row}"
        if self.ends[row] - start > MAX_ROW_BYTES:
            raise ValueError(f"{where} is longer than {MAX_ROW_BYTES:,} bytes; refused")
        text = self._map[start : int(self.ends[row])].strip()
        text = text[1:] if text[:1] == (b"," if row else b"[") else b""
        content = parse_json(text, where, f"download it again from {self.source}")
        try:
            array = np.array(content, np.float64)
        except (ValueError, TypeError) as error:
            reason = " ".join(str(error).split())[:80]
            raise ValueError(f"{where} is not a matrix ({reason}); download it again from {self.source}") from error
        if array.shape != self.shape or not np.isfinite(array).all():
            raise ValueError(f"{where} has shape {array.shape}, expected {self.shape} of finite numbers")
        return array
