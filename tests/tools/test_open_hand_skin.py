"""The builder of the open hand: skinning, weights, correctives, and the shapes of a population."""

import numpy as np
import torch
from open_hand import contact, correctives, geometry, numbering, shapes
from open_hand import weights as weighting
from open_hand.skinning import CHAINS, rotations, skin, skin_dual_quaternions

from handlib import HandModel


def test_skinning_is_that_of_the_run_time(fields):
    pose = 0.4 * np.random.default_rng(0).normal(size=(3, 45))
    bare = HandModel.load()
    bare.blend_shapes.zero_()
    wanted = bare(torch.as_tensor(pose, dtype=torch.float32), torch.zeros(3, 10)).vertices
    joints = fields["J_regressor"].astype(float) @ fields["v_template"].astype(float)
    found = skin(fields["v_template"].astype(float), joints, fields["weights"].astype(float), rotations(pose))
    np.testing.assert_allclose(found, wanted.numpy(), atol=2e-6)


def test_dual_quaternions_are_rigid_where_one_bone_rules(fields):
    """With one weight of 1 a vertex they are linear blend skinning."""
    vertices, joints = fields["v_template"].astype(float), fields["J"].astype(float)
    hard = np.eye(16)[fields["weights"].argmax(1)]
    local = rotations(0.8 * np.random.default_rng(0).normal(size=(4, 45)))
    blended = skin_dual_quaternions(vertices, joints, hard, local)
    np.testing.assert_allclose(blended, skin(vertices, joints, hard, local), atol=1e-12)


def test_bone_heat_follows_the_nearest_bone(fields, rest):
    vertices, joints, faces = rest
    tips = dict(zip(("thumb", "index", "middle", "ring", "little"), (744, 320, 443, 554, 671), strict=True))
    part = contact.parts(fields["weights"])
    found = weighting.bone_heat(vertices, faces, joints, part, tips)
    np.testing.assert_allclose(found.sum(1), 1)
    assert found.min() >= 0 and (found > 0).sum(1).max() <= 4
    for finger, tip in tips.items():
        assert found[tip].argmax() == CHAINS[finger][2] and found[tip].max() > 0.95


def test_largest_weights():
    found = weighting.largest(np.array([[0.5, 0.3, 0.15, 0.049, 0.001]]), 3)
    np.testing.assert_allclose(found, np.array([[0.5, 0.3, 0.15, 0, 0]]) / 0.95)


def test_stretch_is_relaxed(fields, rest):
    """Hard weights tear the webs of a spread and bent hand."""
    vertices, joints, faces = rest
    hard = np.eye(16)[fields["weights"].argmax(1)]
    pose = np.zeros((1, 45))
    pose[0, [2, 11]] = 1.2, -0.2
    a, b = geometry.edges(faces).T

    def worst(weights):
        posed = skin(vertices, joints, weights, rotations(pose))[0]
        lengths = [np.linalg.norm(x[a] - x[b], axis=1) for x in (posed, vertices)]
        return (lengths[0] / lengths[1]).max()

    soft = weighting.relax_stretch(hard, vertices, faces, joints, pose, np.array(numbering.WRIST_LOOP))
    assert worst(soft) < 0.7 * worst(hard)
    np.testing.assert_allclose(soft.sum(1), 1)


def test_correctives_learn_the_target(fields, rest):
    """One finger that bends: what they were fitted on they give back, and more than half on what they were not."""
    vertices, joints, faces = rest
    target = correctives.Target(vertices, faces, joints, fields["weights"].astype(float))
    flat = target(rotations(np.zeros((1, 45))))[0]
    np.testing.assert_allclose(flat, vertices, atol=1e-9)
    bend = np.zeros((12, 45))
    bend[:, [2, 5]] = np.linspace(0.1, 1.4, 12)[:, None]
    directions = correctives.fit_correctives(target, bend[::2])
    wanted = target(rotations(bend[1::2]))
    before, after = (
        np.linalg.norm(correctives.posed(target, d, bend[1::2]) - wanted, axis=-1).mean() for d in (None, directions)
    )
    assert after < 0.5 * before
    assert not directions[list(numbering.WRIST_LOOP)].any()


def test_principal_shapes_give_back_a_plane():
    """Hands that vary in two ways only."""
    rng = np.random.default_rng(0)
    base, ways = rng.normal(size=(30, 3)), rng.normal(size=(2, 30, 3))
    hands = base + np.einsum("nk,kvc->nvc", rng.normal(size=(100, 2)) * [3, 1], ways)
    lengths = hands[:, 0, 0]
    mean, components = shapes.principal_shapes(hands, lengths)
    np.testing.assert_allclose(mean, hands.mean(0))
    flat = components.reshape(90, 10)
    assert np.abs(flat[:, 2:]).max() < 1e-9
    assert components[0, 0, 0] > 0  # positive is longer
    residual = (hands - mean).reshape(100, -1)
    on_plane = residual @ np.linalg.pinv(flat[:, :2]).T @ flat[:, :2].T
    np.testing.assert_allclose(on_plane, residual, atol=1e-9)


def test_joint_regressor_finds_convex_joints():
    rng = np.random.default_rng(0)
    vertices = rng.normal(size=(40, 120, 3)) * 0.01
    true = np.zeros((16, 120))
    for j in range(16):
        near = np.argsort(np.linalg.norm(vertices.mean(0) - vertices.mean(0)[j], axis=1))[:4]
        true[j, near] = 0.25
    regressor = shapes.joint_regressor(vertices, true @ vertices)
    assert regressor.min() >= 0
    np.testing.assert_allclose(regressor.sum(1), 1)
    assert shapes.joint_errors(regressor, vertices, true @ vertices).max() < 1e-5
