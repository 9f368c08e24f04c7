import math

import numpy as np
import pytest
import torch
from scipy.spatial import Delaunay

from handlib import Renderer
from handlib.camera import crop_to_px
from handlib.parameters import MeshParameters, posed_hand
from handlib.renderer.edges import EdgeGradient
from handlib.renderer.interpolate import barycentrics
from handlib.renderer.rasterize import EMPTY, rasterize

H, W = 18, 23


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


def rasterize_naive(vertices, faces, height, width):
    """Every pixel against every face: (face, weights, depth), the first of the nearest."""
    points, numbers = vertices.tolist(), faces.tolist()
    rows = []
    for i in range(height):
        for j in range(width):
            best = (EMPTY, (0.0, 0.0, 0.0), math.inf)
            for f, corners in enumerate(numbers):
                weights = weights_naive([points[v] for v in corners], j + 0.5, i + 0.5)
                if weights is None or min(weights) < 0:
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


# ---- values


def test_everything_equals_the_loops(lead, generator):
    vertices, faces = triangles(lead, generator)
    colors = torch.rand(*lead, vertices.shape[-2], 3, generator=generator, dtype=torch.float64)
    background = torch.rand(*lead, 3, H, W, generator=generator, dtype=torch.float64)
    renderer = Renderer((H, W))
    face, weights = renderer.rasterize(vertices, faces)
    depth, silhouette = renderer.depth(vertices, faces), renderer.silhouette(vertices, faces)
    rgb, black = renderer.rgb(vertices, faces, colors, background), renderer.rgb(vertices, faces, colors)
    assert face.shape == depth.shape == silhouette.shape == (*lead, H, W)
    assert weights.shape == (*lead, H, W, 3) and rgb.shape == black.shape == (*lead, 3, H, W)

    for i in range(math.prod(lead)):
        one = np.unravel_index(i, lead) if lead else ()
        true_face, true_weights, true_depth = rasterize_naive(vertices[one], faces, H, W)
        assert 0 < (true_face >= 0).sum() < H * W
        assert torch.equal(face[one], true_face)
        torch.testing.assert_close(weights[one], true_weights)
        torch.testing.assert_close(depth[one], true_depth)
        assert torch.equal(silhouette[one], (true_face >= 0).double())
        blend = (true_weights[..., None] * colors[one][faces[true_face]]).sum(-2).movedim(-1, 0)
        covered = true_face >= 0
        torch.testing.assert_close(rgb[one], torch.where(covered, blend, background[one]))
        torch.testing.assert_close(black[one], torch.where(covered, blend, 0.0))


def test_single_precision_equals_the_loops(generator):
    vertices, faces = triangles((), generator, faces=30, dtype=torch.float32)
    found = Renderer((H, W)).rasterize(vertices, faces)[0]
    assert torch.equal(found, rasterize_naive(vertices, faces, H, W)[0])


def test_size_may_be_one_number(generator):
    vertices, faces = triangles((), generator)
    square = Renderer(20).silhouette(vertices, faces)
    assert torch.equal(square, Renderer((20, 20)).silhouette(vertices, faces))


def test_colors_and_background_broadcast(generator):
    vertices, faces = triangles((2, 3), generator)
    colors = torch.rand(vertices.shape[-2], 3, generator=generator, dtype=torch.float64)
    background = torch.rand(3, H, W, generator=generator, dtype=torch.float64)
    renderer = Renderer((H, W))
    found = renderer.rgb(vertices, faces, colors, background)
    for i in range(2):
        for j in range(3):
            assert torch.equal(found[i, j], renderer.rgb(vertices[i, j], faces, colors, background))


def test_depth_of_a_tilted_plane():
    z = lambda x, y: 0.3 * x - 0.2 * y + 1  # noqa: E731
    corners = torch.tensor([(x, y, z(x, y)) for x, y in [(-3, -3), (60, -3), (-3, 60)]], dtype=torch.float64)
    depth = Renderer(16).depth(corners, torch.tensor([[0, 1, 2]]))
    place = torch.arange(16, dtype=torch.float64) + 0.5
    torch.testing.assert_close(depth, z(place[None, :], place[:, None]))


