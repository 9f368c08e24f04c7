import math

import pytest
import torch

from handlib.camera import (
    CROP_FACTOR,
    FLIP,
    SCALE_UNIT,
    Camera,
    crop_box,
    crop_intrinsics,
    crop_to_cam,
    crop_to_px,
    focal_length,
    normalize_joints,
    project,
    px_to_crop,
    quaternion_to_rotation,
    rotation_jacobian,
    rotation_to_quaternion,
    unproject,
)
from handlib.hand.joints import MIDDLE_MCP


def intrinsics(lead=(), dtype=torch.float64) -> torch.Tensor:
    K = torch.tensor([[310.0, 0.0, 101.0], [0.0, 290.0, 117.0], [0.0, 0.0, 1.0]], dtype=dtype)
    return K.expand(*lead, 3, 3).clone()


def joints_in_view(lead, generator) -> torch.Tensor:
    """21 points of a hand's size, half a meter away."""
    joints = 0.08 * torch.randn(*lead, 21, 3, generator=generator, dtype=torch.float64)
    return joints + torch.tensor([0.02, -0.03, 0.5], dtype=torch.float64)


# ---- rotations


def rotation_naive(quaternion):
    """Textbook formula of one quaternion w, x, y, z."""
    w, x, y, z = (quaternion / math.sqrt(sum(float(q) ** 2 for q in quaternion))).tolist()
    return [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]


def test_rotation_equals_the_textbook(lead, generator):
    quaternion = torch.randn(*lead, 4, generator=generator, dtype=torch.float64)
    found = quaternion_to_rotation(quaternion)
    assert found.shape == (*lead, 3, 3)
    for q, r in zip(quaternion.reshape(-1, 4), found.reshape(-1, 3, 3), strict=True):
        torch.testing.assert_close(r, torch.tensor(rotation_naive(q), dtype=torch.float64))


