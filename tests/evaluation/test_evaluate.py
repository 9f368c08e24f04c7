import math
from dataclasses import replace

import pytest
import torch

from handlib import DHPE, HandOutput
from handlib.camera import project, px_to_crop
from handlib.data import CachedHands
from handlib.evaluation import evaluate as module
from handlib.evaluation.evaluate import (
    compared,
    curves,
    depth_of_root,
    evaluate,
    pck_curve,
    predictions,
    refinement_of,
    scores,
)
from handlib.evaluation.metrics import align, joint_errors_mm
from handlib.evaluation.refinement_report import refinement_report
from handlib.hand.joints import C21, MIDDLE_MCP, TIPS


class Oracle(DHPE):
    """Answers with the truth of a data set, batch after batch."""

    def know(self, data: CachedHands) -> "Oracle":
        self.data, self.at = data, 0
        return self

    def forward(self, images):
        truth = self.data.batch(torch.arange(self.at, self.at + len(images)))
        self.at += len(images)
        K, size = truth["K"], self.config.size
        focal, root = (K[:, 0, 0] + K[:, 1, 1]) / 2, truth["joints_cam"][:, MIDDLE_MCP, 2]
        unit = (size / 2 * root / focal)[:, None]  # meters of a crop unit at the root's depth

        def crop(points):
            xy = px_to_crop(project(points, K), size)
            return torch.cat([xy, ((points[..., 2] - root[:, None]) / unit)[..., None]], -1)

        mesh = HandOutput(crop(truth["vertices_cam"]), crop(truth["joints_cam"]))
        return replace(super().forward(images), mesh_crop=mesh)


def test_the_truth_scores_best(trained, data):
    oracle = Oracle(trained.model.config).know(data)
    found = evaluate(oracle, data, progress=False)
    for name in ("joints_root_mean_mm", "joints_procrustes_mean_mm", "vertices_procrustes_mean_mm"):
        assert found[name] < 0.01, name
    assert found["joints_root_auc_20_50_mm"] == found["joints_root_auc_reference_20_50_mm"] == pytest.approx(1)
    assert found["joints_root_auc_0_50_mm"] > 1 - 0.5 / 19  # a rounding error is more than a threshold of 0
    assert found["mean_iou"] > 0.9 and found["pixel_accuracy"] > 0.95


def test_predictions_are_what_the_network_says(trained, data):
    """Sample by sample, without batches."""
    found = predictions(trained.model, data, batch_size=5, progress=False)
    assert found["joints_mm"].shape == found["visible"].shape == (16, 21)
    assert found["mask"].shape == found["target"].shape == (16, 64, 64)
    for i in (0, 7, 15):
        one = data.batch(torch.tensor([i]))
        truth = one["joints_cam"]
        with torch.no_grad():
            output = trained.model(one["image"])
            placed = output.in_camera(one["K"], truth[:, MIDDLE_MCP, 2])
            mask = trained.model.render_mask(output.mesh_crop.vertices)[0]
        errors = joint_errors_mm(align(placed.joints, truth), truth)[0]
        torch.testing.assert_close(found["joints_mm"][i], errors, rtol=1e-3, atol=1e-2)
        assert (found["mask"][i] != (mask > 0.5)).float().mean() < 0.01
        assert torch.equal(found["target"][i], one["mask"][0] > 0.5)
        assert found["joints_mm"][i, MIDDLE_MCP] < 1e-3


def test_batches_do_not_matter(trained, data):
    a, b = (scores(predictions(trained.model, data, batch_size=n, progress=False)) for n in (3, 16))
    assert a == pytest.approx(b, rel=1e-3)


def test_refinement_counts(trained, data):
    few = data.first(2)
    plain, refined = (evaluate(trained.model, few, n, progress=False) for n in (0, 5))
    assert plain.keys() == refined.keys()
    assert plain["joints_root_mean_mm"] != refined["joints_root_mean_mm"]


