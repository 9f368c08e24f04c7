"""A hand model fitted to 2D joints by least squares: Panteleris, Oikonomidis and Argyros, "Using a single RGB frame for
real time 3D hand pose estimation in the wild", WACV 2018.

A 2D detector finds the joints with their confidence; `handlib.fit` finds by Levenberg–Marquardt the hand whose joints,
projected by the known camera K, are nearest to them.

Differences from the original: the detector is the J2D of a DHPE, not OpenPose. The hand is the full model with priors
of pose and shape and soft limits, not 26 joint angles with hard limits. `fit` starts from many poses, the original from
the previous frame or one guess. As for all methods, the fitted depth of the root is replaced by the true one; the hand
is scaled with it, so its image stays the same.
"""

import torch

from ...camera import crop_to_px, project
from ...dhpe import DHPE
from ...fitting import fit as fit_hand
from ...renderer import Renderer
from .interface import Estimate, View, detect


class Panteleris:
    """Fits the hand model to the joints of a detector. starts, iterations: of the optimization."""

    def __init__(self, detector: DHPE, seed: int = 0, starts: int = 24, iterations: int = 15):
        self.detector, self.seed, self.starts, self.iterations = detector, seed, starts, iterations

    def predict(self, view: View) -> Estimate:
        size, hand = view.images.shape[-1], self.detector.hand
        joints, confidence = detect(self.detector, view.images)
        fitted = fit_hand(
            crop_to_px(joints, size), view.K, hand=hand, visible=confidence, starts=self.starts,
            iterations=self.iterations, seed=self.seed, progress=False,
        )  # fmt: skip
        with torch.no_grad():
            scale = (view.root_depth / fitted.root_cam[:, 2])[:, None, None]
            root = fitted.root_cam[:, None]
            joints_cam, vertices_cam = (fitted.joints_3d + root) * scale, (fitted.vertices + root) * scale
            vertices_px = torch.cat([project(vertices_cam, view.K), vertices_cam[..., 2:]], -1)
            return Estimate(joints_cam, vertices_cam, Renderer(size).silhouette(vertices_px, hand.faces))
