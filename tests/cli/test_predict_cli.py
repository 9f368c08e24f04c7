"""`handlib predict`: what it writes, and what the user can mend."""

import json
import shutil

import numpy as np
import pytest
import trimesh
from PIL import ExifTags, Image

from handlib.cli.predict import check
from handlib.viz.plots import to_image

BOX = ("--box", 0, 0, 64)  # all of the picture


def test_predict_writes_numbers_a_mesh_an_overlay_and_a_page(run, picture, tmp_path):
    status, out, _ = run("predict", picture, *BOX, "--side", "right", "--out", tmp_path)
    assert status == 0 and "right hand" in out
    names = ["palm.obj", "palm.json", "palm_overlay.jpg", "index.html"]
    assert {p.name for p in tmp_path.iterdir()} == set(names) and all(name in out for name in names)
    mesh = trimesh.load(tmp_path / "palm.obj", process=False)
    assert mesh.vertices.shape == (778, 3) and mesh.faces.shape == (1538, 3)
    assert 0.1 < np.ptp(mesh.vertices, axis=0).max() < 0.3  # meters
    written = json.loads((tmp_path / "palm.json").read_text())
    assert written["image_size"] == [64, 64] and written["camera"]["assumed"] is True
    (hand,) = written["hands"]
    assert hand["side"] == "right" and 0 <= hand["score"] <= 1 and len(hand["confidence"]) == 21
    assert np.shape(hand["joints_cam_m"]) == (21, 3) and np.shape(hand["joints_px"]) == (21, 2)
    assert len(hand["mano"]["hand_pose"]) == 45 and hand["mano"]["is_rhand"] is True and len(hand["h"]) == 63


def test_predict_left_is_the_mirror_image(run, picture, batch, tmp_path):
    flipped = tmp_path / "flipped.png"
    to_image(batch["image"][1].flip(-1)).save(flipped)
    common = (*BOX, "--out", tmp_path / "out", "--no-page")
    assert run("predict", picture, "--side", "right", *common)[0] == 0
    assert run("predict", flipped, "--side", "left", *common)[0] == 0
    a, b = (trimesh.load(tmp_path / "out" / f"{name}.obj", process=False) for name in ("palm", "flipped"))
    size = np.ptp(a.vertices, axis=0).max()
    assert np.linalg.norm(b.vertices - a.vertices * [-1, 1, 1], axis=1).mean() < 0.3 * size  # seen by another crop


def test_predict_with_another_model_and_several_pictures(run, trained, picture, tmp_path):
    other = tmp_path / "other.png"
    shutil.copy(picture, other)
    options = ("--checkpoint", trained.checkpoint, "--out", tmp_path / "out", "--refine", 0, "--mesh", "ply")
    assert run("predict", picture, other, "--box", 4, 4, 56, *options)[0] == 0
    names = {f"{stem}{end}" for stem in ("palm", "other") for end in (".ply", ".json", "_overlay.jpg")}
    assert {path.name for path in (tmp_path / "out").iterdir()} == names | {"index.html"}


def test_predict_says_when_there_is_no_hand(run, tmp_path):
    gray = tmp_path / "gray.png"
    Image.new("RGB", (300, 200), "gray").save(gray)
    status, out, _ = run("predict", gray, "--out", tmp_path / "out")
    assert status == 0 and "no hand found" in out
    assert json.loads((tmp_path / "out" / "gray.json").read_text())["hands"] == []
    status, _, errors = run("predict", gray, "--out", tmp_path / "out", "--require-hand")
    assert status == 3 and "gray.png" in errors


def test_predict_of_a_folder_of_frames(run, tmp_path):
    folder = tmp_path / "frames"
    folder.mkdir()
    for number in range(3):
        Image.new("RGB", (128, 96), "gray").save(folder / f"{number}.png")
    status, out, _ = run("predict", folder, "--out", tmp_path / "out")
    assert status == 0 and "0 tracked hands in 3 frames" in out
    assert {"frames.npz", "frames.json"} <= {path.name for path in (tmp_path / "out").iterdir()}


def test_missing_checkpoint(refused, picture, tmp_path):
    line = refused("predict", picture, "--checkpoint", tmp_path / "none.safetensors")
    assert "no checkpoint at" in line and "handlib train" in line


