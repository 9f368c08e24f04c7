"""Iterative regression from features only: Kanazawa, Black, Jacobs and Malik, "End-to-end Recovery of Human Shape and
Pose", CVPR 2018, for a hand.

h(k+1) = h(k) + E3D(F(x), h(k)): no 2D joints go into the regressor, and neither F nor it is told of them other than by
the projected joints (no Eq. 2, no Eq. 3). In the paper's ablation this is "without 2D losses".

What differs from the original: F is handlib's, not a ResNet-50 pre-trained on ImageNet; h is compared by its joints
and silhouette (Eq. 8, 9), as in the paper, not by its parameters; in place of the adversary that judges poses there is
the small prior on the shape that DHPE has; no dropout.
"""

import os

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..camera import crop_box, crop_to_px, normalise_joints, px_to_crop
from ..dhpe import DHPEConfig
from ..evidence import FeatureExtractor
from ..hand import HandModel
from ..losses import (
    LossWeights,
    articulation_loss,
    laplacian_loss,
    reprojection_loss,
    shape_loss,
    shape_weight,
)
from ..mesh import cotangent_laplacian
from ..output import Iteration, in_metres
from ..parameters import MeshParameters, posed_hand
from ..regressor import Regressor
from ..renderer import Renderer
from ..train import TrainConfig
from .interface import DEFAULTS, Estimate, FitOptions, View, estimate_of
from .training import resized, train_network


class Kanazawa(nn.Module):
    def __init__(self, config: DHPEConfig, weights: LossWeights):
        super().__init__()
        self.config, self.weights = config, weights
        self.hand = HandModel.load(config.hand, config.fingertips)
        self.feature_extractor = FeatureExtractor(config.feature_width, config.features).to(
            memory_format=torch.channels_last
        )
        self.regressor = Regressor(self.hand, config.features, config.hidden, config.iterations, refine_2d=False)
        self.renderer = Renderer(config.size)
        self.register_buffer("laplacian", cotangent_laplacian(self.hand.template, self.hand.faces), persistent=False)

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> list[Iteration]:
        """The states 0 … iterations; the last one is the estimate."""
        features = self.feature_extractor(resized(images, self.config.size))
        nothing = features.new_zeros(len(images), 21, 2)  # inputs that are always zero are no inputs
        return self.regressor(self.hand, features, nothing)

    def loss(self, images: Float[Tensor, "b 3 s s"], batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
        """Eq. 7 without its 2D terms."""
        size, weights = self.config.size, self.weights
        joints = px_to_crop(batch["joints_px"], size)
        target, omega = normalise_joints(batch["joints_cam"], batch["K"]), crop_box(joints)[:, 2]
        steps = self(images)[1:]
        h = steps[-1].h
        if not torch.isfinite(h).all():
            return h.sum() * torch.nan, {}
        switch = shape_weight(steps[-1].joints[..., :2].detach(), joints, weights.threshold_px / 112)
        drawn = self.renderer.silhouette(crop_to_px(posed_hand(self.hand, h).vertices, size), self.hand.faces)
        terms = {
            "articulation": sum(articulation_loss(s.joints, target, omega) for s in steps) / len(steps),
            "reprojection": sum(reprojection_loss(s.joints[..., :2], joints) for s in steps) / len(steps),
            "shape": shape_loss(drawn, batch["mask"], switch if weights.scheduled else torch.ones_like(switch)),
            "laplacian": laplacian_loss(in_metres(self.hand, h).vertices, self.laplacian),
            "shape_prior": MeshParameters.split(h).shape.square().mean(),
        }
        total = sum(getattr(weights, name) * term for name, term in terms.items())
        return total, {"loss": total.item(), **{name: term.item() for name, term in terms.items()}}

    @torch.no_grad()
    def predict(self, view: View) -> Estimate:
        return estimate_of(self.hand, self(view.images)[-1].h, view)


def fit(config: TrainConfig, out: str | os.PathLike[str], options: FitOptions = DEFAULTS) -> Kanazawa:
    """Trains it on the pictures and epochs of a DHPE of this config; all epochs are joint ones."""
    return train_network(lambda: Kanazawa(config.model, config.loss), config, out, options)
