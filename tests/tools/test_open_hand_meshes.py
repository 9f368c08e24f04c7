"""The builder of the open hand: geometry of meshes, decimation, seams, numbering and contact."""

import numpy as np
import pytest
import torch
from open_hand import colors, contact, decimate, geometry, numbering
from open_hand.girth import cross_section
from open_hand.skinning import CHAINS


def test_geometry_of_a_tube(tube):
    vertices, faces = tube
    (loop,) = geometry.boundary_loops(faces)
    assert sorted(loop) == list(range(240, 252))
    assert len(vertices) - len(geometry.edges(faces)) + len(faces) == 1
    exact = 12 / 2 * np.sin(np.pi / 6) * 0.01**2  # area of the twelve-gon
    assert geometry.volume(vertices, faces, loop) == pytest.approx(exact * (0.1 + 0.001), rel=1e-9)
    normals = geometry.vertex_normals(vertices, faces)
    assert (normals[12:240, 1:] * vertices[12:240, 1:]).sum(1).min() > 0.009
    assert geometry.triangle_quality(vertices, np.array([[0, 1, 2]])) < 0.9
    equilateral = np.array([[0, 0, 0], [1, 0, 0], [0.5, np.sqrt(0.75), 0]])
    assert geometry.triangle_quality(equilateral, np.array([[0, 1, 2]])) == pytest.approx(1)


def test_batches_of_meshes(tube):
    vertices, faces = tube
    many = np.stack([vertices, 2 * vertices])[None]
    loop = geometry.boundary_loops(faces)[0]
    np.testing.assert_allclose(
        geometry.volume(many, faces, loop)[0], geometry.volume(vertices, faces, loop) * np.array([1, 8])
    )
    np.testing.assert_allclose(geometry.vertex_normals(many, faces)[0, 1], geometry.vertex_normals(vertices, faces))


def test_cross_section_of_a_tube(tube):
    vertices, faces = tube
    ring = cross_section(
        vertices, faces, np.ones(len(vertices), dtype=bool), np.array([0.052, 0, 0]), np.array([1.0, 0, 0])
    )
    assert np.ptp(ring, axis=0) == pytest.approx([0, 0.02, 0.02], abs=1e-4)


def test_distance_to_triangles_equals_a_search():
    rng = np.random.default_rng(0)
    corners, points = rng.normal(size=(6, 3, 3)), rng.normal(size=(6, 3))
    u, v = np.meshgrid(np.linspace(0, 1, 200), np.linspace(0, 1, 200))
    u, v = u[u + v <= 1], v[u + v <= 1]
    for triangle, point in zip(corners, points, strict=True):
        grid = triangle[0] + u[:, None] * (triangle[1] - triangle[0]) + v[:, None] * (triangle[2] - triangle[0])
        found = geometry.triangle_distance(point, triangle)
        assert found == pytest.approx(np.linalg.norm(grid - point, axis=1).min(), abs=0.02)


def test_decimation_keeps_a_disc(tube):
    vertices, faces = tube
    bent = vertices + [0, 0.02, 0] * (vertices[:, :1] / 0.1) ** 2
    tip = len(vertices) - 1
    kept, small, _ = decimate.decimate(np.stack([vertices, bent]), faces, 120, 8, {tip})
    assert len(kept) == 120 and tip in kept and sorted(np.unique(small)) == list(range(120))
    (loop,) = geometry.boundary_loops(small)
    assert len(loop) == 8 and len(kept) - len(geometry.edges(small)) + len(small) == 1
    directed = np.concatenate([small[:, [0, 1]], small[:, [1, 2]], small[:, [2, 0]]])
    assert len(np.unique(directed, axis=0)) == len(directed)
    assert geometry.surface_distance(vertices, vertices[kept], small).max() < 2e-3
    assert geometry.triangle_quality(vertices[kept], small).min() > 0.25


def test_decimation_keeps_a_seam(tube):
    """The line along one side of the tube: what is left of it is still a path of edges."""
    vertices, faces = tube
    line = [12 * i for i in range(21)]
    seam = {pair for a, b in zip(line, line[1:], strict=False) for pair in ((a, b), (b, a))}
    kept, small, left_seam = decimate.decimate(vertices[None], faces, 100, 12, set(), seam)
    left = [int(np.flatnonzero(kept == v)[0]) for v in line if v in kept]
    assert 2 < len(left) < 21
    found = {tuple(e) for e in geometry.edges(small).tolist()}
    path = list(zip(left, left[1:], strict=False))
    assert all(tuple(sorted(pair)) in found for pair in path)
    assert left_seam == {*path, *(pair[::-1] for pair in path)}


