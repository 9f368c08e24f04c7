import pytest
import torch
from torch.nn import functional

from handlib.networks.resnet import DEVIATION, MEAN, STAGES, Bottleneck, ResNet50


@pytest.fixture(scope="module")
def network() -> ResNet50:
    torch.manual_seed(0)
    network = ResNet50().double()
    for layer in network.modules():  # statistics as after some training, so that they matter
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.running_mean.normal_(std=0.1)
            layer.running_var.uniform_(0.5, 1.5)
            torch.nn.init.uniform_(layer.weight, 0.5, 1.0)
            torch.nn.init.normal_(layer.bias, std=0.1)
    return network.eval()


def test_names_and_shapes_are_the_published_ones(network):
    """Written down from the article's Table 1 and torchvision's naming; the classifier of 1000 classes is missing."""
    wanted = {"conv1.weight": (64, 3, 7, 7)} | norm("bn1", 64)
    inputs = 64
    for stage, (width, blocks) in enumerate([(64, 3), (128, 4), (256, 6), (512, 3)], 1):
        for block in range(blocks):
            at = f"layer{stage}.{block}"
            wanted |= {f"{at}.conv1.weight": (width, inputs, 1, 1)} | norm(f"{at}.bn1", width)
            wanted |= {f"{at}.conv2.weight": (width, width, 3, 3)} | norm(f"{at}.bn2", width)
            wanted |= {f"{at}.conv3.weight": (4 * width, width, 1, 1)} | norm(f"{at}.bn3", 4 * width)
            if block == 0:
                wanted |= {f"{at}.downsample.0.weight": (4 * width, inputs, 1, 1)}
                wanted |= norm(f"{at}.downsample.1", 4 * width)
            inputs = 4 * width
    assert {name: tuple(value.shape) for name, value in network.state_dict().items()} == wanted


def norm(name: str, width: int) -> dict[str, tuple[int, ...]]:
    vectors = {f"{name}.{part}": (width,) for part in ("weight", "bias", "running_mean", "running_var")}
    return vectors | {f"{name}.num_batches_tracked": ()}


def test_number_of_parameters(network):
    """torchvision documents 25,557,032 for ResNet-50, of which the classifier has 2048 · 1000 + 1000."""
    assert sum(p.numel() for p in network.parameters()) == 25_557_032 - 2_049_000


def convolved(x, weight, stride, padding):
    """A convolution, number by number."""
    outputs, inputs, kernel, _ = weight.shape
    side = (x.shape[-1] + 2 * padding - kernel) // stride + 1
    y = torch.zeros(outputs, side, side, dtype=x.dtype)
    for o in range(outputs):
        for row in range(side):
            for column in range(side):
                for r in range(kernel):
                    for c in range(kernel):
                        at_row, at_column = row * stride + r - padding, column * stride + c - padding
                        if 0 <= at_row < x.shape[-2] and 0 <= at_column < x.shape[-1]:
                            y[o, row, column] += (weight[o, :, r, c] * x[:, at_row, at_column]).sum()
    return y


def normalized(x, layer):
    scale = layer.weight / (layer.running_var + 1e-5) ** 0.5
    return (x - layer.running_mean[:, None, None]) * scale[:, None, None] + layer.bias[:, None, None]


@pytest.mark.parametrize("inputs, stride, side", [(8, 1, 4), (3, 1, 4), (8, 2, 5), (8, 2, 4)])
def test_bottleneck_equals_a_loop(inputs, stride, side, generator):
    """The stride is in the 3×3; the shortcut is convolved only where the shape changes. Odd sides round up."""
    torch.manual_seed(0)
    block = Bottleneck(inputs, 2, stride).double().eval()
    for layer in block.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.running_mean.normal_()
            layer.running_var.uniform_(0.5, 2)
    x = torch.randn(inputs, side, side, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        y = normalized(convolved(x, block.conv1.weight, 1, 0), block.bn1).clamp(min=0)
        y = normalized(convolved(y, block.conv2.weight, stride, 1), block.bn2).clamp(min=0)
        y = normalized(convolved(y, block.conv3.weight, 1, 0), block.bn3)
        shortcut = x
        if inputs != 8 or stride == 2:
            shortcut = normalized(convolved(x, block.downsample[0].weight, stride, 0), block.downsample[1])
        torch.testing.assert_close(block(x[None])[0], (y + shortcut).clamp(min=0))
    assert y.shape[-1] == -(-side // stride)


def test_network_equals_its_state_read_by_name(network, generator):
    """The whole forward pass from the published names alone: what the weights mean elsewhere they mean here."""
    state = network.state_dict()
    images = torch.rand(2, 3, 64, 64, generator=generator, dtype=torch.float64)

    def conv_norm(x, conv, bn, stride=1, padding=0):
        x = functional.conv2d(x, state[f"{conv}.weight"], None, stride, padding)
        moments = state[f"{bn}.running_mean"], state[f"{bn}.running_var"]
        return functional.batch_norm(x, *moments, state[f"{bn}.weight"], state[f"{bn}.bias"])

    with torch.no_grad():
        x = (images - torch.tensor(MEAN)[:, None, None].double()) / torch.tensor(DEVIATION)[:, None, None].double()
        x = functional.max_pool2d(conv_norm(x, "conv1", "bn1", 2, 3).relu(), 3, 2, 1)
        assert x.shape == (2, 64, 16, 16)
        for stage in (1, 2, 3, 4):
            block = 0
            while f"layer{stage}.{block}.conv1.weight" in state:
                at, stride = f"layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1
                y = conv_norm(x, f"{at}.conv1", f"{at}.bn1").relu()
                y = conv_norm(y, f"{at}.conv2", f"{at}.bn2", stride, 1).relu()
                y = conv_norm(y, f"{at}.conv3", f"{at}.bn3")
                if f"{at}.downsample.0.weight" in state:
                    x = conv_norm(x, f"{at}.downsample.0", f"{at}.downsample.1", stride)
                x = (x + y).relu()
                block += 1
            assert block == STAGES[stage - 1][1]
        assert x.shape == (2, 2048, 2, 2)
        torch.testing.assert_close(network(images), x.flatten(2).mean(-1))


def test_normalization_is_imagenets():
    """In bytes: 123.7, 116.3, 103.5 and 58.4, 57.1, 57.4, as given with every network trained on ImageNet."""
    torch.testing.assert_close(255 * torch.tensor(MEAN), torch.tensor([123.675, 116.28, 103.53]))
    torch.testing.assert_close(255 * torch.tensor(DEVIATION), torch.tensor([58.395, 57.12, 57.375]))


def test_every_weight_gets_a_gradient(generator):
    torch.manual_seed(0)
    network = ResNet50()
    network(torch.rand(2, 3, 32, 32, generator=generator)).square().sum().backward()
    for name, weight in network.named_parameters():
        assert weight.grad is not None and weight.grad.abs().max() > 0, name
