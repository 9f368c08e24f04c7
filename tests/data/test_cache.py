import pytest
import torch
from PIL import Image

from handlib.data import CachedHands, ImageFolderBackgrounds, SyntheticHands, collate
from handlib.hand import HandModel
from handlib.hand.files import read_hand


def test_cache_reads_back_what_it_made(hand, tmp_path):
    data = SyntheticHands("val", 32, 5, hand=hand)
    made = CachedHands.make(data, folder=tmp_path, progress=False)
    read = CachedHands.make(data, folder=tmp_path, progress=False)
    direct = collate([data[i] for i in (3, 1)])
    assert len(made) == len(read) == 5 and made.name == data.name
    for cached in (made, read):
        batch = cached.batch(torch.tensor([3, 1]))
        assert batch.keys() == direct.keys() - {"parts", "depth", "box"}
        for key in batch:
            # Alone or in a batch, products of matrices differ in their last bit, and so may a gray level.
            torch.testing.assert_close(batch[key], direct[key], rtol=0, atol=1.1 / 255 if key == "image" else 1e-3)
    assert len(list(tmp_path.iterdir())) == 1


def test_hands_are_not_lost_where_they_cannot_be_kept(hand, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.warns(UserWarning, match="cannot be written.*set HANDLIB_CACHE to another folder"):
        made = CachedHands.make(SyntheticHands("val", 32, 2, hand=hand), folder=tmp_path / "file", progress=False)
    assert len(made) == 2


def test_cache_is_not_rendered_twice(hand, tmp_path, monkeypatch):
    data = SyntheticHands("val", 32, 2, hand=hand)
    CachedHands.make(data, folder=tmp_path, progress=False)
    monkeypatch.setattr(SyntheticHands, "__getitem__", None)  # would fail
    assert len(CachedHands.make(data, folder=tmp_path, progress=False)) == 2


def test_cache_tells_data_sets_apart(hand, tmp_path):
    for options in ({"seed": 0}, {"seed": 1}, {"size": 40}, {"n": 3}, {"split": "diverse"}):
        chosen = {"split": "val", "size": 32, "n": 2, "hand": hand} | options
        data = SyntheticHands(**chosen)
        made = CachedHands.make(data, folder=tmp_path, progress=False)
        torch.testing.assert_close(made.tensors["joints_cam"][0], data[0].joints_cam)
    assert len(list(tmp_path.iterdir())) == 5


def test_cache_tells_files_of_the_same_name_apart(tmp_path):
    """As folders of backgrounds do whose last part and count are the same, and a picture that is replaced."""
    red, blue = tmp_path / "a" / "pictures", tmp_path / "b" / "pictures"
    for folder, color in ((red, "red"), (blue, "blue")):
        folder.mkdir(parents=True)
        Image.new("RGB", (40, 30), color).save(folder / "0.png")

    def rendered(folder):
        data = SyntheticHands("val", 32, 2, backgrounds=ImageFolderBackgrounds(folder))
        return CachedHands.make(data, folder=tmp_path / "cache", progress=False).tensors["image"]

    assert not torch.equal(rendered(red), rendered(blue)) and torch.equal(rendered(red), rendered(red))
    assert len(list((tmp_path / "cache").iterdir())) == 2
    Image.new("RGB", (400, 300), "blue").save(red / "0.png")
    assert torch.equal(rendered(red), rendered(blue))


def test_cache_tells_hands_of_the_same_name_apart(tmp_path):
    fields = read_hand("openhand")
    for scale in (1.0, 1.1):
        data = SyntheticHands("val", 32, 2, hand=HandModel(fields | {"v_template": scale * fields["v_template"]}))
        made = CachedHands.make(data, folder=tmp_path, progress=False)
        torch.testing.assert_close(made.tensors["joints_cam"][0], data[0].joints_cam)


def test_cache_of_the_open_hand_and_the_built_in_backgrounds_keeps_its_file(tmp_path, hand):
    """Otherwise all that was ever rendered would be rendered again."""
    CachedHands.make(SyntheticHands("val", 32, 2, hand=hand), folder=tmp_path, progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["val-32-2-fe085ebc2aa6.safetensors"]


@pytest.mark.parametrize("keep", [0, 60, -50])
def test_damaged_cache_is_made_again(hand, tmp_path, keep):
    data = SyntheticHands("val", 32, 2, hand=hand)
    wanted = CachedHands.make(data, folder=tmp_path, progress=False)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:keep])
    found = CachedHands.make(data, folder=tmp_path, progress=False)
    assert torch.equal(found.tensors["image"], wanted.tensors["image"])


def test_workers_render_the_same(hand):
    data = SyntheticHands("val", 32, 3, hand=hand)
    alone, helped = (CachedHands.make(data, workers, progress=False) for workers in (0, 1))
    assert torch.equal(alone.tensors["image"], helped.tensors["image"])
