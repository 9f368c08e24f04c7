import math
import sys

import numpy as np
import pytest
import torch
from scipy.spatial import Delaunay

from handlib import Renderer
from handlib.camera import crop_to_px
from handlib.parameters import MeshParameters, posed_hand
from handlib.renderer import backends
from handlib.renderer.backends import REFERENCE, available, check, choose
from handlib.renderer.edges import VisibilityGradient, edge_push
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
@pytest.mark.parametrize("kind", ["anywhere", "pixel centers", "corners of pixels"])
def test_no_hole_between_neighbors(seed, kind):
    """Points at pixel centers and corners make edges that run exactly through centers."""
    points = np.random.default_rng(seed).uniform(0, 32, (60, 2))
    if kind != "anywhere":
        points = np.unique(np.floor(points) + (0.5 if kind == "pixel centers" else 0.0), axis=0)
    vertices, faces = triangulation(points)
    assert (Renderer(32).silhouette(vertices, faces) == 1).all()


@pytest.mark.parametrize("backend", ["reference", "fast"])
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("kind", ["anywhere", "pixel centers", "corners of pixels"])
def test_every_pixel_belongs_to_one_face(seed, kind, backend):
    """Neither holes nor doubles: drawn one at a time, the faces of a triangulation share out the picture."""
    points = np.random.default_rng(seed).uniform(0, 32, (25, 2))
    if kind != "anywhere":
        points = np.unique(np.floor(points) + (0.5 if kind == "pixel centers" else 0.0), axis=0)
    vertices, faces = triangulation(points)
    flipped = torch.rand(len(faces), generator=torch.Generator().manual_seed(seed)) < 0.5
    faces = torch.where(flipped[:, None], faces.flip(1), faces)  # of either winding
    alone = Renderer(32, backend).silhouette(vertices.double().expand(len(faces), -1, -1), faces[:, None])
    assert (alone.sum(0) == 1).all()
    one = rasterize_naive(vertices.double(), faces, 32, 32)[0]
    assert torch.equal(Renderer(32, backend).rasterize(vertices, faces)[0], one)


@pytest.mark.parametrize("seed", range(20))
def test_no_hole_along_a_diagonal_through_centers(seed):
    """Two triangles share an edge on which every center (i + ½, i + ½) lies, but whose ends are no round numbers."""
    a, b = np.random.default_rng(seed).uniform([-3, 33], [-1, 40]).astype(np.float32).tolist()
    vertices = torch.tensor([[a, a, 1.0], [b, b, 1.0], [a, b, 1.0], [b, a, 1.0]])
    covered = Renderer(32).silhouette(vertices, torch.tensor([[0, 1, 2], [1, 0, 3]]))
    assert (covered == 1).all()


# ---- what must do no harm


SHEET = torch.tensor([[-9.0, -9, 1], [99, -9, 1], [-9, 99, 1]])