@pytest.mark.parametrize("shift", [0.0, -5.0, -1e4])
def test_nearest_wins_at_any_depth(shift):
    """Three sheets over the whole picture; the nearest has the smallest z, also below zero."""
    sheet = torch.tensor([[-9.0, -9], [99, -9], [-9, 99]])
    vertices = torch.cat([torch.cat([sheet, torch.full((3, 1), z + shift)], 1) for z in (0.5, -2.0, 3.0)])
    face = Renderer(8).rasterize(vertices, torch.arange(9).view(3, 3))[0]
    assert (face == 1).all()


@pytest.mark.parametrize("z", [0.0, -0.0, 1.5, -1.5])
def test_lowest_face_wins_a_tie(z):
    sheet = torch.tensor([[-9.0, -9, z], [99, -9, z], [-9, 99, z]])
    faces = torch.tensor([[0, 1, 2], [1, 2, 0], [0, 2, 1], [2, 0, 1]])
    assert (Renderer(8).rasterize(sheet, faces)[0] == 0).all()


def test_both_windings_are_seen(generator):
    vertices, faces = triangles((), generator)
    renderer = Renderer((H, W))
    assert torch.equal(renderer.rasterize(vertices, faces)[0], renderer.rasterize(vertices, faces.flip(1))[0])


def triangulation(points):
    """A Delaunay triangulation of [−2, 34]² with some points inside."""
    corners = np.array([[-2, -2], [34, -2], [-2, 34], [34, 34]], dtype=np.float32)
    points = np.concatenate([corners, points.astype(np.float32)])
    faces = torch.as_tensor(Delaunay(points).simplices.astype("int64"))
    return torch.cat([torch.as_tensor(points), torch.ones(len(points), 1)], 1), faces


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("kind", ["anywhere", "pixel centres", "corners of pixels"])
def test_no_hole_between_neighbours(seed, kind):
    """Points at pixel centres and corners make edges that run exactly through centres."""
    points = np.random.default_rng(seed).uniform(0, 32, (60, 2))
    if kind != "anywhere":
        points = np.unique(np.floor(points) + (0.5 if kind == "pixel centres" else 0.0), axis=0)
    vertices, faces = triangulation(points)
    assert (Renderer(32).silhouette(vertices, faces) == 1).all()


@pytest.mark.parametrize("seed", range(20))
def test_no_hole_along_a_diagonal_through_centres(seed):
    """Two triangles share an edge on which every centre (i + ½, i + ½) lies, but whose ends are no round numbers."""
    a, b = np.random.default_rng(seed).uniform([-3, 33], [-1, 40]).astype(np.float32).tolist()
    vertices = torch.tensor([[a, a, 1.0], [b, b, 1.0], [a, b, 1.0], [b, a, 1.0]])
    covered = Renderer(32).silhouette(vertices, torch.tensor([[0, 1, 2], [1, 0, 3]]))
    assert (covered == 1).all()


# ---- what must do no harm


SHEET = torch.tensor([[-9.0, -9, 1], [99, -9, 1], [-9, 99, 1]])


@pytest.mark.parametrize(
    "corners",
    [
        [[3.5, 3.5, 0]] * 3,  # a point, on a pixel's centre
        [[1.5, 1.5, 0], [6.5, 6.5, 0], [3.5, 3.5, 0]],  # a line through centres
        [[2, 2, 0], [5, 2, 0], [2, 2, 0]],  # a corner twice
        [[-50, -50, 0], [-40, -50, 0], [-50, -40, 0]],  # off the picture
        [[50, 3, 0], [60, 3, 0], [50, 8, 0]],
        [[1e9, 1e9, 0], [2e9, 1e9, 0], [1e9, 2e9, 0]],  # far off
        [[3.6, 3.6, 0], [3.9, 3.6, 0], [3.6, 3.9, 0]],  # between the centres
    ],
)
def test_faces_that_no_pixel_sees(corners):
    vertices = torch.cat([SHEET, torch.tensor(corners, dtype=torch.float32)]).requires_grad_()
    renderer = Renderer(8)
    both = torch.tensor([[3, 4, 5], [0, 1, 2]])
    assert (renderer.rasterize(vertices, both)[0] == 1).all()
    assert (renderer.silhouette(vertices, both[:1]) == 0).all()
    colors = torch.rand(6, 3)
    (renderer.rgb(vertices, both, colors).square().sum() + renderer.depth(vertices, both).sum()).backward()
    assert torch.isfinite(vertices.grad).all()


