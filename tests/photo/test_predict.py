"""`predict` on photographs made of rendered hands: places, cameras, sides, arguments."""

import math

import numpy as np
import pytest
import torch
from PIL import Image
from scenes import Hands

from handlib import DHPE, DHPEConfig
from handlib.camera import project
from handlib.networks.turned_crop import HandEvidence, TurnedCrop
from handlib.photo.find import Detection
from handlib.photo.mano_parameters import from_mano_parameters
from handlib.photo.predict import FIELD_OF_VIEW, Predictor, camera_of, checked_K, mirrored, mirrored_K, predict
from handlib.photo.pyramid import Pyramid
from handlib.photo.read import Photo, read_photo

K = torch.tensor([[700.0, 2, 300], [0, 690, 260], [0, 0, 1]])
FLIP = torch.tensor([-1.0, 1, 1])


@pytest.fixture(scope="module")
def predictor():
    return Predictor()


@pytest.fixture(scope="module")
def scene(rendered):
    """A right hand and a left one."""
    return Hands(rendered).scene(480, 640, (0, 40, 100, 256, 0, False), (1, 350, 120, 256, 0, True))


@pytest.fixture(scope="module")
def photo(scene):
    return read_photo(scene.image)


@pytest.fixture(scope="module")
def found(predictor, photo):
    return predictor(photo, K)


def _of(hands, side):
    (hand,) = [hand for hand in hands if hand.side == side]
    return hand


def test_both_hands_are_where_they_are(scene, found):
    for side, joints in zip(("right", "left"), scene.joints_px, strict=True):
        size = (joints.amax(0) - joints.amin(0)).max()
        assert (_of(found, side).joints_px - joints).norm(dim=-1).mean() < 0.08 * size
    assert found[0].score >= found[1].score > 0.5


def test_pose_of_a_rendered_hand_is_met(predictor, rendered):
    (hand,) = predictor(rendered["image"][0], rendered["K"][0])
    truth = rendered["joints_cam"][0]
    off = (hand.joints_cam - hand.joints_cam[9]) - (truth - truth[9])
    assert off.norm(dim=-1).mean() < 0.02
    assert 0.7 < hand.joints_cam[9, 2] / truth[9, 2] < 1.4  # as uncertain as the size of the hand is


def test_fields_of_an_estimate_belong_together(found):
    for hand in found:
        torch.testing.assert_close(hand.hand.regress_joints(hand.vertices_cam), hand.joints_cam, atol=1e-6, rtol=0)
        torch.testing.assert_close(project(hand.joints_cam, hand.K), hand.joints_px, atol=1e-3, rtol=0)
        torch.testing.assert_close(hand.vertices_px[:, :2], project(hand.vertices_cam, hand.K))
        torch.testing.assert_close(hand.vertices_px[:, 2], hand.vertices_cam[:, 2])
        assert torch.equal(hand.K, K) and not hand.K_assumed
        assert hand.confidence.shape == (21,) and 0 <= hand.confidence.min() and hand.confidence.max() <= 1
        left, top, side = hand.box_px
        inside = hand.joints_px - torch.tensor([left, top])
        assert inside.min() > -1e-2 and inside.max() < side + 1e-2
        assert (hand.vertices_cam[:, 2] > 0).all()


def test_faces_look_outward_on_both_sides(found):
    for hand in found:
        corners = (hand.vertices_cam - hand.vertices_cam.mean(0))[hand.faces]
        volume = torch.linalg.det(corners).sum() / 6
        assert 5e-5 < volume < 1e-3  # cubic meters, positive: counterclockwise seen from outside


@pytest.mark.parametrize("refine", [0, None])
def test_mano_parameters_pose_the_model_back(predictor, photo, refine):
    for hand in predictor(photo, K, refine=refine):
        parameters = hand.mano()
        assert parameters["is_rhand"] == (hand.side == "right")
        placed = from_mano_parameters(hand.hand, parameters)
        vertices = hand.hand(placed.pose, placed.shape).vertices @ placed.rotation.T + placed.translation
        vertices = vertices * FLIP if hand.side == "left" else vertices
        torch.testing.assert_close(vertices, hand.vertices_cam, atol=2e-5, rtol=0)


