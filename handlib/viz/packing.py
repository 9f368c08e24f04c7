"""Numbers and pictures as text, for the scripts of a page: static/dom.js unpacks numbers."""

import base64
import io

import numpy as np
from PIL import Image
from torch import Tensor

from ..hand import HandModel
from ..hand.files import PARENTS, V
from ..hand.mesh import boundary_loop


def packed(values: Tensor | np.ndarray) -> list[str]:
    """Encodes a typed array for JavaScript: its type and its little-endian bytes in base64."""
    array = values.detach().cpu().numpy() if isinstance(values, Tensor) else values
    array = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    return [array.dtype.str[1:], base64.b64encode(array.tobytes()).decode()]


def encoded(picture: Image.Image, kind: str, quality: int) -> str:
    """Encodes a picture in base64. kind: one of Pillow's formats, such as "jpeg"."""
    buffer = io.BytesIO()
    picture.save(buffer, kind, quality=quality)
    return base64.b64encode(buffer.getvalue()).decode()


def vertex_colors(hand: HandModel) -> Tensor:
    """Bytes (778, 3), RGB."""
    return (255 * hand.vertex_colors).round().byte()


def hand_arrays(hand: HandModel) -> dict[str, np.ndarray | float]:
    """What `Hand` (live/hand.js) needs: blend shapes as int16; correctives, weights and Reg without zeros."""
    blend = hand.blend_shapes.unflatten(1, (3, V)).transpose(1, 2).cpu().numpy()  # vertex by vertex
    shapes, shape_scale = _quantized(blend[:10])
    correctives, corrective_scale = _quantized(blend[10:])
    blocks = correctives.reshape(15, 9, V, 3).transpose(0, 2, 3, 1)  # joint, vertex: 3 × 9 entries
    near = blocks.any((2, 3))
    weights, regressor = hand.weights.cpu().numpy(), hand.joint_regressor.cpu().numpy()
    return {
        "parents": np.array(PARENTS, np.int16),
        "template": hand.template.cpu().numpy(),
        "faces": hand.faces.cpu().numpy().astype(np.uint16),
        "boundary": np.asarray(boundary_loop(hand.faces)).astype(np.uint16),
        "shapeScale": shape_scale,
        "shapes": shapes,
        "correctiveScale": corrective_scale,
        "correctives": blocks[near],
        "correctiveCounts": near.sum(1).astype(np.uint16),
        "correctiveVertices": near.nonzero()[1].astype(np.uint16),
        "jointTemplate": hand.joint_template.cpu().numpy(),
        "jointShapes": hand.joint_shapes.cpu().numpy(),
        "weights": weights[weights != 0],
        "weightCounts": (weights != 0).sum(1).astype(np.uint8),
        "weightBones": weights.nonzero()[1].astype(np.uint8),
        "regressor": regressor[regressor != 0],
        "regressorCounts": (regressor != 0).sum(1).astype(np.uint16),
        "regressorVertices": regressor.nonzero()[1].astype(np.uint16),
    }


def _quantized(values: np.ndarray) -> tuple[np.ndarray, float]:
    """Rounds to int16 and returns the unit; the error is 0.1 µm for the open hand's largest corrective."""
    scale = float(np.abs(values).max()) / 32767 or 1.0
    return np.round(values / scale).astype(np.int16), scale
