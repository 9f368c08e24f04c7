"""What compares a loss with the same in a loop."""

from itertools import product

import torch

B = 3


def randn(generator, *shape):
    return torch.randn(*shape, generator=generator, dtype=torch.float64, requires_grad=True)


def cells(*shape):
    """The indices of every number in a tensor."""
    return product(*map(range, shape))


def mean_of(values):
    values = list(values)
    return sum(values) / len(values)


def same(fast, slow, *inputs):
    """Values, and gradients by every input."""
    torch.testing.assert_close(fast, slow)
    for a, b in zip(torch.autograd.grad(fast, inputs), torch.autograd.grad(slow, inputs), strict=True):
        torch.testing.assert_close(a, b)
