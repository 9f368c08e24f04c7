"""Losses where something is not known: NaN in the truth is left out, NaN in an estimate is not."""

import math

import pytest
import torch
from losses_in_loops import B, mean_of, randn, same

from handlib.camera import crop_box
from handlib.evidence import target_heatmaps
from handlib.hand.joints import MIDDLE_MCP
from handlib.losses import (
    articulation_loss,
    feature_loss,
    filled_from_root,
    heatmap_loss,
    laplacian_loss,
    refiner_loss,
    relative_vertices,
    reprojection_loss,
    shape_loss,
    shape_weight,
    vertex_loss,
)


@pytest.mark.parametrize("depth", [0.0, -0.5])
def test_what_is_not_in_front_of_the_camera_is_unknown(depth, generator):
    K = torch.tensor([[100.0, 0, 32], [0, 100, 30], [0, 0, 1]]).expand(2, 3, 3)
    cam = 0.1 * torch.rand(2, 6, 3, generator=generator) + torch.tensor([0, 0, 0.5])
    root = cam[:, 5].clone()
    root[0, 2] = cam[1, 3, 2] = depth
    relative = relative_vertices(cam, root, K, 64)
    assert relative.isnan().any(-1).tolist() == [[True] * 6, [False, False, False, True, False, False]]
    known = [0, 1, 2, 4, 5]
    alone = relative_vertices(cam[1:, known], root[1:], K[1:], 64)
    torch.testing.assert_close(relative[1:, known], alone)
    torch.testing.assert_close(vertex_loss(cam, root, relative), vertex_loss(cam[1:, known], root[1:], alone))


@pytest.mark.parametrize("unknown", [0.0, -1.0, math.nan])
def test_a_hand_without_an_extent_is_left_out(unknown, generator):
    joints, target = randn(generator, B, 21, 3), randn(generator, B, 21, 3).detach()
    omega = torch.tensor([0.7, unknown, 1.2], dtype=torch.float64)
    same(articulation_loss(joints, target, omega), articulation_loss(joints[::2], target[::2], omega[::2]), joints)


def test_unknown_joints_are_left_out_of_the_means(generator):
    """Each loss equals the mean over the known joints, and its gradient is 0 at the others, never NaN."""
    known = [(n, j) for n in range(B) for j in range(21) if (n + j) % 3]
    joints, flat, maps = randn(generator, B, 21, 3), randn(generator, B, 21, 2), randn(generator, B, 21, 3, 3)
    target = torch.full((B, 21, 3), torch.nan, dtype=torch.float64)
    for cell in known:
        target[cell] = torch.randn(3, generator=generator, dtype=torch.float64)
    omega = torch.rand(B, generator=generator, dtype=torch.float64) + 0.5
    slow = mean_of(
        ((joints[n, j, c] - joints[n, MIDDLE_MCP, c]) / omega[n] - target[n, j, c]) ** 2
        for n, j in known
        for c in range(3)
    )
    same(articulation_loss(joints, target, omega), slow, joints)

    def slow_2d(factor):
        return mean_of((factor * flat[n, j, c] - target[n, j, c]) ** 2 for n, j in known for c in range(2))

    same(reprojection_loss(flat, target[..., :2]), slow_2d(1), flat)
    same(refiner_loss([flat, 2 * flat], target[..., :2]), slow_2d(1) + slow_2d(2), flat)
    truth = target_heatmaps(target[..., :2], 3)
    slow = mean_of((maps[n, j, r, c] - truth[n, j, r, c]) ** 2 for n, j in known for r in range(3) for c in range(3))
    same(heatmap_loss(maps, target[..., :2]), slow, maps)
    root = randn(generator, B, 3)
    slow = mean_of((joints[n, j, c] - root[n, c] - target[n, j, c]) ** 2 for n, j in known for c in range(3))
    same(vertex_loss(joints, root, target), slow, joints, root)


def test_instances_without_a_mask_are_left_out(generator):
    seen, mask = randn(generator, B, 4, 4), randn(generator, B, 4, 4).detach()
    mask[1] = torch.nan
    weight = torch.tensor([1.0, 1.0, 0.5], dtype=torch.float64)
    same(shape_loss(seen, mask, weight), shape_loss(seen[::2], mask[::2], weight[::2]), seen)
    a, b = randn(generator, B, 5), randn(generator, B, 5)
    same(feature_loss(a, b, torch.tensor([True, False, True])), feature_loss(a[::2], b[::2]), a, b)


def test_where_nothing_is_known_there_is_nothing_to_learn(generator):
    joints, maps, seen = randn(generator, B, 21, 3), randn(generator, B, 21, 3, 3), randn(generator, B, 4, 4)
    nothing = torch.full((B, 21, 3), torch.nan, dtype=torch.float64)
    omega = torch.full((B,), torch.nan, dtype=torch.float64)
    total = (
        articulation_loss(joints, nothing, omega)
        + reprojection_loss(joints[..., :2], nothing[..., :2])
        + refiner_loss([joints[..., :2]], nothing[..., :2])
        + heatmap_loss(maps, nothing[..., :2])
        + vertex_loss(joints, joints[:, 0], nothing)
        + shape_loss(seen, torch.full((B, 4, 4), torch.nan, dtype=torch.float64), omega.new_ones(B))
        + feature_loss(maps[:, 0, 0], maps[:, 1, 0], torch.zeros(B, dtype=torch.bool))
    )
    assert total == 0
    assert not any(gradient.any() for gradient in torch.autograd.grad(total, (joints, maps, seen)))
    assert shape_weight(joints[..., :2], nothing[..., :2], 1e9).tolist() == [0] * B


def test_of_no_hands_every_loss_is_0():
    joints, flat, maps, one = (torch.zeros(0, *shape) for shape in ((21, 3), (21, 2), (21, 4, 4), ()))
    losses = (
        articulation_loss(joints, joints, one),
        reprojection_loss(flat, flat),
        refiner_loss([flat], flat),
        heatmap_loss(maps, flat),
        vertex_loss(joints, joints[:, 0], joints),
        shape_loss(maps[:, 0], maps[:, 0], one),
        feature_loss(flat[:, 0], flat[:, 0]),
        laplacian_loss(joints, torch.eye(21)),
    )
    assert [loss.item() for loss in losses] == [0] * len(losses)


def test_an_estimate_that_is_nan_is_not_taken_for_unknown(generator):
    """A diverged network must show."""
    joints, target = randn(generator, B, 21, 2).detach(), randn(generator, B, 21, 2)
    joints[0, 0, 0] = torch.nan
    assert reprojection_loss(joints, target).isnan()
    assert shape_weight(joints, target, 1e9).tolist() == [0, 1, 1]


def test_switch_takes_the_mean_over_the_known_joints():
    target = torch.full((2, 21, 2), torch.nan)
    target[:, :5] = 0
    joints = torch.zeros(2, 21, 2)
    joints[0, :5], joints[0, 5:] = torch.tensor([0.3, 0.4]), 100
    joints[1, 0] = torch.tensor([5 * 0.33, 5 * 0.44])
    assert shape_weight(joints, target, 0.5 + 1e-6).tolist() == [1, 0]


def test_filling_keeps_the_box_of_the_known_joints(generator):
    joints = randn(generator, B, 21, 2).detach()
    joints[0, [0, 4, 7]] = torch.nan
    low, high = joints[0].nan_to_num(torch.inf).amin(0), joints[0].nan_to_num(-torch.inf).amax(0)
    filled = filled_from_root(joints)
    torch.testing.assert_close(crop_box(filled)[0, 2], 1.5 * (high - low).max())
    assert torch.equal(filled[1:], joints[1:])
