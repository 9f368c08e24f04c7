"""No argument makes compiled loops read or write foreign memory: what does not fit is an error before them."""

import pytest
import torch

from handlib import Camera, Renderer
from handlib.support.jit import each, parts

pytestmark = pytest.mark.usefixtures("unchecked")
SIZE = 32


@pytest.fixture(scope="module")
def mesh(hand):
    vertices = (hand.template - hand.template.mean(0)) * 150 + SIZE / 2
    return vertices, hand.faces


@pytest.mark.parametrize("corner", [2**31, 2**40, 778, -1, -(2**40)])
@pytest.mark.parametrize("gradient", ["antialias", "kato", "soft"])
def test_faces_out_of_range(mesh, corner, gradient):
    vertices, faces = mesh[0], mesh[1].clone()
    faces[5, 0] = corner
    renderer = Renderer(SIZE, gradient=gradient)
    calls = [lambda: renderer.silhouette(vertices, faces)]
    calls += [lambda: renderer.silhouette(vertices.expand(2, -1, -1), torch.stack([mesh[1], faces]))]
    if gradient != "soft":
        calls += [lambda: renderer.depth(vertices, faces), lambda: renderer.rasterize(vertices, faces)]
        calls += [lambda: renderer.rgb(vertices, faces, vertices), lambda: renderer.normals(vertices, faces, vertices)]
        texture, uv = torch.zeros(3, 4, 4), torch.zeros(9, 2)
        calls += [lambda: renderer.textured(vertices, mesh[1], texture, uv, faces)]
    for call in calls:
        with pytest.raises(ValueError, match=r"faces must be vertex numbers, 0 … \d+: got"):
            call()


def test_faces_that_are_no_faces(mesh):
    vertices, faces = mesh
    with pytest.raises(TypeError, match="faces must hold whole numbers"):
        Renderer(SIZE).silhouette(vertices, faces.float())
    for wrong in (faces[:, :2], faces[0]):
        with pytest.raises(ValueError, match="faces must have the shape"):
            Renderer(SIZE).silhouette(vertices, wrong)
    assert Renderer(SIZE).silhouette(vertices, faces[:0]).sum() == 0


def test_pictures_that_do_not_fit(mesh):
    renderer, (vertices, faces) = Renderer(SIZE), mesh
    for call, text in (
        (lambda: renderer.rgb(vertices, faces, vertices[:5]), "vertex_colors must have the shape"),
        (lambda: renderer.normals(vertices, faces, vertices[:, :2]), "vertex_normals must have the shape"),
        (lambda: renderer.rgb(vertices, faces, vertices, torch.zeros(3, 8, 8)), "background must end in"),
    ):
        with pytest.raises(ValueError, match=text):
            call()


@pytest.mark.parametrize("size", [0, -1, 2**20, (4, 0), 3.5])
def test_sizes_that_no_picture_has(size):
    with pytest.raises(ValueError, match="size must be whole numbers from 1 to"):
        Renderer(size)
    for supersampling in (-1, 0):
        with pytest.raises(ValueError, match="supersampling must be"):
            Renderer(8, supersampling=supersampling)


@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (3, 4), (3,), (4, 4)])
def test_rotations_and_placements_of_other_shapes(hand, shape):
    pose, beta, wrong = torch.zeros(2, 45), torch.zeros(2, 10), torch.ones(2, *shape)
    for name in ("rotation", "placement"):
        if shape == (3, 4) and name == "placement":
            continue
        for call in (hand, hand.skeleton):
            with pytest.raises(ValueError, match=f"{name} must end in 3×"):
                call(pose, beta, **{name: wrong})


def test_cameras_of_other_shapes():
    parts_of = torch.ones(2, 4), torch.ones(2, 1), torch.ones(2, 3)
    for k, name in enumerate(Camera._fields):
        wrong = list(parts_of)
        wrong[k] = wrong[k][:, :0]
        with pytest.raises(ValueError, match=f"camera's {name} must end in"):
            Camera(*wrong).matrix()


