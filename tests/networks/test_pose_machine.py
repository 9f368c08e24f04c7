import pytest
import torch
from torch.nn import functional

from handlib.networks.pose_machine import PoseMachine, layers


@pytest.fixture(scope="module")
def network() -> PoseMachine:
    torch.manual_seed(0)
    network = PoseMachine()
    for layer in network.layers.values():
        torch.nn.init.normal_(layer.bias, std=0.1)
    return network.eval()


def test_layers_are_the_published_ones():
    """Table 2 of the article's supplement, as names of the weights: 13 of 3×3, then 1×1s, then two stages of 7×7s."""
    table = layers()
    assert len(table) == 15 + 2 + 7 + 7
    assert [name for name, (_, _, kernel) in table.items() if kernel == 7] == [
        f"conv{stage}_{number}" for stage in (6, 7) for number in range(1, 6)
    ]
    wanted = {
        "conv1_1": (3, 64, 3), "conv1_2": (64, 64, 3), "conv2_1": (64, 128, 3), "conv2_2": (128, 128, 3),
        "conv3_1": (128, 256, 3), "conv3_4": (256, 256, 3), "conv4_1": (256, 512, 3), "conv4_2": (512, 512, 3),
        "conv4_3": (512, 256, 3), "conv4_6": (256, 256, 3), "conv4_7": (256, 128, 3), "conv5_1": (128, 512, 1),
        "conv5_2": (512, 21, 1), "conv6_1": (149, 128, 7), "conv6_5": (128, 128, 7), "conv6_6": (128, 128, 1),
        "conv6_7": (128, 21, 1), "conv7_1": (149, 128, 7), "conv7_7": (128, 21, 1),
    }  # fmt: skip
    assert wanted.items() <= table.items()


def test_the_paper_s_size(network, generator):
    """256² in, three stages of 21×32×32 out, the last of them being J2D(x)."""
    images = torch.rand(1, 3, 256, 256, generator=generator)
    with torch.no_grad():
        stages = network.stages(images)
        assert [maps.shape for maps in stages] == [(1, 21, 32, 32)] * 3
        assert torch.equal(network(images), stages[-1])


def test_network_equals_its_state_read_by_name(network, generator):
    state = network.double().state_dict()
    images = torch.rand(2, 3, 32, 32, generator=generator, dtype=torch.float64)

    def conv(x, name, rectified=True):
        weight, bias = state[f"layers.{name}.weight"], state[f"layers.{name}.bias"]
        x = functional.conv2d(functional.pad(x, [weight.shape[-1] // 2] * 4), weight, bias)
        return torch.where(x > 0, x, 0.01 * x) if rectified else x

    def halved(x):
        return x.unflatten(2, (-1, 2)).unflatten(4, (-1, 2)).amax((3, 5))

    with torch.no_grad():
        x = images - 0.5
        x = halved(conv(conv(x, "conv1_1"), "conv1_2"))
        x = halved(conv(conv(x, "conv2_1"), "conv2_2"))
        for number in (1, 2, 3, 4):
            x = conv(x, f"conv3_{number}")
        x = halved(x)
        for number in (1, 2, 3, 4, 5, 6, 7):
            x = conv(x, f"conv4_{number}")
        wanted = [conv(conv(x, "conv5_1"), "conv5_2", rectified=False)]
        for stage in (6, 7):
            y = torch.cat([wanted[-1], x], 1)
            for number in (1, 2, 3, 4, 5, 6):
                y = conv(y, f"conv{stage}_{number}")
            wanted.append(conv(y, f"conv{stage}_7", rectified=False))
        for maps, other in zip(network.stages(images), wanted, strict=True):
            torch.testing.assert_close(maps, other)
    network.float()


def test_a_fresh_network_sees_and_its_maps_are_nearly_zero(generator):
    """What comes through 31 layers without normalization neither dies nor explodes."""
    torch.manual_seed(0)
    stages = PoseMachine().stages(torch.rand(2, 3, 64, 64, generator=generator))
    for maps in stages:
        assert 1e-5 < maps.std() < 0.2
        assert (maps[0] - maps[1]).abs().max() > 1e-5


def test_every_weight_gets_a_gradient(generator):
    torch.manual_seed(0)
    network = PoseMachine()
    sum(maps.square().sum() for maps in network.stages(torch.rand(1, 3, 32, 32, generator=generator))).backward()
    for name, weight in network.named_parameters():
        assert weight.grad is not None and weight.grad.abs().max() > 0, name
