import math
import signal

import pytest
import torch

from handlib.hand.mesh import boundary_loop, cotangent_laplacian, vertex_normals

TETRAHEDRON = torch.tensor([[0, 2, 1], [0, 1, 3], [1, 2, 3], [0, 3, 2]])
OCTAHEDRON = torch.tensor([[4, 0, 2], [4, 2, 1], [4, 1, 3], [4, 3, 0], [5, 2, 0], [5, 1, 2], [5, 3, 1], [5, 0, 3]])
OCTAHEDRON_VERTICES = torch.tensor([[1.0, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]])


def normals_naive(vertices, faces):
    rows = []
    for v in range(len(vertices)):
        total = torch.zeros(3, dtype=vertices.dtype)
        for a, b, c in faces.tolist():
            if v in (a, b, c):
                total = total + torch.linalg.cross(vertices[b] - vertices[a], vertices[c] - vertices[a])
        rows.append(total / total.norm())
    return torch.stack(rows)


def test_normals_equal_a_loop(lead, generator):
    """Values and gradients."""
    vertices = torch.randn(*lead, 6, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    pull = torch.randn(6, 3, generator=generator, dtype=torch.float64)
    fast = vertex_normals(vertices, OCTAHEDRON)
    slow = torch.stack([normals_naive(v, OCTAHEDRON) for v in vertices.reshape(-1, 6, 3)]).view_as(fast)
    torch.testing.assert_close(fast, slow)
    gradients = [torch.autograd.grad((n * pull).sum(), vertices)[0] for n in (fast, slow)]
    torch.testing.assert_close(*gradients)


def test_normals_of_an_octahedron_point_outward():
    torch.testing.assert_close(vertex_normals(OCTAHEDRON_VERTICES, OCTAHEDRON), OCTAHEDRON_VERTICES)


def test_normals_of_the_hand_point_outward(hand):
    """A mesh that grows along its normals gains volume; the back of the hand is at +y, the palm at −y."""
    normals = vertex_normals(hand.template, hand.faces)
    torch.testing.assert_close(normals.norm(dim=-1), torch.ones(778))

    def volume(vertices):
        a, b, c = (vertices - hand.template.mean(0))[hand.faces].unbind(1)
        return (a * torch.linalg.cross(b, c)).sum() / 6

    assert 0 < volume(hand.template) < volume(hand.template + 1e-3 * normals)
    assert normals[hand.template[:, 1].argmax(), 1] > 0.5 and normals[hand.template[:, 1].argmin(), 1] < -0.5


def test_vertex_without_faces_has_no_normal():
    vertices = torch.cat([OCTAHEDRON_VERTICES, torch.zeros(1, 3)]).requires_grad_()
    normals = vertex_normals(vertices, OCTAHEDRON)
    assert torch.equal(normals[6], torch.zeros(3))
    normals.sum().backward()
    assert torch.isfinite(vertices.grad).all()


# ---- the wrist


@pytest.mark.parametrize("missing", range(4))
def test_loop_of_an_open_tetrahedron(missing):
    """The hole is the face that was taken out, run in the direction of its neighbors: backwards."""
    faces = TETRAHEDRON[[i for i in range(4) if i != missing]]
    loop = boundary_loop(faces).tolist()
    a, b, c = TETRAHEDRON[missing].tolist()
    assert loop in ([a, c, b], [c, b, a], [b, a, c])
    assert loop[0] == min(loop)


def test_loop_of_the_hand_is_its_wrist(hand):
    loop = boundary_loop(hand.faces).tolist()
    assert len(loop) == len(set(loop)) == 16
    edges = [(t[i], t[(i + 1) % 3]) for t in hand.faces.tolist() for i in range(3)]
    for a, b in zip(loop, loop[1:] + loop[:1], strict=True):
        assert edges.count((a, b)) == 1 and edges.count((b, a)) == 0
    middle = hand.template[loop].mean(0)
    assert middle[0] == pytest.approx(float(hand.template[:, 0].max()), abs=0.02)  # at the arm's end


def test_closed_mesh_has_no_loop():
    with pytest.raises(ValueError, match="closed"):
        boundary_loop(TETRAHEDRON)


def test_two_holes_are_refused():
    with pytest.raises(ValueError, match="more than one hole"):
        boundary_loop(OCTAHEDRON[[1, 2, 3, 4, 5, 7]])


def test_holes_that_share_a_vertex_are_refused():
    """Two triangles that touch at a corner only; the walk along the boundary must come to an end."""

    def late(*_):
        raise TimeoutError("still walking")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, 2)
    try:
        with pytest.raises(ValueError, match="hole"):
            boundary_loop(torch.tensor([[0, 1, 2], [2, 3, 4]]))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


