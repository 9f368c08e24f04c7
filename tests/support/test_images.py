import struct
import zlib

import numpy as np
import PIL
import pytest
import tifffile
from exif_tags import tagged
from PIL import ExifTags, Image, ImageOps

from handlib.support import images as decode
from handlib.support.images import ImageError, exif, focal_px, open_image, orientation, reduction, rgb, upright

TAG = ExifTags.Base


@pytest.fixture
def array():
    return np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)


def read(path, **settings):
    with open_image(path, **settings) as (image, _):
        return rgb(image, path)


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width, height, bits=8, color=2, rows=b""):
    """A PNG of given rows, by default one that only declares its size."""
    header = struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


# ---- colors


@pytest.mark.parametrize("format", ["PNG", "BMP", "WEBP", "TIFF"])
def test_formats_without_loss_are_read_exactly(tmp_path, array, format):
    Image.fromarray(array).save(tmp_path / "a", format, **({"lossless": True} if format == "WEBP" else {}))
    np.testing.assert_array_equal(read(tmp_path / "a"), array)


@pytest.mark.parametrize("format", [f for f in decode.FORMATS if f in ("JPEG", "AVIF")])
def test_formats_with_loss_are_read_nearly(tmp_path, format):
    smooth = np.stack(np.broadcast_arrays(*np.ogrid[60:188:4, 60:188:4], 90), -1).astype(np.uint8)
    Image.fromarray(smooth).save(tmp_path / "a", format, quality=95)
    np.testing.assert_allclose(read(tmp_path / "a").astype(float), smooth, atol=8)


@pytest.mark.parametrize("mode", ["L", "P", "1", "CMYK", "YCbCr"])
def test_other_modes_become_rgb(tmp_path, array, mode):
    if mode == "YCbCr" and int(PIL.__version__.split(".")[0]) < 13:  # as on Python 3.10
        pytest.skip("this Pillow cannot read the YCbCr TIFF that it writes")
    picture = Image.fromarray(array).convert(mode)
    picture.save(tmp_path / "a.tif")
    np.testing.assert_array_equal(read(tmp_path / "a.tif"), np.array(picture.convert("RGB")))


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_gray_of_16_bits_keeps_its_levels(tmp_path, suffix):
    levels = np.array([[0, 257, 32768], [40000, 65278, 65535]], np.uint16)
    Image.fromarray(levels).save(tmp_path / f"a.{suffix}")
    wanted = np.rint(levels / 65535 * 255).astype(np.uint8)
    np.testing.assert_array_equal(read(tmp_path / f"a.{suffix}"), np.stack([wanted] * 3, -1))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
def test_tiff_of_16_bits_in_both_byte_orders_and_polarities(tmp_path, order, photometric):
    levels = np.array([[0, 257, 32896], [40092, 65278, 65535]], np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", levels, byteorder=order, photometric=photometric)
    if (order, photometric) == (">", "miniswhite"):  # Pillow knows no such kind
        with pytest.raises(ImageError, match="a.tif: not a readable"):
            read(tmp_path / "a.tif")
        return
    wanted = levels / 257 if photometric == "minisblack" else 255 - levels / 257
    np.testing.assert_array_equal(read(tmp_path / "a.tif")[..., 0], np.rint(wanted))


def test_color_of_16_bits(tmp_path, array):
    deep = array.astype(np.uint16) * 257
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in deep)
    (tmp_path / "a.png").write_bytes(png(30, 20, 16, 2, rows))
    tifffile.imwrite(tmp_path / "a.tif", deep, photometric="rgb")
    for name in ("a.png", "a.tif"):
        np.testing.assert_array_equal(read(tmp_path / name), array)


def test_real_numbers_from_0_to_1(tmp_path):
    values = np.array([[0, 0.25, 0.5], [0.75, 0.999, 1]], np.float32)
    Image.fromarray(values).save(tmp_path / "a.tif")
    np.testing.assert_array_equal(read(tmp_path / "a.tif")[..., 1], np.rint(values * 255))


