"""The swarm itself: what a particle means, and that it finds what it looks for."""

import math
from dataclasses import replace

import pytest
import torch

from handlib.experiments.baselines import measure
from handlib.experiments.baselines.interface import detect, estimate_of
from handlib.experiments.baselines.pso import Articulation, ParticleSwarm, SwarmConfig, swarm_fit
from handlib.hand.anatomy import joint_angles, joint_axes, joint_limits, limit_excess
from handlib.hand.joints import MANO16
from handlib.parameters import MeshParameters, posed_skeleton

QUICK = SwarmConfig(particles=48, generations=30)


@pytest.fixture(scope="module")
def particles(hand):
    return Articulation(hand)


@pytest.fixture
def x(particles, generator):
    return particles.low + (particles.high - particles.low) * torch.rand(5, 27, generator=generator)


@pytest.fixture(scope="module")
def target(hand):
    """Joints of three hands that particles can be."""
    particles, generator = Articulation(hand), torch.Generator().manual_seed(1)
    x = particles.low + (particles.high - particles.low) * (0.3 + 0.4 * torch.rand(3, 27, generator=generator))
    return posed_skeleton(hand, particles.h(x))[..., :2]


def test_a_particle_is_a_hand_within_its_limits(hand, particles, x):
    parts = MeshParameters.split(particles.h(x))
    assert limit_excess(parts.pose, joint_axes(hand), joint_limits()).abs().max() < 1e-5
    assert torch.equal(parts.quaternion, x[:, :4]) and torch.equal(parts.translation[:, :2], x[:, 4:6])
    torch.testing.assert_close(parts.scale[:, 0].log(), x[:, 6])
    assert not parts.shape.any() and not parts.translation[:, 2].any()


def test_its_angles_are_twenty_anatomical_ones(hand, particles, x):
    """Four a finger: two at the root, one at each of the others; nothing twists."""
    angles = joint_angles(MeshParameters.split(particles.h(x)).pose, joint_axes(hand))
    at = 7
    for j, name in enumerate(MANO16.joints[1:]):
        torch.testing.assert_close(angles[:, j, 1], x[:, at], atol=1e-5, rtol=0)
        at += 1
        if name.endswith("1"):
            torch.testing.assert_close(angles[:, j, 2], x[:, at], atol=1e-5, rtol=0)
            at += 1
        else:
            assert angles[:, j, 2].abs().max() < 1e-5
        assert angles[:, j, 0].abs().max() < 1e-5
    assert at == 27


def test_crossing_equals_a_loop(hand, particles, x):
    angles = joint_angles(MeshParameters.split(particles.h(x)).pose, joint_axes(hand))
    names = MANO16.joints[1:]
    for row, found in zip(angles, particles.crossing(x), strict=True):
        abduction = [float(row[names.index(f"{f}1"), 2]) for f in ("index", "middle", "ring", "little")]
        wanted = sum(max(0.0, b - a) for a, b in zip(abduction[:-1], abduction[1:], strict=True))
        assert float(found) == pytest.approx(wanted, abs=1e-5)


def test_constriction_is_that_of_the_original():
    assert SwarmConfig().constriction == pytest.approx(0.7298, abs=1e-4)
    with pytest.raises(ValueError, match="own . swarm must be more than 4"):
        _ = SwarmConfig(own=2.0, swarm=2.0).constriction


def test_it_never_gets_worse_and_ends_near(hand, target):
    h, history = swarm_fit(hand, target, config=replace(QUICK, generations=60, particles=128))
    assert h.shape == (3, 63) and history.shape == (3, 61)
    assert (history[:, 1:] <= history[:, :-1]).all()
    assert (history[:, -1] < 0.1 * history[:, 0]).all()
    error = (posed_skeleton(hand, h)[..., :2] - target).square().sum(-1).mean(-1)
    assert (error <= history[:, -1] + 1e-5).all() and error.max().sqrt() < 0.12


def test_the_seed_decides_and_the_batch_does_not_matter(hand, target):
    together, _ = swarm_fit(hand, target, config=QUICK)
    alone, _ = swarm_fit(hand, target[1:2], config=QUICK)
    torch.testing.assert_close(alone[0], together[1])
    assert torch.equal(swarm_fit(hand, target, config=QUICK)[0], together)
    assert not torch.equal(swarm_fit(hand, target, config=replace(QUICK, seed=1))[0], together)


def test_confidence_weighs_the_joints(hand, target):
    """A joint far off that nobody trusts leaves the rest as it is."""
    spoilt, confidence = target.clone(), torch.ones(3, 21)
    spoilt[:, 8] = torch.tensor([0.9, -0.9])
    confidence[:, 8] = 1e-6
    trusted, _ = swarm_fit(hand, spoilt, config=QUICK)
    doubted, _ = swarm_fit(hand, spoilt, confidence, config=QUICK)
    rest = [j for j in range(21) if j != 8]

    def error(h):
        return (posed_skeleton(hand, h)[:, rest, :2] - target[:, rest]).square().sum(-1).mean()

    assert error(doubted) < error(trusted)


def test_the_objective_of_a_perfect_hand_is_its_crossing(hand, particles, monkeypatch):
    """With the swarm at one place that is the answer, nothing but the penalty is left."""
    x = (particles.low + particles.high)[None] / 2
    x[..., 6] = math.log(0.7)
    x[..., :4] = torch.tensor([0.5, -0.5, 0.5, -0.5])
    joints = posed_skeleton(hand, particles.h(x))[..., :2]
    monkeypatch.setattr(torch, "rand", lambda *shape, generator: ((x - particles.low) / span).expand(shape))
    span = particles.high - particles.low
    _, history = swarm_fit(hand, joints, config=replace(QUICK, generations=0))
    assert float(history[0, 0]) == pytest.approx(0.1 * float(particles.crossing(x)), abs=1e-6)


def test_swarm_fits_what_its_detector_sees(detector, few):
    """Far better than the hand that all start from."""
    batch = few.batch(torch.arange(8))
    method = ParticleSwarm(detector)
    method.config = replace(method.config, particles=64, generations=40)
    found = measure(method, few, progress=False)
    start = MeshParameters.initial(detector.hand).expand(8, -1)

    class Start:
        def predict(self, view):
            return estimate_of(detector.hand, start, view)

    blind = measure(Start(), few, progress=False)
    assert found["joints_root_mean_mm"] < 0.7 * blind["joints_root_mean_mm"]
    assert found["mean_iou"] > blind["mean_iou"] + 0.1
    joints, _ = detect(detector, batch["image"])
    assert joints.shape == (8, 21, 2)
