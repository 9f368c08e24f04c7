"""Hands of which each baseline learns or fits a handful, and a detector that is always right."""

import pytest
import torch

from handlib import DHPE
from handlib.camera import px_to_crop
from handlib.data import CachedHands
from handlib.evidence import target_heatmaps
from handlib.experiments.baselines import FitOptions, train_network
from handlib.training.train import preset, read_log


def first(n: int, data: CachedHands) -> CachedHands:
    return CachedHands({key: value[:n] for key, value in data.tensors.items()}, f"the first {n}")


@pytest.fixture(scope="session")
def few(data) -> CachedHands:
    return first(8, data)


@pytest.fixture(scope="session")
def four(data) -> CachedHands:
    return first(4, data)


@pytest.fixture(scope="session")
def two(data) -> CachedHands:
    return first(2, data)


@pytest.fixture
def options(few) -> FitOptions:
    return FitOptions(data=(few, few), progress=False)


class TrueHeatmaps(torch.nn.Module):
    """A J2D that is always right: it recognizes the pictures of a data set and knows where their joints are."""

    def __init__(self, data: CachedHands):
        super().__init__()
        self.truth = data.batch(torch.arange(len(data)))

    def stages(self, images):
        return [self(images)]

    def forward(self, images):
        row = (images[:, None] - self.truth["image"]).abs().mean((2, 3, 4)).argmin(1)
        return target_heatmaps(px_to_crop(self.truth["joints_px"][row], 64), 16)


@pytest.fixture(scope="module")
def detector(few) -> DHPE:
    model = DHPE(preset("smoke").model).eval()
    model.pose_network = TrueHeatmaps(few)
    return model


@pytest.fixture
def overfit(tmp_path):
    """Trains a network on the same few pictures; returns it, and the loss terms of its first and last epoch."""

    def trained(network, data, epochs, rate):
        config = preset("smoke", epochs=epochs, batch_size=8, color_jitter=0.0, learning_rate=rate)
        network = train_network(lambda: network, config, tmp_path, FitOptions(data=(data, data), progress=False))
        rows = read_log(tmp_path)
        return network, rows[0], rows[-1]

    return trained
