"""The weights that ship: only those, and frozen."""

import shutil

import pytest
import torch

from handlib.networks import published
from handlib.networks.landmarks import LandmarkNetwork
from handlib.networks.palms import PalmNetwork

LOADERS = {"hand_landmarks": published.landmark_network, "palms": published.palm_network}


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """A copy of the folder of weights, and nothing loaded yet."""
    for name in LOADERS:
        shutil.copy(published.WEIGHTS / f"{name}.safetensors", tmp_path)
    monkeypatch.setattr(published, "WEIGHTS", tmp_path)
    for loader in LOADERS.values():
        loader.cache_clear()
    yield tmp_path
    for loader in LOADERS.values():
        loader.cache_clear()


@pytest.mark.parametrize(("name", "kind"), [("hand_landmarks", LandmarkNetwork), ("palms", PalmNetwork)])
def test_network_is_frozen_and_loaded_once(name, kind):
    network = LOADERS[name]()
    assert isinstance(network, kind) and not network.training
    assert not any(p.requires_grad for p in network.parameters())
    assert LOADERS[name]() is network


@pytest.mark.parametrize("name", LOADERS)
def test_another_file_is_refused(weights, name):
    file = weights / f"{name}.safetensors"
    changed = bytearray(file.read_bytes())
    changed[-1] ^= 1
    file.write_bytes(changed)
    with pytest.raises(ValueError, match=rf"{name}\.safetensors: .*SHA-256.*install handlib again"):
        LOADERS[name]()


@pytest.mark.parametrize("name", LOADERS)
def test_a_missing_file_is_named(weights, name):
    (weights / f"{name}.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=rf"{name}\.safetensors"):
        LOADERS[name]()


def test_a_network_of_ones_own_gets_the_same_weights():
    network = LandmarkNetwork()
    published.load_landmarks(network)
    for own, shipped in zip(network.parameters(), published.landmark_network().parameters(), strict=True):
        assert torch.equal(own, shipped)
