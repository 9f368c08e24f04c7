import pickle

import numpy as np
import pytest
from miniatures import write_nyu

from handlib.data import NYUBackgrounds

h5py = pytest.importorskip("h5py")


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("nyu") / "nyu_depth_v2_labeled.mat"
    return path, write_nyu(path, chunks=(1, 3, 64, 48), compression="gzip")


def test_round_trip(file):
    path, pictures = file
    source = NYUBackgrounds(path, border=True)
    assert len(source) == 3
    for i in (2, 0, 1):
        np.testing.assert_array_equal(source.photograph(i).movedim(0, -1), pictures[i])


def test_the_white_border_is_cut(file):
    path, pictures = file
    found = NYUBackgrounds(path.parent).photograph(1)
    assert found.shape == (3, 467, 625) and found.is_contiguous()
    np.testing.assert_array_equal(found.movedim(0, -1), pictures[1][7:474, 7:632])


def test_copies_open_the_file_again(file):
    source = NYUBackgrounds(file[0])
    again = pickle.loads(pickle.dumps(source))
    assert (again.photograph(2) == source.photograph(2)).all()


def test_out_of_range(file):
    for i in (-1, 3):
        with pytest.raises(IndexError, match="labeled.mat has no photograph"):
            NYUBackgrounds(file[0]).photograph(i)


def test_wrong_files(file, tmp_path):
    with pytest.raises(FileNotFoundError, match="no NYU Depth file at .*nyu_depth_v2_labeled.mat; get it from http"):
        NYUBackgrounds(tmp_path)
    path = tmp_path / "x.mat"
    for content in (b"", b"<html>", file[0].read_bytes()[:2000]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="x.mat: "):
            NYUBackgrounds(path)

    def refused(message, write):
        path.unlink()
        with h5py.File(path, "w") as inside:
            write(inside)
        with pytest.raises(ValueError, match=f"x.mat: the field 'images' {message}"):
            NYUBackgrounds(path)

    refused("is missing", lambda f: f.create_dataset("depths", data=np.zeros((1, 2, 2))))
    refused("is missing", lambda f: f.create_group("images"))
    refused("is float64 of shape", lambda f: f.create_dataset("images", data=np.zeros((1, 3, 4, 4))))
    refused("is uint8 of shape", lambda f: f.create_dataset("images", data=np.zeros((1, 4, 4, 3), np.uint8)))
    refused("has pictures of", lambda f: f.create_dataset("images", (1, 3, 100_000, 100_000), np.uint8, chunks=True))
    # Bytes of other files are not read.
    refused("is missing", lambda f: f.__setitem__("images", h5py.ExternalLink(str(file[0]), "images")))
    refused(
        "refers to other files",
        lambda f: f.create_dataset("images", (1, 3, 4, 4), np.uint8, external=[(str(file[0]), 0, 48)]),
    )


def test_damaged_data(file, tmp_path):
    content = bytearray(file[0].read_bytes())
    content[len(content) // 3 :: 7] = bytes(len(content[len(content) // 3 :: 7]))
    path = tmp_path / "x.mat"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="x.mat: "):
        source = NYUBackgrounds(path)
        for i in range(3):
            source.photograph(i)
