"""Lifting evidence to hands: points of the landmark sets, three guesses in space, the frame before."""

import pytest
import torch

from handlib.camera import project
from handlib.fitting.lift import BLUR, Guess, Lifter, to_ray
from handlib.fitting.posterior import Noise, Observation, Posterior
from handlib.fitting.solver import descend
from handlib.fitting.starts import Samples, starts_from_3d
from handlib.networks.turned_crop import HandEvidence, TurnedCrop
from handlib.output import DHPEOutput

K = torch.tensor([[600.0, 0, 320], [0, 600, 240], [0, 0, 1]])


@pytest.fixture(scope="module")
def lifter(hand):
    return Lifter(hand)


@pytest.fixture(scope="module")
def truth(hand):
    """Three hands 0.6 m away, off the optical axis: their meshes in the camera frame."""
    pose, shape = hand.sample(3, torch.Generator().manual_seed(4))
    vertices = hand(pose, 0.5 * shape).vertices * torch.tensor([1.0, -1, -1])
    return vertices + torch.tensor([0.15, -0.05, 0.6])


def _evidence(lifter, truth):
    """What a network without errors says of them: points in the image, and in space as seen along the ray."""
    points = project(lifter.image @ truth, K)
    space = lifter.space @ truth
    own = to_ray(points.mean(1), K.expand(3, 3, 3))
    return points, Guess.of((space - space.mean(1, keepdim=True)) @ own)


def _e3d(vertices):
    n = len(vertices)
    return DHPEOutput(torch.zeros(n, 63), vertices, torch.zeros(n, 21, 3), torch.zeros(n, 21, 2))


def _upright(n):
    return TurnedCrop(torch.zeros(n, 2), torch.ones(n), torch.zeros(n))


def test_exact_evidence_gives_the_hand(hand, lifter, truth):
    points, guess = _evidence(lifter, truth)
    lifted = lifter(points, guess, K.expand(3, 3, 3), iterations=20)
    joints = hand.regress_joints(truth)
    off = lifted.output.joints_3d - (joints - joints[:, 9:10])
    assert off.norm(dim=-1).mean() < 0.006
    assert (lifted.output.root_cam[:, 2] / joints[:, 9, 2] - 1).abs().max() < 0.2
    assert lifted.residual.shape == (3, 21) and lifted.residual.mean() < 1


def test_without_intrinsics_there_is_no_depth(lifter, truth):
    points, guess = _evidence(lifter, truth)
    assert lifter(points, guess, iterations=2).output.root_cam is None


def test_a_hand_stays_near_its_last_frame(lifter, truth):
    points, guess = _evidence(lifter, truth)
    first = lifter(points, guess, K.expand(3, 3, 3), iterations=20)
    still = lifter(points, guess, K.expand(3, 3, 3), before=first.state)
    torch.testing.assert_close(still.state.z, first.state.z, atol=0.05, rtol=0)
    # Points that jump by a quarter of the hand are believed less than without a frame before.
    jumped = points.clone()
    jumped[:, 8] += 40
    free, held = (lifter(jumped, guess, K.expand(3, 3, 3), before) for before in (None, first.state))
    moved = [(one.output.joints_3d - first.output.joints_3d).norm(dim=-1).mean() for one in (free, held)]
    assert moved[1] < moved[0]


def test_three_guesses_that_agree_are_one(lifter, truth):
    """Points in the image with flattened depths, points in space, and a mesh, all of one hand."""
    space = lifter.space @ truth
    space = space - space.mean(1, keepdim=True)
    flattened, n = space * torch.tensor([4.0, 4, 4 / 1.3]), len(space)
    for presence in (1.0, 0.8, 0.1):
        sure = torch.full((n,), presence)
        evidence = HandEvidence(flattened, sure, sure, space, torch.zeros(n, 1152))
        guess = lifter.guess(_upright(n), evidence, _e3d(truth))
        torch.testing.assert_close(guess.points, space, atol=1e-5, rtol=1e-4)


def test_an_unsure_network_leaves_the_guess_to_e3d(lifter, truth):
    n, wrong = len(truth), torch.randn(len(truth), 21, 3, generator=torch.Generator().manual_seed(0))
    evidence = HandEvidence(wrong, torch.full((n,), 0.5), torch.ones(n), wrong, torch.zeros(n, 1152))
    space = lifter.space @ truth
    guess = lifter.guess(_upright(n), evidence, _e3d(truth))
    torch.testing.assert_close(guess.points, space - space.mean(1, keepdim=True))
    torch.testing.assert_close(guess.blur, torch.full((n,), 1 + BLUR))


