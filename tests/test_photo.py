import json
import struct
import sys
import zlib

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from handlib import photo as module
from handlib.joints import C21, MIDDLE_MCP
from handlib.photo import crop_photo, predict, read_image, write_prediction


@pytest.fixture
def array():
    return np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)


# ---- reading


def test_png_is_read_exactly(tmp_path, array):
    Image.fromarray(array).save(tmp_path / "a.png")
    image = read_image(tmp_path / "a.png")
    assert image.shape == (3, 20, 30) and image.dtype == torch.float32
    np.testing.assert_array_equal((image * 255).round().byte().movedim(0, -1).numpy(), array)


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1", "CMYK"])
def test_other_kinds_become_rgb(tmp_path, array, mode):
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    picture = Image.fromarray(array).convert(mode)
    picture.save(path)
    wanted = np.asarray(picture.convert("RGB"))
    np.testing.assert_array_equal((read_image(str(path)) * 255).round().byte().movedim(0, -1).numpy(), wanted)


def test_jpeg(tmp_path, array):
    Image.fromarray(array).resize((64, 64)).save(tmp_path / "a.jpg")
    assert read_image(tmp_path / "a.jpg").shape == (3, 64, 64)


def test_missing_image(tmp_path):
    with pytest.raises(FileNotFoundError, match="no image at .*none.jpg"):
        read_image(tmp_path / "none.jpg")


