"""DHPE at the paper's size: trunk `paper`."""

import urllib.error

import pytest
import torch

from handlib import DHPE, DHPEConfig
from handlib.losses import LossWeights
from handlib.training.loss import dhpe_loss


@pytest.fixture
def offline(monkeypatch):
    """No test downloads anything; the calls are counted."""
    calls = []

    def refuse(url, **options):
        calls.append(url)
        raise urllib.error.URLError("offline")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", refuse)
    return calls


@pytest.fixture(scope="module")
def paper() -> DHPE:
    torch.manual_seed(0)
    return DHPE(DHPEConfig.paper(pretrained=False)).eval()


def test_the_paper_s_sizes(paper):
    """Sec. 3: single layers 2153 → 63 and 2216 → 42, three steps, the highest pixel; ResNet-50 less its classifier."""
    config = paper.config
    assert (config.size, config.pose_size, config.iterations, config.subpixel) == (224, 256, 3, False)
    assert paper.regressor.estimate.weight.shape == (63, 2153) and paper.regressor.refiner.weight.shape == (42, 2216)
    assert sum(p.numel() for p in paper.feature_extractor.parameters()) == 23_508_032


@pytest.mark.parametrize("size", [224, 96])
def test_each_network_gets_its_own_size(paper, generator, size):
    """Whatever the image's: F 224², J2D 256² and so 32² heat maps, joints in the image's own pixels."""
    sides = []
    hooks = [
        paper.feature_extractor.conv1.register_forward_pre_hook(lambda _, x: sides.append(x[0].shape[-1])),
        paper.pose_network.layers["conv1_1"].register_forward_pre_hook(lambda _, x: sides.append(x[0].shape[-1])),
    ]
    with torch.no_grad():
        out = paper(torch.rand(1, 3, size, size, generator=generator))
    for hook in hooks:
        hook.remove()
    assert sides == [224, 256]
    assert out.features.shape == (1, 2048) and out.heatmaps.shape == (1, 21, 32, 32)
    assert [maps.shape for maps in out.earlier_heatmaps] == [(1, 21, 32, 32)] * 2
    assert out.size == size and torch.isfinite(out.vertices).all()
    pixels = (out.history[0].evidence_2d + 1) * 16 - 0.5
    torch.testing.assert_close(pixels, pixels.round(), rtol=0, atol=1e-4)  # argmax: centers of pixels


@pytest.mark.slow
def test_all_weights_of_the_paper_s_networks_learn():
    """By the full loss, every stage of J2D included. At a small size, since depth is what matters here."""
    torch.manual_seed(0)
    model = DHPE(DHPEConfig.paper(size=32, pose_size=32, pretrained=False))
    hands = {
        "image": torch.rand(2, 3, 32, 32), "mask": torch.rand(2, 32, 32), "joints_px": 32 * torch.rand(2, 21, 2),
        "joints_cam": 0.1 * torch.rand(2, 21, 3) + torch.tensor([0, 0, 0.5]),
        "K": torch.tensor([[60.0, 0, 16], [0, 60, 16], [0, 0, 1]]).expand(2, 3, 3),
    }  # fmt: skip
    loss, log = dhpe_loss(model, model(hands["image"]), hands["image"], hands, LossWeights())
    loss.backward()
    assert log["earlier_heatmaps"] > 0
    silent = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert not silent


def test_published_weights_are_asked_for_once_and_never_for_a_checkpoint(offline, tmp_path):
    config = DHPEConfig.paper(size=32, pose_size=32)
    with pytest.warns(UserWarning, match="F starts from random weights") as caught:
        model = DHPE(config).eval()
    assert len(offline) == len(caught) == 1
    model.save(tmp_path / "model.safetensors")
    read = DHPE.from_pretrained(tmp_path / "model.safetensors")
    assert len(offline) == 1 and read.config == config
    image = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(read(image).vertices, model(image).vertices)


def test_lite_asks_for_nothing(tiny, offline):
    DHPE(tiny.config)
    assert not offline


def test_posenet_weights_that_are_not_there():
    with pytest.raises(FileNotFoundError, match="no weights at /nowhere"):
        DHPE(DHPEConfig.paper(pretrained=False, posenet="/nowhere/posenet.pickle"))
