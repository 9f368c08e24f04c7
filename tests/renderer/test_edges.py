"""The gradient at outlines: the rule in loops, and exact coverage of a finer picture."""

import math

import pytest
import torch
from triangles import H, W, triangles, weights_naive

from handlib import Renderer
from handlib.parameters import MeshParameters, posed_hand
from handlib.renderer.edges import VisibilityGradient, edge_push
from handlib.renderer.rasterize import rasterize


def plane_naive(vertices, corners, x, y):
    weights = weights_naive([vertices[v].tolist() for v in corners], x, y)
    return sum(w * float(vertices[v, 2]) for w, v in zip(weights, corners, strict=True))


def winding(vertices, corners):
    (ax, ay), (bx, by), (cx, cy) = vertices[corners, :2].tolist()
    return math.copysign(1, (bx - ax) * (cy - ay) - (by - ay) * (cx - ax))


def edge_gradient_naive(image, pull, vertices, faces, face):
    """The rule of edges.py, pair of pixels by pair of pixels, of one picture."""
    push = torch.zeros_like(vertices)
    height, width = face.shape
    for i in range(height):
        for j in range(width):
            for axis, (k, m) in ((0, (i, j + 1)), (1, (i + 1, j))):
                if k == height or m == width or face[i, j] == face[k, m]:
                    continue
                step = sum((image[i, j] - image[k, m]) * (pull[i, j] + pull[k, m])).item() / 2
                sides = [(face[p].item(), p) for p in ((i, j), (k, m)) if face[p] >= 0]
                if len(sides) == 1:
                    near = sides[0][0]
                else:
                    f, g = faces[sides[0][0]].tolist(), faces[sides[1][0]].tolist()
                    gaps = [
                        plane_naive(vertices, f, column + 0.5, row + 0.5)
                        - plane_naive(vertices, g, column + 0.5, row + 0.5)
                        for _, (row, column) in sides
                    ]
                    if gaps[0] * gaps[1] <= 0 or (set(f) & set(g) and winding(vertices, f) == winding(vertices, g)):
                        continue  # the surface goes on
                    near = sides[0][0] if gaps[0] < 0 else sides[1][0]
                corners = faces[near].tolist()
                middle = (j + m + 1) / 2, (i + k + 1) / 2
                for v, weight in zip(
                    corners, weights_naive([vertices[v].tolist() for v in corners], *middle), strict=True
                ):
                    push[v, axis] += step * weight
    return push


def wavy_sheet(generator, n=7):
    """A bumpy sheet of small faces with common corners, and a triangle that floats before it."""
    grid = torch.stack(torch.meshgrid(torch.arange(float(n)), torch.arange(float(n)), indexing="ij"), -1).view(-1, 2)
    grid = grid * 3.3 + 1.2 * torch.rand(n * n, 2, generator=generator)
    sheet = torch.cat([grid, 5 + 2 * torch.rand(n * n, 1, generator=generator)], 1)
    corner = torch.arange(n * n).view(n, n)
    a, b, c, d = (t.reshape(-1) for t in (corner[:-1, :-1], corner[1:, :-1], corner[:-1, 1:], corner[1:, 1:]))
    faces = torch.cat([torch.stack([a, b, c], 1), torch.stack([b, d, c], 1), torch.tensor([[0, 1, 2]]) + n * n])
    front = torch.tensor([[4.2, 3.1, 1.0], [17.3, 8.2, 4.0], [6.1, 15.4, 2.0]])
    return torch.cat([sheet, front]).double(), faces


@pytest.mark.parametrize("scene", ["random triangles", "a sheet and a triangle before it"])
def test_edge_gradient_equals_the_loops(scene, generator):
    if scene == "random triangles":
        vertices, faces = triangles((2,), generator)
    else:
        vertices, faces = wavy_sheet(generator)
        vertices = torch.stack([vertices, vertices + 0.37])
    face = rasterize(vertices, faces[None], H, W)
    image, pull = torch.randn(2, 2, H, W, 3, generator=generator, dtype=torch.float64)
    moved = vertices.clone().requires_grad_()
    out = VisibilityGradient.apply(image, moved, faces[None], face, edge_push)
    assert torch.equal(out, image)
    (out * pull).sum().backward()
    for i in range(2):
        slow = edge_gradient_naive(image[i], pull[i], vertices[i], faces, face[i])
        assert slow.abs().max() > 1
        torch.testing.assert_close(moved.grad[i], slow)


def test_a_surface_that_goes_on_has_no_outline():
    """Two faces of a roof: the ridge between them is no outline, however the colors differ."""
    roof = torch.tensor([[-9.0, -9, 5], [40, -9, 5], [-9, 11, 2], [40, 11, 2], [-9, 40, 6], [40, 40, 6]]).double()
    faces = torch.tensor([[0, 1, 2], [1, 3, 2], [2, 3, 4], [3, 5, 4]])
    roof.requires_grad_()
    colors = torch.tensor([[0.0], [0], [0], [0], [1], [1]]).expand(6, 3).double()
    pull = torch.zeros(3, 24, 24).double()
    pull[:, 9:13] = 1  # along the ridge
    image = Renderer(24).rgb(roof, faces, colors)
    (gradient,) = torch.autograd.grad((image * pull).sum(), roof)
    flat = VisibilityGradient.apply(image.detach().movedim(0, -1)[None], roof[None], faces[None],
                                    Renderer(24).rasterize(roof, faces)[0][None], edge_push)  # fmt: skip
    assert not torch.autograd.grad((flat[0].movedim(-1, 0) * pull).sum(), roof)[0].any()
    assert gradient.any()  # that of the shading


