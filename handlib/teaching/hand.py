"""Assignment 1: the hand. Skinning, a pinch, and rotations from six numbers."""

import functools

import torch
from torch import Generator, Tensor
from torch.nn import functional

from ..hand import HandModel
from ..hand.files import PARENTS
from ..hand.rotations import rotvec_to_rotmat
from .compare import as_tensor
from .exercise import Assignment, exercise


@functools.cache
def open_hand() -> HandModel:
    return HandModel.load("openhand")


def bent(generator: Generator) -> Tensor:
    """A pose with all fingers bent by one angle, and the thumb of the mean pose."""
    pose = torch.zeros(15, 3)
    pose[:12, 2] = 0.75 + 0.15 * torch.rand((), generator=generator)
    pose[12:] = open_hand().mean_pose.view(15, 3)[12:]
    return pose.flatten()


# ---- A1.1


def _skeleton(generator: Generator) -> tuple:
    hand = open_hand()
    some = torch.randperm(778, generator=generator)[:100]
    turns = torch.randn(16, 3, generator=generator) * 0.5
    return hand.template[some], hand.joint_template, hand.weights[some], rotvec_to_rotmat(turns), list(PARENTS)


@exercise("A1.1", _skeleton, points=4, gives="mesh")
def skin(rest, joints, weights, rotations, parents):
    """Write linear blend skinning: turn each joint relative to its parent, and let each vertex follow its bones.

    `rest` (v, 3) and `joints` (16, 3) are the flat hand, in meters; `weights` (v, 16) sum to one for each vertex;
    `rotations` (16, 3, 3) are relative to the parent; `parents[j]` is the parent of joint j, −1 for the wrist, and
    always smaller than j. Return the posed vertices (v, 3).
    """
    motions = []
    for j, parent in enumerate(parents):
        local = torch.eye(4)
        local[:3, :3] = rotations[j]
        local[:3, 3] = joints[j] - rotations[j] @ joints[j]
        motions.append(local if parent < 0 else motions[parent] @ local)
    blended = torch.einsum("ij,jab->iab", weights, torch.stack(motions))
    return (blended[:, :3, :3] @ rest[..., None])[..., 0] + blended[:, :3, 3]


@skin.mistake("each joint must turn about itself, not about the origin: x goes to R (x − j) + j")
def _(rest, joints, weights, rotations, parents):
    return skin(rest, torch.zeros_like(joints), weights, rotations, parents)


@skin.mistake("each joint moves with its own rotation alone: put the motion of its parent before it")
def _(rest, joints, weights, rotations, parents):
    return skin(rest, joints, weights, rotations, [-1] * len(parents))


@skin.mistake("the rotations are applied the wrong way round: R, not its transpose")
def _(rest, joints, weights, rotations, parents):
    return skin(rest, joints, weights, rotations.mT, parents)


@skin.mistake("the order of the product is wrong: the parent's motion stands on the left")
def _(rest, joints, weights, rotations, parents):
    motions = []
    for j, parent in enumerate(parents):
        local = torch.eye(4)
        local[:3, :3] = rotations[j]
        local[:3, 3] = joints[j] - rotations[j] @ joints[j]
        motions.append(local if parent < 0 else local @ motions[parent])
    blended = torch.einsum("ij,jab->iab", weights, torch.stack(motions))
    return (blended[:, :3, :3] @ rest[..., None])[..., 0] + blended[:, :3, 3]


@skin.mistake("these motions take points relative to their joint: subtract the joint's place in the flat hand first")
def _(rest, joints, weights, rotations, parents):
    alone = torch.eye(16)[:, None].expand(-1, len(rest), -1)
    moved = [skin(rest + joint, joints, one, rotations, parents) for joint, one in zip(joints, alone, strict=True)]
    return torch.einsum("ij,jia->ia", weights, torch.stack(moved))


# ---- A1.2


