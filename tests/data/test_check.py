"""`handlib data check` on miniatures: complete but for their number, then with one thing wrong."""

import pickle
import re

import numpy as np
import pytest
from miniatures import (
    picture,
    save,
    write_do,
    write_freihand,
    write_ho3d,
    write_interhand,
    write_nyu,
    write_photos,
    write_rhd,
    write_stb,
)

from handlib.cli.data import data_command
from handlib.data import check as checks
from handlib.data.check import Report, check
from handlib.data.real import dexter_object, freihand, ho3d, interhand, nyu, rhd, stb
from handlib.data.real.rhd import read_labels


@pytest.fixture
def official(monkeypatch):
    """The official numbers of the miniatures."""
    monkeypatch.setattr(rhd, "COUNTS", {"train": 3, "test": 3})
    monkeypatch.setattr(freihand, "COUNTS", {"train": 3, "test": 3})
    monkeypatch.setattr(stb, "FRAMES", 2)
    monkeypatch.setattr(stb, "SEQUENCES", {"train": ("B2Random",), "test": ("B1Counting", "B1Random")})
    monkeypatch.setattr(dexter_object, "FRAMES", dict.fromkeys(dexter_object.FRAMES, 3))
    monkeypatch.setattr(ho3d, "COUNTS", {3: {"train": (4, 5), "test": (3,)}})
    monkeypatch.setattr(interhand, "COUNTS", {"train": 6, "val": 6, "test": 6})
    monkeypatch.setattr(nyu, "COUNT", 3)


def lines(report: Report) -> dict[str, str]:
    return {line.what: line.found for line in report.lines if line.ok is False}


WRITERS = {
    "rhd": write_rhd,
    "stb": lambda root, hand: write_stb(root, hand, pictures=("B2Random", "B1Counting", "B1Random")),
    "do": write_do,
    "freihand": write_freihand,
    "ho3d": write_ho3d,
    "interhand": write_interhand,
    "photos": write_photos,
}


@pytest.mark.parametrize("kind", WRITERS)
def test_a_good_download(hand, tmp_path, official, kind):
    WRITERS[kind](tmp_path / "in", hand)
    report = check(f"{kind}:{tmp_path / 'in'}")
    assert report.ok, report
    assert "WRONG" not in str(report) and "Get the data set from" not in str(report)
    found = " ".join(line.what for line in report.lines)
    for word in ("opened", "distances", *(() if kind == "do" else ("side", "middle MCP"))):
        assert word in found
    assert ("reprojection" in found) == (kind in ("rhd", "do"))


def test_official_numbers(hand, tmp_path):
    """Against the true ones a miniature is incomplete, and where the rest is to be had is said."""
    write_rhd(tmp_path, hand, size=64)
    report = check(f"rhd:{tmp_path}")
    expected = {line.what: line.expected for line in report.lines}
    assert expected["train: labels"] == "41,258" and expected["test: evaluation/color"] == "2,728"
    assert not report.ok and f"Get the data set from {rhd.SOURCE}" in str(report)
    assert sum(dexter_object.FRAMES.values()) == 3145
    assert stb.FRAMES * len(stb.SEQUENCES["train"]) * 2 == 30000 and stb.FRAMES * len(stb.SEQUENCES["test"]) * 2 == 6000
    assert freihand.COUNTS["train"] * freihand.BACKGROUNDS == 130240


def test_a_split_that_is_missing(hand, tmp_path, official):
    write_rhd(tmp_path, hand, ("evaluation",))
    report = check(f"rhd:{tmp_path}")
    assert lines(report) == {"train: labels": "not readable"}
    assert "no anno_training.pickle in" in str(report)


def test_labels_that_do_not_agree(hand, tmp_path, official):
    """2D points half a pixel off; and a left hand where the right one should be."""
    write_rhd(tmp_path, hand)
    for split, change in (("training", "uv_vis"), ("evaluation", "xyz")):
        folder = tmp_path / split
        labels = read_labels(folder)
        content = {i: {key: labels[key][i].copy() for key in ("xyz", "uv_vis", "K")} for i in range(3)}
        for label in content.values():
            if change == "uv_vis":
                label["uv_vis"][:, 0] += 0.5
            else:  # mirrored, and its 2D points with it
                label["xyz"][:, 0] *= -1
                label["uv_vis"][:, 0] = 2 * label["K"][0, 2] - label["uv_vis"][:, 0]
        (folder / f"anno_{split}.pickle").write_bytes(pickle.dumps(content, protocol=2))
    wrong = lines(check(f"rhd:{tmp_path}"))
    assert float(re.match(r"[\d.]+", wrong["train: reprojection, worst"])[0]) == pytest.approx(0.5, abs=0.01)
    assert wrong["test: side as labeled"] == "0 of 3"
    assert "test: reprojection, worst" not in wrong and "train: side as labeled" not in wrong


