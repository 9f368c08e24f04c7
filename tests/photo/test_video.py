import struct
import sys
from fractions import Fraction

import av
import numpy as np
import pytest
import torch
from PIL import Image

from handlib.photo import video as module
from handlib.photo.video import frames, is_clip, timing, video_writer

SIZE = (96, 64)


def picture(i: int, size=SIZE) -> np.ndarray:
    """Red in the corner at the top left, and as much green as there were frames."""
    width, height = size
    image = np.full((height, width, 3), (40, 20 * i, 90), np.uint8)
    image[: height // 2, : width // 3] = (220, 20 * i, 30)
    return image


def written(path, count=8, size=SIZE, fps=25.0):
    with video_writer(path, size, fps) as write:
        for i in range(count):
            write(picture(i, size))
    return path


def turned(path, matrix: tuple[int, int, int, int]):
    """Writes a rotation into the header of the track, as phones do: ISO/IEC 14496-12, 8.3.2."""
    data = bytearray(path.read_bytes())
    start = data.index(b"tkhd") + 4 + 40
    a, b, c, d = (n << 16 for n in matrix)
    data[start : start + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".M4V"])
def test_what_is_written_comes_back(tmp_path, suffix):
    found = list(frames(written(tmp_path / f"a{suffix}")))
    assert len(found) == 8
    for i, frame in enumerate(found):
        assert frame.time_s == pytest.approx(i / 25, abs=1e-3)
        assert frame.image.dtype == torch.uint8 and frame.image.shape == (3, 64, 96)
        off = frame.image.movedim(0, -1).numpy().astype(int) - picture(i)
        assert np.abs(off).mean() < 4
    with av.open(str(tmp_path / f"a{suffix}")) as container:
        assert container.streams.video[0].codec_context.name == "h264"
        assert container.streams.video[0].average_rate == 25


def test_a_video_of_an_older_phone_is_one(tmp_path):
    path = written(tmp_path / "a.mp4").rename(tmp_path / "a.3gp")
    assert is_clip(path) and len(list(frames(path))) == 8


def test_webm(tmp_path):
    with av.open(str(tmp_path / "a.webm"), "w") as container:
        stream = container.add_stream("libvpx-vp9", rate=10)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        for i in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture(i), format="rgb24")))
        container.mux(stream.encode(None))
    found = list(frames(tmp_path / "a.webm"))
    assert [round(f.time_s, 2) for f in found] == [0.0, 0.1, 0.2]
    assert np.abs(found[2].image.movedim(0, -1).numpy().astype(int) - picture(2)).mean() < 8


@pytest.mark.parametrize(
    "matrix, clockwise", [((1, 0, 0, 1), 0), ((0, 1, -1, 0), 1), ((-1, 0, 0, -1), 2), ((0, -1, 1, 0), 3)]
)
def test_frames_are_upright(tmp_path, matrix, clockwise):
    path = written(tmp_path / "a.mp4", 2)
    turned(path, matrix)
    image = next(frames(path)).image.movedim(0, -1).numpy()
    wanted = np.rot90(picture(0), -clockwise)
    assert image.shape == wanted.shape and np.abs(image.astype(int) - wanted).mean() < 4


def test_a_folder_of_frames(tmp_path):
    for i in (0, 2, 10):
        Image.fromarray(picture(i)).save(tmp_path / f"frame{i}.png")
    found = list(frames(tmp_path, fps=5))
    assert [f.time_s for f in found] == [0, 0.2, 0.4]
    for frame, i in zip(found, (0, 2, 10), strict=True):
        np.testing.assert_array_equal(frame.image.movedim(0, -1), picture(i))
    with pytest.raises(ValueError, match="fps must be a positive number"):
        frames(tmp_path, fps=0)


def test_one_frame_at_a_time(tmp_path, monkeypatch):
    """Reading the first frame of a folder leaves the others alone."""
    for i in range(3):
        Image.fromarray(picture(i)).save(tmp_path / f"{i}.png")
    (tmp_path / "1.png").write_bytes(b"broken")
    stream = frames(tmp_path)
    next(stream)
    with pytest.raises(ValueError, match="1.png: not a readable"):
        next(stream)


# ---- what cannot be read


def test_missing_files_are_named_before_the_first_frame(tmp_path):
    with pytest.raises(FileNotFoundError, match="no video at .*none.mp4"):
        frames(tmp_path / "none.mp4")


