import numpy as np
import pytest
import torch
from miniatures import DO_SEQUENCES, MIRROR, write_do

from handlib.camera import project
from handlib.data import DexterObject
from handlib.data.real.dexter_object import read_tips
from handlib.hand.joints import TIPS


@pytest.fixture(scope="module")
def tree(hand, tmp_path_factory):
    root = tmp_path_factory.mktemp("do")
    return root, write_do(root, hand)


def test_round_trip(tree):
    root, truth = tree
    data = DexterObject(root, size=640, crop="picture")
    assert len(data) == 18 and data.scored == (4, 8, 12, 16, 20)
    others = [row for row in range(21) if row not in TIPS]
    for i, sample in enumerate(data):
        sequence = DO_SEQUENCES[i // 3]
        tips, pictures = truth[sequence]
        assert sample.name == f"do-{sequence}-{i % 3 + 1:04d}" and sample.side == "left" and sample.mask is None
        np.testing.assert_allclose(sample.joints_cam[list(TIPS)], tips[i % 3] * MIRROR, atol=1e-5)
        np.testing.assert_array_equal(sample.visible[list(TIPS)], ~np.isnan(tips[i % 3][:, 0]))
        assert sample.joints_cam[others].isnan().all() and not sample.visible[others].any()
        pixels = (sample.image[:, 80:560] * 255).round().byte().movedim(0, -1)
        np.testing.assert_array_equal(pixels, pictures[i % 3][:, ::-1])
        torch.testing.assert_close(project(sample.joints_cam, sample.K), sample.joints_px, equal_nan=True)
        uv = tips[i % 3][:, :2] / tips[i % 3][:, 2:] * [587.45209, 600.67456] + [325.5, 249.5]
        px = np.stack([640 - uv[:, 0], uv[:, 1] + 80], -1)
        np.testing.assert_allclose(sample.joints_px[list(TIPS)], px, atol=5e-3)


def test_the_crop_leaves_room_for_the_palm(tree):
    data = DexterObject(tree[0], size=100)
    for i in (0, 1, 2):  # five, four and one tip
        sample = data[i]
        tips = sample.joints_px[sample.visible]
        torch.testing.assert_close(tips.mean(0), torch.full((2,), 50.0), rtol=0, atol=1e-2)
        meters = float(sample.box[2]) * float(sample.joints_cam[sample.visible][:, 2].mean()) / 594.06
        assert meters == pytest.approx(0.3, rel=1e-3)


def test_which_frames(tree):
    root = tree[0]
    data = DexterObject(root, which="scored", crop="joints", size=50)
    assert len(data) == 12  # the third of each sequence has one tip
    low, high = data[0].joints_px[list(TIPS)].amin(0), data[0].joints_px[list(TIPS)].amax(0)
    assert float((high - low).max()) == pytest.approx(50 / 1.5, abs=1e-2)
    with pytest.raises(ValueError, match="unknown choice of frames 'some'"):
        DexterObject(root, which="some")
    assert "fingertips=paper" in data.name


def test_the_folder_data_itself(tree):
    assert len(DexterObject(tree[0] / "data")) == 18
    with pytest.raises(FileNotFoundError, match="is not Dexter.Object: neither it nor a folder in it has data/Grasp1"):
        DexterObject(tree[0] / "data" / "Grasp1")


@pytest.mark.parametrize(
    "line",
    [
        "1,2,3;1,2,3;1,2,3;1,2,3",
        "1,2,3;1,2,3;1,2,3;1,2,3;1,2",
        "1,2,3;1,2,3;1,2,3;1,2,3;1,2,x",
        "1,2,3;1,2,3;1,2,3;1,2,3;1,2,nan",
        "<html>",
        ";;;;",
    ],
)
def test_a_wrong_line_is_named(tmp_path, line):
    path = tmp_path / "Grasp13D.txt"
    path.write_text("1, 2, 3; 4 5 6;7,8,9 ;1,2,3;1,2,32001;\n\n" + line + "\n")
    with pytest.raises(ValueError, match="Grasp13D.txt, line 3: .* is not five entries of 3 numbers"):
        read_tips(path, 3)


def test_lines_that_are_right(tmp_path):
    path = tmp_path / "x.txt"
    path.write_bytes(b"1, 2, 3; 4 5 6;7,8,9 ;1,2,3;-1.5,2e1,32001;\r\n")
    assert read_tips(path, 3)[0].tolist() == [[1, 2, 3], [4, 5, 6], [7, 8, 9], [1, 2, 3], [-1.5, 20, 32001]]
    path.write_text("")
    assert read_tips(path, 3).shape == (0, 5, 3)


def test_missing_files(hand, tmp_path):
    write_do(tmp_path, hand, 3)
    (tmp_path / "data" / "Rigid" / "color" / "Color_0002.bmp").unlink()
    data = DexterObject(tmp_path, size=20)
    with pytest.raises(FileNotFoundError, match="Color_0002.bmp"):
        data[10]
    (tmp_path / "data" / "Rigid" / "color" / "Color_0001.bmp").write_bytes(b"BM" + bytes(20))
    skipping = DexterObject(tmp_path, size=20, skip_broken=True)
    assert len(skipping) == 16 and sorted(skipping.broken) == [9, 10]
    (tmp_path / "data" / "Rigid" / "annotations" / "Rigid3D.txt").unlink()
    with pytest.raises(FileNotFoundError, match="no labels at .*Rigid3D.txt"):
        DexterObject(tmp_path)
