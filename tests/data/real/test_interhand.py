import json
from pathlib import Path

import numpy as np
import pytest
import torch
from miniatures import INTERHAND_CAMERAS, MIRROR, interhand_camera, picture, projected, save, write_interhand

from handlib.camera import project
from handlib.data import InterHand26M, open_spec
from handlib.data.real.json_objects import json_objects
from handlib.hand.joints import C21, INTERHAND21, chirality

SIDES = ["right", "right", "left", "left", "right", "left", "right", "left"]  # of the samples of a split
FRAMES = [0, 0, 1, 1, 2, 2, 2, 2]
CAMERAS = [0, 1, 0, 1, 0, 0, 1, 1]


@pytest.fixture(scope="module")
def tree(hand, tmp_path_factory):
    root = tmp_path_factory.mktemp("interhand")
    return root, write_interhand(root, hand)


def in_camera(points: np.ndarray, number: int) -> np.ndarray:
    """Point by point: R (X − position), meters."""
    rotation, position, *_ = interhand_camera(number)
    return np.stack([rotation @ (point - position / 1000) for point in points])


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_round_trip(tree, split):
    root, truth = tree
    right, left, files = truth[split]
    data = InterHand26M(root, split, size=512, crop="picture")
    assert len(data) == 8 and data.pictures == 6 and data.name.startswith(f"InterHand2.6M {split} hand=both which=all")
    for sample, side, i, k in zip(data, SIDES, FRAMES, CAMERAS, strict=True):
        assert sample.side == side
        joints = in_camera({"right": right, "left": left}[side][i], k)
        known, visible = np.ones(21, bool), np.ones(21, bool)
        if i == 2:
            visible[C21.index("thumb4" if side == "right" else "little4")] = False
            known = visible if side == "left" else known
        *_, focal, center = interhand_camera(k)
        K = np.array([[focal[0], 0, center[0]], [0, focal[1], center[1]], [0, 0, 1]])
        px = projected(joints, K) + 0.5
        if side == "left":
            px[:, 0] = 334 - px[:, 0]
            joints = joints * MIRROR
        np.testing.assert_allclose(sample.joints_cam[known], joints[known], atol=1e-6)
        np.testing.assert_allclose(sample.joints_px[known], (px + [89, 0])[known], atol=2e-3)
        assert sample.joints_cam[~known].isnan().all()
        np.testing.assert_array_equal(sample.visible, visible)
        if known.all():
            assert chirality(sample.joints_cam) == 1
        torch.testing.assert_close(project(sample.joints_cam, sample.K)[known], sample.joints_px[known])
        image = (sample.image * 255).round().byte().movedim(0, -1).numpy()[:, 89:423].astype(int)
        shown = files[i, list(INTERHAND_CAMERAS)[k]]
        assert np.abs(image - (shown[:, ::-1] if side == "left" else shown)).mean() < 4


def test_names_say_picture_and_side(tree):
    names = [sample.name for sample in InterHand26M(tree[0], "test", size=16)]
    assert names[4] == "interhand-test-Capture2/0001_fist/cam400002/image120-right" and len(set(names)) == 8


def test_their_order():
    """As in their skeleton.txt: thumb4 first, wrist last."""
    assert INTERHAND21.joints[:5] == ("thumb4", "thumb3", "thumb2", "thumb1", "index4")
    assert INTERHAND21.joints[16:] == ("little4", "little3", "little2", "little1", "wrist")


@pytest.mark.parametrize(
    "choice, sides",
    [
        ({"hand": "right"}, ["right"] * 4),
        ({"hand": "left"}, ["left"] * 4),
        ({"which": "single"}, SIDES[:4]),
        ({"which": "interacting"}, SIDES[4:]),
    ],
)
def test_which_hands(tree, choice, sides):
    assert [sample.side for sample in InterHand26M(tree[0], "test", size=16, **choice)] == sides


def change(root: Path, split: str, what: str, edit) -> None:
    path = root / "annotations" / split / f"InterHand2.6M_{split}_{what}.json"
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


@pytest.fixture
def small(hand, tmp_path) -> Path:
    write_interhand(tmp_path, hand, splits=("test",))
    return tmp_path


def test_a_hand_without_a_wrist(small):
    """It cannot be compared at its root, whichever of the two files says that it is not valid."""

    def in_picture(content):
        content["annotations"][0]["joint_valid"][20] = [0]

    def in_world(content):
        content["0"]["110"]["joint_valid"][41] = [False]

    change(small, "test", "data", in_picture)
    change(small, "test", "joint_3d", in_world)
    assert [s.side for s in InterHand26M(small, "test", size=16)] == ["right", *SIDES[4:]]
    data = InterHand26M(small, "test", size=16, roots=False)
    assert [s.side for s in data] == SIDES
    assert not data[0].visible[0] and data[0].joints_cam[0].isfinite().all() and data[2].joints_cam[0].isnan().all()


