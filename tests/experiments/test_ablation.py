from dataclasses import fields, replace

import pytest

from handlib import DHPEConfig
from handlib.experiments.ablation import ABLATIONS, Ablation
from handlib.losses import LossWeights

CONFIG, WEIGHTS = DHPEConfig(), LossWeights()


def test_fields_are_the_parts_of_the_paper_s_study():
    assert {field.name for field in fields(Ablation)} == {
        "test_refinement", "augmentation", "pose_refiner", "evidence_losses", "shape_loss", "shape_weight_schedule",
    }  # fmt: skip
    assert all(field.default is True for field in fields(Ablation))


def test_the_full_method_changes_nothing():
    assert Ablation().of_model(CONFIG) == CONFIG and Ablation().of_loss(WEIGHTS) == WEIGHTS
    assert ABLATIONS["full"] == Ablation()


@pytest.mark.parametrize("part", [field.name for field in fields(Ablation)])
def test_each_part_is_left_out_by_some_row(part):
    assert any(not getattr(row, part) for row in ABLATIONS.values())


@pytest.mark.parametrize(
    "part, model, loss",
    [
        ("test_refinement", {}, {}),
        ("augmentation", {}, {}),
        ("pose_refiner", {"pose_refiner": False}, {"refiner": 0}),
        (
            "evidence_losses",
            {"evidence_2d": False, "pose_refiner": False},
            {"feature": 0, "heatmap": 0, "earlier_heatmaps": 0, "refiner": 0},
        ),
        ("shape_loss", {}, {"shape": 0}),
        ("shape_weight_schedule", {}, {"scheduled": False}),
    ],
)
def test_what_each_field_switches_off(part, model, loss):
    ablation = Ablation(**{part: False})
    assert ablation.of_model(CONFIG) == replace(CONFIG, **model)
    assert ablation.of_loss(WEIGHTS) == replace(WEIGHTS, **loss)


@pytest.mark.parametrize("name", ABLATIONS)
def test_what_is_off_already_stays_off(name):
    config = replace(CONFIG, pose_refiner=False, evidence_2d=False)
    assert ABLATIONS[name].of_model(config) == config
    assert not ABLATIONS[name].of_loss(replace(WEIGHTS, scheduled=False)).scheduled


@pytest.mark.parametrize("name", ABLATIONS)
def test_every_row_is_a_network_of_the_paper_too(name):
    config = ABLATIONS[name].of_model(DHPEConfig.paper())
    assert config.trunk == "paper" and config.hidden == 0
