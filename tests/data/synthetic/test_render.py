import io
import json
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image

from handlib.data import SyntheticHands
from handlib.data.synthetic import digest
from handlib.data.synthetic.render import DEPTH_UNIT, render

SIZE = 32


@pytest.fixture(scope="module")
def data(hand) -> SyntheticHands:
    return SyntheticHands("object", SIZE, 5, hand=hand)


def check(data, index: int, files: dict[str, bytes]) -> None:
    """Files of one sample against the sample."""
    sample = data.__getitems__(list(range(5)))[index]

    def pixels(kind):
        return np.array(Image.open(io.BytesIO(files[kind])))

    image = torch.from_numpy(pixels("png")).movedim(-1, 0)
    assert ((sample.image * 255 - image).abs() > 1.01).float().mean() < 1e-2
    assert ((pixels("mask.png") == 255) == sample.mask.bool().numpy()).mean() > 0.99
    assert (pixels("parts.png") == sample.parts.numpy()).mean() > 0.99
    depth = pixels("depth.png")
    assert depth.dtype == np.uint16 and np.median(np.abs(depth * DEPTH_UNIT - sample.depth.numpy())) < 1e-4
    np.testing.assert_allclose(np.load(io.BytesIO(files["vertices.npy"])), sample.vertices_cam, atol=1e-5)
    row = json.loads(files["json"])
    points = np.array(row["xyz"]) @ np.array(row["K"]).T
    np.testing.assert_allclose(points[:, :2] / points[:, 2:], row["uv"], atol=1e-3)
    np.testing.assert_allclose(np.array(row["uv"]) + 0.5, sample.joints_px, atol=1e-3)
    assert row["original_side"] == "left" and row["side"] == "right"


def test_plain_files(data, tmp_path):
    render(data, tmp_path, progress=False)
    rows = json.loads((tmp_path / "annotations.json").read_text())
    assert [row["name"] for row in rows] == [data.sample_name(i) for i in range(5)]
    folders = {
        "png": "images",
        "mask.png": "masks",
        "parts.png": "parts",
        "depth.png": "depth",
        "vertices.npy": "vertices",
    }
    name = rows[3]["name"]
    files = {
        kind: (tmp_path / folder / f"{name}.{kind.split('.')[-1]}").read_bytes() for kind, folder in folders.items()
    }
    check(data, 3, files | {"json": json.dumps(rows[3]).encode()})
    card = json.loads((tmp_path / "card.json").read_text())
    assert card["name"] == data.name and card["n"] == 5 and card["digest"] == digest(data)


def test_shards(data, tmp_path):
    render(data, tmp_path, shard_size=2, progress=False)
    assert sorted(p.name for p in tmp_path.glob("*.tar")) == ["00000.tar", "00001.tar", "00002.tar"]
    with tarfile.open(tmp_path / "00001.tar") as tar:
        contents = {entry.name: tar.extractfile(entry).read() for entry in tar}
    name = data.sample_name(3)
    check(data, 3, {key.removeprefix(f"{name}."): value for key, value in contents.items() if key.startswith(name)})
    assert len(contents) == 2 * 6
    with tarfile.open(tmp_path / "00002.tar") as tar:
        assert len(tar.getnames()) == 6


@pytest.mark.parametrize("shard_size", [0, 2])
def test_what_is_there_is_not_made_again(data, tmp_path, shard_size, monkeypatch):
    render(data, tmp_path, shard_size, progress=False)
    gone = [tmp_path / "00001.tar"] if shard_size else [tmp_path / "samples" / f"{data.sample_name(2)}.json"]
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*") if path.is_file()}
    made = []
    monkeypatch.setattr(SyntheticHands, "__getitems__", _spy(SyntheticHands.__getitems__, made))
    gone[0].unlink()
    render(data, tmp_path, shard_size, progress=False)
    assert set(made) - {0} == ({2, 3} if shard_size else {2})  # 0 for the digest
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.*") if path.is_file()}.keys() == before.keys()


def _spy(method, made):
    def spied(self, indices):
        made.extend(indices)
        return method(self, indices)

    return spied


def test_another_data_set_is_not_mixed_in(hand, data, tmp_path):
    render(SyntheticHands("val", SIZE, 1, hand=hand), tmp_path, progress=False)
    with pytest.raises(ValueError, match="card.json describes another data set: choose another folder"):
        render(data, tmp_path, progress=False)


def test_digests_tell_data_sets_apart(hand, data):
    others = [SyntheticHands("object", SIZE, 5, seed=1, hand=hand), SyntheticHands("val", SIZE, 5, hand=hand)]
    assert digest(data) == digest(SyntheticHands("object", SIZE, 9, hand=hand))
    assert len({digest(data), *map(digest, others)}) == 3
