import math
import os

import numpy as np
import pytest
import torch
from jaxtyping import TypeCheckError

from handlib import HandModel
from handlib.hand.anatomy import joint_axes, joint_limits, limit_excess
from handlib.hand.collision import penetration_depth
from handlib.hand.files import PARENTS, read_hand
from handlib.hand.joints import C21, FINGERTIPS, MANO16, MANO21
from handlib.hand.model import TOLERATED_PENETRATION


@pytest.fixture(scope="module")
def hand64() -> HandModel:
    return HandModel.load().double()


@pytest.fixture(scope="module")
def fields() -> dict[str, torch.Tensor]:
    """The file's arrays, rounded to float32 as the model holds them."""
    arrays = read_hand("openhand")
    return {k: torch.as_tensor(v.astype("float32")).double() for k, v in arrays.items() if v.dtype.kind in "fiu"}


def test_the_mean_hand_needs_no_arguments(hand):
    named = HandModel("openhand")
    assert torch.equal(named().vertices, hand(hand.mean_pose, torch.zeros(10)).vertices)
    assert repr(named) == "HandModel('openhand', side='right', fingertips='smplx', backend='auto')"
    assert not named.state_dict()


def rotation_of(axis_angle: torch.Tensor) -> torch.Tensor:
    """Rotation matrix as the exponential of [v]×."""
    x, y, z = axis_angle
    zero = torch.zeros_like(x)
    rows = [torch.stack(row) for row in ((zero, -z, y), (z, zero, -x), (-y, x, zero))]
    return torch.linalg.matrix_exp(torch.stack(rows))


def skinned_naive(fields, pose, shape, rotation):
    """Linear blend skinning of one hand: a 4×4 matrix a joint, down its chain; a sum over joints, vertex by vertex."""
    local = [rotation, *(rotation_of(pose[3 * k : 3 * k + 3]) for k in range(15))]
    template = fields["v_template"].clone()
    for k in range(10):
        template = template + shape[k] * fields["shapedirs"][..., k]
    joints = fields["J_regressor"] @ template
    rest = template
    for k in range(1, 16):
        entries = (local[k] - torch.eye(3).double()).reshape(9)
        for e in range(9):
            rest = rest + entries[e] * fields["posedirs"][..., 9 * (k - 1) + e]

    bottom = torch.tensor([[0.0, 0, 0, 1]]).double()

    def rigid(r, t):
        return torch.cat([torch.cat([r, t[:, None]], 1), bottom])

    world = []
    for k, parent in enumerate(PARENTS):
        offset = joints[k] if k == 0 else joints[k] - joints[parent]
        move = rigid(local[k], offset)
        world.append(move if k == 0 else world[parent] @ move)
    eye = torch.eye(3).double()
    bones = [world[k] @ rigid(eye, -joints[k]) for k in range(16)]

    vertices = []
    for v in range(778):
        point = torch.cat([rest[v], torch.ones(1).double()])
        total = torch.zeros(3).double()
        for k in range(16):
            if fields["weights"][v, k] != 0:
                total = total + fields["weights"][v, k] * (bones[k] @ point)[:3]
        vertices.append(total)
    return torch.stack(vertices)


def joints_naive(fields, vertices, tips):
    rows = {name: fields["J_regressor"][k] @ vertices for k, name in enumerate(MANO16.joints)}
    rows |= {name: vertices[v] for name, v in zip(MANO21.joints[16:], tips, strict=True)}
    return torch.stack([rows[name] for name in C21.joints])