def test_scores_by_hand():
    errors = torch.full((2, 21), 30.0)
    errors[:, 0] = 10.0
    mask = torch.zeros(2, 4, 4, dtype=torch.bool)
    found = scores(
        {
            "joints_mm": errors,
            "joints_pa_mm": errors / 2,
            "visible": torch.ones(2, 21, dtype=torch.bool),
            "mask": mask,
            "target": mask,
        }
    )
    assert found["joints_root_mean_mm"] == pytest.approx((10 + 20 * 30) / 21)
    assert found["joints_root_median_mm"] == 30
    assert found["joints_procrustes_mean_mm"] == pytest.approx((10 + 20 * 30) / 42)
    assert found["pixel_accuracy"] == 1
    assert "vertices_procrustes_mean_mm" not in found


def test_a_part_of_an_estimate_gets_the_scores_of_that_part(data):
    batch = data.batch(torch.arange(4))
    joints = scores(compared(batch, joints_cam=batch["joints_cam"] + 0.1))
    mask = scores(compared(batch, mask=batch["mask"]))
    both = scores(compared(batch, batch["joints_cam"], batch["vertices_cam"], batch["mask"]))
    assert all(name.startswith("joints_") for name in joints) and joints["joints_root_mean_mm"] < 1e-3
    assert mask == pytest.approx(dict.fromkeys(mask, 1.0)) and "mean_iou" in mask
    assert both.keys() == joints.keys() | mask.keys() | {"vertices_procrustes_mean_mm"}
    assert scores(compared(batch)) == {}


def test_what_other_protocols_and_tables_need_is_kept(trained, data):
    toned = CachedHands({**data.tensors, "tone": torch.linspace(0, 9, len(data))}, "toned")
    found = predictions(trained.model, toned, batch_size=5, progress=False)
    assert torch.equal(found["tone"], toned.tensors["tone"])
    assert "tone" not in compared({key: value for key, value in data.batch(torch.arange(2)).items() if key != "tone"})
    torch.testing.assert_close(found["truth_cam"], data.tensors["joints_cam"])
    torch.testing.assert_close(
        joint_errors_mm(align(found["joints_cam"], found["truth_cam"]), found["truth_cam"]), found["joints_mm"]
    )


@pytest.fixture(scope="module")
def partly(data) -> CachedHands:
    """Without masks; of the first hand two tips are not known, of the second the root, of the third anything."""
    tensors = {key: value.clone() for key, value in data.first(6).tensors.items() if key != "mask"}
    for joints in (tensors["joints_cam"], tensors["joints_px"]):
        joints[0, [4, 8]] = torch.nan
        joints[1, MIDDLE_MCP] = torch.nan
        joints[2] = torch.nan
    tensors["visible"] = tensors["visible"] & torch.isfinite(tensors["joints_px"]).all(-1)
    return CachedHands(tensors, "partly known", scored=TIPS)


def test_what_is_not_known_does_not_count(trained, data, partly):
    found = predictions(trained.model, partly, batch_size=4, progress=False)
    whole = predictions(trained.model, data.first(6), batch_size=4, progress=False)
    assert "mask" not in found and "target" not in found
    counts = torch.zeros(6, 21, dtype=torch.bool)
    counts[:, list(TIPS)] = True
    counts[0, [4, 8]] = counts[2] = False
    assert torch.equal(found["visible"], whole["visible"] & counts)
    assert torch.equal(torch.isfinite(found["joints_pa_mm"]), counts)
    counts[1] = False  # nothing to align at
    assert torch.equal(torch.isfinite(found["joints_mm"]), counts)
    torch.testing.assert_close(found["joints_mm"][counts], whole["joints_mm"][counts])
    assert torch.isfinite(found["joints_cam"]).all()  # placed all the same, for protocols that need no root
    result = scores(found)
    assert result["joints_root_mean_mm"] == pytest.approx(float(whole["joints_mm"][counts].mean()))
    assert all(math.isfinite(value) for value in result.values()) and "mean_iou" not in result


def test_procrustes_fits_the_joints_that_count(trained, partly):
    found = predictions(trained.model, partly, progress=False)
    few = [12, 16, 20]
    alone = align(found["joints_cam"][:1, few], found["truth_cam"][:1, few], "procrustes")
    expected = joint_errors_mm(alone, found["truth_cam"][:1, few])
    torch.testing.assert_close(found["joints_pa_mm"][:1, few], expected, rtol=1e-3, atol=1e-3)


