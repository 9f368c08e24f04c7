import pytest
import torch

from handlib.camera import crop_to_px
from handlib.parameters import posed_hand
from handlib.renderer import Renderer
from handlib.teaching import NotYet, check, rendering
from handlib.teaching.checking import generator


@pytest.mark.parametrize("seed", [0, 1])
def test_weights_must_be_right_for_corners_of_either_direction(seed):
    def one_direction(corners, points):
        (ux, uy), (vx, vy) = corners[1:] - corners[0]
        return rendering.barycentric(corners, points) * torch.sign(ux * vy - uy * vx)

    for sign in (1, -1):
        with pytest.raises(NotYet, match="the wrong sign"):
            check("A2.1", lambda corners, points, sign=sign: sign * one_direction(corners, points), seed)


def test_push_right_is_the_gradient_of_the_renderer_and_of_finite_differences(hand):
    vertices = crop_to_px(posed_hand(hand, rendering.some_hand(generator("A2.2", 0, 0))).vertices, 48)
    pull = torch.rand(48, 48, generator=torch.Generator().manual_seed(0))
    pull = torch.nn.functional.avg_pool2d(pull[None], 9, 1, 4)[0]  # smooth, or finite differences are noise

    def loss(shift, scale=1):
        moved = (vertices + torch.stack([shift, 0 * shift, 0 * shift])) * torch.tensor([scale, scale, 1.0])
        mask = Renderer(48 * scale).silhouette(moved, hand.faces)
        return (torch.nn.functional.avg_pool2d(mask[None], scale)[0] * pull).sum()

    shift = torch.zeros((), requires_grad=True)
    (slope,) = torch.autograd.grad(loss(shift), shift)
    given = rendering.push_right(Renderer(48).silhouette(vertices, hand.faces), pull)
    assert torch.isclose(given, slope, rtol=1e-3, atol=1e-4)
    with torch.no_grad():
        finite = loss(torch.tensor(0.5), 8) - loss(torch.tensor(-0.5), 8)
    assert abs(float(given - finite)) < 0.1 * float(finite.abs()) + 0.3