def test_a_face_far_larger_than_the_picture():
    vertices = torch.tensor([[-1e6, -1e6, 2.0], [3e6, -1e6, 2.0], [-1e6, 3e6, 2.0]])
    assert (Renderer(8).silhouette(vertices, torch.tensor([[0, 1, 2]])) == 1).all()


def test_no_faces_and_no_meshes():
    renderer = Renderer(8)
    none = torch.zeros(0, 3, dtype=torch.int64)
    assert (renderer.silhouette(SHEET, none) == 0).all()
    assert torch.isinf(renderer.depth(SHEET, none)).all()
    assert renderer.silhouette(torch.zeros(0, 3, 3), torch.tensor([[0, 1, 2]])).shape == (0, 8, 8)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@pytest.mark.parametrize("method", ["silhouette", "depth", "rasterize"])
def test_nan_and_infinity_are_refused(value, method):
    vertices = SHEET.clone()
    vertices[1, 2] = value
    with pytest.raises(ValueError, match="vertices hold NaN or infinity"):
        getattr(Renderer(8), method)(vertices, torch.tensor([[0, 1, 2]]))


def test_vertices_without_depth_are_refused(unchecked):
    with pytest.raises(ValueError, match=r"vertices must be \(..., V, 3\).*got \(4, 2\)"):
        Renderer(8).silhouette(torch.zeros(4, 2), torch.tensor([[0, 1, 2]]))


def test_unknown_backend_and_gradient():
    with pytest.raises(ValueError, match="unknown backend 'cuda': choose auto or one of reference"):
        Renderer(8, backend="cuda")
    with pytest.raises(ValueError, match="unknown gradient 'kato': choose one of antialias"):
        Renderer(8, gradient="kato")
    assert Renderer(8).backend == "reference"


def test_deterministic(generator):
    vertices, faces = triangles((2,), generator, faces=40, dtype=torch.float32)
    colors = torch.rand(vertices.shape[-2], 3, generator=generator)
    results = []
    for _ in range(2):
        moved = vertices.clone().requires_grad_()
        image = Renderer((H, W)).rgb(moved, faces, colors)
        image.square().sum().backward()
        results.append((image.detach(), moved.grad))
    assert torch.equal(results[0][0], results[1][0]) and torch.equal(results[0][1], results[1][1])


# ---- gradients


def test_barycentrics_sum_to_one_and_meet_their_points(generator):
    corners = torch.randn(9, 3, 2, generator=generator, dtype=torch.float64)
    points = torch.randn(9, 2, generator=generator, dtype=torch.float64)
    weights = barycentrics(corners, points)
    torch.testing.assert_close(weights.sum(1), torch.ones(9).double())
    torch.testing.assert_close((weights[..., None] * corners).sum(1), points)


