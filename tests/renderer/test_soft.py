import math
from pathlib import Path

import numpy as np
import pytest
import torch

from handlib import Renderer
from handlib.renderer.soft import CUT, soft_silhouette

H, W, SIGMA = 9, 12, 3e-3


def distance_squared(p, a, b):
    ab = (b[0] - a[0], b[1] - a[1])
    t = ((p[0] - a[0]) * ab[0] + (p[1] - a[1]) * ab[1]) / (ab[0] ** 2 + ab[1] ** 2)
    t = min(max(t, 0), 1)
    return (a[0] + t * ab[0] - p[0]) ** 2 + (a[1] + t * ab[1] - p[1]) ** 2


def soft_naive(vertices, faces):
    """1 − Π (1 − p) pixel by pixel, as the formula stands."""
    image = torch.zeros(H, W, dtype=torch.float64)
    unit = min(H, W) / 2
    for i in range(H):
        for j in range(W):
            clear = 1.0
            for corners in faces.tolist():
                a, b, c = (vertices[v, :2].tolist() for v in corners)
                p = (j + 0.5, i + 0.5)
                squared = min(distance_squared(p, *ends) for ends in ((a, b), (b, c), (c, a))) / unit**2
                sides = [
                    (s[0] - p[0]) * (e[1] - p[1]) - (s[1] - p[1]) * (e[0] - p[0]) for s, e in ((a, b), (b, c), (c, a))
                ]
                x = squared / SIGMA if min(sides) > 0 or max(sides) < 0 else -squared / SIGMA
                if x > -CUT:
                    clear *= 1 - 1 / (1 + math.exp(-x)) if x < 700 else 0
            image[i, j] = 1 - clear
    return image


@pytest.fixture
def scene(generator):
    vertices = torch.rand(2, 15, 3, generator=generator, dtype=torch.float64) * torch.tensor([W + 4.0, H + 4.0, 1]) - 2
    return vertices, torch.randperm(15, generator=generator).view(1, 5, 3)


def test_equals_the_formula(scene):
    vertices, faces = scene
    found = soft_silhouette(vertices, faces, H, W, SIGMA)
    for i in range(2):
        wanted = soft_naive(vertices[i], faces[0])
        assert 0.1 < wanted.mean() < 0.9
        torch.testing.assert_close(found[i], wanted, atol=1e-9, rtol=0)


def test_gradient(scene):
    """Every face reaches every pixel when the blur is large, so nothing is cut off and gradcheck applies."""
    vertices, faces = scene
    vertices = (vertices * 0.4 + 1).requires_grad_()
    assert torch.autograd.gradcheck(lambda v: soft_silhouette(v, faces, 5, 6, 2.0), vertices)


def test_degenerate_faces_count_for_nothing(scene):
    vertices, faces = scene
    flat = torch.cat([faces, torch.tensor([[[0, 0, 1], [2, 2, 2]]])], 1)
    moved = vertices.clone().requires_grad_()
    for backend in ("reference", "fast"):
        renderer = Renderer((H, W), backend, "soft", sigma=SIGMA)
        assert torch.equal(renderer.silhouette(vertices, flat[0]), renderer.silhouette(vertices, faces[0]))
        assert torch.isfinite(torch.autograd.grad(renderer.silhouette(moved, flat[0]).sum(), moved)[0]).all()


def test_colors_are_refused(scene):
    vertices, faces = scene
    with pytest.raises(ValueError, match="the soft gradient is for silhouettes"):
        Renderer((H, W), gradient="soft").rgb(vertices.requires_grad_(), faces[0], torch.rand(15, 3).double())


@pytest.mark.parametrize("backend", ["reference", "auto", "pytorch3d"])
def test_equals_what_pytorch3d_made(backend):
    """Image and gradient of a hand, recorded by tools/record_pytorch3d.py from 50 faces a pixel."""
    if backend == "pytorch3d":
        pytest.importorskip("pytorch3d", reason="an optional peer, built from source: its INSTALL.md says how")
    with np.load(Path(__file__).parent / "pytorch3d_soft.npz") as file:
        recorded = {name: torch.from_numpy(file[name]) for name in file.files if name != "version"}
    vertices = recorded["vertices"].requires_grad_()
    renderer = Renderer(64, backend, gradient="soft", sigma=float(recorded["sigma"]))
    image = renderer.silhouette(vertices, recorded["faces"].long())
    assert float((image - recorded["image"]).abs().mean()) < 1e-6
    assert float((image - recorded["image"]).abs().max()) < 1e-4
    (gradient,) = torch.autograd.grad((image * recorded["pull"]).sum(), vertices)
    assert float((gradient - recorded["gradient"]).norm()) < 1e-3 * float(recorded["gradient"].norm())


def test_a_second_derivative_of_compiled_loops_is_refused():
    vertices = torch.tensor([[2.0, 2.0, 1.0], [9.0, 3.0, 1.0], [4.0, 7.0, 1.0]], requires_grad=True)
    image = Renderer((H, W), "fast", "soft", sigma=SIGMA).silhouette(vertices, torch.tensor([[0, 1, 2]]))
    (slope,) = torch.autograd.grad(image.square().sum(), vertices, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        slope.square().sum().backward()
