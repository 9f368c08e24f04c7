import pytest
import torch

from handlib import DHPE
from handlib.experiments.baselines.interface import detect
from handlib.experiments.baselines.kanazawa import kanazawa
from handlib.training.train import preset


def test_kanazawa_has_no_joints_and_no_loss_of_them():
    """Nor a stage that would teach them; all else is as it was."""
    config = preset("laptop")
    changed = kanazawa(config)
    assert not changed.model.evidence_2d and not changed.model.pose_refiner
    assert changed.loss.feature == changed.loss.heatmap == changed.loss.refiner == 0
    assert changed.loss.articulation == config.loss.articulation and changed.loss.shape == config.loss.shape
    assert changed.evidence_epochs == changed.lifting_steps == 0
    assert (changed.epochs, changed.images) == (config.epochs, config.images)


def test_kanazawa_cannot_find_joints(few):
    model = DHPE(kanazawa(preset("smoke")).model)
    with pytest.raises(ValueError, match="has no J2D"):
        detect(model, few.batch(torch.arange(2))["image"])