def coverage(vertices, faces, size, fine):
    """Area of each pixel that is covered, by `fine`² samples in it."""
    large = vertices * torch.tensor([fine, fine, 1.0], dtype=vertices.dtype)
    hard = Renderer(size * fine).silhouette(large, faces)
    return torch.nn.functional.avg_pool2d(hard[None], fine)[0]


@pytest.mark.parametrize("kind", ["silhouette", "rgb", "depth"])
@pytest.mark.parametrize("seed", range(10))
def test_gradient_equals_that_of_exact_coverage(hand, kind, seed):
    """Translation, scale and rotation of a posed hand against finite differences of a supersampled image.

    The weight of each motion's loss is a field that this motion changes much: a ramp, the distance from the middle, the
    angle about it, in two phases of which one may happen to cancel. Colors and depths are sampled half a pixel beside
    the outline at which they jump, so theirs agree a little less than coverage does.
    """
    size, fine = 112, 5
    pose, shape = hand.sample(1, torch.Generator().manual_seed(seed))
    parts = MeshParameters.split(MeshParameters.initial(hand))
    vertices = posed_hand(hand, parts._replace(pose=pose[0], shape=shape[0]).join()).vertices.double()
    low, high = vertices.amin(0), vertices.amax(0)
    middle = torch.tensor([size / 2, size / 2, 60.0]).double()
    vertices = (vertices - (low + high) / 2) * 0.8 * size / (high - low)[:2].max() + middle  # clear of the border
    center = vertices.mean(0)
    x, y = ((torch.arange(size, dtype=torch.float64) + 0.5 - c) / size for c in center[:2])
    x, y = x[None], y[:, None]
    angle, radius = torch.atan2(y, x), (x * x + y * y).sqrt()
    fields = {
        "right": (x + 0 * y)[None],
        "down": (y + 0 * x)[None],
        "scale": radius.square()[None],
        "turn": torch.stack([radius * (2 * angle).sin(), radius * (2 * angle).cos()]),
    }
    colors = 0.7 + 0.3 * torch.rand(778, 3, generator=torch.Generator().manual_seed(9)).double()

    def moved(motion, by):
        zero, one = torch.zeros_like(by), torch.ones_like(by)
        angle, scale = (by / 40 if motion == "turn" else zero), 1 + (by / 40 if motion == "scale" else zero)
        turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()]).view(2, 2) * scale
        shift = torch.stack([by if motion == "right" else zero, by if motion == "down" else zero])
        xy = (vertices - center)[:, :2] @ turn.T + center[:2] + shift
        return torch.cat([xy, (vertices[:, 2:] - center[2]) * one], 1)

    def loss(motion, by, k=1):
        renderer, points = Renderer(size * k), moved(motion, by) * torch.tensor([k, k, 1.0]).double()
        if kind == "silhouette":
            image = renderer.silhouette(points, hand.faces)[None]
        elif kind == "rgb":
            image = renderer.rgb(points, hand.faces, colors)
        else:
            image = renderer.depth(points, hand.faces, background=80.0)[None]
        return (torch.nn.functional.avg_pool2d(image[None], k)[0].sum(0) * fields[motion]).sum((1, 2))

    for motion in fields:
        by = torch.zeros((), dtype=torch.float64, requires_grad=True)
        found = torch.stack([torch.autograd.grad(part, by, retain_graph=True)[0] for part in loss(motion, by)])
        with torch.no_grad():
            wanted = loss(motion, torch.tensor(0.5).double(), fine) - loss(motion, torch.tensor(-0.5).double(), fine)
        assert (found - wanted).norm() < (0.05 if kind == "silhouette" else 0.1) * wanted.norm(), motion


def test_silhouette_gradient_of_a_square():
    """The border of a square of side s that moves: dA/dx of each of its sides is s."""
    square = torch.tensor([[5.2, 5.2, 1.0], [15.2, 5.2, 1.0], [5.2, 15.2, 1.0], [15.2, 15.2, 1.0]]).double()
    square.requires_grad_()
    silhouette = Renderer(20).silhouette(square, torch.tensor([[0, 1, 2], [1, 3, 2]]))
    (gradient,) = torch.autograd.grad(silhouette.sum(), square)
    assert float(gradient[[1, 3], 0].sum()) == pytest.approx(10, rel=0.1)
    assert float(gradient[[0, 2], 0].sum()) == pytest.approx(-10, rel=0.1)
    assert float(gradient[[2, 3], 1].sum()) == pytest.approx(10, rel=0.1)
    assert not gradient[:, 2].any()


def test_descent_on_the_silhouette_finds_a_shifted_square():
    square = torch.tensor([[5.0, 5, 1], [15, 5, 1], [5, 15, 1], [15, 15, 1]], dtype=torch.float64)
    faces, renderer = torch.tensor([[0, 1, 2], [1, 3, 2]]), Renderer(24)
    truth = torch.tensor([3.3, -2.6], dtype=torch.float64)

    def at(shift):
        return torch.cat([square[:, :2] + shift, square[:, 2:]], 1)

    target = coverage(at(truth), faces, 24, 8)
    shift = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([shift], 0.1)
    for _ in range(80):
        optimizer.zero_grad()
        (renderer.silhouette(at(shift), faces) - target).square().sum().backward()
        optimizer.step()
    assert (shift - truth).abs().max() < 0.5
