"""Triangles to rasterize, and what rasterize.py says about them in loops: every pixel against every face."""

import math

import torch

from handlib.renderer.rasterize import EMPTY

H, W = 18, 23
SHEET = torch.tensor([[-9.0, -9, 1], [99, -9, 1], [-9, 99, 1]])  # over the whole picture


def triangles(lead, generator, faces=12, dtype=torch.float64):
    """Random triangles that overlap, some of them partly outside the picture; depths of either sign."""
    n = 3 * faces
    xy = torch.rand(*lead, n, 2, generator=generator, dtype=dtype) * torch.tensor([W + 10.0, H + 10.0]) - 5
    z = torch.randn(*lead, n, 1, generator=generator, dtype=dtype)
    return torch.cat([xy, z], -1), torch.randperm(n, generator=generator).view(faces, 3)


def weights_naive(triangle, x, y):
    """Barycentric weights by areas, or None for a triangle without one."""
    (ax, ay, _), (bx, by, _), (cx, cy, _) = triangle
    area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
    if abs(area) < 1e-9:
        return None
    wa = ((bx - x) * (cy - y) - (by - y) * (cx - x)) / area
    wb = ((cx - x) * (ay - y) - (cy - y) * (ax - x)) / area
    return wa, wb, 1 - wa - wb


def inside_naive(triangle, x, y):
    """Strictly inside, or on a left or a top edge."""
    points = [point[:2] for point in triangle]
    (ax, ay), (bx, by), (cx, cy) = points
    if (bx - ax) * (cy - ay) - (by - ay) * (cx - ax) < 0:
        points.reverse()  # clockwise as the reader sees it, y being down
    for (px, py), (qx, qy) in zip(points, points[1:] + points[:1], strict=True):
        side = (qx - px) * (y - py) - (qy - py) * (x - px)
        left, top = qy < py, qy == py and qx > px
        if side < 0 or (side == 0 and not (left or top)):
            return False
    return True


def rasterize_naive(vertices, faces, height, width):
    """Every pixel against every face: (face, weights, depth), the first of the nearest."""
    points, numbers = vertices.tolist(), faces.tolist()
    rows = []
    for i in range(height):
        for j in range(width):
            best = (EMPTY, (0.0, 0.0, 0.0), math.inf)
            for f, corners in enumerate(numbers):
                weights = weights_naive([points[v] for v in corners], j + 0.5, i + 0.5)
                if weights is None or not inside_naive([points[v] for v in corners], j + 0.5, i + 0.5):
                    continue
                depth = sum(w * points[v][2] for w, v in zip(weights, corners, strict=True))
                if depth < best[2]:
                    best = (f, weights, depth)
            rows.append(best)
    face, weights, depth = zip(*rows, strict=True)
    shape = height, width
    return (
        torch.tensor(face).view(shape),
        torch.tensor(weights, dtype=torch.float64).view(*shape, 3),
        torch.tensor(depth, dtype=torch.float64).view(shape),
    )
