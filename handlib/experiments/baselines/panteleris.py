"""A hand model fitted to 2D joints by least squares: Panteleris, Oikonomidis and Argyros, "Using a single RGB frame for
real time 3D hand pose estimation in the wild", WACV 2018.

A 2D detector finds the joints, each with its confidence; Levenberg–Marquardt finds the hand whose projected joints
meet them under the known camera K. `handlib.fit` does this.

What differs from the original: the detector is a DHPE's J2D, not OpenPose; the hand is the full model with its prior
of poses and shapes and soft limits, not 26 joint angles between hard ones; `fit` starts from many places, the original
from the previous frame or one guess. The fit's own depth of the root is replaced by the true one, as for all methods:
the hand grows with it and its picture stays.
"""

import os

import torch

from ...camera import crop_to_px, project
from ...dhpe import DHPE
from ...fitting import fit as fit_hand
from ...renderer import Renderer
from ...training.train import TrainConfig
from .interface import DEFAULTS, Estimate, FitOptions, View, checked_detector, detect


class Panteleris:
    """starts, iterations: of the descent."""

    def __init__(self, detector: DHPE, starts: int = 24, iterations: int = 15, seed: int = 0):
        self.detector, self.starts, self.iterations, self.seed = detector, starts, iterations, seed

    def predict(self, view: View) -> Estimate:
        size, hand = view.images.shape[-1], self.detector.hand
        joints, confidence = detect(self.detector, view.images)
        found = fit_hand(
            crop_to_px(joints, size), view.K, hand=hand, visible=confidence, starts=self.starts,
            iterations=self.iterations, seed=self.seed, progress=False,
        )  # fmt: skip
        with torch.no_grad():
            closer = (view.root_depth / found.root_cam[:, 2])[:, None, None]
            root = found.root_cam[:, None]
            joints_cam, vertices_cam = (found.joints_3d + root) * closer, (found.vertices + root) * closer
            vertices_px = torch.cat([project(vertices_cam, view.K), vertices_cam[..., 2:]], -1)
            return Estimate(joints_cam, vertices_cam, Renderer(size).silhouette(vertices_px, hand.faces))


def fit(config: TrainConfig, out: str | os.PathLike[str], options: FitOptions = DEFAULTS) -> Panteleris:
    """Nothing to train: it takes the joints of the options' detector, and writes nothing."""
    return Panteleris(checked_detector(options), seed=config.seed)
