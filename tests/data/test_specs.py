import numpy as np
import pytest
from miniatures import picture, save, write_do, write_freihand, write_nyu, write_rhd, write_stb

from handlib.data import open_backgrounds, open_spec
from handlib.data.specs import HANDS, parse_spec


@pytest.fixture(scope="module")
def rhd(hand, tmp_path_factory):
    root = tmp_path_factory.mktemp("rhd")
    write_rhd(root, hand, ("evaluation",), 3)
    return root


def test_arguments_of_the_reader(rhd):
    given = "joint0=wrist,hand=left,depth=yes,crop_factor=2,first_pixel=0.5,skip_broken=yes"
    data = open_spec(f"rhd,{given}:{rhd}", "test", 48)
    assert data.joint0 == "wrist" and data.hand == "left" and data.depth and data.first_pixel == 0.5
    assert data.rule.factor == 2 and data.size == 48 and len(data) + len(data.broken) == 3
    assert open_spec(f"rhd:{rhd}").joint0 == "wrist"


def test_sets_for_tests_alone(hand, tmp_path):
    write_do(tmp_path, hand, 3)
    assert len(open_spec(f"do,which=scored:{tmp_path}")) == 12
    with pytest.raises(ValueError, match="DexterObject is for tests alone and has no split 'train'"):
        open_spec(f"do:{tmp_path}", "train")


def test_hold_out(hand, tmp_path):
    """The last part of every recording, in all its pictures; together the two parts are the whole."""
    write_rhd(tmp_path / "rhd", hand, ("training",), 8)
    write_freihand(tmp_path / "freihand", hand, 4, versions=2)
    for kind, number, whole in (("rhd", [2, 6], 8), ("freihand", [2, 6], 8)):
        spec = f"{kind},hold=0.25:{tmp_path / kind}"
        held, rest = open_spec(spec, "val"), open_spec(spec, "train")
        assert [len(held), len(rest)] == number and len(open_spec(f"{kind}:{tmp_path / kind}", "train")) == whole
        assert "held=0.25" in held.name and "without=0.25" in rest.name
        names = [{data.frame(i).name for i in range(len(data))} for data in (held, rest)]
        assert len(names[0] | names[1]) == whole
    assert {held.rows[0], held.rows[1]} == {3, 7}  # the fourth hand of FreiHAND, before both backgrounds


def test_hold_out_of_a_video(hand, tmp_path):
    """Of every sequence, by both cameras."""
    write_stb(tmp_path, hand, 4, images=False)
    held = open_spec(f"stb,hold=0.5:{tmp_path}", "val")
    assert {held.frames[row][2] for row in held.rows} == {2, 3}
    assert {held.frames[row][:2] for row in held.rows} == {place[:2] for place in held.frames}
    assert len(open_spec(f"stb,hold=0.5:{tmp_path}", "test")) == len(open_spec(f"stb:{tmp_path}", "test"))


@pytest.mark.parametrize(
    "spec, complaint",
    [
        ("rhd:{}", "has no split 'val': hold out some hands for it, as in rhd,hold=0.05:"),
        ("rhd,hold=much:{}", "'hold' must be a number, not 'much'"),
        ("rhd,hold=1:{}", "hold must be more than 0 and less than 1, not 1"),
        ("rhd,hold=0.01:{}", "hold=0.01 leaves none of 2 frames"),
        ("do,hold=0.1:{}", "DexterObject is for tests alone and has no split 'val'"),
    ],
)
def test_nothing_to_hold_out(hand, tmp_path, spec, complaint):
    write_rhd(tmp_path, hand, ("training",), 2)
    with pytest.raises(ValueError, match=complaint):
        open_spec(spec.format(tmp_path), "val")


def test_backgrounds(tmp_path):
    write_nyu(tmp_path / "n.mat", 2)
    assert open_backgrounds(f"nyu,border=true:{tmp_path / 'n.mat'}").photograph(0).shape == (3, 480, 640)
    save(tmp_path / "p.png", picture(np.random.default_rng(0), 30, 20))
    assert open_backgrounds(f"pictures:{tmp_path}").photograph(0).shape == (3, 20, 30)


@pytest.mark.parametrize(
    "spec, complaint",
    [
        ("mano:x", "names no data set: write KIND:PATH with KIND one of rhd, stb"),
        ("rhd", "names no data set"),
        ("rhd:", "names no data set"),
        ("nyu:x", "names no data set"),
        ("rhd,left:x", "write arguments as rhd,name=value:PATH"),
        ("rhd,size=3:x", "RHD has no argument 'size', only hand, joint0"),
        ("rhd,depth=perhaps:x", "'depth' must be yes or no, not 'perhaps'"),
        ("rhd,crop_factor=big:x", "'crop_factor' must be a number, not 'big'"),
        ("freihand,backgrounds=2.5:x", "'backgrounds' must be a number"),
    ],
)
def test_wrong_specs(spec, complaint):
    with pytest.raises(ValueError, match=complaint):
        open_spec(spec)


def test_paths_may_have_colons_and_commas():
    assert parse_spec("rhd:C:\\data,old", HANDS) == ("rhd", {}, "C:\\data,old")
