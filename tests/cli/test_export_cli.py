"""`handlib export` from end to end."""

import importlib
import json
from functools import partial

import numpy as np
import pytest
import trimesh

from handlib.photo.arrays import read_hands


@pytest.fixture
def export(handlib_command):
    return partial(handlib_command, "export")


def test_from_a_prediction_to_a_mesh_for_each_hand(export, tmp_path):
    """Through the files of parameters, of a left fist and a right mean hand."""
    for name, side in (("fist", "left"), ("mean", "right")):
        status, out, _ = export(name, "--side", side, "--out", tmp_path / f"{name}.json")
        assert status == 0 and f"{side} hand" in out
    both = tmp_path / "both.json"
    hands = [{"mano": json.loads((tmp_path / f"{name}.json").read_text())[0]} for name in ("fist", "mean")]
    both.write_text(json.dumps({"hands": hands}))
    assert export(both, "--out", tmp_path / "both.npz")[0] == 0
    assert read_hands(tmp_path / "both.npz")["is_rhand"].tolist() == [False, True]
    status, out, _ = export(tmp_path / "both.npz", "--out", tmp_path / "both.ply")
    assert status == 0 and "left hand, right hand" in out
    assert len(trimesh.load(tmp_path / "both.ply", process=False).vertices) == 2 * 778
    assert export(both, "--hand", 0, "--out", tmp_path / "one.obj", "--watertight")[0] == 0
    one = trimesh.load(tmp_path / "one.obj", process=False)
    assert one.is_watertight and one.volume > 0
    assert export(both, "--frame", 0, "--out", tmp_path / "x.obj")[0] == 2


def test_printing(export, tmp_path):
    for name, options in (("a.stl", ()), ("b.stl", ("--unit", "m")), ("c.ply", ("--unit", "mm", "--watertight"))):
        assert export("mean", *options, "--out", tmp_path / name)[0] == 0
        mesh = trimesh.load(tmp_path / name)
        longest = np.ptp(mesh.vertices, axis=0).max() / (1 if name == "b.stl" else 1000)
        assert mesh.is_watertight and 0.15 < longest < 0.25


def test_the_hand_model_for_smplx(export, tmp_path):
    for side in ("right", "left"):
        path = tmp_path / f"MANO_{side.upper()}.npz"
        assert export("openhand", "--side", side, "--out", path)[0] == 0
        status, _, _ = export("mean", "--hand-model", path, "--out", tmp_path / f"{side}.obj")
        assert status == 0
    assert (tmp_path / "right.obj").read_bytes() == (tmp_path / "left.obj").read_bytes()


def test_a_model(export, tmp_path, monkeypatch):
    """tests/export/test_onnx.py writes real ones."""
    written = []
    module = importlib.import_module("handlib.cli.export")
    monkeypatch.setattr(
        module, "export_onnx", lambda model, path: written.append(path) or {"h": 2e-6, "vertices": 1e-7}
    )
    status, out, err = export("lite", "--out", tmp_path / "lite.onnx")
    assert status == 0 and not err and written == [tmp_path / "lite.onnx"]
    assert "with the outputs h, vertices\n" in out and "from torch: 2.0e-06 in h; vertices 1.0e-07 m" in out


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("mean", "--out", "a.txt"), "name it .obj, .ply, .glb, .stl, .json, .npz or .onnx"),
        (
            ("nobody", "--out", "a.obj"),
            "'nobody' is neither a .json or .npz of hands nor one of the hand model's own: mean, ",
        ),
        (("none.json", "--out", "a.obj"), "no file at none.json; it must hold"),
        (("mean", "--hand", "0", "--out", "a.obj"), "--hand or --frame is only for files"),
        (("mean", "--unit", "mm", "--out", "a.json"), "--unit is only for meshes"),
        (("mean", "--watertight", "--out", "a.npz"), "--watertight is only for meshes"),
        (("mean", "--unit", "mm", "--out", "a.glb"), "the unit must be m"),
        (("lite", "--hand", "1", "--out", "a.onnx"), "is only for hands"),
        (("none.safetensors", "--out", "a.onnx"), "no checkpoint at none.safetensors"),
        (("openhand", "--out", "hand.npz"), "name it MANO_RIGHT.npz"),
        (("openhand", "--out", "hand.obj"), "for a mesh export mean"),
        (("openhand", "--out", "MANO_RIGHT.npz", "--hand", 3), "only for hands"),
        (("mean", "--hand-model", "none.pkl", "--out", "a.obj"), "no hand model at none.pkl"),
    ],
)
def test_what_the_user_can_mend(export, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    status, out, err = export(*arguments)
    assert status == 2 and not out and err.startswith("handlib: ") and message in err and err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_number_that_is_no_hand_and_a_file_with_too_many(export, tmp_path):
    path = tmp_path / "many.json"
    assert export("mean", "--out", path)[0] == 0
    path.write_text(json.dumps(json.loads(path.read_text()) * 21))
    assert "has the hands 0 … 20" in export(path, "--hand", 21, "--out", tmp_path / "a.obj")[2]
    assert "21 hands would lie in one mesh: choose" in export(path, "--out", tmp_path / "a.obj")[2]
    path.write_text('{"hands": []}')
    assert "no hand in this file" in export(path, "--out", tmp_path / "a.obj")[2]


def test_help_teaches(export):
    status, out, _ = export("--help")
    assert status == 0
    for words in ("smplx.create", "--watertight", "slicers", "lite.onnx", "Meters or millimeters"):
        assert words in out
