"""The open hand's fields, and a tube that is simple enough to compute by hand."""

import numpy as np
import pytest

from handlib.hand.files import read_hand


@pytest.fixture(scope="module")
def fields() -> dict[str, np.ndarray]:
    return read_hand("openhand")


@pytest.fixture
def rest(fields) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices, joints and faces of the hand at rest, in double precision."""
    return fields["v_template"].astype(float), fields["J"].astype(float), fields["f"].astype(int)


@pytest.fixture(scope="module")
def tube() -> tuple[np.ndarray, np.ndarray]:
    """A tube along x, 0.1 long and 0.01 thick, closed at x = 0: 12 around, 21 along, and its tip."""
    along, around = np.meshgrid(np.linspace(0, 0.1, 21), np.arange(12) * np.pi / 6, indexing="ij")
    ring = np.stack([along, 0.01 * np.cos(around), 0.01 * np.sin(around)], -1).reshape(-1, 3)
    faces = []
    for i in range(20):
        for j in range(12):
            a, b = 12 * i + j, 12 * i + (j + 1) % 12
            faces += [(a, b, a + 12), (b, b + 12, a + 12)]
    faces += [(len(ring), (j + 1) % 12, j) for j in range(12)]
    return np.concatenate([ring, [[-0.003, 0, 0]]]), np.array(faces)
