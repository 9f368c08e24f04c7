"""Converts MakeHuman's rig to MANO's conventions: sixteen joints, the frame of the wrist, and flat hands.

The rig's knuckles are almost at the webs and its thumb starts too far out, so these joints are moved along their bones;
the phalanges then have the proportions of hand atlases. Every hand is rotated into its wrist frame (fingers to −x, back
to +y, thumb to +z) and its fingers are straightened to the same directions, so that the shape space does not contain
posture.
"""

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import spsolve
from scipy.spatial.transform import Rotation

from handlib.hand.joints import FINGERS, MANO16

from .geometry import adjacency, averaging, boundary_loops, cotangent_laplacian, face_vectors, triangle_quality
from .population import Hands
from .skinning import CHAINS, skin

MCP_SHIFT = 0.16  # fraction of the metacarpal, towards the wrist
THUMB_CMC_SHIFT = 0.30  # fraction of the way to the wrist
WRIST_SKIN = 0.08  # decimeters to either side
THUMB_MCP_SHIFT = 0.13  # fraction of the proximal phalanx, towards the tip
_METACARPAL_BASE = {"index": "joint-r-hand-3", "middle": "joint-r-hand-3", "ring": "joint-r-hand-2",
                    "little": "joint-r-hand-2"}  # fmt: skip
# Directions of the straight digits in the wrist frame: degrees towards the thumb, and the thumb's three bones.
AZIMUTH = {"index": 6.0, "middle": 0.0, "ring": -7.0, "little": -17.0}
THUMB = ((-0.66, -0.30, 0.69), (-0.80, -0.24, 0.55), (-0.86, -0.24, 0.45))


def place_joints(hands: Hands) -> np.ndarray:
    """Returns joints (n, 16, 3) in MANO's order, in the frame of the cubes."""
    joints = np.empty((len(hands.vertices), 16, 3))
    joints[:, 0] = _wrist(hands)
    for k, finger in enumerate(FINGERS, start=1):
        first, second, third = (hands.cubes[f"joint-r-finger-{k}-{n}"] for n in (1, 2, 3))
        if finger == "thumb":
            first = first + THUMB_CMC_SHIFT * (joints[:, 0] - first)
            second = second + THUMB_MCP_SHIFT * (third - second)
        else:
            first = first + MCP_SHIFT * (hands.cubes[_METACARPAL_BASE[finger]] - first)
        joints[:, CHAINS[finger]] = np.stack([first, second, third], 1)
    return joints


def _wrist(hands: Hands) -> np.ndarray:
    """Returns wrists (n, 3): at the rig's average offset from the center of the skin around them.

    The rig's own wrists do not follow the skin of heavy arms.
    """
    rig = hands.cubes["joint-r-hand"]
    along = rig[0] - (hands.cubes["joint-r-finger-3-1"][0] + hands.cubes["joint-r-finger-4-1"][0]) / 2
    height = (hands.vertices[0] - rig[0]) @ along / np.linalg.norm(along)
    middle = hands.vertices[:, np.abs(height) < WRIST_SKIN].mean(1)
    return middle + (rig - middle).mean(0)


