"""The ablations of the paper (Sec. 4, Fig. 5d–f): which part of the method each row of the study leaves out.

`Ablation` is the one place where they are named. Two parts act in the network and three in the losses: `of_model` and
`of_loss` give a config and its weights without them. The other two, `test_refinement` and `augmentation`, are read by
what evaluates and what trains.
"""

from dataclasses import dataclass, replace

from ..dhpe import DHPEConfig
from ..losses import LossWeights


@dataclass(frozen=True)
class Ablation:
    """Parts of the method; all of them by default. One that is False is left out."""

    test_refinement: bool = True  # Eq. 13, when evaluating
    augmentation: bool = True  # Sec. 3.5, when training
    pose_refiner: bool = True  # Eq. 6
    evidence_losses: bool = True  # Eq. 2 and 3; without them E3D sees F(x) alone, as in Kanazawa et al.
    shape_loss: bool = True  # Eq. 9
    shape_weight_schedule: bool = True  # Eq. 12; without it λ_Sh is constant

    def of_model(self, config: DHPEConfig) -> DHPEConfig:
        """The network without the parts left out. J2D goes with the 2D losses, and the refiner with J2D."""
        evidence = config.evidence_2d and self.evidence_losses
        return replace(
            config, evidence_2d=evidence, pose_refiner=config.pose_refiner and self.pose_refiner and evidence
        )

    def of_loss(self, weights: LossWeights) -> LossWeights:
        """The losses without the parts left out."""
        if not self.pose_refiner:
            weights = replace(weights, refiner=0.0)
        if not self.evidence_losses:
            weights = replace(weights, feature=0.0, heatmap=0.0, earlier_heatmaps=0.0, refiner=0.0)
        if not self.shape_loss:
            weights = replace(weights, shape=0.0)
        return replace(weights, scheduled=weights.scheduled and self.shape_weight_schedule)


# The rows as the paper labels them; where it leaves two parts out at once, so do we.
ABLATIONS = {
    "full": Ablation(),
    "no_test_refinement": Ablation(test_refinement=False),  # "w/o Test. ref."
    "no_augmentation": Ablation(test_refinement=False, augmentation=False),  # "w/o Test. ref. and Data Aug."
    "no_refiner": Ablation(test_refinement=False, pose_refiner=False),  # "w/o Test. ref. and Refiner"
    "no_evidence_losses": Ablation(  # "w/o Test. ref. and 2D losses"
        test_refinement=False, pose_refiner=False, evidence_losses=False
    ),
    "no_shape_loss": Ablation(shape_loss=False),  # Fig. 5a: the pose alone
    "constant_shape_weight": Ablation(shape_weight_schedule=False),  # Fig. 5f: "Constant weight"
}
