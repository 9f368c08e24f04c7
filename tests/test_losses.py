"""Each loss against a loop, and its gradient against finite differences."""

import torch
from losses_in_loops import B, cells, mean_of, randn, same
from torch.autograd import gradcheck

from handlib.camera import crop_box, crop_to_cam, normalize_joints
from handlib.evidence import target_heatmaps
from handlib.hand.joints import MIDDLE_MCP
from handlib.losses import (
    articulation_loss,
    feature_joints_loss,
    feature_loss,
    heatmap_loss,
    laplacian_loss,
    refiner_loss,
    relative_vertices,
    reprojection_loss,
    shape_loss,
    shape_weight,
    vertex_loss,
)


def test_feature_loss_equals_a_loop(generator):
    a, b = randn(generator, B, 5), randn(generator, B, 5)
    same(feature_loss(a, b), mean_of((a[n, k] - b[n, k]) ** 2 for n in range(B) for k in range(5)), a, b)


def test_scaled_feature_loss_does_not_mind_how_large_f_is(generator):
    a, b = randn(generator, B, 5), randn(generator, B, 5)
    spread = mean_of((a[n, k] - mean_of(a[:, k])) ** 2 for n in range(B) for k in range(5))
    same(feature_loss(a, b, scaled=True), feature_loss(a, b) / spread, a, b)
    torch.testing.assert_close(feature_loss(1e-3 * a, 1e-3 * b, scaled=True), feature_loss(a, b, scaled=True))
    assert feature_loss(0 * a, 0 * b, scaled=True) == 0
    assert feature_loss(a[:1], b[:1], scaled=True) == feature_loss(a[:1], b[:1])  # one hand has no variance


def test_joints_of_the_features_equal_a_loop(generator):
    joints, target = randn(generator, B, 21, 3), randn(generator, B, 21, 3).detach()
    target[0, 4] = torch.nan
    known = [(n, j, c) for n in range(B) for j in range(21) for c in range(3) if (n, j) != (0, 4)]
    same(feature_joints_loss(joints, target), mean_of((joints[cell] - target[cell]) ** 2 for cell in known), joints)


def test_heatmap_loss_equals_a_loop(generator):
    maps, joints = randn(generator, 2, 21, 3, 3), torch.rand(2, 21, 2, generator=generator, dtype=torch.float64)
    truth = target_heatmaps(joints, 3)
    same(heatmap_loss(maps, joints), mean_of((maps[cell] - truth[cell]) ** 2 for cell in cells(2, 21, 3, 3)), maps)
    assert heatmap_loss(truth, joints) == 0


def test_refiner_loss_sums_steps_and_averages_the_rest(generator):
    steps, joints = [randn(generator, B, 21, 2) for _ in range(3)], randn(generator, B, 21, 2)
    slow = sum(mean_of((step[cell] - joints[cell]) ** 2 for cell in cells(B, 21, 2)) for step in steps)
    same(refiner_loss(steps, joints), slow, *steps)


def test_articulation_loss_equals_a_loop(generator):
    joints, target = randn(generator, B, 21, 3), randn(generator, B, 21, 3)
    omega = torch.rand(B, generator=generator, dtype=torch.float64) + 0.5
    slow = mean_of(
        ((joints[n, j, c] - joints[n, MIDDLE_MCP, c]) / omega[n] - target[n, j, c]) ** 2 for n, j, c in cells(B, 21, 3)
    )
    same(articulation_loss(joints, target, omega), slow, joints, target)


def test_articulation_ignores_place_and_shares_the_size(generator):
    joints, target = randn(generator, B, 21, 3), randn(generator, B, 21, 3)
    omega = torch.ones(B, dtype=torch.float64)
    there = torch.tensor([0.3, -0.2, 5.0], dtype=torch.float64)
    before = articulation_loss(joints, target, omega)
    torch.testing.assert_close(articulation_loss(joints + there, target, omega), before)
    torch.testing.assert_close(articulation_loss(2 * joints, target, 2 * omega), before)


def test_articulation_of_the_truth_is_nothing(generator):
    """Joints that a scaled orthographic camera would see: crop xy and z = norm·ω."""
    cam = 0.08 * torch.randn(B, 21, 3, generator=generator, dtype=torch.float64)
    cam = cam + torch.tensor([0, 0, 0.6], dtype=torch.float64)
    K = torch.tensor([[100.0, 0, 32], [0, 100, 32], [0, 0, 1]], dtype=torch.float64).expand(B, 3, 3)
    target = normalize_joints(cam, K)
    px = cam @ K.mT
    omega = crop_box(px[..., :2] / px[..., 2:])[:, 2] / 32
    assert articulation_loss(target * omega[:, None, None] + 0.1, target, omega) < 1e-20


def test_shape_loss_equals_a_loop(generator):
    seen, mask = randn(generator, B, 4, 4), randn(generator, B, 4, 4)
    weight = torch.tensor([1.0, 0.0, 0.5], dtype=torch.float64)
    slow = mean_of(weight[n] * mean_of((seen[n][cell] - mask[n][cell]) ** 2 for cell in cells(4, 4)) for n in range(B))
    same(shape_loss(seen, mask, weight), slow, seen, mask)


