"""Reads the published weights that the paper's networks start from: ImageNet's for F, Zimmermann & Brox's for J2D.

Neither ships with handlib. F's weights are downloaded and kept in torch's cache. J2D's weights are in a pickle of
TensorFlow variables that the user downloads from https://github.com/lmb-freiburg/hand3d; it is read without being run
(support/pickles.py).
"""

import os
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..hand.joints import C21, RHD21
from ..support.files import check_file, sha256
from ..support.pickles import ARRAYS, BYTES, array_of, read_pickle
from .pose_machine import HEADS, JOINTS, READERS, layers
from .resnet import ResNet50

IMAGENET = "https://download.pytorch.org/models/resnet50-0676ba61.pth"  # the name ends in the start of its SHA-256
MAX_BYTES = 1 << 29  # J2D's arrays have 70 MB; the published pickle holds more networks
MAX_STEPS = 100_000  # opcodes of a pickle; this one has some thousands
_FILE, _PAGE = "posenet3d-rhd-stb-slr-finetuned.pickle", "https://github.com/lmb-freiburg/hand3d"
_KIND = "file of ColorHandPose3D's weights"


# ---- F


def load_imagenet(network: ResNet50) -> bool:
    """Loads torchvision's ImageNet weights into F, downloading them once. Returns whether it did.

    Without a network it warns and leaves F as it is. Raises `ValueError` for a file that is not the published one.
    """
    cached = Path(torch.hub.get_dir()) / "checkpoints" / IMAGENET.rsplit("/", 1)[-1]
    try:
        weights = torch.hub.load_state_dict_from_url(
            IMAGENET, map_location="cpu", check_hash=True, weights_only=True, progress=False
        )
    except OSError as error:  # urllib's errors are among them
        warnings.warn(
            f"F starts from random weights: {IMAGENET} cannot be downloaded ({error}). Put the file at {cached}, or "
            "set pretrained=False",
            stacklevel=2,
        )
        return False
    except Exception as error:  # a wrong hash, or any error that torch raises for a damaged file
        reason = " ".join(str(error).split())[:100]
        raise ValueError(f"{cached}: not the published file ({reason}); delete it and run again") from error
    _check_hash(cached)
    own = network.state_dict()
    weights = {name: value for name, value in weights.items() if not name.startswith("fc.")}  # the classifier
    counters = {name: value for name, value in own.items() if name.endswith("num_batches_tracked")}
    try:
        network.load_state_dict(counters | weights)
    except (RuntimeError, TypeError) as error:
        raise ValueError(f"{cached}: not ResNet-50's weights; delete it and run again") from error
    return True


def _check_hash(cached: Path) -> None:
    """Raises `ValueError` for a damaged file in torch's cache; torch itself checks only what it downloads."""
    expected = cached.stem.rsplit("-", 1)[-1]
    if not cached.is_file():
        return
    actual = sha256(cached)
    if not actual.startswith(expected):
        raise ValueError(f"{cached}: not the published file (its SHA-256 is {actual[:8]}…); delete it and run again")


# ---- J2D


def read_posenet(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Reads the state of a `PoseMachine` from ColorHandPose3D's posenet3d-rhd-stb-slr-finetuned.pickle.

    The file is a dict of arrays, `PoseNet2D/conv1_1/weights` (height, width, inputs, outputs), `…/biases` and so on;
    arrays of other networks are ignored. Its joints are in RHD's order, ours in C21's, so the channels that stand for
    joints are reordered, both as outputs and as inputs of a layer. Its joint 0 lies half-way between wrist and middle
    MCP; training moves it to the wrist.

    Raises `FileNotFoundError`, and `ValueError` with the name of every array that is missing or wrong.
    """
    path = Path(path).expanduser()
    missing = f"no weights at {path}: follow the link to the weights at {_PAGE}; {_FILE} is among them"
    check_file(path, MAX_BYTES, missing)
    shapes = {}
    for layer, (inputs, outputs, kernel) in layers().items():
        shapes[f"PoseNet2D/{layer}/weights"] = (kernel, kernel, inputs, outputs)
        shapes[f"PoseNet2D/{layer}/biases"] = (outputs,)
    try:
        stubs = _unpickled(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    arrays, faults = {}, []
    for name, shape in shapes.items():
        try:
            arrays[name] = _checked(stubs, name, shape)
        except ValueError as error:
            faults.append(f"'{name}' {error}")
    if faults:
        raise ValueError(f"{path}: {'; '.join(faults)}: is it {_FILE} of {_PAGE}?")
    return _state(arrays)


def _unpickled(data: bytes) -> dict:
    if data.lstrip()[:1] == b"<":
        raise ValueError(f"a web page, not a {_KIND}: follow the link to the weights at {_PAGE}")
    if data.startswith(b"PK"):
        raise ValueError(f"a zip archive, not a pickle: unpack it, {_FILE} is inside")
    return read_pickle(data, ARRAYS | BYTES, MAX_STEPS, _KIND, _PAGE)


def _checked(stubs: dict, name: str, shape: tuple[int, ...]) -> np.ndarray:
    if name not in stubs:
        raise ValueError("is missing")
    try:
        array = array_of(stubs[name])
    except RecursionError:
        raise ValueError("contains itself") from None
    if array.shape != shape:
        raise ValueError(f"has shape {array.shape}, expected {shape}")
    if array.dtype.kind != "f" or not (np.abs(array) <= np.finfo(np.float32).max).all():  # false for NaN
        raise ValueError("must hold finite numbers")
    return array


def _state(arrays: dict[str, np.ndarray]) -> dict[str, Tensor]:
    order = torch.tensor([RHD21.index(joint) for joint in C21.joints])
    state = {}
    for layer in layers():
        weight, bias = (torch.from_numpy(arrays[f"PoseNet2D/{layer}/{part}"]).float() for part in ("weights", "biases"))
        weight = weight.permute(3, 2, 0, 1)
        if layer in HEADS:
            weight, bias = weight[order], bias[order]
        if layer in READERS:
            weight = torch.cat([weight[:, order], weight[:, JOINTS:]], 1)
        state[f"layers.{layer}.weight"], state[f"layers.{layer}.bias"] = weight.contiguous(), bias
    return state
