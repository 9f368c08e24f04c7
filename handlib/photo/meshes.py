"""Writing hands as OBJ, PLY, GLB and STL, without another library.

Vertices are given in the camera frame, in meters: x right, y down, z forward. In a file x points right, y up and z
towards the viewer, the frame of OpenGL and glTF; the two differ by half a turn about x, so faces keep their
orientation. Units are meters; in STL, millimeters, since slicers take its numbers for those. A left hand is a mirrored
right one: its faces must be given turned round, `faces.flip(1)`.
"""

import json
import os
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..hand.mesh import boundary_loop, vertex_normals
from ..support.files import write_file

FRAME = "x right, y up, z towards the viewer"
UNITS = {"m": ("meters", 1.0), "mm": ("millimeters", 1000.0)}
SKIN = 0.7  # gray, of a mesh without colors
_GLB, _JSON, _BIN = 0x46546C67, 0x4E4F534A, 0x004E4942  # "glTF", "JSON", "BIN\0"
_FLOAT, _UINT, _VERTICES, _INDICES = 5126, 5125, 34962, 34963  # names of glTF 2.0, sections 3.6.2 and 5.11


class Mesh(NamedTuple):
    vertices_cam: Float[Tensor, "v 3"]
    faces: Int[Tensor, "f 3"]
    colors: Float[Tensor, "v 3"] | None = None  # sRGB in [0, 1]
    name: str = "hand"


def watertight(
    vertices: Float[Tensor, "v 3"], faces: Int[Tensor, "f 3"]
) -> tuple[Float[Tensor, "v+1 3"], Int[Tensor, "f2 3"]]:
    """Closes the open wrist by a fan of triangles around one more vertex, the center of its rim."""
    rim = boundary_loop(faces)
    center = torch.full_like(rim, len(vertices))
    fan = torch.stack([rim.roll(-1), rim, center], 1)  # against the rim's direction, as a neighbor's edge runs
    return torch.cat([vertices, vertices[rim].mean(0, keepdim=True)]), torch.cat([faces, fan])


def write_meshes(
    path: str | os.PathLike[str], meshes: Sequence[Mesh], closed: bool | None = None, unit: str | None = None
) -> Path:
    """Writes hands to one file, whose kind its suffix tells: .obj, .ply, .glb or .stl. It appears whole or not at all.

    closed: whether wrists are closed, as printing asks for; by default in STL only. unit: "m", or "mm", which is the
    default of STL and which GLB cannot have: its standard counts in meters.
    """
    path = Path(path)
    kind = path.suffix.lower()
    if kind not in WRITERS:
        raise ValueError(f"{path}: meshes are written as {', '.join(WRITERS)}; change the name's ending")
    if not meshes:
        raise ValueError(f"{path}: no mesh to write")
    unit = unit or ("mm" if kind == ".stl" else "m")
    if unit not in UNITS or (kind, unit) == (".glb", "mm"):
        raise ValueError(f"{path}: the unit must be m, or for .obj, .ply and .stl mm; not '{unit}'")
    word, factor = UNITS[unit]
    ready = [_ready(mesh, kind == ".stl" if closed is None else closed, factor, path) for mesh in meshes]
    return write_file(path, WRITERS[kind](ready, f"{word}; {FRAME}"))


class _Ready(NamedTuple):
    """A mesh in the frame of files, as little-endian arrays."""

    vertices: np.ndarray  # (v, 3) float32
    normals: np.ndarray  # (v, 3) float32
    colors: np.ndarray  # (v, 3) float32, sRGB
    faces: np.ndarray  # (f, 3) uint32
    name: str


def _ready(mesh: Mesh, closed: bool, factor: float, path: Path) -> _Ready:
    vertices, faces = mesh.vertices_cam.detach().cpu().float(), mesh.faces.detach().cpu().long()
    colors = torch.full_like(vertices, SKIN) if mesh.colors is None else mesh.colors.detach().cpu().float().clamp(0, 1)
    if not (len(vertices) and len(faces)) or faces.min() < 0 or faces.max() >= len(vertices):
        raise ValueError(f"{path}: faces of '{mesh.name}' must name vertices from 0 to {len(vertices) - 1}")
    if colors.shape != vertices.shape or not (vertices.isfinite().all() and colors.isfinite().all()):
        raise ValueError(f"{path}: '{mesh.name}' must have finite vertices, and a finite color for each")
    edges = faces[:, [0, 1, 1, 2, 2, 0]].view(-1, 2).sort(-1).values
    if closed and (edges.unique(dim=0, return_counts=True)[1] == 1).any():
        colors = torch.cat([colors, colors[boundary_loop(faces)].mean(0, keepdim=True)])
        vertices, faces = watertight(vertices, faces)
    vertices = vertices * torch.tensor([factor, -factor, -factor])
    normals = vertex_normals(vertices, faces)
    normals[normals.norm(dim=-1) < 0.5] = torch.tensor([0.0, 0.0, 1.0])  # of vertices that no face with an area has
    arrays = (array.numpy().astype("<f4") for array in (vertices, normals, colors))
    return _Ready(*arrays, faces.numpy().astype("<u4"), mesh.name)


def _joined(meshes: Sequence[_Ready]) -> _Ready:
    starts = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes[:-1])])
    faces = np.concatenate([mesh.faces + start for mesh, start in zip(meshes, starts, strict=True)]).astype("<u4")
    parts = (np.concatenate([mesh[k] for mesh in meshes]) for k in range(3))
    return _Ready(*parts, faces, "hands")


