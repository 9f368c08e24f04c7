"""Calibrates the landmark sets (handlib/hand/landmark_sets.py) on rendered hands and writes
handlib/hand/assets/LANDMARKS.npz.

    python tools/calibrate_landmarks.py [HANDS]

For each point of the network, it finds the mixture of nearby vertices, with nonnegative shares, that lies nearest to
it: in the image, over hands from all sides with good evidence; and in 3D, after the best similarity from each hand's
points to its mesh. It takes ten minutes on one core with the default of 6,000 hands of the training split.
"""

import sys

import numpy as np
import torch
from scipy.optimize import nnls
from torch import Tensor

from handlib import HandModel
from handlib.camera import project
from handlib.evaluation.metrics import align
from handlib.hand.joints import C21, FINGERS, MANO16, MIDDLE_MCP
from handlib.hand.landmark_sets import LandmarkSet, write_landmark_sets
from handlib.networks.landmarks import LandmarkNetwork
from handlib.networks.published import load_landmarks
from handlib.training.evidence_rows import EvidenceRows, evidence_rows

PRESENT, GOOD = 0.9, 0.1  # smallest presence, and largest mean error over the hand's side, of the hands to use
ROUNDS = 12  # of reweighting; the alternation in 3D has a third of them
NEAR, NEAR_MCP, NEAR_WRIST = 0.022, 0.03, 0.045  # radius in meters around a joint for the vertices of its point
# Fractions of the way from the end of the finger to the network's fingertips on rendered hands: on photographs the
# network's fingertips lie a little farther out (chapter "Evidence from photographs").
TIPS = dict(zip(FINGERS, (0.5, 0.75, 0.75, 0.75, 1.0), strict=True))


def candidates(hand: HandModel, j: int) -> np.ndarray:
    """Returns the vertices near a joint that move with the bones at it."""
    rest, joint, name = hand.template, (hand.joint_regressor @ hand.template)[j], C21.joints[j]
    finger, number = (name[:-1], int(name[-1])) if j else ("", 0)
    if j == 0:
        bones, radius = [0], NEAR_WRIST
    else:
        bones = [MANO16.index(f"{finger}{min(number, 3)}")]
        bones += [MANO16.index(f"{finger}{number - 1}")] if 1 < number < 4 else [0] if number == 1 else []
        radius = NEAR_MCP if number == 1 else NEAR
    near = (rest - joint).norm(dim=1) < radius
    return ((hand.weights[:, bones].sum(1) > 0.6) & near).nonzero()[:, 0].numpy()


def mixture(vertices: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, float]:
    """Fits shares of vertices (n, c, d) to points (n, d) robustly; returns them and the median residual distance."""
    rows, count = vertices.transpose(0, 2, 1), vertices.shape[1]
    weight = np.ones(len(rows))
    for _ in range(ROUNDS):
        root = np.sqrt(weight)[:, None]
        matrix = np.vstack([(rows * root[..., None]).reshape(-1, count), 1e3 * np.ones(count), 1e-2 * np.eye(count)])
        shares, _ = nnls(matrix, np.concatenate([(points * root).ravel(), [1e3], np.zeros(count)]), maxiter=3000)
        residual = np.linalg.norm(rows @ shares - points, axis=1)
        weight = 1 / (1 + (residual / max(1.5 * np.median(residual), 1e-3)) ** 2) ** 2
    shares[shares < 2e-3] = 0
    return shares / shares.sum(), float(np.median(residual))


def calibrated(name: str, hand: HandModel, vertices: Tensor, points: Tensor) -> LandmarkSet:
    """Fits a landmark set to vertices (n, 778, d) and points (n, 21, d), both in units of about one hand."""
    regressor, noise = torch.zeros(21, 778), torch.zeros(21)
    for j in range(21):
        some = candidates(hand, j)
        shares, noise[j] = mixture(vertices[:, some].numpy(), points[:, j].numpy())
        regressor[j, some] = torch.from_numpy(shares).float()
    return LandmarkSet(name, regressor, noise / noise.mean())


def outward(hand: HandModel, landmarks: LandmarkSet) -> LandmarkSet:
    """Moves the fingertips towards the ends of the fingers by `TIPS`."""
    regressor = landmarks.regressor.clone()
    for finger, part in TIPS.items():
        tip = C21.index(f"{finger}4")
        regressor[tip] = part * regressor[tip] + (1 - part) * hand.joint_regressor[tip]
    return landmarks._replace(regressor=regressor)


def good(rows: EvidenceRows) -> EvidenceRows:
    """Keeps the hands whose evidence is good."""
    joints = project(rows.joints_cam, rows.K)
    side = (joints.amax(1) - joints.amin(1)).amax(1)
    error = (rows.crop.to_px(rows.points[..., :2]) - joints).norm(dim=-1).mean(1) / side
    return rows.take((rows.presence > PRESENT) & (error < GOOD))


def main(count: int) -> None:
    hand, network = HandModel.load(), LandmarkNetwork()
    load_landmarks(network)
    rows = good(evidence_rows(network, "train", count))
    vertices = rows.vertices_cam.float() + rows.joints_cam[:, MIDDLE_MCP : MIDDLE_MCP + 1]
    px = project(vertices, rows.K)
    side = (px.amax(1) - px.amin(1)).amax(1)[:, None, None]
    image = calibrated("image", hand, px / side, rows.crop.to_px(rows.points[..., :2]) / side)
    points = rows.points_3d @ rows.crop.rotation_3d().mT
    space = LandmarkSet("space", hand.joint_regressor.clone(), torch.ones(21))
    for _ in range(ROUNDS // 3):  # the best similarity depends on the landmark set and the reverse
        onto = align(points, space.regressor @ vertices, "procrustes")
        origin = vertices[:, :1]
        space = calibrated("space", hand, (vertices - origin) * 10, (onto - origin) * 10)
    write_landmark_sets([outward(hand, image), space])
    print(f"{len(points)} of {count} hands; shares: {[int((s.regressor > 0).sum()) for s in (image, space)]}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 6000)
