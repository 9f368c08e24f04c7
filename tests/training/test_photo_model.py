"""Training of the photo trunk's E3D and Ref: from nothing, and on from wherever it was interrupted."""

import re
import shutil
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image

from handlib import DHPE
from handlib.camera import crop_box, project
from handlib.fitting.skeleton import Skeleton
from handlib.hand.joints import MIDDLE_MCP
from handlib.hand.landmark_sets import landmark_set
from handlib.losses import reprojection_loss
from handlib.networks.published import landmark_network
from handlib.networks.turned_crop import HandEvidence
from handlib.photo.predict import Predictor
from handlib.training import photo_model
from handlib.training.evidence_rows import EvidenceRows, evidence_rows
from handlib.training.photo_model import SMOKE, cached_rows, error_of, loss_of, seen_well, train_photo, tune_batches
from handlib.training.photo_rows import photo_rows
from handlib.training.skeletons import NETWORK_SIZE, ErrorBank, SkeletonSource, centered, crop_truth, depths, facing

CONFIG = replace(SMOKE, rows=32, lift_steps=11, lift_batch=32, tune_steps=10, tune_batch=16, hidden=16)


class Interrupted(Exception):
    pass


@pytest.fixture(scope="module", autouse=True)
def small():
    """A smaller pool of poses and chunks of skeletons, some of them a phase; every third step is kept."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(photo_model, "SkeletonSource", partial(SkeletonSource, poses=200))
        for name, value in (("CHUNK", 300), ("CHUNK_STEPS", 4), ("PART", 20)):
            patch.setattr(photo_model, name, value)
        patch.setattr("handlib.training.regressor.KEEP_EVERY", 3)
        yield


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a finished run, and its model."""
    out = tmp_path_factory.mktemp("photo")
    return out, train_photo(CONFIG, out, progress=False)


@pytest.fixture(scope="module")
def rows(trained) -> EvidenceRows:
    return cached_rows(trained[1], CONFIG, trained[0], False)


@pytest.fixture
def again(trained, tmp_path):
    """A folder with the cached rows of the run alone."""
    for path in trained[0].glob("rows-*.safetensors"):
        shutil.copy(path, tmp_path)
    return tmp_path


