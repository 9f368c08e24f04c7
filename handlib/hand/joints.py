"""Joint orders, fingertip sets and chirality of a 21-joint hand.

Inside handlib every skeleton is in `C21` order: wrist, then thumb, index, middle, ring, little, each from base to tip.
Other orders exist only at the border, as named `JointOrder` objects; `convert` goes between any two of them.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

FINGERS = ("thumb", "index", "middle", "ring", "little")


@dataclass(frozen=True)
class JointOrder:
    """A named order of hand joints.

    `joints` holds one name per row of a skeleton, such as `"index2"`: the second joint of the index finger counted
    from its base (1 = MCP, 2 = PIP, 3 = DIP, 4 = tip; for the thumb CMC, MCP, IP, tip). Joint 0 is `"wrist"`, also for
    data sets that annotate a point of the palm instead; their loader handles the difference.
    """

    name: str
    joints: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.joints)

    def index(self, joint: str) -> int:
        """Returns the row of a joint."""
        return self.joints.index(joint)


def _order(name: str, fingers: tuple[str, ...], numbers: tuple[int, ...]) -> JointOrder:
    return JointOrder(name, ("wrist", *(f"{finger}{n}" for finger in fingers for n in numbers)))


_UP, _DOWN = (1, 2, 3, 4), (4, 3, 2, 1)  # base to tip, tip to base
_MANO_FINGERS = ("index", "middle", "little", "ring", "thumb")

C21 = _order("C21", FINGERS, _UP)  # FreiHAND, OpenPose, MediaPipe and handlib inside
MANO16 = _order("MANO16", _MANO_FINGERS, (1, 2, 3))  # the kinematic tree of a MANO file
MANO21 = JointOrder("MANO21", MANO16.joints + tuple(f"{f}4" for f in FINGERS))  # with the tips appended; HO3D
RHD21 = _order("RHD21", FINGERS, _DOWN)  # Rendered Handpose Dataset
STB21 = _order("STB21", tuple(reversed(FINGERS)), _UP)  # Stereo Tracking Benchmark
INTERHAND21 = JointOrder("INTERHAND21", (*RHD21.joints[1:], "wrist"))  # one hand of InterHand2.6M
ORDERS = {order.name: order for order in (C21, MANO16, MANO21, RHD21, STB21, INTERHAND21)}

TIPS = tuple(C21.index(f"{f}4") for f in FINGERS)  # rows of the fingertips in C21
MIDDLE_MCP = C21.index("middle1")  # the root of Eq. 8
BONES = tuple(  # (parent, child) rows in C21, base to tip, finger by finger
    (0 if n == 1 else C21.index(f"{f}{n - 1}"), C21.index(f"{f}{n}")) for f in FINGERS for n in _UP
)


def convert(joints: Float[Tensor, "*batch source c"], source: JointOrder, target: JointOrder) -> Tensor:
    """Reorders the rows of a skeleton from one joint order to another.

    Raises `ValueError` if `target` has joints that `source` lacks; the message names them.
    """
    if joints.shape[-2] != len(source):
        raise ValueError(f"{source.name} has {len(source)} joints, the array has {joints.shape[-2]} rows")
    missing = [j for j in target.joints if j not in source.joints]
    if missing:
        raise ValueError(f"{source.name} has no joints {', '.join(missing)}, which {target.name} needs")
    rows = torch.tensor([source.index(j) for j in target.joints], device=joints.device)
    return joints.index_select(-2, rows)


@dataclass(frozen=True)
class FingertipSet:
    """Five vertices of a 778-vertex hand that stand for the fingertips, thumb to little.

    Public code disagrees on them by 2 to 7 mm, so each set has a name, which every results file records.
    """

    name: str
    vertices: tuple[int, int, int, int, int]


FINGERTIPS = {
    tips.name: tips
    for tips in (
        FingertipSet("smplx", (744, 320, 443, 554, 671)),  # smplx.vertex_ids, HaMeR
        FingertipSet("freihand", (744, 320, 443, 555, 672)),  # the joints of FreiHAND
        FingertipSet("manopth", (745, 317, 444, 556, 673)),  # for right hands; for left hands it has 445 in the middle
        FingertipSet("paper", (745, 333, 444, 555, 672)),  # DHPE's own code
    )
}


def chirality(joints: Float[Tensor, "*batch 21 3"]) -> Float[Tensor, "*batch"]:
    """Returns +1 for a right hand, −1 for a left one (C21, any right-handed frame).

    The sign tells on which side of the palm's plane (wrist, index MCP, little MCP) the MCP of the thumb lies, since a
    thumb stands in front of its palm. The bend of the fingers would not work for straight fingers.
    """
    wrist, index, little = joints[..., 0, :], joints[..., C21.index("index1"), :], joints[..., C21.index("little1"), :]
    palm = torch.linalg.cross(index - wrist, little - wrist, dim=-1)
    return torch.sign((palm * (joints[..., C21.index("thumb2"), :] - wrist)).sum(-1))
