import pytest
import torch

from handlib.data.real.palm import RULES, palm_to_wrist, wrist_to_palm
from handlib.hand.joints import C21


@pytest.mark.parametrize("rule", RULES)
def test_there_and_back(rule, lead, generator):
    joints = torch.randn(*lead, 21, 3, generator=generator)
    palm = wrist_to_palm(joints, rule)
    assert torch.equal(palm[..., 1:, :], joints[..., 1:, :])
    assert not torch.allclose(palm[..., 0, :], joints[..., 0, :])
    torch.testing.assert_close(palm_to_wrist(palm, rule), joints)
    assert torch.equal(palm_to_wrist(joints, ""), joints) and torch.equal(wrist_to_palm(joints, ""), joints)


def test_the_rules_of_public_code(generator):
    joints = torch.randn(21, 3, generator=generator)
    palm, ring, middle = joints[0], joints[C21.index("ring1")], joints[C21.index("middle1")]
    torch.testing.assert_close(palm_to_wrist(joints, "ring")[0], ring + 2 * (palm - ring))
    torch.testing.assert_close(palm_to_wrist(joints, "middle")[0], middle + 2.2 * (palm - middle))
    four = torch.stack([joints[C21.index(f"{finger}1")] for finger in ("index", "middle", "ring", "little")]).mean(0)
    torch.testing.assert_close(palm_to_wrist(joints, "mean")[0], four + 2.25 * (palm - four))
    torch.testing.assert_close(wrist_to_palm(joints, "half")[0], (joints[0] + middle) / 2)


@pytest.mark.parametrize("rule", RULES)
def test_the_palm_of_a_mesh_is_a_row_of_its_regressor(hand, rule):
    """Each row of the regressor for itself, so that the palm's is known; then a mesh that it never saw."""
    names, k = RULES[rule]
    rows = hand.joint_regressor
    anchor = rows[[C21.index(name) for name in names]].mean(0)
    palm = anchor + (rows[0] - anchor) / k
    pose, shape = hand.sample(2, torch.Generator().manual_seed(0))
    vertices = hand(pose, shape).vertices
    torch.testing.assert_close(wrist_to_palm(hand.regress_joints(vertices), rule)[:, 0], palm @ vertices)
    annotated = palm @ vertices + torch.tensor([0.01, 0, 0])  # off by 10 mm, and so is the score
    truth = torch.cat([annotated[:, None], hand.regress_joints(vertices)[:, 1:]], 1)
    back = wrist_to_palm(palm_to_wrist(truth, rule), rule)
    torch.testing.assert_close((back[:, 0] - palm @ vertices).norm(dim=-1), torch.full((2,), 0.01))


def test_unknown_rule():
    with pytest.raises(ValueError, match="unknown rule 'thumb'"):
        palm_to_wrist(torch.zeros(21, 3), "thumb")
