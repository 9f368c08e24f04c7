"""One file for the live page: all that `predict` knows, for viz/static/live/engine.js to do the same in a browser.

Weights go in the precision in which they ship. What the networks do is written down as a program, step by step, read
off the torch modules; constants are those of the modules that use them. So a number or a layer that changes here
changes there. The file is a gzipped safetensors file: programs and constants are JSON in its metadata.
"""

import gzip
import json
from dataclasses import asdict
from importlib import import_module
from importlib.resources import files
from types import ModuleType
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor, nn

from .. import parameters
from ..dhpe import DHPE
from ..fitting import lift, posterior
from ..hand import HandModel, anatomy
from ..hand.joints import C21
from ..hand.landmark_sets import landmark_set
from ..networks import landmarks, palms, photo_trunk, published, turned_crop
from ..networks.landmarks import LandmarkNetwork
from ..networks.palms import BlazeBlock, PalmNetwork, Upsample
from ..networks.same_padding import SameConv2d
from ..viz.packing import hand_arrays, vertex_colors
from . import confidence, find, predict, track

FIT = import_module("handlib.fitting.fit")  # in its package, the name is the function's
CONSTANTS = (parameters, FIT, lift, posterior, anatomy, landmarks, palms, photo_trunk, turned_crop)
CONSTANTS += (confidence, find, predict, track)
KERNELS = ("relaxed", "simd")  # WebAssembly modules; a browser takes the first that it can run


def live_file() -> bytes:
    """The file that the page loads, gzipped: 7 MB. The same bytes each time."""
    tensors, metadata = live_pack()
    return gzip.compress(save(tensors, {"live": json.dumps(metadata)}), mtime=0)


