import pytest
import torch

from handlib import Renderer
from handlib.camera import crop_to_px
from handlib.hand.mesh import vertex_normals
from handlib.parameters import MeshParameters, posed_hand
from handlib.renderer.texture import complete, complete_colors, opposite_vertices, sample_colors

SIZE = 128


@pytest.fixture(scope="module")
def scene(hand):
    """A hand with smooth colors, its picture on green, and the same hand seen from a little further round."""
    first = MeshParameters.initial(hand)
    vertices = crop_to_px(posed_hand(hand, first).vertices, SIZE)[None]
    colors = 0.3 + 0.6 * (hand.template - hand.template.amin(0)) / (hand.template.amax(0) - hand.template.amin(0))
    green = torch.tensor([0.0, 1.0, 0.0]).view(3, 1, 1).expand(3, SIZE, SIZE)
    return vertices, colors, Renderer(SIZE).rgb(vertices, hand.faces, colors, green)


def test_colors_come_back(hand, scene):
    vertices, colors, image = scene
    found, shown = sample_colors(image, vertices, hand.faces)
    assert 0.2 < shown.float().mean() < 0.7  # the side that faces the camera
    assert (found[shown] - colors[None][shown]).abs().quantile(0.99) < 0.15
    assert (found[shown] - colors[None][shown]).abs().mean() < 0.01


def test_what_is_hidden_is_not_shown(scene, hand):
    """A sheet before the hand's left half takes the place of its colors there."""
    vertices, _, image = scene
    sheet = torch.tensor([[[-9.0, -9, -1e3], [64, -9, -1e3], [-9, 300, -1e3], [64, 300, -1e3]]])
    faces = torch.cat([hand.faces, torch.tensor([[0, 1, 2], [1, 3, 2]]) + 778])
    shown = sample_colors(image, torch.cat([vertices, sheet], 1), faces)[1][:, :778]
    assert not shown[vertices[..., 0] < 63].any() and shown[vertices[..., 0] > 66].any()


def test_a_new_view_wears_the_same_skin(hand, scene):
    vertices, colors, image = scene
    worn = complete_colors(*sample_colors(image, vertices, hand.faces), hand.faces)
    turn = torch.tensor([[0.8, 0.0, 0.6], [0.0, 1.0, 0.0], [-0.6, 0.0, 0.8]])
    center = vertices.mean(1, keepdim=True)
    turned = (vertices - center) @ turn.T + center
    truth = Renderer(SIZE).rgb(turned, hand.faces, colors)
    assert (Renderer(SIZE).rgb(turned, hand.faces, worn) - truth).abs().mean() < 0.02


def test_completion_is_the_mean_of_the_neighbors(hand, generator):
    colors = torch.rand(2, 778, 3, generator=generator, dtype=torch.float64)
    known = torch.rand(2, 778, generator=generator) < 0.1
    found = complete_colors(colors, known, hand.faces)
    assert torch.equal(found[known], colors[known]) or (found[known] - colors[known]).abs().max() < 1e-9
    neighbors = {v: set() for v in range(778)}
    for a, b, c in hand.faces.tolist():
        for v, w in ((a, b), (b, c), (c, a)):
            neighbors[v].add(w)
            neighbors[w].add(v)
    for v in range(0, 778, 7):
        if not known[0, v]:
            torch.testing.assert_close(found[0, v], found[0, sorted(neighbors[v])].mean(0))
    assert found.amin() >= colors.amin() and found.amax() <= colors.amax() + 1e-9


def plain_completion(colors, known, faces):
    """The same system of equations, dense, solved by elimination."""
    near = colors.new_zeros(778, 778)
    for i, j in ((0, 1), (1, 2), (2, 0)):
        near[faces[:, i], faces[:, j]] = near[faces[:, j], faces[:, i]] = 1
    free = (~known)[..., None].to(colors)
    system = torch.eye(778, dtype=colors.dtype) - free * (near / near.sum(1, keepdim=True))
    return torch.linalg.solve(system, (1 - free) * colors)


@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 1e-3), (torch.float64, 1e-9)])
@pytest.mark.parametrize("share", [0.002, 0.3, 1.0])
def test_completion_solves_the_plain_equations(hand, generator, dtype, tolerance, share):
    colors = torch.rand(2, 778, 3, generator=generator, dtype=dtype)
    known = torch.rand(2, 778, generator=generator) < share
    known[:, 5] = True
    wanted = plain_completion(colors.double(), known, hand.faces).to(dtype)
    torch.testing.assert_close(complete_colors(colors, known, hand.faces), wanted, rtol=0, atol=tolerance)


def test_one_hand_does_not_color_another(hand, generator):
    colors, known = torch.rand(3, 778, 3, generator=generator), torch.rand(3, 778, generator=generator) < 0.2
    together = complete_colors(colors, known, hand.faces)
    torch.testing.assert_close(complete_colors(colors[1:2], known[1:2], hand.faces), together[1:2], rtol=0, atol=1e-4)


def test_opposite_vertices_are_across_the_hand(hand):
    opposite = opposite_vertices(hand.template, hand.faces)
    side = vertex_normals(hand.template, hand.faces)[:, 1] > 0
    assert (side[opposite] != side).all()
    apart = (hand.template[opposite] - hand.template)[:, [0, 2]].norm(dim=-1)
    assert apart.median() < 3e-3 and apart.max() < 0.02  # meters; at the hand's edge the other side is a little away


def test_symmetry_takes_the_other_sides_colors_first(hand, generator):
    back = vertex_normals(hand.template, hand.faces)[:, 1] > 0
    colors = torch.rand(1, 778, 3, generator=generator)
    opposite = opposite_vertices(hand.template, hand.faces)
    found = complete(colors, back[None], hand.template, hand.faces, "symmetry")
    torch.testing.assert_close(found[0, back], colors[0, back])
    torch.testing.assert_close(found[0, ~back], colors[0, opposite[~back]])
    smooth = complete(colors, back[None], hand.template, hand.faces, "diffusion")
    torch.testing.assert_close(smooth, complete_colors(colors, back[None], hand.faces))
    with pytest.raises(ValueError, match="choose one of diffusion, symmetry"):
        complete(colors, back[None], hand.template, hand.faces, "guess")


def test_nothing_known_is_an_error(hand):
    with pytest.raises(ValueError, match="no vertex with a color"):
        complete_colors(torch.zeros(1, 778, 3), torch.zeros(1, 778, dtype=torch.bool), hand.faces)


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
