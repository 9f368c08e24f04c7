"""What all readers of real data sets share: splits, workers, batches, skipping."""

import pickle

import numpy as np
import pytest
import torch
from miniatures import write_do, write_freihand, write_ho3d, write_interhand, write_photos, write_rhd, write_stb
from torch.utils.data import DataLoader

from handlib.data import collate, open_spec
from handlib.data.crop import to_original_camera, to_original_picture
from handlib.data.real.frames import RealHands, find_root, intrinsics, split_of
from handlib.data.specs import HANDS


@pytest.fixture(scope="module")
def roots(hand, tmp_path_factory):
    home = tmp_path_factory.mktemp("all")
    write_rhd(home / "rhd", hand, ("evaluation",), 2, 64)
    write_stb(home / "stb", hand, 1)
    write_do(home / "do", hand, 3)
    write_freihand(home / "freihand", hand, 2, versions=1)
    write_ho3d(home / "ho3d", hand)
    write_interhand(home / "interhand", hand, splits=("test",))
    write_photos(home / "photos", hand, 2)
    return home


def opened(roots, kind: str) -> RealHands:
    """Uncut, since the miniatures' hands may stand beside the small pictures of RHD."""
    return open_spec(f"{kind},crop=picture:{roots / kind}", size=24)


@pytest.mark.parametrize("kind", HANDS)
def test_samples_do_not_depend_on_the_process(roots, kind):
    data = opened(roots, kind)
    again = pickle.loads(pickle.dumps(data))
    assert again.name == data.name and len(again) == len(data) > 1
    for i in (1, 0):
        one, other = data[i], again[i]
        assert torch.equal(one.image, other.image) and torch.equal(one.K, other.K)
        torch.testing.assert_close(one.joints_cam, other.joints_cam, rtol=0, atol=0, equal_nan=True)


def test_workers(roots):
    data = opened(roots, "freihand")
    batches = list(DataLoader(data, 2, num_workers=1, collate_fn=collate))
    assert torch.equal(batches[0]["image"], torch.stack([data[0].image, data[1].image]))


def test_batches_have_what_all_samples_have(roots):
    rhd = collate([opened(roots, "rhd")[i] for i in range(2)])
    assert rhd["parts"].shape == (2, 24, 24) and rhd["parts"].dtype == torch.int64
    assert rhd["box"].shape == (2, 3) and rhd["mask"].shape == (2, 24, 24) and "depth" not in rhd
    stb = collate([opened(roots, "stb")[0]])
    assert "mask" not in stb and "parts" not in stb and stb["visible"].all()
    do = collate([opened(roots, "do")[0]])
    assert do["joints_cam"].isnan().any() and do["visible"].sum() == 5


@pytest.mark.parametrize("kind", HANDS)
def test_each_says_what_it_scores_and_what_it_is(roots, kind):
    data = opened(roots, kind)
    assert data.scored == ((4, 8, 12, 16, 20) if kind == "do" else tuple(range(21)))
    assert "crop=picture" in data.name and "size=24" in data.name and f"n={len(data)}" in data.name
    assert "fingertips=" in data.name and str(roots) not in data.name
    with pytest.raises(IndexError, match="has no sample"):
        data[len(data)]


@pytest.mark.parametrize("kind", HANDS)
def test_predictions_go_back(roots, kind):
    data = open_spec(f"{kind}:{roots / kind}") if kind != "rhd" else opened(roots, kind)
    frame, sample = data.frame(1), data[1]
    joints_cam = to_original_camera(sample.joints_cam, sample.side)
    joints_px = to_original_picture(sample.joints_px, sample)
    np.testing.assert_allclose(joints_cam, frame.joints_cam, atol=1e-6)
    px = frame.joints_cam @ frame.K.T
    np.testing.assert_allclose(joints_px, px[:, :2] / px[:, 2:], atol=5e-3)


def test_split_names():
    assert [split_of(s) for s in ("train", "training", "test", "evaluation")] == ["train", "train", "test", "test"]
    assert split_of("validation", ("train", "val")) == "val"
    with pytest.raises(ValueError, match="unknown split 'val': choose one of train, test"):
        split_of("val")


def test_roots(tmp_path):
    (tmp_path / "b" / "mark").mkdir(parents=True)
    assert find_root(tmp_path, ["mark"], "it") == tmp_path / "b"
    assert find_root(tmp_path / "b", ["mark"], "it") == tmp_path / "b"
    with pytest.raises(FileNotFoundError, match="is not it: neither it nor a folder in it has sign or token"):
        find_root(tmp_path, ["sign", "token"], "it")
    with pytest.raises(FileNotFoundError, match="no folder at .*; give the folder into which it was unpacked"):
        find_root(tmp_path / "c", ["mark"], "it")
    (tmp_path / "d" / "mark").mkdir(parents=True)
    with pytest.raises(ValueError, match="holds it more than once; give one of .*b, .*d$"):
        find_root(tmp_path, ["mark"], "it")


def test_first_pixel():
    """The ray through the center of the first pixel is the same in either convention."""
    for first in (0.0, 0.5, 1.0):
        K = intrinsics(100.0, 120.0, 50.0, 40.0, first)
        ray = torch.linalg.solve(K, torch.tensor([0.5, 0.5, 1.0], dtype=torch.float64))
        np.testing.assert_allclose(ray, [(first - 50) / 100, (first - 40) / 120, 1])


def test_a_reader_must_read():
    with pytest.raises(NotImplementedError, match="RealHands must implement read"):
        RealHands().read(0)
    with pytest.raises(ValueError, match="size must be at least 1"):
        RealHands(size=0).start("nothing", 1)