@pytest.mark.parametrize("bad", [255.0, -1.0, np.nan, np.inf])
def test_real_numbers_of_another_range_are_refused(tmp_path, bad):
    Image.fromarray(np.array([[0, bad]], np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(ImageError, match=r"a.tif: pixels from .* must be in \[0, 1\]"):
        read(tmp_path / "a.tif")


def test_whole_numbers_of_32_bits_are_refused(tmp_path):
    Image.fromarray(np.array([[0, 70000]], np.int32)).save(tmp_path / "a.tif")
    with pytest.raises(ImageError, match="a.tif: .*32 bits; save it with 8 or 16"):
        read(tmp_path / "a.tif")


def test_transparency_is_laid_on_gray(tmp_path, array):
    rgba = np.concatenate([array, np.full((20, 30, 1), 255, np.uint8)], -1)
    rgba[:5, :, 3] = 0
    Image.fromarray(rgba).save(tmp_path / "a.png")
    palette = Image.fromarray(np.zeros((2, 2), np.uint8)).convert("P")
    palette.putpixel((0, 0), 9)
    palette.save(tmp_path / "p.png", transparency=9)
    found = read(tmp_path / "a.png")
    assert (found[:5] == decode.GRAY).all()
    np.testing.assert_array_equal(found[5:], array[5:])
    np.testing.assert_array_equal(read(tmp_path / "p.png")[..., 0], [[decode.GRAY, 0], [0, 0]])


@pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF"])
def test_the_first_picture_of_several(tmp_path, array, format):
    lossless = {"lossless": True} if format == "WEBP" else {}
    others = [Image.fromarray(255 - array)]
    Image.fromarray(array).save(tmp_path / "a", format, save_all=True, append_images=others, **lossless)
    np.testing.assert_array_equal(read(tmp_path / "a"), array)


# ---- what is refused


def test_a_folder_and_a_missing_file(tmp_path):
    with pytest.raises(IsADirectoryError, match="is a folder, not an image"):
        read(tmp_path)
    for name in ("none.jpg", "\0"):
        with pytest.raises(FileNotFoundError, match="no image at"):
            read(tmp_path / name)


@pytest.mark.parametrize(
    "width, height", [(9000, 9000), (60_000, 60_000), (1, 80_000_000), (40_000, 2), (2**31 - 1, 2)]
)
def test_sizes_are_checked_before_decoding(tmp_path, width, height, monkeypatch):
    monkeypatch.setattr(Image.Image, "load", lambda image: pytest.fail("decoded"))
    (tmp_path / "bomb.png").write_bytes(png(width, height))
    with pytest.raises(ImageError, match="bomb.png: .*pixels"):
        read(tmp_path / "bomb.png")


def test_files_too_large_are_not_opened(tmp_path, array, monkeypatch):
    Image.fromarray(array).save(tmp_path / "a.png")
    monkeypatch.setattr(decode, "MAX_BYTES", 100)
    with pytest.raises(ImageError, match="a.png: 0 MB; the limit"):
        read(tmp_path / "a.png")


@pytest.mark.parametrize("format", ["GIF", "PPM", "DDS", "ICO", "TGA"])
def test_other_formats_are_not_tried(tmp_path, array, format):
    Image.fromarray(array).save(tmp_path / "a.png", format)
    with pytest.raises(ImageError, match="a.png: not a readable .*it is not one.*; save it as PNG or JPEG"):
        read(tmp_path / "a.png")


def test_heic_is_named(tmp_path):
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(100))
    with pytest.raises(ImageError, match="a.heic: .*HEIC: export it as JPEG"):
        read(tmp_path / "a.heic")


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, of damaged tags
@pytest.mark.parametrize("format", decode.FORMATS)
def test_damaged_files_raise_nothing_else(tmp_path, array, format):
    """Cut short at any length, and with bytes changed: decoded all the same, or one error with the file's name."""
    path = tmp_path / "a"
    Image.fromarray(np.tile(array, (2, 2, 1))).save(path, format, exif=tagged(Orientation=6))
    whole, draw = path.read_bytes(), np.random.default_rng(0)
    cut = [whole[: int(n)] for n in np.linspace(0, len(whole) - 1, 40)]
    changed = []
    for _ in range(60):
        data = np.frombuffer(whole, np.uint8).copy()
        data[draw.integers(0, min(len(data), 400), 4)] = draw.integers(0, 256, 4)
        changed.append(data.tobytes())
    refused = 0
    for data in cut + changed:
        path.write_bytes(data)
        try:
            with open_image(path) as (image, _):
                assert rgb(image, path).shape[2] == 3 and isinstance(exif(image), dict)
        except ImageError as error:
            assert str(path) in str(error)
            refused += 1
    assert refused > 20


# ---- EXIF


@pytest.mark.parametrize("orientation", range(1, 9))
def test_upright_as_pillow_does_it(array, orientation):
    picture = Image.fromarray(array)
    picture.getexif()[TAG.Orientation] = orientation
    np.testing.assert_array_equal(upright(array, orientation), np.array(ImageOps.exif_transpose(picture)))


@pytest.mark.parametrize("value", [0, 9, -1, 1.5, "6", b"6", (6,), None, float("nan")])
def test_other_orientations_are_upright(value):
    assert orientation({TAG.Orientation: value}) in ((6,) if value in ("6", b"6") else (1,))
    assert orientation({}) == 1


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")  # Pillow's
def test_damaged_exif_does_not_cost_the_pixels(tmp_path, array):
    Image.fromarray(array).save(tmp_path / "a.jpg", exif=b"Exif\0\0II*\0\xff\xff\xff\xff broken")
    with open_image(tmp_path / "a.jpg") as (image, _):
        assert exif(image) == {}


def test_focal_length_of_an_equivalent(tmp_path, array):
    """A 50 mm lens on 36 × 24 mm sees 3600 × 2400 pixels as 5000 pixels long."""
    Image.fromarray(array).save(tmp_path / "a.jpg", exif=tagged(FocalLengthIn35mmFilm=50))
    with open_image(tmp_path / "a.jpg") as (image, _):
        tags = exif(image)
    assert focal_px(tags, (3600, 2400)) == pytest.approx(5000)
    assert focal_px(tags, (30, 20)) == pytest.approx(50 * 30 / 36)


def test_focal_length_of_a_sensor():
    """4 mm on a sensor of 1000 pixels a millimeter, which the picture is half of."""
    tags = {TAG.FocalLength: 4.0, TAG.FocalPlaneXResolution: 10_000.0, TAG.FocalPlaneResolutionUnit: 3}
    tags |= {TAG.ExifImageWidth: 4000, TAG.ExifImageHeight: 3000}
    assert focal_px(tags, (4000, 3000)) == pytest.approx(4000)
    assert focal_px(tags, (1500, 2000)) == pytest.approx(2000)
    inches = tags | {TAG.FocalPlaneXResolution: 25_400.0, TAG.FocalPlaneResolutionUnit: 2}
    assert focal_px(inches, (4000, 3000)) == pytest.approx(4000)


@pytest.mark.parametrize("value", [0, -28, float("nan"), float("inf"), "wide", (28, 1), 1e9, None])
def test_a_focal_length_of_no_lens_is_unknown(value):
    assert focal_px({TAG.FocalLengthIn35mmFilm: value}, (4000, 3000)) is None
    assert focal_px({TAG.FocalLength: value, TAG.FocalPlaneXResolution: value}, (4000, 3000)) is None


# ---- smaller


@pytest.mark.parametrize("size, coarsest, wanted", [((800, 600), 7.9, 4), ((800, 600), 8, 8), ((800, 3), 8, 2)])
def test_reduction(size, coarsest, wanted):
    assert reduction(size, coarsest) == wanted
    assert reduction(size, float("nan")) == reduction(size, 0) == reduction(size, -1) == 1


@pytest.mark.parametrize("factor", [1, 2, 4, 8])
@pytest.mark.parametrize("size", [(640, 480), (641, 333)])
def test_a_jpeg_is_decoded_smaller(tmp_path, factor, size):
    ramp = Image.linear_gradient("L").resize(size).convert("RGB")
    ramp.save(tmp_path / "a.jpg", quality=95)
    with open_image(tmp_path / "a.jpg", coarsest=lambda whole: factor) as (image, whole):
        assert whole == size and image.size == tuple(-(-n // factor) for n in size)
        np.testing.assert_allclose(rgb(image).astype(float), np.array(ramp.reduce(factor)), atol=4)
