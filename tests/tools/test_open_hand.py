"""The open hand as it ships, against its acceptance criteria; its builder's parts are tested in the files beside."""

import hashlib

import numpy as np
import torch
from open_hand import geometry, measure

from handlib import HandModel
from handlib.hand.anatomy import joint_axes
from handlib.hand.files import OPENHAND, read_hand


def test_the_asset_meets_every_criterion(hand, fields):
    found = measure.all_of_the_asset(fields, hand)
    assert len(found) > 40
    assert not [c for c in found if not c.passed]


def test_a_worse_hand_fails(hand, fields):
    """The criteria see what they are there for."""
    worse = dict(fields)
    worse["f"] = fields["f"].copy()
    worse["f"][0] = worse["f"][0][::-1]
    worse["weights"] = fields["weights"] * 1.01
    worse["shapedirs"] = 0.1 * fields["shapedirs"]
    worse["hands_coeffs"] = 2 * fields["hands_coeffs"]
    broken = [*measure.topology(worse)[5:7], *measure.binding(worse), *measure.sizes(worse, HandModel.load())]
    broken += measure.pose_space(worse, measure.rest_axes(hand))
    failed = {c.name for c in broken if not c.passed}
    assert failed >= {
        "edges that two faces run through the same way",
        "weights, |sum − 1|",
        "smallest component, RMS over the vertices",
        "pose samples beyond the ranges of motion",
    }


def test_hash_beside_the_asset():
    noted = OPENHAND.with_suffix(".sha256").read_text(encoding="utf-8").split()
    assert noted == [hashlib.sha256(OPENHAND.read_bytes()).hexdigest(), OPENHAND.name]
    assert OPENHAND.stat().st_size <= 1e6


def test_axes_are_those_of_the_anatomy(hand):
    np.testing.assert_allclose(measure.rest_axes(hand), joint_axes(hand).numpy(), atol=1e-4)


def test_named_poses_by_name(hand):
    fist, flat = hand.named_poses["fist"], hand.named_poses["flat"]
    assert fist.shape == (45,) and not flat.any()
    joints = hand(torch.stack([fist, flat]), torch.zeros(2, 10)).joints
    reach = (joints[:, [8, 12, 16, 20]] - joints[:, :1]).norm(dim=-1)
    assert (reach[0] < 0.65 * reach[1]).all()  # the tips of the fist are near the wrist


def test_a_file_without_names_has_no_named_poses(tmp_path):
    path = tmp_path / "bare.npz"
    bare = {k: v for k, v in read_hand("openhand").items() if k not in ("named_poses", "pose_names", "vt", "ft")}
    np.savez(path, **bare)
    bare = HandModel.load(path)
    assert bare.named_poses == {} and bare.uv.shape == (0, 2) and bare.uv_faces.shape == (0, 3)


def test_texture_coordinates_are_a_map(hand):
    """Nearly no triangle of the texture is turned over, none bridges its islands, and all lie in the unit square."""
    uv = hand.uv.numpy()
    assert uv.min() >= 0 and uv.max() <= 1 and hand.uv_faces.max() < len(uv)
    a, b, c = (uv[hand.uv_faces[:, i]] for i in range(3))
    area = (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]
    assert (area > 0).mean() > 0.98
    assert max(np.abs(b - a).max(), np.abs(c - b).max(), np.abs(a - c).max()) < 0.05


def test_palm_is_paler_than_the_back(hand):
    normals = geometry.vertex_normals(hand.template.numpy(), hand.faces.numpy())
    assert hand.vertex_colors[normals[:, 1] < -0.7].mean() > hand.vertex_colors[normals[:, 1] > 0.7].mean() + 0.03
