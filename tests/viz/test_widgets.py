"""The hand explorer's numbers and its page, in Python; what the page does in a browser is in test_explorer.py."""

import pytest
import torch

from handlib.hand import HandModel
from handlib.hand.anatomy import joint_angles, joint_axes
from handlib.hand.collision import penetration_depth
from handlib.viz.widgets import bend, hand_explorer, named_poses, synergies


def test_poses_of_the_model(hand):
    poses = named_poses(hand)
    assert list(poses)[:2] == ["mean", "flat"] and set(hand.named_poses) <= set(poses)
    assert torch.equal(poses["flat"], torch.zeros(45)) and torch.equal(poses["mean"], hand.mean_pose)
    assert torch.equal(poses["fist"], hand.named_poses["fist"])


def test_a_hand_without_named_poses_has_possible_ones(hand, monkeypatch):
    monkeypatch.setattr(HandModel, "named_poses", property(lambda self: {}))
    poses = named_poses(hand)
    assert list(poses) == ["mean", "flat", "fist", "point", "victory"]
    for name, pose in poses.items():
        joints = hand.skeleton(pose, torch.zeros(10))
        assert penetration_depth(joints, hand.bone_radii) < 1e-3, f"digits of '{name}' overlap"


def test_bend_turns_each_joint_by_its_share(hand):
    pose = bend(hand, 0.5, 0, 1, 0, 0.25, 0)
    found = torch.rad2deg(joint_angles(pose, joint_axes(hand)))
    full = synergies()
    torch.testing.assert_close(found, 0.5 * full["thumb"] + full["middle"] + 0.25 * full["little"], atol=1e-3, rtol=0)
    straight, bent = (hand.skeleton(p, torch.zeros(10)) for p in (torch.zeros(45), pose))
    assert straight[12, 0] < bent[12, 0] - 0.05  # the middle finger's tip comes back towards the wrist


def test_page_is_light_and_the_same_on_each_call(hand):
    explorer = hand_explorer(hand)
    first, second = explorer.html(), explorer._repr_html_()
    assert len(first.encode()) < 600_000
    ids = [html.split('<div id="')[1].split('"')[0] for html in (first, second)]
    assert ids[0] != ids[1], "two outputs on a page may not share an id"
    assert first.replace(*ids) == second


def test_names_cannot_leave_the_script(hand):
    html = hand_explorer(hand, {"</script><b>fist": torch.zeros(45)}).html()
    assert html.count("</script>") == 1 and "<b>" not in html


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"poses": {}}, "poses is empty"),
        ({"poses": {"fist": torch.zeros(15, 3)}}, r"pose 'fist' must be 45 finite numbers.*\(15, 3\)"),
        ({"poses": {"fist": torch.full((45,), torch.nan)}}, "pose 'fist' must be 45 finite numbers"),
    ],
)
def test_wrong_arguments(hand, wrong, message):
    with pytest.raises(ValueError, match=message):
        hand_explorer(hand, **wrong)
