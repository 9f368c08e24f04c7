"""Iterative regression from features only: Kanazawa, Black, Jacobs and Malik, "End-to-end Recovery of Human Shape and
Pose", CVPR 2018, for a hand.

h(k+1) = h(k) + E3D(F(x), h(k)): no 2D joints go into the regressor, and neither F nor it is told of them other than by
the projected joints (no Eq. 2, no Eq. 3). In the paper's ablation this is "without 2D losses", and here it is DHPE
without the parts that `Ablation(evidence_losses=False)` leaves out.

What differs from the original: h is compared by its joints and silhouette (Eq. 8, 9), as in the paper, not by its
parameters; in place of the adversary that judges poses there is the small prior on the shape that DHPE has; no dropout.
Without 2D joints there is nothing to lift, so all epochs are joint ones, from random weights of the regressor.
"""

import os
from dataclasses import replace

from ...training.train import TrainConfig, train
from ..ablation import Ablation
from .interface import DEFAULTS, DHPEMethod, FitOptions


def kanazawa(config: TrainConfig) -> TrainConfig:
    """The same run without 2D evidence."""
    left_out = Ablation(pose_refiner=False, evidence_losses=False)
    model, loss = left_out.of_model(config.model), left_out.of_loss(config.loss)
    return replace(config, model=model, loss=loss, evidence_epochs=0, lifting_steps=0)


def fit(config: TrainConfig, out: str | os.PathLike[str], options: FitOptions = DEFAULTS) -> DHPEMethod:
    """Trains it by `handlib.training.train`; the options' data, detector and device play no part."""
    return DHPEMethod(train(kanazawa(config), out, options.resume, options.cache, options.progress))