@pytest.mark.parametrize("kind", ["empty", "text", "half"])
def test_unreadable_image(tmp_path, array, kind):
    path = tmp_path / "a.png"
    Image.fromarray(np.tile(array, (5, 5, 1))).save(path)
    path.write_bytes({"empty": b"", "text": b"no picture", "half": path.read_bytes()[: path.stat().st_size // 2]}[kind])
    with pytest.raises(ValueError, match="a.png: not a readable image .*; save it as PNG or JPEG"):
        read_image(path)


def test_too_many_pixels(tmp_path, array, monkeypatch):
    Image.fromarray(array).save(tmp_path / "a.png")
    monkeypatch.setattr(module, "MAX_PIXELS", 599)
    with pytest.raises(ValueError, match=r"a.png: 30×20 pixels; scale it below 599 first"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize("side", [10_500, 50_000])
def test_a_header_that_promises_far_too_many_pixels(tmp_path, side):
    """Refused from the header, before anything is unpacked."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    path = tmp_path / "bomb.png"
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    )
    with pytest.raises(ValueError, match="bomb.png: .*pixels; scale it below"):
        read_image(path)


# ---- cropping


def test_default_is_the_central_square(generator):
    image = torch.rand(3, 20, 30, generator=generator)
    crop = crop_photo(image)
    assert crop.box == (5.0, 0.0, 20.0) and crop.side == "right"
    assert torch.equal(crop.image, image[:, :, 5:25])


@pytest.mark.parametrize(
    "box", [(2, 3, 10), (-4, 3, 10), (25, 3, 10), (2, -5, 10), (2, 15, 10), (-5, -5, 40), (100, 3, 10), (-50, 3, 10)]
)
def test_box_equals_a_loop(generator, box):
    """Pixels of the image, grey where there is none."""
    image = torch.rand(3, 20, 30, generator=generator)
    left, top, side = box
    found = crop_photo(image, tuple(map(float, box))).image
    assert found.shape == (3, side, side)
    for i in range(side):
        for j in range(side):
            inside = 0 <= top + i < 20 and 0 <= left + j < 30
            wanted = image[:, top + i, left + j] if inside else torch.full((3,), 0.5)
            assert torch.equal(found[:, i, j], wanted)


def test_fractions_of_a_pixel_are_rounded(generator):
    image = torch.rand(3, 20, 30, generator=generator)
    crop = crop_photo(image, (2.4, 2.6, 9.7))
    assert crop.box == (2.0, 3.0, 10.0) and torch.equal(crop.image, image[:, 3:13, 2:12])


def test_left_hands_are_mirrored(generator):
    image = torch.rand(3, 20, 30, generator=generator)
    right, left = crop_photo(image, (2.0, 3.0, 10.0)), crop_photo(image, (2.0, 3.0, 10.0), "left")
    assert torch.equal(left.image, right.image.flip(-1)) and left.side == "left" and left.box == right.box


def test_bad_side_and_box(generator):
    image = torch.rand(3, 20, 30, generator=generator)
    with pytest.raises(ValueError, match="side must be right or left, not 'both'"):
        crop_photo(image, side="both")
    with pytest.raises(ValueError, match="a box of 5 pixels is too small .*LEFT TOP SIDE"):
        crop_photo(image, (0.0, 0.0, 5.0))


# ---- predicting and writing


@pytest.fixture(scope="module")
def right(batch):
    """A rendered hand on a larger grey picture, so that the box is not the picture."""
    picture = torch.full((3, 80, 90), 0.5)
    picture[:, 4:68, 7:71] = batch["image"][0]
    return picture, (7.0, 4.0, 64.0)


def written(trained, picture, box, side, folder, iterations=0):
    photo = crop_photo(picture, box, side)
    output = predict(trained.model, photo, iterations)
    return output, write_prediction(photo, output, trained.model.hand, folder / side)


def test_writes_four_files(trained, right, tmp_path):
    output, paths = written(trained, *right, "right", tmp_path)
    assert [p.name for p in paths] == ["right.obj", "right.json", "right_overlay.png", "right.html"]
    assert {p.name for p in tmp_path.iterdir()} == {p.name for p in paths}
    mesh = trimesh.load(paths[0], process=False)
    turned = output.vertices[0] * torch.tensor([1.0, -1, -1])
    np.testing.assert_allclose(mesh.vertices, turned.numpy(), atol=1e-6)
    np.testing.assert_array_equal(mesh.faces, trained.model.hand.faces.numpy())
    assert Image.open(paths[2]).size == (64, 64)
    html = paths[3].read_text()
    assert "Plotly.newPlot" in html and "<html" in html and "right hand" in html


def test_json_says_what_was_found(trained, right, tmp_path):
    output, paths = written(trained, *right, "right", tmp_path)
    found = json.loads(paths[1].read_text())
    assert found["side"] == "right" and found["crop_left_top_side_px"] == [7, 4, 64]
    assert found["joint_names"] == list(C21.joints)
    np.testing.assert_allclose(found["joints_m"], output.joints_3d[0] * torch.tensor([1.0, -1, -1]), atol=1e-6)
    assert found["joints_m"][MIDDLE_MCP] == pytest.approx([0, 0, 0])
    np.testing.assert_allclose(found["joints_px"], output.joints_2d[0] + torch.tensor([7.0, 4.0]), atol=1e-3)
    np.testing.assert_allclose(found["h"], output.h[0], atol=1e-5)
    assert found["hand"] == "openhand" and found["fingertips"] == "smplx"


def test_a_left_hand_is_the_mirror_image_of_a_right_one(trained, right, tmp_path):
    """The mirrored picture with side left: mesh and joints mirrored in x, joints in the pixels of that picture."""
    picture, box = right
    flipped = picture.flip(-1)
    _, paths = written(trained, picture, box, "right", tmp_path)
    _, mirrored = written(trained, flipped, (90 - 7 - 64, 4.0, 64.0), "left", tmp_path)
    a, b = (trimesh.load(p[0], process=False) for p in (paths, mirrored))
    np.testing.assert_allclose(b.vertices, a.vertices * [-1, 1, 1], atol=1e-6)
    np.testing.assert_array_equal(b.faces, a.faces[:, ::-1])
    np.testing.assert_allclose(np.abs(b.volume), np.abs(a.volume), rtol=1e-5)
    assert np.sign(a.volume) == np.sign(b.volume)  # neither is inside out
    one, other = (json.loads(p[1].read_text()) for p in (paths, mirrored))
    np.testing.assert_allclose(np.array(other["joints_m"]), np.array(one["joints_m"]) * [-1, 1, 1], atol=1e-6)
    wanted = np.array(one["joints_px"])
    wanted[:, 0] = 90 - wanted[:, 0]
    np.testing.assert_allclose(other["joints_px"], wanted, atol=2e-3)
    assert other["side"] == "left" and "mirrored" in other["h_is_of"]
    before, after = (np.asarray(Image.open(p[2])) for p in (paths, mirrored))
    np.testing.assert_array_equal(after, before[:, ::-1])


def test_refinement_is_optional(trained, right):
    photo = crop_photo(*right)
    plain, refined = predict(trained.model, photo, 0), predict(trained.model, photo, 3)
    assert len(refined.history) == 4 and not torch.equal(plain.h, refined.h)
    assert plain.vertices.shape == refined.vertices.shape == (1, 778, 3)


def test_predicting_is_deterministic(trained, right):
    photo = crop_photo(*right)
    assert torch.equal(predict(trained.model, photo, 3).h, predict(trained.model, photo, 3).h)


def test_files_are_replaced(trained, right, tmp_path):
    for _ in range(2):
        written(trained, *right, "right", tmp_path)
    assert len(list(tmp_path.iterdir())) == 4


def test_without_trimesh_the_error_says_what_to_install(trained, right, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "trimesh", None)
    photo = crop_photo(*right)
    with pytest.raises(ModuleNotFoundError, match=r"trimesh writes the mesh .*pip install 'handlib\[photo\]'"):
        write_prediction(photo, predict(trained.model, photo, 0), trained.model.hand, tmp_path / "a")
    assert not list(tmp_path.iterdir())
