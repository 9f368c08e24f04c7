"""Converts joint 0 between the wrist and the palm point that older data sets and their protocols use instead.

Every rule in public code puts the palm point on the segment from the wrist to a point a at the knuckles:

    wrist = a + k (palm − a),        palm = a + (wrist − a) / k

| rule | a | k |
|---|---|---|
| "ring" | MCP of the ring finger | 2 |
| "middle" | MCP of the middle finger | 2.2 |
| "mean" | mean of the four MCPs, index to little | 2.25 |
| "half" | MCP of the middle finger | 2, RHD's palm in the field's reference code |

A wrist computed from a palm point is an estimate; converting it back by the same rule gives the annotated palm point.
Of a mesh, whose joints are linear in its vertices, the palm point is one more row of the joint regressor: a score
compares this row with the annotated point, and no estimated wrist is left in it.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ...hand.joints import C21

RULES = {
    "ring": (("ring1",), 2.0),
    "middle": (("middle1",), 2.2),
    "mean": (("index1", "middle1", "ring1", "little1"), 2.25),
    "half": (("middle1",), 2.0),
}


def palm_to_wrist(joints: Float[Tensor, "*batch 21 3"], rule: str) -> Float[Tensor, "*batch 21 3"]:
    """Replaces the palm point in row 0 by the wrist; the rule "": it is the wrist already."""
    if not rule:
        return joints
    anchor, k = _anchor(joints, rule)
    return torch.cat([anchor + k * (joints[..., :1, :] - anchor), joints[..., 1:, :]], -2)


def wrist_to_palm(joints: Float[Tensor, "*batch 21 3"], rule: str) -> Float[Tensor, "*batch 21 3"]:
    """Replaces the wrist in row 0 by the palm point of a protocol; the rule "" keeps the wrist."""
    if not rule:
        return joints
    anchor, k = _anchor(joints, rule)
    return torch.cat([anchor + (joints[..., :1, :] - anchor) / k, joints[..., 1:, :]], -2)


def palm_visible(visible: Bool[Tensor, "*batch 21"], rule: str) -> Bool[Tensor, "*batch 21"]:
    """Returns which joints of `wrist_to_palm` are visible.

    As in the field's reference code, the palm point is visible if the wrist or a knuckle of the rule is.
    """
    if not rule:
        return visible
    _check(rule)
    rows = [0, *(C21.index(name) for name in RULES[rule][0])]
    return torch.cat([visible[..., rows].any(-1, keepdim=True), visible[..., 1:]], -1)


def _check(rule: str) -> None:
    if rule not in RULES:
        raise ValueError(f"unknown rule '{rule}' for the palm: choose one of {', '.join(RULES)}")


def _anchor(joints: Tensor, rule: str) -> tuple[Tensor, float]:
    _check(rule)
    names, k = RULES[rule]
    rows = [C21.index(name) for name in names]
    return joints[..., rows, :].mean(-2, keepdim=True), k
