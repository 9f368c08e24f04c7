"""Draws natural poses: random angles within published ranges of motion, with synergies of flexion.

Ranges: American Academy of Orthopaedic Surgeons, "Joint Motion: Method of Measuring and Recording", 1965 (fingers: MCP
0–90°, PIP 0–100°, DIP 0–90°, abduction 20°; thumb: MCP 0–50°, IP −20–80°). Hyper-extension of the MCP is limited to 20°
instead of 45°, which takes an external force. Tables do not agree on angles for the thumb's CMC (twist, flexion,
abduction from the flat hand), so its ranges are our own. Synergies, after Santello, Flanders and Soechting, "Postural
Hand Synergies for Tool Use", 1998: all fingers close together, MCP against PIP, the DIP follows the PIP, and bent
fingers do not spread.
"""

from collections.abc import Callable

import numpy as np

from handlib.hand.joints import MANO16

from .poses import FINGERS, convergence
from .skinning import CHAINS

SAMPLES = 1200
SEED = 11
JITTER = 0.6  # degrees on every angle, also across hinges, so that every direction of the pose space varies
# Tables measure abduction from fingers side by side; here it is measured from the flat hand, which is half spread.
ABDUCTION = {"index": (-25, 15), "middle": (-20, 20), "ring": (-15, 25), "little": (-16, 25)}
# Degrees (twist, flexion, abduction), low and high.
RANGES = {
    "finger1": ((-10, 10), (-20, 90), (-20, 20)),  # abduction: see above
    "finger2": ((-3, 3), (-4, 102), (-3, 3)),
    "finger3": ((-3, 3), (-6, 84), (-3, 3)),
    "thumb1": ((-45, 15), (-25, 60), (-15, 58)),
    "thumb2": ((-10, 10), (-10, 55), (-8, 8)),
    "thumb3": ((-5, 5), (-20, 80), (-5, 5)),
}


def ranges() -> tuple[np.ndarray, np.ndarray]:
    """Returns the lowest and the highest angles (15, 3) in degrees."""
    rows = [RANGES[name if name.startswith("thumb") else f"finger{name[-1]}"] for name in MANO16.joints[1:]]
    low, high = np.moveaxis(np.array(rows, dtype=float), -1, 0)
    for finger, bounds in ABDUCTION.items():
        low[CHAINS[finger][0] - 1, 2], high[CHAINS[finger][0] - 1, 2] = bounds
    return low, high


def draw_angles(n: int, rng: np.random.Generator) -> np.ndarray:
    """Draws angles (n, 15, 3) in degrees within the ranges."""
    angles = np.zeros((n, 15, 3))
    closed = rng.beta(1.1, 1.4, n)
    own = rng.normal(0, 0.16, (n, 4))
    bend = (closed[:, None] + 0.6 * own + 0.4 * np.roll(own, 1, axis=1)).clip(0, 1)
    extended = (rng.uniform(size=(n, 4)) < 0.4) & (rng.uniform(size=(n, 1)) < 0.4)  # as in pointing or counting
    bend = np.where(extended, bend * rng.uniform(0, 0.3, (n, 4)), bend)
    hook = rng.normal(0, 0.35, n)  # MCP against PIP
    spread = rng.normal(0.3, 0.5, n)
    for k, finger in enumerate(FINGERS):
        first, second, third = (j - 1 for j in CHAINS[finger])
        mcp = -10 + 92 * bend[:, k] * (1 + 0.5 * hook) + rng.normal(0, 6, n)
        pip = 2 + 102 * bend[:, k] * (1 - 0.5 * hook) + rng.normal(0, 7, n)
        mcp, pip = mcp.clip(-18, 88), pip.clip(0, 100)
        apart = {"index": 9, "middle": 1, "ring": -7, "little": -14}[finger] * spread + rng.normal(0, 2.5, n)
        straight = 1 - 0.85 * mcp.clip(0, 90) / 90
        angles[:, first] = np.stack([rng.normal(0, 2, n), mcp, apart * straight + convergence(finger, mcp)], 1)
        angles[:, second, 1] = pip
        angles[:, third, 1] = (0.62 * pip + rng.normal(0, 6, n)).clip(-4, 80)
    oppose = (0.15 + 0.7 * closed + rng.normal(0, 0.25, n)).clip(0, 1)
    across = rng.beta(1.5, 1.5, n) * (0.4 + 0.6 * oppose)
    thumb = [j - 1 for j in CHAINS["thumb"]]
    means = np.stack([2 - 34 * oppose, -14 + 56 * across, 34 * oppose - 3], 1)
    angles[:, thumb[0]] = means + rng.normal(0, (5, 5, 8), (n, 3))
    angles[:, thumb[1], 1] = -5 + 45 * rng.beta(1.2, 2, n) + rng.normal(0, 5, n)
    angles[:, thumb[2], 1] = -8 + 60 * rng.beta(1.2, 1.8, n) + rng.normal(0, 6, n)
    low, high = ranges()
    return (angles + rng.normal(0, JITTER, angles.shape)).clip(low, high)


def draw_clear(
    n: int, rng: np.random.Generator, is_clear: Callable[[np.ndarray], np.ndarray]
) -> tuple[np.ndarray, float]:
    """Draws n angles (n, 15, 3) that pass `is_clear` (…, 15, 3) → (…,); returns them and the fraction that passed."""
    kept, drawn = [], 0
    while sum(map(len, kept)) < n:
        batch = draw_angles(256, rng)
        kept.append(batch[is_clear(batch)])
        drawn += len(batch)
    kept = np.concatenate(kept)
    return kept[:n], len(kept) / drawn


def pose_components(poses: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns mean (45,), orthonormal components (45, 45) as rows by descending variance, and coefficients (n, 45)."""
    mean = poses.mean(0)
    _, _, components = np.linalg.svd(poses - mean, full_matrices=False)
    components *= np.where(components[np.arange(45), np.abs(components).argmax(1)] < 0, -1, 1)[:, None]
    return mean, components, (poses - mean) @ components.T
