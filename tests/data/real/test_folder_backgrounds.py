import numpy as np
import pytest
from miniatures import picture, save

from handlib.data import ImageFolderBackgrounds


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    pictures = {name: picture(rng, 40, 30) for name in ("b.png", "a/z.bmp", "a/b/C.PNG")}
    for name, array in pictures.items():
        save(tmp_path / name, array)
    (tmp_path / "notes.txt").write_text("no picture")
    return tmp_path, pictures


def test_every_picture_in_the_order_of_its_path(folder):
    path, pictures = folder
    source = ImageFolderBackgrounds(path)
    assert len(source) == 3 and source.files == ["a/b/C.PNG", "a/z.bmp", "b.png"]
    for i, name in enumerate(source.files):
        np.testing.assert_array_equal(source.photograph(i).movedim(0, -1), pictures[name])
    assert source.photograph(0).is_contiguous()
    for i in (-1, 3):
        with pytest.raises(IndexError, match="has no photograph"):
            source.photograph(i)


def test_a_broken_picture_is_named(folder):
    (folder[0] / "b.png").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"b.png: not a readable .* \(it is not one\); remove it from the folder"):
        ImageFolderBackgrounds(folder[0]).photograph(2)


def test_no_pictures(tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder at"):
        ImageFolderBackgrounds(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="holds no pictures"):
        ImageFolderBackgrounds(tmp_path)
