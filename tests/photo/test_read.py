import numpy as np
import pytest
import torch
from exif_tags import tagged
from PIL import Image, ImageOps

from handlib.photo import read as module
from handlib.photo.read import check_box, image_files, read_box, read_image, read_photo
from handlib.support.images import GRAY, ImageError


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
        image, photo = read_image(source), read_photo(source)
        assert image.dtype == torch.float32 and image.shape == (3, 20, 30)
        np.testing.assert_array_equal(as_array(image), array)
        np.testing.assert_array_equal(photo.pixels.movedim(0, -1), array)
        assert photo.size == (30, 20) and photo.focal_px is None and photo.reduction == 1
        assert photo.path == (tmp_path / "a.png" if isinstance(source, type(tmp_path) | str) else None)


def test_real_numbers_are_not_rounded(generator):
    image = torch.rand(3, 5, 6, generator=generator)
    assert torch.equal(read_image(image), image)


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
    for read in (read_image, read_photo):
        with pytest.raises(ImageError, match=message):
            read(source)


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
    np.testing.assert_array_equal(as_array(read_image(path)), wanted)


def test_focal_length_in_pixels_of_the_whole_photograph(tmp_path, array):
    Image.fromarray(array).resize((360, 240)).save(tmp_path / "a.jpg", exif=tagged(FocalLengthIn35mmFilm=50))
    for at_least in (None, 50):
        assert read_photo(tmp_path / "a.jpg", at_least).focal_px == pytest.approx(500)


# ---- smaller views


@pytest.mark.parametrize("suffix", ["jpg", "png"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_a_view(tmp_path, suffix, orientation):
    picture = Image.linear_gradient("L").resize((640, 480)).convert("RGB")
    picture.save(tmp_path / f"a.{suffix}", exif=tagged(Orientation=orientation), quality=95)
    photo = read_photo(tmp_path / f"a.{suffix}", at_least=150)
    whole = read_photo(tmp_path / f"a.{suffix}")
    assert photo.reduction == 4 and photo.size == whole.size == ((640, 480) if orientation == 1 else (480, 640))
    averaged = torch.nn.functional.avg_pool2d(whole.image()[None], 4)[0]
    torch.testing.assert_close(photo.image(), averaged, rtol=0, atol=0.02)
    assert read_photo(tmp_path / f"a.{suffix}", at_least=640).reduction == 1


# ---- boxes


@pytest.mark.parametrize(
    "box", [(2, 3, 10), (-4, 3, 10), (25, 3, 10), (2, -5, 10), (2, 15, 10), (-5, -5, 40), (2.4, 2.6, 9.7)]
)
def test_a_box_equals_a_loop(array, box):
    """Pixels of the photograph, gray where there is none."""
    left, top, side = map(round, box)
    wanted = np.full((side, side, 3), GRAY, np.uint8)
    for i in range(side):
        for j in range(side):
            if 0 <= top + i < 20 and 0 <= left + j < 30:
                wanted[i, j] = array[top + i, left + j]
    np.testing.assert_array_equal(as_array(read_box(array, tuple(map(float, box)))), wanted)


@pytest.mark.parametrize("suffix", ["png", "jpg"])
@pytest.mark.parametrize("box", [(50.0, 30.0, 400.0), (33.3, 41.7, 401.3), (-60.5, 100.25, 555.5)])
def test_a_scaled_box_is_where_it_should_be(tmp_path, suffix, box):
    """Colors grow with x and y: each pixel of the crop tells where it comes from, reduced decoding or not."""
    y, x = np.mgrid[0:480, 0:640]
    Image.fromarray(np.stack([x / 3, y / 3, 0 * x], -1).round().astype(np.uint8)).save(
        tmp_path / f"a.{suffix}", quality=98, subsampling=0
    )
    size = 50
    crop = read_box(tmp_path / f"a.{suffix}", box, size) * 255 * 3
    centers = (np.arange(size) + 0.5) * box[2] / size
    x, y = box[0] + centers - 0.5, box[1] + centers - 0.5  # a color stands at its pixel's center
    columns, rows = ((n > 12) & (n < end - 12) for n, end in ((x, 640), (y, 480)))  # away from the borders
    inside = crop[:2][:, rows][:, :, columns].numpy()
    assert inside.shape[1] > 20 and inside.shape[2] > 20
    for found, wanted in ((inside[0].mean(0), x[columns]), (inside[1].mean(1), y[rows])):
        np.testing.assert_allclose(found, wanted, atol=4)  # a byte is 3 pixels, and rounded twice
        assert abs((found - wanted).mean()) < 1.5  # half a pixel of the view would be 4


def test_boxes_of_a_photo_and_of_its_file_agree(tmp_path, array):
    Image.fromarray(array).save(tmp_path / "a.png")
    box = (2.0, -3.0, 17.0)
    assert torch.equal(read_box(tmp_path / "a.png", box, 12), read_photo(tmp_path / "a.png").crop(box, 12))


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
def test_boxes_that_show_nothing_are_refused(tmp_path, array, box, message):
    Image.fromarray(array).save(tmp_path / "a.png")
    for size in (None, 64):
        with pytest.raises(ValueError, match=f"a.png: .*{message}"):
            read_box(tmp_path / "a.png", box, size)


def test_a_good_box_comes_back():
    assert check_box((-5, 0, 10.5), (30, 20)) == (-5, 0, 10.5)


# ---- folders


def test_images_of_a_folder_in_the_order_of_their_numbers(tmp_path):
    for name in ("f10.png", "f2.JPG", "f1.webp", "f2b.png", "notes.txt", "a.png"):
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    assert [file.name for file in image_files(tmp_path)] == ["a.png", "f1.webp", "f2.JPG", "f2b.png", "f10.png"]


def test_folders_without_images(tmp_path):
    with pytest.raises(ValueError, match="holds no images"):
        image_files(tmp_path)
    with pytest.raises(FileNotFoundError, match="no folder at"):
        image_files(tmp_path / "none")


def test_limits_hold_for_pillow_images(monkeypatch, array):
    monkeypatch.setattr(module, "check_size", lambda size, where: (_ for _ in ()).throw(ImageError(f"{where} {size}")))
    with pytest.raises(ImageError, match=r"the image \(30, 20\)"):
        read_photo(Image.fromarray(array))
