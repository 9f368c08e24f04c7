"""ONNX Runtime against torch, skipped without what writes and runs the files."""

import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from handlib import DHPE, DHPEConfig
from handlib.export import onnx as module
from handlib.export.onnx import export_onnx
from handlib.networks import photo_trunk

runtime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
SMALL = DHPEConfig(size=32, feature_width=2, features=16, hidden=8, iterations=1, evidence_2d=False, pose_refiner=False)


def answers(path: Path, images: torch.Tensor) -> dict[str, torch.Tensor]:
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    found = session.run(names, {"images": images.numpy()})
    return dict(zip(names, map(torch.from_numpy, found), strict=True))


def same_as_torch(model: DHPE, path: Path, images: torch.Tensor) -> None:
    """In batches of each size up to that of the images, which show rendered hands."""
    for n in range(1, len(images) + 1):
        with torch.no_grad():
            wanted = model(images[:n])
        found = answers(path, images[:n])
        tensors = {name for name, value in vars(wanted).items() if isinstance(value, torch.Tensor)}
        assert found.keys() == tensors >= {"h", "vertices", "joints_3d", "joints_2d", "evidence_2d", "features"}
        assert (found["vertices"] - wanted.vertices).abs().max() < 1e-5  # meters
        assert (found["joints_2d"] - wanted.joints_2d).abs().max() < 0.02  # pixels
        for name in tensors:
            torch.testing.assert_close(found[name], getattr(wanted, name), rtol=1e-3, atol=2e-3)


def exported(name: str | Path, path: Path, before: str = "") -> str:
    """`handlib export` in a process of its own: the checks of shapes would make a batch of any size one of theirs.

    Returns what it printed. before: code that runs first.
    """
    code = f"{before}\nimport sys; sys.argv[1:] = ['export', {str(name)!r}, '--out', {str(path)!r}]\n"
    code += "from handlib.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def lite_file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("onnx") / "lite.onnx"
    said = exported("lite", path)
    assert "h, vertices, joints_3d, joints_2d, evidence_2d, heatmaps, features" in said
    assert float(said.split("vertices ")[-1].split()[0]) < 1e-5
    return path


@pytest.mark.slow
def test_lite_on_rendered_hands(lite_file, rendered):
    model = DHPE.from_pretrained("lite")
    same_as_torch(model, lite_file, model.resize(rendered["image"][:3]))


@pytest.mark.slow
def test_a_checkpoint_of_photo_on_rendered_hands(tmp_path, rendered, monkeypatch):
    """Its graph holds the search for the hand's turn, here with fewer turns, since each is the network once more."""
    fewer = "from handlib.networks import photo_trunk; photo_trunk.TURNS, photo_trunk.LOOKS = 2, 0"
    model = DHPE.from_pretrained("photo")
    model.save(tmp_path / "model.safetensors")
    assert "heatmaps" not in exported(tmp_path / "model.safetensors", tmp_path / "model.onnx", fewer)
    monkeypatch.setattr(photo_trunk, "TURNS", 2)
    monkeypatch.setattr(photo_trunk, "LOOKS", 0)
    same_as_torch(model, tmp_path / "model.onnx", model.resize(rendered["image"][:3]))


@pytest.mark.slow
def test_a_file_that_differs_is_not_written(tmp_path, lite_file, monkeypatch):
    """As if the exporter had made the graph of another model."""
    another = SimpleNamespace(save=lambda path: shutil.copy(lite_file, path))
    monkeypatch.setattr(module, "_program", lambda *_: another)
    model = DHPE.from_pretrained("lite")
    with torch.no_grad():
        model.regressor.start += 0.1
    with pytest.raises(ValueError, match="a.onnx: not written: its h differs"):
        export_onnx(model, tmp_path / "a.onnx")
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_exported(tmp_path, monkeypatch):
    model = DHPE(SMALL).train()
    with monkeypatch.context() as patch:  # a step that depends on a number of the image, which no graph can
        patch.setattr(model, "features", lambda images: images.mean((2, 3)) if images.sum() > 0 else images[0, 0, 0])
        with pytest.raises(ValueError, match="a.onnx: torch cannot express this model in ONNX: .*data-dependent"):
            export_onnx(model, tmp_path / "a.onnx")
    assert not list(tmp_path.iterdir()) and model.training
    with pytest.raises(ValueError, match="a.pt: a model is written as .onnx"):
        export_onnx(model, tmp_path / "a.pt")
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ModuleNotFoundError, match="pip install 'handlib\\[onnx\\]'"):
        export_onnx(model, tmp_path / "a.onnx")
