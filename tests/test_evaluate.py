from dataclasses import replace

import pytest
import torch

from handlib import DHPE, HandOutput
from handlib.camera import project, px_to_crop
from handlib.data import CachedHands, SyntheticHands
from handlib.evaluate import compared, evaluate, pck_curve, predictions, scores
from handlib.joints import MIDDLE_MCP
from handlib.metrics import align, joint_errors_mm


@pytest.fixture(scope="module")
def data(trained) -> CachedHands:
    return CachedHands.make(SyntheticHands("val", 64, 16), folder=trained.cache, progress=False)


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
        unit = (size / 2 * root / focal)[:, None]  # metres of a crop unit at the root's depth

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
    few = CachedHands({key: value[:2] for key, value in data.tensors.items()}, "few")
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


def test_what_nobody_annotated_does_not_count(data):
    """One joint of one hand, and one mask: the scores of the rest are those of the rest."""
    batch = data.batch(torch.arange(4))
    truth, mask, visible = batch["joints_cam"].clone(), batch["mask"].clone(), torch.ones(4, 21, dtype=torch.bool)
    truth[1, 8], mask[2], visible[1, 8] = torch.nan, torch.nan, False
    partly = {**batch, "joints_cam": truth, "mask": mask, "visible": visible}
    generator = torch.Generator().manual_seed(0)
    estimate = batch["joints_cam"] + 0.01 * torch.randn(4, 21, 3, generator=generator)
    found, whole = (compared(b, estimate, mask=1 - batch["mask"]) for b in (partly, batch))
    assert found["joints_mm"].isnan().nonzero().tolist() == [[1, 8]]
    assert len(found["mask"]) == 3 and found["joints_pa_mm"][1].isnan().all()
    got = scores(found)
    rest = torch.ones(4, 21, dtype=torch.bool)
    rest[1, 8] = False
    assert got["joints_root_mean_mm"] == pytest.approx(float(whole["joints_mm"][rest].mean()))
    assert got["joints_procrustes_mean_mm"] == pytest.approx(float(whole["joints_pa_mm"][[0, 2, 3]].mean()))
    assert got["mean_iou"] == pytest.approx(0)


def test_scores_of_nothing_known_are_left_out(data):
    batch = data.batch(torch.arange(2))
    unknown = {**batch, "joints_cam": batch["joints_cam"] * torch.nan, "mask": batch["mask"] * torch.nan,
               "visible": torch.zeros(2, 21, dtype=torch.bool)}  # fmt: skip
    assert scores(compared(unknown, batch["joints_cam"], mask=batch["mask"])) == {}


def test_what_other_protocols_and_tables_need_is_kept(trained, data):
    bare = {key: value for key, value in data.tensors.items() if key != "tone"}
    toned = CachedHands({**bare, "tone": torch.linspace(0, 9, len(data))}, "toned")
    found = predictions(trained.model, toned, batch_size=5, progress=False)
    assert torch.equal(found["tone"], toned.tensors["tone"])
    assert "tone" not in predictions(trained.model, CachedHands(bare, "bare"), progress=False)
    torch.testing.assert_close(found["truth_cam"], data.tensors["joints_cam"])
    torch.testing.assert_close(
        joint_errors_mm(align(found["joints_cam"], found["truth_cam"]), found["truth_cam"]), found["joints_mm"]
    )


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
