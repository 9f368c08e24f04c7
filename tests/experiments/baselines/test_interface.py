"""What methods see and answer, and the loop that measures them; DHPE behind the same interface."""

import math

import pytest
import torch

from handlib.camera import px_to_crop
from handlib.evaluation.evaluate import evaluate
from handlib.experiments.baselines import DHPEMethod, measure, predictions, view_of
from handlib.experiments.baselines.interface import SCALE_BONE, detect
from handlib.hand.joints import MIDDLE_MCP


def test_a_view_holds_what_protocols_give_away(few):
    batch = few.batch(torch.arange(3))
    view = view_of(batch)
    assert view._fields == ("images", "K", "root_depth", "bone_length")
    for i, joints in enumerate(batch["joints_cam"]):
        assert float(view.root_depth[i]) == float(joints[MIDDLE_MCP, 2])
        assert float(view.bone_length[i]) == pytest.approx(math.dist(*(joints[j].tolist() for j in SCALE_BONE)))


def test_dhpe_behind_the_interface_scores_what_evaluate_says(trained, data):
    assert measure(DHPEMethod(trained.model), data, progress=False) == pytest.approx(
        evaluate(trained.model, data, progress=False), rel=1e-4
    )


def test_refinement_behind_the_interface(trained, few):
    found = measure(DHPEMethod(trained.model, 3), few, progress=False)
    assert found == pytest.approx(evaluate(trained.model, few, 3, progress=False), rel=1e-4)


def test_batches_do_not_matter(trained, data):
    a, b = (predictions(DHPEMethod(trained.model), data, n, progress=False) for n in (3, 16))
    torch.testing.assert_close(a["joints_mm"], b["joints_mm"], rtol=1e-3, atol=1e-2)
    assert torch.equal(a["target"], b["target"])


def test_detected_joints(detector, few):
    batch = few.batch(torch.arange(8))
    joints, confidence = detect(detector, batch["image"])
    assert (joints - px_to_crop(batch["joints_px"], 64)).abs().mean() < 0.02
    assert confidence.min() >= 0.05 and confidence.max() <= 1
