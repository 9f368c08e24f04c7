import numpy as np
import pytest
import torch
from exif_tags import tagged
from PIL import Image, ImageOps

from handlib.photo import read as module
from handlib.photo.read import check_box, image_files, read_photo
from handlib.support.images import ImageError


@pytest.fixture
def array():
    return np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)


def as_array(image):
    return (image * 255).round().byte().movedim(0, -1).numpy()


# ---- sources


def test_every_source_gives_the_same_image(tmp_path, array):
    Image.fromarray(array).save(tmp_path / "a.png")
    tensor = torch.from_numpy(array).movedim(-1, 0)
    sources = [tmp_path / "a.png", str(tmp_path / "a.png"), Image.fromarray(array), array, tensor]
    sources += [array.astype(np.float64) / 255, tensor.float() / 255, array[::-1][::-1]]
    locked = array.copy()
    locked.flags.writeable = False
    for source in [*sources, locked]:
        photo = read_photo(source)
        image = photo.image()
        assert image.dtype == torch.float32 and image.shape == (3, 20, 30)
        np.testing.assert_array_equal(photo.pixels.movedim(0, -1), array)
        assert photo.size == (30, 20) and photo.focal_px is None and photo.reduction == 1
        assert photo.path == (tmp_path / "a.png" if isinstance(source, type(tmp_path) | str) else None)


@pytest.mark.parametrize(
    "source, message",
    [
        (np.zeros((20, 30), np.uint8), r"shape \(20, 30\); give an array \(h, w, 3\)"),
        (np.zeros((3, 20, 30), np.uint8), r"shape \(3, 20, 30\); give an array"),
        (torch.zeros(20, 30, 3), r"shape \(20, 30, 3\); give a tensor \(3, h, w\)"),
        (torch.zeros(1, 3, 20, 30), r"give a tensor"),
        (np.zeros((20, 30, 3), np.int64), "is of int64; give bytes"),
        (np.zeros((0, 30, 3), np.uint8), "30×0 pixels"),
        (np.full((20, 30, 3), 255.0), r"pixels from 255 to 255; .*\[0, 1\]"),
        (torch.full((3, 20, 30), -1.0), r"pixels from -1 to -1"),
        (torch.full((3, 20, 30), torch.nan), r"pixels from nan to nan"),
    ],
)
def test_what_is_no_image_is_refused(source, message):
    with pytest.raises(ImageError, match=message):
        read_photo(source)


# ---- upright


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "tif", "webp"])
def test_photographs_are_upright(tmp_path, array, orientation, suffix):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(array).save(path, exif=tagged(Orientation=orientation), lossless=True)
    with Image.open(path) as picture:
        wanted = np.array(ImageOps.exif_transpose(picture))
        photo = read_photo(picture)
    assert photo.size == wanted.shape[1::-1]
    np.testing.assert_array_equal(photo.pixels.movedim(0, -1), wanted)
    np.testing.assert_array_equal(read_photo(path).pixels.movedim(0, -1), wanted)


def test_focal_length_in_pixels_of_the_whole_photograph(tmp_path, array):
    Image.fromarray(array).resize((360, 240)).save(tmp_path / "a.jpg", exif=tagged(FocalLengthIn35mmFilm=50))
    for box in (None, (0, 0, 10_000)):
        assert read_photo(tmp_path / "a.jpg", box).focal_px == pytest.approx(500)


# ---- smaller views


@pytest.mark.parametrize("suffix", ["jpg", "png"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_a_box_of_a_large_picture_is_read_smaller(tmp_path, monkeypatch, suffix, orientation):
    monkeypatch.setattr(module, "BOX_PX", 45)
    monkeypatch.setattr(module, "WHOLE_PX", 150)
    picture = Image.linear_gradient("L").resize((640, 480)).convert("RGB")
    picture.save(tmp_path / f"a.{suffix}", exif=tagged(Orientation=orientation), quality=95)
    whole = read_photo(tmp_path / f"a.{suffix}")
    photo = read_photo(tmp_path / f"a.{suffix}", (10, 10, 200))
    assert photo.reduction == 4 and photo.size == whole.size == ((640, 480) if orientation == 1 else (480, 640))
    averaged = torch.nn.functional.avg_pool2d(whole.image()[None], 4)[0]
    torch.testing.assert_close(photo.image(), averaged, rtol=0, atol=0.02)
    sides = {90: 2, 89: 1, 640: 4}  # the last leaves a picture too small to be looked at
    assert [read_photo(tmp_path / f"a.{suffix}", (0, 0, side)).reduction for side in sides] == [*sides.values()]


# ---- boxes


@pytest.mark.parametrize(
    "box, message",
    [
        ((0.0, 0.0, np.inf), "LEFT TOP SIDE"),
        ((np.nan, 0.0, 10.0), "LEFT TOP SIDE"),
        ((0.0, 0.0, 5.0), "too small"),
        ((0.0, 0.0, -5.0), "too small"),
        ((5000.0, 5000.0, 100.0), "outside of 30×20"),
        ((-10.0, 0.0, 10.0), "outside"),
        ((0.0, 0.0, 60000.0), "too large"),
        ((0.0, 0.0, 1e300), "too large"),
        ((-20.0, -20.0, 121.0), "too large"),
    ],
)
def test_boxes_that_show_nothing_are_refused(box, message):
    with pytest.raises(ValueError, match=f"a.png: .*{message}"):
        check_box(box, (30, 20), "a.png")


def test_a_good_box_comes_back():
    assert check_box((-5, 0, 10.5), (30, 20)) == (-5, 0, 10.5)


# ---- folders


def test_images_of_a_folder_in_the_order_of_their_numbers(tmp_path):
    for name in ("f10.png", "f2.JPG", "f1.webp", "f2b.png", "notes.txt", "a.png"):
        (tmp_path / name).touch()
    (tmp_path / "._a.png").touch()  # as macOS writes them on disks of other systems
    (tmp_path / "folder.png").mkdir()
    assert [file.name for file in image_files(tmp_path)] == ["a.png", "f1.webp", "f2.JPG", "f2b.png", "f10.png"]


def test_folders_without_images(tmp_path):
    with pytest.raises(ValueError, match="holds no images"):
        image_files(tmp_path)
    with pytest.raises(FileNotFoundError, match="no folder at"):
        image_files(tmp_path / "none")


def test_a_damaged_pillow_image_is_no_image(tmp_path, array):
    Image.fromarray(array).resize((300, 200)).save(tmp_path / "cut.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "cut.jpg").read_bytes()[:-1500])
    with pytest.raises(ImageError, match="the image cannot be decoded"):
        read_photo(Image.open(tmp_path / "cut.jpg"))


def test_limits_hold_for_pillow_images(monkeypatch, array):
    monkeypatch.setattr(module, "check_size", lambda size, where: (_ for _ in ()).throw(ImageError(f"{where} {size}")))
    with pytest.raises(ImageError, match=r"the image \(30, 20\)"):
        read_photo(Image.fromarray(array))