# ---- the Laplacian


def laplacian_naive(vertices, faces):
    """L x for the coordinates themselves: w_ij from the angles that face each edge, triangle by triangle."""
    n = len(vertices)
    weights = [[0.0] * n for _ in range(n)]
    for triangle in faces.tolist():
        for k in range(3):
            i, j, o = triangle[k], triangle[(k + 1) % 3], triangle[(k + 2) % 3]
            u, v = (vertices[i] - vertices[o]).tolist(), (vertices[j] - vertices[o]).tolist()
            dot = sum(a * b for a, b in zip(u, v, strict=True))
            cosine = dot / math.hypot(*u) / math.hypot(*v)
            cotangent = max(0.01, 1 / math.tan(math.acos(cosine)))
            weights[i][j] += cotangent / 2
            weights[j][i] += cotangent / 2
    rows = []
    for i in range(n):
        total = sum(weights[i])
        rows.append(sum(weights[i][j] * (vertices[i] - vertices[j]) for j in range(n)) / total)
    return torch.stack(rows)


def test_laplacian_equals_a_loop(generator):
    vertices = torch.randn(6, 3, generator=generator, dtype=torch.float64)
    laplacian = cotangent_laplacian(vertices, OCTAHEDRON)
    torch.testing.assert_close(laplacian @ vertices, laplacian_naive(vertices, OCTAHEDRON))


def test_laplacian_of_a_constant_is_nothing(hand):
    laplacian = cotangent_laplacian(hand.template, hand.faces)
    assert laplacian.sum(1).abs().max() < 1e-5
    assert torch.equal(laplacian.diagonal(), torch.ones(778))
    assert (laplacian - torch.eye(778)).max() <= 0  # a vertex against a convex combination


def test_laplacian_of_a_plane_is_nothing():
    """Cotangent weights have linear precision inside a flat patch, however irregular."""
    ring = [
        (math.cos(a) * r, math.sin(a) * r, 0.0)
        for a, r in zip((0, 1, 2, 3, 4, 5.2), (1, 1.3, 1, 1.2, 1, 1), strict=True)
    ]
    vertices = torch.tensor([(0.1, -0.1, 0.0), *ring], dtype=torch.float64)
    faces = torch.tensor([[0, 1 + i, 1 + (i + 1) % 6] for i in range(6)])
    assert (cotangent_laplacian(vertices, faces) @ vertices)[0].norm() < 1e-9


def test_laplacian_ignores_place_turn_and_scale(generator):
    vertices = torch.randn(6, 3, generator=generator, dtype=torch.float64)
    turn, _ = torch.linalg.qr(torch.randn(3, 3, generator=generator, dtype=torch.float64))
    moved = 3 * vertices @ turn.mT + 1
    torch.testing.assert_close(cotangent_laplacian(moved, OCTAHEDRON), cotangent_laplacian(vertices, OCTAHEDRON))


def test_laplacian_survives_degenerate_triangles():
    vertices = OCTAHEDRON_VERTICES.clone()
    vertices[1] = vertices[0]
    assert torch.isfinite(cotangent_laplacian(vertices, OCTAHEDRON)).all()
