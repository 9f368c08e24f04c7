import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from handlib.data.real.pictures import MAX_PIXELS, read_codes, read_rgb, same_size


def png(width: int, height: int) -> bytes:
    """A PNG that declares a size and has no pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("format", ["PNG", "BMP"])
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
def test_colors(tmp_path, format, mode):
    array = np.random.default_rng(0).integers(0, 256, (5, 7, 4), np.uint8)
    array[..., 3] = 255
    image = Image.fromarray(array).convert(mode)
    image.save(tmp_path / "x", format=format)
    np.testing.assert_array_equal(read_rgb(tmp_path / "x"), np.array(image.convert("RGB")))


def test_transparent_pixels_keep_their_numbers(tmp_path):
    array = np.random.default_rng(0).integers(0, 256, (5, 7, 4), np.uint8)
    Image.fromarray(array).save(tmp_path / "x.png")
    np.testing.assert_array_equal(read_rgb(tmp_path / "x.png"), array[..., :3])


def test_codes(tmp_path):
    codes = np.arange(35, dtype=np.uint8).reshape(5, 7)
    Image.fromarray(codes).save(tmp_path / "gray.png")
    palette = Image.fromarray(codes, mode="L").convert("P")
    palette.putdata(codes.ravel().tolist())
    palette.putpalette([7] * 768)
    palette.save(tmp_path / "palette.png")
    for name in ("gray.png", "palette.png"):
        np.testing.assert_array_equal(read_codes(tmp_path / name), codes)
    Image.fromarray(codes.astype(np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(ValueError, match="deep.png: the picture has mode I;16, not one channel"):
        read_codes(tmp_path / "deep.png")


@pytest.mark.parametrize("width, height", [(8000, 6000), (60000, 60000), (2**31 - 1, 2)])
def test_sizes_are_checked_before_decoding(tmp_path, width, height):
    (tmp_path / "bomb.png").write_bytes(png(width, height))
    with pytest.raises(ValueError, match=f"bomb.png: .* {MAX_PIXELS:,}"):
        read_rgb(tmp_path / "bomb.png")


def test_a_file_cut_short_at_any_length(tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 9, 3), np.uint8)).save(tmp_path / "x.png")
    whole = (tmp_path / "x.png").read_bytes()
    for length in range(0, len(whole) - 16, 9):
        (tmp_path / "x.png").write_bytes(whole[:length])
        with pytest.raises(ValueError, match="x.png: not a readable PNG, JPEG, BMP or WEBP image"):
            read_rgb(tmp_path / "x.png")


def test_other_formats_are_not_tried(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "x.png", format="TIFF")
    with pytest.raises(ValueError, match="it is not one"):
        read_rgb(tmp_path / "x.png")
    with pytest.raises(FileNotFoundError, match="no picture at"):
        read_rgb(tmp_path)


def test_sizes_that_belong_together():
    image = np.zeros((3, 4, 3), np.uint8)
    assert same_size(image[..., 0], image, "x").shape == (3, 4)
    with pytest.raises(ValueError, match="x.png: 3×4 pixels, its color picture has 4×3"):
        same_size(image[..., 0].T, image, "x.png")
