import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from mano_files import Call, Name, Python2Pickle
from miniatures import HO3D_K, HO3D_LISTS, MANO21, OPENGL, picture, projected, reordered, save, write_ho3d

from handlib.camera import project
from handlib.data import HO3D
from handlib.data.real.ho3d import from_ho3d, opengl
from handlib.hand.joints import chirality


@pytest.fixture(scope="module", params=[2, 3])
def tree(request, hand, tmp_path_factory):
    root = tmp_path_factory.mktemp("ho3d") / f"HO3D_v{request.param}"
    return root, write_ho3d(root, hand, request.param), request.param


@pytest.mark.parametrize("split, folder", [("train", "train"), ("test", "evaluation")])
def test_round_trip(tree, split, folder):
    root, truth, version = tree
    right, pictures, masks, codes, _ = truth[folder]
    # A crop of whole pixels, so that depth and mask can be compared.
    data = HO3D(root, split, size=640, vertices=True, masks=version == 3, depth=True, crop="picture")
    assert len(data) == len(HO3D_LISTS[folder]) and data.name.startswith(f"HO3D v{version} {split} fingertips=manopth")
    for i, sample in enumerate(data):
        np.testing.assert_allclose(sample.joints_cam, right.joints[i], atol=1e-6)
        assert sample.side == "right" and sample.visible.all() and chirality(sample.joints_cam) == 1
        px = projected(right.joints[i], HO3D_K) + 0.5 + [0, 80]  # the picture lies in the middle of its square
        np.testing.assert_allclose(sample.joints_px, px, atol=2e-3)
        torch.testing.assert_close(project(sample.joints_cam, sample.K), sample.joints_px)
        image = (sample.image * 255).round().byte().movedim(0, -1).numpy()[80:560]
        assert np.abs(image.astype(int) - pictures[i]).mean() < (4 if version == 3 else 1e-9)
        np.testing.assert_allclose(sample.depth[80:560], codes[i] * 0.00012498664727900177, atol=1e-6)
        if version == 3:
            np.testing.assert_array_equal(sample.mask[80:560] > 0, masks[i])
        if split == "test":
            np.testing.assert_allclose(sample.vertices_cam, right.vertices[i], atol=1e-6)
        else:
            assert sample.vertices_cam is None
        assert sample.name == f"ho3d-{split}-{'-'.join(HO3D_LISTS[folder][i])}"


def test_the_evaluation_of_those_who_have_no_truth(hand, tmp_path):
    """The wrist alone, in front of the camera; and the box that all methods are given."""
    right, *_, boxes = write_ho3d(tmp_path, hand, truth=False)["evaluation"]
    data = HO3D(tmp_path, "evaluation", size=64, vertices=True, crop_factor=1.5)
    for i, sample in enumerate(data):
        np.testing.assert_allclose(sample.joints_cam[0], right.joints[i, 0], atol=1e-6)
        assert sample.joints_cam[1:].isnan().all() and not sample.visible.any() and sample.vertices_cam is None
        left, top, right_edge, bottom = boxes[i] + 0.5
        side = 1.5 * max(right_edge - left, bottom - top)
        wanted = [(left + right_edge - side) / 2, (top + bottom - side) / 2, side]
        assert sample.box.tolist() == pytest.approx(wanted)


def test_the_given_box_may_be_asked_for(tree):
    root, truth, _ = tree
    samples = [HO3D(root, "test", size=32, crop=crop)[0].box for crop in ("joints", "box")]
    assert not torch.equal(*samples) and float(samples[1][2]) == pytest.approx(1.5 * 180)


def test_a_version_may_be_named(tree):
    assert "HO3D v2 train" in HO3D(tree[0], "train", version=2).name
    with pytest.raises(ValueError, match="unknown version 4 of HO3D: choose 2 or 3"):
        HO3D(tree[0], "train", version=4)


def test_the_last_frames_of_every_camera_are_held_out(tree):
    """The frame's number says where it is, whatever the order of the list."""
    data = HO3D(tree[0], "train")
    places = [data.time(row) for row in range(4)]
    assert places == [0, 0, 7 / 8, 3 / 4]
    assert HO3D(tree[0], "train").hold_out(0.2, validation=True).rows == [2]


def test_opengl_is_its_own_inverse():
    points = torch.tensor([[0.1, 0.2, 0.5]])
    assert opengl(points).tolist() == [[pytest.approx(v) for v in (0.1, -0.2, -0.5)]]
    assert torch.equal(opengl(opengl(points)), points)


def test_their_order_is_manos_with_the_tips_appended(hand):
    """By the list in their script: thumb at 13 … 16, index at 1 … 3, 17, little finger before the ring."""
    rows = [0, 13, 14, 15, 16, 1, 2, 3, 17, 4, 5, 6, 18, 10, 11, 12, 19, 7, 8, 9, 20]
    theirs = np.arange(63.0).reshape(21, 3)
    np.testing.assert_array_equal(from_ho3d(theirs), theirs[rows] * OPENGL)
    np.testing.assert_array_equal(reordered(theirs[rows], MANO21), theirs)


@pytest.mark.parametrize("protocol", [0, 3, 4])
def test_other_pickles(hand, tmp_path, protocol):
    right = write_ho3d(tmp_path, hand, protocol=protocol)["train"][0]
    np.testing.assert_allclose(HO3D(tmp_path, "train", size=32)[1].joints_cam, right.joints[1], atol=1e-6)