def test_instances_that_are_switched_off_do_not_pull(generator):
    seen, mask = randn(generator, B, 4, 4), randn(generator, B, 4, 4)
    shape_loss(seen, mask, torch.tensor([1.0, 0.0, 1.0], dtype=torch.float64)).backward()
    assert not seen.grad[1].any() and seen.grad[0].any() and seen.grad[2].any()


def test_switch_looks_at_each_instance_and_at_the_mean_distance():
    """Eq. 12: errors of 3-4-5 triangles. One joint far off is as bad as all of them a little off."""
    target = torch.zeros(4, 21, 2)
    joints = target.clone()
    joints[1] = torch.tensor([0.3, 0.4])
    joints[2, 0] = torch.tensor([21 * 0.3, 21 * 0.4])
    joints[3] = torch.tensor([0.33, 0.44])
    assert shape_weight(joints, target, 0.5 + 1e-6).tolist() == [1, 1, 1, 0]
    assert shape_weight(joints, target, 0.49).tolist() == [1, 0, 0, 0]


def test_switch_includes_the_threshold():
    assert shape_weight(torch.ones(1, 21, 2) * torch.tensor([0.5, 0.0]), torch.zeros(1, 21, 2), 0.5).tolist() == [1]


def test_laplacian_loss_equals_a_loop(lead, generator):
    vertices, laplacian = randn(generator, *lead, 5, 3), randn(generator, 5, 5)
    lengths = []
    for mesh in vertices.reshape(-1, 5, 3):
        for i in range(5):
            total = sum(laplacian[i, j] * mesh[j] for j in range(5))
            lengths.append((total[0] ** 2 + total[1] ** 2 + total[2] ** 2) ** 0.5)
    same(laplacian_loss(vertices, laplacian), mean_of(lengths), vertices)


def test_laplacian_loss_of_a_point_has_a_gradient():
    vertices = torch.zeros(5, 3, requires_grad=True)
    laplacian_loss(vertices, torch.eye(5)).backward()
    assert torch.isfinite(vertices.grad).all()


def test_reprojection_loss_equals_a_loop(generator):
    a, b = randn(generator, B, 21, 2), randn(generator, B, 21, 2)
    same(reprojection_loss(a, b), mean_of((a[cell] - b[cell]) ** 2 for cell in cells(B, 21, 2)), a, b)


def test_vertex_loss_equals_a_loop(generator):
    vertices, root, target = randn(generator, B, 4, 3), randn(generator, B, 3), randn(generator, B, 4, 3)
    slow = mean_of((vertices[n, v, c] - root[n, c] - target[n, v, c]) ** 2 for n, v, c in cells(B, 4, 3))
    same(vertex_loss(vertices, root, target), slow, vertices, root)


def test_relative_vertices_are_the_inverse_of_the_inverse_normalization(generator):
    """Points of a crop, taken to the camera frame as an estimate is at test time, come back as they were."""
    size = 64
    K = torch.tensor([[100.0, 0, 32], [0, 100, 30], [0, 0, 1]], dtype=torch.float64).expand(B, 3, 3)
    points = torch.rand(B, 6, 3, generator=generator, dtype=torch.float64) - 0.5
    depth = torch.tensor([0.4, 0.6, 0.9], dtype=torch.float64)
    cam = crop_to_cam(points, points[:, 0], depth, K, size)
    torch.testing.assert_close(relative_vertices(cam, cam[:, 0], K, size), points - points[:, :1])


def double(generator, *shape):
    return torch.rand(*shape, generator=generator, dtype=torch.float64, requires_grad=True)


def test_gradients_of_every_loss(generator):
    joints, flat, maps = double(generator, 2, 21, 3), double(generator, 2, 21, 2), double(generator, 2, 21, 3, 3)
    target = torch.rand(2, 21, 3, generator=generator, dtype=torch.float64)
    target[0, 3], target[1, 20] = torch.nan, torch.nan
    omega = torch.tensor([1.5, 2.0], dtype=torch.float64)
    seen, mask = double(generator, 2, 4, 4), double(generator, 2, 4, 4).detach()
    mask[1] = torch.nan
    features, masked = double(generator, 2, 5), double(generator, 2, 5)
    laplacian = torch.rand(21, 21, generator=generator, dtype=torch.float64)
    assert gradcheck(lambda x: articulation_loss(x, target, omega), joints)
    assert gradcheck(lambda x: reprojection_loss(x, target[..., :2]), flat)
    assert gradcheck(lambda x: refiner_loss([x, x**2], target[..., :2]), flat)
    assert gradcheck(lambda x: heatmap_loss(x, target[..., :2]), maps)
    assert gradcheck(lambda x: shape_loss(x, mask, omega), seen)
    assert gradcheck(feature_loss, (features, masked))
    assert gradcheck(lambda x: laplacian_loss(x, laplacian), joints)
    assert gradcheck(lambda x, y: vertex_loss(x, y, target), (joints, double(generator, 2, 3)))