def test_a_hand_of_one_joint_is_none(small):
    def hide(content):
        content["annotations"][0]["joint_valid"] = [[0]] * 20 + [[1]] * 22

    change(small, "test", "data", hide)
    assert len(InterHand26M(small, "test", size=16, roots=False)) == 7


def test_flags_without_lists_around_them(small):
    def flat(content):
        for label in content["annotations"]:
            label["joint_valid"] = [flag for (flag,) in label["joint_valid"]]

    change(small, "test", "data", flat)
    assert len(InterHand26M(small, "test", size=16)) == 8


def test_older_downloads_and_chosen_annotations(hand, tmp_path):
    write_interhand(tmp_path, hand, folder="human_annot", splits=("train", "test"))
    data = InterHand26M(tmp_path, "test", size=16, annotations="human_annot")
    assert len(data) == 8 and "annotations=human_annot" in data.name
    (tmp_path / "annotations" / "human_annot" / "ids.txt").write_text("50\n54\n")
    kept = InterHand26M(tmp_path, "test", size=16, annotations="human_annot", ids="ids.txt")
    assert [s.side for s in kept] == ["right", "right", "left"] and "ids=ids.txt" in kept.name
    (tmp_path / "annotations" / "human_annot" / "ids.txt").write_text("50\nx\n")
    with pytest.raises(ValueError, match="ids.txt: must hold an integer on each line"):
        InterHand26M(tmp_path, "test", size=16, annotations="human_annot", ids="ids.txt")
    with pytest.raises(FileNotFoundError, match="no InterHand2.6M_test_camera.json in"):
        InterHand26M(tmp_path, "test")


def test_splits_of_a_spec(tree):
    """The official split for validation, or one held out: of every camera the same moments."""
    assert "InterHand2.6M val" in open_spec(f"interhand:{tree[0]}", "val").name
    held = open_spec(f"interhand,hold=0.4,which=all:{tree[0]}", "val")
    assert "InterHand2.6M train" in held.name and "held=0.4" in held.name
    assert {held.hands[row].picture.frame for row in held.rows} == {"120"} and len(held) == 4
    assert len(open_spec(f"interhand,hold=0.4,roots=no:{tree[0]}", "train")) == 4
    assert len(open_spec(f"interhand,hold=0.4:{tree[0]}", "test")) == 8


def test_wrong_choices(tree):
    for name, value in (("hand", "one"), ("which", "both"), ("annotations", "mine")):
        with pytest.raises(ValueError, match=f"unknown {name} '{value}': choose one of"):
            InterHand26M(tree[0], "test", **{name: value})
    with pytest.raises(ValueError, match="unknown split 'diverse': choose one of train, val, test"):
        InterHand26M(tree[0], "diverse")
    with pytest.raises(FileNotFoundError, match="is not InterHand2.6M"):
        InterHand26M(tree[0] / "images", "test")


# ---- broken and hostile files


def entry(name, value, key="annotations"):
    def edit(content):
        content[key][1][name] = value

    return edit


@pytest.mark.parametrize(
    "what, edit, complaint",
    [
        ("data", entry("image_id", 999), "annotation 51: the field 'image_id' names no image"),
        ("data", entry("image_id", None), "annotations 1: int.. argument must be"),
        ("data", entry("joint_valid", [[1]] * 21), "annotations 1: the field 'joint_valid' must be 42 numbers 0 or 1"),
        ("data", entry("joint_valid", [[2]] * 42), "annotations 1: the field 'joint_valid' must be 42 numbers 0 or 1"),
        ("data", entry("joint_valid", [[1], 1] * 21), "annotations 1: the field 'joint_valid' must be 42 numbers"),
        ("data", entry("frame_idx", float("inf"), "images"), "images 1: not JSON .Infinity is no finite number"),
        ("data", entry("frame_idx", 5, "images"), "annotation 51: .*joint_3d.json has no frame 5 of capture 0"),
        ("data", entry("file_name", 3, "images"), "images 1: the field 'file_name' must be the path"),
        ("data", lambda c: c["images"][1].pop("camera"), "images 1: the field 'camera' is missing"),
        ("data", lambda c: c.pop("images"), "the field 'images' is missing or not a list"),
        ("data", entry("more", {}), "annotations 1 is not an object of at most"),
        ("joint_3d", lambda c: c["0"]["110"].pop("world_coord"), "'world_coord' of frame 110 in capture 0 must be"),
        ("joint_3d", lambda c: c["0"].update({"110": 3}), "'world_coord' of frame 110 in capture 0 must be"),
        ("joint_3d", lambda c: c.update({"0": []}), "capture 0 must be an object by frame"),
        ("joint_3d", lambda c: c.clear(), "it holds no frame"),
        ("joint_3d", lambda c: c["0"]["110"]["world_coord"][3].append(1), "'world_coord' of frame 110"),
        ("joint_3d", lambda c: c["0"]["110"]["world_coord"][3].__setitem__(0, float("nan")), "NaN is no finite number"),
        ("joint_3d", lambda c: c["0"]["110"]["world_coord"][3].__setitem__(0, 10**400), "a number of 401 digits"),
    ],
)
def test_broken_labels(small, what, edit, complaint):
    change(small, "test", what, edit)
    with pytest.raises(ValueError, match=f"InterHand2.6M_test_{what}.json: .*{complaint}"):
        InterHand26M(small, "test", size=16)