def test_left_is_right_in_the_mirror_to_rounding(predictor, photo, found):
    """Where both are looked at through mirrored crops. The palm detector itself is not symmetric."""
    width, pyramid = float(photo.size[0]), Pyramid(photo.pixels)
    detections = predictor.finder.find(pyramid)
    flipped = Photo(photo.pixels.flip(-1), photo.size)
    both = torch.tensor([True])
    seen = [
        Detection(mirrored(one.crop, both, width), HandEvidence(
            one.evidence.points * FLIP, one.evidence.presence, 1 - one.evidence.right, one.evidence.points_3d,
            one.evidence.features), one.score, one.spread)
        for one in detections
    ]  # fmt: skip
    own_K = mirrored_K(K, both, width)[0]
    for refine in (0, None):
        straight = predictor.estimate(photo, pyramid, detections, K, refine)
        mirror = predictor.estimate(flipped, Pyramid(flipped.pixels), seen, own_K, refine)
        for side, other in (("right", "left"), ("left", "right")):
            one, two = _of(straight, side), _of(mirror, other)
            torch.testing.assert_close(two.vertices_cam * FLIP, one.vertices_cam, atol=2e-4, rtol=1e-4)
            torch.testing.assert_close(two.h, one.h, atol=2e-3, rtol=1e-3)
            assert one.score == pytest.approx(two.score, abs=1e-3)


def test_mirrored_photograph_shows_mirrored_hands(predictor, photo, found):
    width = float(photo.size[0])
    mirror = predictor(Photo(photo.pixels.flip(-1), photo.size), mirrored_K(K, torch.tensor([True]), width)[0])
    for side, other in (("right", "left"), ("left", "right")):
        one, two = _of(found, side), _of(mirror, other)
        joints = two.joints_px * torch.tensor([-1.0, 1]) + torch.tensor([width, 0])
        assert (joints - one.joints_px).norm(dim=-1).mean() < 3


def test_focal_length_scales_depth_and_not_the_pose(predictor, photo):
    longer = K * torch.tensor([[2.0, 2, 1], [2, 2, 1], [1, 1, 1]])
    for refine in (0, None):
        hands = {hand.side: hand for hand in predictor(photo, K, refine=refine)}
        for far in predictor(photo, longer, refine=refine):
            near = hands[far.side]
            assert far.joints_cam[9, 2] / near.joints_cam[9, 2] == pytest.approx(2, rel=0.15)
            assert (far.joints_px - near.joints_px).norm(dim=-1).mean() < 3
            assert (far.h[:45] - near.h[:45]).abs().mean() < 0.1


def test_without_K_a_field_of_view_is_assumed(predictor, photo):
    hands = predictor(photo)
    assert all(hand.K_assumed for hand in hands)
    k = hands[0].K
    assert torch.equal(k[:2, 2], torch.tensor([320.0, 240])) and k[0, 0] == k[1, 1]
    assert k[0, 0] >= 320 / math.tan(math.radians(FIELD_OF_VIEW / 2)) - 1e-3
    assert min(hand.joints_cam[:, 2].min() for hand in hands) > 0.2


def test_a_focal_length_may_be_an_array_of_one_number():
    assert torch.equal(checked_K(torch.tensor(300.0), (40, 20)), checked_K(300.0, (40, 20)))


def test_focal_length_of_the_file_is_taken(photo):
    with_focal = Photo(photo.pixels, photo.size, focal_px=900.0)
    crop = TurnedCrop.upright(torch.tensor([[0.0, 0, 600]]))
    own, assumed = camera_of(with_focal, None, crop)
    assert own[0, 0] == own[1, 1] == 900 and assumed
    given, assumed = camera_of(with_focal, K, crop)
    assert torch.equal(given, K) and not assumed


def test_a_crop_of_a_hand_is_not_taken_for_a_hand_at_the_nose(rendered, predictor):
    """A hand that fills the picture would be at 20 cm under the usual field of view."""
    (hand,) = predictor(rendered["image"][0][:, 40:230, 30:220].contiguous())
    assert hand.K_assumed and hand.joints_cam[9, 2] > 0.3


def test_box_and_side_override_the_detector(predictor, scene, photo):
    left = scene.joints_px[1]
    low, high = left.amin(0), left.amax(0)
    size = int((high - low).max() * 1.3)
    corner = ((low + high - size) / 2).int().tolist()
    (hand,) = predictor(photo, K, box=(*corner, size))
    assert hand.side == "left"
    assert (hand.joints_px - left).norm(dim=-1).mean() < 0.1 * size
    (other,) = predictor(photo, K, box=(*corner, size), side="right")
    assert other.side == "right"
    assert torch.isfinite(other.vertices_cam).all()
    assert [hand.side for hand in predictor(photo, K, side="left")] == ["left", "left"]


