import pytest
import torch

from handlib.data import CachedHands
from handlib.evaluation.evaluate import evaluate
from handlib.evaluation.refinement_report import RefinementReport, refinement_report
from handlib.refinement import RefinementWeights

STEPS = 4
WEIGHTS = RefinementWeights(confidence=0.0)


@pytest.fixture(scope="module")
def few(batch):
    return CachedHands({k: (v * 255).byte() if k in ("image", "mask") else v for k, v in batch.items()}, "four hands")


@pytest.fixture(scope="module")
def report(trained, few):
    """With joints that all count: the flat heat maps of a network that has learned nothing would hardly pull."""
    return refinement_report(trained.model, few, STEPS, WEIGHTS, batch_size=3, progress=False)


def test_its_ends_are_what_evaluate_measures(trained, few, report, monkeypatch):
    assert report.error_mm.shape == report.objective.shape == (4, STEPS + 1)
    assert report.mean_mm[0] == pytest.approx(evaluate(trained.model, few, 0, False)["joints_root_mean_mm"], rel=1e-4)
    same = refinement_report(trained.model, few, STEPS, progress=False)
    refined = evaluate(trained.model, few, STEPS, False)["joints_root_mean_mm"]
    assert same.mean_mm[-1] == pytest.approx(refined, rel=1e-4)


def test_the_objective_falls(report):
    assert (report.objective.diff(dim=1) <= 0).all()
    summary = report.summary()
    assert summary["objective_end"] < summary["objective_start"] and summary["objective_rose_fraction"] == 0


def test_rises_are_counted():
    error = torch.tensor([[10.0, 9.0, 8.0], [10.0, 11.0, 12.0], [10.0, 12.0, 9.0], [10.0, 10.0, 16.0]])
    report = RefinementReport(error, torch.zeros(4, 3))
    torch.testing.assert_close(report.rose, torch.tensor([0.0, 0.5, 0.5]))
    summary = report.summary()
    assert summary["joints_root_mean_start_mm"] == 10 and summary["joints_root_mean_end_mm"] == 11.25
    assert summary["error_rose_by_mean_mm"] == 4 and summary["error_rose_by_most_mm"] == 6
    fallen = RefinementReport(error[:1], torch.zeros(1, 3)).summary()
    assert fallen["error_rose_by_mean_mm"] == fallen["error_rose_by_most_mm"] == 0


def test_metrics_and_curves_of_a_results_file():
    error = torch.tensor([[10.0, 9.0], [10.0, 12.0], [10.0, 40.0]])
    report = RefinementReport(error, torch.tensor([[3.0, 2.0], [3.0, 1.0], [3.0, 3.0]]))
    metrics = {metric.name: metric for metric in report.metrics()}
    rose, start = metrics["refinement_error_rose_fraction"], metrics["refinement_objective_start"]
    assert (rose.value, rose.unit, rose.alignment, rose.n) == (pytest.approx(2 / 3), "fraction", "root", 3)
    assert (start.value, start.unit, start.alignment) == (3, "objective", "none")
    expected = float(torch.tensor([-1.0, 2.0, 30.0]).std()) / 3**0.5
    assert metrics["refinement_error_change_standard_error_mm"].value == pytest.approx(expected)
    curves = report.curves()
    assert curves["refinement"] == {
        "iteration": [0, 1],
        "joints_root_mean_mm": [10, pytest.approx(61 / 3, abs=1e-4)],
        "error_rose_fraction": [0, pytest.approx(2 / 3, abs=1e-4)],
        "objective": [3, 2],
    }
    change = curves["refinement_change"]
    found = [row for row in zip(*change.values(), strict=True) if row[2]]
    assert found == [(-2, 0, 1), (0, 2, 1), (20, None, 1)]


def test_joints_without_truth_do_not_count(trained, few, report):
    truth = few.tensors["joints_cam"].clone()
    truth[:, 8] = torch.nan
    hands = CachedHands(few.tensors | {"joints_cam": truth}, "partly", scored=(9, 4, 8))  # the root and two tips
    partly = refinement_report(trained.model, hands, STEPS, WEIGHTS, progress=False)
    assert torch.isfinite(partly.error_mm).all() and not torch.allclose(partly.error_mm, report.error_mm)
    torch.testing.assert_close(partly.objective, report.objective, rtol=1e-3, atol=1e-5)


def test_hands_without_a_root_are_refused(trained, few):
    lost = CachedHands(few.tensors | {"joints_cam": few.tensors["joints_cam"] * torch.nan}, "lost")
    with pytest.raises(ValueError, match="no joint with a known error"):
        refinement_report(trained.model, lost, 1, progress=False)
    with pytest.raises(ValueError, match="no hands to refine"):
        refinement_report(trained.model, CachedHands({k: v[:0] for k, v in few.tensors.items()}, "none"), 1)
