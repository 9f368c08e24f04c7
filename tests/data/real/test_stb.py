import numpy as np
import pytest
import torch
from miniatures import MIRROR, SK_MOVE, SK_TURN, rodrigues, save, write_stb
from scipy.io import savemat

from handlib.camera import project
from handlib.data import STB
from handlib.data.real.palm import wrist_to_palm
from handlib.data.real.stb import read_depth, to_camera
from handlib.hand.joints import C21, chirality


@pytest.fixture(scope="module")
def tree(hand, tmp_path_factory):
    root = tmp_path_factory.mktemp("stb")
    return root, write_stb(root, hand)


def whole(root, camera="BB", split="test", joint0="palm", **choices) -> STB:
    return STB(root, split, camera, size=640, joint0=joint0, crop="picture", **choices)


def check(sample, joints, image, f, c):
    """A mirrored left hand: joints (21, 3) in the picture's camera, as they were before."""
    np.testing.assert_allclose(sample.joints_cam, joints * MIRROR, atol=1e-5)
    assert sample.side == "left" and chirality(sample.joints_cam) == 1 and sample.visible.all()
    assert sample.mask is None and sample.box.tolist() == [0, -80, 640] and sample.picture == (640, 480)
    pixels = (sample.image[:, 80:560] * 255).round().byte().movedim(0, -1)
    np.testing.assert_array_equal(pixels, image[:, ::-1])
    uv = joints[:, :2] / joints[:, 2:] * f + c  # whole numbers at the centers
    px = np.stack([640 - (uv[:, 0] + 0.5), uv[:, 1] + 0.5 + 80], -1)
    np.testing.assert_allclose(sample.joints_px, px, atol=5e-3)
    torch.testing.assert_close(project(sample.joints_cam, sample.K), sample.joints_px)


def test_round_trip_of_the_stereo_camera(tree):
    root, truth = tree
    data = whole(root)
    assert len(data) == 2 * 2 * 2
    i = 0
    for sequence in ("B1Counting", "B1Random"):
        joints, _, files = truth[sequence]
        for stem, shift in (("BB_left", 0), ("BB_right", 0.120054)):
            for n in range(2):
                sample = data[i]
                assert sample.name == f"stb-{sequence}-{stem}-{n}"
                here = joints[n] - [shift, 0, 0]
                check(sample, here, files[f"{stem}_{n}"], 822.79041, [318.47345, 250.31296])
                i += 1


def test_round_trip_of_the_depth_camera_s_color(tree):
    """The labels are in the depth camera; the truth was made in the color camera."""
    root, truth = tree
    data = whole(root, "SK")
    assert len(data) == 4
    for i, (sequence, n) in enumerate([("B1Counting", 0), ("B1Counting", 1), ("B1Random", 0), ("B1Random", 1)]):
        _, joints, files = truth[sequence]
        f, c = [607.92271, 607.88192], [314.78337, 236.42484]
        check(data[i], joints[n], files[f"SK_color_{n}"], f, c)


def test_the_two_directions_of_SK_are_48_mm_apart(generator):
    points = torch.randn(5, 3, generator=generator, dtype=torch.float64)
    back = to_camera(points, "SK_color").numpy() @ rodrigues(SK_TURN).T + SK_MOVE
    np.testing.assert_allclose(back, points, atol=1e-9)
    origin = torch.zeros(1, 3, dtype=torch.float64)
    assert np.linalg.norm(to_camera(origin, "SK_color").numpy() - SK_MOVE) == pytest.approx(0.048, abs=5e-4)


def test_splits_and_cameras(tree):
    root = tree[0]
    assert len(STB(root, "train")) == 10 * 2 * 2 and len(STB(root, "train", "SK")) == 10 * 2
    assert len(STB(root, "evaluation", "BB_right")) == 4
    assert {sequence for sequence, _, _ in STB(root, "train").frames}.isdisjoint({"B1Counting", "B1Random"})
    with pytest.raises(ValueError, match="unknown camera 'RGB': choose one of BB"):
        STB(root, "test", "RGB")
    with pytest.raises(ValueError, match="unknown split 'val'"):
        STB(root, "val")