def to_wrist_frame(vertices: np.ndarray, joints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Moves every wrist to the origin, with −x towards the middle of the knuckles and +z across them."""
    middle, ring = (joints[:, MANO16.index(f"{f}1")] for f in ("middle", "ring"))
    x = joints[:, 0] - 0.7 * middle - 0.3 * ring
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    z = joints[:, MANO16.index("index1")] - joints[:, MANO16.index("little1")]
    z = z - (z * x).sum(1, keepdims=True) * x
    z = z / np.linalg.norm(z, axis=1, keepdims=True)
    frame = np.stack([x, np.cross(z, x), z], 1)  # rows are the axes
    wrist = joints[:, :1]
    return (vertices - wrist) @ frame.swapaxes(1, 2), (joints - wrist) @ frame.swapaxes(1, 2)


def find_tips(vertices: np.ndarray, joints: np.ndarray, digit: np.ndarray) -> dict[str, int]:
    """Returns the vertex of each digit that is farthest along its last bone."""
    tips = {}
    for k, finger in enumerate(FINGERS, start=1):
        second, third = joints[list(CHAINS[finger][1:])]
        skin_of = np.flatnonzero(digit == k)
        tips[finger] = int(skin_of[np.argmax((vertices[skin_of] - third) @ (third - second))])
    return tips


def flat_directions(finger: str) -> np.ndarray:
    """Returns unit directions (3, 3) of the three bones of a straight digit."""
    if finger == "thumb":
        bones = np.array(THUMB)
    else:
        azimuth = np.deg2rad(AZIMUTH[finger])
        bones = np.tile([-np.cos(azimuth), 0, np.sin(azimuth)], (3, 1))
    return bones / np.linalg.norm(bones, axis=1, keepdims=True)


def lay_flat(
    vertices: np.ndarray, joints: np.ndarray, weights: np.ndarray, tips: dict[str, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Rotates all digits to their flat directions, bone by bone."""
    local = np.tile(np.eye(3), (len(vertices), 16, 1, 1))
    for finger, chain in CHAINS.items():
        ends = [*(joints[:, j] for j in chain), vertices[:, tips[finger]]]
        turned = np.tile(np.eye(3), (len(vertices), 1, 1))
        for i, target in enumerate(flat_directions(finger)):
            bone = (turned @ (ends[i + 1] - ends[i])[..., None])[..., 0]
            turn = _shortest_rotation(bone, target) @ turned
            local[:, chain[i]] = turned.swapaxes(1, 2) @ turn
            turned = turn
    flat_vertices = np.concatenate([skin(v, j, weights, r) for v, j, r in _chunks(vertices, joints, local)])
    return flat_vertices, skin(joints, joints, np.eye(16), local)


def _chunks(*arrays: np.ndarray, size: int = 200):
    for i in range(0, len(arrays[0]), size):
        yield tuple(a[i : i + size] for a in arrays)


def _shortest_rotation(vectors: np.ndarray, target: np.ndarray) -> np.ndarray:
    axis = np.cross(vectors, target)
    sine = np.linalg.norm(axis, axis=1, keepdims=True)
    angle = np.arctan2(sine, (vectors @ target)[:, None])
    return Rotation.from_rotvec(axis / np.maximum(sine, 1e-12) * angle).as_matrix()


def relax_folds(vertices: np.ndarray, faces: np.ndarray, protected: np.ndarray, steps: int = 6) -> np.ndarray:
    """Smooths the skin of hands (n, v, 3) where straightening folded it over: the web of the thumb.

    In the mean hand, vertices of needles and of edges sharper than 90° are averaged with their neighbors, and those
    neighbors half as much. All hands get the same map. `protected` vertices and their neighbors stay.
    """
    mean, n = vertices.mean(0), vertices.shape[1]
    of_edge = {}
    for i, face in enumerate(faces.tolist()):
        for k in range(3):
            of_edge.setdefault(frozenset((face[k], face[(k + 1) % 3])), []).append(i)
    normals = face_vectors(mean, faces)
    folded = [sorted(e) for e, p in of_edge.items() if len(p) == 2 and normals[p[0]] @ normals[p[1]] < 0]
    amount, neighbors, average = np.zeros(n), adjacency(faces, n), averaging(faces, n)
    amount[np.array(folded, dtype=int).ravel()] = 1
    amount[faces[triangle_quality(mean, faces) < 0.2].ravel()] = 1
    amount = np.maximum(amount, 0.5 * (neighbors @ amount > 0))
    amount[boundary_loops(faces)[0]] = 0
    stays = protected | (neighbors @ protected.astype(float) > 0)
    amount[stays] = 0
    step = sp.eye(n) + sp.diags(0.5 * amount) @ (average - sp.eye(n))
    whole = sp.identity(n, format="csr")
    for _ in range(steps):
        whole = step @ whole
    return np.stack([whole @ hand for hand in vertices])


def level_wrist(vertices: np.ndarray, faces: np.ndarray, wrist_x: np.ndarray, rings: int = 6) -> np.ndarray:
    """Makes the open end of hands (n, v, 3) lie in one plane across the forearm by moving some rings of skin."""
    n, loop = vertices.shape[1], boundary_loops(faces)[0]
    neighbors, amount = adjacency(faces, n), np.zeros(n)
    amount[loop] = 1
    free = amount > 0
    for _ in range(rings):
        free = free | (neighbors @ free.astype(float) > 0)
    inner = free & (amount == 0)
    laplacian, _ = cotangent_laplacian(vertices.mean(0), faces)
    spread = spsolve(laplacian[inner][:, inner].tocsc(), -laplacian[inner][:, loop].toarray())
    end = vertices[:, loop, 0] - wrist_x[:, None]
    shift = np.quantile(end, 0.7, axis=1, keepdims=True) - end  # stretches more than it compresses
    vertices = vertices.copy()
    vertices[:, loop, 0] += shift
    vertices[:, inner, 0] += shift @ spread.T
    return vertices