def test_rgb_gradient_by_colors_and_background(generator):
    vertices, faces = triangles((2,), generator, faces=3)
    vertices = vertices * 0.3
    colors = torch.rand(2, 9, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    background = torch.rand(3, 6, 7, generator=generator, dtype=torch.float64, requires_grad=True)
    renderer = Renderer((6, 7))
    assert 0 < renderer.silhouette(vertices, faces).sum() < 84
    assert torch.autograd.gradcheck(lambda c, b: renderer.rgb(vertices, faces, c, b), (colors, background))


def test_depth_gradient_inside_the_outline(generator):
    vertices, faces = triangles((), generator, faces=3)
    vertices.requires_grad_()
    seen = torch.isfinite(Renderer((H, W)).depth(vertices, faces))
    assert seen.sum() > 20
    assert torch.autograd.gradcheck(lambda v: Renderer((H, W)).depth(v, faces)[seen], vertices)


def edge_gradient_naive(image, pull, vertices, faces, face, depth):
    """The rule of edges.py, pair of pixels by pair of pixels, of one picture."""
    push = torch.zeros_like(vertices)
    height, width = face.shape
    for i in range(height):
        for j in range(width):
            for axis, (k, m) in ((0, (i, j + 1)), (1, (i + 1, j))):
                if k == height or m == width or face[i, j] == face[k, m]:
                    continue
                step = sum((image[i, j] - image[k, m]) * (pull[i, j] + pull[k, m])).item() / 2
                row, column = (i, j) if depth[i, j] <= depth[k, m] else (k, m)
                corners = faces[face[row, column]].tolist()
                weights = weights_naive([vertices[v].tolist() for v in corners], column + 0.5, row + 0.5)
                for v, weight in zip(corners, weights, strict=True):
                    push[v, axis] += step * weight
    return push


def test_edge_gradient_equals_the_loops(generator):
    vertices, faces = triangles((2,), generator)
    face = rasterize(vertices, faces, H, W)
    depth = Renderer((H, W)).depth(vertices, faces)
    image, pull = torch.randn(2, 2, H, W, 3, generator=generator, dtype=torch.float64)
    moved = vertices.clone().requires_grad_()
    out = EdgeGradient.apply(image, moved, faces, face, depth)
    assert torch.equal(out, image)
    (out * pull).sum().backward()
    for i in range(2):
        slow = edge_gradient_naive(image[i], pull[i], vertices[i], faces, face[i], depth[i])
        torch.testing.assert_close(moved.grad[i], slow)


@pytest.mark.parametrize("lead", [(2,), (1, 2)], ids=str)
def test_gradients_of_a_batch_are_those_of_each_alone(lead, generator):
    vertices, faces = triangles(lead, generator)
    colors = torch.rand(vertices.shape[-2], 3, generator=generator, dtype=torch.float64)
    pull = torch.randn(3, H, W, generator=generator, dtype=torch.float64)
    renderer = Renderer((H, W))

    def gradient(v):
        v = v.clone().requires_grad_()
        loss = (renderer.rgb(v, faces, colors) * pull).sum() + (renderer.silhouette(v, faces) * pull[0]).sum()
        return torch.autograd.grad(loss, v)[0]

    whole = gradient(vertices).reshape(-1, *vertices.shape[-2:])
    for one, v in zip(whole, vertices.reshape(-1, *vertices.shape[-2:]), strict=True):
        torch.testing.assert_close(one, gradient(v))


def ramp(size):
    """A smooth picture to weigh coverage with: ½ + linear and quadratic terms, so that no derivative vanishes."""
    place = (torch.arange(size, dtype=torch.float64) + 0.5) / size
    x, y = place[None, :], place[:, None]
    return 0.5 + x + 0.6 * y - 0.8 * x * y + 0.4 * y * y


def coverage(vertices, faces, size, fine):
    """Area of each pixel that is covered, by `fine`² samples in it."""
    large = vertices * torch.tensor([fine, fine, 1.0], dtype=vertices.dtype)
    hard = Renderer(size * fine).silhouette(large, faces)
    return torch.nn.functional.avg_pool2d(hard[None], fine)[0]


@pytest.mark.parametrize("seed", range(3))
def test_silhouette_gradient_equals_that_of_exact_coverage(hand, seed):
    """Translation and scale of a posed hand against finite differences of supersampled coverage.

    A push acts at the centre of the pixel inside the outline, half a pixel too near to the middle: of the scale's
    gradient some percent are lost at this resolution, of the translation's nothing.
    """
    size, generator = 64, torch.Generator().manual_seed(seed)
    pose, shape = hand.sample(1, generator)
    parts = MeshParameters.split(MeshParameters.initial(hand))._replace(pose=pose[0], shape=shape[0])
    vertices = crop_to_px(posed_hand(hand, parts.join()).vertices, size).double()
    centre, weight = vertices.mean(0), ramp(size)

    def moved(by):
        x, y, scale = by.unbind()
        xy = (vertices - centre)[:, :2] * (1 + scale / 30) + centre[:2] + torch.stack([x, y])
        return torch.cat([xy, vertices[:, 2:]], 1)

    by = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    (Renderer(size).silhouette(moved(by), hand.faces) * weight).sum().backward()
    wanted = []
    for step in torch.eye(3, dtype=torch.float64):
        high, low = ((coverage(moved(s * step), hand.faces, size, 6) * weight).sum() for s in (0.5, -0.5))
        wanted.append(float(high - low))
    assert by.grad[:2].tolist() == pytest.approx(wanted[:2], rel=0.05)
    assert float(by.grad[2]) == pytest.approx(wanted[2], rel=0.1)


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