@pytest.mark.parametrize("rule", ["ring", "middle", "mean"])
def test_wrists_from_palms(tree, rule):
    root, truth = tree
    palm, wrist = whole(root)[0], whole(root, joint0=rule)[0]
    assert torch.equal(palm.joints_cam[1:], wrist.joints_cam[1:])
    torch.testing.assert_close(wrist_to_palm(wrist.joints_cam, rule), palm.joints_cam)
    if rule == "ring":
        joints = truth["B1Counting"][0][0] * MIRROR
        ring = joints[C21.index("ring1")]
        np.testing.assert_allclose(wrist.joints_cam[0], ring + 2 * (joints[0] - ring), atol=1e-5)
    with pytest.raises(ValueError, match="unknown joint0 'half'"):
        STB(root, "test", joint0="half")


def test_without_the_folder_images_and_with_one_around(hand, tmp_path):
    write_stb(tmp_path / "inside" / "stb", hand, 1, images=False, pictures=("B1Random",))
    sample = STB(tmp_path / "inside", "test", size=32)[2]
    assert sample.name == "stb-B1Random-BB_left-0"
    with pytest.raises(FileNotFoundError, match="is not STB: neither it nor a folder in it has labels"):
        STB(tmp_path, "test")


def test_the_low_byte_of_depth_is_red(tmp_path):
    save(tmp_path / "d.png", np.array([[[200, 3, 0], [0, 2, 0]]], np.uint8))
    np.testing.assert_allclose(read_depth(tmp_path / "d.png"), [[(200 + 768) / 1000, 0.512]])


# ---- broken files


def test_broken_labels(hand, tmp_path):
    write_stb(tmp_path, hand, 1, pictures=())
    path = tmp_path / "labels" / "B1Random_BB.mat"
    rng = np.random.default_rng(0)
    good = rng.random((3, 21, 1)) * 100
    for message, fields in {
        r"the field 'handPara' has shape \(21, 3, 1\), expected \(3, 21, frames\)": {"handPara": good.swapaxes(0, 1)},
        r"the field 'handPara' has shape \(3, 21\)": {"handPara": good[..., 0]},
        "the field 'handPara' is missing among handpara": {"handpara": good},
        "the field 'handPara' must hold numbers": {"handPara": np.full((3, 21, 1), "x", object)},
    }.items():
        savemat(path, fields)
        with pytest.raises(ValueError, match=f"B1Random_BB.mat: {message}"):
            STB(tmp_path, "test")
    savemat(path, {"handPara": good * np.nan})
    with pytest.raises(FileNotFoundError, match="BB_left_0.png"):  # the first, whose label is good
        STB(tmp_path, "test")[0]
    for content in (b"", b"MATLAB 5.0 MAT-file", path.read_bytes()[:300], b"<html>"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="B1Random_BB.mat: not a readable .mat file"):
            STB(tmp_path, "test")
    path.unlink()
    with pytest.raises(FileNotFoundError, match="no labels at .*B1Random_BB.mat"):
        STB(tmp_path, "test")


def test_broken_frames(hand, tmp_path):
    write_stb(tmp_path, hand, 2)
    savemat(tmp_path / "labels" / "B1Counting_BB.mat", {"handPara": np.full((3, 21, 2), np.nan)})
    folder = tmp_path / "images" / "B1Random"
    content = (folder / "BB_right_1.png").read_bytes()
    (folder / "BB_right_1.png").write_bytes(content[:500])
    data = STB(tmp_path, "test", size=32)
    with pytest.raises(ValueError, match="B1Counting_BB.mat: 'handPara' of frame 1 is not finite"):
        data[1]
    with pytest.raises(ValueError, match="BB_right_1.png: not a readable"):
        data[7]
    data = STB(tmp_path, "test", size=32, skip_broken=True)
    assert len(data) == 3 and len(data.broken) == 5 and data[2].name == "stb-B1Random-BB_right-0"


def test_a_large_file_of_labels_is_refused_unread(tree, tmp_path, monkeypatch):
    from handlib.data.real import stb

    monkeypatch.setattr(stb, "MAX_BYTES", 100)
    with pytest.raises(ValueError, match="is too large"):
        STB(tree[0], "test")
