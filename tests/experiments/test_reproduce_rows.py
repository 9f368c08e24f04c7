"""The study on cached evidence, on rows that are made here: nothing is rendered but masks."""

import json
from dataclasses import replace

import pytest
import torch

from handlib.camera import focal_length, project, px_to_crop
from handlib.evaluation import results
from handlib.experiments.reproduce import read_collections
from handlib.experiments.reproduce.evidence import SIDE, Rows, in_crops
from handlib.experiments.reproduce.hands import Hands
from handlib.experiments.reproduce.rows import VARIANTS, RowScale, estimate, fit, samples_of, seen_by
from handlib.experiments.reproduce.rows_run import RowRunner
from handlib.experiments.reproduce.scales import SCALES
from handlib.experiments.reproduce.suite import make_suite
from handlib.hand import HandModel
from handlib.hand.joints import MIDDLE_MCP
from handlib.networks.photo_trunk import PhotoTrunk
from handlib.networks.turned_crop import TurnedCrop
from handlib.training.evidence_rows import EvidenceRows

SCALE = RowScale(seeds=1, draw=12, principal=4, lifted_steps=10, steps=10, hidden=8, iterations=2, rates=(1e-3,),
                 batch=4, tests=("diverse", "object"))  # fmt: skip


def trunk():
    """Sees the first four features as they are."""
    made = PhotoTrunk(4)
    made.directions[:4] = torch.eye(4)
    return made


@pytest.fixture(scope="module")
def evidence():
    """Twelve hands of three pictures' sides, seen through turned crops, with their true points as j2D."""
    generator, n = torch.Generator().manual_seed(0), 12
    hand = HandModel.load()
    pose, shape = hand.sample(n, generator)
    out = hand(pose, shape)
    offset = torch.tensor([0.02, -0.01, 0.6])
    root = out.joints[:, MIDDLE_MCP : MIDDLE_MCP + 1]
    vertices, joints = out.vertices - root + offset, out.joints - root + offset
    K = torch.tensor([[300.0, 0, 120], [0, 300, 130], [0, 0, 1]]).repeat(n, 1, 1)
    points = project(joints, K)
    crop = TurnedCrop(points.mean(1), torch.full((n,), 150.0), torch.linspace(-3, 3, n))
    inside = torch.cat([crop.from_px(points), torch.zeros(n, 21, 1)], -1)
    relative = (vertices - joints[:, MIDDLE_MCP : MIDDLE_MCP + 1]).half()
    features = torch.randn(n, 1152, generator=generator).half()
    return EvidenceRows(features, inside, joints, torch.ones(n), *crop, K, joints, relative)


@pytest.fixture(scope="module")
def rows(evidence):
    return in_crops(evidence, trunk())


def test_the_frame_of_a_turned_crop_is_a_camera_like_any_other(evidence, rows):
    """Projected by its K, the joints are where the turned crop shows them, and as far apart in space as before."""
    seen = px_to_crop(project(rows.joints_cam, rows.K), SIDE)
    torch.testing.assert_close(seen, evidence.points[..., :2], atol=1e-4, rtol=0)
    assert torch.equal(rows.points, evidence.points[..., :2])
    a, b = torch.cdist(rows.joints_cam, rows.joints_cam), torch.cdist(evidence.joints_cam, evidence.joints_cam)
    torch.testing.assert_close(a, b, atol=1e-4, rtol=0)
    torch.testing.assert_close(focal_length(rows.K), torch.full((12,), 300.0 * SIDE / 150))


def test_the_mask_is_that_of_the_mesh(rows):
    pixel = project(rows.joints_cam, rows.K).floor().long().clamp(0, SIDE - 1)
    hit = torch.stack([mask[p[:, 1], p[:, 0]].float().mean() for mask, p in zip(rows.mask, pixel, strict=True)])
    assert hit.mean() > 0.85 and 0.02 < rows.mask.float().mean() < 0.6


def test_rows_are_kept_whole(rows, tmp_path):
    path = tmp_path / "rows.safetensors"
    rows.save(path, more=torch.ones(1))
    for a, b in zip(rows, Rows.load(path), strict=True):
        assert torch.equal(a, b)
    content = bytearray(path.read_bytes())
    content[-100] ^= 4
    path.write_bytes(content)
    with pytest.raises(ValueError, match="rows.safetensors: missing or damaged"):
        Rows.load(path)
    photographs = rows._replace(vertices=rows.vertices[:0], mask=rows.mask[:0])
    assert "mask" not in photographs.take(torch.arange(3)).batch()


