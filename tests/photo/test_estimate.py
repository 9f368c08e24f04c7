"""What an estimate says about itself, in words and in the JSON of a photograph."""

import json

import pytest
import torch

from handlib.hand.joints import C21
from handlib.photo.estimate import HandEstimate, describe_photo

K = torch.tensor([[500.0, 0, 320], [0, 500, 240], [0, 0, 1]])


@pytest.fixture(params=["right", "left"])
def estimate(request, hand):
    pose, shape = (part[0] for part in hand.sample(1, torch.Generator().manual_seed(1)))
    rotation, translation = torch.diag(torch.tensor([1.0, -1, -1])), torch.tensor([0.1, 0.05, 0.6])
    vertices = hand(pose, shape).vertices @ rotation.T + translation
    if request.param == "left":
        vertices = vertices * torch.tensor([-1.0, 1, 1])
    h = torch.cat([pose, shape, torch.tensor([1.0, 0, 0, 0, 0.5, 0, 0, 0])])
    joints = hand.regress_joints(vertices)
    placement = (rotation, translation)
    return HandEstimate(request.param, 0.9, torch.linspace(0, 1, 21), vertices, joints, K, True, h, placement, hand)


def test_json_holds_the_numbers_under_their_names(estimate):
    said = json.loads(json.dumps(describe_photo([estimate], (640, 480), K, True)))
    assert said["image_size"] == [640, 480]
    assert said["camera"] == {"K": K.tolist(), "assumed": True}
    assert said["joint_names"] == list(C21.joints)
    (own,) = said["hands"]
    assert own["side"] == estimate.side and own["score"] == 0.9
    for name, digits, value in (
        ("joints_px", 2, estimate.joints_px),
        ("joints_cam_m", 5, estimate.joints_cam),
        ("confidence", 3, estimate.confidence),
        ("h", 6, estimate.h),
        ("box_px", 2, torch.tensor(estimate.box_px)),
    ):
        torch.testing.assert_close(torch.tensor(own[name]), value, atol=0.51 * 10**-digits + 1e-5, rtol=1e-6)
    assert own["mano"]["is_rhand"] == (estimate.side == "right") and own["mano"]["flat_hand_mean"] is True
    assert {name: len(own["mano"][name]) for name in ("global_orient", "hand_pose", "betas", "transl")} == {
        "global_orient": 3, "hand_pose": 45, "betas": 10, "transl": 3}  # fmt: skip


def test_without_hands_the_json_is_that_of_the_camera():
    assert describe_photo([], (640, 480), K, False)["hands"] == []


def test_box_is_the_smallest_square_around_the_joints(estimate):
    left, top, side = estimate.box_px
    inside = (estimate.joints_px - torch.tensor([left, top])) / side
    assert inside.min() > -1e-4 and inside.max() < 1 + 1e-4
    assert (inside.amax(0) - inside.amin(0)).max() > 1 - 1e-4


def test_triangles_of_either_side_look_outward(estimate):
    corners = (estimate.vertices_cam - estimate.vertices_cam.mean(0))[estimate.faces]
    assert torch.linalg.det(corners).sum() > 0


def test_repr_is_short_and_names_side_and_shapes(estimate):
    text = repr(estimate)
    assert len(text) < 200
    for word in (f"{estimate.side} hand", "assumed K", "(778, 3)", "(21, 2)"):
        assert word in text
