"""A hand model fitted by a particle swarm: Oikonomidis, Kyriazis and Argyros, "Efficient model-based 3D tracking of
hand articulations using Kinect", BMVC 2011; the swarm is Kennedy and Eberhart's (1995), constricted.

A particle is 27 numbers: a quaternion, a position in the image, a scale, and 20 joint angles (flexion and abduction of
the five base joints, flexion of the ten other joints) within the limits of hand/anatomy.py. Each particle moves towards
its own best position and towards the best position of the swarm; there is no gradient.

    v ← w (v + c₁ r₁ (own best − x) + c₂ r₂ (swarm's best − x)),   x ← x + v

Differences from the original: the input is one color image, so the objective compares 2D joints, and silhouettes if a
segmentation is given, instead of depth maps. There is no previous frame to start from, so more particles start from
everywhere. The shape is the model's mean; the original also has a fixed shape.
"""

import math
import os
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from ...camera import crop_to_px
from ...dhpe import DHPE
from ...hand import HandModel
from ...hand.anatomy import joint_axes, joint_limits
from ...hand.joints import FINGERS, MANO16
from ...parameters import MeshParameters, posed_hand, posed_skeleton
from ...renderer import Renderer
from ...training.train import TrainConfig
from .interface import DEFAULTS, Estimate, FitOptions, Method, View, checked_detector, detect, estimate_of

FLEXION, ABDUCTION = 1, 2  # rows of `joint_axes`
CAMERA = 7  # numbers before the angles: quaternion, x and y, logarithm of the scale


@dataclass(frozen=True)
class SwarmConfig:
    """Settings of the swarm."""

    particles: int = 256  # 64 in the original, which starts from the previous frame
    generations: int = 80  # 25 in the original
    own: float = 2.8  # c₁
    swarm: float = 1.3  # c₂
    scatter_every: int = 3  # generations after which half of the particles get a new random angle
    silhouette: float = 0.05  # weight of 1 − Dice relative to the mean squared distance of joints in crop units
    abduction: float = 0.1  # weight of each radian by which neighboring fingers cross
    mask_size: int = 32  # side in pixels at which silhouettes are compared
    seed: int = 0

    @property
    def constriction(self) -> float:
        """w = 2 / |2 − ψ − √(ψ² − 4ψ)| with ψ = c₁ + c₂ > 4, which makes the swarm converge (Clerc, Kennedy, 2002)."""
        psi = self.own + self.swarm
        if psi <= 4:
            raise ValueError(f"own + swarm must be more than 4, or the swarm does not converge: got {psi:g}")
        return 2 / abs(2 - psi - math.sqrt(psi**2 - 4 * psi))


class Articulation:
    """Converts the 27 numbers of a particle to h, and holds their bounds."""

    def __init__(self, hand: HandModel):
        names = MANO16.joints[1:]
        dofs = [(j, axis) for j, name in enumerate(names) for axis in (FLEXION, ABDUCTION)[: 1 + name.endswith("1")]]
        joint, axis = torch.tensor(dofs, device=hand.template.device).T
        axes, limits = joint_axes(hand), joint_limits().to(hand.template)
        # (20, 45): the change of the pose per radian of each angle.
        self.basis = axes.new_zeros(len(dofs), 15, 3)
        self.basis[torch.arange(len(dofs)), joint] = axes[joint, axis]
        self.basis = self.basis.flatten(1)
        camera = axes.new_tensor([[-1.0] * 4 + [-0.6, -0.6, math.log(0.35)], [1.0] * 4 + [0.6, 0.6, math.log(1.6)]])
        self.low, self.high = torch.cat([camera, limits[:, joint, axis]], 1)
        roots = [CAMERA + dofs.index((names.index(f"{finger}1"), ABDUCTION)) for finger in FINGERS[1:]]
        self.roots = torch.tensor(roots, device=joint.device)

    def h(self, x: Float[Tensor, "*n 27"]) -> Float[Tensor, "*n 63"]:
        """Returns the mesh parameters of particles; z of the translation, which an image does not show, is 0."""
        quaternion, xy, scale, angles = x.split([4, 2, 1, 20], -1)
        zero = torch.zeros_like(x[..., :1])
        pose, shape = angles @ self.basis, zero.expand(*x.shape[:-1], 10)
        return MeshParameters(pose, shape, quaternion, scale.exp(), torch.cat([xy, zero], -1)).join()

    def crossing(self, x: Float[Tensor, "*n 27"]) -> Float[Tensor, "*n"]:
        """Sums the radians by which neighboring fingers are abducted across each other."""
        abduction = x[..., self.roots]  # towards the thumb is positive
        return (abduction[..., 1:] - abduction[..., :-1]).clamp(min=0).sum(-1)


