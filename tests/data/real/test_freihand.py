import json
import pickle

import numpy as np
import pytest
import torch
from miniatures import projected, write_freihand
from PIL import Image

from handlib.camera import project
from handlib.data import FreiHAND
from handlib.data.real.json_rows import JsonRows
from handlib.hand.joints import TIPS


@pytest.fixture(scope="module")
def tree(hand, tmp_path_factory):
    root = tmp_path_factory.mktemp("freihand")
    return root, write_freihand(root, hand)


@pytest.mark.parametrize("split, folder", [("train", "training"), ("evaluation", "evaluation")])
def test_round_trip(tree, split, folder):
    root, truth = tree
    data = FreiHAND(root, split, size=224, vertices=True, crop="picture")
    found, Ks, masks = truth[folder]
    assert len(data) == (12 if split == "train" else 3)
    for i, sample in enumerate(data):
        label = i % 3
        np.testing.assert_allclose(sample.joints_cam, found.joints[label], atol=1e-6)
        np.testing.assert_allclose(sample.vertices_cam, found.vertices[label], atol=1e-6)
        np.testing.assert_allclose(sample.joints_px, projected(found.joints[label], Ks[label]) + 0.5, atol=2e-3)
        torch.testing.assert_close(project(sample.joints_cam, sample.K), sample.joints_px)
        with Image.open(root / folder / "rgb" / f"{i:08d}.jpg") as image:
            pixels = np.array(image)
        np.testing.assert_array_equal((sample.image * 255).round().byte().movedim(0, -1), pixels)
        assert sample.side == "right" and sample.visible.all()
        if split == "train":
            np.testing.assert_array_equal(sample.mask > 0, masks[label])
        else:
            assert sample.mask is None


def test_masks_of_one_channel_are_read_too(hand, tmp_path):
    masks = write_freihand(tmp_path, hand, 1, versions=1)["training"][2]
    path = tmp_path / "training" / "mask" / "00000000.jpg"
    with Image.open(path) as image:
        image.convert("L").save(path)
    np.testing.assert_array_equal(FreiHAND(tmp_path, "train", size=224, crop="picture")[0].mask > 0, masks[0])


def test_the_tips_of_the_mesh(tree):
    """The miniature's joints are regressed by the hand model, whose tips are smplx's: three of them are FreiHAND's."""
    from handlib.hand.joints import FINGERTIPS

    data = FreiHAND(tree[0], "train", size=32, vertices=True)
    assert data.fingertips == "freihand" and "fingertips=freihand" in data.name
    sample = data[0]
    tips = sample.vertices_cam[list(FINGERTIPS["freihand"].vertices)]
    torch.testing.assert_close(tips[:3], sample.joints_cam[list(TIPS)][:3], rtol=0, atol=1e-6)


def test_versions_of_the_training_pictures(hand, tree, tmp_path):
    assert len(FreiHAND(tree[0], "train", backgrounds=1)) == 3
    write_freihand(tmp_path, hand, 2, versions=1)
    assert len(FreiHAND(tmp_path, "training")) == 2
    for backgrounds in (0, 5):
        with pytest.raises(ValueError, match="backgrounds must be 1 … 4"):
            FreiHAND(tmp_path, "train", backgrounds=backgrounds)


def test_an_older_download_has_no_joints_to_evaluate_with(hand, tmp_path):
    write_freihand(tmp_path, hand, 2, versions=1, evaluation_xyz=False)
    sample = FreiHAND(tmp_path, "test", size=112)[0]
    assert sample.joints_cam.isnan().all() and not sample.visible.any() and sample.box.tolist() == [0, 0, 224]
    assert sample.vertices_cam is None
    (tmp_path / "training_xyz.json").unlink()
    with pytest.raises(FileNotFoundError, match="no training_xyz.json in"):
        FreiHAND(tmp_path, "train")


def test_broken_files(hand, tmp_path):
    write_freihand(tmp_path, hand, 3, versions=1)
    rgb, mask = (tmp_path / "training" / what / "00000001.jpg" for what in ("rgb", "mask"))
    content = rgb.read_bytes()
    rgb.write_bytes(content[:400])
    data = FreiHAND(tmp_path, "train", size=32)
    with pytest.raises(ValueError, match="rgb.00000001.jpg: not a readable"):
        data[1]
    rgb.write_bytes(content)
    mask.unlink()
    with pytest.raises(FileNotFoundError, match="mask.00000001.jpg"):
        data[1]
    xyz = json.loads((tmp_path / "training_xyz.json").read_text())
    xyz[2] = xyz[2][:20]
    (tmp_path / "training_xyz.json").write_text(json.dumps(xyz))
    with pytest.raises(ValueError, match=r"training_xyz.json: row 2 has shape \(20, 3\), expected \(21, 3\)"):
        FreiHAND(tmp_path, "train", size=32)[2]
    assert len(FreiHAND(tmp_path, "train", size=32, skip_broken=True)) == 1
    (tmp_path / "training_xyz.json").write_text(json.dumps(xyz[:2]))
    with pytest.raises(ValueError, match="training_xyz.json has 2 rows, training_K.json 3"):
        FreiHAND(tmp_path, "train")
    with pytest.raises(FileNotFoundError, match="is not FreiHAND"):
        FreiHAND(tmp_path / "training", "train")


# ---- JSON, a row at a time


@pytest.mark.parametrize("layout", [{}, {"indent": 1}, {"separators": (",", ":")}])
def test_rows_are_those_of_json(tmp_path, generator, layout):
    values = torch.randn(20, 3, 4, generator=generator).tolist()
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(values, **layout))
    rows = JsonRows(path, (3, 4), "here")
    assert len(rows) == 20
    for i in (7, 0, 19, 7):
        assert rows[i].tolist() == values[i]
    again = pickle.loads(pickle.dumps(rows))
    assert again[3].tolist() == values[3]
    for i in (-1, 20):
        with pytest.raises(IndexError, match="rows.json has no row"):
            rows[i]


@pytest.mark.parametrize(
    "text, complaint",
    [
        ("", "the file is empty"),
        ("<html>", "not a JSON list of matrices"),
        ("[1, 2]", "not a JSON list of matrices"),
        ("[[[1, 2], [3, NaN]]]", r"row 0: not JSON \(NaN is no finite number\)"),
        ('[[[1, 2], [3, "four"]]]', "row 0 is not a matrix"),
        ("[[[1, 2], [3]]]", "row 0 is not a matrix"),
        ("[[[1, 2], [3, 4, 5]]]", "row 0 is not a matrix"),
        ("[[[1, 2, 3], [3, 4, 5]]]", r"row 0 has shape \(2, 3\)"),
        ("[[[1, 2], [3, 4] x ]]", "row 0: not JSON"),
        ("[[[" * 5000 + "1" + "]" * 15000, r"row 0: not JSON \(it is nested too deeply\)"),
    ],
)
def test_wrong_rows(tmp_path, text, complaint):
    path = tmp_path / "rows.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=f"rows.json: {complaint}"):
        JsonRows(path, (2, 2), "here")[0]


def test_a_row_without_an_end_is_refused(tmp_path):
    path = tmp_path / "rows.json"
    path.write_text("[[[" + "1, " * 400_000 + "1]]]")
    with pytest.raises(ValueError, match="row 0 is longer than 1,048,576 bytes; refused"):
        JsonRows(path, (2, 2), "here")[0]
