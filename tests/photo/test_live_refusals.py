"""What goes wrong on the live page is said in a sentence."""

import io

import pytest
from chromium import CHROMIUM
from live_pages import choose, covered, give, jpeg, words
from PIL import Image

from handlib.photo.live_samples import samples

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium fonts-dejavu-core")


@pytest.mark.parametrize(
    "name, content, said",
    [
        ("empty.jpg", b"", "empty.jpg is empty"),
        ("notes.txt", b"no picture at all", "not a picture that can be read"),
        ("phone.heic", b"\0\0\0\x18ftypheic" + bytes(40), "phone.heic is HEIC.*Export it as JPEG"),
        ("cut.jpg", jpeg(Image.new("RGB", (64, 48)))[:300], "cut.jpg is damaged"),
        ("bomb.png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\1\0\0\0\1\0\0", "bomb.png has 65536 × 65536 pixels"),
    ],
)
def test_files_that_cannot_be_used(page, name, content, said):
    give(page, name, content)
    words(page, said)
    choose(page, 1)  # and the next one is fine
    assert page.errors == []


def test_a_photo_whose_size_stands_behind_megabytes_of_metadata(page):
    content = jpeg(samples()[0].picture)
    segment = b"\xff\xe2" + (65535).to_bytes(2, "big") + bytes(65533)
    give(page, "depth.jpg", content[:2] + 40 * segment + content[2:])
    words(page, "right hand,|Right hand,")


def test_no_hand(page):
    give(page, "gray.jpg", jpeg(Image.new("RGB", (300, 200), "gray")))
    assert "palm or the back" in words(page, "^No hand found")
    assert covered(page) == 0
    page.get_by_role("button", name="OBJ").press("Enter")
    words(page, "no hand to save")
    assert page.get_by_role("row", name="until the first hand").locator("td").inner_text() == "–"


def test_transparent_and_tiny_pictures(page):
    for picture in (Image.new("RGBA", (300, 200)), Image.new("L", (1, 1))):
        buffer = io.BytesIO()
        picture.save(buffer, "PNG")
        give(page, "odd.png", buffer.getvalue())
        words(page, "^No hand found")
        choose(page, 0)
    assert page.errors == []
