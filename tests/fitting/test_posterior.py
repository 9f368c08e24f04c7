"""The energy that `fit` minimises: its derivatives, its camera, its robust function."""

import pytest
import torch
from handlib.posterior import OUTLIER, Anatomy, Posterior, State, robust, root_cam, to_px

from handlib.camera import project

K = torch.tensor([[480.0, 0, 112], [0, 470.0, 100], [0, 0, 1]], dtype=torch.float64)
ONE = torch.ones(1, dtype=torch.float64)


def _state(anatomy, generator) -> State:
    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    rotation = torch.linalg.qr(draw(3, 3, 3))[0]
    rotation = rotation * torch.linalg.det(rotation)[:, None, None]
    place = torch.tensor([100.0, 120.0, 7.0]) + draw(3, 3) * torch.tensor([5.0, 5.0, 0.1])
    return State(1.5 * draw(3, len(anatomy.prior.basis)), draw(3, 10), rotation, place)


@pytest.mark.parametrize("K", [K, None], ids=["pinhole", "orthographic"])
def test_derivatives_match_automatic_ones(hand, K, generator, monkeypatch):
    monkeypatch.setattr("handlib.posterior.OUTLIER", 1e6)  # every weight √ρ' is then 1
    anatomy = Anatomy.of(hand, ONE)
    joints = 112 + 40 * torch.randn(21, 2, generator=generator, dtype=torch.float64)
    visible = torch.rand(21, generator=generator, dtype=torch.float64)
    posterior, state = Posterior(anatomy, joints, visible, K, 0.02), _state(anatomy, generator)
    residual, jacobian = posterior.linearised(state)

    def shifted(step):
        error, known = posterior.residuals(state.moved(step.expand(3, -1)))
        return torch.cat([error.flatten(1), known], 1)

    zero = residual.new_zeros(jacobian.shape[-1])
    torch.testing.assert_close(residual, shifted(zero))
    torch.testing.assert_close(jacobian, torch.func.jacfwd(shifted)(zero), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(posterior.energy(state), residual.square().sum(1) / 2, rtol=1e-6, atol=0)


def test_weights_of_the_joints_give_the_slope_of_the_robust_energy(hand, generator):
    anatomy = Anatomy.of(hand, ONE)
    joints = 112 + 40 * torch.randn(21, 2, generator=generator, dtype=torch.float64)
    posterior, state = Posterior(anatomy, joints, torch.ones(21).double(), K, 0.02), _state(anatomy, generator)
    residual, jacobian = posterior.linearised(state)
    step = residual.new_zeros(3, jacobian.shape[-1], requires_grad=True)
    posterior.energy(state.moved(step)).sum().backward()
    torch.testing.assert_close((jacobian.mT @ residual[..., None])[..., 0], step.grad, atol=1e-5, rtol=1e-5)


def test_robust_function_is_the_square_and_then_flat():
    x = torch.tensor([1e-4, 1e8])
    torch.testing.assert_close(robust(x), torch.tensor([1e-4, OUTLIER**2]), rtol=1e-4, atol=0)


def test_place_is_the_root_in_the_image():
    place = torch.tensor([30.0, 50.0, 6.5], dtype=torch.float64)
    points = torch.zeros(1, 3, dtype=torch.float64)
    for camera in (K, None):
        torch.testing.assert_close(to_px(points, place, camera)[0], place[:2])
    torch.testing.assert_close(project(root_cam(place, K)[None], K)[0], place[:2])
    # A millimetre beside the root is exp(6.5) / 1000 pixels, under either camera.
    beside = torch.tensor([[1e-3, 0.0, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(to_px(beside, place, None)[0, 0] - 30, place[2].exp() / 1e3)
    torch.testing.assert_close(to_px(beside, place, K)[0, 0] - 30, place[2].exp() / 1e3, rtol=0.02, atol=0)
