"""Varies the hands of the shape space: adult sizes, finger breadths, and variation that MakeHuman lacks.

MakeHuman's random bodies vary far more than people, its fingers are slender, and its digits hardly vary independently.
Hands are therefore accepted by length, and each bone is scaled along and across by random factors through the skinning
weights.
"""

from typing import NamedTuple

import numpy as np

from .skinning import CHAINS

WRIST = np.array([0.0957, 0.0064, 0.0062])  # MANO's
LENGTH = 0.185  # meters, wrist to the tip of the middle finger
LENGTH_DEVIATION = 13.5e-3
SEED_SIZE, SEED_BONES = 5, 9
# Standard deviations of the factors.
PALM = (0.03, 0.03, 0.035)  # length, thickness, breadth
DIGIT_LENGTH, DIGIT_GIRTH, PHALANX_LENGTH = 0.035, 0.055, 0.035
# Mean factors, for the breadths of palm and fingers in Pheasant and Haslegrave, "Bodyspace", 3rd ed., 2006.
PALM_BREADTH = 1.14
GIRTH = {"thumb": 1.20, "index": 1.12, "middle": 1.12, "ring": 1.14, "little": 1.20}


class Population(NamedTuple):
    vertices: np.ndarray  # (n, v, 3)
    joints: np.ndarray  # (n, 16, 3)

    def lengths(self, tip: int) -> np.ndarray:
        """Returns the distances from the wrist to the tip of the middle finger."""
        return np.linalg.norm(self.vertices[:, tip] - self.joints[:, 0], axis=1)


def scaled(hands: Population, tip: int) -> Population:
    """Scales all hands so that their mean length is `LENGTH`."""
    factor = LENGTH / hands.lengths(tip).mean()
    return Population(factor * hands.vertices, factor * hands.joints)


def accepted(hands: Population, tip: int, seed: int = SEED_SIZE) -> Population:
    """Keeps each hand with a probability that decreases with the difference of its length from `LENGTH`."""
    off = (hands.lengths(tip) - LENGTH) / LENGTH_DEVIATION
    keep = np.exp(-0.5 * off**2) > np.random.default_rng(seed).uniform(size=len(off))
    return Population(hands.vertices[keep], hands.joints[keep])


def bones_varied(hands: Population, weights: np.ndarray, seed: int = SEED_BONES) -> Population:
    """Scales every bone along and across, by random factors around the mean factors for each hand."""
    rng, n, joints = np.random.default_rng(seed), len(hands.vertices), hands.joints
    stretch = np.tile(np.eye(3), (n, 16, 1, 1))
    moved = joints.copy()
    stretch[:, 0] = np.eye(3) * ((1, 1, PALM_BREADTH) * (1 + rng.normal(0, PALM, (n, 3))))[:, None]
    for finger, chain in CHAINS.items():
        moved[:, chain[0]] = joints[:, 0] + (stretch[:, 0] @ (joints[:, chain[0]] - joints[:, 0])[..., None])[..., 0]
        along = 1 + rng.normal(0, DIGIT_LENGTH, n)
        across = GIRTH[finger] * (1 + rng.normal(0, DIGIT_GIRTH, n))
        for i, joint in enumerate(chain):
            start, end = (joint, chain[i + 1]) if i < 2 else (chain[1], joint)  # the last bone runs on straight
            bone = joints[:, end] - joints[:, start]
            unit = bone / np.linalg.norm(bone, axis=1, keepdims=True)
            this = along * (1 + rng.normal(0, PHALANX_LENGTH, n))
            outer = unit[:, :, None] * unit[:, None, :]
            stretch[:, joint] = across[:, None, None] * np.eye(3) + (this - across)[:, None, None] * outer
            if i < 2:
                moved[:, end] = moved[:, joint] + (stretch[:, joint] @ bone[..., None])[..., 0]
    shift = moved - (stretch @ joints[..., None])[..., 0]
    vertices = np.empty_like(hands.vertices)
    for i in range(n):  # one by one, since all maps together would fill the memory
        maps = (weights @ stretch[i].reshape(16, 9)).reshape(-1, 3, 3)
        vertices[i] = (maps @ hands.vertices[i][..., None])[..., 0] + weights @ shift[i]
    return Population(vertices, moved)


def aligned(hands: Population) -> Population:
    """Moves all centroids together and the mean wrist to `WRIST`, so that the wrist moves with the shape as in MANO."""
    center = hands.vertices.mean(1, keepdims=True)
    joints = hands.joints - center
    home = WRIST - joints[:, 0].mean(0)
    return Population(hands.vertices - center + home, joints + home)
