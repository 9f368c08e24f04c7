import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from mano_files import Call, Name, Python2Pickle
from miniatures import MIRROR, RHD_K, projected, rhd_labels, save, write_rhd
from PIL import Image

from handlib.camera import project
from handlib.data import RHD
from handlib.data.real.palm import wrist_to_palm
from handlib.data.real.rhd import read_depth, read_labels
from handlib.data.sample import PARTS
from handlib.hand.joints import MIDDLE_MCP, chirality


@pytest.fixture(scope="module")
def tree(hand, tmp_path_factory):
    root = tmp_path_factory.mktemp("rhd") / "RHD_published_v2"
    return root, write_rhd(root, hand)


def whole(root, split="evaluation", **choices) -> RHD:
    """Uncut pictures at their own size."""
    return RHD(root, split, size=320, crop="picture", **choices)


@pytest.mark.parametrize("split, folder", [("train", "training"), ("test", "evaluation")])
@pytest.mark.parametrize("side", ["left", "right"])
def test_round_trip(tree, split, folder, side):
    root, truth = tree[0], tree[1][folder]
    data = whole(root, split, hand=side, joint0="wrist", depth=True)
    assert len(data) == 3
    flip = MIRROR if side == "left" else np.ones(3)
    turn = slice(None, None, -1 if side == "left" else 1)
    for i, sample in enumerate(data):
        np.testing.assert_allclose(sample.joints_cam, getattr(truth, side)[i] * flip, atol=1e-5)
        assert chirality(sample.joints_cam) == 1 and sample.side == side
        np.testing.assert_array_equal(sample.visible, truth.visible[i, ("left", "right").index(side)])
        image = (sample.image * 255).round().byte().movedim(0, -1)
        np.testing.assert_array_equal(image, truth.images[i][:, turn])
        np.testing.assert_allclose(sample.depth, truth.depth[i][:, turn], atol=1e-6)
        first = 2 if side == "left" else 18
        np.testing.assert_array_equal(
            sample.mask > 0, ((truth.masks[i] >= first) & (truth.masks[i] < first + 16))[:, turn]
        )
        # Their pixels have whole numbers at the centers.
        uv = projected(getattr(truth, side)[i], RHD_K) + 0.5
        uv[:, 0] = 320 - uv[:, 0] if side == "left" else uv[:, 0]
        np.testing.assert_allclose(sample.joints_px, uv, atol=2e-3)
        torch.testing.assert_close(project(sample.joints_cam, sample.K), sample.joints_px)


def test_the_mirror_is_that_of_whole_pixels(tree):
    """x' = −x, u' = W − 1 − u, cx' = W − 1 − cx, in the data set's own coordinates."""
    root, truth = tree[0], tree[1]["evaluation"]
    sample = whole(root, hand="left", joint0="wrist")[0]
    theirs = sample.joints_px.numpy() - 0.5
    np.testing.assert_allclose(theirs[:, 0], 319 - projected(truth.left[0], RHD_K)[:, 0], atol=2e-3)
    assert float(sample.K[0, 2]) - 0.5 == pytest.approx(319 - RHD_K[0, 2])


def test_which_hand(tree):
    root, truth = tree[0], tree[1]["evaluation"]
    assert [sample.side for sample in whole(root)] == ["left", "right", "right"]  # equal: the right one
    seen = truth.visible.sum(2)
    expected = ["left" if left > right else "right" for left, right in seen]
    assert [sample.side for sample in whole(root, hand="visible")] == expected
    assert {sample.side for sample in whole(root, hand="left")} == {"left"}
    with pytest.raises(ValueError, match="unknown choice of hand 'both': choose one of mask"):
        RHD(root, "test", hand="both")


def test_the_palm_is_half_way_to_the_middle_finger(tree):
    root, truth = tree[0], tree[1]["evaluation"]
    palm, wrist = whole(root, hand="right", joint0="palm")[1], whole(root, hand="right")[1]
    expected = (truth.right[1][0] + truth.right[1][MIDDLE_MCP]) / 2
    np.testing.assert_allclose(palm.joints_cam[0], expected, atol=1e-5)
    assert torch.equal(palm.joints_cam[1:], wrist.joints_cam[1:])
    torch.testing.assert_close(wrist_to_palm(wrist.joints_cam, "half"), palm.joints_cam)
    assert palm.visible[0] == (truth.visible[1, 1, 0] | truth.visible[1, 1, MIDDLE_MCP])
    with pytest.raises(ValueError, match="unknown joint0 'elbow'"):
        RHD(root, "test", joint0="elbow")


def test_parts(tree):
    """Code 2 is the tip of the left thumb, 4 its base, 14 the little finger's tip; 17 the palm; right ones + 16."""
    root, truth = tree[0], tree[1]["evaluation"]
    codes = truth.masks[1]
    for side, first in (("left", 2), ("right", 18)):
        parts = whole(root, hand=side)[1].parts
        parts = parts.flip(-1) if side == "left" else parts
        expected = {"thumb3": 0, "thumb1": 2, "index3": 3, "middle2": 7, "ring1": 11, "little3": 12, "wrist": 15}
        for name, offset in expected.items():
            assert (parts[codes == first + offset] == PARTS.index(name)).all(), name
        assert (parts[codes == 0] == PARTS.index("background")).all()
        assert (parts[codes == 1] == PARTS.index("other")).all()
        assert (parts[codes == (18 if side == "left" else 2)] == PARTS.index("other")).all()


def test_crops_hold_the_hand(tree):
    sample = RHD(tree[0], "evaluation", size=64, joint0="wrist")[1]
    assert sample.image.shape == (3, 64, 64) and sample.depth is None
    low, high = sample.joints_px.amin(0), sample.joints_px.amax(0)
    assert float((high - low).max()) == pytest.approx(64 / 1.5, abs=1e-2)


