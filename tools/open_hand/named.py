"""Named poses: a few common ones, and the digits 0 … 9 of American Sign Language.

A pose is defined by angles and by landmarks that touch, such as the pads of thumb and index finger. The angles are then
changed as little as possible, within the ranges of motion, until these landmarks meet and no digits intersect.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from handlib import HandModel
from handlib.hand.joints import C21, MANO16
from handlib.hand.model import TOLERATED_PENETRATION

from .contact import Contact
from .poses import hand_angles
from .prior import ranges
from .skinning import CHAINS

STEPS, REFRESH = 450, 5
GAP, DEEP, AWAY = 1.2e-3, 0.35e-3, 8.0  # meters, meters, degrees that cost 1 each
STRAIGHT, CURLED = (0, 2, 4, 3), (0, 84, 98, 62)
_ACROSS = {"thumb1": (-27, 18, 40), "thumb2": (0, 27, 0), "thumb3": (0, 33, 0)}
_OPPOSED = {"thumb1": (-35, 15, 38), "thumb2": (0, 18, 0), "thumb3": (0, 22, 0)}


class Pose(NamedTuple):
    """The definition of a pose."""

    angles: np.ndarray  # (15, 3) degrees
    touching: tuple[tuple[str, str], ...] = ()  # pairs of landmarks that meet
    free: tuple[str, ...] = ("thumb",)  # digits that may bend; if there are any, all fingers may spread


def _fold(
    thumb: dict, *straight: str, curled: tuple = CURLED, extended: tuple = STRAIGHT, **others: tuple
) -> np.ndarray:
    fingers = {f: extended if f in straight else curled for f in ("index", "middle", "ring", "little")}
    return hand_angles(thumb, **(fingers | others))


def definitions() -> dict[str, Pose]:
    """Returns the definitions of all named poses."""
    fan = {"index": (9, 0, 2, 2), "middle": (1, 0, 2, 2), "ring": (-6, 0, 2, 2), "little": (-12, 0, 2, 2)}
    half = {"index": (0, 40, 48, 26), "middle": (0, 44, 50, 28), "ring": (0, 46, 50, 28), "little": (0, 48, 46, 26)}
    curve = {"index": (0, 44, 62, 34), "middle": (0, 52, 66, 38), "ring": (0, 56, 66, 38), "little": (0, 56, 60, 34)}
    out = {"thumb1": (5, -22, -4), "thumb2": (0, -4, 0), "thumb3": (0, -10, 0)}
    lax = {"thumb1": (-12, 4, 8), "thumb2": (0, 8, 0), "thumb3": (0, 12, 0)}
    rest = {"index": (0, 14, 22, 12), "middle": (0, 18, 25, 13), "ring": (0, 20, 26, 14), "little": (0, 22, 24, 13)}

    def meeting(finger: str, angles: tuple) -> Pose:
        fingers = {f: (a, 4, 6, 4) for f, (a, *_) in fan.items()} | {finger: angles}
        return Pose(hand_angles(_OPPOSED, **fingers), ((f"{finger} pad", "thumb pad"),), ("thumb", finger))

    return {
        "flat": Pose(np.zeros((15, 3)), free=()),
        "relaxed": Pose(hand_angles(lax, **rest), free=()),
        "fist": Pose(_fold(_ACROSS), (("thumb pad", "index back"),)),
        "pinch": Pose(
            hand_angles(
                _OPPOSED, index=(0, 46, 46, 24), middle=(0, 30, 30, 16), ring=(0, 34, 34, 18), little=(0, 38, 34, 18)
            ),
            (("index pad", "thumb pad"),),
            ("thumb", "index"),
        ),
        "point": Pose(_fold(_ACROSS, "index"), (("thumb pad", "middle back"),),),
        "spread": Pose(hand_angles(out, **{f: (1.25 * a, -6, 1, 1) for f, (a, *_) in fan.items()}), free=()),
        "thumbs-up": Pose(_fold({"thumb1": (0, -24, -14), "thumb2": (0, -8, 0), "thumb3": (0, -18, 0)}), (),),
        "grasp": Pose(hand_angles({"thumb1": (-30, 4, 34), "thumb2": (0, 12, 0), "thumb3": (0, 24, 0)}, **half)),
        "asl-0": Pose(hand_angles(_OPPOSED, **curve), (("index pad", "thumb pad"),), ("thumb", "index")),
        "asl-1": Pose(_fold(_ACROSS, "index"), (("thumb pad", "middle back"),),),
        "asl-2": Pose(
            _fold(_ACROSS, index=(8, 2, 4, 3), middle=(-6, 2, 4, 3)), (("thumb pad", "ring back"),)
        ),
        "asl-3": Pose(_fold(out, index=(8, 2, 4, 3), middle=(-4, 2, 4, 3)), (),),
        "asl-4": Pose(
            hand_angles({"thumb1": (-30, 48, 30), "thumb2": (0, 30, 0), "thumb3": (0, 30, 0)}, **fan),
            (("thumb pad", "ring palm"),),
        ),
        "asl-5": Pose(hand_angles(out, **fan), free=()),
        "asl-6": meeting("little", (5, 74, 54, 28)),
        "asl-7": meeting("ring", (0, 69, 58, 32)),
        "asl-8": meeting("middle", (0, 60, 56, 32)),
        "asl-9": meeting("index", (0, 50, 54, 28)),
    }  # fmt: skip


def landmark(hand: HandModel, axes: np.ndarray, name: str) -> int:
    """Returns the vertex of a landmark such as "index pad": pad, side or back of a digit, or palm below a finger."""
    finger, side = name.split()
    vertices, owner = hand.template.double().numpy(), hand.weights.argmax(1).numpy()
    joints = hand.regress_joints(hand.template).double().numpy()
    if side == "palm":
        below = joints[C21.index(f"{finger}1")] + [0.004, -0.03, 0]
        palm = np.flatnonzero(owner == 0)
        return int(palm[np.argmin(np.linalg.norm(vertices[palm] - below, axis=1))])
    bone = 2 if side == "back" else 3
    start, end = joints[C21.index(f"{finger}{bone}")], joints[C21.index(f"{finger}{bone + 1}")]
    _, flexion, dorsal = axes[MANO16.index(f"{finger}{bone}") - 1]
    towards = {"pad": -dorsal, "back": dorsal, "side": flexion - dorsal}[side]
    along = (vertices - start) @ (end - start) / ((end - start) @ (end - start))
    low, high = (0.3, 0.7) if side == "back" else (0.6, 0.95)
    member = np.flatnonzero((owner == CHAINS[finger][bone - 1]) & (along > low) & (along < high))
    return int(member[np.argmax((vertices[member] - start) @ towards)])


def solve(
    hand: HandModel, axes: np.ndarray, contact: Contact, poses: dict[str, Pose], steps: int = STEPS
) -> dict[str, np.ndarray]:
    """Computes the angles (15, 3) in degrees of every pose, so that it touches what it should and nothing else."""
    hand, names = hand.double(), list(poses)
    start = torch.as_tensor(np.stack([poses[name].angles for name in names]))
    low, high = (torch.as_tensor(x) for x in ranges())
    free = torch.zeros_like(start)
    pairs, row = [], []
    for i, name in enumerate(names):
        for finger in poses[name].free:
            free[i, [j - 1 for j in CHAINS[finger]], 1] = 1
            if finger == "thumb":
                free[i, CHAINS[finger][0] - 1] = 1
        if poses[name].free:
            free[i, [chain[0] - 1 for chain in CHAINS.values()], 2] = 1
        for a, b in poses[name].touching:
            pairs.append((landmark(hand, axes, a), landmark(hand, axes, b)))
            row.append(i)
    pairs, row, turn = torch.tensor(pairs), torch.tensor(row), torch.as_tensor(axes)
    shape, movable = torch.zeros(10, dtype=torch.double), [i for i in range(len(names)) if free[i].any()]
    angles = start.clone().requires_grad_()
    optimizer = torch.optim.Adam([angles], lr=1.0)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for step in range(steps):
        pose = torch.einsum("nja,jac->njc", torch.deg2rad(angles), turn).flatten(1)
        vertices = hand(pose, shape).vertices
        gap = (vertices[row, pairs[:, 0]] - vertices[row, pairs[:, 1]]).square().sum(-1)
        if step % REFRESH == 0:
            hits = _hits(contact, vertices.detach().numpy(), movable)
        firmness = min(2 * step / steps, 1.0) ** 2  # low at first, so that a thumb can pass a finger
        deep = (_depths(vertices, *hits) - TOLERATED_PENETRATION / 4).clamp(min=0) / DEEP
        loss = (gap / GAP**2).sum() + firmness * deep.square().sum()
        loss = loss + ((angles - start) / AWAY).square().sum()
        optimizer.zero_grad()
        loss.backward()
        angles.grad *= free
        optimizer.step()
        schedule.step()
        with torch.no_grad():
            angles.clamp_(low, high)
            angles.copy_(torch.where(free > 0, angles, start))
    return dict(zip(names, angles.detach().numpy(), strict=True))


def _hits(contact: Contact, vertices: np.ndarray, rows: list[int]) -> tuple[Tensor, Tensor, Tensor]:
    """Returns row, vertex and nearest face of every vertex of meshes (n, v, 3) that is inside another part."""
    hits = [(row, *contact.hits(vertices[row])[:2]) for row in rows]
    row = np.concatenate([np.full(len(deep), row) for row, deep, _ in hits])
    return tuple(torch.as_tensor(x) for x in (row, *(np.concatenate(x) for x in list(zip(*hits, strict=True))[1:])))


def _depths(vertices: Tensor, row: Tensor, deep: Tensor, faces: Tensor) -> Tensor:
    """Returns how far (n,) each of these vertices lies behind the plane of its face; differentiable."""
    a, b, c = (vertices[row, faces[:, i]] for i in range(3))
    normal = torch.nn.functional.normalize(torch.linalg.cross(b - a, c - a), dim=-1)
    return ((a - vertices[row, deep]) * normal).sum(-1)
