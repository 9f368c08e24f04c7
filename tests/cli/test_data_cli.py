"""`handlib data render` and `handlib data show`; `check` has its tests in test_check.py."""

import json
import re
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from miniatures import save, write_do, write_rhd
from PIL import Image

import handlib.data
from handlib.cli.data import Split, data_command
from handlib.data import RHD, BuiltinBackgrounds, SyntheticHands
from handlib.data.sample import PARTS, spread
from handlib.data.synthetic import VERSION
from handlib.data.synthetic.settings import SETTINGS
from handlib.viz.sheet import PALETTE, depth_image, parts_image, sample_images, sample_sheet, skeleton_image

HEAD = 22  # pixels of a small sheet's titles


@pytest.fixture
def call(capsys):
    """What a call prints."""

    def run(*arguments):
        data_command([str(argument) for argument in arguments])
        return capsys.readouterr().out

    return run


def test_the_card_says_what_the_splits_are():
    card = (Path(handlib.data.__file__).parent / "README.md").read_text("utf-8")
    assert f"`SyntheticHands` {VERSION}" in card.splitlines()[0]
    for name, setting in SETTINGS.items():
        assert f"`{name}` {setting.length:,}" in card
    photographs = [len(BuiltinBackgrounds(split)) for split in ("train", "val", "test")]
    assert "{} for training, {} for validation, {} for the tests".format(*photographs) in card


def test_splits_are_those_of_the_benchmark():
    assert get_args(Split) == tuple(SETTINGS)


@pytest.mark.parametrize("verb, option", [("render", "--shard-size"), ("show", "--out")])
def test_each_verb_explains_itself(capsys, verb, option):
    with pytest.raises(SystemExit) as end:
        data_command([verb, "--help"])
    out = capsys.readouterr().out
    assert end.value.code == 0 and option in out and f"handlib data {verb}" in out


# ---- render


def test_render_writes_what_its_options_say(call, hand, tmp_path):
    out = tmp_path / "plain"
    assert f"wrote {out} with SyntheticHands" in call(
        "render", "--split", "object", "--out", out, "--n", 2, "--size", 32, "--seed", 5
    )
    data = SyntheticHands("object", 32, 2, 5, hand=hand)
    card = json.loads((out / "card.json").read_text())
    assert card["name"] == data.name and card["shard_size"] == 0
    stored = np.asarray(Image.open(out / "images" / f"{data.sample_name(1)}.png"))
    expected = (data[1].image.movedim(0, -1) * 255).round().numpy()
    assert (np.abs(stored - expected) <= 1).mean() > 0.99
    call("render", "--split", "object", "--out", tmp_path / "tar", "--n", 2, "--size", 32, "--shard-size", 1)
    assert sorted(path.name for path in (tmp_path / "tar").glob("*.tar")) == ["00000.tar", "00001.tar"]


def test_render_on_the_users_pictures(call, tmp_path):
    folder = tmp_path / "photographs"
    save(folder / "red.png", np.full((40, 40, 3), (250, 10, 10), np.uint8))
    for out, more in (("own", ["--backgrounds", f"pictures:{folder}"]), ("built-in", [])):
        call("render", "--split", "val", "--out", tmp_path / out, "--n", 1, "--size", 32, *more)
    assert "backgrounds=ImageFolderBackgrounds photographs n=1" in (tmp_path / "own" / "card.json").read_text()
    own, built_in = (next((tmp_path / out / "images").iterdir()).read_bytes() for out in ("own", "built-in"))
    assert own != built_in


@pytest.mark.parametrize(
    "option, value, message",
    [
        ("--n", "0", "--n must be at least 1, not 0"),
        ("--size", "-3", "--size must be at least 1"),
        ("--shard-size", "-1", "--shard-size must be at least 0"),
        ("--workers", "-1", "--workers must be at least 0"),
        ("--backgrounds", "somewhere", "'somewhere' names no data set: write KIND:PATH with KIND one of nyu, pictures"),
        ("--backgrounds", "pictures:nowhere", "no folder at nowhere"),
    ],
)
def test_render_refuses(tmp_path, option, value, message):
    with pytest.raises((ValueError, OSError), match=re.escape(message)):
        data_command(["render", "--split", "val", "--out", str(tmp_path / "out"), option, value])
    assert not (tmp_path / "out").exists()


def test_render_needs_a_split_that_exists(tmp_path, capsys):
    for arguments in (["--out", str(tmp_path / "out")], ["--split", "test", "--out", str(tmp_path / "out")]):
        with pytest.raises(SystemExit) as end:
            data_command(["render", *arguments])
        assert end.value.code == 2 and "--split" in capsys.readouterr().err


# ---- show


