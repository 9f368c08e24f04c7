"""Whether F matters: controls against F that is known to be inert, to see the background alone, or to matter."""

import pytest
import torch

from handlib import DHPE
from handlib.data import CachedHands, SyntheticHands
from handlib.evaluation import feature_controls as module
from handlib.evaluation.evaluate import evaluate
from handlib.evaluation.feature_controls import feature_controls, verdict_on_features


@pytest.fixture
def lite():
    return DHPE.from_pretrained("lite")


@pytest.fixture(scope="module")
def hands(trained):
    return CachedHands.make(SyntheticHands("val", 64, 6), folder=trained.cache, progress=False)


def test_a_regressor_that_does_not_see_f_has_an_inert_one(lite, hands):
    with torch.no_grad():
        for module, first in ((lite.regressor.estimate[0], 0), (lite.regressor.refiner[0], 63)):
            module.weight[:, first : first + lite.config.features] = 0
    controls = feature_controls(lite, hands, batch_size=4)
    assert controls["shuffled_features_mm"] == pytest.approx(0, abs=1e-4)
    assert verdict_on_features(controls["shuffled_features_mm"], 20.0).startswith("F is inert")


def test_shuffled_features_are_those_of_the_next_hand(lite, hands, monkeypatch):
    """A plain twin: all hands in one batch, with a loud F."""
    monkeypatch.setattr(lite, "features", loud := (lambda images: images.flatten(1)[:, :256] * 5))
    batch = hands.batch(torch.arange(6))
    own = evaluate(lite, hands, progress=False)["joints_root_mean_mm"]
    rolled = loud(batch["image"]).roll(1, 0)
    monkeypatch.setattr(lite, "features", lambda images: rolled)
    other = evaluate(lite, hands, progress=False)["joints_root_mean_mm"]
    monkeypatch.setattr(lite, "features", loud)
    controls = feature_controls(lite, hands, batch_size=4)
    assert controls["shuffled_features_mm"] == pytest.approx(other - own, abs=1e-3)


def test_ratio_is_0_where_there_is_no_background_and_large_where_there_is_nothing_else(lite, hands, monkeypatch):
    tensors = hands.tensors
    cut_out = tensors["image"] * (tensors["mask"] > 127)[:, None]
    alone = CachedHands(tensors | {"image": cut_out, "mask": 255 * (tensors["mask"] > 127).byte()}, "no background")
    assert feature_controls(lite, alone)["feature_ratio"] == pytest.approx(0, abs=1e-9)
    monkeypatch.setattr(lite, "features", lambda images: images[:, :, 0].flatten(1)[:, :128].repeat(1, 2))  # first row
    assert feature_controls(lite, hands)["feature_ratio"] > 0.5


@pytest.mark.parametrize(("change", "start"), [(0.19, "F is inert"), (0.21, "F is live"), (-3.0, "F is inert")])
def test_verdict(change, start):
    assert (
        verdict_on_features(change, 20.0)
        == f"{start}: F of other hands changes the error of 20.0 mm by {change:+.2f} mm"
    )


def test_errors_are_measured_in_single_precision_under_autocast(lite, hands, monkeypatch):
    rounded, real = [], module.compared_output

    def spy(*arguments):
        rounded.append(torch.is_autocast_enabled("cpu"))
        return real(*arguments)

    monkeypatch.setattr(module, "compared_output", spy)
    with torch.autocast("cpu", torch.bfloat16):
        feature_controls(lite, hands)
    assert rounded == [False, False]


def test_controls_without_their_truth_are_left_out(lite, hands):
    """Neither a root nor masks, as in Dexter+Object."""
    tensors = {name: value for name, value in hands.tensors.items() if name != "mask"}
    tensors["joints_cam"] = tensors["joints_cam"].clone()
    tensors["joints_cam"][:, 9] = torch.nan
    assert feature_controls(lite, CachedHands(tensors, "rootless")) == {}
