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


def test_the_rules_of_public_code(generator):
    joints = torch.randn(21, 3, generator=generator)
    palm, ring, middle = joints[0], joints[C21.index("ring1")], joints[C21.index("middle1")]
    torch.testing.assert_close(palm_to_wrist(joints, "ring")[0], ring + 2 * (palm - ring))
    torch.testing.assert_close(palm_to_wrist(joints, "middle")[0], middle + 2.2 * (palm - middle))
    four = torch.stack([joints[C21.index(f"{finger}1")] for finger in ("index", "middle", "ring", "little")]).mean(0)
    torch.testing.assert_close(palm_to_wrist(joints, "mean")[0], four + 2.25 * (palm - four))
    torch.testing.assert_close(wrist_to_palm(joints, "half")[0], (joints[0] + middle) / 2)


def test_unknown_rule():
    with pytest.raises(ValueError, match="unknown rule 'thumb'"):
        palm_to_wrist(torch.zeros(21, 3), "thumb")