def live_pack() -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors by name, and what describes them."""
    model = DHPE.from_pretrained("photo")
    lifter = lift.Lifter(model.hand)
    palm, landmark = palm_program(published.palm_network()), landmark_program(model.feature_extractor.network)
    kernels = {name: (files("handlib.viz") / f"static/live/{name}.wasm").read_bytes() for name in KERNELS}
    hand, hand_numbers = _hand(model.hand)
    tensors = {
        **palm.weights,
        **landmark.weights,
        **{f"e3d.{name}": _half(value) for name, value in model.regressor.state_dict().items()},
        "e3d.mean": model.feature_extractor.mean,
        "e3d.directions": _half(model.feature_extractor.directions),
        **_lifter(lifter),
        **hand,
        **{name: torch.frombuffer(bytearray(module), dtype=torch.uint8) for name, module in kernels.items()},
    }
    metadata = {
        "networks": {
            "palms": {"size": PalmNetwork.SIZE, "anchors": PalmNetwork.ANCHORS, "steps": palm.steps},
            "landmarks": {"size": LandmarkNetwork.SIZE, "steps": landmark.steps},
        },
        "e3d": {"iterations": model.config.iterations},
        "hand": hand_numbers | {"jointNames": C21.joints},
        "constants": {module.__name__.rsplit(".", 1)[-1]: constants(module) for module in CONSTANTS},
    }
    return {name: value.contiguous() for name, value in tensors.items()}, metadata


# ---- the networks


class Program:
    """Steps on maps that are numbered as they are made; the picture is 0.

    A convolution's activation comes after what is added; `before` and `after` are its rows of padding.
    """

    def __init__(self, name: str, network: nn.Module):
        self.names = {module: f"{name}.{path}" for path, module in network.named_modules()}
        self.steps: list[dict[str, Any]] = []
        self.weights: dict[str, Tensor] = {}

    def conv(self, layer: SameConv2d, x: int, activation: str | nn.PReLU = "linear", add: int | None = None) -> int:
        name = self.names[layer]
        step: dict[str, Any] = {"activation": activation, "weight": self._keep(f"{name}.weight", layer.weight)}
        step["bias"] = None if layer.bias is None else self._keep(f"{name}.bias", layer.bias)
        if isinstance(activation, nn.PReLU):
            slopes = self._keep(f"{self.names[activation]}.weight", activation.weight)
            step |= {"activation": "prelu", "slopes": slopes}
        before, after = (layer.uneven or layer.padding)[:2]
        kind = "depthwise" if layer.groups > 1 else "conv"
        return self.step(kind, x, layer.out_channels, **step, kernel=layer.kernel_size[0], stride=layer.stride[0],
                         before=before, after=after, add=add)  # fmt: skip

    def step(self, kind: str, x: int, channels: int, **how: Any) -> int:
        self.steps.append({"kind": kind, "input": x, "channels": channels, **how})
        return len(self.steps)

    def _keep(self, name: str, weight: Tensor) -> str:
        self.weights[name] = _half(weight.detach())
        return name


def landmark_program(network: LandmarkNetwork) -> Program:
    """Picture to the map whose mean is F, and the linear heads."""
    program = Program("landmarks", network)
    x = program.conv(network.stem, 0, "relu6")
    for block in network.blocks:
        y = x if block.widen is None else program.conv(block.widen, x, "relu6")
        y = program.conv(block.filter, y, "relu6")
        x = y if block.narrow is None else program.conv(block.narrow, y, add=x if block.residual else None)
    for head in ("handedness", "presence", "points", "points_3d"):
        for kind, value in getattr(network, head).named_parameters():
            program._keep(f"landmarks.{head}.{kind}", value)
    return program


def palm_program(network: PalmNetwork) -> Program:
    """Picture to scores and boxes of the fine and of the coarse anchors: the last four maps."""
    program = Program("palms", network)

    def block(layer: BlazeBlock, x: int) -> int:
        y = program.conv(layer.filter, x)
        if layer.stride == 2:
            x = program.step("pool", x, layer.mix.out_channels)
        return program.conv(layer.mix, y, layer.activation, add=x)

    def upsample(layer: Upsample, coarse: int, fine: int) -> int:
        x = program.step("upsample", coarse, layer.mix.in_channels)
        x = program.conv(layer.mix, x, layer.activation)
        x = program.step("add", x, layer.mix.out_channels, add=fine)
        for inner in layer.blocks:
            x = block(inner, x)
        return x

    x, levels = program.conv(network.stem, 0, network.activation), []
    for level in network.levels:
        for layer in level:
            x = block(layer, x)
        levels.append(x)
    level16 = upsample(network.up16, levels[4], levels[3])
    level8 = upsample(network.up8, level16, levels[2])
    for score, box, x in ((network.score8, network.box8, level8), (network.score16, network.box16, level16)):
        program.conv(score, x)
        program.conv(box, x)
    return program


# ---- the hand


def _hand(hand: HandModel) -> tuple[dict[str, Tensor], dict[str, float]]:
    arrays = hand_arrays(hand) | {"colors": vertex_colors(hand).numpy()}
    numbers = {name: value for name, value in arrays.items() if isinstance(value, float)}
    tensors = {f"hand.{name}": torch.from_numpy(value) for name, value in arrays.items() if name not in numbers}
    return tensors, numbers


def _lifter(lifter: lift.Lifter) -> dict[str, Tensor]:
    """The skeleton of both landmark sets, the prior, limits, and the poses that a fit may start from."""
    skeleton, prior = lifter.anatomy.skeleton, lifter.anatomy.prior
    tensors = {
        "rest": skeleton.rest,
        "joints": skeleton.joints,
        "correctives": skeleton.correctives,
        "share": skeleton.share.flatten(),
        "point": skeleton.joint.to(torch.uint8),
        "bone": skeleton.bone.to(torch.uint8),
        "priorMean": prior.mean,
        "priorBasis": prior.basis,
        "axes": lifter.anatomy.axes,
        "limits": lifter.anatomy.limits,
        "weight": lifter.weight,
        "samples": prior.pose(lifter.samples.z),
    }
    for name in ("image", "space"):
        regressor = landmark_set(name).regressor
        row, column = regressor.nonzero(as_tuple=True)
        tensors |= {f"{name}.row": row.to(torch.uint8), f"{name}.vertex": column.to(torch.uint16)}
        tensors[f"{name}.share"] = regressor[row, column]
    return {f"fit.{name}": value.float() if value.is_floating_point() else value for name, value in tensors.items()}


# ---- numbers


def constants(module: ModuleType) -> dict[str, Any]:
    """The constants of a module that JSON can hold, by their names without underscores."""
    found = {}
    for name, value in vars(module).items():
        value = asdict(value) if isinstance(value, posterior.Noise) else value
        if name.strip("_").isupper() and _is_plain(value):
            found[name.strip("_")] = value
    return found


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(name, str) and _is_plain(part) for name, part in value.items())
    if isinstance(value, tuple | list):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, bool | int | float | str)


def _half(value: Tensor) -> Tensor:
    """In half precision if that loses nothing, as for all that ships so."""
    half = value.half()
    return half if torch.equal(half.float(), value.float()) else value
