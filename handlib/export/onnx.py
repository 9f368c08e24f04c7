"""A model as ONNX, for programs without torch.

The graph is Eq. 1: images to the hand and its mesh, with the hand model inside and a batch of any size. Not in it: the
search for hands in a photograph, refinement, the renderer.
"""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from ..dhpe import DHPE
from ..support.files import atomic_path

TOLERANCE = 1e-3  # between ONNX Runtime and torch, over an output's largest number
CHECKED = (1, 3)  # sizes of the batches in which the two are compared


class _Named(nn.Module):
    """A model whose answer is a dict of tensors, as the exporter wants it."""

    def __init__(self, model: DHPE):
        super().__init__()
        self.model = model

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> dict[str, Tensor]:
        return {name: value for name, value in vars(self.model(images)).items() if isinstance(value, Tensor)}


@torch.no_grad()
def export_onnx(model: DHPE, path: str | os.PathLike[str]) -> dict[str, float]:
    """Writes a model as .onnx and compares it with torch in ONNX Runtime; the file appears when they agree.

    Its input is `images`, (batch, 3, size, size) in [0, 1] with the size of the model's config; its outputs are the
    tensors of `DHPEOutput` under their names. Returns for each output the largest difference, in the output's unit.
    `ValueError` where the exporter cannot express the model, or the two differ by more than `TOLERANCE`.
    """
    path = Path(path)
    if path.suffix.lower() != ".onnx":
        raise ValueError(f"{path}: a model is written as .onnx; change the name's ending")
    try:
        import onnxruntime
        import onnxscript  # noqa: F401  torch's exporter needs it
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"{error.name} writes ONNX: pip install 'handlib[onnx]'") from error
    if (device := model.laplacian.device).type != "cpu":
        raise ValueError(f"the model is on {device}, but is exported from the CPU: give model.cpu()")
    was_training = model.training
    named = _Named(model).eval()
    try:
        with _quiet(), atomic_path(path) as temporary:
            _program(named, path).save(temporary)
            session = onnxruntime.InferenceSession(str(temporary), providers=["CPUExecutionProvider"])
            return _compared(named, session, path)
    finally:
        model.train(was_training)


def _program(named: _Named, path: Path) -> torch.onnx.ONNXProgram:
    images = _images(named.model, 2)
    shapes = {"images": {0: torch.export.Dim("batch")}}
    try:
        graph = torch.export.export(named, (images,), dynamic_shapes=shapes, strict=False)
        names = {"input_names": ["images"], "output_names": list(named(images))}
        return torch.onnx.export(graph, (images,), dynamo=True, verbose=False, **names)
    except Exception as error:  # there is no one kind that torch's exporters raise
        reason = " ".join(str(error.__cause__ or error).split())[:300]
        raise ValueError(f"{path}: torch cannot express this model in ONNX: {reason}") from error


def _compared(named: _Named, session, path: Path) -> dict[str, float]:
    """The largest difference of each output; `ValueError` where one is no rounding."""
    differences: dict[str, float] = {}
    for size in CHECKED:
        images = _images(named.model, size)
        wanted = named(images)
        found = session.run(list(wanted), {"images": images.numpy()})
        for (name, value), other in zip(wanted.items(), found, strict=True):
            off = float((value - torch.from_numpy(other)).abs().max())
            if not off <= TOLERANCE * float(value.abs().max()):
                raise ValueError(f"{path}: not written: its {name} differs from torch's by {off:.3g}")
            differences[name] = max(off, differences.get(name, 0.0))
    return differences


def _images(model: DHPE, n: int) -> Float[Tensor, "n 3 s s"]:
    """Soft colored patches, the same for the same n."""
    patches = torch.rand(n, 3, 8, 8, generator=torch.Generator().manual_seed(n))
    return functional.interpolate(patches, size=(model.config.size,) * 2, mode="bilinear")


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's reports on itself."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
