"""Texture coordinates, nails, and vertex colors of the hand.

The sources have no photograph of skin, so the colors follow rules: palm and finger pads are paler and pinker, knuckles
and creases darker and redder, nails pale and pink. `handlib.data.synthetic.appearance` converts them to any tone.
"""

import io

import numpy as np
from PIL import Image

from handlib.hand.joints import FINGERS

from .geometry import vertex_normals
from .makehuman import Source
from .skinning import CHAINS

BACK, PALM = np.array([0.80, 0.58, 0.46]), np.array([0.87, 0.66, 0.57])  # sRGB
KNUCKLE, CREASE, NAIL = np.array([0.72, 0.42, 0.35]), np.array([0.80, 0.47, 0.42]), np.array([0.87, 0.67, 0.62])


def nail_mask(source: Source, uv: np.ndarray, uv_faces: np.ndarray, faces: np.ndarray, n: int) -> np.ndarray:
    """Returns which of n vertices lie on a nail, from MakeHuman's mask of the fingernails."""
    picture = Image.open(io.BytesIO(source.read("textures/mpfb_fingernails.jpg"))).convert("L")
    mask = np.asarray(picture, dtype=float) / 255
    height, width = mask.shape
    x = (uv[:, 0] * (width - 1)).round().astype(int).clip(0, width - 1)
    y = ((1 - uv[:, 1]) * (height - 1)).round().astype(int).clip(0, height - 1)
    nails = np.zeros(n)
    np.maximum.at(nails, faces.ravel(), mask[y, x][uv_faces.ravel()])
    return nails > 0.5


def seam_edges(faces: np.ndarray, uv_faces: np.ndarray) -> set[tuple[int, int]]:
    """Returns the edges, in both directions, at which the two faces have different texture coordinates."""
    corners, seam = {}, set()
    for face, uv in zip(faces.tolist(), uv_faces.tolist(), strict=True):
        for k in range(3):
            a, b = face[k], face[(k + 1) % 3]
            corners[a, b] = uv[k], uv[(k + 1) % 3]
    for (a, b), (s, t) in corners.items():
        if (b, a) in corners and corners[b, a] != (t, s):
            seam |= {(a, b), (b, a)}
    return seam


def corner_uv(kept: np.ndarray, faces: np.ndarray, source_faces: np.ndarray, source_uv_faces: np.ndarray,
              uv: np.ndarray) -> np.ndarray:  # fmt: skip
    """Returns texture corners (f, 3) of a decimated mesh as rows of `uv`: the closest together of its vertices' own."""
    choices = [set() for _ in range(source_faces.max() + 1)]
    for vertex, corner in zip(source_faces.ravel().tolist(), source_uv_faces.ravel().tolist(), strict=True):
        choices[vertex].add(corner)
    corners = np.empty_like(faces)
    for i, face in enumerate(kept[faces]):
        best = np.inf
        for p in sorted(choices[face[0]]):
            for q in sorted(choices[face[1]]):
                for r in sorted(choices[face[2]]):
                    around = sum(np.linalg.norm(uv[s] - uv[t]) for s, t in ((p, q), (q, r), (r, p)))
                    if around < best:
                        best, corners[i] = around, (p, q, r)
    return corners


def vertex_colors(vertices: np.ndarray, faces: np.ndarray, joints: np.ndarray, nails: np.ndarray) -> np.ndarray:
    """Computes sRGB colors (v, 3) of the rest mesh in the wrist frame."""
    normals = vertex_normals(vertices, faces)
    palm = 1 / (1 + np.exp(6 * normals[:, 1:2]))
    colors = BACK + palm * (PALM - BACK)
    spots = np.zeros((len(vertices), 1))
    for finger in FINGERS:
        for joint in CHAINS[finger]:
            radius = 0.010 if finger != "thumb" else 0.012
            near = np.exp(-((np.linalg.norm(vertices - joints[joint] - [0, 0.006, 0], axis=1) / radius) ** 2))
            spots = np.maximum(spots, near[:, None] * (joint != CHAINS["thumb"][0]))
    tint = palm * CREASE + (1 - palm) * KNUCKLE
    colors = colors + 0.3 * spots * (tint - colors)
    return np.where(nails[:, None], NAIL, colors)