def _same_weights(one, other):
    for (name, a), b in zip(one.state_dict().items(), other.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


# ---- the run


def test_answers_for_photographs_start_from_the_lifted_e3d(again, monkeypatch):
    made, lifted = photo_model.tune_batches, []
    monkeypatch.setattr(
        photo_model, "tune_batches", lambda *args: lifted.append((again / "lift.pt").is_file()) or made(*args)
    )
    train_photo(CONFIG, again, progress=False)
    assert lifted == [True]


def test_finished_run_is_read_back_and_not_made_again(trained, monkeypatch):
    out, model = trained
    assert sorted(path.name for path in out.iterdir()) == [
        "config.json", "lift.pt", "model.safetensors", "rows-000000.safetensors", "rows-000020.safetensors", "tune.pt",
    ]  # fmt: skip
    _same_weights(model, DHPE.from_pretrained(out / "model.safetensors"))
    monkeypatch.setattr(photo_model, "loss_of", None)  # which no step is left to call
    _same_weights(model, train_photo(CONFIG, out, progress=False))


@pytest.mark.parametrize("step", [1, 7, 11, 16], ids="interrupted at step {}".format)
def test_interrupted_run_ends_in_the_same_weights(trained, again, monkeypatch, step):
    """Before anything is kept, in the middle of lifting, between the phases, in the middle of tuning."""
    calls, own = iter(range(100)), loss_of

    def interrupted(model, batch):
        if next(calls) == step:
            raise Interrupted
        return own(model, batch)

    with monkeypatch.context() as patch:
        patch.setattr(photo_model, "loss_of", interrupted)
        with pytest.raises(Interrupted):
            train_photo(CONFIG, again, progress=False)
    _same_weights(trained[1], train_photo(CONFIG, again, progress=False))


def test_training_lowers_the_loss(rows, trained):
    config = replace(CONFIG, drop=0.0)
    batch = tune_batches(trained[1], rows, config)(0)
    torch.manual_seed(0)
    fresh = DHPE(CONFIG.model())
    fresh.feature_extractor.load_state_dict(trained[1].feature_extractor.state_dict())
    with torch.no_grad():
        assert loss_of(trained[1], batch) < loss_of(fresh, batch)


def test_card_says_whether_f_matters(trained):
    note = DHPE.from_pretrained(trained[0] / "model.safetensors").provenance["features"]
    said = r"F is (live|inert): F of other hands changes the error of \d+\.\d mm by [+-]\d+\.\d\d mm"
    assert re.fullmatch(said, note)


def test_another_config_in_the_same_folder_is_refused(trained):
    with pytest.raises(ValueError, match=r"config\.json: a run with seed=0, not 1"):
        train_photo(replace(CONFIG, seed=1), trained[0], progress=False)


@pytest.mark.parametrize("name", ["rows", "lift_steps", "tune_steps", "lift_batch", "tune_batch"])
def test_numbers_that_cannot_be_are_named(name):
    with pytest.raises(ValueError, match=f"{name} must be at least"):
        replace(SMOKE, **{name: 0})


def test_rows_that_are_all_seen_badly_are_refused(rows):
    with pytest.raises(ValueError, match="none of 32 rows"):
        seen_well(rows, 0.0)


def test_photographs_without_labels_take_part(trained, again, scenes):
    model = train_photo(replace(CONFIG, photographs=str(scenes)), again, progress=False)
    differ = [not torch.equal(a, b) for a, b in zip(model.parameters(), trained[1].parameters(), strict=True)]
    assert any(differ)


# ---- the rows


def test_rows_hold_what_was_rendered(rows):
    assert rows.features.shape == (32, 1152) and rows.features.dtype == torch.float16
    assert rows.vertices_cam.shape == (32, 778, 3)
    truth = crop_truth(rows.joints_cam, rows.K, rows.crop)
    torch.testing.assert_close(rows.crop.to_px(truth.joints_crop), project(rows.joints_cam, rows.K), atol=1e-2, rtol=0)
    torch.testing.assert_close(truth.omega, crop_box(truth.joints_crop)[:, 2])
    assert error_of(rows).median() < 0.12 and rows.presence.median() > 0.8
    assert torch.equal(rows.take(slice(0, 3)).crop.side, rows.side[:3])


def test_rows_of_a_part_are_those_of_the_whole(rows):
    """A row's hand depends on its number; its crop also on the first one of its part."""
    alone = evidence_rows(landmark_network(), "train", 4, first=20, progress=False)
    torch.testing.assert_close(alone.joints_cam, rows.joints_cam[20:24])
    torch.testing.assert_close(alone.K, rows.K[20:24])


def test_directions_and_points_come_from_the_same_evidence(rows, trained):
    """F is linear in the network's answers: the kept half-precision features give the kept points."""
    with torch.no_grad():
        said = landmark_network().heads(rows.features.float())
    assert isinstance(said, HandEvidence)
    torch.testing.assert_close(said.points, rows.points, atol=5e-3, rtol=0)
    assert reprojection_loss(said.points[..., :2], rows.points[..., :2]) < 1e-5


# ---- skeletons and their errors


def test_errors_are_those_of_whole_rows(rows, generator):
    bank = ErrorBank(rows)
    vertices = rows.vertices_cam.float() + rows.joints_cam[:, MIDDLE_MCP : MIDDLE_MCP + 1]
    image, space = (landmark_set(name).regressor @ vertices for name in ("image", "space"))
    points = rows.points[..., :2] - rows.crop.from_px(project(image, rows.K))
    deep = rows.points[..., 2] - depths(image, rows.joints_cam, rows.K, rows.crop)
    metric = centered(rows.points_3d) - NETWORK_SIZE * centered(space @ rows.crop.rotation_3d())
    drawn = bank.draw(torch.linspace(-1, 1, 50), generator)
    apart = (drawn.points[:, None] - points[None]).flatten(2).norm(dim=-1)
    assert apart.amin(1).max() < 1e-6
    same = apart.argmin(1)
    torch.testing.assert_close(drawn.depths, deep[same])
    torch.testing.assert_close(drawn.points_3d, metric[same])


def test_errors_come_from_hands_that_face_alike(rows, generator):
    bank = ErrorBank(rows)
    index = torch.arange(len(bank.facing))
    bank = _with_errors(bank, index)
    drawn = bank.draw(bank.facing, generator).depths[:, 0].long()
    assert (drawn - index).abs().max() <= 1  # 6 % of 32 rows, half to either side
    assert torch.equal(bank.facing, facing(rows.joints_cam).sort().values)


def _with_errors(bank, index):
    bank.errors = bank.errors._replace(depths=index[:, None].expand(-1, 21).float())
    return bank


def test_palm_and_back_face_the_camera_by_their_sign(hand):
    """A half turn about the x axis shows the other side of a hand."""
    joints = hand(torch.zeros(1, 45), torch.zeros(1, 10)).joints
    values = torch.cat([facing(joints), facing(joints * torch.tensor([1.0, -1, -1]))])
    assert values[0] * values[1] < 0
    assert (facing(joints).abs() <= 1).all()


def test_skeletons_are_hands_without_errors(hand):
    source = SkeletonSource(hand, poses=50)
    drawn, again = source(40, 3), source(40, 3)
    assert torch.equal(drawn.seen.points, again.seen.points)
    assert not torch.equal(drawn.seen.points, source(40, 4).seen.points)
    truth = drawn.truth
    torch.testing.assert_close(truth.relative[:, MIDDLE_MCP], torch.zeros(40, 3))
    torch.testing.assert_close(truth.relative[..., :2] + truth.joints_crop[:, 9:10], truth.joints_crop)
    # The points of the landmark set are near the joints, upright in a crop that they fill half.
    assert ((drawn.seen.points - truth.joints_crop).norm(dim=-1).mean(1) / truth.omega).max() < 0.1
    assert (truth.joints_crop[:, 0, 1] > truth.joints_crop[:, 9, 1]).float().mean() > 0.8
    assert drawn.take(slice(0, 5)).facing.shape == (5,)


def test_skeleton_serves_several_sets_of_points(hand):
    sets = [hand.joint_regressor, landmark_set("space").regressor]
    pose, shape = hand.sample(3, torch.Generator().manual_seed(0))
    vertices = hand(pose, shape).vertices
    expected = torch.cat([regressor @ vertices for regressor in sets], 1)
    torch.testing.assert_close(Skeleton(hand, pose, torch.cat(sets))(pose, shape), expected, atol=1e-5, rtol=0)


# ---- photographs


@pytest.fixture(scope="module")
def scenes(tmp_path_factory, rendered):
    """A folder of pictures with a right hand, a left one, and none; and a folder named like a picture."""
    folder = tmp_path_factory.mktemp("pictures")
    (folder / "deeper.png").mkdir()
    images = (rendered["image"][:3].clamp(0, 1) * 255).round().byte().movedim(1, -1).numpy()
    for name, pixels in (
        ("a.png", images[0]),
        ("b.PNG", images[1][:, ::-1]),
        ("deeper.png/c.png", images[2]),
        ("d.png", np.full((64, 64, 3), 99, np.uint8)),
    ):
        Image.fromarray(np.ascontiguousarray(pixels)).save(folder / name)
    return folder


def test_photographs_give_rows_of_right_hands(trained, scenes, rendered, monkeypatch):
    monkeypatch.setattr("handlib.training.photo_rows.KEPT", 1.0)
    model = trained[1].train()
    rows = photo_rows(model, scenes, progress=False)
    assert model.training
    model.eval()
    assert len(rows.points) == 3
    truth = crop_truth(rows.joints_cam, rows.K, rows.crop)
    assert ((truth.joints_crop - rows.points[..., :2]).norm(dim=-1).mean(1) / truth.omega).max() < 0.06
    # The left hand of the mirrored picture is a right one again.
    joints = project(rows.joints_cam, rows.K)
    apart = (joints[:, None] - rendered["joints_px"][:3]).norm(dim=-1).mean(2)
    assert (apart.amin(0) < 12).all()


def test_rows_of_least_doubt_are_kept(trained, scenes):
    assert len(photo_rows(trained[1], scenes, progress=False).points) == 2  # nine tenths of three


def test_folders_without_photographs_or_hands_are_named(trained, tmp_path):
    with pytest.raises(ValueError, match=f"{tmp_path.name}: no photographs"):
        photo_rows(trained[1], tmp_path, progress=False)
    Image.new("RGB", (64, 64)).save(tmp_path / "black.png")
    with pytest.raises(ValueError, match=f"{tmp_path.name}: no hand"):
        photo_rows(trained[1], tmp_path, progress=False)


def test_a_trained_file_predicts(trained, rendered):
    (hand,) = Predictor(trained[0] / "model.safetensors")(rendered["image"][0], refine=0)
    assert hand.side == "right" and torch.isfinite(hand.vertices_cam).all()
