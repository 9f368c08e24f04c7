"""The open hand's fields, written as MANO's pickle, and what reading a bad file complains of."""

import numpy as np
import pytest
import torch
from mano_files import Python2Pickle, mirrored_naive, originals_form

from handlib import HandModel
from handlib.hand.files import HandFileError, read_hand


@pytest.fixture(scope="module")
def right() -> dict[str, np.ndarray]:
    return read_hand("openhand")


@pytest.fixture(scope="module")
def left(right) -> dict[str, np.ndarray]:
    return mirrored_naive(right)


@pytest.fixture
def save(tmp_path, right):
    """Writes the open hand as MANO's pickle, with some fields changed or left out (None); returns the path."""

    def write(fields=None, protocol=2, **changes):
        holds = originals_form(right if fields is None else fields) | changes
        path = tmp_path / "MANO.pkl"
        path.write_bytes(Python2Pickle(protocol).file({k: v for k, v in holds.items() if v is not None}))
        return path

    return write


@pytest.fixture
def refused(tmp_path):
    """Writes bytes to a file, or a value as a pickle, and returns what reading it complains of."""

    def message(content, protocol=2):
        path = tmp_path / "MANO_RIGHT.pkl"
        path.write_bytes(content if isinstance(content, bytes) else Python2Pickle(protocol).file(content))
        with pytest.raises(HandFileError, match="MANO_RIGHT.pkl: ") as caught:
            read_hand(path)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    return message


@pytest.fixture
def poses(generator) -> tuple[torch.Tensor, torch.Tensor]:
    return 0.6 * torch.randn(8, 45, generator=generator), 2 * torch.randn(8, 10, generator=generator)


@pytest.fixture
def assert_open_hand(hand, poses):
    """Fails for a hand model that is not the open hand: posed and shaped, its faces, its samples of poses."""

    def check(found: HandModel) -> None:
        pose, shape = poses
        for a, b in zip(found(pose, shape), hand(pose, shape), strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=1e-6)
        assert torch.equal(found.faces, hand.faces)
        torch.testing.assert_close(found.pose_samples, hand.pose_samples)

    return check
