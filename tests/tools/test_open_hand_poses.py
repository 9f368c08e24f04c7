"""The builder of the open hand: angles, the prior of poses, and poses with names."""

import numpy as np
import torch
from open_hand import contact, measure, named, poses, prior, sheet
from open_hand.skinning import CHAINS
from PIL import Image

from handlib import HandModel


def test_angles_and_poses_are_inverses(hand):
    axes = measure.rest_axes(hand)
    angles = np.random.default_rng(0).normal(0, 30, (5, 15, 3))
    np.testing.assert_allclose(poses.to_angles(poses.to_pose(angles, axes), axes), angles, atol=1e-9)


def test_bent_fingers_converge(hand):
    axes, bent = measure.rest_axes(hand), (0, 85, 0, 0)
    angles = poses.hand_angles(index=bent, middle=bent, ring=bent, little=bent)
    joints = hand(torch.as_tensor(poses.to_pose(angles, axes), dtype=torch.float32), torch.zeros(10)).joints
    flat = hand.regress_joints(hand.template)
    width = [(j[5 + 1] - j[17 + 1]).norm() for j in (flat, joints)]  # between the outer PIPs
    assert width[1] < 0.9 * width[0]


def test_prior_is_within_the_ranges():
    angles = prior.draw_angles(500, np.random.default_rng(0))
    low, high = prior.ranges()
    assert (angles >= low).all() and (angles <= high).all()
    pip, dip = angles[:, [1, 4, 7, 10], 1].ravel(), angles[:, [2, 5, 8, 11], 1].ravel()
    assert np.corrcoef(pip, dip)[0, 1] > 0.9  # one tendon
    assert angles[:, 0, 1].std() > 20


def test_only_clear_poses_are_drawn():
    angles, share = prior.draw_clear(100, np.random.default_rng(0), lambda a: a[:, 0, 1] > 30)
    assert angles.shape == (100, 15, 3) and (angles[:, 0, 1] > 30).all() and 0.1 < share < 0.9


def test_components_of_poses():
    drawn = np.random.default_rng(0).normal(size=(200, 45)) * np.linspace(3, 0.1, 45)
    mean, components, coefficients = prior.pose_components(drawn)
    np.testing.assert_allclose(mean + coefficients @ components, drawn, atol=1e-12)
    assert (np.diff(coefficients.std(0)) < 0).all()


def test_poses_are_solved(hand, fields):
    """A pinch that is written a little open: the pads come nearer, other fingers stay, and so do the ranges."""
    axes = measure.rest_axes(hand)
    judge = contact.Contact(fields["v_template"].astype(float), fields["f"].astype(int), fields["weights"])
    written = named.definitions()["pinch"]
    solved = named.solve(HandModel.load(), axes, judge, {"pinch": written}, steps=60)["pinch"]
    pads = [named.landmark(hand, axes, place) for place in ("index pad", "thumb pad")]

    def gap(angles):
        pose = torch.as_tensor(poses.to_pose(angles, axes), dtype=torch.float32)
        one, other = hand(pose, torch.zeros(10)).vertices[pads]
        return float((one - other).norm())

    assert gap(solved) < 0.5 * gap(written.angles)
    little = [j - 1 for j in CHAINS["little"]]
    np.testing.assert_array_equal(solved[little, :2], written.angles[little, :2])  # it may spread and nothing else
    low, high = prior.ranges()
    assert (solved >= low).all() and (solved <= high).all()


def test_sheet_of_a_pose(tmp_path):
    sheet.draw("openhand", tmp_path / "sheet.png", ("fist",))
    picture = np.asarray(Image.open(tmp_path / "sheet.png"))
    assert picture.shape == (sheet.SIZE, 6 * sheet.SIZE, 3)
    for i in range(6):
        side = picture[20:, i * sheet.SIZE : (i + 1) * sheet.SIZE]
        assert 0.03 < (side < 250).any(-1).mean() < 0.5
