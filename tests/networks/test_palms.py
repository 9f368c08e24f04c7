"""The palm detector: its size, its anchors, how boxes are merged, and what it was published to say."""

import pytest
import torch
from patterns import pattern

from handlib.networks.palms import SAME_PALM, PalmNetwork, _anchors
from handlib.networks.published import palm_network
from handlib.networks.turned_crop import TurnedCrop


@pytest.fixture(scope="module")
def said():
    with torch.no_grad():
        return palm_network()(pattern(192))


def test_shapes_and_sizes(said):
    assert sum(p.numel() for p in PalmNetwork().parameters()) == 1_132_056
    assert [part.shape for part in said] == [(1, 2016), (1, 2016, 9, 2)]
    state = palm_network().state_dict()
    assert len(state) == 129 and "anchors" not in state
    assert state["stem.weight"].shape == (32, 3, 5, 5)
    assert state["box16.weight"].shape == (108, 256, 1, 1)
    assert state["box8.weight"].shape == (36, 128, 1, 1)


def test_anchors_are_the_middles_of_cells():
    anchors, expected = _anchors(PalmNetwork.ANCHORS), []
    for side, count in ((24, 2), (12, 6)):
        for row in range(side):
            for column in range(side):
                middle = [(column + 0.5) / side * 2 - 1, (row + 0.5) / side * 2 - 1]
                expected += [middle] * count
    torch.testing.assert_close(anchors, torch.tensor(expected))


def test_published_weights_say_what_they_did(said):
    """Recorded from the weights as they shipped first."""
    scores, points = said
    assert int(scores.argmax()) == 348
    torch.testing.assert_close(scores.max(), torch.tensor(0.0132), atol=1e-3, rtol=0)
    golden = [[[-1.1219, -1.1177], [-0.9181, -0.9139], [-1.1597, -0.8847], [-0.9304, -1.1905]],
              [[0.6248, 0.5899], [0.9132, 0.8783], [0.6583, 0.8980], [0.8237, 0.6261]],
              [[0.7779, 0.7486], [1.5107, 1.4813], [0.9740, 1.1393], [1.0430, 1.0377]]]  # fmt: skip
    torch.testing.assert_close(points[0, [0, 1000, 2015], :4], torch.tensor(golden), atol=1e-3, rtol=0)


def test_rendered_palms_are_found_where_they_are(rendered):
    crop = TurnedCrop.upright(torch.tensor([[0.0, 0, 256]]).expand(5, 3)).turned(0, 1.6)
    palms = palm_network().palms(crop.sample(rendered["image"], 192), 0.5)
    assert [len(found) for found in palms] == [1] * 5
    ends = torch.stack([torch.stack([palm.wrist, palm.middle]) for (palm,) in palms])
    off = (crop.to_px(ends) - rendered["joints_px"][:, [0, 9]]).norm(dim=-1)
    assert (off < 25).all()  # of 256 pixels; the wrist of the palm is lower than the joint


def test_a_larger_picture_shows_palms_of_the_same_size(rendered):
    """The network is convolutional: beside 192 pixels of black, a picture's palms are where they were."""
    crop = TurnedCrop.upright(torch.tensor([[0.0, 0, 256]])).turned(0, 1.6)
    picture, network = crop.sample(rendered["image"][:1], 192), palm_network()
    ((own,),) = network.palms(picture, 0.5)
    ((large,),) = network.palms(torch.nn.functional.pad(picture, (192, 0, 0, 192)), 0.5)
    assert large.score == pytest.approx(own.score, abs=0.05)
    corner = torch.tensor([0.5, -0.5])  # of the picture in the larger one, whose crop coordinates are half as large
    torch.testing.assert_close(large.box, own.box / 2 + corner, atol=0.02, rtol=0)
    torch.testing.assert_close(large.wrist, own.wrist / 2 + corner, atol=0.02, rtol=0)


def _box(x, y, half=1.0):
    """Two corners, and seven points in the box's middle."""
    return torch.tensor([[x - half, y - half], [x + half, y + half], *[[x, y]] * 7])


@pytest.fixture
def palms_of(monkeypatch):
    """The palms of one picture, of which the network says these scores and points."""

    def palms(scores, points, threshold=0.5):
        monkeypatch.setattr(PalmNetwork, "forward", lambda self, images: (torch.tensor([scores]), points[None]))
        (found,) = PalmNetwork().palms(torch.zeros(1, 3, 192, 192), threshold)
        return found

    return palms


def test_boxes_of_one_palm_are_averaged_by_their_scores(palms_of):
    points = torch.stack([_box(0.0, 0.0), _box(5.0, 0.0), _box(0.4, 0.0), _box(0.0, 5.0)])
    found = palms_of([0.6, 0.7, 0.9, 0.4], points)
    assert [palm.score for palm in found] == pytest.approx([0.9, 0.7])
    x = 0.4 * 0.9 / 1.5
    torch.testing.assert_close(found[0].box, torch.tensor([[x - 1, -1.0], [x + 1, 1.0]]))
    torch.testing.assert_close(found[0].wrist, torch.tensor([x, 0.0]))
    torch.testing.assert_close(found[1].box, _box(5.0, 0.0)[:2])


@pytest.mark.parametrize(("share", "count"), [(SAME_PALM + 0.02, 1), (SAME_PALM - 0.02, 2)])
def test_boxes_are_of_one_palm_by_intersection_over_union(palms_of, share, count):
    """Two squares of side 2 that are shifted by d have (2 − d) / (2 + d) in common."""
    apart = 2 * (1 - share) / (1 + share)
    assert len(palms_of([0.9, 0.8], torch.stack([_box(0.0, 0.0), _box(apart, 0.0)]))) == count


def test_boxes_without_area_and_no_boxes_at_all_come_to_an_end(palms_of):
    assert len(palms_of([0.9, 0.8], torch.zeros(2, 9, 2))) == 2
    assert palms_of([0.1, 0.2], torch.zeros(2, 9, 2)) == []