def test_show_the_benchmark(call, hand, tmp_path):
    out = tmp_path / "sheets" / "object.png"
    assert f"wrote {out} of SyntheticHands" in call("show", "--split", "object", "--out", out, "--n", 3, "--size", 32)
    found = np.asarray(Image.open(out))
    found = found[HEAD:]
    assert found.shape == (2 * 36 - 4, 8 * 36 - 4, 3)  # two samples of four pictures a row
    data = SyntheticHands("object", 32, hand=hand)
    for place, i in (((0, 0), 0), ((0, 4 * 36), 300), ((36, 0), 599)):  # spread over the 600
        tile = found[place[0] : place[0] + 32, place[1] : place[1] + 32]
        expected = (data[i].image.movedim(0, -1) * 255).numpy()
        assert (np.abs(tile - expected) < 1.5).mean() > 0.99


def test_show_a_real_data_set(call, hand, tmp_path):
    write_rhd(tmp_path / "rhd", hand, ("training",), n=2)
    out = tmp_path / "rhd.webp"
    assert "of RHD train" in call("show", f"rhd:{tmp_path / 'rhd'}", "--split", "train", "--out", out, "--size", 32)
    with Image.open(out) as sheet:
        assert sheet.format == "WEBP" and sheet.size == (8 * 36 - 4, HEAD + 32)  # with depth, although nobody asked
    call("show", f"rhd,depth=no:{tmp_path / 'rhd'}", "--split", "train", "--out", out, "--size", 32)
    with Image.open(out) as sheet:
        assert sheet.size == (6 * 36 - 4, HEAD + 32)


def test_show_tips_alone(call, hand, tmp_path):
    write_do(tmp_path, hand)
    call("show", f"do:{tmp_path}", "--n", 2, "--out", tmp_path / "do.jpg", "--size", 40)
    with Image.open(tmp_path / "do.jpg") as sheet:
        assert sheet.format == "JPEG" and sheet.size == (4 * 44 - 4, HEAD + 40)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--split", "test"], "unknown split 'test': choose one of train, val, diverse, studio, object"),
        (["--out", "sheet"], "--out sheet: name a picture that ends in .png"),
        (["--n", "0"], "--n must be at least 1"),
        (["somewhere"], "'somewhere' names no data set"),
        (["rhd:nowhere"], "no folder at nowhere"),
        (["nyu:FILE"], "'nyu:FILE' names no data set: write KIND:PATH with KIND one of rhd"),
    ],
)
def test_show_refuses(tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((ValueError, OSError), match=re.escape(message)):
        data_command(["show", *arguments])
    assert not list(tmp_path.iterdir())


# ---- the pictures of a sample


def test_parts_have_colors_of_their_own():
    assert len(PALETTE) == len(PARTS) and len({tuple(color) for color in PALETTE.tolist()}) == len(PARTS)
    codes = torch.arange(len(PARTS)).view(2, -1)
    pixels = np.asarray(parts_image(codes)).reshape(-1, 3)
    np.testing.assert_array_equal(pixels, (PALETTE * 255).round())
    assert not pixels[0].any()


def test_depth_is_white_where_it_is_near():
    depth = torch.tensor([[0.0, 0.5, 0.6, 3.0]])
    gray = np.asarray(depth_image(depth))[0, :, 0]
    assert gray[0] == 0 and gray[1] == 255 and 255 > gray[2] > gray[3] > 0
    of_hand = np.asarray(depth_image(depth, torch.tensor([[0.0, 1.0, 1.0, 0.0]])))[0, :, 0]
    assert of_hand[1] == 255 and of_hand[2] == of_hand[3] == 51  # spread over the hand alone
    assert not np.asarray(depth_image(torch.zeros(2, 2))).any()


def test_unknown_joints_are_not_drawn(hand, tmp_path):
    write_rhd(tmp_path, hand, ("evaluation",), n=1)
    sample = RHD(tmp_path, "test", size=48)[0]
    sample.image.zero_()
    assert np.asarray(skeleton_image(sample)).any()
    sample.joints_px[:] = torch.nan
    assert not np.asarray(skeleton_image(sample)).any()
    sample.joints_px[8] = torch.tensor([10.0, 20.0])
    drawn = np.asarray(skeleton_image(sample)).any(-1)
    assert drawn[20, 10] and drawn.sum() < 60
    assert list(sample_images(sample)) == ["image", "skeleton", "parts"]


def test_sheets_hold_what_all_samples_have(hand):
    sample = SyntheticHands("val", 16, 1, hand=hand)[0]
    fields = {**vars(sample), "parts": None, "depth": None}
    assert list(sample_images(type(sample)(**fields))) == ["image", "skeleton", "mask"]
    sheet = sample_sheet([sample, type(sample)(**fields)], 1, 16)
    assert sheet.size == (2 * 20 - 4, HEAD + 2 * 20 - 4)
    with pytest.raises(ValueError, match="at least one"):
        sample_sheet([])


def test_spread():
    assert spread(600, 3) == [0, 300, 599] and spread(2, 5) == [0, 1] and spread(9, 1) == [0] and spread(0, 3) == []
