"""How far an estimate can be trusted: the score of a hand, the confidence of each joint.

Both are probabilities, calibrated on rendered hands and on photographs without hands by
`tools/calibrate_confidence.py`: that the points of a hand are right (on average less than a quarter of the hand's side
off), and that a joint lies within a tenth of the hand's side of its true place in the picture.
"""

import torch
from jaxtyping import Float
from torch import Tensor

HAND = (-3.028, 0.125, 1.064, -0.646, 0.105)
JOINT = (-6.337, 0.389, -1.861, -0.556)


def hand_score(presence: Tensor, moved: Tensor, settled: Tensor, spread: Tensor) -> Float[Tensor, "*n"]:
    """The score of a hand.

    presence: as the network sees it; moved: the mean through crops that are moved a little. settled: how far the points
    moved at the last look; spread: between the moved crops; both over the hand's side.
    """
    return _logistic(HAND, logit(presence), logit(moved), torch.log(settled + 0.01), torch.log(spread + 0.01))


def joint_confidence(
    score: Float[Tensor, " n"], spread: Float[Tensor, "n 21"], residual: Float[Tensor, "n 21"]
) -> Float[Tensor, "n 21"]:
    """The confidence of each joint.

    score: of the hand. spread: of the points between moved crops, over the hand's side. residual: of the refined hand's
    points from those of the network, in standard deviations.
    """
    return _logistic(JOINT, logit(score)[:, None], torch.log(spread + 0.01), torch.log(residual + 0.1))


def logit(probability: Tensor) -> Tensor:
    return torch.logit(probability, 1e-4)


def _logistic(weights: tuple[float, ...], *features: Tensor) -> Tensor:
    bias, *slopes = weights
    return torch.sigmoid(sum((w * f for w, f in zip(slopes, features, strict=True)), start=torch.tensor(bias)))
