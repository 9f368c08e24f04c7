"""`fit` on hands whose joints, camera and mask are known."""

import sys

import pytest
import roma
import torch

from handlib import MeshParameters, Renderer, fit
from handlib.camera import crop_box, crop_to_px, project
from handlib.fitting.starts import sphere_views
from handlib.output import in_meters
from handlib.parameters import posed_hand

module = sys.modules["handlib.fitting.fit"]  # `handlib.fitting.fit` itself is the function
K = torch.tensor([[480.0, 0, 112], [0, 480.0, 112], [0, 0, 1]])


@pytest.fixture(scope="module")
def views(hand):
    """Four hands from random viewpoints 0.45 m away: mesh and joints in the camera frame, joints in pixels."""
    generator = torch.Generator().manual_seed(3)
    pose, shape = hand.sample(4, generator)
    quaternion = torch.randn(4, 4, generator=generator)
    rotation = roma.unitquat_to_rotmat(quaternion / quaternion.norm(dim=-1, keepdim=True))
    vertices, joints = (x @ rotation.mT for x in hand(pose, shape))
    shift = torch.tensor([0.0, 0.0, 0.45]) - joints[:, 9:10]
    return vertices + shift, joints + shift, project(joints + shift, K)


@pytest.fixture(scope="module")
def fitted(hand, views):
    return fit(views[2], K, hand=hand, noise=2e-3)


def _error_mm(output, joints):
    """Mean distance after the best similarity."""
    rotation, shift, scale = roma.rigid_points_registration(output.joints_3d, joints, compute_scaling=True)
    moved = scale[:, None, None] * output.joints_3d @ rotation.mT + shift[:, None]
    return 1e3 * (moved - joints).norm(dim=-1).mean(-1)


def test_exact_joints_are_met(views, fitted):
    _, joints, joints_px = views
    assert (fitted.joints_2d - joints_px).norm(dim=-1).mean() < 0.5
    assert _error_mm(fitted, joints).median() < 4
    assert (fitted.root_cam[:, 2] / 0.45 - 1).abs().median() < 0.1


def test_noisy_joints_with_one_outlier_and_some_hidden(hand, views, generator):
    _, joints, joints_px = views
    noisy = joints_px + 2 * torch.randn(4, 21, 2, generator=generator)
    noisy[:, 8] += 60
    visible = torch.ones(21, dtype=torch.bool)
    visible[[0, 16]] = False
    noisy[:, ~visible] = torch.nan
    found = fit(noisy, K, hand=hand, visible=visible)
    assert _error_mm(found, joints).median() < 10
    kept = [i for i in range(21) if visible[i] and i != 8]
    assert (found.joints_2d - joints_px)[:, kept].norm(dim=-1).mean() < 5


def test_output_belongs_together(hand, views, fitted):
    torch.testing.assert_close(hand.regress_joints(fitted.vertices), fitted.joints_3d, atol=1e-6, rtol=0)
    torch.testing.assert_close(fitted.joints_3d[:, 9], torch.zeros(4, 3), atol=1e-6, rtol=0)
    in_cam = fitted.joints_3d + fitted.root_cam[:, None]
    torch.testing.assert_close(project(in_cam, K), fitted.joints_2d, atol=1e-2, rtol=0)
    same = in_meters(hand, fitted.h)
    torch.testing.assert_close(same.vertices, fitted.vertices, atol=1e-5, rtol=0)
    # h shows the hand in its crop: the orthographic camera is within a few pixels of the pinhole.
    box = crop_box(views[2])
    crop = posed_hand(hand, fitted.h).joints
    px = crop_to_px(crop, 1)[..., :2] * box[:, None, 2:] + box[:, None, :2]
    assert (px - fitted.joints_2d).norm(dim=-1).mean() < 4
    torch.testing.assert_close(crop[:, 9, 2], torch.zeros(4), atol=1e-5, rtol=0)


