import json

import numpy as np
import pytest
import torch
from hand_clips import SIZE, plain, predictor, rendered
from PIL import Image

from handlib.photo import clip as module
from handlib.photo.arrays import read_hands
from handlib.photo.clip import predict_clip
from handlib.photo.mano_parameters import from_mano_parameters
from handlib.photo.video import frames as read_frames
from handlib.photo.video import video_writer


def video(path, frames, fps=25.0):
    with video_writer(path, (frames.shape[-1], frames.shape[-2]), fps) as write:
        for frame in frames:
            write(frame)
    return path


def folder(path, frames):
    path.mkdir()
    for i, frame in enumerate(frames):
        Image.fromarray(frame.movedim(0, -1).numpy()).save(path / f"{i}.png")
    return path


def predicted(path, out, **settings):
    return predict_clip(path, out, predictor(), progress=False, **settings)


@pytest.fixture(scope="module")
def wave(tmp_path_factory):
    """A video of six frames, and what was written about it."""
    home = tmp_path_factory.mktemp("wave")
    path = video(home / "wave.mp4", rendered()["frames"][:6])
    return path, predicted(path, home / "out")


def test_a_video_gives_parameters_a_summary_and_an_overlay(wave):
    _, written = wave
    out = written.parameters.parent
    assert sorted(file.name for file in out.iterdir()) == ["wave.json", "wave.npz", "wave_overlay.mp4"]
    assert written.frames == 6 and [track["side"] for track in written.tracks] == ["right"]
    summary = json.loads(written.summary.read_text())
    assert summary["frames"] == 6 and summary["fps"] == 25 and summary["image_size"] == [SIZE, SIZE]
    assert summary["tracks"] == written.tracks and summary["camera"]["assumed"]


def test_rows_are_the_hands_of_their_frames(wave):
    path, written = wave
    rows = read_hands(written.parameters)
    assert rows["frame"].tolist() == list(range(6)) and rows["track"].tolist() == [0] * 6
    assert rows["time_s"] == pytest.approx(np.arange(6) / 25, abs=1e-3)
    off = torch.from_numpy(rows["joints_px"]) - rendered()["joints_px"][:6]
    assert off.norm(dim=-1).mean() < 0.1 * rows["box_px"][:, 2].mean()
    hand = predictor().model.hand
    placed = from_mano_parameters(hand, {key: torch.from_numpy(rows[key]) for key in
                                         ("global_orient", "hand_pose", "betas", "transl")})  # fmt: skip
    joints = hand(placed.pose, placed.shape).joints @ placed.rotation.mT + placed.translation[:, None]
    assert torch.allclose(joints, torch.from_numpy(rows["joints_cam_m"]), atol=1e-4)


def test_the_overlay_changes_the_hand_and_nothing_else(wave):
    path, written = wave
    before, after = (torch.stack([f.image for f in read_frames(p)]).float() for p in (path, written.overlay))
    left, top, side = read_hands(written.parameters)["box_px"][3]
    x, y, half = int(left + side / 2), int(top + side / 2), int(side / 4)
    change = (after - before)[3].abs().mean(0)
    assert len(after) == 6
    assert change[y - half : y + half, x - half : x + half].mean() > 15
    assert change[-40:, -40:].mean() < 5


def test_a_folder_of_frames_gives_numbered_pictures(tmp_path):
    frames = folder(tmp_path / "frames", rendered()["frames"][:3])
    old = tmp_path / "out" / "frames_overlay"
    old.mkdir(parents=True)
    (old / "000007.png").write_bytes(b"of an earlier run")
    (old / "notes.txt").write_text("mine")
    written = predicted(frames, tmp_path / "out", fps=10.0)
    assert sorted(file.name for file in written.overlay.iterdir()) == [
        "000000.png", "000001.png", "000002.png", "notes.txt",
    ]  # fmt: skip
    assert read_hands(written.parameters)["time_s"].tolist() == pytest.approx([0, 0.1, 0.2])
    assert Image.open(written.overlay / "000002.png").size == (SIZE, SIZE)


def test_without_an_overlay_there_is_none(wave, tmp_path):
    path, first = wave
    written = predicted(path, tmp_path, overlay=False)
    assert written.overlay is None and sorted(file.suffix for file in tmp_path.iterdir()) == [".json", ".npz"]
    one, other = (read_hands(clip.parameters) for clip in (first, written))
    assert all(np.array_equal(one[key], other[key]) for key in one)


def test_a_video_without_hands_gives_no_rows(tmp_path):
    written = predicted(video(tmp_path / "a.mp4", plain(4)), tmp_path / "out")
    rows = read_hands(written.parameters)
    assert len(rows["frame"]) == 0 and rows["hand_pose"].shape == (0, 45) and "K" not in rows
    assert written.tracks == [] and json.loads(written.summary.read_text())["camera"] is None
    assert len(list(read_frames(written.overlay))) == 4


def test_a_given_camera_is_kept_and_checked_though_no_hand_is_found(tmp_path):
    path = video(tmp_path / "a.mp4", plain(2))
    written = predicted(path, tmp_path / "out", K=500.0)
    assert json.loads(written.summary.read_text())["camera"]["K"][0][0] == 500
    with pytest.raises(ValueError, match="K"):
        predicted(path, tmp_path / "out", K=-5.0)


def test_an_unreadable_file_is_one_clear_error_and_leaves_nothing(tmp_path):
    for name in ("a.mp4", "a.WMV"):  # the second is of a kind that is not read
        path = tmp_path / name
        path.write_bytes(b"no video" * 1000)
        with pytest.raises(ValueError, match=rf"{name}: not a readable video .*convert it to an \.mp4"):
            predicted(path, tmp_path / "out")
    with pytest.raises(FileNotFoundError, match="no video at"):
        predicted(tmp_path / "b.mp4", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", [video, folder])
def test_an_interrupted_run_leaves_nothing_behind_and_what_was_there_alone(tmp_path, monkeypatch, kind):
    path, out = kind(tmp_path / ("a.mp4" if kind is video else "a"), plain(4)), tmp_path / "out"
    predicted(path, out)
    before = {file: file.read_bytes() for file in out.rglob("*") if file.is_file()}

    class Interrupted(module.Tracker):
        def __call__(self, frame):
            if self.frame == 1:
                raise KeyboardInterrupt
            return super().__call__(frame)

    monkeypatch.setattr(module, "Tracker", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        predicted(path, out)
    assert {file: file.read_bytes() for file in out.rglob("*") if file.is_file()} == before


def test_frames_of_different_sizes_are_an_error_that_names_the_folder(tmp_path):
    path = folder(tmp_path / "frames", plain(2))
    Image.new("RGB", (50, 60)).save(path / "9.png")
    with pytest.raises(ValueError, match="frames: frame 2 has 50×60 pixels.* one by one"):
        predicted(path, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