@pytest.mark.parametrize(
    "edit, complaint",
    [
        (lambda c: c["0"].pop("focal"), "'focal' of camera 400002 in capture 0 is missing"),
        (lambda c: c["0"]["campos"].pop("400002"), "'campos' of camera 400002 in capture 0 is missing"),
        (lambda c: c["0"]["princpt"].update({"400002": [1]}), "'princpt' of camera .* of shape .2,."),
        (lambda c: c["0"]["camrot"].update({"400002": [[2, 0, 0]] * 3}), "'camrot' .* is not a rotation"),
        (lambda c: c.clear(), "'camrot' of camera 400002 in capture 0 is missing"),
    ],
)
def test_broken_cameras(small, edit, complaint):
    change(small, "test", "camera", edit)
    data = InterHand26M(small, "test", size=16)
    with pytest.raises(ValueError, match=f"InterHand2.6M_test_camera.json: {complaint}"):
        data[0]


def test_other_files_in_their_place(small):
    path = small / "annotations" / "test" / "InterHand2.6M_test_camera.json"
    for content, complaint in (("<html>", "not JSON"), ("[]", "must hold an object by capture")):
        path.write_text(content)
        with pytest.raises(ValueError, match=f"test_camera.json: {complaint}"):
            InterHand26M(small, "test")
    with open(path, "wb") as file:
        file.truncate((1 << 30) + 1)
    with pytest.raises(ValueError, match="test_camera.json: 1024 MB is too large"):
        InterHand26M(small, "test")


def test_pictures_that_lead_elsewhere(small):
    save(small / "images" / "secret.png", picture(np.random.default_rng(0), 334, 512))
    change(small, "test", "data", entry("file_name", "../secret.png", "images"))
    with pytest.raises(ValueError, match="the file_name '../secret.png' leads out of the folder of images"):
        InterHand26M(small, "test", size=16)[1]


def test_a_missing_picture_is_skipped(small):
    (small / "images" / "test" / "Capture0" / "0001_fist" / "cam400002" / "image100.jpg").unlink()
    data = InterHand26M(small, "test", size=16, skip_broken=True)
    assert len(data) == 7 and "no picture at" in data.broken[0]


# ---- JSON, an object at a time


@pytest.mark.parametrize("layout", [{}, {"indent": 4}, {"separators": (",", ":")}])
def test_objects_are_those_of_json(tmp_path, layout):
    values = [{"id": i, "text": "a ] b", "rows": [[i, 2.5], [None]]} for i in range(30)]
    path = tmp_path / "x.json"
    path.write_text(json.dumps({"others": [], "these": values, "those": [{"id": 1}]}, **layout))
    assert list(json_objects(path, "these", "here")) == values
    assert list(json_objects(path, "others", "here")) == []
    assert list(json_objects(path, "those", "here")) == [{"id": 1}]


@pytest.mark.parametrize(
    "text, complaint",
    [
        ("", "the file is empty"),
        ("<html>", "the field 'a' is missing or not a list"),
        ('{"a": {}}', "the field 'a' is missing or not a list"),
        ('{"a": [1, 2]}', "a 0 is not an object"),
        ('{"a": [{"b": 1}', "a 0 is not an object"),
        ('{"a": [{"b": 1}, ]}', "a 1 is not an object"),
        ('{"a": [{"b": {"c": 1}}]}', "a 0 is not an object"),
        ('{"a": [{"b": x}]}', "a 0: not JSON"),
        ('{"a": [{"b": ' + "[" * 50_000 + "}]}", "a 0: not JSON"),
        ('{"a": [{"b": "' + "c" * 70_000 + '"}]}', "a 0 is not an object of at most 65,536 bytes"),
        ('{"a": [' + " " * 100_000 + "}]}", "a 0 is not an object"),
    ],
)
def test_wrong_objects(tmp_path, text, complaint):
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=f"x.json: {complaint}"):
        list(json_objects(path, "a", "here"))
