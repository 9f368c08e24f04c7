"""What `fit` says of joints that something else explains better."""

import warnings

import pytest
import roma
import torch

from handlib import fit
from handlib.camera import project
from handlib.hand.joints import C21, INTERHAND21, MANO21, RHD21, STB21, convert

K = torch.tensor([[500.0, 0, 320], [0, 500, 240], [0, 0, 1]])
FLIP = torch.tensor([-1.0, 1])
FEW = {"starts": 12, "progress": False}


@pytest.fixture(scope="module")
def joints_px(hand):
    """200 right hands from anywhere, 0.35 to 0.85 m away, anywhere in an image of 640 by 480 pixels."""
    generator = torch.Generator().manual_seed(11)
    pose, shape = hand.sample(200, generator)
    turn = torch.nn.functional.normalize(torch.randn(200, 4, generator=generator), dim=-1)
    joints = hand.skeleton(pose, shape) @ roma.unitquat_to_rotmat(turn).mT
    depth = 0.35 + 0.5 * torch.rand(200, 1, generator=generator)
    at = torch.rand(200, 2, generator=generator) * torch.tensor([400.0, 240]) - torch.tensor([200.0, 120])
    return project(joints - joints[:, 9:10] + torch.cat([at / 500 * depth, depth], 1)[:, None], K)


def said(hand, *arguments, **options) -> str:
    """The warning of a fit, if there is one."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit(*arguments, hand=hand, **FEW | options)
    return "; ".join(str(warning.message) for warning in caught)


@pytest.mark.slow
@pytest.mark.parametrize("noise_px", [0, 4])
def test_right_joints_are_not_doubted(hand, joints_px, generator, noise_px):
    """200 hands eight at a time, since so many of a call are looked at, and 20 alone."""
    noisy = joints_px + noise_px * torch.randn(200, 21, 2, generator=generator)
    for some in noisy.split(8):
        assert said(hand, some, K, starts=6) == ""
    for one in noisy[:20]:
        assert said(hand, one, K, starts=6) == ""


@pytest.mark.parametrize("order", [RHD21, STB21, MANO21, INTERHAND21], ids=lambda order: order.name)
@pytest.mark.parametrize("n", [1, 4])
def test_another_order(hand, joints_px, order, n):
    assert f"the order {order.name}, not C21" in said(hand, convert(joints_px[:n], C21, order), K)


@pytest.mark.parametrize("camera", [K, None], ids=["pinhole", "orthographic"])
def test_another_order_without_a_camera(hand, joints_px, camera):
    assert "the order STB21" in said(hand, convert(joints_px[8:10], C21, STB21), camera)


@pytest.mark.parametrize("first", [0, 8, 16, 24])
def test_the_other_side(hand, joints_px, first):
    right = joints_px[first : first + 8]
    left = right * FLIP + torch.tensor([640.0, 0])
    assert "give side='left'" in said(hand, left, K)
    assert "give side='right'" in said(hand, right, K, side="left")
    assert said(hand, left, K, side="left") == ""


@pytest.mark.parametrize("first", [0, 8, 16, 24])
def test_joints_of_an_image_twice_as_large(hand, joints_px, first):
    assert "K is of an image half as large" in said(hand, 2 * joints_px[first : first + 8], K)


def test_a_camera_that_cannot_belong_to_the_joints(hand, joints_px):
    assert "more than 10 m away" in said(hand, joints_px[0], K * torch.tensor([[100.0], [100], [1]]))


def test_the_residual_is_the_distance_from_the_joints(hand, joints_px):
    visible = torch.ones(21, dtype=torch.bool)
    visible[[3, 20]] = False
    given = joints_px[:2] + torch.tensor([[1.0, 2]])
    given[:, ~visible] = torch.nan
    for side in ("right", "left"):
        found = fit(given, K, hand=hand, visible=visible, side=side, **FEW)
        off = (found.joints_2d - given).norm(dim=-1)
        torch.testing.assert_close(found.joint_residual_px, off, atol=1e-3, rtol=0, equal_nan=True)
        torch.testing.assert_close(found.residual_px, off[:, visible].square().mean(1).sqrt(), atol=1e-3, rtol=1e-4)
    assert fit(given[0], K, hand=hand, visible=visible, **FEW).residual_px.shape == ()