def swarm_fit(
    hand: HandModel,
    joints_crop: Float[Tensor, "b 21 2"],
    confidence: Float[Tensor, "b 21"] | None = None,
    mask: Float[Tensor, "b s s"] | None = None,
    config: SwarmConfig = SwarmConfig(),
) -> tuple[Float[Tensor, "b 63"], Float[Tensor, "b g"]]:
    """Fits each hand by a swarm; returns the best h, and the objective at the start and after each generation.

    joints_crop: in crop coordinates. confidence: their weights. mask: 0 … 1, over the crop. The random numbers are the
    same for every hand, so the result does not depend on the batch.
    """
    particles, weight = Articulation(hand), config.constriction
    low, span = particles.low, particles.high - particles.low
    generator = torch.Generator().manual_seed(config.seed)
    n, batch = config.particles, len(joints_crop)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator).to(low)

    objective = _Objective(hand, particles, joints_crop, confidence, mask, config)
    x = (low + span * uniform(n, len(low))).repeat(batch, 1, 1)
    velocity = torch.zeros_like(x)
    best, least = x, objective(x)
    history = [least.amin(1)]
    rows = torch.arange(batch, device=x.device)
    for generation in range(1, config.generations + 1):
        leader = best[rows, least.argmin(1)][:, None]
        own, swarm = config.own * uniform(n, len(low)), config.swarm * uniform(n, len(low))
        velocity = weight * (velocity + own * (best - x) + swarm * (leader - x))
        x = (x + velocity).clamp(low, particles.high)
        if generation % config.scatter_every == 0:
            chosen = torch.randperm(n, generator=generator)[: n // 2].to(x.device)
            angle = torch.randint(CAMERA, len(low), (n // 2,), generator=generator).to(x.device)
            x[:, chosen, angle] = low[angle] + span[angle] * uniform(n // 2)
        value = objective(x)
        better = value < least
        best, least = torch.where(better[..., None], x, best), torch.where(better, value, least)
        history.append(least.amin(1))
    return particles.h(best[rows, least.argmin(1)]), torch.stack(history, 1)


class _Objective:
    """The objective that the swarm minimizes."""

    def __init__(
        self,
        hand: HandModel,
        particles: Articulation,
        joints: Tensor,
        confidence: Tensor | None,
        mask: Tensor | None,
        config: SwarmConfig,
    ):
        self.hand, self.particles, self.config, self.joints = hand, particles, config, joints[:, None]
        weight = torch.ones_like(joints[..., 0]) if confidence is None else confidence
        self.weight = (weight / weight.sum(-1, keepdim=True))[:, None]
        self.mask = None if mask is None else functional.adaptive_avg_pool2d(mask[:, None], config.mask_size)
        self.renderer = Renderer(config.mask_size)

    def __call__(self, x: Float[Tensor, "b n 27"]) -> Float[Tensor, "b n"]:
        h = self.particles.h(x)
        value = self.config.abduction * self.particles.crossing(x)
        if self.mask is None:
            joints = posed_skeleton(self.hand, h)
        else:
            vertices, joints = posed_hand(self.hand, h)
            silhouette = self.renderer.silhouette(crop_to_px(vertices, self.config.mask_size), self.hand.faces)
            overlap, total = (silhouette * self.mask).sum((-2, -1)), (silhouette + self.mask).sum((-2, -1))
            value = value + self.config.silhouette * (1 - 2 * overlap / total.clamp(min=1e-6))
        return value + (self.weight * (joints[..., :2] - self.joints).square().sum(-1)).sum(-1)


class ParticleSwarm:
    """Fits the hand by a swarm to the joints of a detector's J2D and, if given, to the mask of a segmenter.

    The mask makes it a hundred times slower.
    """

    def __init__(self, detector: DHPE, segmenter: Method | None = None, config: SwarmConfig = SwarmConfig()):
        self.detector, self.segmenter, self.config = detector, segmenter, config

    @torch.no_grad()
    def predict(self, view: View) -> Estimate:
        joints, confidence = detect(self.detector, view.images)
        mask = None if self.segmenter is None else self.segmenter.predict(view).mask
        h, _ = swarm_fit(self.detector.hand, joints, confidence, mask, self.config)
        return estimate_of(self.detector.hand, h, view)


def fit(config: TrainConfig, out: str | os.PathLike[str], options: FitOptions = DEFAULTS) -> ParticleSwarm:
    """Returns the method with the detector of the options; trains and writes nothing."""
    return ParticleSwarm(checked_detector(options), config=SwarmConfig(seed=config.seed))
