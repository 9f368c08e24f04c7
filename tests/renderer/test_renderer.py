"""Sizes, batches, supersampling and what is refused; what pixels see is in test_rasterize.py."""

import pytest
import torch
from triangles import SHEET, H, W, triangles

from handlib import Renderer


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
