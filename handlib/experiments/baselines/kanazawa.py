"""Iterative regression from features only: Kanazawa, Black, Jacobs and Malik, "End-to-end Recovery of Human Shape and
Pose", CVPR 2018, for a hand.

h(k+1) = h(k) + E3D(F(x), h(k)): the regressor gets no 2D joints, and 2D joints train it and F only through the
projected joints (no Eq. 2, no Eq. 3). In the paper's ablation this is "without 2D losses"; here it is DHPE without the
parts that `Ablation(evidence_losses=False)` removes.

Differences from the original: the loss compares joints and silhouettes (Eq. 8, 9), as in the paper, not parameters. It
has DHPE's small prior on the shape instead of an adversary for poses, and no dropout. Without 2D joints there is
nothing to lift, so all epochs are joint ones and the regressor starts from random weights.
"""

from dataclasses import replace

from ...training.profiles import TrainConfig
from ..ablation import Ablation


def kanazawa(config: TrainConfig) -> TrainConfig:
    """Returns the config of the same run without 2D evidence."""
    ablation = Ablation(pose_refiner=False, evidence_losses=False)
    model, loss = ablation.of_model(config.model), ablation.of_loss(config.loss)
    return replace(config, model=model, loss=loss, evidence_epochs=0, lifting_steps=0)
