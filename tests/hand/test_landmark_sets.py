"""Landmark sets: mixtures of vertices near the joints of the same names."""

import pytest
import torch

from handlib.hand.landmark_sets import NAMES, LandmarkSet, landmark_set, write_landmark_sets


@pytest.mark.parametrize("name", NAMES)
def test_shares_are_those_of_mixtures(name):
    own = landmark_set(name)
    assert own.name == name
    assert own.regressor.shape == (21, 778) and own.noise.shape == (21,)
    torch.testing.assert_close(own.regressor.sum(1), torch.ones(21), atol=1e-5, rtol=0)
    assert (own.regressor >= 0).all()
    assert ((own.regressor > 0).sum(1) <= 40).all()  # a few vertices


@pytest.mark.parametrize("name", NAMES)
def test_points_lie_near_the_joints_whatever_the_pose(hand, name):
    pose, shape = hand.sample(8, torch.Generator().manual_seed(0))
    vertices, joints = hand(pose, shape)
    off = (landmark_set(name).regressor @ vertices - joints).norm(dim=-1)
    assert off.mean() < 0.012 and off.max() < 0.03  # meters


@pytest.mark.parametrize("name", NAMES)
def test_noise_is_relative(name):
    noise = landmark_set(name).noise
    assert (noise > 0.3).all() and (noise < 3).all()
    assert noise.mean() == pytest.approx(1, abs=0.3)


def test_written_sets_read_back(tmp_path, generator):
    regressor = torch.zeros(21, 778)
    regressor[torch.arange(21), torch.arange(21) * 37] = torch.rand(21, generator=generator)
    sets = [LandmarkSet(name, regressor * (i + 1), torch.rand(21, generator=generator)) for i, name in enumerate(NAMES)]
    write_landmark_sets(sets, tmp_path / "sets.npz")
    for one in sets:
        again = landmark_set(one.name, tmp_path / "sets.npz")
        assert torch.equal(again.regressor, one.regressor) and torch.equal(again.noise, one.noise)
    assert [path.name for path in tmp_path.iterdir()] == ["sets.npz"]


def test_unknown_set_is_named():
    with pytest.raises(ValueError, match="'skin'.*image, space"):
        landmark_set("skin")
