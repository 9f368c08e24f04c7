"""SAME padding against loops that follow its definition."""

import pytest
import torch

from handlib.networks.same_padding import SameConv2d, depthwise


def _looped(x, weight, bias, stride, groups):
    """TensorFlow's SAME, output by output: the padding's larger half is below and to the right."""
    (count, inputs, side, _), (outputs, _, kernel, _) = x.shape, weight.shape
    out = -(-side // stride)
    before = max((out - 1) * stride + kernel - side, 0) // 2
    y = bias.view(1, -1, 1, 1).expand(count, outputs, out, out).clone()
    each = inputs // groups
    for o in range(outputs):
        first = o // (outputs // groups) * each
        for row in range(out):
            for column in range(out):
                for i in range(kernel):
                    for j in range(kernel):
                        r, c = row * stride + i - before, column * stride + j - before
                        if 0 <= r < side and 0 <= c < side:
                            y[:, o, row, column] += x[:, first : first + each, r, c] @ weight[o, :, i, j]
    return y


@pytest.mark.parametrize("side", [6, 8])
@pytest.mark.parametrize(("kernel", "stride"), [(1, 1), (3, 1), (5, 1), (3, 2), (5, 2)])
def test_convolution_is_that_of_the_definition(generator, kernel, stride, side):
    x = torch.randn(2, 4, side, side, generator=generator)
    for layer in (SameConv2d(4, 3, kernel, stride), depthwise(4, kernel, stride)):
        with torch.no_grad():
            expected = _looped(x, layer.weight, layer.bias, stride, layer.groups)
            torch.testing.assert_close(layer(x), expected, atol=1e-5, rtol=1e-5)


def test_depthwise_filters_do_not_mix_channels(generator):
    layer = depthwise(3, 3, bias=False)
    x = torch.randn(1, 3, 6, 6, generator=generator)
    changed = x.clone()
    changed[:, 1] += 1
    assert layer.bias is None
    assert ((layer(changed) - layer(x)).abs().amax((0, 2, 3)) > 1e-6).tolist() == [False, True, False]