# ---- broken and hostile files


@pytest.fixture
def small(hand, tmp_path) -> Path:
    write_ho3d(tmp_path, hand)
    return tmp_path


def meta_of(root: Path, row: int = 0, split: str = "train") -> tuple[Path, dict]:
    sequence, frame = HO3D_LISTS[split][row]
    path = root / split / sequence / "meta" / f"{frame}.pkl"
    return path, pickle.loads(path.read_bytes())


def test_a_pickle_that_would_run_code_is_refused(small, tmp_path):
    path, _ = meta_of(small)
    there = tmp_path / "it ran"
    path.write_bytes(Python2Pickle(2).file({"camMat": Call(Name("os", "system"), (f"touch '{there}'",))}))
    with pytest.raises(ValueError, match="0000.pkl: refused: os.system; this is not a label file of HO3D"):
        HO3D(small, "train", size=32)[0]
    assert not there.exists()


def test_broken_labels(small):
    path, good = meta_of(small)
    data = HO3D(small, "train", size=32)
    cases = {
        "the field 'camMat' is missing: this frame is not annotated": {"handJoints3D": good["handJoints3D"]},
        "the field 'handJoints3D' is None: this frame is not annotated": good | {"handJoints3D": None},
        r"the field 'handJoints3D' has shape \(16, 3\), expected \(21, 3\)": good | {"handJoints3D": np.zeros((16, 3))},
        "the field 'handJoints3D' must hold finite numbers": good | {"handJoints3D": good["handJoints3D"] * np.nan},
        "the field 'camMat' must be an array of numbers, not of the type str": good | {"camMat": "a camera"},
        "the field 'camMat' holds Python objects": good | {"camMat": np.array([[{}]])},
        "the pickle is not a dict": [good],
    }
    for message, content in cases.items():
        path.write_bytes(pickle.dumps(content, protocol=2))
        with pytest.raises(ValueError, match=f"0000.pkl: {message}"):
            data[0]
    path.write_bytes(pickle.dumps(good | {"handJoints3D": good["handJoints3D"] * OPENGL}))
    with pytest.raises(ValueError, match=f"{data.root}: .*joints are behind the camera"):
        data[0]
    path.write_bytes(b"\x00" * (5 << 20))
    with pytest.raises(ValueError, match="0000.pkl: 5 MB is too large"):
        data[0]
    path.unlink()
    with pytest.raises(FileNotFoundError, match="no labels at .*0000.pkl"):
        data[0]
    assert len(HO3D(small, "train", size=32, skip_broken=True)) == 3


def test_lists_as_labels(small):
    """Nested lists will do; a ragged one, or one of something else, will not."""
    path, good = meta_of(small, split="evaluation")
    data = HO3D(small, "test", size=32)
    path.write_bytes(pickle.dumps(good | {"camMat": good["camMat"].tolist()}))
    assert float(data[0].K[2, 2]) == 1
    for wrong in ([[1, 2], [3]], ["x"] * 4, [None] * 4, [[]] * 4):
        path.write_bytes(pickle.dumps(good | {"handBoundingBox": wrong}))
        with pytest.raises(ValueError, match="0001.pkl: the field 'handBoundingBox'"):
            data[0]


@pytest.mark.parametrize(
    "line", ["../../etc/0000", "ABF10", "ABF10/0000/0001", "/ABF10/0000", "ABF10/..", "ABF10/\u0661"]
)
def test_lists_that_lead_elsewhere(small, line):
    (small / "train.txt").write_text(f"MC1/0003\n{line}\n", encoding="utf-8")
    with pytest.raises(ValueError, match="train.txt, line 2: .* is not <sequence>/<frame>"):
        HO3D(small, "train")


def test_broken_trees(small):
    (small / "train.txt").write_text("\n\n")
    with pytest.raises(ValueError, match="train.txt: the list is empty"):
        HO3D(small, "train")
    (small / "train.txt").unlink()
    with pytest.raises(FileNotFoundError, match="no train.txt in"):
        HO3D(small, "train")
    (small / "evaluation_xyz.json").write_text("[[[1, 2, 3]]]")
    with pytest.raises(ValueError, match="evaluation_xyz.json has 1 rows, evaluation.txt 3; get both of one version"):
        HO3D(small, "test")
    with pytest.raises(FileNotFoundError, match="is not HO3D"):
        HO3D(small / "evaluation", "test")


def test_broken_pictures(small):
    data = HO3D(small, "train", size=32, masks=True, depth=True)
    folder = small / "train" / "ABF10"
    save(folder / "seg" / "0000.png", picture(np.random.default_rng(0), 30, 24))
    with pytest.raises(ValueError, match="seg.0000.png: .* pixels, its color picture has 640×480"):
        data[0]
    (folder / "seg" / "0000.png").unlink()
    with pytest.raises(FileNotFoundError, match="no picture at .*seg.0000.png"):
        data[0]
    save(folder / "depth" / "0007.png", picture(np.random.default_rng(0), 64, 48))
    with pytest.raises(ValueError, match="depth.0007.png: 64×48 pixels"):
        data[2]
    (folder / "rgb" / "0000.jpg").unlink()
    with pytest.raises(FileNotFoundError, match="no picture at .*rgb.0000.png"):
        HO3D(small, "train", size=32)[0]