def test_corrupted_checkpoint(refused, picture, trained, tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(trained.checkpoint.read_bytes()[:1000])
    assert "not a safetensors checkpoint" in refused("predict", picture, "--checkpoint", path)
    assert "not a safetensors checkpoint" in refused("evaluate", "--checkpoint", path)


@pytest.mark.parametrize("content", [None, b"", b"no picture"], ids=["missing", "empty", "text"])
def test_unreadable_image(refused, trained, tmp_path, content):
    path = tmp_path / "a.png"
    if content is not None:
        path.write_bytes(content)
    line = refused("predict", path, "--checkpoint", trained.checkpoint, "--out", tmp_path / "out")
    assert "a.png" in line and not (tmp_path / "out").exists()


def test_nothing_is_written_when_one_image_is_bad(refused, trained, picture, tmp_path):
    (tmp_path / "cut.png").write_bytes(picture.read_bytes()[:-100])
    (tmp_path / "cut.mp4").write_bytes(b"no video")
    for name in ("none.png", "cut.png", "cut.mp4"):
        options = ("--checkpoint", trained.checkpoint, "--out", tmp_path / "out")
        assert name in refused("predict", picture, tmp_path / name, *options)
        assert not (tmp_path / "out").exists()


def test_images_of_the_same_name(refused, trained, picture, tmp_path):
    other = tmp_path / "palm.jpg"
    line = refused("predict", picture, other, "--checkpoint", trained.checkpoint)
    assert "two of the images have the same name" in line and f"{picture}, {other}" in line


def test_results_are_named_after_what_was_given(refused, run, picture, tmp_path, monkeypatch):
    """A folder by its whole name, and a link by its own: neither overwrites the other's files."""
    for scene in ("one", "two"):
        frames = tmp_path / scene / "rgb"
        frames.mkdir(parents=True)
        Image.new("RGB", (64, 48), "gray").save(frames / "0.png")
        (tmp_path / f"take.{scene}").symlink_to(frames)
    monkeypatch.chdir(tmp_path)
    status, _, errors = run("predict", "take.one", "take.two", "--out", "out")
    assert status == 0, errors
    assert {"take.one.json", "take.two.json"} <= {path.name for path in (tmp_path / "out").iterdir()}
    (tmp_path / "take.one.png").touch()
    assert "the same name" in refused("predict", "take.one", "take.one.png")


@pytest.mark.parametrize("option", [("--side", "left"), ("--refine", 0), ("--box", 0, 0, 50)])
def test_options_for_photographs_are_not_dropped_for_a_video(refused, tmp_path, option):
    assert f"{option[0]} is only for photographs" in refused("predict", tmp_path, *option)


def test_a_focal_length_in_millimeters_is_refused(refused, picture):
    assert "is it in mm?" in refused("predict", picture, "--focal", 5)


@pytest.mark.parametrize("option", [("--box", 100, 100, 20), ("--focal", 60)])
def test_an_option_that_one_of_the_photographs_refuses_is_refused_before_anything_is_written(refused, tmp_path, option):
    sizes = {"wide.jpg": (300, 150), "tall.jpg": (301, 99)}
    for name, size in sizes.items():
        Image.new("RGB", size).save(tmp_path / name)
    out = tmp_path / "out"
    assert "301×99" in refused("predict", tmp_path / "wide.jpg", tmp_path / "tall.jpg", *option, "--out", out)
    assert not out.exists()


def test_a_box_counts_pixels_of_the_upright_photograph(tmp_path):
    tags, path = Image.Exif(), tmp_path / "held.jpg"
    tags[ExifTags.Base.Orientation] = 6
    Image.new("RGB", (300, 100)).save(path, exif=tags)
    check([path], 1, None, None, (20, 220, 60))
    with pytest.raises(ValueError, match=r"held\.jpg: the box 220 20 60 is outside of 100×300"):
        check([path], 1, None, None, (220, 20, 60))


def test_no_image(refused):
    assert "no image given" in refused("predict")


def test_a_box_too_small(refused, trained, picture):
    assert "too small" in refused("predict", picture, "--box", 0, 0, 3, "--checkpoint", trained.checkpoint)
