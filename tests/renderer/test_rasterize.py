"""Which face each pixel sees: no holes, no doubles, the nearest first, and no harm from faces that nobody sees."""

import math

import numpy as np
import pytest
import torch
from scipy.spatial import Delaunay
from triangles import SHEET, H, W, rasterize_naive, triangles

from handlib import Renderer


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


def test_depth_of_a_tilted_plane():
    z = lambda x, y: 0.3 * x - 0.2 * y + 1  # noqa: E731
    corners = torch.tensor([(x, y, z(x, y)) for x, y in [(-3, -3), (60, -3), (-3, 60)]], dtype=torch.float64)
    depth = Renderer(16).depth(corners, torch.tensor([[0, 1, 2]]))
    place = torch.arange(16, dtype=torch.float64) + 0.5
    torch.testing.assert_close(depth, z(place[None, :], place[:, None]))


@pytest.mark.parametrize("shift", [0.0, -5.0, -1e4])
def test_nearest_wins_at_any_depth(shift):
    """Three sheets over the whole picture; the nearest has the smallest z, also below zero."""
    vertices = torch.cat([torch.cat([SHEET[:, :2], torch.full((3, 1), z + shift)], 1) for z in (0.5, -2.0, 3.0)])
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


def test_faces_behind_the_camera():
    sheet = torch.tensor([[-9.0, -9, 2], [99, -9, 2], [-9, 99, -1]])
    face = torch.tensor([[0, 1, 2]])
    assert (Renderer(8).silhouette(sheet, face) == 1).all()
    assert (Renderer(8, near=0.0).silhouette(sheet, face) == 0).all()
    assert (Renderer(8, near=-1.5).silhouette(sheet, face) == 1).all()