@pytest.mark.parametrize("protocol", ["py3-2", "py3-4"])
def test_other_pickles(hand, tmp_path, protocol):
    truth = write_rhd(tmp_path, hand, ("evaluation",), 2, 64, protocol)["evaluation"]
    labels = read_labels(tmp_path / "evaluation")
    assert labels["frames"].tolist() == [0, 1]
    expected = rhd_labels(truth.left, truth.right, truth.visible)
    for key in ("xyz", "uv_vis", "K"):
        np.testing.assert_allclose(labels[key][1], expected[1][key], rtol=1e-6)


def test_labels_beside_the_folders_and_a_folder_around(tree, tmp_path):
    root = tree[0]
    assert len(RHD(root.parent, "test")) == 3  # the folder that the archive was unpacked in
    (tmp_path / "evaluation").mkdir()
    name = "anno_evaluation.pickle"
    (tmp_path / name).write_bytes((root / "evaluation" / name).read_bytes())
    assert len(RHD(tmp_path, "test")) == 3
    (tmp_path / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"no {name} in .*evaluation or next to it"):
        RHD(tmp_path, "test")


def test_the_high_byte_of_depth_is_red(tmp_path):
    save(tmp_path / "d.png", np.array([[[200, 3, 9], [0, 255, 0]]], np.uint8))
    found = read_depth(tmp_path / "d.png")
    np.testing.assert_allclose(found, [[(200 * 256 + 3) / 65535 * 5, 255 / 65535 * 5]], rtol=1e-6)


# ---- hostile and broken files


@pytest.fixture
def small(hand, tmp_path) -> Path:
    write_rhd(tmp_path, hand, ("evaluation",), 3, 64)
    return tmp_path


def labels_of(small) -> tuple[Path, dict]:
    path = small / "evaluation" / "anno_evaluation.pickle"
    return path, {i: {key: array[i] for key, array in read_labels(path.parent).items()} for i in range(3)}


def test_a_pickle_that_would_run_code_is_refused(small, tmp_path):
    path, _ = labels_of(small)
    there = tmp_path / "it ran"
    for function, argument in (("os.system", f"touch '{there}'"), ("builtins.eval", f"open({str(there)!r}, 'w')")):
        module, name = function.split(".")
        path.write_bytes(Python2Pickle(2).file({0: Call(Name(module, name), (argument,))}))
        message = f"anno_evaluation.pickle: refused: {function}; this is not a label file of"
        with pytest.raises(ValueError, match=message):
            RHD(small, "test")

    class Evil:
        def __reduce__(self):
            return Path.touch, (there,)

    path.write_bytes(pickle.dumps({0: Evil()}))
    with pytest.raises(ValueError, match="anno_evaluation.pickle: refused: "):
        RHD(small, "test")
    assert not there.exists()


def test_broken_labels(small):
    path, labels = labels_of(small)
    good = {key: labels[0][key] for key in ("xyz", "uv_vis", "K")}
    cases = {
        "the field 'K' of picture 1 is missing": {0: good, 1: {"xyz": good["xyz"], "uv_vis": good["uv_vis"]}},
        r"the field 'xyz' of picture 0 has shape \(21, 3\), expected \(42, 3\)": {0: good | {"xyz": good["xyz"][:21]}},
        "the field 'uv_vis' of picture 0 must hold finite numbers": {0: good | {"uv_vis": good["uv_vis"] * np.nan}},
        "the field 'K' of picture 0 must be an array of numbers": {0: good | {"K": "a camera"}},
        "its keys must be the numbers of pictures": {"first": good},
        "the pickle is not a dict": [good],
    }
    for message, content in cases.items():
        path.write_bytes(pickle.dumps(content, protocol=2))
        with pytest.raises(ValueError, match=f"anno_evaluation.pickle: {message}"):
            RHD(small, "test")
    whole = pickle.dumps({0: good}, protocol=2)
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="not a readable pickle .* is the download complete"):
        RHD(small, "test")


def test_broken_pictures(small):
    data = RHD(small, "test", size=32)
    color, mask = small / "evaluation" / "color" / "00000.png", small / "evaluation" / "mask" / "00001.png"
    content = color.read_bytes()
    color.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match="color.00000.png: not a readable .* image"):
        data[0]
    color.unlink()
    with pytest.raises(FileNotFoundError, match="no picture at .*color.00000.png"):
        data[0]
    save(mask, np.full((64, 64), 34, np.uint8))
    with pytest.raises(ValueError, match="mask.00001.png: code 34 is out of range 0 … 33"):
        data[1]
    save(mask, np.zeros((60, 64), np.uint8))
    with pytest.raises(ValueError, match="mask.00001.png: 64×60 pixels, its color picture has 64×64"):
        data[1]
    Image.new("RGB", (64, 64)).save(mask)
    with pytest.raises(ValueError, match="mask.00001.png: the picture has mode RGB, not one channel"):
        data[1]


def test_broken_frames_are_skipped_and_reported(small, capsys):
    assert len(RHD(small, "test", size=320, crop="picture", skip_broken=True)) == 3
    (small / "evaluation" / "color" / "00001.png").write_bytes(b"not a picture")
    data = RHD(small, "test", size=32, crop="picture", skip_broken=True)
    assert len(data) == 2 and [data[0].name, data[1].name] == ["rhd-test-00000", "rhd-test-00002"]
    assert list(data.broken) == [1] and "color" in data.broken[1]
    assert "1 broken frames skipped, 2 left" in data.report() and data.report() in capsys.readouterr().out
    assert "skipped=1" in data.name
    for index in (-1, 2):
        with pytest.raises(IndexError, match="has no sample"):
            data[index]