def test_nothing_known_gives_no_score(trained, partly):
    lost = CachedHands({key: value[2:3] for key, value in partly.tensors.items()}, "lost", partly.scored)
    found = predictions(trained.model, lost, 2, progress=False)
    del found["vertices_pa_mm"]
    assert scores(found) == {} and curves(found) == {} and refinement_of(found) is None


def test_a_mask_that_is_not_known_does_not_count(data):
    batch = data.batch(torch.arange(3))
    masks = batch["mask"].clone()
    masks[1] = torch.nan
    found = compared(batch | {"mask": masks}, mask=1 - batch["mask"])
    assert found["mask"].shape == found["target"].shape == (2, 64, 64)
    assert scores(found)["pixel_accuracy"] == 0


def test_depth_of_the_root(partly):
    truth = partly.batch(torch.arange(3))["joints_cam"]
    depth = depth_of_root(truth)
    assert depth[0] == truth[0, MIDDLE_MCP, 2] and depth[2] == 1
    known = [float(z) for z in truth[1, :, 2] if math.isfinite(z)]
    assert float(depth[1]) == pytest.approx(sum(known) / len(known)) and len(known) == 20


def test_tables_are_those_of_the_errors(trained, data):
    found = predictions(trained.model, data, progress=False)
    tables = curves(found)
    assert tables.keys() == {"pck_root", "joint", "tone"}
    assert tables["joint"]["joint"] == list(C21.joints)
    for k in (0, 8, 20):
        assert tables["joint"]["mean_mm"][k] == pytest.approx(float(found["joints_mm"][:, k].mean()), abs=1e-3)
    tone, hands = tables["tone"], found["joints_mm"].mean(1)
    assert (tone["low"], tone["high"]) == ([0, 3, 6], [3, 6, 9]) and sum(tone["n"]) == 16
    middle = (found["tone"] >= 3) & (found["tone"] < 6)
    assert tone["n"][1] == int(middle.sum()) > 0
    assert tone["mean_mm"][1] == pytest.approx(float(hands[middle].mean()), abs=1e-3)
    for table in tables.values():
        assert len({len(column) for column in table.values()}) == 1  # as `handlib results verify` demands


def test_the_refinement_of_an_evaluation_is_the_report(trained, data):
    few = data.first(4)
    found = predictions(trained.model, few, 3, batch_size=3, progress=False)
    report, alone = refinement_of(found), refinement_report(trained.model, few, 3, progress=False)
    torch.testing.assert_close(report.error_mm, alone.error_mm, rtol=1e-3, atol=1e-2)
    torch.testing.assert_close(report.objective, alone.objective, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(report.error_mm[:, -1], found["joints_mm"].mean(1))
    assert refinement_of(predictions(trained.model, few, progress=False)) is None


def test_pck_curve_rises_to_its_share(trained, data):
    found = predictions(trained.model, data, progress=False)
    curve = pck_curve(found)
    assert curve["threshold_mm"] == [float(t) for t in range(51)]
    assert len(curve["pck"]) == 51
    assert all(a <= b for a, b in zip(curve["pck"][:-1], curve["pck"][1:], strict=True))
    hits, seen = (found["joints_mm"] <= 50) & found["visible"], found["visible"]
    assert curve["pck"][-1] == pytest.approx(float((hits.sum(0) / seen.sum(0)).mean()), abs=1e-4)


def test_evaluation_leaves_the_weights_alone(trained, data):
    before = {key: value.clone() for key, value in trained.model.state_dict().items()}
    evaluate(trained.model, data, progress=False)
    assert all(torch.equal(value, before[key]) for key, value in trained.model.state_dict().items())


def test_autocast_rounds_the_networks_alone(trained, data, monkeypatch):
    """Neither crops nor the comparison with the truth."""
    rounded = []

    def spy(real):
        return lambda *arguments: rounded.append(torch.is_autocast_enabled("cpu")) or real(*arguments)

    for real in (module.recropped, module.compared_output):
        monkeypatch.setattr(module, real.__name__, spy(real))
    twice = CachedHands(data.tensors, "twice", passes=2)
    with torch.autocast("cpu", torch.bfloat16):
        predictions(trained.model, twice, progress=False)
    assert rounded == [False, False]