def _pinches(answer, hand, pose) -> str | None:
    given = as_tensor(answer, (45,))
    if isinstance(given, str):
        return f"a pose of 45 numbers is asked for; {given}"
    changed = [n for n in range(45) if not 36 <= n < 39 and abs(given[n] - pose[n]) > 1e-6]
    if changed:
        return f"only entries 36, 37 and 38 may change; you also change {changed[0]}"
    joints = hand(given, torch.zeros(10)).joints
    gap_mm = 1000 * float((joints[4] - joints[8]).norm())
    return None if gap_mm < 15 else f"the tips of thumb and index finger are {gap_mm:.0f} mm apart"


@exercise("A1.2", lambda g: (open_hand(), bent(g)), judge=_pinches, points=3, trials=2)
def pinch(hand, pose):
    """Let the thumb touch the index finger: change the first joint of the thumb, and nothing else.

    `pose` (45) has bent fingers. Its entries 36 to 38 are the axis-angle of joint 12, the first of the thumb. Return a
    pose (45) for which the tips of thumb and index finger, rows 4 and 8 of `hand(pose, torch.zeros(10)).joints`, are
    less than 15 mm apart. Gradient descent finds it.
    """
    start, shape = pose.clone(), torch.zeros(10)
    turn = start[36:39].clone().requires_grad_()
    optimizer = torch.optim.Adam([turn], 0.05)
    for _ in range(150):
        joints = hand(torch.cat([start[:36], turn, start[39:]]), shape).joints
        gap = (joints[4] - joints[8]).norm()
        optimizer.zero_grad()
        gap.backward()
        optimizer.step()
    return torch.cat([start[:36], turn.detach(), start[39:]])


# ---- A1.3


@exercise("A1.3", lambda g: (torch.randn(5, 3, 2, generator=g),), points=3, gives="matrix")
def rotation_from_6d(columns):
    """Make rotation matrices (n, 3, 3) of two columns each, `columns` (n, 3, 2).

    The first column keeps its direction. The second keeps what is at a right angle to the first. The third makes the
    matrix a rotation: its determinant is +1.
    """
    first = functional.normalize(columns[..., 0], dim=-1)
    second = columns[..., 1] - (first * columns[..., 1]).sum(-1, keepdim=True) * first
    second = functional.normalize(second, dim=-1)
    return torch.stack([first, second, torch.linalg.cross(first, second)], -1)


@rotation_from_6d.mistake(
    "the columns have length one, but no right angle: subtract from the second its part along the first"
)
def _oblique(columns):
    first, second = functional.normalize(columns, dim=-2).unbind(-1)
    return torch.stack([first, second, torch.linalg.cross(first, second)], -1)


@rotation_from_6d.mistake("the first column must have length one before its part is subtracted from the second")
def _(columns):
    first, second = columns.unbind(-1)
    return _oblique(torch.stack([first, second - (first * second).sum(-1, keepdim=True) * first], -1))


@rotation_from_6d.mistake("the second column must have length one: normalize it after the subtraction")
def _(columns):
    first, second = functional.normalize(columns[..., 0], dim=-1), columns[..., 1]
    second = second - (first * second).sum(-1, keepdim=True) * first
    return torch.stack([first, second, torch.linalg.cross(first, second)], -1)


@rotation_from_6d.mistake("the determinant is −1, which is a mirror: exchange the factors of the cross product")
def _(columns):
    return rotation_from_6d(columns) * torch.tensor([1.0, 1.0, -1.0])


@rotation_from_6d.mistake("the matrix is transposed: the vectors are its columns")
def _(columns):
    return rotation_from_6d(columns).mT


A1 = Assignment(
    "A1",
    "The hand",
    "hand",
    (skin, pinch, rotation_from_6d),
    rubric=((2, "Two sentences and a number say what skinning alone does to a bent knuckle, and why."),),
)


# ---- exercises of the chapter


@exercise("hand-linear", gives="factor")
def growth():
    """How many times as far as `b` does the shape `2 * b` move the joints from those of the mean shape?"""
    return 2.0


CHAPTER = (growth,)
