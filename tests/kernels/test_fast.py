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
    # In single precision a crossing may fall on the other side of a pixel's centre, which moves one kato pull.
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


# ---- the error of a silhouette in one step


def plain_error(renderer, vertices, faces, mask):
    return (renderer.silhouette(vertices, faces) - mask).square().mean((-2, -1))


@pytest.fixture
def masks(scene):
    """Soft ones, so that no two pixels pull alike."""
    vertices, faces, _ = scene
    near = Renderer(SIZE, "reference").silhouette(vertices + torch.tensor([3.0, 2, 0]).to(vertices), faces)
    return 0.8 * near + 0.1 * torch.rand(3, *SIZE, generator=torch.Generator().manual_seed(3)).to(vertices)


@pytest.mark.parametrize("shared", [False, True], ids=["a mask each", "one mask"])
def test_silhouette_error_equals_its_three_steps(scene, masks, shared):
    vertices, faces, _ = scene
    mask, share = masks[0] if shared else masks, torch.tensor([0.5, 2, -1]).to(vertices)

    def measured(error, backend):
        moved = vertices.clone().requires_grad_()
        found = error(Renderer(SIZE, backend), moved, faces, mask)
        return found.detach(), torch.autograd.grad((found * share).sum(), moved)[0]

    fast, fast_push = measured(Renderer.silhouette_error, "fast")
    plain, plain_push = measured(plain_error, "reference")
    exact = vertices.dtype == torch.float64
    torch.testing.assert_close(fast, plain, atol=1e-12 if exact else 1e-7, rtol=0)
    scale = float(plain_push.abs().max())
    assert scale > 0
    torch.testing.assert_close(fast_push, plain_push, atol=(1e-9 if exact else 1e-3) * scale, rtol=0)
    other, _ = measured(Renderer.silhouette_error, "reference")
    assert torch.equal(other, plain)


@pytest.mark.parametrize("shift", [(-20, 0), (25, 0), (0, -20), (0, 25), (0, 0), (400, 0), (0, -400), (9e9, 9e9)])
def test_silhouette_error_at_the_borders(hands, hand, shift):
    """The mesh cut off on every side, filling the picture, and outside of it."""
    mask = torch.rand(12, 17, generator=torch.Generator().manual_seed(4)).double()
    moved = (hands[0].double() + torch.tensor([*shift, 0.0]) - torch.tensor([14.0, 14, 0])).requires_grad_()
    found, wanted = (
        error(Renderer((12, 17), backend), moved, hand.faces, mask)
        for error, backend in ((Renderer.silhouette_error, "fast"), (plain_error, "reference"))
    )
    torch.testing.assert_close(found, wanted)
    pushes = [torch.autograd.grad(error, moved)[0] for error in (found, wanted)]
    torch.testing.assert_close(*pushes)


def test_silhouette_error_of_any_batch(hands, hand):
    renderer, mask = Renderer(SIZE, "fast"), torch.rand(3, *SIZE, generator=torch.Generator().manual_seed(6))
    flat = renderer.silhouette_error(hands, hand.faces, mask)
    assert renderer.silhouette_error(hands[0], hand.faces, mask[0]) == flat[0]
    assert torch.equal(renderer.silhouette_error(hands[None], hand.faces, mask)[0], flat)
    own = hand.faces.expand(3, -1, -1)
    assert torch.equal(renderer.silhouette_error(hands, own, mask), flat)
    assert renderer.silhouette_error(hands[:0], hand.faces, mask[:0]).shape == (0,)
    with pytest.raises(ValueError, match=r"the mask is \(4, 5\), the picture \(40, 56\)"):
        renderer.silhouette_error(hands[0], hand.faces, torch.zeros(4, 5))


@pytest.mark.parametrize("settings", [{"gradient": "soft"}, {"gradient": "kato"}, {"supersampling": 2}], ids=str)
def test_silhouette_error_of_other_gradients(hands, hand, settings):
    renderer, mask = Renderer(SIZE, **settings), torch.rand(SIZE, generator=torch.Generator().manual_seed(7))
    found = renderer.silhouette_error(hands, hand.faces, mask)
    assert torch.equal(found, plain_error(renderer, hands, hand.faces, mask))


def test_silhouette_error_is_differentiable_in_the_mask(hands, hand):
    mask = torch.full((3, *SIZE), 0.5, requires_grad=True)
    Renderer(SIZE, "fast").silhouette_error(hands, hand.faces, mask).sum().backward()
    assert mask.grad.abs().min() > 0


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (5, 1)])
def test_smallest_pictures(hands, hand, size):
    mask = torch.zeros(size)
    for vertices in (hands[0], hands[0] - torch.tensor([25.0, 25, 0])):
        fast, plain = (Renderer(size, b).rasterize(vertices, hand.faces)[0] for b in ("fast", "reference"))
        assert torch.equal(fast, plain)
        errors = (Renderer(size, b).silhouette_error(vertices, hand.faces, mask) for b in ("fast", "reference"))
        torch.testing.assert_close(*errors)
