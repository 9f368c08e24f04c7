"""Each split has its own people, motions and things."""

import pytest
import torch

from handlib.data import SyntheticHands
from handlib.data.sample import OTHER
from handlib.data.synthetic import VERSION
from handlib.data.synthetic.scene import Subjects
from handlib.data.synthetic.settings import SETTINGS
from handlib.hand.collision import penetration_depth
from handlib.hand.joints import TIPS
from handlib.hand.model import TOLERATED_PENETRATION

SIZE = 48


def test_stereo_pairs_are_one_moment(hand):
    """Two cameras 12 cm apart see the same hand: the same shape, moved sideways in the camera frame."""
    batch = SyntheticHands("studio", SIZE, 4, hand=hand).batch(torch.arange(4))
    left, right = batch["vertices_cam"][0::2], batch["vertices_cam"][1::2]
    torch.testing.assert_close(left - right, torch.tensor([0.12, 0, 0]).expand_as(left), atol=1e-5, rtol=0)
    assert not torch.equal(batch["image"][0], batch["image"][1])


@pytest.mark.parametrize("split", ["studio", "object"])
def test_sequences_are_smooth(hand, split):
    step = 2 if split == "studio" else 1  # studio has two cameras
    batch = SyntheticHands(split, 32, 100, hand=hand).batch(torch.arange(0, 60 * step, step))
    joints = batch["joints_cam"]
    moved = (joints[1:] - joints[:-1]).norm(dim=-1)
    assert moved.max() < 0.05 and moved.mean() > 1e-3  # meters a frame
    assert (joints[0] - joints[-1]).norm(dim=-1).mean() > 0.01
    # Accelerations are small too: nothing jumps.
    assert (joints[2:] - 2 * joints[1:-1] + joints[:-2]).norm(dim=-1).max() < 0.03


def test_studio_and_object_each_have_one_person(hand):
    for split in ("studio", "object"):
        batch = SyntheticHands(split, 32, hand=hand).batch(torch.tensor([0, 299, 599]))
        assert len(batch["tone"].unique()) == 1
    many = SyntheticHands("diverse", 32, hand=hand).batch(torch.arange(100))["tone"]
    assert many.min() < 1 and many.max() > 8 and torch.histc(many, 9, 0, 9).min() >= 3


def test_no_person_is_in_two_splits(hand):
    shapes = []
    for split in SETTINGS:
        count = min(SETTINGS[split].subjects, 200)
        shapes.append(Subjects.of(f"{VERSION} {split} 0", torch.arange(count), count).shape)
    shapes = torch.cat(shapes)
    assert len(shapes.unique(dim=0)) == len(shapes)


def test_gestures_face_the_camera(hand):
    joints = SyntheticHands("studio", 32, hand=hand).batch(torch.arange(0, 600, 10))["joints_cam"]
    up = joints[:, 9] - joints[:, 0]  # wrist to middle MCP
    assert (up[:, 1] / up.norm(dim=-1) < -0.5).float().mean() > 0.9
    across = torch.linalg.cross(joints[:, 5] - joints[:, 0], joints[:, 17] - joints[:, 0])
    assert (across[:, 2].abs() / across.norm(dim=-1)).median() > 0.6


def test_objects_are_handled(hand):
    data = SyntheticHands("object", SIZE, hand=hand)
    assert data.scored == TIPS and data[0].side == "left"
    with_thing = (data.batch(torch.arange(0, 600, 20))["parts"] == OTHER).flatten(1).any(1)
    assert with_thing.float().mean() > 0.9
    assert SyntheticHands("diverse", SIZE, hand=hand).scored == tuple(range(21))


def test_digits_do_not_run_through_one_another(hand):
    batch = SyntheticHands("train", 32, hand=hand).batch(torch.arange(200))
    depth = penetration_depth(batch["joints_cam"], hand.bone_radii)
    assert (depth > TOLERATED_PENETRATION + 1e-3).float().mean() < 0.03  # the radii are the average hand's
