import pytest
import torch

from handlib.camera import crop_box, project
from handlib.data.views import random_crop, random_placement


def test_placements_are_rotations_in_front_of_the_camera(lead, generator):
    rotation, root = random_placement(generator, *lead)
    assert rotation.shape == (*lead, 3, 3) and root.shape == (*lead, 3)
    torch.testing.assert_close(rotation @ rotation.mT, torch.eye(3).expand(*lead, 3, 3))
    assert ((root[..., 2] >= 0.35) & (root[..., 2] <= 1)).all()


def test_viewpoints_are_uniform(generator):
    """The viewing direction of a uniform rotation has mean 0 and variance 1/3 along every axis."""
    direction = random_placement(generator, 4000)[0][:, :, 2]
    assert direction.mean(0).abs().max() < 0.04
    torch.testing.assert_close(direction.square().mean(0), torch.full((3,), 1 / 3), atol=0.03, rtol=0)


@pytest.mark.parametrize("jitter", [False, True])
def test_crop_holds_the_hand(hand, lead, generator, jitter):
    rotation, root = random_placement(generator, *lead)
    joints = hand.joint_template.new_zeros(*lead, 21, 3) + hand.regress_joints(hand.template)
    joints = joints @ rotation.mT + root[..., None, :]
    K = random_crop(joints, 100, generator, jitter)
    box = crop_box(project(joints, K))  # of the crop in its own pixels
    if jitter:
        assert ((box[..., 2] > 80) & (box[..., 2] < 115)).all()
    else:
        torch.testing.assert_close(box, torch.tensor([0.0, 0.0, 100.0]).expand(*lead, 3), atol=1e-2, rtol=0)
