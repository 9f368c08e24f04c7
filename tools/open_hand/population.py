"""Draws random adult bodies and cuts off their right hands: vertices and rig joints in MakeHuman's frame.

A body is the base mesh plus weighted targets. The name of a *macro* target lists traits, such as
`universal-male-young-maxmuscle-averageweight`; its weight is the product of the body's shares of these traits. The
other targets change one measure, and come in pairs `…-decr` and `…-incr`.
"""

from typing import NamedTuple

import numpy as np

from .geometry import triangle_quality
from .makehuman import Source

BODIES = 3000
SEED = 0
GROWTH = 3  # rings of faces kept beyond the skin of the hand: about 15 mm of forearm
# Standard deviations of the weights of targets that change only the hand; the weights are clamped to ±1.
LOCAL = {
    "hands/r-hand-scale": 0.3,
    "hands/r-hand-fingers-length": 0.45,
    "hands/r-hand-fingers-diameter": 0.45,
    "hands/r-hand-fingers-distance": 0.3,
    "hands/measure-wrist-circ": 0.25,
    "arms/r-lowerarm-fat": 0.1,
    "arms/r-lowerarm-muscle": 0.1,
    "arms/r-lowerarm-scale-depth": 0.1,
    "arms/r-lowerarm-scale-horiz": 0.1,
}
_HAND_BONES = ("wrist", "metacarpal", "finger")
_CUBES = (
    "joint-r-hand",
    "joint-r-hand-2",
    "joint-r-hand-3",
    *(f"joint-r-finger-{f}-{n}" for f in range(1, 6) for n in range(1, 5)),
)


class Hands(NamedTuple):
    vertices: np.ndarray  # (n, v, 3) decimeters
    cubes: dict[str, np.ndarray]  # rig joint → (n, 3)
    faces: np.ndarray  # (f, 3)
    uv: np.ndarray  # (m, 2)
    uv_faces: np.ndarray  # (f, 3)
    digit: np.ndarray  # (v,) 0 for the palm, 1 … 5 for thumb … little, by MakeHuman's own rig


def draw_hands(source: Source, bodies: int = BODIES, seed: int = SEED) -> Hands:
    """Draws the right hands of random bodies; the first is that of the average body."""
    mesh = source.mesh()
    n = len(mesh.vertices)
    rig = source.skin_weights(n)
    quads, uv_quads = mesh.groups["body"]
    chosen = _hand_quads(quads, rig, n)
    kept = np.unique(quads[chosen])
    cubes = {name: np.unique(mesh.groups[name][0]) for name in _CUBES}
    rows = np.concatenate([kept, *cubes.values()])

    moved = mesh.vertices[rows] + _blend(source, n, rows, traits(bodies, np.random.default_rng(seed)))
    split = np.cumsum([len(kept), *(len(c) for c in cubes.values())])
    parts = np.split(moved, split[:-1], axis=1)
    number = np.full(n, -1)
    number[kept] = np.arange(len(kept))
    faces, uv_faces = triangulated(moved[0], number[quads[chosen]], uv_quads[chosen])
    used, uv_faces = np.unique(uv_faces, return_inverse=True)
    digits = np.stack([sum(w[kept] for b, w in rig.items() if b.startswith(f"finger{k}")) for k in range(1, 6)])
    right = np.where(digits.max(0) > 0.5, digits.argmax(0) + 1, 0)
    heads = {name: part.mean(1) for name, part in zip(cubes, parts[1:], strict=True)}
    return Hands(parts[0], heads, faces, mesh.uv[used], uv_faces.reshape(-1, 3), right)


def _hand_quads(quads: np.ndarray, rig: dict[str, np.ndarray], n: int) -> np.ndarray:
    """Returns which quads belong to the right hand and the first rings of the forearm."""
    hand = sum(w for bone, w in rig.items() if bone.endswith(".R") and bone.startswith(_HAND_BONES))
    chosen = (hand > 0.7)[quads].all(1)
    for _ in range(GROWTH):
        touched = np.zeros(n, dtype=bool)
        touched[quads[chosen]] = True
        chosen = touched[quads].any(1)
    return chosen


def triangulated(vertices: np.ndarray, quads: np.ndarray, uv_quads: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cuts every quad along the diagonal that gives the better triangles, and its texture coordinates alike."""
    one, two = np.array([[0, 1, 2], [0, 2, 3]]), np.array([[0, 1, 3], [1, 2, 3]])
    quality = [triangle_quality(vertices, quads[:, cut].reshape(-1, 3)).reshape(-1, 2).min(1) for cut in (one, two)]
    corners = np.where((quality[0] >= quality[1])[:, None, None], one, two)  # (q, 2, 3)
    q = np.arange(len(quads))[:, None, None]
    return quads[q, corners].reshape(-1, 3), uv_quads[q, corners].reshape(-1, 3)


def traits(n: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Draws shares of the traits of macro targets, and weights of the local targets; the first body is average.

    The shares of one kind of trait (gender, age, race) sum to 1; others go over an average: min … average … max.
    """
    average = np.arange(n) == 0

    def draw(values: np.ndarray, mean: float = 0.5) -> np.ndarray:
        return np.where(average, mean, values)

    male, old = draw(rng.uniform(size=n)), draw(rng.uniform(size=n), 0.34)
    shares = {"male": male, "female": 1 - male, "old": old, "young": 1 - old, "universal": np.ones(n)}
    race = np.where(average, 1.0, rng.gamma(0.7, size=(3, n)) + 1e-3)
    shares |= dict(zip(("african", "asian", "caucasian"), race / race.sum(0), strict=True))
    for kind in ("muscle", "weight"):
        value = 2 * draw(rng.beta(2, 2, n)) - 1
        shares |= {
            f"min{kind}": np.maximum(-value, 0),
            f"average{kind}": 1 - np.abs(value),
            f"max{kind}": np.maximum(value, 0),
        }
    for low, high in (("minheight", "maxheight"), ("uncommonproportions", "idealproportions")):
        value = 2 * draw(rng.beta(2, 2, n)) - 1
        shares |= {low: np.maximum(-value, 0), high: np.maximum(value, 0)}
    for name, deviation in LOCAL.items():
        value = draw(rng.normal(0, deviation, n).clip(-1, 1), 0.0)
        shares |= {f"{name}-decr": np.maximum(-value, 0), f"{name}-incr": np.maximum(value, 0)}
    return shares


def _blend(source: Source, n: int, rows: np.ndarray, shares: dict[str, np.ndarray]) -> np.ndarray:
    """Returns the weighted sum of all targets at some rows: (bodies, rows, 3)."""
    weights, offsets = [], []
    for file in [*source.names("targets/macrodetails"), *source.names("targets/hands"), *source.names("targets/arms")]:
        if not file.endswith(".target.gz"):
            continue
        name = file.removeprefix("targets/").removesuffix(".target.gz")
        factors = [name] if name in shares else name.rsplit("/", 1)[-1].split("-")
        if all(factor in shares for factor in factors):  # otherwise it is for children or not for the right hand
            weights.append(np.prod([shares[factor] for factor in factors], axis=0))
            offsets.append(source.target(file, n)[rows])
    bodies = np.array(weights).T  # (bodies, targets)
    return (bodies @ np.array(offsets).reshape(len(offsets), -1)).reshape(len(bodies), -1, 3)
