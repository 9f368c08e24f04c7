"""The anatomy of a pose: joint angles, their limits, and a Gaussian prior.

A joint of the hand model turns by an axis-angle vector. This module calls its coordinates along three anatomical axes
the joint's angles, in radians: *twist* about the bone towards the fingertip, *flexion* towards the palm, and
*abduction* about the third axis (index to little: towards the thumb). Joints are in MANO's order, as in `pose`.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from .joints import C21, MANO16
from .model import HandModel

SOFTNESS = 5.0  # degrees beyond a limit that cost as much as one standard deviation
SIGMA_FLOOR = 0.03  # radians; `HandModel.sample` adds noise of this size to the pose samples
_SIGMA_UNKNOWN = 0.4  # radians, for a model without pose samples

# Degrees (twist, flexion, abduction), low and high. Flexion and abduction follow the active ranges of motion of the
# AAOS (fingers: MCP −45…90 and ±20, PIP 0…100, DIP 0…90; thumb: MCP 0…50, IP −20…80), five to fifteen degrees wider
# because healthy hands exceed them. The hyper-extension of the MCP is narrower, since it takes an external force. PIP,
# DIP and the thumb's IP are hinges. The limits of the thumb's CMC are our own: in MANO's flat hand, where angles are
# zero, the CMC is half abducted, and opposition is a negative twist.
_LIMITS = {
    "finger1": ((-22, 22), (-30, 95), (-25, 25)),
    "finger2": ((-4, 4), (-8, 110), (-4, 4)),
    "finger3": ((-4, 4), (-12, 90), (-4, 4)),
    "thumb1": ((-50, 20), (-30, 65), (-20, 60)),
    "thumb2": ((-15, 15), (-15, 60), (-10, 10)),
    "thumb3": ((-6, 6), (-25, 85), (-6, 6)),
}
# In the model's frame, before they are made orthogonal to the bone; the thumbnail faces away from the index finger.
_FLEXION_AXIS = {"finger": (0.0, 0.0, 1.0), "thumb": (0.4, -0.9, 0.2)}


def joint_axes(hand: HandModel) -> Float[Tensor, "15 3 3"]:
    """Returns the unit axes of twist, flexion and abduction of each joint as rows, in the model's frame."""
    rest = hand.regress_joints(hand.template)
    axes = []
    for name in MANO16.joints[1:]:
        finger, number = name[:-1], int(name[-1])
        bone = rest[C21.index(f"{finger}{number + 1}")] - rest[C21.index(name)]
        bone = bone / bone.norm()
        flexion = rest.new_tensor(_FLEXION_AXIS["thumb" if finger == "thumb" else "finger"])
        flexion = flexion - (flexion @ bone) * bone
        flexion = flexion / flexion.norm()
        axes.append(torch.stack([bone, flexion, torch.linalg.cross(bone, flexion)]))
    return torch.stack(axes)


def joint_angles(pose: Float[Tensor, "*batch 45"], axes: Float[Tensor, "15 3 3"]) -> Float[Tensor, "*batch 15 3"]:
    """Returns twist, flexion and abduction of every joint in radians: a = A·θ."""
    return (axes @ pose.unflatten(-1, (15, 3))[..., None])[..., 0]


def joint_limits() -> Float[Tensor, "2 15 3"]:
    """Returns the lowest and the highest twist, flexion and abduction of every joint, in radians."""
    rows = [_LIMITS[name if name.startswith("thumb") else f"finger{name[-1]}"] for name in MANO16.joints[1:]]
    return torch.deg2rad(torch.tensor(rows, dtype=torch.float32)).permute(2, 0, 1).contiguous()


def limit_excess(
    pose: Float[Tensor, "*batch 45"], axes: Float[Tensor, "15 3 3"], limits: Float[Tensor, "2 15 3"]
) -> Float[Tensor, "*batch 15 3"]:
    """Returns by how many radians each angle exceeds its range: positive above, negative below, 0 inside."""
    angles = joint_angles(pose, axes)
    low, high = limits
    return (angles - high).clamp(min=0) - (low - angles).clamp(min=0)


class PosePrior(NamedTuple):
    """Gaussian of the pose, θ = mean + z·(σ·basis) with z ~ N(0, 1), over the directions in which the samples vary."""

    mean: Float[Tensor, "45"]
    basis: Float[Tensor, "k 45"]  # σ times unit vectors, largest σ first

    @classmethod
    def of(cls, hand: HandModel) -> "PosePrior":
        """Computes mean and principal directions of the model's pose samples; σ is at least `SIGMA_FLOOR`.

        Directions in which the samples do not vary, such as sideways at a hinge, are left out.
        """
        if not len(hand.pose_samples):
            return cls(hand.mean_pose, _SIGMA_UNKNOWN * hand.pose_components)
        mean = hand.pose_samples.mean(0)
        _, values, directions = torch.linalg.svd(hand.pose_samples - mean, full_matrices=False)
        sigma = values / len(hand.pose_samples) ** 0.5
        kept = sigma > SIGMA_FLOOR / 10
        return cls(mean, sigma[kept, None].clamp(min=SIGMA_FLOOR) * directions[kept])

    def pose(self, z: Float[Tensor, "*batch k"]) -> Float[Tensor, "*batch 45"]:
        return self.mean + z @ self.basis

    def whiten(self, pose: Float[Tensor, "*batch 45"]) -> Float[Tensor, "*batch k"]:
        """Returns z of a pose: its coordinates in standard deviations."""
        return (pose - self.mean) @ (self.basis / self.basis.square().sum(1, keepdim=True)).mT
