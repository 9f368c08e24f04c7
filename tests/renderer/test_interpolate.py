"""What corners have in common with the pixels between them: colors, depths, normals."""

import torch
from triangles import SHEET, H, W, triangles

from handlib import Renderer
from handlib.renderer.interpolate import barycentrics


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


def test_normals_are_unit_vectors_between_those_of_the_corners():
    face, normals = torch.tensor([[0, 1, 2]]), torch.tensor([[0.0, 0, -1], [1, 0, 0], [0, 1, 0]])
    image = Renderer(8).normals(SHEET, face, normals)
    torch.testing.assert_close(image.norm(dim=0), torch.ones(8, 8))
    weights = Renderer(8).rasterize(SHEET, face)[1]
    blend = weights @ normals
    torch.testing.assert_close(image.movedim(0, -1), blend / blend.norm(dim=-1, keepdim=True))
    assert not Renderer(8).normals(SHEET - 500, face, normals).any()