def test_without_intrinsics_the_camera_is_scaled_orthographic(hand, lead):
    h = MeshParameters.initial(hand).expand(*lead, 63)
    joints_px = crop_to_px(posed_hand(hand, h).joints, 224)[..., :2]
    found = fit(joints_px, hand=hand, starts=6, noise=2e-3)
    assert found.h.shape == (*lead, 63)
    assert found.vertices.shape == (*lead, 778, 3)
    assert found.root_cam is None
    torch.testing.assert_close(found.joints_2d, joints_px, atol=0.5, rtol=0)
    truth = in_meters(hand, h).joints
    assert (found.joints_3d - truth).norm(dim=-1).mean() < 5e-3


def test_result_is_deterministic_and_independent_of_the_batch(hand, views):
    joints_px = views[2]
    few = {"hand": hand, "starts": 4, "iterations": 4, "seed": 5}
    alone, together = fit(joints_px[1], K, **few), fit(joints_px[None, :2], K.expand(1, 2, 3, 3), **few)
    assert together.h.shape == (1, 2, 63)
    assert torch.equal(alone.h, together.h[0, 1])
    assert torch.equal(alone.h, fit(joints_px[1], K, **few).h)


def test_chunks_change_nothing(hand, views, monkeypatch):
    few = {"hand": hand, "starts": 3, "iterations": 3}
    for points in (None, views[1]):
        whole = fit(views[2], K, joints_3d=points, **few)
        for size in (1, 3):
            with monkeypatch.context() as patch:
                patch.setattr(module, "CHUNK", size)
                parts = fit(views[2], K, joints_3d=points, **few)
            torch.testing.assert_close(parts.h, whole.h, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("masked", [False, True], ids=["joints", "joints and mask"])
def test_left_hand_is_the_mirrored_right_one(hand, views, masked):
    """A picture of 224 pixels and its mirror image; without a mask nobody knows its width, and nobody has to."""
    flip = torch.tensor([-1.0, 1, 1])
    mirrored_px = views[2] * flip[:2] + torch.tensor([224.0, 0])
    mirrored_K = K.clone()
    mirrored_K[0, 2] = 224 - K[0, 2]
    mask = torch.zeros(4, 224, 224)
    mask[:, 60:160, 50:130] = 1
    rows = slice(0, 1) if masked else slice(0, 4)
    few = {"hand": hand, "starts": 4}
    right = fit(views[2][rows], K, mask[rows] if masked else None, **few)
    left = fit(mirrored_px[rows], mirrored_K, mask[rows].flip(-1) if masked else None, side="left", **few)
    torch.testing.assert_close(left.h, right.h, atol=2e-3, rtol=1e-3)
    for name in ("vertices", "joints_3d", "root_cam"):
        torch.testing.assert_close(getattr(left, name) * flip, getattr(right, name), atol=2e-4, rtol=1e-3)
    torch.testing.assert_close(left.joints_2d * flip[:2] + torch.tensor([224.0, 0]), right.joints_2d, atol=0.05, rtol=0)


def test_left_hand_without_a_camera_lies_on_its_joints(hand, views):
    left = fit(views[2] * torch.tensor([-1.0, 1]), side="left", hand=hand, starts=6)
    assert (left.joints_2d - views[2] * torch.tensor([-1.0, 1])).norm(dim=-1).mean() < 3
    assert left.root_cam is None


def test_points_in_space_tell_what_one_view_hides(hand, views, generator):
    """With points that are 4 pixels off and no intrinsics, a finger may bend to the camera or away from it."""
    joints, noisy = views[1], views[2] + 4 * torch.randn(4, 21, 2, generator=generator)
    guess = joints + 0.005 * torch.randn(4, 21, 3, generator=generator)
    blind, told = (fit(noisy, hand=hand, joints_3d=points, starts=8) for points in (None, guess + 1.0))
    off = [(output.joints_3d - (joints - joints[:, 9:10])).norm(dim=-1).mean() for output in (blind, told)]
    assert off[1] < 0.007 and off[1] < off[0] / 1.5, off


def test_more_starts_than_poses_are_all_of_them(hand, views):
    found = fit(views[2][:1], K, hand=hand, joints_3d=views[1][:1], starts=10_000, iterations=0)
    assert torch.isfinite(found.h).all()


def test_mask_brings_the_silhouette_closer(hand, views, generator):
    vertices, _, joints_px = (part[:2] for part in views)

    def silhouette(in_cam):
        px = torch.cat([project(in_cam, K), in_cam[..., 2:]], -1)
        return Renderer(224).silhouette(px, hand.faces) > 0

    mask = silhouette(vertices)
    noisy = joints_px + 4 * torch.randn(2, 21, 2, generator=generator)
    few = {"hand": hand, "starts": 8}
    iou = []
    for found in (fit(noisy, K, **few), fit(noisy, K, mask, **few)):
        drawn = silhouette(found.vertices + found.root_cam[:, None])
        iou.append((drawn & mask).sum((1, 2)) / (drawn | mask).sum((1, 2)))
    assert (iou[1] > iou[0] + 0.02).all(), iou
    assert iou[1].min() > 0.8


def test_views_are_rotations_that_cover_the_sphere(generator):
    views = sphere_views(100, generator)
    torch.testing.assert_close(views @ views.mT, torch.eye(3).double().expand(100, 3, 3))
    torch.testing.assert_close(torch.linalg.det(views), torch.ones(100).double())
    directions = torch.nn.functional.normalize(torch.randn(500, 3, generator=generator).double(), dim=-1)
    assert (directions @ views[:, 2].T).amax(1).min() > 0.96  # never more than 16° from a view


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"joints_2d": torch.zeros(20, 2)}, r"joints_2d must have the shape \(…, 21, 2\)"),
        ({"joints_2d": torch.full((21, 2), torch.nan)}, "visible="),
        ({"joints_2d": torch.ones(21, 2)}, "one point"),
        ({"visible": torch.arange(21) < 3}, "fewer than 4"),
        ({"visible": torch.ones(20)}, "visible must have the shape"),
        ({"K": torch.zeros(3, 3)}, "K must be .*at least 1 pixel"),
        ({"K": torch.eye(2)}, "K must have the shape"),
        ({"K": K.expand(2, 3, 3)}, "K must have the shape"),
        ({"mask": torch.ones(5)}, "mask must have the shape"),
        ({"joints_3d": torch.ones(21, 2)}, "joints_3d must have the shape"),
        ({"joints_3d": torch.full((21, 3), torch.nan)}, "joints_3d holds NaN"),
        ({"joints_3d": torch.full((21, 3), 300.0)}, "joints_3d must be meters"),
        ({"visible": torch.full((21,), -1.0)}, "visible must hold weights"),
        ({"visible": torch.full((21,), torch.nan)}, "visible must hold weights"),
        ({"side": "both"}, "side must be right or left"),
        ({"K": -K}, "K must be .*focal lengths"),
        ({"K": K * torch.tensor([-1.0, 1, 1])}, "K must be .*focal lengths"),
        ({"K": K * torch.nan}, "K must be .*focal lengths"),
        ({"K": 1e9 * K}, "K must be .*focal lengths"),
        ({"joints_2d": torch.full((21, 2), 1e9)}, "must be pixels of an image"),
        ({"mask": torch.full((9, 9), torch.nan)}, "mask must hold weights"),
        ({"mask": torch.full((9, 9), 255.0)}, "mask must hold weights"),
        ({"mask": torch.ones(0, 9)}, r"mask must hold at least one pixel, got \(0, 9\)"),
        ({"visible": torch.full((21,), 2.0)}, "visible must hold weights"),
        ({"starts": 0}, "starts must be at least 1, not 0"),
        ({"iterations": -1}, "iterations must be at least 0, not -1"),
        ({"seed": -1}, "seed must be at least 0, not -1"),
        ({"noise": 0.0}, "noise must be a share"),
    ],
)
def test_errors_say_what_to_do(hand, views, unchecked, change, message):
    with pytest.raises(ValueError, match=message):
        fit(**{"joints_2d": views[2][0], "K": K, "hand": hand, **change})