def test_features_of_others_and_none(rows):
    none = seen_by(replace_features("none"), rows, 0)
    assert not none.features.any()
    other = seen_by(replace_features("other"), rows, 0)
    assert not torch.equal(other.features, rows.features)
    assert torch.equal(other.features.sort(0).values, rows.features.sort(0).values)
    assert torch.equal(other.points, rows.points)


def replace_features(which):
    return VARIANTS["rows-full"]._replace(features=which)


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_trains_and_is_measured(rows, name):
    variant = VARIANTS[name]
    model, curve = fit(variant, SCALE, rows, None, 1e-3, seed=0)
    assert curve.keys() == {"step", "loss", "under_threshold"}
    samples = samples_of(model, variant, rows, "diverse")
    assert samples["joints_mm"].shape == (12, 21) and samples["joints_mm"].isfinite().all()
    assert len(estimate(model, rows).history) == variant.iterations + 1


def test_a_run_again_gives_the_same_to_the_last_digit(rows):
    first, second = (fit(VARIANTS["rows-full"], SCALE, rows, None, 1e-3, seed=1)[0] for _ in range(2))
    for a, b in zip(first.regressor.parameters(), second.regressor.parameters(), strict=True):
        assert torch.equal(a, b)
    third = fit(VARIANTS["rows-full"], SCALE, rows, None, 1e-3, seed=2)[0]
    assert not torch.equal(next(first.regressor.parameters()), next(third.regressor.parameters()))


def test_training_lowers_the_error(rows):
    longer = replace(SCALE, steps=150, hidden=64, batch=12)
    errors = [
        samples_of(fit(VARIANTS["rows-both"], scale, rows, None, 3e-3, 0)[0], VARIANTS["rows-both"], rows, "diverse")
        for scale in (SCALE, longer)
    ]
    assert errors[1]["joints_mm"].mean() < 0.7 * errors[0]["joints_mm"].mean()


def test_without_2d_joints_they_are_not_seen(rows):
    variant = VARIANTS["rows-features"]
    model, _ = fit(variant, SCALE, rows, None, 1e-3, 0)
    moved = rows._replace(points=rows.points + 0.3)
    assert torch.equal(estimate(model, rows).h, estimate(model, moved).h)


@pytest.fixture
def suite(rows, tmp_path, monkeypatch):
    monkeypatch.setitem(SCALES, "laptop", replace(SCALES["laptop"], rows=SCALE))
    suite = make_suite("cached", "laptop", Hands(), tmp_path, photographs="some/folder")
    for name in ("train", "val", *SCALE.tests):
        rows.save(suite.out / "rows" / f"{name}.safetensors")
    photographs = rows._replace(vertices=rows.vertices[:0], mask=rows.mask[:0])
    photographs.take(torch.arange(5)).save(suite.out / "rows" / "photos.safetensors")
    (suite.out / "rates").mkdir()
    return suite


def test_a_run_writes_rendered_hands_and_photographs_apart(suite):
    run = suite.run("rows-both-seed0")
    RowRunner(suite, suite.run("rate-rows-both")).choose_rate()
    RowRunner(suite, run)()
    assert all(path.is_file() for path in run.makes)
    found = read_collections(suite.results)
    assert found.keys() == {"laptop", "laptop-photos"}
    rendered, photos = found["laptop"], found["laptop-photos"]
    assert rendered.tests == SCALE.tests and photos.tests == ("photos",)
    assert rendered.synthetic and not photos.synthetic
    assert len(rendered.errors("rows-both", "object", "auc")[0]) == 12
    assert len(photos.errors("rows-both", "photos", "procrustes_mm")[0]) == 5
    record = results.read(run.makes[0])
    metric = results.value(record, "diverse/joints_root_mean_mm")
    assert rendered.errors("rows-both", "diverse", "root_mm")[0].mean() == pytest.approx(metric, rel=2e-3)


def test_rates_are_chosen_by_full_runs_and_say_whether_they_lie_inside(suite):
    runner = RowRunner(suite, suite.run("rate-rows-both"))
    runner.scale = replace(SCALE, rates=(1e-6, 3e-3, 1e-1))
    runner.choose_rate()
    chosen = json.loads(suite.run("rate-rows-both").makes[0].read_text())
    assert chosen["rate"] in runner.scale.rates and chosen["inside"] == (chosen["rate"] == 3e-3)
    assert set(chosen["val_mean_mm"]) <= {"1e-06", "0.003", "0.1"}
