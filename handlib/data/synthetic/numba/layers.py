"""data/synthetic/layers.py as loops that numba compiles for the CPU."""

import numpy as np
import torch
from torch import Tensor

from ....support.jit import each, jit
from ...sample import OTHER


def resolve(face: Tensor, vertices: Tensor, faces: Tensor, colors: Tensor, part: Tensor) -> tuple[Tensor, ...]:
    """Computes `layers.resolve`, in the order of `Layers`; a pixel has two by two samples."""
    b, h, w = len(face), face.shape[1] // 2, face.shape[2] // 2
    color = torch.zeros(b, 3, h, w)
    cover, depth = torch.zeros(b, h, w), torch.zeros(b, h, w)
    mask, label = torch.zeros(b, h, w, dtype=torch.bool), torch.zeros(b, h, w, dtype=torch.uint8)
    each(_resolve, b, face, vertices, faces[None], colors, part[None], color, cover, mask, label, depth)
    return color, cover, mask, label, depth


@jit
def _resolve(face, vertices, faces, colors, part, color, cover, mask, label, depth):
    height, width = cover.shape
    z, number = np.empty(4, np.float32), np.empty(4, np.int64)
    for row in range(height):
        for column in range(width):
            seen = hands = 0
            red = green = blue = np.float32(0)
            for s in range(4):
                y, x = 2 * row + s // 2, 2 * column + s % 2
                n = face[y, x]
                number[s] = n
                if n < 0:
                    continue
                seen += 1
                hands += part[n] > OTHER
                i, j, k = faces[n]
                px, py = np.float32(x + 0.5), np.float32(y + 0.5)
                x0, y0 = vertices[i, 0] - px, vertices[i, 1] - py
                x1, y1 = vertices[j, 0] - px, vertices[j, 1] - py
                x2, y2 = vertices[k, 0] - px, vertices[k, 1] - py
                a, b, c = x1 * y2 - x2 * y1, x2 * y0 - x0 * y2, x0 * y1 - x1 * y0
                unit = np.float32(1) / (a + b + c)
                a, b, c = a * unit, b * unit, c * unit
                z[s] = np.float32(1) / (a / vertices[i, 2] + b / vertices[j, 2] + c / vertices[k, 2])
                red += a * colors[i, 0] + b * colors[j, 0] + c * colors[k, 0]
                green += a * colors[i, 1] + b * colors[j, 1] + c * colors[k, 1]
                blue += a * colors[i, 2] + b * colors[j, 2] + c * colors[k, 2]
            if seen == 0:
                continue
            quarter = np.float32(0.25)
            color[0, row, column], color[1, row, column], color[2, row, column] = (
                red * quarter,
                green * quarter,
                blue * quarter,
            )
            cover[row, column] = seen * quarter
            mask[row, column] = hands >= 2
            nearest = np.float32(np.inf)
            for s in range(4):
                n = number[s]
                if n >= 0 and (part[n] > OTHER) == (hands >= 2) and z[s] < nearest:
                    nearest = z[s]
                    depth[row, column], label[row, column] = z[s], part[n]