@pytest.mark.parametrize("loop", [each, parts])
def test_a_batch_of_parts_that_do_not_fit(loop):
    with pytest.raises(ValueError, match="all tensors must have length 1 or 4: got 2, 4"):
        loop(lambda *_: None, 4, torch.zeros(4, 2), torch.zeros(2, 2))


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32])
@pytest.mark.parametrize("gradient", ["antialias", "kato", "soft"])
def test_a_mesh_that_is_changed_after_it_was_drawn(mesh, dtype, gradient):
    """Through NumPy, which torch's count of changes does not see: before the next image, and before its gradient."""
    renderer, faces = Renderer(SIZE, gradient=gradient), mesh[1].to(dtype)
    vertices = mesh[0].clone().requires_grad_()
    image = renderer.silhouette(vertices, faces)
    torch.autograd.grad(image.sum(), vertices, retain_graph=True)
    view, corner = faces.numpy(), int(faces[5, 0])
    for wrong in (778, -1, 2**31 - 1, -(2**31)):
        view[5, 0] = wrong
        with pytest.raises(ValueError, match=f"faces must be vertex numbers, 0 … 777: got .*{wrong}"):
            renderer.silhouette(vertices, faces)
        with pytest.raises(ValueError, match="faces must be vertex numbers"):
            torch.autograd.grad(image.sum(), vertices, retain_graph=True)
    view[5, 0] = corner
    for wrong in (float("nan"), float("inf"), -1e10):
        vertices.detach().numpy()[700, 1] = wrong
        with pytest.raises(ValueError, match="vertices_px hold NaN, or numbers beyond 1e"):
            renderer.silhouette(vertices, faces)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16])
def test_short_whole_numbers_are_faces(mesh, dtype):
    vertices, faces = mesh[0][:100], mesh[1][(mesh[1] < 100).all(1)]
    wanted = Renderer(SIZE).silhouette(vertices, faces)
    assert wanted.any() and torch.equal(Renderer(SIZE).silhouette(vertices, faces.to(dtype)), wanted)
    texture, uv = torch.rand(3, 4, 4), torch.rand(100, 2)
    drawn = Renderer(SIZE).textured(vertices, faces, texture, uv, faces)
    assert torch.equal(Renderer(SIZE).textured(vertices, faces, texture, uv, faces.to(dtype)), drawn)


@pytest.mark.parametrize("backend", ["reference", "fast"])
def test_no_hands_and_no_faces(mesh, backend):
    renderer, (vertices, faces) = Renderer(SIZE, backend), mesh
    texture, uv = torch.zeros(3, 4, 4), torch.zeros(9, 2)
    for points, corners in ((vertices.expand(0, -1, -1), faces), (vertices[None], faces[:0])):
        for own in (corners, corners.expand(len(points), -1, -1)):
            drawn = (
                renderer.silhouette(points, own),
                renderer.depth(points, own, 0.0),
                renderer.rgb(points, own, points),
                renderer.normals(points, own, points),
                renderer.textured(points, own, texture, uv, corners.clamp(max=8)),
            )
            assert all(len(image) == len(points) and not image.any() for image in drawn)
            assert (renderer.rasterize(points, own)[0] == -1).all()
    with pytest.raises(ValueError, match="faces must be vertex numbers"):
        renderer.depth(vertices[None, :0], faces)


@pytest.mark.parametrize("supersampling", [1, 2, 3])
def test_the_largest_colors_stay_finite(mesh, supersampling):
    colors = torch.full((len(mesh[0]), 3), 3e38)
    image = Renderer(SIZE, supersampling=supersampling).rgb(*mesh, colors)
    assert image.isfinite().all() and image.max() > 2.9e38


def test_every_backend_refuses_the_same_meshes(mesh):
    for backend in ("reference", "fast"):
        for wrong in (float("nan"), float("inf"), 2e9):
            vertices = mesh[0].clone()
            vertices[3, 2] = wrong
            with pytest.raises(ValueError, match="vertices_px hold NaN, or numbers beyond 1e"):
                Renderer(SIZE, backend).silhouette(vertices, mesh[1])


def test_a_pose_without_numbers(hand):
    with pytest.raises(ValueError, match="pose must end in 45"):
        hand(torch.zeros(()), torch.zeros(10))