def test_a_box_in_a_large_picture_is_seen_alike(predictor, scene, photo, tmp_path):
    """Read at half the side, of which the box still has more pixels than the networks look at."""
    times, (left, top) = 6, scene.joints_px[1].amin(0).tolist()
    box = (left - 20, top - 20, float((scene.joints_px[1].amax(0) - scene.joints_px[1].amin(0)).max()) + 40)
    large = Image.fromarray(photo.pixels.movedim(0, -1).contiguous().numpy()).resize((640 * times, 480 * times))
    large.save(tmp_path / "large.jpg", quality=95)
    larger = tuple(times * value for value in box)
    assert read_photo(tmp_path / "large.jpg", larger).reduction == 2
    (hand,) = predictor(tmp_path / "large.jpg", 500.0 * times, box=larger)
    (same,) = predictor(photo, 500.0, box=box)
    assert (hand.joints_px / times - same.joints_px).norm(dim=-1).mean() < 2


def test_an_empty_list_where_there_is_no_hand(predictor):
    assert predictor(np.full((120, 160, 3), 90, np.uint8)) == []


def test_every_kind_of_image_is_one(predictor, photo, found, tmp_path):
    pixels = photo.pixels.movedim(0, -1).contiguous().numpy()
    Image.fromarray(pixels).save(tmp_path / "hands.png")
    for source in (pixels, Image.fromarray(pixels), tmp_path / "hands.png", str(tmp_path / "hands.png")):
        hands = predictor(source, K.tolist())
        for one, two in zip(hands, found, strict=True):
            torch.testing.assert_close(one.vertices_cam, two.vertices_cam)


def test_reduced_photograph_keeps_the_pixels_of_the_whole(predictor, rendered, tmp_path, monkeypatch):
    scene = Hands(rendered).scene(960, 1280, (2, 80, 200, 512, 0, False), (1, 700, 240, 512, 0, True))
    path = tmp_path / "large.png"
    Image.fromarray((scene.image * 255).byte().movedim(0, -1).contiguous().numpy()).save(path)
    monkeypatch.setattr("handlib.photo.read.WHOLE_PX", 640)
    small = read_photo(path, (0, 0, 1280))
    assert small.reduction == 2
    hands = predictor(small)
    for side, joints in zip(("right", "left"), scene.joints_px, strict=True):
        assert (_of(hands, side).joints_px - joints).norm(dim=-1).mean() < 20


def test_another_model_predicts_too(photo, scene):
    torch.manual_seed(0)
    predictor = Predictor(DHPE(DHPEConfig(size=32, feature_width=4, features=16, pose_width=4, hidden=8)))
    for refine in (0, 2):
        hands = predictor(photo, K, refine=refine)
        assert sorted(hand.side for hand in hands) == ["left", "right"]
        assert all(torch.isfinite(hand.vertices_cam).all() for hand in hands)


def test_predict_takes_a_name_and_a_repr_says_what_is_there(photo, found):
    hands = predict(photo, K, max_hands=1)
    assert len(hands) == 1
    for word in (hands[0].side, "given K", "vertices_cam (778, 3)"):
        assert word in repr(hands[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"K": torch.eye(4)}, "K must be 3×3"),
        ({"K": "lens"}, r"K must be a tensor, an array or a list of numbers, not str: give 3×3, \[\[fx, s, cx\]"),
        ({"K": True}, "K must be 3×3"),
        ({"K": [[500, 0], [0, 500]]}, "K must be 3×3"),
        (
            {"K": [[500, 0, 1], [0, 500], [0, 0, 1]]},
            r"K must be .* a list whose rows are of one length: give 3×3, \[\[fx",
        ),
        ({"K": -K}, "K must be 3×3"),
        ({"K": K.T}, "K must be 3×3"),
        ({"K": K * math.nan}, "K must be 3×3"),
        ({"side": "both"}, "side must be right or left"),
        ({"max_hands": 0}, "max_hands must be at least 1"),
        ({"refine": -1}, "refine must be 0 or more"),
        ({"box": (10, 10)}, "LEFT TOP SIDE"),
        ({"box": (10, 10, 2)}, "too small"),
        ({"box": (10, 10, math.inf)}, "LEFT TOP SIDE"),
        ({"box": (9000, 10, 50)}, "outside of 160×120"),
    ],
    ids=str,
)
def test_bad_arguments_are_named_even_where_there_is_no_hand(predictor, unchecked, change, message):
    with pytest.raises((TypeError, ValueError), match=message):
        predictor(torch.zeros(3, 120, 160), **change)


def test_a_model_elsewhere_is_refused():
    with pytest.raises(ValueError, match=r"on meta.*model\.cpu"):
        Predictor(DHPE(DHPEConfig(size=32, feature_width=4, features=16, pose_width=4, hidden=8)).to("meta"))