def _obj(meshes: Sequence[_Ready], frame: str) -> bytes:
    lines, start = [f"# {frame}; colors (sRGB) follow the coordinates"], 1  # OBJ counts from 1
    for mesh in meshes:
        lines.append("o " + "_".join(mesh.name.split()))
        rows = np.concatenate([mesh.vertices, mesh.colors], 1).tolist()
        lines += ["v {:.7f} {:.7f} {:.7f} {:.4f} {:.4f} {:.4f}".format(*row) for row in rows]
        lines += ["f {} {} {}".format(*face) for face in (mesh.faces + start).tolist()]
        start += len(mesh.vertices)
    return ("\n".join(lines) + "\n").encode()


def _ply(meshes: Sequence[_Ready], frame: str) -> bytes:
    mesh = _joined(meshes)
    numbers = [(name, "<f4") for name in ("x", "y", "z", "nx", "ny", "nz")]
    colors = [(name, "u1") for name in ("red", "green", "blue")]
    vertices = np.empty(len(mesh.vertices), numbers + colors)
    columns = np.concatenate([mesh.vertices, mesh.normals, np.rint(mesh.colors * 255)], 1)
    for name, column in zip(vertices.dtype.names, columns.T, strict=True):
        vertices[name] = column
    faces = np.empty(len(mesh.faces), [("count", "u1"), ("vertices", "<i4", 3)])
    faces["count"], faces["vertices"] = 3, mesh.faces
    header = ["ply", "format binary_little_endian 1.0", f"comment {frame}", f"element vertex {len(vertices)}"]
    header += [f"property float {name}" for name, _ in numbers] + [f"property uchar {name}" for name, _ in colors]
    header += [f"element face {len(faces)}", "property list uchar int vertex_indices", "end_header", ""]
    return "\n".join(header).encode() + vertices.tobytes() + faces.tobytes()


def _stl(meshes: Sequence[_Ready], frame: str) -> bytes:
    mesh = _joined(meshes)
    triangles = np.empty(len(mesh.faces), [("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
    corners = mesh.vertices[mesh.faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    triangles["normal"] = np.divide(normals, lengths, out=np.zeros_like(normals), where=lengths > 0)
    triangles["corners"], triangles["attribute"] = corners, 0
    return frame.encode().ljust(80) + struct.pack("<I", len(triangles)) + triangles.tobytes()


def _glb(meshes: Sequence[_Ready], frame: str) -> bytes:
    """Binary glTF 2.0: one node a hand, with normals, and colors that are linear there, not sRGB."""
    binary, views, accessors = b"", [], []

    def accessor(array: np.ndarray, kind: str, component: int, target: int, **limits: list[float]) -> int:
        nonlocal binary
        content = array.tobytes()  # a multiple of four bytes, as every view must start at one
        views.append({"buffer": 0, "byteOffset": len(binary), "byteLength": len(content), "target": target})
        binary += content
        count = array.size if kind == "SCALAR" else len(array)
        accessors.append(
            {"bufferView": len(views) - 1, "componentType": component, "count": count, "type": kind} | limits
        )
        return len(accessors) - 1

    shapes = []
    for mesh in meshes:
        low, high = (limit.tolist() for limit in (mesh.vertices.min(0), mesh.vertices.max(0)))
        attributes = {
            "POSITION": accessor(mesh.vertices, "VEC3", _FLOAT, _VERTICES, min=low, max=high),
            "NORMAL": accessor(mesh.normals, "VEC3", _FLOAT, _VERTICES),
            "COLOR_0": accessor(_linear(mesh.colors), "VEC3", _FLOAT, _VERTICES),
        }
        indices = accessor(mesh.faces, "SCALAR", _UINT, _INDICES)
        shapes.append(
            {"name": mesh.name, "primitives": [{"attributes": attributes, "indices": indices, "material": 0}]}
        )
    # An open wrist shows the inside of the hand.
    material = {"pbrMetallicRoughness": {"metallicFactor": 0, "roughnessFactor": 0.8}, "doubleSided": True}
    described = {
        "asset": {"version": "2.0", "generator": "handlib", "extras": {"frame": frame}},
        "scene": 0,
        "scenes": [{"nodes": list(range(len(meshes)))}],
        "nodes": [{"mesh": k, "name": mesh.name} for k, mesh in enumerate(meshes)],
        "meshes": shapes,
        "materials": [material],
        "accessors": accessors,
        "bufferViews": views,
        "buffers": [{"byteLength": len(binary)}],
    }
    text = json.dumps(described).encode()
    text = text.ljust(-(-len(text) // 4) * 4)
    chunks = struct.pack("<II", len(text), _JSON) + text + struct.pack("<II", len(binary), _BIN) + binary
    return struct.pack("<III", _GLB, 2, 12 + len(chunks)) + chunks


def _linear(colors: np.ndarray) -> np.ndarray:
    """Linear light of sRGB (IEC 61966-2-1)."""
    return np.where(colors <= 0.04045, colors / 12.92, ((colors + 0.055) / 1.055) ** 2.4).astype("<f4")


WRITERS: dict[str, Callable[[Sequence[_Ready], str], bytes]] = {".obj": _obj, ".ply": _ply, ".glb": _glb, ".stl": _stl}
