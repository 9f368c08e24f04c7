from dataclasses import replace
from math import nan

import pytest

from handlib import DHPEConfig
from handlib.data import SyntheticHands
from handlib.losses import LossWeights
from handlib.training.profiles import PROFILES, TrainConfig, preset


def test_presets():
    assert preset("laptop") == PROFILES["laptop"] == TrainConfig()
    assert preset("smoke", epochs=7) == replace(PROFILES["smoke"], epochs=7)
    assert all(config.profile == name for name, config in PROFILES.items())
    with pytest.raises(ValueError, match="unknown profile 'huge': choose one of smoke, laptop, gpu, paper"):
        preset("huge")


def test_every_profile_can_be_run():
    for config in PROFILES.values():
        config.check()


def test_the_paper_profile_is_the_papers():
    """Both data sets, no stage before the joint one, F of 2048 numbers, augmentation from some epoch on."""
    config = preset("paper")
    assert [spec.split(":")[0] for spec in config.data] == ["rhd", "stb"]
    assert config.lifting_steps == config.evidence_epochs == 0 and not config.init
    assert config.model.features == 2048 and config.model.iterations == 3 and config.loss.scheduled
    assert 0 < config.augment_from < config.epochs
    assert config.feature_every == 1 and config.average == 0


def test_the_gpu_profile_renders_its_own_data():
    assert preset("gpu").data == ("synthetic",) and preset("gpu").feed == "device"
    assert "train" in SyntheticHands("train", 32, 2).name


@pytest.mark.parametrize(
    "change, message",
    [
        ({"images": 1}, "images and batch_size must be at least 2"),
        ({"batch_size": 1}, "images and batch_size must be at least 2"),
        ({"epochs": 2, "evidence_epochs": 2}, "epochs must be more than evidence_epochs"),
        ({"accumulate": 0}, "accumulate must be 1 … 1e\\+09, not 0"),
        ({"feature_every": 0}, "feature_every must be 1 … 1e\\+09, not 0"),
        ({"average": 1.0}, "average must be 0 … 0.9999, not 1.0"),
        ({"augment_from": 0}, "augment_from must be at least evidence_epochs"),
        ({"model": DHPEConfig.photo()}, "the photo trunk is trained by `handlib train --profile photo`"),
    ],
)
def test_a_run_that_could_not_be(change, message):
    with pytest.raises(ValueError, match=message):
        preset("laptop", **change).check()


@pytest.mark.parametrize(
    ("name", "value"),
    [("gradient_clip", -1.0), ("warmup", -1.0), ("warmup", 1.0), ("workers", -1), ("epochs", 0)],
)
def test_numbers_that_no_run_has(name, value):
    with pytest.raises(ValueError, match=f"{name} must be .* not {value}"):
        preset("smoke", **{name: value}).check()


def test_thresholds_and_sizes_that_no_run_has():
    with pytest.raises(ValueError, match="threshold_px must be 0 … 1e.06, not nan"):
        preset("smoke", loss=LossWeights(threshold_px=nan)).check()
    for name in ("size", "iterations"):
        with pytest.raises(ValueError, match=f"{name} must be .* not 0"):
            DHPEConfig(**{name: 0})
    with pytest.raises(ValueError, match="hidden must be 0 … 8192, not 65536"):
        DHPEConfig(hidden=65536)
