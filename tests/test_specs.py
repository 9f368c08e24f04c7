import numpy as np
import pytest
from miniatures import picture, save, write_do, write_nyu, write_rhd

from handlib.data import open_backgrounds, open_spec
from handlib.data.specs import HANDS, parse_spec


@pytest.fixture(scope="module")
def rhd(hand, tmp_path_factory):
    root = tmp_path_factory.mktemp("rhd")
    write_rhd(root, hand, ("evaluation",), 3)
    return root


def test_arguments_of_the_reader(rhd):
    data = open_spec(f"rhd,joint0=wrist,hand=left,depth=yes,crop_factor=2,first_pixel=0.5:{rhd}", "test", 48, True)
    assert data.joint0 == "wrist" and data.hand == "left" and data.with_depth and data.first_pixel == 0.5
    assert data.crop.factor == 2 and data.size == 48 and len(data) + len(data.broken) == 3
    assert open_spec(f"rhd:{rhd}").joint0 == "palm"


def test_sets_for_tests_alone(hand, tmp_path):
    write_do(tmp_path, hand, 3)
    assert len(open_spec(f"do,which=scored:{tmp_path}")) == 12
    with pytest.raises(ValueError, match="DexterObject is for tests alone, it has no split 'train'"):
        open_spec(f"do:{tmp_path}", "train")


def test_backgrounds(tmp_path):
    write_nyu(tmp_path / "n.mat", 2)
    assert open_backgrounds(f"nyu,border=true:{tmp_path / 'n.mat'}").photograph(0).shape == (3, 480, 640)
    save(tmp_path / "p.png", picture(np.random.default_rng(0), 30, 20))
    assert open_backgrounds(f"pictures:{tmp_path}").photograph(0).shape == (3, 20, 30)


@pytest.mark.parametrize(
    "spec, complaint",
    [
        ("mano:x", "names no data set: write KIND:PATH, KIND one of rhd, stb"),
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