def test_labels_in_the_wrong_unit(hand, tmp_path, official):
    from scipy.io import loadmat, savemat

    WRITERS["stb"](tmp_path, hand)
    for sequence in ("B1Counting", "B1Random"):
        path = tmp_path / "labels" / f"{sequence}_BB.mat"
        savemat(path, {"handPara": loadmat(path)["handPara"] * 10})
    assert set(lines(check(f"stb:{tmp_path}"))) == {"test BB: distances", "test BB: joint 0 to middle MCP"}


def test_missing_pictures(hand, tmp_path, official):
    WRITERS["stb"](tmp_path, hand)
    (tmp_path / "images" / "B1Random" / "BB_left_1.png").unlink()
    wrong = lines(check(f"stb:{tmp_path}"))
    assert wrong == {"test: BB_left": "3"} | ({"test BB: opened and cut": "4"} if len(wrong) > 1 else {})
    (tmp_path / "labels" / "B2Random_SK.mat").unlink()
    assert lines(check(f"stb:{tmp_path}"))["train: labels of SK"] == "not readable"


def test_do_with_other_2D_labels(hand, tmp_path, official):
    write_do(tmp_path, hand)
    folder = tmp_path / "data"
    for sequence in ("Grasp1", "Grasp2", "Rigid", "Pinch"):
        path = folder / sequence / "annotations" / f"{sequence}2D.txt"
        path.write_text(path.read_text().replace(", ", ", 1"))
    (folder / "Rotate" / "annotations" / "Rotate2D.txt").unlink()
    wrong = lines(check(f"do:{tmp_path}"))
    assert set(wrong) == {"reprojection, median", "Rotate: 2D labels"}


def test_a_broken_picture_is_named(hand, tmp_path, official):
    write_freihand(tmp_path, hand)
    (tmp_path / "evaluation" / "rgb" / "00000000.jpg").write_bytes(b"")
    (tmp_path / "training_verts.json").unlink()
    report = check(f"freihand:{tmp_path}")
    assert lines(report) == {"train: training_verts.json": "missing", "test: opened and cut": "2"}
    assert "00000000.jpg: not a readable" in str(report)


def test_missing_frames_of_ho3d(hand, tmp_path, official):
    write_ho3d(tmp_path, hand, truth=False)
    report = check(f"ho3d:{tmp_path}")
    assert report.ok, report  # the truth of the evaluation is a download of its own
    assert [line.found for line in report.lines if line.what.endswith(".json")] == ["missing", "missing"]
    (tmp_path / "train" / "MC1" / "rgb" / "0003.jpg").unlink()
    (tmp_path / "evaluation.txt").write_text("SM1/0001\n")
    wrong = lines(check(f"ho3d:{tmp_path}"))
    assert wrong == {"train: train/*/rgb": "3", "train: opened and cut": "3", "test: frames": "1"}


def test_a_missing_split_of_interhand(hand, tmp_path, official):
    write_interhand(tmp_path, hand, splits=("train", "test"))
    report = check(f"interhand:{tmp_path}")
    assert lines(report) == {"val: labels": "not readable"} and "no InterHand2.6M_val_camera.json in" in str(report)


def test_backgrounds(tmp_path, official):
    write_nyu(tmp_path / "nyu_depth_v2_labeled.mat")
    assert check(f"nyu:{tmp_path}").ok
    (tmp_path / "nyu_depth_v2_labeled.mat").write_bytes(b"<html>")
    assert lines(check(f"nyu:{tmp_path}")) == {"photographs": "not readable"}
    save(tmp_path / "a.png", picture(np.random.default_rng(0), 30, 20))
    assert check(f"pictures:{tmp_path}").ok
    save(tmp_path / "b.png", np.zeros((20, 30, 3), np.uint8))
    assert lines(check(f"pictures:{tmp_path}")) == {"least spread of gray levels": "0.0"}


def test_every_kind_has_a_check():
    assert set(checks._CHECKS) == set(checks.HANDS | checks.BACKGROUNDS)


# ---- the command


def test_command(hand, tmp_path, capsys):
    write_photos(tmp_path, hand, 2)
    data_command(["check", f"photos:{tmp_path}"])
    out = capsys.readouterr().out
    assert out.startswith(f"Photographs at {tmp_path}\n") and re.search(r"opened and cut +2 +2 +ok", out)
    (tmp_path / "images" / "1.png").unlink()
    with pytest.raises(SystemExit) as end:
        data_command(["check", f"photos:{tmp_path}", f"photos:{tmp_path}"])
    out = capsys.readouterr().out
    assert end.value.code == 1 and out.count("no picture at") == 2


def test_command_says_what_it_wants(capsys):
    for arguments in ([], ["--help"], ["check", "-h"]):
        with pytest.raises(SystemExit):
            data_command(arguments)
        assert "usage: handlib data" in capsys.readouterr().out
    with pytest.raises(ValueError, match="handlib data check KIND:PATH …, KIND one of rhd, stb"):
        data_command(["check"])
    with pytest.raises(SystemExit):
        data_command(["chek"])
    assert "check, render, show" in capsys.readouterr().err
    with pytest.raises(ValueError, match="names no data set"):
        data_command(["check", "somewhere"])
