import json

import numpy as np
import pytest
import torch
from miniatures import MIRROR, projected, write_photos

from handlib.camera import project
from handlib.data import PhotoFolder
from handlib.hand.joints import chirality


@pytest.fixture(scope="module")
def tree(hand, tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    return folder, write_photos(folder, hand)


def test_round_trip(tree):
    folder, (joints, K, pictures) = tree
    data = PhotoFolder(folder, size=300, crop="picture")
    assert len(data) == 4
    for i, sample in enumerate(data):
        left = bool(i % 2)
        np.testing.assert_allclose(sample.joints_cam, joints[i] * (MIRROR if left else 1), atol=1e-6)
        np.testing.assert_array_equal(sample.visible, ~np.isnan(joints[i][:, 0]))
        pixels = (sample.image[:, 40:260] * 255).round().byte().movedim(0, -1)
        np.testing.assert_array_equal(pixels, pictures[i][:, ::-1] if left else pictures[i])
        px = projected(joints[i], K) + 0.5
        px[:, 0] = 300 - px[:, 0] if left else px[:, 0]
        np.testing.assert_allclose(sample.joints_px, px + [0, 40], atol=2e-3)
        torch.testing.assert_close(project(sample.joints_cam, sample.K), sample.joints_px, equal_nan=True)
        assert sample.side == ("left" if left else "right") and sample.name == f"images/{i}.png"
        if i in (1, 3):
            assert chirality(sample.joints_cam) == 1
    assert data[2].joints_cam.isnan().all() and data[0].visible.sum() == 20


def test_K_of_the_other_convention(tree):
    ours, theirs = (PhotoFolder(tree[0], first_pixel=first, crop="picture", size=300)[1] for first in (0.5, 0.0))
    moved = torch.tensor([-0.5, 0.5]).expand(21, 2)  # of a left hand, so x the other way
    torch.testing.assert_close(theirs.joints_px - ours.joints_px, moved, rtol=0, atol=1e-3)


def changed(tree, tmp_path, **fields) -> PhotoFolder:
    """The data set with fields of its second entry replaced, or taken out if None stands for one."""
    entries = json.loads((tree[0] / "annotations.json").read_text())
    entries[1] = {key: value for key, value in (entries[1] | fields).items() if value is not ...}
    (tmp_path / "a.json").write_text(json.dumps(entries))
    if not (tmp_path / "images").exists():
        (tmp_path / "images").symlink_to(tree[0] / "images")
    return PhotoFolder(tmp_path, "a.json", size=20)


SQUARE = [[100, 0, 50], [0, 100, 50], [0, 0, 1]]


@pytest.mark.parametrize(
    "fields, complaint",
    [
        ({"side": "both"}, "the field 'side' must be 'right' or 'left'"),
        ({"side": ...}, "the field 'side' is missing"),
        ({"K": ...}, "the field 'K' is missing"),
        ({"K": [[1, 2], [3, 4]]}, "the field 'K' must be rows of three numbers"),
        ({"K": SQUARE[:2]}, "the field 'K' must be rows of three numbers"),
        ({"K": [[100, 0, True], *SQUARE[1:]]}, "the field 'K' must be rows of three numbers"),
        ({"K": [[-100, 0, 50], *SQUARE[1:]]}, r"the field 'K' must be \[\[fx, skew, cx\]"),
        ({"xyz": [[0, 0, 0.5]] * 20}, "the field 'xyz' must be a list of 21 points"),
        ({"xyz": {"wrist": [0, 0, 1]}}, "the field 'xyz' must be a list of 21 points"),
        ({"xyz": [[0, 0]] * 21}, "the field 'xyz' must be rows of three numbers"),
        ({"xyz": [[1, 2, 500.0]] * 21}, "the field 'xyz' must be in meters"),
        ({"image": 3}, "the field 'image' must be the path of a picture"),
        ({"image": "../secret.png"}, "the field 'image' leads out of the folder"),
        ({"image": "/etc/passwd"}, "the field 'image' leads out of the folder"),
    ],
)
def test_wrong_entries(tree, tmp_path, fields, complaint):
    with pytest.raises(ValueError, match=f"a.json, entry 1: {complaint}"):
        changed(tree, tmp_path, **fields)[1]


@pytest.mark.parametrize(
    ("number", "complaint"), [(float("nan"), "NaN is no finite number"), (10**400, "a number of 401 digits")]
)
def test_numbers_that_are_not_finite(tree, tmp_path, number, complaint):
    with pytest.raises(ValueError, match=rf"a\.json: not JSON \({complaint}\)"):
        changed(tree, tmp_path, K=[[number, 0, 50], *SQUARE[1:]])


def test_wrong_entries_are_skipped(tree, tmp_path):
    (tmp_path / "images").mkdir()
    for i in (0, 2, 3):
        (tmp_path / "images" / f"{i}.png").write_bytes((tree[0] / "images" / f"{i}.png").read_bytes())
    (tmp_path / "annotations.json").write_text((tree[0] / "annotations.json").read_text())
    data = PhotoFolder(tmp_path, size=20, skip_broken=True)
    assert len(data) == 3 and "no picture at" in data.broken[1]


@pytest.mark.parametrize("text", ["", "[", "{}", "[]", "[" * 100_000, '"text"'])
def test_wrong_files(tmp_path, text):
    (tmp_path / "annotations.json").write_text(text)
    with pytest.raises(ValueError, match="annotations.json: "):
        PhotoFolder(tmp_path)


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="no annotations at .*annotations.json: write a JSON list"):
        PhotoFolder(tmp_path)
    (tmp_path / "annotations.json").write_text("[3]")
    with pytest.raises(ValueError, match="entry 0: must be an object"):
        PhotoFolder(tmp_path)[0]
