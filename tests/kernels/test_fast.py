"""The compiled loops of the renderer (renderer/numba) against the plain torch that they stand for."""

import pytest
import torch

from handlib import Renderer
from handlib.camera import crop_to_px
from handlib.parameters import MeshParameters, posed_hand

SIZE = (40, 56)  # not square, so that no axis can be mistaken for the other


@pytest.fixture(scope="module")
def hands(hand):
    """Three posed hands in pixels, one of them partly outside the picture."""
    pose, shape = hand.sample(3, torch.Generator().manual_seed(5))
    first = MeshParameters.split(MeshParameters.initial(hand).expand(3, -1))
    vertices = crop_to_px(posed_hand(hand, first._replace(pose=pose, shape=shape).join()).vertices, 44)
    return vertices + torch.tensor([[[3.0, -4, 0]], [[6.3, 1.1, 0]], [[30.2, 17.4, 0]]])


@pytest.fixture(params=[torch.float32, torch.float64], ids=["single", "double"])
def scene(request, hands, hand):
    colors = torch.rand(3, 778, 3, generator=torch.Generator().manual_seed(1))
    return hands.to(request.param), hand.faces, colors.to(request.param)


def both(call):
    return [call(backend) for backend in ("fast", "reference")]


def test_same_faces(scene):
    vertices, faces, _ = scene
    fast, plain = both(lambda b: Renderer(SIZE, b).rasterize(vertices, faces))
    assert (plain[0] >= 0).sum() > 500
    assert torch.equal(fast[0], plain[0]) and torch.equal(fast[1], plain[1])


KINDS = [(image, gradient) for image in ("silhouette", "rgb", "depth") for gradient in ("antialias", "kato")]


@pytest.mark.parametrize("image, gradient", [*KINDS, ("silhouette", "soft")])
def test_same_images_and_gradients(scene, image, gradient):
    vertices, faces, colors = scene
    pull = torch.randn(3, 3, *SIZE, generator=torch.Generator().manual_seed(2)).to(vertices)

    def render(backend):
        renderer, moved = Renderer(SIZE, backend, gradient, sigma=1e-3), vertices.clone().requires_grad_()
        if image == "silhouette":
            seen, wish = renderer.silhouette(moved, faces), pull[:, 0]
        elif image == "rgb":
            seen, wish = renderer.rgb(moved, faces, colors, 0.2 + 0 * pull[:, :3]), pull
        else:
            seen, wish = renderer.depth(moved, faces, background=70.0), pull[:, 0] / 70
        return seen.detach(), torch.autograd.grad((seen * wish).sum(), moved)[0]

    (fast, fast_push), (plain, plain_push) = both(render)
    exact = vertices.dtype == torch.float64
    torch.testing.assert_close(fast, plain, atol=1e-9 if exact and gradient != "soft" else 1e-5, rtol=0)
    # In single precision a crossing may fall on the other side of a pixel's center, which moves one kato pull.
    tolerance = (1e-9 if exact else 2e-2 if gradient == "kato" else 1e-3) * float(plain_push.abs().max())
    assert float(plain_push.abs().max()) > 0
    torch.testing.assert_close(fast_push, plain_push, atol=tolerance, rtol=0)


def test_threads_change_nothing(hands, hand):
    wanted = Renderer(SIZE, "fast").rasterize(hands, hand.faces)[0]
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        assert torch.equal(Renderer(SIZE, "fast").rasterize(hands, hand.faces)[0], wanted)
    finally:
        torch.set_num_threads(before)


def test_vertices_in_any_memory_order(hands, hand):
    turned = hands.transpose(1, 2).contiguous().transpose(1, 2).requires_grad_()
    straight = hands.clone().requires_grad_()
    for vertices in (turned, straight):
        Renderer(SIZE, "fast").silhouette(vertices, hand.faces).square().sum().backward()
    assert torch.equal(turned.grad, straight.grad)


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (5, 1)])
def test_smallest_pictures(hands, hand, size):
    for vertices in (hands[0], hands[0] - torch.tensor([25.0, 25, 0])):
        fast, plain = (Renderer(size, b).rasterize(vertices, hand.faces)[0] for b in ("fast", "reference"))
        assert torch.equal(fast, plain)
