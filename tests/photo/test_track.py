import pytest
import roma
import torch
from hand_clips import SIZE, plain, predictor, rendered

from handlib.fitting.posterior import State
from handlib.networks.turned_crop import HandEvidence, TurnedCrop
from handlib.photo.find import Detection
from handlib.photo.predict import Predictor
from handlib.photo.track import PATIENCE, Track, Tracker


def track(frames, max_hands=1, K=None, smooth=True):
    tracker = Tracker(predictor(), max_hands, K, smooth)
    return [tracker(frame) for frame in frames]


def seen(presence=0.9, right=0.9) -> Detection:
    points = torch.zeros(1, 21, 3)
    evidence = HandEvidence(points, torch.tensor([presence]), torch.tensor([right]), points, torch.zeros(1, 1152))
    return Detection(TurnedCrop.upright(torch.tensor([[0.0, 0, 100]])), evidence)


@pytest.fixture(scope="module")
def tracked():
    return track(rendered()["frames"], K=rendered()["K"])


def test_a_hand_keeps_its_number_and_its_side(tracked):
    assert [[(hand.track, hand.side) for hand in hands] for hands in tracked] == [[(0, "right")]] * len(tracked)


def test_a_tracked_hand_lies_on_the_hand(tracked):
    truth = rendered()["joints_px"]
    found = torch.stack([hands[0].joints_px for hands in tracked])
    side = (truth.amax(1) - truth.amin(1)).amax(-1)
    assert ((found - truth).norm(dim=-1).mean(1) < 0.1 * side).all()


def test_meshes_tremble_less_than_without_smoothing(tracked):
    def trembling(clip):
        joints = torch.stack([hands[0].joints_cam - hands[0].joints_cam[9] for hands in clip])
        return (joints[2:] - 2 * joints[1:-1] + joints[:-2]).norm(dim=-1).mean()

    alone = track(rendered()["frames"], K=rendered()["K"], smooth=False)
    assert trembling(tracked) < 0.75 * trembling(alone)


def test_a_clip_of_few_frames_a_second_is_followed_through_large_motions():
    K, frames, truth = rendered()["K"], rendered()["frames"][::4], rendered()["joints_px"][::4]
    for hands, joints_px in zip(track(frames, K=K), truth, strict=True):
        side = (joints_px.amax(0) - joints_px.amin(0)).max()
        assert (hands[0].joints_px - joints_px).norm(dim=-1).mean() < 0.07 * side


def test_the_shape_settles(tracked):
    shapes = torch.stack([hands[0].h[45:55] for hands in tracked])
    steps = (shapes[1:] - shapes[:-1]).norm(dim=-1)
    assert steps[-8:].mean() < 0.5 * steps[:8].mean()


def test_a_mirrored_clip_gives_mirrored_hands(tracked):
    K = rendered()["K"].clone()
    K[0, 2] = SIZE - K[0, 2]
    mirrored = track(rendered()["frames"].flip(-1), K=K)
    assert {hand.side for hands in mirrored for hand in hands} == {"left"}
    flip = torch.tensor([-1.0, 1, 1])
    for hands, others in list(zip(tracked, mirrored, strict=True))[4:]:  # the first crops are the palm network's
        off = hands[0].joints_px - (others[0].joints_px * flip[:2] + torch.tensor([SIZE, 0.0]))
        assert off.norm(dim=-1).mean() < 2
        own, other = (hand.vertices_cam - hand.joints_cam[9] for hand in (hands[0], others[0]))
        assert (own - other * flip).norm(dim=-1).mean() < 0.005


def test_a_hand_that_leaves_is_gone_and_has_a_new_number_when_it_comes_back():
    hand, gap = rendered()["frames"][:12], PATIENCE + 2
    found = track(torch.cat([hand[:6], plain(gap), hand[6:]]))
    assert [[h.track for h in hands] for hands in found[:6]] == [[0]] * 6
    assert found[6 : 6 + gap] == [[]] * gap
    assert [[h.track for h in hands] for hands in found[-5:]] == [[1]] * 5
    assert {h.side for hands in found for h in hands} == {"right"}


def test_a_hand_that_is_away_for_a_moment_keeps_its_number():
    hand = rendered()["frames"][:12]
    found = track(torch.cat([hand[:6], plain(PATIENCE - 3), hand[6:]]))
    assert {h.track for hands in found for h in hands} == {0}
    assert all(found[-4:])


def test_two_hands_side_by_side_keep_their_numbers():
    frames = rendered()["frames"][:16]
    found = track(torch.cat([frames, frames.flip(-1)], -1), max_hands=2)
    both = [hands for hands in found if len(hands) == 2]
    assert len(both) >= len(found) - 8  # a second hand is searched every eighth frame
    where = {(hand.track, hand.side, bool(hand.joints_px[:, 0].mean() < SIZE)) for hands in found for hand in hands}
    assert len(where) == 2 and {(side, first) for _, side, first in where} == {("right", True), ("left", False)}


def test_two_tracks_on_one_hand_are_one():
    frames = rendered()["frames"]
    tracker = Tracker(predictor(), 2)
    (hand,) = tracker(frames[0])
    tracker.tracks.append(Track(7, tracker.tracks[0].points_px + 5, 1.0))
    assert [hand.track for hand in tracker(frames[1])] == [hand.track]


def test_a_few_contrary_votes_turn_no_hand():
    hand = Track(0, torch.zeros(21, 2), 1.0)
    for right in [0.99] * 6 + [0.01] * 4 + [0.99]:
        hand.begin_look()
        hand.end_look(seen(right=right), torch.zeros(21, 2))
        assert hand.side == "right"


def test_a_wrong_first_vote_is_put_right():
    hand = Track(0, torch.zeros(21, 2), 0.2)
    for _ in range(3):
        hand.begin_look()
        looked_right = hand.side == "right"  # what a left hand looks like, as it is and mirrored
        hand.end_look(seen(right=0.05 if looked_right else 0.95), torch.zeros(21, 2))
    assert hand.side == "left"


def test_the_camera_is_assumed_once():
    found = track(rendered()["frames"][:3])
    assert all(hands[0].K_assumed and torch.equal(hands[0].K, found[0][0].K) for hands in found)


def test_a_model_of_another_trunk_is_tracked_too():
    tracker = Tracker(Predictor("lite"), 1)
    found = [tracker(frame) for frame in rendered()["frames"][:3]]
    assert [[hand.track for hand in hands] for hands in found] == [[0]] * 3


def test_a_frame_of_another_size_is_an_error():
    tracker = Tracker(predictor())
    tracker(plain(1)[0])
    with pytest.raises(ValueError, match="frame 1 has 200×320"):
        tracker(plain(1)[0, :, :, :200])


def test_no_hands_at_most_is_an_error():
    with pytest.raises(ValueError, match="max_hands"):
        Tracker(predictor(), 0)


def test_a_step_leads_from_one_state_to_the_other(generator):
    def state():
        turn = roma.random_rotmat(3, dtype=torch.float64, generator=generator)
        z, beta, place = (torch.randn(3, n, dtype=torch.float64, generator=generator) for n in (40, 10, 3))
        return State(z, beta, turn, place)

    before, after = state(), state()
    for found, part in zip(before.moved(after.since(before)), after, strict=True):
        assert torch.allclose(found, part)
