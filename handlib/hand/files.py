"""Reads hand-model files; every field of a file from outside is checked before it is used.

A hand model is a dict of arrays under MANO's names: `v_template` (778, 3) meters, `f` (1538, 3), `shapedirs`
(778, 3, 10), `posedirs` (778, 3, 135), `J_regressor` (16, 778), `weights` (778, 16), `kintree_table` (2, 16),
`hands_components` (45, 45) with one component per row, `hands_mean` (45). Optional are `hands_coeffs` (n, 45), poses in
those components; `vertex_colors` (778, 3); `vt` (m, 2) and `ft` (1538, 3), texture coordinates and the three rows of
each face; `named_poses` (n, 45) with `pose_names` (n); and `side`, the hand that the file was made for.

`read_hand` always returns a right hand, since handlib works with right hands only; a left hand is mirrored and has
`side` "left". MANO's left hand is the mirror image in x: its fingers point towards +x, its back towards +y and its
thumb towards +z.
"""

import io
import math
import os
import zipfile
from pathlib import Path

import numpy as np

OPENHAND = Path(__file__).parent / "assets" / "OPENHAND_RIGHT.npz"
V, F, J = 778, 1538, 16  # vertices, faces, joints of every MANO-shaped hand
MAX_BYTES = 64 << 20  # unpacked; a hand model has about 2 MB
PARENTS = (-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 0, 10, 11, 0, 13, 14)

_REQUIRED = {
    "v_template": (V, 3),
    "f": (F, 3),
    "shapedirs": (V, 3, 10),
    "posedirs": (V, 3, 135),
    "J_regressor": (J, V),
    "weights": (V, J),
    "kintree_table": (2, J),
    "hands_components": (45, 45),
    "hands_mean": (45,),
}
_WHOLE = "is the download complete, and the field an array of numbers?"
_MEND = "is it a hand, such as MANO_RIGHT.pkl, rather than a body such as SMPL?"
ANY = -1
_CORNERS = ("f", "ft")  # of the faces of the mesh and of its texture
_TURNED = ("hands_components", "hands_mean", "named_poses")  # axis-angles
_OPTIONAL = {
    "hands_coeffs": (ANY, 45),
    "vertex_colors": (V, 3),
    "vt": (ANY, 2),
    "ft": (F, 3),
    "named_poses": (ANY, 45),
}


_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}  # of .npy


class HandFileError(ValueError):
    """Raised for a hand-model file that cannot be used; the message names the file, the field and the mend."""


