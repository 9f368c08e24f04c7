"""Networks that find the hand's mask: HandSegNet and a plain encoder–decoder."""

import pytest
import torch

from handlib import DHPE
from handlib.dhpe import DHPEConfig
from handlib.experiments.baselines import measure, view_of
from handlib.experiments.baselines.encoder_decoder import EncoderDecoder
from handlib.experiments.baselines.handsegnet import HandSegNet
from handlib.experiments.baselines.segmentation import equal_width, parameters
from handlib.training.train import preset

SMALL = preset("smoke").model


@pytest.mark.parametrize("make", [HandSegNet, EncoderDecoder])
def test_segmentation_overfits(four, overfit, make):
    torch.manual_seed(0)
    network, first, last = overfit(make(64, 6), four, 35, 1e-2)
    assert last["loss"] < 0.6 * first["loss"]
    found = measure(network, four, progress=False)
    assert found["mean_iou"] > 0.55 and found.keys() == {
        "pixel_accuracy", "mean_accuracy", "mean_iou", "frequency_weighted_iou",
    }  # fmt: skip


def test_handsegnet_is_the_originals_at_width_64():
    layers = [layer for part in HandSegNet(256).layers for layer in part.modules() if hasattr(layer, "out_channels")]
    assert [layer.out_channels for layer in layers] == [64] * 2 + [128] * 2 + [256] * 4 + [512] * 5 + [128, 512, 1]
    assert [layer.kernel_size[0] for layer in layers] == [3] * 14 + [1] * 2


@pytest.mark.parametrize(
    "config", [DHPEConfig(), SMALL, DHPEConfig.paper(pretrained=False)], ids=["lite", "smoke", "paper"]
)
@pytest.mark.parametrize("make", [HandSegNet, EncoderDecoder])
def test_segmentation_has_the_size_of_the_evidence_networks(make, config):
    model = DHPE(config)
    wanted = parameters(model.feature_extractor) + parameters(model.pose_network)
    width = equal_width(lambda w: make(config.size, w), config)
    assert parameters(make(config.size, width)) == pytest.approx(wanted, rel=0.15)


@pytest.mark.parametrize("make", [HandSegNet, EncoderDecoder])
def test_masks_have_the_size_of_the_picture(make, few):
    view = view_of(few.batch(torch.arange(2)))
    large = view._replace(images=torch.nn.functional.interpolate(view.images, (96, 96)))
    mask = make(64, 4).eval().predict(large).mask
    assert mask.shape == (2, 96, 96) and 0 <= mask.min() and mask.max() <= 1


@pytest.mark.parametrize("make", [HandSegNet, EncoderDecoder])
def test_segmentation_learns_nothing_from_pictures_without_masks(make, few):
    batch = few.batch(torch.arange(2))
    network = make(64, 4)
    for masks in ({}, {"mask": torch.full((2, 64, 64), torch.nan)}):
        loss, _ = network.loss(batch["image"], {"joints_px": batch["joints_px"], **masks})
        assert loss.requires_grad and float(loss.detach()) == 0