def compare_with_twin(hand64, fields, lead, generator, scale):
    n = math.prod(lead)
    pose = scale * torch.randn(n, 45, generator=generator, dtype=torch.float64)
    shape = torch.randn(n, 10, generator=generator, dtype=torch.float64)
    turn = torch.stack([rotation_of(v) for v in torch.randn(n, 3, generator=generator, dtype=torch.float64)])
    pull = torch.randn(778, 3, generator=generator, dtype=torch.float64)
    pull_joints = torch.randn(21, 3, generator=generator, dtype=torch.float64)
    inputs = [t.requires_grad_() for t in (pose, shape, turn)]

    out = hand64(pose.view(*lead, 45), shape.view(*lead, 10), turn.view(*lead, 3, 3))
    assert out.vertices.shape == (*lead, 778, 3) and out.joints.shape == (*lead, 21, 3)
    fast = torch.autograd.grad((out.vertices * pull).sum() + (out.joints * pull_joints).sum(), inputs)

    total, vertices, joints = 0.0, [], []
    for i in range(n):
        vertices.append(skinned_naive(fields, pose[i], shape[i], turn[i]))
        joints.append(joints_naive(fields, vertices[-1], FINGERTIPS["smplx"].vertices))
        total = total + (vertices[-1] * pull).sum() + (joints[-1] * pull_joints).sum()
    slow = torch.autograd.grad(total, inputs)

    torch.testing.assert_close(out.vertices.reshape(n, 778, 3), torch.stack(vertices), rtol=0, atol=1e-7)
    torch.testing.assert_close(out.joints.reshape(n, 21, 3), torch.stack(joints), rtol=0, atol=1e-7)
    for a, b in zip(fast, slow, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_equals_naive_skinning(hand64, fields, lead, generator):
    compare_with_twin(hand64, fields, lead, generator, scale=0.5)


def test_gradient_at_the_flat_hand_equals_naive_skinning(hand64, fields, generator):
    """Where the length of every axis-angle vector is zero."""
    compare_with_twin(hand64, fields, (), generator, scale=0.0)


@pytest.mark.parametrize("backend", ["auto", "reference"])
def test_autocast_moves_no_vertex(backend, generator):
    hand, pose = HandModel(backend=backend), torch.randn(2, 45, generator=generator)
    with torch.autocast("cpu", torch.bfloat16):
        cast, joints = hand(pose), hand.skeleton(pose, torch.zeros(10))
        regressed = hand.regress_joints(cast.vertices)
    torch.testing.assert_close(cast, hand(pose), rtol=0, atol=0)
    torch.testing.assert_close(joints, hand.skeleton(pose, torch.zeros(10)), rtol=0, atol=0)
    torch.testing.assert_close(regressed, hand.regress_joints(cast.vertices), rtol=0, atol=0)


def test_zero_gives_the_template(hand):
    out = hand(torch.zeros(45), torch.zeros(10))
    torch.testing.assert_close(out.vertices, hand.template, rtol=0, atol=1e-6)
    torch.testing.assert_close(out.joints, hand.regress_joints(hand.template))


def test_frame_of_the_model(hand):
    joints = dict(zip(C21.joints, hand.regress_joints(hand.template), strict=True))
    assert joints["middle4"][0] < joints["middle1"][0] < joints["wrist"][0]  # fingers towards −x
    assert joints["thumb4"][2] > joints["wrist"][2]  # thumb towards +z
    torch.testing.assert_close(joints["wrist"], torch.tensor([0.096, 0.006, 0.006]), rtol=0, atol=1e-3)


def test_no_hands_at_all(hand):
    out = hand(torch.zeros(0, 45), torch.zeros(0, 10))
    assert out.vertices.shape == (0, 778, 3) and out.joints.shape == (0, 21, 3)


def test_vertices_and_joints_lie_side_by_side(hand, lead):
    """As `Tensor.view` and fast indexing want them, though the computation goes coordinate by coordinate."""
    out = hand(torch.zeros(*lead, 45), torch.zeros(*lead, 10))
    assert out.vertices.is_contiguous() and out.joints.is_contiguous()


def test_leading_shapes_of_shape_and_rotation_broadcast(hand, generator):
    pose = 0.3 * torch.randn(2, 3, 45, generator=generator)
    shape, turn = (
        torch.randn(10, generator=generator),
        rotation_of(torch.randn(3, generator=generator).double()).float(),
    )
    whole = hand(pose, shape, turn).vertices
    for i in range(2):
        for j in range(3):
            torch.testing.assert_close(whole[i, j], hand(pose[i, j], shape, turn).vertices, rtol=0, atol=1e-6)


def test_rotation_turns_about_the_wrist(hand, generator):
    pose, shape = hand.sample(3, generator)
    turn = torch.stack([rotation_of(v) for v in torch.randn(3, 3, generator=generator)])
    still, turned = hand(pose, shape).vertices, hand(pose, shape, turn).vertices
    wrist = hand.joint_template[0] + (shape @ hand.joint_shapes)[:, :3]
    expected = (still - wrist[:, None]) @ turn.mT + wrist[:, None]
    torch.testing.assert_close(turned, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("finger", ["index", "middle", "ring", "little"])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_positive_z_flexes_towards_the_palm(hand, finger, number):
    """The palm is at −y. Only the digit that is bent moves, from the joint on."""
    pose = torch.zeros(15, 3)
    pose[MANO16.index(f"{finger}{number}") - 1, 2] = 0.5
    moved = hand(pose.flatten(), torch.zeros(10)).joints - hand.regress_joints(hand.template)
    tip = C21.index(f"{finger}4")
    assert moved[tip, 1] < -5e-3
    others = [i for i, name in enumerate(C21.joints) if not name.startswith(finger)]
    assert moved[others].norm(dim=-1).max() < 2e-3  # the web between two fingers gives a little


def test_shape_is_linear_at_rest(hand, generator):
    a, b = torch.randn(2, 10, generator=generator)
    pose = torch.zeros(45)
    parts = [hand(pose, s).vertices - hand.template for s in (a, b, a + 2 * b)]
    torch.testing.assert_close(parts[0] + 2 * parts[1], parts[2], rtol=0, atol=1e-6)
    assert parts[0].abs().max() > 1e-3


def test_regressed_joints_are_linear(hand, lead, generator):
    a, b = torch.randn(2, *lead, 778, 3, generator=generator)
    whole = hand.regress_joints(2 * a - 3 * b)
    torch.testing.assert_close(whole, 2 * hand.regress_joints(a) - 3 * hand.regress_joints(b), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", FINGERTIPS)
def test_skeleton_is_that_of_the_mesh(name, lead, generator):
    """Values and gradients, with every set of tips."""
    hand = HandModel.load(fingertips=name).double()
    pose = 0.5 * torch.randn(*lead, 45, generator=generator, dtype=torch.float64)
    shape = torch.randn(*lead, 10, generator=generator, dtype=torch.float64)
    turn = rotation_of(torch.randn(3, generator=generator, dtype=torch.float64))
    pull = torch.randn(21, 3, generator=generator, dtype=torch.float64)
    inputs = [t.requires_grad_() for t in (pose, shape, turn)]
    fast, slow = hand.skeleton(*inputs), hand(*inputs).joints
    torch.testing.assert_close(fast, slow)
    gradients = [torch.autograd.grad((joints * pull).sum(), inputs) for joints in (fast, slow)]
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("name", FINGERTIPS)
def test_fingertip_sets(name):
    hand = HandModel.load(fingertips=name)
    tips = hand.regress_joints(hand.template)[[4, 8, 12, 16, 20]]
    assert torch.equal(tips, hand.template[list(FINGERTIPS[name].vertices)])


def test_holds_no_trained_weights(hand):
    assert not list(hand.parameters())
    assert hand.faces.dtype == torch.int64 and hand.faces.shape == (1538, 3)


def test_a_file_by_its_path(tmp_path, hand):
    fields = read_hand("openhand")
    path = tmp_path / "mine.npz"
    np.savez(path, **fields)
    mine = HandModel.load(path)
    assert mine.name == "mine.npz"
    assert torch.equal(mine.blend_shapes, hand.blend_shapes)


def test_unknown_fingertips():
    with pytest.raises(ValueError, match="unknown fingertip set 'mano': choose one of smplx, freihand"):
        HandModel.load(fingertips="mano")


def test_unknown_model():
    with pytest.raises(FileNotFoundError, match="no hand model at .*MANO_RIGHT.npz.*openhand"):
        HandModel.load("MANO_RIGHT.npz")


@pytest.mark.skipif("HANDLIB_UNCHECKED" in os.environ, reason="`make quick` leaves the checks out")
def test_shapes_are_checked_under_pytest(hand):
    """If the hook were not there, no annotation in handlib would be tested."""
    with pytest.raises(TypeCheckError):
        hand.skeleton(torch.zeros(44), torch.zeros(10))


@pytest.mark.parametrize("pose, shape", [(44, 10), (45, 11), (48, 10)])
def test_wrong_length_of_pose_or_shape(hand, unchecked, pose, shape):
    with pytest.raises(
        ValueError, match=rf"pose must end in 45 and shape in 10 numbers.* got \({pose},\), \({shape},\)"
    ):
        hand(torch.zeros(pose), torch.zeros(shape))


# ---- sampling


def test_samples_follow_the_generator(hand):
    draws = [hand.sample(5, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert torch.equal(draws[0][0], draws[1][0]) and torch.equal(draws[0][1], draws[1][1])
    assert not torch.equal(draws[0][0], draws[2][0]) and not torch.equal(draws[0][1], draws[2][1])


def test_a_generator_leaves_the_global_one_alone(hand, generator):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    hand.sample(4, generator)
    assert torch.equal(torch.get_rng_state(), before)


def test_samples_are_plausible(hand, generator):
    pose, shape = hand.sample(200, generator)
    assert pose.shape == (200, 45) and shape.shape == (200, 10)
    joints = hand(pose, shape).joints
    assert penetration_depth(joints, hand.bone_radii).max() <= TOLERATED_PENETRATION
    assert limit_excess(pose, joint_axes(hand), joint_limits()).abs().max() < math.radians(6)
    assert shape.abs().max() <= 2.5
    assert shape.std() == pytest.approx(1, abs=0.05) and shape.mean() == pytest.approx(0, abs=0.05)
    assert pose.std(0).max() > 0.2  # and not all alike


def test_no_samples_without_poses(tmp_path, generator):
    path = tmp_path / "bare.npz"
    np.savez(path, **{k: v for k, v in read_hand("openhand").items() if k != "hands_coeffs"})
    with pytest.raises(ValueError, match="bare.npz holds no pose samples .*hands_coeffs"):
        HandModel.load(path).sample(1, generator)
