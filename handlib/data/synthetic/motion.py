"""Poses and rotations of hands: random ones, or smooth sequences of gestures or of handling an object. Batches."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ...camera import FLIP, quaternion_to_rotation
from ...hand import HandModel
from ...hand.collision import penetration_depth
from ...hand.model import TOLERATED_PENETRATION
from ...parameters import FRONTAL
from ...support import roma
from .draws import Draws
from .views import intrinsics, random_intrinsics, random_placement

CANDIDATES = 4  # poses drawn for one sample; the first one whose digits do not overlap is used
NOISE = 0.03  # radians, added to every drawn pose
FRAMES = {"gestures": 150, "handling": 100}  # per sequence
BEAT = 12  # frames from one posture to the next
BASELINE = 0.12  # meters between the two cameras of a stereo pair
STEREO_FOCAL, HANDLING_FOCAL = 822.8, 587.5  # pixels; of the cameras of STB and of Dexter+Object
COUNTING = ("fist", "asl-1", "asl-2", "asl-3", "asl-4", "asl-5", "spread", "relaxed")
HANDLING = ("grasp", "pinch", "grasp", "relaxed")


class Motion(NamedTuple):
    """Poses and positions of a batch of hands, and the random numbers for everything around them."""

    pose: Float[Tensor, "b 45"]
    rotation: Float[Tensor, "b 3 3"]  # from the model's axes to the camera's
    root: Float[Tensor, "b 3"]  # the middle MCP, meters, camera frame
    K: Float[Tensor, "b 3 3"]  # of the whole image
    surroundings: Draws  # for light, sleeve and objects; the same in a whole sequence
    backdrop: Draws  # for the background; the same until the next posture of a sequence


def free(hand: HandModel, draws: Draws, shape: Float[Tensor, "b 10"]) -> Motion:
    """Draws poses in which digits do not intersect, seen from any side."""
    poses = free_pose(hand, draws, CANDIDATES)
    b, k, _ = poses.shape
    joints = hand.skeleton(poses, shape[:, None].expand(b, k, 10))
    clear = penetration_depth(joints, hand.bone_radii) <= TOLERATED_PENETRATION
    first = torch.where(clear.any(1), clear.float().argmax(1), k - 1)
    pose = poses[torch.arange(b, device=poses.device), first]
    return Motion(pose, *random_placement(draws), random_intrinsics(draws), draws, draws)


def free_pose(hand: HandModel, draws: Draws, candidates: int) -> Float[Tensor, "b k 45"]:
    """Draws poses between two of the model's samples with a little noise; the last candidate is a sample itself."""
    samples = pose_samples(hand)
    first, second = (samples[draws.integer(len(samples), candidates)] for _ in range(2))
    part = draws.uniform(candidates, 1, high=0.5)
    noise = NOISE * draws.normal(candidates, 45)
    last = torch.arange(candidates, device=samples.device)[:, None] == candidates - 1
    return first + torch.where(last, 0.0, part * (second - first) + noise)


def pose_samples(hand: HandModel) -> Float[Tensor, "n 45"]:
    if not len(hand.pose_samples):
        raise ValueError(f"{hand.name} holds no pose samples (the field 'hands_coeffs'), so poses cannot be drawn")
    return hand.pose_samples


def gestures(hand: HandModel, key: str, moment: Int[Tensor, " b"], view: Int[Tensor, " b"]) -> Motion:
    """Makes sequences of counting and of free gestures, palm or back to a stereo camera, fingers up.

    moment: number of the frame. view: 0 or 1, the camera.
    """
    sequence, beat, part = _beats(moment, FRAMES["gestures"])
    pose = _between(lambda draws: _gesture(hand, draws, sequence), key, sequence, beat, part)
    drift = _smooth(key, sequence, beat, part, 6)
    tilt = drift[:, :3] * drift.new_tensor([0.5, 0.5, 0.35])  # radians
    start = Draws(f"{key} sequence", sequence)
    facing = torch.where(start.chance(0.3), math.pi, 0.0)  # sometimes the back of the hand
    turn = torch.stack([torch.zeros_like(facing), facing, torch.zeros_like(facing)], -1)
    rotation = roma.rotvec_to_rotmat(tilt) @ roma.rotvec_to_rotmat(turn) @ _frontal(drift)
    root = drift[:, 3:] * drift.new_tensor([0.08, 0.06, 0.08]) + drift.new_tensor([0.06, 0.0, 0.55])
    eye = torch.stack([BASELINE * view, torch.zeros_like(part), torch.zeros_like(part)], -1)
    K = intrinsics(torch.full_like(part, STEREO_FOCAL))
    return Motion(pose, rotation, root - eye, K, *_surroundings(key, sequence, beat))