@pytest.mark.parametrize("factor", [-1.0, 5.0, 1e-3, -1e3])
def test_rotation_ignores_sign_and_length(factor, generator):
    quaternion = torch.randn(10, 4, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(quaternion_to_rotation(factor * quaternion), quaternion_to_rotation(quaternion))


@pytest.mark.parametrize("length", [0.0, 1e-9])
def test_quaternion_without_direction_is_the_identity(length):
    quaternion = (length * torch.tensor([[0.5, 0.5, -0.5, 0.5], [1.0, 0, 0, 0]])).requires_grad_()
    rotation = quaternion_to_rotation(quaternion)
    torch.testing.assert_close(rotation, torch.eye(3).expand(2, 3, 3))
    rotation.square().sum().backward()
    assert torch.isfinite(quaternion.grad).all()


def test_rotation_gradient(generator):
    quaternion = torch.randn(3, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(quaternion_to_rotation, quaternion)


def test_rotation_jacobian_is_torchs(lead, generator):
    quaternion = torch.randn(*lead, 4, generator=generator, dtype=torch.float64)
    found = rotation_jacobian(quaternion)
    assert found.shape == (*lead, 4, 3, 3)
    for q, own in zip(quaternion.reshape(-1, 4), found.reshape(-1, 4, 3, 3), strict=True):
        whole = torch.autograd.functional.jacobian(lambda q: Camera(q, q[:1], q[:3]).rotation(), q)
        torch.testing.assert_close(own, whole.permute(2, 0, 1))


def test_quaternion_round_trip(lead, generator):
    quaternion = torch.randn(*lead, 4, generator=generator, dtype=torch.float64)
    found = rotation_to_quaternion(quaternion_to_rotation(quaternion))
    assert (found[..., 0] >= 0).all()
    unit = quaternion / quaternion.norm(dim=-1, keepdim=True)
    torch.testing.assert_close(found, unit * torch.where(unit[..., :1] < 0, -1.0, 1.0))


def test_half_turns_survive_the_round_trip():
    half_turns = torch.eye(4, dtype=torch.float64)
    rotation = quaternion_to_rotation(half_turns)
    torch.testing.assert_close(quaternion_to_rotation(rotation_to_quaternion(rotation)), rotation)


# ---- the scaled orthographic camera


def camera(lead, generator) -> Camera:
    def draw(n):
        return torch.randn(*lead, n, generator=generator, dtype=torch.float64)

    return Camera(draw(4), draw(1).abs() + 0.1, draw(3))


def test_to_crop_equals_a_loop(lead, generator):
    points, view = torch.randn(*lead, 5, 3, generator=generator, dtype=torch.float64), camera(lead, generator)
    found = view.to_crop(points).reshape(-1, 5, 3)
    flat = [part.reshape(-1, part.shape[-1]) for part in view]
    for i, cloud in enumerate(points.reshape(-1, 5, 3)):
        rotation = torch.tensor(rotation_naive(flat[0][i]), dtype=torch.float64)
        for j, point in enumerate(cloud):
            turned = rotation @ point
            for axis in range(3):
                wanted = SCALE_UNIT * flat[1][i, 0] * FLIP[axis] * turned[axis] + flat[2][i, axis]
                assert float(found[i, j, axis]) == pytest.approx(float(wanted), abs=1e-9)


def test_to_crop_gradient(generator):
    points, view = torch.randn(4, 3, generator=generator, dtype=torch.float64), camera((), generator)
    inputs = [part.requires_grad_() for part in (points, *view)]
    assert torch.autograd.gradcheck(lambda p, q, s, t: Camera(q, s, t).to_crop(p), inputs)


def test_unit_scale_maps_a_tenth_of_a_meter_to_one():
    view = Camera(torch.tensor([1.0, 0, 0, 0]), torch.ones(1), torch.zeros(3))
    torch.testing.assert_close(view.to_crop(torch.tensor([[0.1, 0.1, 0.1]])), torch.tensor([[1.0, -1.0, -1.0]]))


def test_camera_rotation_is_proper(lead, generator):
    rotation = camera(lead, generator).rotation()
    torch.testing.assert_close(rotation @ rotation.mT, torch.eye(3).double().expand(*lead, 3, 3))
    torch.testing.assert_close(torch.linalg.det(rotation), torch.ones(lead).double())


# ---- crop and pixels


@pytest.mark.parametrize("columns", [2, 3])
@pytest.mark.parametrize("size", [7, 64])
def test_crop_and_pixels_are_inverse(lead, columns, size, generator):
    points = torch.randn(*lead, 4, columns, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(px_to_crop(crop_to_px(points, size), size), points)
    torch.testing.assert_close(crop_to_px(px_to_crop(points, size), size), points)


def test_corners_and_depth_of_the_crop():
    corners = torch.tensor([[-1.0, -1, 0], [1, 1, 0.5], [0, 0, -0.5]])
    assert torch.equal(crop_to_px(corners, 64), torch.tensor([[0.0, 0, 0], [64, 64, 16], [32, 32, -16]]))


# ---- the pinhole camera


def test_project_equals_a_loop(lead, generator):
    joints, K = joints_in_view(lead, generator), intrinsics(lead)
    found = project(joints, K).reshape(-1, 21, 2)
    for i, hand in enumerate(joints.reshape(-1, 21, 3)):
        for j, (x, y, z) in enumerate(hand.tolist()):
            assert found[i, j].tolist() == pytest.approx([310 * x / z + 101, 290 * y / z + 117], abs=1e-9)


def test_one_camera_serves_a_batch(generator):
    joints = joints_in_view((2, 3), generator)
    torch.testing.assert_close(project(joints, intrinsics()), project(joints, intrinsics((2, 3))))
    px, depth = project(joints, intrinsics()), joints[..., 2]
    torch.testing.assert_close(unproject(px, depth, intrinsics()), joints)


def test_unproject_inverts_project(lead, generator):
    joints, K = joints_in_view(lead, generator), intrinsics(lead)
    K[..., 0, 1] = 3.0  # skew
    torch.testing.assert_close(unproject(project(joints, K), joints[..., 2], K), joints)


def test_crop_box_equals_a_loop(lead, generator):
    px = 100 * torch.randn(*lead, 21, 2, generator=generator)
    found = crop_box(px).reshape(-1, 3)
    for i, points in enumerate(px.reshape(-1, 21, 2).tolist()):
        xs, ys = [p[0] for p in points], [p[1] for p in points]
        side = CROP_FACTOR * max(max(xs) - min(xs), max(ys) - min(ys))
        wanted = [(min(xs) + max(xs) - side) / 2, (min(ys) + max(ys) - side) / 2, side]
        assert found[i].tolist() == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("factor", [0, -1.5, 100])
def test_a_crop_is_some_times_as_large_as_the_hand(factor):
    with pytest.raises(ValueError, match="factor be above 0 and below 100"):
        crop_box(torch.rand(21, 2), factor)
    with pytest.raises(ValueError, match="factor must be a number of single precision"):
        crop_box(torch.rand(21, 2), 1e300)


def test_intrinsics_of_a_crop_project_as_projecting_then_cropping(lead, generator):
    joints, K = joints_in_view(lead, generator), intrinsics(lead)
    px = project(joints, K)
    box = crop_box(px)
    wanted = (px - box[..., None, :2]) * (64 / box[..., None, 2:])
    torch.testing.assert_close(project(joints, crop_intrinsics(K, box, 64)), wanted)
    assert (wanted >= 0).all() and (wanted <= 64).all()


def test_focal_length_is_the_mean(lead):
    assert torch.equal(focal_length(intrinsics(lead)), torch.full(lead, 300.0, dtype=torch.float64))


# ---- Eq. 8


def test_normalized_joints_equal_a_loop(lead, generator):
    joints, K = joints_in_view(lead, generator), intrinsics(lead)
    found = normalize_joints(joints, K).reshape(-1, 21, 3)
    for i, hand in enumerate(joints.reshape(-1, 21, 3).tolist()):
        px = [(310 * x / z + 101, 290 * y / z + 117) for x, y, z in hand]
        omega = 1.5 * max(max(p[axis] for p in px) - min(p[axis] for p in px) for axis in (0, 1))
        root_depth = hand[MIDDLE_MCP][2]
        for j, (_, _, z) in enumerate(hand):
            wanted = [(px[j][axis] - px[MIDDLE_MCP][axis]) / omega for axis in (0, 1)]
            wanted.append((z - root_depth) / (root_depth * omega / 300))
            assert found[i, j].tolist() == pytest.approx(wanted, abs=1e-9)


def test_axes_share_one_unit_under_weak_perspective(generator):
    """Far away, the normalized joints are the hand itself, scaled alike along x, y and z."""
    shape = 0.08 * torch.randn(21, 3, generator=generator, dtype=torch.float64)
    K = torch.diag(torch.tensor([3e6, 3e6, 1.0], dtype=torch.float64))
    normalized = normalize_joints(shape + torch.tensor([0, 0, 5e3], dtype=torch.float64), K)
    relative = shape - shape[MIDDLE_MCP]
    ratio = normalized[1:3].norm() / relative[1:3].norm()
    torch.testing.assert_close(normalized, ratio * relative, rtol=1e-3, atol=1e-4)


def test_normalized_joints_ignore_the_crop(generator):
    joints, K = joints_in_view((), generator), intrinsics()
    crop = crop_intrinsics(K, crop_box(project(joints, K)), 128)
    torch.testing.assert_close(normalize_joints(joints, crop), normalize_joints(joints, K))


@pytest.mark.parametrize("size", [64, 224])
def test_crop_to_cam_inverts_eq_8(lead, size, generator):
    """The truth in crop coordinates (xy from pixels, z from the normalized depth) comes back in meters, exactly."""
    joints, K = joints_in_view(lead, generator), intrinsics(lead)
    K = crop_intrinsics(K, crop_box(project(joints, K)), size)
    px = project(joints, K)
    omega_crop = crop_box(px)[..., 2] / (size / 2)
    depth_crop = normalize_joints(joints, K)[..., 2] * omega_crop[..., None] + 0.3  # any z of the root will do
    joints_crop = torch.cat([px_to_crop(px, size), depth_crop[..., None]], -1)
    root = joints_crop[..., MIDDLE_MCP, :]
    back = crop_to_cam(joints_crop, root, joints[..., MIDDLE_MCP, 2], K, size)
    torch.testing.assert_close(back, joints, rtol=0, atol=1e-9)


def test_crop_intrinsics_of_whole_numbers():
    K, box = torch.tensor([[300, 0, 160], [0, 310, 120], [0, 0, 1]]), torch.tensor([50, 40, 150])
    found = crop_intrinsics(K, box, 64)
    torch.testing.assert_close(found, crop_intrinsics(K.float(), box.float(), 64))
    assert found[0, 0] == pytest.approx(300 * 64 / 150)
