"""Turned crops: where they lie, what they show, and that they follow the hand."""

import math

import pytest
import torch
from patterns import pattern

from handlib.networks.palms import Palm, crop_around
from handlib.networks.turned_crop import TurnedCrop

QUARTER = math.pi / 2


def _crops(generator, n=4) -> TurnedCrop:
    def draw(*shape):
        return torch.randn(n, *shape, generator=generator)

    return TurnedCrop(100 + 30 * draw(2), 60 * torch.exp(0.2 * draw()), 2 * draw())


def _same(one: TurnedCrop, other: TurnedCrop, tolerance=1e-3):
    torch.testing.assert_close(one.center, other.center, atol=tolerance, rtol=1e-5)
    torch.testing.assert_close(one.side, other.side, atol=tolerance, rtol=1e-5)
    turn = one.angle - other.angle
    torch.testing.assert_close(torch.stack([turn.cos(), turn.sin()]), torch.tensor([[1.0], [0.0]]).expand(2, len(turn)))


def test_pixels_and_crop_coordinates_are_inverse(generator):
    crop, points = _crops(generator), torch.randn(4, 7, 2, generator=generator)
    torch.testing.assert_close(crop.from_px(crop.to_px(points)), points, atol=1e-5, rtol=1e-5)


def test_up_of_a_crop_is_the_images_up_turned_clockwise():
    crop = TurnedCrop(torch.zeros(1, 2), torch.full((1,), 2.0), torch.full((1,), QUARTER))
    torch.testing.assert_close(crop.to_px(torch.tensor([[[0.0, -1.0]]])), torch.tensor([[[1.0, 0.0]]]))
    turned = torch.tensor([0.0, -1, 5]) @ crop.rotation_3d()[0].T
    torch.testing.assert_close(turned, torch.tensor([1.0, 0, 5]))


def test_upright_square_is_the_image_itself():
    image = pattern(32)
    torch.testing.assert_close(TurnedCrop.upright(torch.tensor([[0.0, 0, 32]])).sample(image, 32), image)


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_turned_square_is_the_turned_image(quarters):
    image = pattern(32)
    crop = TurnedCrop.upright(torch.tensor([[0.0, 0, 32]])).turned(quarters * QUARTER)
    # The crop's up is the image's up turned clockwise, so the picture is turned counterclockwise.
    torch.testing.assert_close(crop.sample(image, 32), image.rot90(quarters, (-2, -1)), atol=1e-4, rtol=0)


def test_one_image_serves_all_crops_and_each_image_its_own(generator):
    crop, image = _crops(generator), pattern(200)
    images = torch.cat([image, image.flip(-1), image.flip(-2), 1 - image])
    each = crop.sample(images, 16)
    for i in range(4):
        torch.testing.assert_close(each[i : i + 1], crop.take(slice(i, i + 1)).sample(images[i : i + 1], 16))
    torch.testing.assert_close(crop.sample(image, 16)[:1], each[:1])


def test_beyond_the_image_is_its_rim_or_black():
    image = torch.full((1, 3, 16, 16), 0.7)
    crop = TurnedCrop.upright(torch.tensor([[-16.0, 0, 32]]))
    torch.testing.assert_close(crop.sample(image, 32), torch.full((1, 3, 32, 32), 0.7))
    black = crop.sample(image, 32, "zeros")
    assert (black[..., :14] == 0).all()
    torch.testing.assert_close(black[..., 2:14, 18:], torch.full((1, 3, 12, 14), 0.7))


def test_inner_crop_is_seen_through_the_outer_one(generator):
    outer = _crops(generator)
    inner = TurnedCrop(0.3 * torch.randn(4, 2, generator=generator), torch.full((4,), 0.8), torch.full((4,), 0.5))
    points = torch.randn(4, 5, 2, generator=generator)
    torch.testing.assert_close(outer.inner(inner).to_px(points), outer.to_px(inner.to_px(points)), atol=1e-3, rtol=1e-5)


def _moved(points, angle, scale, shift):
    """Points of an image that is turned clockwise, scaled and shifted."""
    c, s = math.cos(angle), math.sin(angle)
    return points @ torch.tensor([[c, s], [-s, c]]) * scale + torch.tensor(shift)


MOVES = [(0.0, 1.0, (30.0, -20.0)), (0.0, 2.5, (0.0, 0.0)), (0.7, 1.0, (0.0, 0.0)), (-2.9, 0.4, (500.0, 100.0))]


def _of_moved_image(crop, angle, scale, shift):
    return TurnedCrop(_moved(crop.center, angle, scale, shift), crop.side * scale, crop.angle + angle)


@pytest.mark.parametrize("move", MOVES)
def test_crop_around_points_follows_the_image(rendered, move):
    points = rendered["joints_px"]
    _same(TurnedCrop.around_points(_moved(points, *move)), _of_moved_image(TurnedCrop.around_points(points), *move))


@pytest.mark.parametrize("move", MOVES)
def test_crop_around_a_palm_follows_the_image(move):
    """A palm's box does not turn with it, so a square one turns about its middle."""
    box = torch.tensor([[40.0, 60], [80, 100]])
    palm = Palm(0.9, box, torch.tensor([62.0, 98]), torch.tensor([55.0, 65]))
    center = _moved(box.mean(0), *move)
    half = torch.tensor([20.0, 20]) * move[1]
    ends = (_moved(point, *move) for point in (palm.wrist, palm.middle))
    moved = Palm(0.9, torch.stack([center - half, center + half]), *ends)
    _same(crop_around(moved), _of_moved_image(crop_around(palm), *move))


def test_hand_points_up_in_its_crop_and_fills_half_of_it(rendered):
    joints = rendered["joints_px"]
    seen = TurnedCrop.around_points(joints).from_px(joints)
    assert (seen[:, 0, 1] > seen[:, 9, 1] + 0.3).all()
    assert (seen[:, 0, 0] - seen[:, 9, 0]).abs().max() < 0.3
    low, high = seen.amin(1), seen.amax(1)
    assert (low > -1).all() and (high < 1).all()
    assert ((high - low).amax(1) > 0.8).all()