@pytest.mark.parametrize(
    "corners",
    [
        [[3.5, 3.5, 0]] * 3,  # a point, on a pixel's center
        [[1.5, 1.5, 0], [6.5, 6.5, 0], [3.5, 3.5, 0]],  # a line through centers
        [[2, 2, 0], [5, 2, 0], [2, 2, 0]],  # a corner twice
        [[-50, -50, 0], [-40, -50, 0], [-50, -40, 0]],  # off the picture
        [[50, 3, 0], [60, 3, 0], [50, 8, 0]],
        [[1e8, 1e8, 0], [2e8, 1e8, 0], [1e8, 2e8, 0]],  # far off
        [[3.6, 3.6, 0], [3.9, 3.6, 0], [3.6, 3.9, 0]],  # between the centers
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
    with pytest.raises(ValueError, match="vertices_px hold"):
        getattr(Renderer(8), method)(vertices, torch.tensor([[0, 1, 2]]))


def test_vertices_without_depth_are_refused(unchecked):
    with pytest.raises(ValueError, match=r"vertices_px must have the shape .*got \(4, 2\)"):
        Renderer(8).silhouette(torch.zeros(4, 2), torch.tensor([[0, 1, 2]]))


def test_unknown_backend_and_gradient():
    with pytest.raises(ValueError, match="unknown backend 'cuda': choose auto or one of reference, fast, pytorch3d"):
        Renderer(8, backend="cuda")
    with pytest.raises(ValueError, match="unknown gradient 'exact': choose one of antialias, kato, soft"):
        Renderer(8, gradient="exact")


@pytest.mark.parametrize("triton", [False, True])
def test_auto_picks_what_fits_the_device(triton, monkeypatch):
    monkeypatch.setattr(backends, "TRITON", triton)
    monkeypatch.setattr(backends, "_triton", lambda: REFERENCE._replace(name="fast"))  # needs no Triton
    assert choose("auto").name == "fast"
    assert choose("auto", "cuda").name == ("fast" if triton else "reference")
    assert choose("auto", "xpu") is REFERENCE and choose("reference", "cuda") is REFERENCE
    with pytest.raises(ValueError, match="the fast renderer runs on cpu and cuda, not on xpu"):
        choose("fast", "xpu")
    with pytest.raises(ValueError, match="needs double precision, which mps lacks"):
        choose("auto", "mps")
    if not triton:
        with pytest.raises(ModuleNotFoundError, match="needs triton 3.3, a C compiler and the headers"):
            choose("fast", "cuda")


@pytest.mark.parametrize("backend", ["fast", "reference"])
def test_a_second_derivative_is_right_or_an_error(backend, hand):
    """Compiled loops have none, and would leave it out in silence."""
    first = MeshParameters.initial(hand)[None]
    vertices = crop_to_px(posed_hand(hand, first).vertices, 24).detach().double().requires_grad_()
    image = Renderer(24, backend).silhouette(vertices, hand.faces)
    weight = torch.linspace(0, 1, 24).double()
    if backend == "fast":
        with pytest.raises(RuntimeError, match="differentiable once: choose backend='reference'"):
            torch.autograd.grad((image * weight).sum(), vertices, create_graph=True)
    else:
        (push,) = torch.autograd.grad((image * weight).sum(), vertices, create_graph=True)
        (second,) = torch.autograd.grad(push.square().sum(), vertices)
        assert second.abs().max() > 0 and torch.isfinite(second).all()


@pytest.mark.parametrize("backend", ["fast", "reference"])
@pytest.mark.parametrize("gradient", ["antialias", "kato", "soft"])
def test_half_precision_is_rendered_in_single(backend, gradient, hand):
    vertices = crop_to_px(posed_hand(hand, MeshParameters.initial(hand)[None]).vertices, 24).half()
    results = []
    for given in (vertices, vertices.float()):
        moved = given.detach().requires_grad_()
        image = Renderer(24, backend, gradient).silhouette(moved, hand.faces)
        (push,) = torch.autograd.grad(image.square().sum(), moved)
        assert push.dtype == given.dtype
        results.append(image.detach())
    assert torch.equal(*results) and results[0].dtype == torch.float32


def test_without_numba(monkeypatch):
    monkeypatch.setattr("handlib.support.jit.available", lambda: False)
    monkeypatch.setattr(backends, "TRITON", False)
    assert choose("auto") is REFERENCE
    for fails in (choose, check):
        with pytest.raises(ModuleNotFoundError, match="pip install numba"):
            fails("fast")
    monkeypatch.setattr(backends, "TRITON", True)
    Renderer(8, "fast")  # may be meant for a GPU
    with pytest.raises(ModuleNotFoundError, match="pip install numba"):
        Renderer(8, "fast").silhouette(SHEET, torch.tensor([[0, 1, 2]]))


def test_pytorch3d_as_a_backend(generator):
    """Its faces are ours but on edges; gradients of hard pictures are ours."""
    pytest.importorskip("pytorch3d", reason="an optional peer, built from source: its INSTALL.md says how")
    vertices, faces = triangles((2,), generator, faces=40, dtype=torch.float32)
    found, plain = (Renderer((H, W), backend).rasterize(vertices, faces)[0] for backend in ("pytorch3d", "reference"))
    assert float((found == plain).float().mean()) > 0.99


def test_without_pytorch3d(monkeypatch):
    monkeypatch.setitem(sys.modules, "handlib.renderer.pytorch3d", None)
    monkeypatch.delattr("handlib.renderer.pytorch3d", raising=False)
    with pytest.raises(ModuleNotFoundError, match="backend 'pytorch3d' needs pytorch3d"):
        Renderer(8, "pytorch3d")
    assert "reference" in available() and "pytorch3d" not in available()


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


def test_depth_gradient_inside_the_outline():
    vertices = torch.tensor([[1.03, 2.12, 0.3], [20.21, 4.07, -0.5], [6.34, 17.15, 1.2]]).double().requires_grad_()
    faces = torch.tensor([[0, 1, 2]])
    seen = torch.isfinite(Renderer((H, W)).depth(vertices, faces))
    assert seen.sum() > 20
    assert torch.autograd.gradcheck(lambda v: Renderer((H, W)).depth(v, faces)[seen], vertices)


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


def test_faces_of_each_mesh(generator):
    """One set of faces a mesh gives what each mesh gives alone, gradients included."""
    vertices, _ = triangles((2,), generator)
    faces = torch.stack([torch.randperm(36, generator=generator).view(12, 3) for _ in range(2)])
    colors = torch.rand(2, 36, 3, generator=generator, dtype=torch.float64)
    pull = torch.randn(3, H, W, generator=generator, dtype=torch.float64)
    for gradient in ("antialias", "kato"):
        renderer = Renderer((H, W), gradient=gradient)
        moved = vertices.clone().requires_grad_()
        image = renderer.rgb(moved, faces, colors)
        (together,) = torch.autograd.grad((image * pull).sum() + renderer.silhouette(moved, faces).sum(), moved)
        for i in range(2):
            one = vertices[i].clone().requires_grad_()
            alone = renderer.rgb(one, faces[i], colors[i])
            assert torch.equal(alone, image[i])
            (wanted,) = torch.autograd.grad((alone * pull).sum() + renderer.silhouette(one, faces[i]).sum(), one)
            torch.testing.assert_close(together[i], wanted)
            assert torch.equal(renderer.depth(vertices, faces)[i], renderer.depth(vertices[i], faces[i]))
            assert torch.equal(renderer.rasterize(vertices, faces)[1][i], renderer.rasterize(vertices[i], faces[i])[1])


def test_faces_behind_the_camera():
    sheet = torch.tensor([[-9.0, -9, 2], [99, -9, 2], [-9, 99, -1]])
    face = torch.tensor([[0, 1, 2]])
    assert (Renderer(8).silhouette(sheet, face) == 1).all()
    assert (Renderer(8, near=0.0).silhouette(sheet, face) == 0).all()
    assert (Renderer(8, near=-1.5).silhouette(sheet, face) == 1).all()


def test_supersampling_is_the_mean_of_a_finer_picture(generator):
    vertices, faces = triangles((2,), generator)
    colors = torch.rand(36, 3, generator=generator, dtype=torch.float64)
    background = torch.rand(3, H, W, generator=generator, dtype=torch.float64)
    large = vertices * torch.tensor([3.0, 3.0, 1.0]).double()
    fine, coarse = Renderer((3 * H, 3 * W)), Renderer((H, W), supersampling=3)
    mean = torch.nn.functional.avg_pool2d
    torch.testing.assert_close(coarse.silhouette(vertices, faces), mean(fine.silhouette(large, faces), 3))
    enlarged = background.repeat_interleave(3, 1).repeat_interleave(3, 2)
    wanted = mean(fine.rgb(large, faces, colors, enlarged), 3)
    torch.testing.assert_close(coarse.rgb(vertices, faces, colors, background), wanted)


def test_texture_by_face_corner():
    """A square of two triangles shows the texture upright; a corner may have other coordinates in another face."""
    square = torch.tensor([[0.0, 0, 1], [16, 0, 1], [0, 16, 1], [16, 16, 1]])
    faces = torch.tensor([[0, 1, 2], [1, 3, 2]])
    uv = torch.tensor([[0.0, 1], [1, 1], [0, 0], [1, 0]])  # v is up
    texture = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(0))
    found = Renderer(16).textured(square, faces, texture, uv, faces)
    torch.testing.assert_close(found, texture, atol=1e-5, rtol=0)
    uv_faces = torch.tensor([[0, 1, 2], [4, 4, 4]])
    plain = Renderer(16).textured(square, faces, texture, torch.cat([uv, torch.tensor([[0.03, 0.97]])]), uv_faces)
    lower = Renderer(16).rasterize(square, faces)[0] == 1
    torch.testing.assert_close(plain[:, lower], texture[:, :1, :1].expand(3, 16, 16)[:, lower], atol=0.05, rtol=0)
    behind = torch.rand(3, 20, 20)
    inset = Renderer(20).textured(square, faces, texture, uv, faces, behind)
    assert torch.equal(inset[:, 16:], behind[:, 16:])


def test_texture_gradients(generator):
    square = torch.tensor([[0.7, 0.4, 1], [7.1, 0.2, 1], [0.3, 6.9, 1], [7.7, 7.2, 1]]).double()
    faces = torch.tensor([[0, 1, 2], [1, 3, 2]])
    uv = torch.tensor([[0.1, 0.9], [0.9, 0.9], [0.1, 0.1], [0.9, 0.1]]).double().requires_grad_()
    texture = torch.rand(2, 5, 5, generator=generator, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda t, c: Renderer(8).textured(square, faces, t, c, faces), (texture, uv))


def test_normals_are_unit_vectors_between_those_of_the_corners():
    sheet = torch.tensor([[-9.0, -9, 1], [99, -9, 1], [-9, 99, 1]])
    normals = torch.tensor([[0.0, 0, -1], [1, 0, 0], [0, 1, 0]])
    image = Renderer(8).normals(sheet, torch.tensor([[0, 1, 2]]), normals)
    torch.testing.assert_close(image.norm(dim=0), torch.ones(8, 8))
    weights = Renderer(8).rasterize(sheet, torch.tensor([[0, 1, 2]]))[1]
    blend = weights @ normals
    torch.testing.assert_close(image.movedim(0, -1), blend / blend.norm(dim=-1, keepdim=True))
    assert not Renderer(8).normals(sheet - 500, torch.tensor([[0, 1, 2]]), normals).any()


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
