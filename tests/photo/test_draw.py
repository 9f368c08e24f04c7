from dataclasses import replace

import pytest
import torch
from hand_clips import SIZE, predictor, rendered

from handlib.photo.draw import draw_hands


@pytest.fixture(scope="module")
def hand():
    (hand,) = predictor()(rendered()["frames"][0], max_hands=1)
    return hand


def moved(hand, x, z=0.0):
    shift = torch.tensor([x, 0, z])
    return replace(hand, vertices_cam=hand.vertices_cam + shift, joints_cam=hand.joints_cam + shift)


def test_a_hand_is_drawn_where_it_is_and_the_image_stays(hand):
    image = rendered()["frames"][0]
    before = image.clone()
    drawn = draw_hands(image, [hand])
    assert torch.equal(image, before)
    x, y = hand.vertices_px[:, :2].mean(0).int().tolist()
    changed = (drawn != image).any(0)
    assert changed[y - 5 : y + 5, x - 5 : x + 5].float().mean() > 0.9
    left, top, side = hand.box_px
    assert not changed[: int(top - side / 2)].any()


def test_without_hands_nothing_is_drawn():
    image = rendered()["frames"][0]
    assert torch.equal(draw_hands(image, []), image)


def test_a_hand_outside_of_the_image_is_left_out(hand):
    image = rendered()["frames"][0]
    assert torch.equal(draw_hands(image, [moved(hand, 5.0)]), image)


def test_a_hand_across_the_rim_is_drawn_up_to_it(hand):
    image = torch.zeros(3, SIZE, SIZE, dtype=torch.uint8)
    across = moved(hand, float((SIZE - hand.joints_px[9, 0]) / hand.K[0, 0] * hand.joints_cam[9, 2]))
    assert (draw_hands(image, [across])[:, :, -8:] > 0).any()


def test_the_nearer_hand_is_on_top(hand):
    image = rendered()["frames"][0]
    behind = moved(hand, 0.0, 0.3)
    drawn = draw_hands(image, [hand, behind])
    assert torch.equal(drawn, draw_hands(image, [behind, hand]))
    assert torch.equal(drawn, draw_hands(draw_hands(image, [behind]), [hand]))
