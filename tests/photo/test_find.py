"""Finding hands: rendered ones in larger pictures, and none in photographs without them."""

import pytest
import skimage.data
import torch
from scenes import Hands

from handlib.networks.published import landmark_network, palm_network
from handlib.networks.turned_crop import TurnedCrop
from handlib.photo.find import ACCEPTED, SURE, Detection, Finder, same_points, surest, views
from handlib.photo.pyramid import Pyramid


@pytest.fixture(scope="module")
def finder():
    return Finder(palm_network(), landmark_network())


@pytest.fixture(scope="module")
def hands(rendered):
    return Hands(rendered)


def _meets(found, joints_px):
    """Whether the points of a detection lie on these joints: within 5 % of the hand's size in the mean."""
    side = (joints_px.amax(0) - joints_px.amin(0)).max()
    return bool((found.points_px - joints_px).norm(dim=-1).mean() < 0.05 * side)


@pytest.mark.parametrize(
    "placed",
    [
        [(0, 200, 100, 256, 0, False)],
        [(1, 0, 40, 440, 0, True)],
        [(1, 200, 100, 256, 1, False)],
        [(2, 200, 100, 256, 2, False)],
        [(0, 40, 100, 256, 0, False), (1, 350, 120, 256, 0, True)],
    ],
    ids=["one", "left, large", "on its side", "upside down", "right and left"],
)
def test_rendered_hands_are_found(finder, hands, placed):
    scene = hands.scene(480, 640, *placed)
    found = finder.find(Pyramid(scene.image))
    assert len(found) == len(placed)
    for (*_, mirrored), joints in zip(placed, scene.joints_px, strict=True):
        (own,) = [hand for hand in found if _meets(hand, joints)]
        assert own.presence > 0.9
        assert (float(own.evidence.right) < 0.5) == mirrored


def test_small_hands_of_a_large_picture_are_found(finder, hands):
    """Their boxes are 66 of 1280 pixels: the palms are too small in the whole for the detector."""
    scene = hands.scene(960, 1280, (1, 900, 300, 96, 0, False), (2, 200, 700, 96, 0, False))
    image = Pyramid(scene.image)
    assert not finder.palm_crops(image, next(views(960, 1280)))
    found = finder.find(image)
    assert len(found) == 2
    for joints in scene.joints_px:
        assert sum(_meets(hand, joints) for hand in found) == 1


def test_no_more_hands_than_asked_for(finder, hands):
    scene = hands.scene(480, 640, (0, 40, 100, 256, 0, False), (1, 350, 120, 256, 0, True))
    assert len(finder.find(Pyramid(scene.image), most=1)) == 1


def test_one_hand_is_one_however_many_views_show_it(finder, hands):
    scene = hands.scene(480, 640, (0, 200, 100, 256, 0, False))
    image = Pyramid(scene.image)
    seen = [crop for view in views(480, 640) for crop in finder.palm_crops(image, view)]
    assert len(seen) > 1
    assert len(finder.find(image, most=10)) == 1


@pytest.mark.parametrize("name", ["astronaut", "coffee", "chelsea", "rocket", "camera", "coins"])
def test_photographs_without_hands_hold_none(finder, name):
    pixels = torch.from_numpy(getattr(skimage.data, name)().copy())
    pixels = pixels.movedim(-1, 0) if pixels.ndim == 3 else pixels.expand(3, -1, -1)
    assert finder.find(Pyramid(pixels)) == []


def test_blank_pictures_of_any_size_hold_none(finder):
    for height, width in ((8, 8), (1, 300)):
        assert finder.find(Pyramid(torch.zeros(3, height, width, dtype=torch.uint8))) == []


@pytest.mark.parametrize("size", [(480, 640), (1280, 300), (100, 100)], ids=str)
def test_views_show_every_pixel(size):
    height, width = size
    right, low = width - 1, height - 1
    corners = torch.tensor([[1.0, 1], [right, 1], [1, low], [right, low], [width / 2, height / 2]])
    names = []
    for view in views(height, width):
        names.append(view.name)
        n = len(view.crops.side)
        inside = (view.crops.from_px(corners.expand(n, 5, 2)).abs() <= 1 + 1e-5).all(-1)
        assert inside.any(0).all(), view.name
    finer, tiles = max(size) >= 576, max(size) >= 768
    assert names == ["whole", "farther", *["finer"] * finer, *["tiles"] * tiles, "turned", *["halves"] * finer]


def test_same_hand_is_one_whose_points_lie_on_the_others(finder, hands, rendered):
    image = Pyramid(rendered["image"][0])
    crop = TurnedCrop.around_points(rendered["joints_px"][:1])
    (one,), (other,) = finder.look(image, crop), finder.look(image, crop.turned(0.1, 1.1))
    assert same_points(one.points_px, other.points_px) and same_points(other.points_px, one.points_px)
    elsewhere = one._replace(crop=one.crop._replace(center=one.crop.center + 60))
    assert not same_points(one.points_px, elsewhere.points_px)


def _scored(finder, rendered, score, shift=0.0) -> Detection:
    (hand,) = finder.look(Pyramid(rendered["image"][0]), TurnedCrop.around_points(rendered["joints_px"][:1]))
    return hand._replace(score=score, crop=hand.crop._replace(center=hand.crop.center + shift))


def test_of_hands_at_one_place_the_surest_is_kept(finder, rendered):
    """A quarter of the hand's side apart they are two answers about one hand, and one of them is wrong."""
    first = _scored(finder, rendered, 0.8)
    side = float((first.points_px.amax(0) - first.points_px.amin(0)).max())
    better, other = _scored(finder, rendered, 0.99, side / 4), _scored(finder, rendered, 0.75, 2 * side)
    assert surest([first, better, other]) == [better, other]
    assert surest([_scored(finder, rendered, ACCEPTED - 0.01)]) == []


@pytest.mark.parametrize("first, looks", [(SURE, 2), (SURE - 0.01, 3)])
def test_the_search_goes_on_until_the_hand_is_sure(rendered, monkeypatch, first, looks):
    """One palm in each of the views, the first of which leads to a hand with this score."""
    finder = Finder(palm_network(), landmark_network())
    answers = [_scored(finder, rendered, score) for score in (0.0, first, 1.0, 1.0, 1.0)]
    asked = []
    monkeypatch.setattr(finder, "palm_crops", lambda image, view: [view.crops.take(slice(0, 1))])
    monkeypatch.setattr(finder, "settled", lambda *_: asked.append(1) or answers[len(asked) - 1])
    (found,) = finder.find(Pyramid(torch.zeros(3, 900, 1200, dtype=torch.uint8)), most=1)
    assert len(asked) == looks and found.score == (first if looks == 2 else 1.0)
