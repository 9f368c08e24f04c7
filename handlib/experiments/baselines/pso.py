"""A hand model fitted by a particle swarm: Oikonomidis, Kyriazis and Argyros, "Efficient model-based 3D tracking of
hand articulations using Kinect", BMVC 2011; the swarm is Kennedy and Eberhart's (1995), constricted.

A particle is 27 numbers: a quaternion, a position in the image, a scale, and 20 joint angles (flexion and abduction of
the five base joints, flexion of the ten other joints) within the limits of hand/anatomy.py. Each particle moves towards
its own best position and towards the best position of the swarm; there is no gradient.

    v ← w (v + c₁ r₁ (own best − x) + c₂ r₂ (swarm's best − x)),   x ← x + v

Differences from the original: the input is one color image, so the objective compares 2D joints instead of depth maps.
There is no previous frame to start from, so more particles start from everywhere. The shape is the model's mean; the
original also has a fixed shape.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ...dhpe import DHPE
from ...hand import HandModel
from ...hand.anatomy import joint_axes, joint_limits
from ...hand.joints import FINGERS, MANO16
from ...parameters import MeshParameters, posed_skeleton
from .interface import Estimate, View, detect, estimate_of

FLEXION, ABDUCTION = 1, 2  # rows of `joint_axes`
CAMERA = 7  # numbers before the angles: quaternion, x and y, logarithm of the scale


@dataclass(frozen=True)
class SwarmConfig:
    particles: int = 256  # 64 in the original, which starts from the previous frame
    generations: int = 80  # 25 in the original
    own: float = 2.8  # c₁
    swarm: float = 1.3  # c₂
    scatter_every: int = 3  # generations after which half of the particles get a new random angle
    abduction: float = 0.1  # weight of each radian by which neighboring fingers cross
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
    config: SwarmConfig = SwarmConfig(),
) -> tuple[Float[Tensor, "b 63"], Float[Tensor, "b g"]]:
    """Fits each hand by a swarm; returns the best h, and the objective at the start and after each generation.

    joints_crop: in crop coordinates. confidence: their weights. The random numbers are the same for every hand, so the
    result does not depend on the batch.
    """
    particles, weight = Articulation(hand), config.constriction
    low, span = particles.low, particles.high - particles.low
    generator = torch.Generator().manual_seed(config.seed)
    n, batch = config.particles, len(joints_crop)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator).to(low)

    weights = torch.ones_like(joints_crop[..., 0]) if confidence is None else confidence
    weights = (weights / weights.sum(-1, keepdim=True))[:, None]

    def objective(x: Float[Tensor, "b n 27"]) -> Float[Tensor, "b n"]:
        joints = posed_skeleton(hand, particles.h(x))[..., :2]
        squared = (joints - joints_crop[:, None]).square().sum(-1)
        return config.abduction * particles.crossing(x) + (weights * squared).sum(-1)

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


class ParticleSwarm:
    """Fits the hand by a swarm to the joints of a detector's J2D."""

    def __init__(self, detector: DHPE, seed: int = 0):
        self.detector, self.config = detector, SwarmConfig(seed=seed)

    @torch.no_grad()
    def predict(self, view: View) -> Estimate:
        joints, confidence = detect(self.detector, view.images)
        h, _ = swarm_fit(self.detector.hand, joints, confidence, self.config)
        return estimate_of(self.detector.hand, h, view)
