import pytest
import torch

from handlib.camera import crop_box, crop_intrinsics, project
from handlib.data.synthetic.draws import Draws
from handlib.data.synthetic.views import random_box, random_intrinsics, random_placement


def draws(n: int, key: str = "views") -> Draws:
    return Draws(key, torch.arange(n))


def test_placements_are_rotations_in_front_of_the_camera():
    rotation, root = random_placement(draws(50))
    torch.testing.assert_close(rotation @ rotation.mT, torch.eye(3).expand(50, 3, 3))
    assert (torch.det(rotation) > 0).all()
    assert ((root[:, 2] >= 0.35) & (root[:, 2] <= 1)).all()


def test_viewpoints_are_uniform():
    """The viewing direction of a uniform rotation has mean 0 and variance 1/3 along every axis."""
    direction = random_placement(draws(4000))[0][:, :, 2]
    assert direction.mean(0).abs().max() < 0.04
    torch.testing.assert_close(direction.square().mean(0), torch.full((3,), 1 / 3), atol=0.03, rtol=0)


@pytest.mark.parametrize("jitter", [False, True])
def test_crop_holds_the_hand(hand, jitter):
    source = draws(20)
    rotation, root = random_placement(source)
    joints = hand.regress_joints(hand.template) @ rotation.mT + root[:, None]
    K = random_intrinsics(source)
    K = crop_intrinsics(K, random_box(joints, K, source, jitter), 100)
    box = crop_box(project(joints, K))  # of the crop in its own pixels
    if jitter:
        assert ((box[:, 2] > 80) & (box[:, 2] < 115)).all() and box[:, 2].std() > 2
    else:
        torch.testing.assert_close(box, torch.tensor([0.0, 0.0, 100.0]).expand(20, 3), atol=1e-2, rtol=0)