def test_decimation_that_is_asked_too_much(tube):
    vertices, faces = tube
    with pytest.raises(ValueError, match="no valid collapse is left at"):
        decimate.decimate(vertices[None], faces, 10, 12)


def test_flips_better_the_triangles():
    """A flat sheared grid with its diagonals the wrong way."""
    x, y = np.meshgrid(np.arange(6.0), np.arange(6.0), indexing="ij")
    vertices = np.stack([x + 0.8 * y, y, 0 * x], -1).reshape(-1, 3)
    corner = [6 * i + j for i in range(5) for j in range(5)]
    faces = np.array([f for c in corner for f in ((c, c + 6, c + 7), (c, c + 7, c + 1))])
    before = geometry.triangle_quality(vertices, faces)
    flipped = decimate.flip_edges(vertices[None], faces)
    after = geometry.triangle_quality(vertices, flipped)
    assert after.min() >= before.min() and after.mean() > 1.2 * before.mean()
    assert len(geometry.boundary_loops(flipped)[0]) == 20
    diagonals = {pair for c in corner for pair in ((c, c + 7), (c + 7, c))}
    np.testing.assert_array_equal(decimate.flip_edges(vertices[None], faces, diagonals), faces)  # all on a seam


def test_seams_and_corners():
    """Two triangles whose common edge has different texture coordinates on its sides."""
    faces, uv_faces = np.array([[0, 1, 2], [2, 1, 3]]), np.array([[0, 1, 2], [4, 5, 3]])
    uv = np.array([[0, 0], [0.1, 0], [0, 0.1], [1, 1], [0.9, 1], [1, 0.9]])
    assert colors.seam_edges(faces, uv_faces) == {(1, 2), (2, 1)}
    assert colors.seam_edges(faces, faces) == set()
    np.testing.assert_array_equal(colors.corner_uv(np.arange(4), faces, faces, uv_faces, uv), uv_faces)


def test_numbering_puts_tips_and_loop(fields):
    """Renumbering a shuffled hand puts them back."""
    order = np.random.default_rng(0).permutation(778)
    vertices, weights = fields["v_template"].astype(float)[order], fields["weights"][order]
    faces = np.argsort(order)[fields["f"].astype(int)]
    tips = {f: int(np.argsort(order)[t]) for f, t in zip(CHAINS, (744, 320, 443, 554, 671), strict=True)}
    old = numbering.number_vertices(vertices, faces, weights, tips)
    assert sorted(old) == list(range(778))
    np.testing.assert_array_equal(order[old][list(numbering.WRIST_LOOP)], numbering.WRIST_LOOP)
    assert [order[old][t] for t in (744, 320, 443, 554, 671)] == [744, 320, 443, 554, 671]


def test_faces_are_sorted_with_their_corners():
    faces, corners = numbering.sort_faces(np.array([[4, 2, 3], [1, 5, 0]]), np.array([[7, 8, 9], [10, 11, 12]]))
    assert faces.tolist() == [[0, 1, 5], [2, 3, 4]] and corners.tolist() == [[12, 10, 11], [8, 9, 7]]


def test_winding_number_of_a_tube(tube):
    vertices, faces = tube
    points = np.array([[0.02, 0, 0], [0.02, 0.02, 0], [-0.05, 0, 0]])
    np.testing.assert_allclose(contact.winding_number(points, vertices, faces), [1, 0, 0], atol=0.02)


def test_depth_of_a_crossed_finger(hand, fields):
    """Flat fingers are clear; the index swung through the middle finger is not."""
    vertices, faces = fields["v_template"].astype(float), fields["f"].astype(int)
    judge = contact.Contact(vertices, faces, fields["weights"])
    assert judge.depth(vertices) == 0
    pose = torch.zeros(45)
    pose[1] = -0.5
    crossed = hand(pose, torch.zeros(10)).vertices.double()
    deep, into, depths = judge.hits(crossed.numpy())
    assert 4e-3 < depths.max() < 12e-3 and judge.depth(crossed.numpy()) == depths.max()
    assert set(judge.part[deep]) == {2, 3} == set(judge.part[into].ravel())  # index and middle
