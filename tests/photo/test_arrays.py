import io
import zipfile

import numpy as np
import pytest
import torch

from handlib.photo import arrays as module
from handlib.photo.arrays import OPTIONAL, REQUIRED, SHARED, read_hands, write_hands

N = 5


@pytest.fixture
def hands():
    """Every field, as arrays, tensors and lists."""
    draw = np.random.default_rng(0)
    fields = {name: draw.normal(size=(N, *shape)).astype(np.float32) for name, (shape, _) in OPTIONAL.items()}
    fields |= {name: torch.randn(N, *shape) for name, (shape, _) in REQUIRED.items()}
    fields |= {"frame": [0, 0, 1, 3, 3], "is_rhand": [True, False, True, True, False], "track": [0, 1, 0, 0, 1]}
    return fields | {"time_s": np.arange(N) / 3 + 3600, "K": torch.eye(3), "image_size": (640, 480)}


def test_what_is_written_comes_back(tmp_path, hands):
    read = read_hands(write_hands(tmp_path / "a.npz", hands))
    assert set(read) == set(REQUIRED | OPTIONAL | SHARED)
    for name, array in read.items():
        wanted = np.asarray(hands[name])
        np.testing.assert_array_equal(array, wanted)
        assert array.dtype == {"b": np.bool_, "i": np.int64}.get(
            wanted.dtype.kind, np.float64 if name == "time_s" else np.float32
        )
    assert [file.name for file in tmp_path.iterdir()] == ["a.npz"]


def test_the_required_fields_are_enough_and_any_reader_can_read_them(tmp_path, hands):
    path = write_hands(tmp_path / "a.npz", {name: hands[name] for name in REQUIRED})
    with np.load(path, allow_pickle=False) as archive:
        np.testing.assert_array_equal(archive["hand_pose"], hands["hand_pose"])
    assert set(read_hands(path)) == set(REQUIRED)


def test_a_video_without_hands(tmp_path):
    empty = {name: np.zeros((0, *shape)) for name, (shape, _) in REQUIRED.items()}
    read = read_hands(write_hands(tmp_path / "a.npz", empty))
    assert read["hand_pose"].shape == (0, 45) and read["frame"].dtype == np.int64


@pytest.mark.parametrize(
    "change, message",
    [
        ({"hand_pose": np.zeros((N, 44))}, r"'hand_pose' must have shape \(5, 45\), got \(5, 44\)"),
        ({"betas": np.zeros((4, 10))}, "'betas' must have shape"),
        ({"frame": 3}, "'frame' must have shape"),
        ({"transl": np.full((N, 3), np.nan)}, "'transl' must hold finite numbers"),
        ({"transl": np.full((N, 3), 1e300)}, "'transl' must hold finite numbers"),
        ({"transl": [[0, 1], [2]]}, "'transl' must be an array of numbers"),
        ({"transl": np.full((N, 3), None)}, "'transl' must hold finite numbers"),
        ({"frame": [0.5] * N}, "'frame' must hold whole numbers"),
        ({"frame": [1, 0, 2, 3, 4]}, "'frame' must grow from 0"),
        ({"frame": [-1, 0, 2, 3, 4]}, "'frame' must grow from 0"),
        ({"is_rhand": [2] * N}, "'is_rhand' must hold true or false"),
        ({"K": np.eye(4)}, r"'K' must have shape \(3, 3\)"),
        ({"vertices": np.zeros((N, 778, 3))}, "unknown field 'vertices'"),
    ],
)
def test_fields_are_checked_in_writing_and_in_reading(tmp_path, hands, change, message):
    with pytest.raises(ValueError, match=f"a.npz: .*{message}"):
        write_hands(tmp_path / "a.npz", hands | change)
    assert not list(tmp_path.iterdir())
    if "must be an array" in message or "None" in str(change):
        return  # no such file can be made without pickles
    np.savez(tmp_path / "a.npz", **hands | change)
    with pytest.raises(ValueError, match=f"a.npz: .*{message}"):
        read_hands(tmp_path / "a.npz")


@pytest.mark.parametrize("name", REQUIRED)
def test_missing_fields_are_named(tmp_path, hands, name):
    del hands[name]
    with pytest.raises(ValueError, match=f"the field '{name}' is missing"):
        write_hands(tmp_path / "a.npz", hands)


def test_pickles_are_not_opened(tmp_path, hands):
    np.savez(tmp_path / "a.npz", **hands | {"betas": np.array([print] * N, object)})
    with pytest.raises(ValueError, match="a.npz: the field 'betas' cannot be read"):
        read_hands(tmp_path / "a.npz")


def with_member(path, name, content):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)


def test_a_header_that_promises_more_than_there_is(tmp_path):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (10**11, 45)})
    with_member(tmp_path / "a.npz", "hand_pose.npy", header.getvalue())
    with pytest.raises(ValueError, match="a.npz: the field 'hand_pose' cannot be read .*shape"):
        read_hands(tmp_path / "a.npz")


def test_a_bomb(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MAX_BYTES", 1 << 20)
    with_member(tmp_path / "a.npz", "hand_pose.npy", bytes(2 << 20))
    with pytest.raises(ValueError, match="unpacks to 2 MB, more than 1 are refused"):
        read_hands(tmp_path / "a.npz")


def test_damaged_files_raise_nothing_else(tmp_path, hands):
    whole = write_hands(tmp_path / "whole.npz", hands).read_bytes()
    draw, refused = np.random.default_rng(0), 0
    for k in range(200):
        data = np.frombuffer(whole, np.uint8).copy()
        data[draw.integers(0, len(data), 3)] ^= 0x55
        (tmp_path / "a.npz").write_bytes(data[: len(data) if k % 2 else draw.integers(0, len(data))].tobytes())
        try:
            read_hands(tmp_path / "a.npz")
        except ValueError as error:
            assert "a.npz" in str(error)
            refused += 1
    assert refused > 150


def test_paths(tmp_path, hands):
    with pytest.raises(FileNotFoundError, match="no parameters at"):
        read_hands(tmp_path / "none.npz")
    with pytest.raises(ValueError, match="a.txt: parameters are written as .npz"):
        write_hands(tmp_path / "a.txt", hands)
