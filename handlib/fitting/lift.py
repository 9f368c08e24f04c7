"""From evidence of photographs to hands: Eq. 13 by second-order steps, with points in space as one more term, ours.

Eq. 13 asks that the projected skeleton meets j2D and that the mesh stays a plausible hand. Here the skeleton's points
are those of the landmark sets, plausibility is the prior's and the joints' limits (posterior.py), and three guesses of
the hand in space, which Eq. 13 does not have, say what one view hides: the network's own points in space, its points in
the image with their depths, and E3D's hand. Their errors differ, so their mean is better than the best of them. Size
and shape are E3D's: a mean of unlike hands is flatter than each, and a larger hand would fit it. Where the network is
not sure that it sees a hand, its points are worth little, and E3D, which knows hands, speaks alone.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from ..hand import HandModel
from ..hand.landmark_sets import landmark_set
from ..networks.turned_crop import HandEvidence, TurnedCrop
from ..output import DHPEOutput
from ..parameters import MeshParameters
from ..support import roma
from .describe import describe
from .fit import best_of
from .posterior import Anatomy, Noise, Observation, Posterior, State
from .solver import descend
from .starts import Samples, starts_from_3d

NOISE = Noise(points=0.01, points_3d=(0.006, 0.006, 0.006), outlier_3d=6.0)
DEPTH = 1.3  # the network's depths in the image are too flat by so much
DOUBT = 0.07  # presence below 1 by so much, at which the network's own points in space count no more
BLUR, BLURRED = 4.0, 1 / 3  # its points in the image: at most so much more noise, where presence is below 1 by so much
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

    def guess(self, crop: TurnedCrop, evidence: HandEvidence, e3d: DHPEOutput) -> "Guess":
        """What the evidence and E3D's answer to it, both in the turned crop, say of the hand in space."""
        vertices, beta = e3d.vertices, MeshParameters.split(e3d.h).shape
        metric = _centered(evidence.points_3d)
        deep = _centered(evidence.points * evidence.points.new_tensor([1.0, 1, DEPTH]))
        whole = _centered(self.space.to(vertices) @ vertices)
        own = metric / _size(metric) + deep / _size(deep)
        own = own * _size(whole) / _size(own)
        absence = 1 - evidence.presence
        share = (1 / 3 + 2 / 3 * absence / DOUBT).clamp(max=1)[:, None, None]
        points = (1 - share) * own + share * whole
        return Guess(points @ crop.rotation_3d().mT, beta, 1 + BLUR * (absence / BLURRED).clamp(max=1))

    @torch.no_grad()
    def __call__(
        self,
        points_px: Float[Tensor, "n 21 2"],
        guess: "Guess",
        K: Float[Tensor, "n 3 3"] | None = None,
        before: State | None = None,
        iterations: int = ITERATIONS,
        noise: Noise = NOISE,
    ) -> "Lifted":
        """Right hands of one or several images.

        K: with it the guess is turned to the ray through the hand. before: the states of the same hands in the frame
        before; the fit starts there and stays near.
        """
        points_px, guess = points_px.double(), guess.double()
        K = None if K is None else K.double()
        points_3d = guess.points if K is None else guess.points @ to_ray(points_px.mean(1), K).mT
        weight = self.weight.expand(len(points_px), 21)
        if before is None:  # from frame to frame, blurred points would lag behind
            weight = weight / guess.blur[:, None] ** 2
        seen = Observation(points_px, weight, K, points_3d, before, guess.beta)
        posterior = Posterior(self.anatomy, seen, noise)
        if before is None:
            state, energy = best_of(posterior, starts_from_3d(posterior, self.samples, 1), iterations)
        else:
            state, energy = descend(posterior, before, iterations)
        return Lifted(describe(posterior, self.hand, state), state, energy, posterior.residuals(state)[0].norm(dim=-1))


class Guess(NamedTuple):
    """n hands in space, as seen through their crops."""

    points: Float[Tensor, "n 21 3"]  # of the landmark set "space"; meters along the image's axes, about any origin
    beta: Float[Tensor, "n 10"] | None  # shape
    blur: Float[Tensor, " n"]  # of the points in the image: their noise over that of a hand that is surely there

    @classmethod
    def of(cls, points: Float[Tensor, "n 21 3"]) -> "Guess":
        """Of points alone, of hands that are surely there."""
        return cls(points, None, points.new_ones(len(points)))

    def double(self) -> "Guess":
        return Guess(*(None if part is None else part.double() for part in self))


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


def _size(points: Float[Tensor, "n 21 3"]) -> Float[Tensor, "n 1 1"]:
    return points.square().sum((1, 2), keepdim=True).sqrt().clamp(min=1e-9)
