"""From evidence of photographs to hands: Eq. 13 by second-order steps, with points in space as one more term, ours.

Eq. 13 asks that the projected skeleton meets j2D and that the mesh stays a plausible hand. Here the skeleton's points
are those of the landmark sets, plausibility is the prior's and the joints' limits (posterior.py), and three guesses of
the hand in space, which Eq. 13 does not have, say what one view hides: the network's own points in space, its points in
the image with their depths, and E3D's hand. Their errors differ, so their mean is better than the best of them. Where
the network is not sure that it sees a hand, its own points are worth little and E3D, which knows hands, speaks alone.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from ..hand import HandModel
from ..hand.landmark_sets import landmark_set
from ..networks.turned_crop import HandEvidence
from ..output import DHPEOutput
from ..support import roma
from .describe import describe
from .fit import best_of
from .posterior import Anatomy, Noise, Observation, Posterior, State
from .solver import descend
from .starts import Samples, starts_from_3d

NOISE = Noise(points=0.01, points_3d=(0.006, 0.006, 0.006), outlier_3d=6.0)
DEPTH = 1.3  # the network's depths in the image are too flat by so much
UNSURE = 1 / 3  # presence below 1 by so much, at which the network's own points count no more
ITERATIONS = 10


class Lifter:
    """A hand model, ready to be fitted to evidence of the photo trunk."""

    def __init__(self, hand: HandModel):
        image, space = landmark_set("image"), landmark_set("space")
        like = torch.zeros(1, dtype=torch.float64)
        self.hand, self.image, self.space = hand, image.regressor, space.regressor
        self.anatomy = Anatomy.of(hand, like, torch.cat([image.regressor, space.regressor]))
        self.weight = (1 / image.noise**2).to(like)
        self.samples = Samples.of(hand, self.anatomy, torch.Generator().manual_seed(0))

    def guess(self, evidence: HandEvidence, vertices: Float[Tensor, "n 778 3"]) -> Float[Tensor, "n 21 3"]:
        """The three guesses in space in one, in the frame of the turned crop: meters about the hand's middle.

        vertices: E3D's, meters.
        """
        metric = _centered(evidence.points_3d)
        deep = _centered(evidence.points * evidence.points.new_tensor([1.0, 1, DEPTH]))
        scale = (deep * metric).sum((1, 2)) / deep.square().sum((1, 2)).clamp(min=1e-9)
        own = (metric + deep * scale[:, None, None]) / 2
        share = (1 / 3 + 2 / 3 * (1 - evidence.presence) / UNSURE).clamp(max=1)[:, None, None]
        return (1 - share) * own + share * _centered(self.space.to(vertices) @ vertices)

    @torch.no_grad()
    def __call__(
        self,
        points_px: Float[Tensor, "n 21 2"],
        guess: Float[Tensor, "n 21 3"],
        K: Float[Tensor, "n 3 3"] | None = None,
        before: State | None = None,
        iterations: int = ITERATIONS,
        noise: Noise = NOISE,
    ) -> "Lifted":
        """Right hands of one or several images.

        guess: along the image's axes, as seen through a crop: with K it is turned to the ray through the hand. before:
        the states of the same hands in the frame before; the fit starts there and stays near.
        """
        points_px, guess = points_px.double(), guess.double()
        K = None if K is None else K.double()
        if K is not None:
            guess = guess @ to_ray(points_px.mean(1), K).mT
        weight = self.weight.expand(len(points_px), 21)
        posterior = Posterior(self.anatomy, Observation(points_px, weight, K, guess, before), noise)
        if before is None:
            state, energy = best_of(posterior, starts_from_3d(posterior, self.samples, 1), iterations)
        else:
            state, energy = descend(posterior, before, iterations)
        return Lifted(describe(posterior, self.hand, state), state, energy, posterior.residuals(state)[0].norm(dim=-1))


class Lifted(NamedTuple):
    """n hands, and how well they meet the evidence."""

    output: DHPEOutput
    state: State
    energy: Float[Tensor, " n"]
    residual: Float[Tensor, "n 21"]  # of the points in the image, standard deviations


def to_ray(px: Float[Tensor, "n 2"], K: Float[Tensor, "n 3 3"]) -> Float[Tensor, "n 3 3"]:
    """The shortest rotation of the optical axis to the ray through a pixel: from a crop's own view to the camera's."""
    ray = (torch.linalg.inv(K) @ torch.cat([px, torch.ones_like(px[:, :1])], 1)[..., None])[..., 0]
    ray = ray / ray.norm(dim=-1, keepdim=True)
    axis = torch.stack([-ray[:, 1], ray[:, 0], torch.zeros_like(ray[:, 0])], -1)  # e_z × ray
    sine = axis.norm(dim=-1, keepdim=True).clamp(min=1e-9)
    return roma.rotvec_to_rotmat(axis / sine * torch.atan2(sine, ray[:, 2:]))


def _centered(points: Tensor) -> Tensor:
    return points - points.mean(1, keepdim=True)