def read_hand(name_or_path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Reads and checks a hand model: `"openhand"`, or the path of an `.npz` or MANO's `.pkl` with the fields above.

    Raises `FileNotFoundError` when there is no such file and `HandFileError` when it is not a hand model.
    """
    path = OPENHAND if str(name_or_path) == "openhand" else Path(name_or_path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"no hand model at {path}: give 'openhand' or the path of a MANO-shaped .npz or .pkl")
    try:
        if (size := path.stat().st_size) > MAX_BYTES:
            raise ValueError(f"{size >> 20} MB is too large for a hand model; it was not read")
        fields = _unpickled(path) if path.suffix.lower() == ".pkl" else read_npz(path, MAX_BYTES, _WHOLE)
        check_hand(fields, path)
        return as_right_hand(fields)
    except HandFileError:
        raise
    except (OSError, ValueError) as error:
        raise HandFileError(f"{path}: {error}") from error


def _unpickled(path: Path) -> dict[str, np.ndarray]:
    from .mano import unpickle  # late: only MANO's own files need it

    return unpickle(path.read_bytes(), _REQUIRED | _OPTIONAL)


def check_hand(fields: dict[str, np.ndarray], path: object) -> None:
    """`HandFileError` for fields that are no hand model's; `path` says where they are from."""
    for key, shape in (_REQUIRED | _OPTIONAL).items():
        if key not in fields:
            continue
        array = fields[key]
        if not isinstance(array, np.ndarray) or array.ndim != len(shape):
            raise HandFileError(f"{path}: the field '{key}' must be an array of shape {_written(shape)}; {_MEND}")
        if any(expected not in (ANY, actual) for expected, actual in zip(shape, array.shape, strict=True)):
            raise HandFileError(
                f"{path}: the field '{key}' has shape {array.shape}, expected {_written(shape)}; {_MEND}"
            )
        # Finite in single precision, in which the hand is computed. A comparison with NaN is false.
        if array.dtype.kind not in "fiu" or not (np.abs(array) <= np.finfo(np.float32).max).all():
            raise HandFileError(f"{path}: the field '{key}' must hold finite numbers")
    missing = [key for key in _REQUIRED if key not in fields]
    if missing:
        raise HandFileError(
            f"{path}: the field '{missing[0]}' is missing; a MANO-shaped file has {', '.join(_REQUIRED)}"
        )
    if not np.isin(fields["f"], np.arange(V)).all():
        raise HandFileError(f"{path}: the field 'f' names vertices outside 0 … {V - 1}")
    # The parent of the root is −1 in some files and 2³² − 1 in others.
    if not np.array_equal(fields["kintree_table"][0, 1:], PARENTS[1:]):
        raise HandFileError(f"{path}: the field 'kintree_table' is not MANO's tree {PARENTS}")
    size = np.ptp(fields["v_template"], axis=0).max()
    if not 0.05 < size < 0.5:
        raise HandFileError(f"{path}: the field 'v_template' is a hand {size:.3g} m long; convert it to meters")
    for key in ("weights", "J_regressor"):
        if not np.allclose(fields[key].sum(1), 1, atol=1e-3):
            raise HandFileError(f"{path}: the field '{key}' has rows that do not sum to 1")
    if "ft" in fields and not ("vt" in fields and 0 <= fields["ft"].min() and fields["ft"].max() < len(fields["vt"])):
        raise HandFileError(f"{path}: the field 'ft' names rows that 'vt' does not have; remove both fields")
    if "pose_names" in fields:
        names, poses = fields["pose_names"], fields.get("named_poses", np.zeros((0, 45)))
        if names.dtype.kind != "U" or names.shape != poses.shape[:1]:
            raise HandFileError(f"{path}: the field 'pose_names' must hold one string per row of 'named_poses'")
    if "side" in fields and str(fields["side"]) not in ("right", "left"):
        raise HandFileError(f"{path}: the field 'side' must be 'right' or 'left'")


def _written(shape: tuple[int, ...]) -> str:
    return "(" + ", ".join("any" if n == ANY else str(n) for n in shape) + ")"


def as_right_hand(fields: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns a right hand unchanged, and a left hand mirrored with `side` "left" added. `fields` must be checked.

    The template tells which hand it is: the fingers of a right hand point towards −x, those of a left hand towards +x.

    With M = diag(−1, 1, 1), a point x mirrors to Mx, a rotation R to MRM and an axis-angle (x, y, z) to (x, −y, −z),
    so that right(mirrored pose, shape) = M left(pose, shape): the shape means the same for both hands.

    The published MANO_LEFT.pkl has one field that is not mirrored: its `shapedirs` are copied from the right hand, so a
    shape that should lengthen the left hand shortens it (github.com/vchoutas/smplx/issues/48). One file alone reveals
    this. Over a population with shapes N(0, 1), the growth of length and the growth of breadth have the covariance
    Σ_k length_k · breadth_k, where length_k is how much component k stretches the template along x, and breadth_k along
    z. Long hands are broad hands, so the covariance is positive. If it is negative after mirroring, x of `shapedirs`
    had the wrong sign and stays as it is. A file that was already corrected therefore reads the same.
    """
    joints = fields["J_regressor"] @ fields["v_template"]
    fingers, thumbwards = joints[4] - joints[0], joints[1] - joints[7]  # wrist to middle, little to index finger
    if np.abs(fingers).argmax() != 0 or np.abs(thumbwards).argmax() != 2 or thumbwards[2] < 0:
        raise ValueError(
            "the field 'v_template' is not in MANO's frame: fingers towards −x (right hand) or +x (left), back of the "
            "hand towards +y, thumb towards +z; turn the model into it"
        )
    if fingers[0] < 0:
        return fields

    right = mirrored(fields)
    if _covariance_of_length_and_breadth(right["v_template"], right["shapedirs"]) < 0:
        right["shapedirs"] = fields["shapedirs"]
    if _volume(right["v_template"], right["f"]) < 0:
        right |= {key: fields[key] for key in _CORNERS if key in fields}
    return right | {"side": np.array("left")}


def mirrored(fields: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The fields of the other hand: of a right one those of the left one that is its mirror image in x, and back."""
    mirror = np.array([-1, 1, 1], np.int8)
    turn = np.tile(np.array([1, -1, -1], np.int8), 15)
    entries = mirror[:, None, None, None] * mirror[:, None] * mirror  # (3, 1, 3, 3): a coordinate, a joint, MRM
    other = fields | {
        "v_template": fields["v_template"] * mirror,
        "shapedirs": fields["shapedirs"] * mirror[:, None],
        "posedirs": (fields["posedirs"].reshape(-1, 3, 15, 3, 3) * entries).reshape(fields["posedirs"].shape),
    }
    other |= {key: fields[key] * turn for key in _TURNED if key in fields}
    other |= {key: fields[key][:, [0, 2, 1]] for key in _CORNERS if key in fields}  # a mirror turns faces inside out
    for key in ("J", "side"):  # the rest joints, which are what `J_regressor` gives
        other.pop(key, None)
    return other


def _covariance_of_length_and_breadth(template: np.ndarray, shapes: np.ndarray) -> float:
    centered = template - template.mean(0)
    growth = np.einsum("vc,vck->ck", centered, shapes) / (centered**2).sum(0)[:, None]
    return float(growth[0] @ growth[2])


def _volume(vertices: np.ndarray, faces: np.ndarray) -> float:
    """Returns six times the volume, negative if the faces turn inwards. The open wrist is closed at the center."""
    centered = vertices - vertices.mean(0)
    a, b, c = (centered[faces[:, i]] for i in range(3))
    return float(np.einsum("fc,fc->", a, np.cross(b, c)))


# ---- any .npz from outside


def read_npz(path: Path, most: int, mend: str) -> dict[str, np.ndarray]:
    """The arrays of an archive by their names. most: bytes that it may unpack to. mend: the end of an error.

    Nothing in it is unpickled, and no more memory is reserved than it has bytes. Every error is a `ValueError` without
    the path, which the caller adds.
    """
    failed = "not a readable .npz archive"
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
            if unpacked > most:
                raise ValueError(f"it unpacks to {unpacked >> 20} MB, more than {most >> 20} are refused")
            arrays = {}
            for entry in archive.infolist():
                name = entry.filename.removesuffix(".npy")
                failed = f"the field '{name}' cannot be read"
                with archive.open(entry) as file:
                    _check_header(file, entry.file_size)
                with archive.open(entry) as file:
                    arrays[name] = np.lib.format.read_array(file, allow_pickle=False)
            return arrays
    except Exception as error:  # zipfile, zlib and NumPy raise whatever a damaged file leads them to
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{failed} ({reason[:200]}); {mend}") from error


def _check_header(file: io.BufferedIOBase, size: int) -> None:
    """Refuses an array that its header makes larger than its bytes, before NumPy reserves memory for it."""
    shape, _, dtype = _HEADERS[np.lib.format.read_magic(file)](file)
    if math.prod(shape) * dtype.itemsize > size:
        raise ValueError(f"an array of shape {shape} in {size} bytes")
