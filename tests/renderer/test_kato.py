import math

import pytest
import torch

from handlib import Renderer
from handlib.renderer.kato import NEAR, kato_push
from handlib.renderer.rasterize import rasterize

H, W = 9, 12


def push_naive(image, pull, vertices, faces, face):
    """The rule of kato.py in loops, along x and, with everything turned, along y."""
    push = torch.zeros_like(vertices)
    for axis in (0, 1):
        colors, wish, owner = (t if axis == 0 else t.transpose(0, 1) for t in (image, pull, face))
        height, width = owner.shape

        def gain(row, place, other, colors=colors, wish=wish):
            return max(float(((colors[row, place] - colors[row, other]) * wish[row, place]).sum()), 0.0)

        for n, corners in enumerate(faces.tolist()):
            for k in range(3):
                i, j, third = corners[k], corners[(k + 1) % 3], corners[(k + 2) % 3]
                (px, py), (qx, qy), (tx, ty) = (vertices[v, [axis, 1 - axis]].tolist() for v in (i, j, third))
                for row in range(height):
                    if py == qy or not min(py, qy) <= row + 0.5 <= max(py, qy):
                        continue
                    share = (row + 0.5 - py) / (qy - py)
                    crossing = px + share * (qx - px)
                    out = 1 if tx < px + (ty - py) / (qy - py) * (qx - px) else -1
                    inner = math.floor(crossing - 0.5) if out > 0 else math.ceil(crossing - 0.5)
                    outer = inner + out
                    if not (0 <= inner < width and 0 <= outer < width):
                        continue
                    for place in range(width):
                        won = 0.0
                        if owner[row, inner] == n and (place - outer) * out >= 0:
                            won += gain(row, place, inner)
                        if owner[row, place] == n:
                            won += gain(row, place, outer)
                        distance = place + 0.5 - crossing
                        distance += -NEAR if distance < 0 else NEAR
                        push[i, axis] -= (1 - share) * won / distance
                        push[j, axis] -= share * won / distance
    return push


def test_equals_the_loops(generator):
    vertices = torch.rand(2, 15, 3, generator=generator, dtype=torch.float64) * torch.tensor([W + 4.0, H + 4.0, 1]) - 2
    faces = torch.randperm(15, generator=generator).view(1, 5, 3)
    face = rasterize(vertices, faces, H, W)
    image, pull = torch.randn(2, 2, H, W, 3, generator=generator, dtype=torch.float64)
    found = kato_push(image, pull, vertices, faces, face)
    for i in range(2):
        slow = push_naive(image[i], pull[i], vertices[i], faces[0], face[i])
        assert slow.abs().max() > 0.1
        torch.testing.assert_close(found[i], slow)


@pytest.mark.parametrize("gradient, arrives", [("kato", True), ("antialias", False), ("soft", False)])
def test_only_kato_reaches_a_disjoint_target(gradient, arrives):
    """A disc beside its target: the others see the same error whichever way they go."""
    angle = torch.arange(24) * (2 * math.pi / 24)
    rim = torch.stack([16.3 + 8 * angle.cos(), 24.6 + 8 * angle.sin()], 1)
    disc = torch.cat([torch.cat([torch.tensor([[16.3, 24.6]]), rim]), torch.ones(25, 1)], 1)
    following = torch.arange(24).roll(-1) + 1
    faces = torch.stack([torch.zeros(24, dtype=torch.int64), torch.arange(24) + 1, following], 1)
    target = Renderer(64).silhouette(disc + torch.tensor([25.2, 6.4, 0]), faces)
    shift = torch.zeros(2, requires_grad=True)
    optimizer = torch.optim.Adam([shift], 0.5)
    renderer = Renderer(64, gradient=gradient)
    for _ in range(150):
        optimizer.zero_grad()
        moved = torch.cat([disc[:, :2] + shift, disc[:, 2:]], 1)
        (renderer.silhouette(moved, faces) - target).square().mean().backward()
        optimizer.step()
    seen = Renderer(64).silhouette(moved.detach(), faces)
    overlap = float((seen * target).sum() / (seen + target).clamp(max=1).sum())
    assert (overlap > 0.8) == arrives