def handling(hand: HandModel, key: str, moment: Int[Tensor, " b"]) -> Motion:
    """Makes sequences of a hand that grips, pinches and turns an object in front of the camera."""
    sequence, beat, part = _beats(moment, FRAMES["handling"])
    pose = _between(lambda draws: _grip(hand, draws), key, sequence, beat, part)
    drift = _smooth(key, sequence, beat, part, 6)
    start = Draws(f"{key} sequence", sequence)
    base = roma.rotvec_to_rotmat(start.normal(3).clamp(-1, 1) * part.new_tensor([0.5, 0.8, 0.8])) @ _frontal(drift)
    rotation = roma.rotvec_to_rotmat(drift[:, :3] * 0.6) @ base
    root = drift[:, 3:] * drift.new_tensor([0.06, 0.05, 0.07]) + drift.new_tensor([0.0, 0.0, 0.48])
    K = intrinsics(torch.full_like(part, HANDLING_FOCAL))
    return Motion(pose, rotation, root, K, *_surroundings(key, sequence, beat))


def _surroundings(key: str, sequence: Tensor, beat: Tensor) -> tuple[Draws, Draws]:
    return Draws(f"{key} surroundings", sequence), Draws(f"{key} backdrop", sequence * 4096 + beat)


def _beats(moment: Tensor, frames: int) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the sequence, the number of the posture, and the fraction of the way to the next posture."""
    sequence, frame = moment // frames, moment % frames
    return sequence, frame // BEAT, (frame % BEAT).float() / BEAT


def _between(posture, key: str, sequence: Tensor, beat: Tensor, part: Tensor) -> Float[Tensor, "b 45"]:
    """Interpolates from one posture to the next with a smooth start and stop."""
    first, second = (posture(Draws(f"{key} posture", sequence * 4096 + beat + k)) for k in range(2))
    return torch.lerp(first, second, (part * part * (3 - 2 * part))[:, None])


def _smooth(key: str, sequence: Tensor, beat: Tensor, part: Tensor, n: int) -> Float[Tensor, "b n"]:
    """Returns n numbers of about unit size that drift along a Catmull–Rom spline through random points."""
    before, a, b, after = (
        Draws(f"{key} drift", sequence * 4096 + beat + k).normal(n).clamp(-1.5, 1.5) for k in range(4)
    )
    t = part[:, None]
    slope_a, slope_b = (b - before) / 2, (after - a) / 2
    rise = b - a
    return a + t * (slope_a + t * (3 * rise - 2 * slope_a - slope_b + t * (slope_a + slope_b - 2 * rise)))


def _gesture(hand: HandModel, draws: Draws, sequence: Tensor) -> Float[Tensor, "b 45"]:
    """Draws a counting gesture in even sequences, any pose in odd ones."""
    anything = free_pose(hand, draws, 1)[:, 0]
    counting = _named(hand, COUNTING)
    if counting is None:
        return anything
    return torch.where((sequence % 2 == 0)[:, None], counting[draws.integer(len(counting))], anything)


def _grip(hand: HandModel, draws: Draws) -> Float[Tensor, "b 45"]:
    anything = free_pose(hand, draws, 1)[:, 0]
    grips = _named(hand, HANDLING)
    if grips is None:
        return anything
    return torch.lerp(grips[draws.integer(len(grips))], anything, draws.uniform(1, high=0.35))


def _named(hand: HandModel, names: tuple[str, ...]) -> Tensor | None:
    """Returns poses by name; None for a hand without named poses, such as MANO's."""
    poses = hand.named_poses
    return torch.stack([poses[name] for name in names]) if all(name in poses for name in names) else None


def _frontal(like: Tensor) -> Float[Tensor, "3 3"]:
    """Returns the rotation that turns the palm to the viewer, fingers up."""
    return quaternion_to_rotation(like.new_tensor(FRONTAL)) * like.new_tensor(FLIP)[:, None]
