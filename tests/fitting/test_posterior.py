"""The energy that `fit` minimizes: its derivatives, its camera, its robust function, its weights."""

import pytest
import roma
import torch

from handlib.camera import project
from handlib.fitting.posterior import Anatomy, Noise, Observation, Posterior, State, robust, root_cam, to_px

CAMERA = torch.tensor([[480.0, 3, 112], [0, 470.0, 100], [0, 0, 1]], dtype=torch.float64)
ONE = torch.ones(1, dtype=torch.float64)
TRUSTING = Noise(outlier=1e6, outlier_3d=1e6)  # every weight √ρ' is then 1


@pytest.fixture(scope="module")
def anatomies(hand):
    """Points that are joints in the image and in space, and points of two kinds: 42 rows."""
    other = hand.joint_regressor.roll(7, 1)
    return {21: Anatomy.of(hand, ONE), 42: Anatomy.of(hand, ONE, torch.cat([hand.joint_regressor, other]))}


def _draw(generator, *shape):
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def _state(anatomy, generator) -> State:
    rotation = roma.rotvec_to_rotmat(2 * _draw(generator, 3, 3))
    place = torch.tensor([100.0, 120.0, 7.0]) + _draw(generator, 3, 3) * torch.tensor([5.0, 5.0, 0.1])
    return State(1.5 * _draw(generator, 3, len(anatomy.prior.basis)), _draw(generator, 3, 10), rotation, place)


def _observation(generator, pinhole=True, space=False, before=None) -> Observation:
    return Observation(
        112 + 40 * _draw(generator, 3, 21, 2),
        torch.rand(3, 21, generator=generator, dtype=torch.float64),
        CAMERA.expand(3, 3, 3) if pinhole else None,
        0.3 + 0.05 * _draw(generator, 3, 21, 3) if space else None,
        before,
        beta=_draw(generator, 3, 10) if space else None,
    )


def _residuals(posterior, state):
    image, space, known = posterior.residuals(state)
    return torch.cat([part.flatten(1) for part in (image, space, known) if part is not None], 1)


@pytest.mark.parametrize("pinhole", [True, False], ids=["pinhole", "orthographic"])
@pytest.mark.parametrize("rows", [0, 21, 42], ids="points in space: {}".format)
def test_derivatives_match_automatic_ones(anatomies, generator, pinhole, rows):
    anatomy = anatomies[rows or 21]
    state = _state(anatomy, generator)
    # The turn since the frame before is small, and its derivative is taken at none.
    before = state._replace(z=state.z + 0.3, beta=state.beta - 0.1, place=state.place + 2) if rows else None
    posterior = Posterior(anatomy, _observation(generator, pinhole, rows > 0, before), TRUSTING)
    residual, jacobian = posterior.linearized(state)
    zero = residual.new_zeros(jacobian.shape[-1])
    expected = torch.func.jacfwd(lambda step: _residuals(posterior, state.moved(step.expand(3, -1))))(zero)
    torch.testing.assert_close(residual, _residuals(posterior, state))
    torch.testing.assert_close(jacobian, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(posterior.energy(state), residual.square().sum(1) / 2, rtol=1e-6, atol=0)


@pytest.mark.parametrize("space", [False, True], ids=["image", "image and space"])
def test_rows_give_the_slope_of_the_robust_energy(anatomies, generator, space):
    anatomy = anatomies[42]
    posterior, state = Posterior(anatomy, _observation(generator, space=space), Noise()), _state(anatomy, generator)
    residual, jacobian = posterior.linearized(state)
    step = residual.new_zeros(3, jacobian.shape[-1], requires_grad=True)
    posterior.energy(state.moved(step)).sum().backward()
    slope = (jacobian.mT @ residual[..., None])[..., 0]
    torch.testing.assert_close(slope, step.grad, atol=1e-5, rtol=1e-5)


def test_points_of_weight_zero_change_nothing(anatomies, generator):
    state, seen = _state(anatomies[42], generator), _observation(generator, space=True)
    seen.weight[:, [0, 9, 20]] = 0
    other = seen._replace(points_px=seen.points_px.clone(), points_3d=seen.points_3d.clone())
    other.points_px[:, [0, 9, 20]] = 1e4
    other.points_3d[:, [0, 9, 20]] = -3.0
    one, two = (Posterior(anatomies[42], part, Noise()) for part in (seen, other))
    torch.testing.assert_close(one.energy(state), two.energy(state))
    for a, b in zip(one.linearized(state), two.linearized(state), strict=True):
        torch.testing.assert_close(a, b)


def test_weights_multiply_squared_errors(anatomies, generator):
    anatomy = anatomies[21]
    state, seen = _state(anatomy, generator), _observation(generator)
    once, twice = (
        Posterior(anatomy, seen._replace(weight=weight), TRUSTING).residuals(state)[0].square()
        for weight in (seen.weight, 2 * seen.weight)
    )
    torch.testing.assert_close(twice, 2 * once)


def test_origin_of_the_points_in_space_is_free(anatomies, generator):
    state, seen = _state(anatomies[42], generator), _observation(generator, space=True)
    moved = seen._replace(points_3d=seen.points_3d + torch.tensor([0.1, -2.0, 0.5]))
    one, two = (Posterior(anatomies[42], part, Noise()).energy(state) for part in (seen, moved))
    torch.testing.assert_close(one, two)


def test_rows_do_not_depend_on_each_other(anatomies, generator):
    anatomy = anatomies[42]
    state = _state(anatomy, generator)
    seen = _observation(generator, space=True, before=_state(anatomy, generator))
    posterior, row = Posterior(anatomy, seen, Noise()), torch.tensor([2, 0, 2])
    torch.testing.assert_close(posterior.take(row).energy(state.take(row)), posterior.energy(state)[row])


def test_robust_function_is_the_square_and_then_flat():
    x = torch.tensor([1e-4, 1e8])
    torch.testing.assert_close(robust(x, 3.0), torch.tensor([1e-4, 9.0]), rtol=1e-4, atol=0)


def test_place_is_the_root_in_the_image():
    place = torch.tensor([30.0, 50.0, 6.5], dtype=torch.float64)
    points = torch.zeros(1, 3, dtype=torch.float64)
    for camera in (CAMERA, None):
        torch.testing.assert_close(to_px(points, place, camera)[0], place[:2])
    torch.testing.assert_close(project(root_cam(place, CAMERA)[None], CAMERA)[0], place[:2])
    # A millimeter beside the root is exp(6.5) / 1000 pixels, under either camera.
    beside = torch.tensor([[1e-3, 0.0, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(to_px(beside, place, None)[0, 0] - 30, place[2].exp() / 1e3)
    torch.testing.assert_close(to_px(beside, place, CAMERA)[0, 0] - 30, place[2].exp() / 1e3, rtol=0.02, atol=0)
