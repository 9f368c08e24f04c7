import math

import pytest
import torch

from handlib.hand.rotations import rotmat_minus_identity, rotvec_to_rotmat


def rotmat_naive(rotvec: torch.Tensor) -> torch.Tensor:
    """The exponential of [v]×, one vector at a time."""
    x, y, z = rotvec
    zero = torch.zeros_like(x)
    return torch.linalg.matrix_exp(torch.stack([zero, -z, y, z, zero, -x, -y, x, zero]).view(3, 3))


@pytest.mark.parametrize("angle", [0, 1e-9, 1e-4, 0.5, math.pi / 2, math.pi, 3, 2 * math.pi, 10])
def test_equals_the_exponential(lead, generator, angle):
    """Values and gradients, at a full turn and for the zero vector too."""
    rotvec = torch.randn(*lead, 3, generator=generator, dtype=torch.float64)
    rotvec = (angle * rotvec / rotvec.norm(dim=-1, keepdim=True)).requires_grad_()
    pull = torch.randn(*lead, 3, 3, generator=generator, dtype=torch.float64)
    fast = rotvec_to_rotmat(rotvec)
    slow = torch.stack([rotmat_naive(v) for v in rotvec.view(-1, 3)]).view(*lead, 3, 3)
    torch.testing.assert_close(fast, slow, rtol=0, atol=1e-13)
    gradients = [torch.autograd.grad((r * pull).sum(), rotvec)[0] for r in (fast, slow)]
    torch.testing.assert_close(*gradients, rtol=0, atol=1e-7)


def test_is_a_rotation(generator):
    r = rotvec_to_rotmat(3 * torch.randn(500, 3, generator=generator))
    torch.testing.assert_close(r @ r.mT, torch.eye(3).expand_as(r), rtol=0, atol=2e-6)
    torch.testing.assert_close(torch.linalg.det(r), torch.ones(500), rtol=0, atol=2e-6)


def test_small_rotations_keep_their_digits(generator):
    """In single precision R − I, formed as a difference, would have an error of 6e-8, here 0.6 %."""
    rotvec = 1e-5 * torch.randn(20, 3, generator=generator)
    exact = torch.stack([rotmat_naive(v) for v in rotvec.double()]) - torch.eye(3).double()
    found = rotmat_minus_identity(rotvec).double()
    assert (found - exact).abs().max() < 1e-6 * exact.abs().max()


@pytest.mark.parametrize("scale", [0, 1e-30, 1e-12, 1e-6, 1e-3])
def test_single_precision_gradients_near_zero(scale, generator):
    """The derivative of R by v at zero is [·]×: the pull's antisymmetric part, twice."""
    rotvec = (scale * torch.randn(50, 3, generator=generator)).requires_grad_()
    pull = torch.randn(50, 3, 3, generator=generator)
    (gradient,) = torch.autograd.grad((rotmat_minus_identity(rotvec) * pull).sum(), rotvec)
    twist = pull - pull.mT
    expected = torch.stack([twist[:, 2, 1], twist[:, 0, 2], twist[:, 1, 0]], -1)
    torch.testing.assert_close(gradient, expected, rtol=0, atol=1e-5 + 10 * scale)


def test_no_rotations_at_all():
    assert rotvec_to_rotmat(torch.zeros(0, 3)).shape == (0, 3, 3)