def test_the_size_of_the_guess_is_that_of_e3d(lifter, truth):
    space, n = lifter.space @ truth, len(truth)
    space = space - space.mean(1, keepdim=True)
    flattened = space * torch.tensor([4.0, 4, 4 / 1.3])
    evidence = HandEvidence(flattened, torch.ones(n), torch.ones(n), 1.5 * space, torch.zeros(n, 1152))
    guess = lifter.guess(_upright(n), evidence, _e3d(truth))
    torch.testing.assert_close(guess.points.norm(dim=(1, 2)), space.norm(dim=(1, 2)))


def test_the_shape_stays_near_that_of_a_network(lifter, truth):
    points, guess = _evidence(lifter, truth)
    beta = torch.tensor([2.0, -1, 0, 0, 0, 0, 0, 0, 0, 0]).expand(3, 10)
    free, near = (lifter(points, guess._replace(beta=b), K.expand(3, 3, 3)).state.beta for b in (None, beta))
    assert ((near - beta).norm(dim=1) < (free - beta).norm(dim=1)).all()


def test_blurred_points_are_followed_less(lifter, truth):
    points, guess = _evidence(lifter, truth)
    points = points + 3 * torch.randn(3, 21, 2, generator=torch.Generator().manual_seed(1))
    sharp, blurred = (
        lifter(points, guess._replace(blur=blur * guess.blur), K.expand(3, 3, 3)).output.joints_2d for blur in (1, 10)
    )
    off = [(joints - points).norm(dim=-1).mean() for joints in (sharp, blurred)]
    assert off[1] > off[0]


def test_axis_is_turned_to_the_ray():
    px = torch.tensor([[320.0, 240], [100, 400], [640, 0]])
    turn = to_ray(px, K.expand(3, 3, 3))
    torch.testing.assert_close(turn @ turn.mT, torch.eye(3).expand(3, 3, 3), atol=1e-6, rtol=0)
    torch.testing.assert_close(turn[0], torch.eye(3), atol=1e-6, rtol=0)
    rays = turn @ torch.tensor([0.0, 0, 1])
    torch.testing.assert_close(project(rays[:, None], K)[:, 0], px, atol=1e-2, rtol=0)


def test_descent_never_raises_the_energy(lifter, truth):
    points, guess = (part.double() for part in _evidence(lifter, truth))
    beta = torch.ones(3, 10).double()
    seen = Observation(points, torch.ones(3, 21).double(), K.double().expand(3, 3, 3), guess.points, beta=beta)
    posterior = Posterior(lifter.anatomy, seen, Noise())
    state = starts_from_3d(posterior, lifter.samples, 1)
    before = posterior.energy(state)
    for _ in range(3):
        state, energy = descend(posterior, state, 2)
        assert (energy <= before).all()
        torch.testing.assert_close(energy, posterior.energy(state))
        before = energy


def test_start_is_the_sample_that_is_seen(hand, lifter, generator):
    """Points of three samples, turned and moved, find themselves."""
    samples = Samples.of(hand, lifter.anatomy, generator, most=40)
    own = torch.tensor([3, 17, 39])
    turn = torch.linalg.qr(torch.randn(3, 3, generator=generator, dtype=torch.float64))[0]
    turn = turn * torch.linalg.det(turn)
    points = samples.points[own] @ turn.T
    seen = Observation(500 * points[:, :21, :2] + 200, torch.ones(3, 21).double(), None, points[:, -21:] + 0.7)
    state = starts_from_3d(Posterior(lifter.anatomy, seen, Noise()), samples, 2)
    torch.testing.assert_close(state.z[::2], samples.z[own])
    torch.testing.assert_close(state.rotation[::2], turn.expand(3, 3, 3), atol=1e-6, rtol=0)
    torch.testing.assert_close(state.place[::2, 2].exp(), torch.full((3,), 500.0).double(), atol=1e-3, rtol=0)


def test_a_hand_whose_points_are_all_wrong_stays_in_the_world(lifter, generator):
    points = 112 + 60 * torch.randn(2, 21, 2, generator=generator)
    guess = Guess.of(0.05 * torch.randn(2, 21, 3, generator=generator))
    output = lifter(points, guess, K.expand(2, 3, 3), iterations=40).output
    assert output.vertices.isfinite().all() and (output.root_cam[:, 2].abs() < 1e3).all()
