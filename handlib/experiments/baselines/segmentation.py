"""The common part of the two segmentation networks: one logit per pixel, cross-entropy, and their size."""

from collections.abc import Callable
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from ...dhpe import DHPEConfig, new_evidence
from ...training.profiles import TrainConfig
from .interface import Estimate, View
from .training import network_run, resized


class Segmenter(nn.Module):
    """Maps images to masks. layers: map centered images to one channel of logits at any resolution; above 0 is hand."""

    def __init__(self, size: int, layers: nn.Module):
        super().__init__()
        self.size, self.layers = size, layers.to(memory_format=torch.channels_last)

    def logits(self, images: Float[Tensor, "b 3 s s"]) -> Float[Tensor, "b s s"]:
        """Computes logits at the size of the images."""
        scores = self.layers(resized(images, self.size) - 0.5)
        return functional.interpolate(scores, images.shape[-2:], mode="bilinear")[:, 0]

    def loss(self, images: Float[Tensor, "b 3 s s"], batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
        """Computes the mean cross-entropy over the images with a known mask (present and not NaN); 0 without any."""
        masks = batch.get("mask", images.new_full((), torch.nan).expand(images[:, 0].shape))
        annotated = ~masks.isnan().flatten(1).any(1)
        logits, masks = self.logits(images)[annotated], masks[annotated]
        loss = functional.binary_cross_entropy_with_logits(logits, masks, reduction="sum") / max(masks.numel(), 1)
        return loss, {"loss": loss.item()}

    @torch.no_grad()
    def predict(self, view: View) -> Estimate:
        return Estimate(mask=self.logits(view.images).sigmoid())


def of_equal_size(network: Callable[[int, int], Segmenter]) -> Callable[[TrainConfig], Segmenter]:
    """Makes a network, of its input's side and its width, that is as large as both evidence networks of a config."""

    def make(config: TrainConfig) -> Segmenter:
        size = input_size(config.model)
        return network(size, equal_width(lambda width: network(size, width), config.model))

    return make


def input_size(config: DHPEConfig) -> int:
    """Returns the side of the input: half the image for lite, whose evidence networks start at a quarter.

    At the full side every layer would have four times the pixels, too many for a CPU.
    """
    return config.size // 2 if config.trunk == "lite" else config.size


def mask_run(config: TrainConfig) -> TrainConfig:
    """Returns the config of a run for networks that only segment, which have no J2D to start trained."""
    return replace(network_run(config), init_pose="")


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def equal_width(make: Callable[[int], nn.Module], config: DHPEConfig) -> int:
    """Returns the width at which a network has about as many parameters as both evidence networks of a DHPE together.

    The number of parameters grows roughly with the square of the width, so only a guess and its neighbors are tried.
    """
    with torch.device("meta"):  # shapes only
        target = sum(parameters(network) for network in new_evidence(config) if network is not None)
        guess = round(8 * (target / parameters(make(8))) ** 0.5)
        return min(range(max(1, guess - 2), guess + 3), key=lambda width: abs(parameters(make(width)) - target))
