"""The crop of a hand, its mirror, and the way back."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from miniatures import MIRROR, hands, picture, projected

from handlib.camera import project
from handlib.data import collate
from handlib.data import crop as crops
from handlib.data.crop import Crop, Frame, choose_box, cut_frame, cut_nearest, cut_smooth

K = np.array([[300.0, 2.0, 150.0], [0, 310.0, 120.0], [0, 0, 1]])
WIDTH, HEIGHT = 320, 240


def frame_of(hand, side="right", seed=0, **more) -> Frame:
    rng = np.random.default_rng(seed)
    found = hands(hand, 1, seed, 0.45)
    found = found.left() if side == "left" else found
    fields = {
        "name": "a frame",
        "side": side,
        "image": picture(rng, WIDTH, HEIGHT),
        "joints_cam": torch.from_numpy(found.joints[0]),
        "visible": torch.ones(21, dtype=torch.bool),
        "K": torch.from_numpy(K),
        "mask": picture(rng, WIDTH, HEIGHT, 1)[..., 0] > 127,
        "parts": picture(rng, WIDTH, HEIGHT, 1)[..., 0] // 16,
        "depth": rng.random((HEIGHT, WIDTH)).astype(np.float32),
        "vertices_cam": torch.from_numpy(found.vertices[0]),
    }
    return Frame(**(fields | more))


@pytest.mark.parametrize("side", ["right", "left"])
def test_a_sample_is_a_right_hand_that_K_projects_onto_the_crop(hand, side):
    frame = frame_of(hand, side)
    sample = cut_frame(frame, 96, Crop())
    torch.testing.assert_close(sample.joints_px, project(sample.joints_cam, sample.K))
    # By hand: mirror the picture, then cut and zoom.
    original = projected(frame.joints_cam.numpy(), K)
    if side == "left":
        original[:, 0] = WIDTH - original[:, 0]
    left, top, length = sample.box.tolist()
    found = (original - [left, top]) * 96 / length
    np.testing.assert_allclose(sample.joints_px, found, atol=2e-3)
    flip = MIRROR if side == "left" else 1
    np.testing.assert_allclose(sample.joints_cam, frame.joints_cam.numpy() * flip, atol=1e-6)
    np.testing.assert_allclose(sample.vertices_cam, frame.vertices_cam.numpy() * flip, atol=1e-6)
    assert sample.side == side and sample.picture == (WIDTH, HEIGHT)


@pytest.mark.parametrize("side", ["right", "left"])
def test_the_way_back_is_exact(hand, side):
    frame = frame_of(hand, side, seed=3)
    sample = cut_frame(frame, 224, Crop())
    back_px = crops.to_original_picture(sample.joints_px, sample)
    np.testing.assert_allclose(back_px, projected(frame.joints_cam.numpy(), K), atol=1e-3)
    back_cam = crops.to_original_camera(sample.joints_cam, side)
    assert torch.equal(back_cam, frame.joints_cam.float())


def test_the_crop_is_three_halves_of_the_tight_box(hand):
    sample = cut_frame(frame_of(hand), 90, Crop())
    low, high = sample.joints_px.amin(0), sample.joints_px.amax(0)
    assert float((high - low).max()) == pytest.approx(60, abs=1e-2)
    torch.testing.assert_close((low + high) / 2, torch.full((2,), 45.0), rtol=0, atol=1e-2)


@pytest.mark.parametrize("side", ["right", "left"])
def test_pixels_are_exact_where_nothing_is_resized(hand, side):
    """The smallest square around the whole picture, at its own size."""
    frame = frame_of(hand, side)
    sample = cut_frame(frame, WIDTH, Crop("picture"))
    assert sample.box.tolist() == [0, -40, WIDTH]
    turn = slice(None, None, -1 if side == "left" else 1)
    inside = sample.image[:, 40:280]
    np.testing.assert_array_equal((inside * 255).round().byte().movedim(0, -1), frame.image[:, turn])
    np.testing.assert_array_equal(sample.mask[40:280] > 0, frame.mask[:, turn])
    np.testing.assert_array_equal(sample.parts[40:280], frame.parts[:, turn])
    np.testing.assert_array_equal(sample.depth[40:280], frame.depth[:, turn])
    for border in (sample.image[:, :40], sample.image[:, 280:]):
        assert (border * 255 == crops.GRAY).all()
    assert not sample.mask[:40].any() and not sample.depth[280:].any()


@pytest.mark.parametrize("box", [(10.0, 20.0, 64.0), (-30.0, 200.0, 64.0), (300.0, -20.0, 64.0)])
def test_whole_pixels_are_copied(box):
    image = picture(np.random.default_rng(1), WIDTH, HEIGHT)
    padded = np.full((HEIGHT + 200, WIDTH + 200, 3), crops.GRAY, np.uint8)
    padded[100:-100, 100:-100] = image
    left, top, side = (int(v) for v in box)
    expected = padded[100 + top : 100 + top + side, 100 + left : 100 + left + side]
    found = cut_smooth(image, torch.tensor(box, dtype=torch.float64), side)
    np.testing.assert_array_equal((found * 255).round().byte().movedim(0, -1), expected)


@pytest.mark.parametrize("size", [20, 50, 150])
def test_a_ramp_keeps_its_place(size):
    """Gray levels that are their own coordinates: what K says of a pixel is what is there, smooth and nearest."""
    u = np.arange(200, dtype=np.uint8)
    image = np.broadcast_to(u[None, :, None], (200, 200, 3)).copy()
    box = torch.tensor([31.7, 22.2, 90.5], dtype=torch.float64)
    expected = 31.7 + (torch.arange(size) + 0.5) * 90.5 / size - 0.5  # pixel centers
    found = cut_smooth(image, box, size)[0] * 255
    assert (found - expected).abs().max() < 0.75  # half a gray level of rounding, and a quarter
    nearest = cut_nearest(image[..., 0], box, size)
    assert (torch.from_numpy(nearest).float() - expected).abs().max() <= 0.5 + 1e-6
    down = cut_nearest(image[..., 0].T, box, size)
    assert (torch.from_numpy(down)[:, 0].float() - (expected - 9.5)).abs().max() <= 0.5 + 1e-6


def test_small_pictures_of_fine_patterns_are_gray():
    """A chequerboard of single pixels, reduced eight times, has no pattern left: the resampling is antialiased."""
    board = ((np.indices((160, 160)).sum(0) % 2) * 255).astype(np.uint8)
    found = cut_smooth(np.stack([board] * 3, -1), torch.tensor([0, 0, 160], dtype=torch.float64), 20)
    assert (found - 0.5).abs().max() < 0.02


# ---- rules


def test_other_rules(hand):
    visible = torch.zeros(21, dtype=torch.bool)
    visible[5:9] = True
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[50:80, 100:160] = True
    frame = frame_of(hand, visible=visible, mask=mask)
    px = torch.from_numpy(projected(frame.joints_cam.numpy(), K))
    box = choose_box(frame, Crop("visible", 2.0))
    assert float(box[2]) == pytest.approx(2 * float((px[5:9].amax(0) - px[5:9].amin(0)).max()))
    assert choose_box(frame, Crop("mask", 1.5)).tolist() == [130 - 45, 65 - 45, 90]
    box = choose_box(frame, Crop("metric", meters=0.2))
    assert float(box[2]) == pytest.approx(0.2 * 305 / float(frame.joints_cam[:, 2].mean()))
    torch.testing.assert_close(box[:2] + box[2] / 2, px.mean(0))


def test_too_little_for_a_rule(hand):
    joints = torch.full((21, 3), torch.nan, dtype=torch.float64)
    assert choose_box(frame_of(hand, joints_cam=joints), Crop()).tolist() == [0, -40, 320]
    joints[4] = torch.tensor([0.0, 0.0, 0.5])
    one = frame_of(hand, joints_cam=joints)
    assert torch.equal(choose_box(one, Crop()), choose_box(one, Crop("metric")))
    whole = frame_of(hand, mask=None)
    assert torch.equal(choose_box(whole, Crop("mask")), choose_box(whole, Crop("metric")))
    sample = cut_frame(one, 64, Crop())
    assert sample.joints_px[0].isnan().all() and not sample.visible[0] and sample.visible[4]


def test_the_box_that_a_data_set_gives(hand):
    """Where asked for, and before "metric" where joints are missing; mirrored with its picture, in any two corners."""
    corners = torch.tensor([[160.0, 50], [100, 80]], dtype=torch.float64)
    frame = frame_of(hand, "left", box_px=corners)
    assert choose_box(frame, Crop("box", 1.5)).tolist() == [130 - 45, 65 - 45, 90]
    assert choose_box(frame.mirrored(), Crop("box", 1.5)).tolist() == [WIDTH - 130 - 45, 65 - 45, 90]
    assert not torch.equal(choose_box(frame, Crop()), choose_box(frame, Crop("box")))
    joints = torch.full((21, 3), torch.nan, dtype=torch.float64)
    joints[0] = torch.tensor([0.0, 0.0, 0.5])
    wrist = frame_of(hand, joints_cam=joints, box_px=corners)
    assert torch.equal(choose_box(wrist, Crop()), choose_box(wrist, Crop("box")))
    assert torch.equal(choose_box(frame_of(hand), Crop("box")), choose_box(frame_of(hand), Crop("metric")))


def test_joints_in_one_place_still_give_a_crop(hand):
    joints = torch.tensor([0.0, 0, 0.5], dtype=torch.float64).expand(21, 3)
    assert float(choose_box(frame_of(hand, joints_cam=joints), Crop())[2]) == crops.SHORTEST_PX


def test_labels_that_cannot_be(hand):
    frame = frame_of(hand)
    behind = frame.joints_cam * torch.tensor([1.0, 1, -1])
    with pytest.raises(ValueError, match="a frame: joints are behind the camera"):
        cut_frame(frame_of(hand, joints_cam=behind), 64, Crop())
    for shift in ([5.0, 0, 0], [0, -5.0, 0]):
        with pytest.raises(ValueError, match="a frame: the hand's box .* is not in its picture of 320×240"):
            cut_frame(frame_of(hand, joints_cam=frame.joints_cam + torch.tensor(shift)), 64, Crop())
    near = frame.joints_cam * torch.tensor([1.0, 1, 0.01])
    with pytest.raises(ValueError, match="is not in its picture"):
        cut_frame(frame_of(hand, joints_cam=near), 64, Crop())


def test_wrong_names():
    with pytest.raises(ValueError, match="unknown crop 'palm': choose one of joints"):
        Crop("palm")
    with pytest.raises(ValueError, match="must be above 0"):
        Crop(factor=0)
    with pytest.raises(ValueError, match="side must be right or left"):
        crops.to_original_camera(torch.zeros(21, 3), "both")


def test_mirroring_twice_changes_nothing(hand):
    frame = frame_of(hand, "left")
    twice = frame.mirrored().mirrored()
    assert torch.equal(twice.joints_cam, frame.joints_cam) and torch.equal(twice.K, frame.K)
    np.testing.assert_array_equal(twice.image, frame.image)
    assert frame.mirrored().side == "right"
    points = torch.rand(2, 5, 2)
    torch.testing.assert_close(crops.mirror_px(crops.mirror_px(points, 100), 100), points)


def test_a_sample_of_no_picture_has_no_way_back(hand):
    from dataclasses import replace

    sample = replace(cut_frame(frame_of(hand), 32, Crop()), box=None)
    with pytest.raises(ValueError, match="was not cut from a picture"):
        crops.to_original_picture(sample.joints_px, sample)


def test_jitter_moves_the_crop_and_its_camera_alike(hand):
    frames = [replace(frame_of(hand, seed=seed), name=str(seed)) for seed in range(60)]
    plain = torch.stack([choose_box(frame, Crop()) for frame in frames])
    moved = torch.stack([choose_box(frame, Crop(jitter=0.2)) for frame in frames])
    again = torch.stack([choose_box(frame, Crop(jitter=0.2)) for frame in frames])
    assert torch.equal(moved, again)
    ratio = (moved[:, 2] / plain[:, 2]).log()
    shift = ((moved - plain)[:, :2] + (moved - plain)[:, 2:] / 2) / (plain[:, 2:] / 2)  # of the center, in half sides
    for values in (ratio, *shift.T):
        assert 0.1 < values.std() < 0.25 and values.abs().max() <= 0.4 + 1e-6 and values.mean().abs() < 0.1
    sample = cut_frame(frames[0], 64, Crop(jitter=0.2))
    torch.testing.assert_close(sample.joints_px, project(sample.joints_cam, sample.K))
    assert str(Crop(jitter=0.2)).endswith("±0.2")
    with pytest.raises(ValueError, match="jitter must be 0 … 0.5, not -1"):
        Crop(jitter=-1)


def test_a_second_look_is_a_training_crop(hand):
    """Cut from a crop that fits badly, around the true joints: the camera of a crop around the joints, and its view."""
    slope = np.broadcast_to(np.linspace(0, 255, WIDTH, dtype=np.uint8)[None, :, None], (HEIGHT, WIDTH, 3))
    frame = frame_of(hand, image=slope.copy())
    first = collate([cut_frame(frame, 256, Crop("metric", meters=0.3))])
    second, wanted = crops.recropped(first, first["joints_px"]), cut_frame(frame, 256, Crop())
    torch.testing.assert_close(second["K"][0], wanted.K, rtol=1e-4, atol=1e-2)
    torch.testing.assert_close(second["joints_px"][0], wanted.joints_px, rtol=1e-4, atol=1e-2)
    assert "mask" not in second and (second["image"][0] - wanted.image).abs().median() < 0.02


def test_a_second_look_stays_near_its_crop(hand):
    first = collate([cut_frame(frame_of(hand), 64, Crop())])
    for joints in (torch.full((1, 21, 2), torch.nan), torch.full((1, 21, 2), 1e9), torch.zeros(1, 21, 2)):
        second = crops.recropped(first, joints)
        zoom = float(second["K"][0, 0, 0] / first["K"][0, 0, 0])
        assert second["image"].isfinite().all() and 0.49 < zoom < 8.01