@pytest.mark.parametrize("kind", ["empty", "text", "half", "image", "playlist", "wav"])
def test_what_is_no_video(tmp_path, kind):
    whole = written(tmp_path / "whole.mkv").read_bytes()
    path = tmp_path / "a.mp4"
    if kind == "image":
        Image.fromarray(picture(0)).save(path, "PNG")
    elif kind == "wav":
        with av.open(str(path), "w", format="mov") as container:
            sound = container.add_stream("pcm_s16le", rate=8000)
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
            frame.rate = 8000
            container.mux(sound.encode(frame))
    else:
        playlist = f"#EXTM3U\n#EXTINF:1,\n{tmp_path / 'whole.mkv'}\n#EXT-X-ENDLIST\n".encode()
        contents = {"empty": b"", "text": b"no video", "half": whole[:300], "playlist": playlist}
        path.write_bytes(contents[kind])
    with pytest.raises(ValueError, match="a.mp4: not a readable video after 0 frames .*; convert it"):
        list(frames(path))


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_damaged_videos_raise_nothing_else(tmp_path, suffix):
    whole, draw = written(tmp_path / f"whole.{suffix}").read_bytes(), np.random.default_rng(0)
    path = tmp_path / f"a.{suffix}"
    for k in range(40):
        data = np.frombuffer(whole, np.uint8).copy()
        data[draw.integers(0, len(data), 20)] = draw.integers(0, 256, 20)
        path.write_bytes(data[: len(data) if k % 2 else draw.integers(0, len(data))].tobytes())
        try:
            assert all(frame.image.shape[0] == 3 for frame in frames(path))
        except ValueError as error:
            assert str(path) in str(error)


def test_hostile_sizes_are_refused(tmp_path, monkeypatch):
    path = written(tmp_path / "a.mp4")
    monkeypatch.setattr(module, "MAX_PIXELS", 96 * 64 - 1)
    with pytest.raises(ValueError, match="a.mp4: .*96×64 pixels"):
        list(frames(path))


def test_later_frames_may_not_be_larger_than_declared(tmp_path, monkeypatch):
    """The decoder itself is told the limit."""
    path = written(tmp_path / "a.mp4")
    monkeypatch.setattr(module, "_check_size", lambda width, height: None)
    monkeypatch.setattr(module, "MAX_PIXELS", 1000)
    with pytest.raises(ValueError, match="a.mp4: not a readable video after 0 frames"):
        list(frames(path))


def test_without_pyav_the_error_says_what_to_install(tmp_path, monkeypatch):
    path = written(tmp_path / "a.mp4")
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'handlib\[video\]'"):
        frames(path)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'handlib\[video\]'"):
        written(tmp_path / "b.mp4")
    assert [file.name for file in tmp_path.iterdir()] == ["a.mp4"]


# ---- writing


def test_sides_that_are_odd_get_one_more(tmp_path):
    image = next(frames(written(tmp_path / "a.mp4", 2, (33, 21)))).image
    assert image.shape == (3, 22, 34)


def test_rates_that_are_no_whole_numbers(tmp_path):
    found = list(frames(written(tmp_path / "a.mp4", 4, fps=29.97)))
    assert found[3].time_s == pytest.approx(3 / 29.97, abs=1e-4)
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert container.streams.video[0].average_rate == Fraction(2997, 100)


def test_without_an_encoder_for_h264(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "ENCODERS", ("of another build", "mpeg4"))
    found = list(frames(written(tmp_path / "a.mp4")))
    assert len(found) == 8 and np.abs(found[0].image.movedim(0, -1).numpy().astype(int) - picture(0)).mean() < 8


def test_a_broken_off_video_leaves_nothing(tmp_path):
    with pytest.raises(KeyError), video_writer(tmp_path / "a.mp4", SIZE, 25) as write:
        write(picture(0))
        raise KeyError
    with pytest.raises(ValueError, match="a.mp4: no frames"), video_writer(tmp_path / "a.mp4", SIZE, 25):
        pass
    with pytest.raises(ValueError, match="frame 0 has 10×10 pixels, the video 96×64"):
        with video_writer(tmp_path / "a.mp4", SIZE, 25) as write:
            write(picture(0, (10, 10)))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "name, size, fps, message",
    [
        ("a.gif", SIZE, 25, "written as .mp4"),
        ("a.mp4", SIZE, 0, "fps must"),
        ("a.mp4", SIZE, float("nan"), "fps must"),
        ("a.mp4", SIZE, 1e-9, "fps must"),
        ("a.mp4", SIZE, 1e9, "fps must"),
        ("a.mp4", (0, 5), 25, "0×5 pixels"),
        ("a.mp4", (20_000, 20_000), 25, "20000×20000 pixels"),
    ],
)
def test_what_cannot_be_written(tmp_path, name, size, fps, message):
    with pytest.raises(ValueError, match=f"{name}: .*{message}"), video_writer(tmp_path / name, size, fps):
        pass


def test_timing_of_a_video_and_of_a_folder(tmp_path):
    assert timing(written(tmp_path / "a.mp4", count=5, fps=12.5)) == (12.5, 5)
    (tmp_path / "frames").mkdir()
    for i in range(3):
        Image.fromarray(picture(i)).save(tmp_path / "frames" / f"{i}.png")
    assert timing(tmp_path / "frames", 10.0) == (10.0, 3)


def test_timing_of_what_is_no_video_is_an_error(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"no video" * 100)
    with pytest.raises(ValueError, match="a.mp4: not a readable video"):
        timing(tmp_path / "a.mp4")
    with pytest.raises(FileNotFoundError, match="no video at"):
        timing(tmp_path / "b.mp4")
