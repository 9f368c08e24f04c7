"""The hands of a video, from frame to frame: each keeps its number, its side, its shape and its camera.

A hand that is known is looked at through the crop around its last points, once a frame unless it moved far; palms
(find.py) are searched only where hands are missing. The fit starts at the state of the frame before, moved on as it
moved last, and stays near it (fitting/posterior.py), so that meshes do not tremble; where that does not meet the
evidence, it is made afresh. results/tracking.json says how much meshes still tremble, and how far they lag behind.

The first frame is searched thoroughly. After that the whole view alone is: in every frame in which a hand was lost or
none is known, in every `SEARCH_EVERY`th one in which there is room for more. While none is known, one frame in
`THOROUGH_EVERY` is searched like the first.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from ..camera import mirror_px
from ..fitting.lift import NOISE
from ..fitting.posterior import State
from ..networks.turned_crop import HandEvidence, TurnedCrop
from .estimate import HandEstimate
from .find import ACCEPTED, PRESENT, Detection, same_points, views
from .predict import SIDES, Predictor, camera_of
from .pyramid import Pyramid
from .read import ImageSource, Photo, read_photo

SEARCH_EVERY, THOROUGH_EVERY = 8, 30  # frames
PATIENCE = 5  # frames without a hand after which its track ends
MOST_VOTES = 10.0  # frames: so many contrary ones, and sure ones, turn the side of an old track
ITERATIONS = 2  # of a fit that starts at the frame before
VELOCITY = 0.9  # of a hand's last step, so much is expected of the next: a hand that stops does not overshoot for long
UNFITTED = 2.5  # standard deviations of the points, on average: a fit as bad as this is made afresh
SHAPE = 0.3  # how far β is off after one frame; after n frames it is 1/√n of that, down to the step of `STEPS`
STEPS = replace(NOISE, step_pose=0.2, step_turn=0.12, step_place=0.04)  # how far a hand is from where it is expected


@dataclass(eq=False)
class Track:
    """One hand. `seen` is what this frame shows of it, of a left hand in the mirrored frame; None: it is not there."""

    number: int
    points_px: Float[Tensor, "21 2"]  # where it was last
    votes: float  # more than 0: a right hand
    side: str = ""
    seen: Detection | None = None
    state: State | None = None  # one row
    step: Float[Tensor, "1 p"] | None = None  # from the state before it
    frames: int = 0  # in which it was estimated
    missed: int = 0  # frames since it was seen
    far: bool = False  # from where it was looked for

    @property
    def left(self) -> bool:
        return self.side == "left"

    @property
    def voted(self) -> str:
        return SIDES[int(self.votes < 0)]

    @property
    def unsettled(self) -> bool:
        """Whether the crop of this frame's look was off the hand, or its mirror image."""
        return self.seen is not None and (self.far or self.voted != self.side)

    def begin_look(self) -> None:
        """Settles for this frame which hand it is."""
        if self.side != self.voted:  # a state is of one side
            self.side, self.state, self.step, self.frames = self.voted, None, None, 0

    def end_look(self, seen: Detection, points_px: Float[Tensor, "21 2"]) -> None:
        if seen.presence < PRESENT:
            self.seen, self.step, self.missed = None, None, self.missed + 1
            return
        self.far = not same_points(points_px, self.points_px)
        self.seen, self.points_px, self.missed = seen, points_px, 0
        right = float(seen.evidence.right)
        vote = (1 - right if self.left else right) - 0.5
        self.votes = min(max(self.votes + 2 * vote, -MOST_VOTES), MOST_VOTES)

    def move(self, hand: Detection) -> None:
        """To where a search has found the hand again."""
        self.points_px, self.state, self.step = hand.points_px, None, None

    def expected(self) -> State:
        """Where the next frame should find the hand; its shape stays."""
        return self.state if self.step is None else self.state.moved(VELOCITY * self.step)

    def fitted(self, state: State, afresh: bool) -> None:
        if self.state is not None and afresh:
            state = state._replace(beta=self.state.beta)  # which has more frames behind it
        self.step = None
        if self.state is not None and not afresh:
            self.step = state.since(self.state)
            self.step[:, -16:-6] = 0  # β
        self.state = state


class Tracker:
    """Called with one frame after another: the hands of each, in the order of their numbers.

    K: intrinsics of all frames; without it they are assumed once, from the first frame with hands. smooth: False
    estimates each frame by itself, through the crops of the frame before.
    """

    def __init__(
        self,
        predictor: Predictor,
        max_hands: int = 2,
        K: Float[Tensor, "3 3"] | Sequence[Sequence[float]] | float | None = None,
        smooth: bool = True,
    ):
        if max_hands < 1:
            raise ValueError(f"max_hands must be at least 1, not {max_hands}")
        self.predictor, self.max_hands, self.smooth, self.K = predictor, max_hands, smooth, K
        self.camera: tuple[Tensor, bool] | None = None  # K and whether it was assumed, once a hand was seen
        self.size: tuple[int, int] | None = None  # width, height of the frames
        self.tracks: list[Track] = []
        self.frame = -1
        self._begun = 0  # tracks so far

    @torch.no_grad()
    def __call__(self, frame: ImageSource | Photo) -> list[HandEstimate]:
        photo = frame if isinstance(frame, Photo) else read_photo(frame)
        self.frame += 1
        self.size = self.size or photo.size
        if photo.size != self.size:
            (w, h), (width, height) = photo.size, self.size
            raise ValueError(
                f"frame {self.frame} has {w}×{h} pixels, those before {width}×{height}: scale them alike, "
                "or give pictures that are no frames of a video one by one"
            )
        if self.K is not None and self.camera is None:
            self.camera = camera_of(photo, self.K)
        pyramid = Pyramid(photo.pixels)
        self._look(pyramid, self.tracks)
        self.tracks = [track for track in _apart(self.tracks) if track.missed < PATIENCE]
        self._look(pyramid, self._search(pyramid))
        self.tracks = _apart(self.tracks)
        return self._estimates(photo, pyramid, [track for track in self.tracks if track.seen])

    def _look(self, pyramid: Pyramid, tracks: list[Track], again: bool = True) -> None:
        """Looks at each hand through the crop around its last points; again where that crop was not the right one."""
        if not tracks:
            return
        for track in tracks:
            track.begin_look()
        left = torch.tensor([track.left for track in tracks])
        crop, evidence = self.predictor.last_look(pyramid, torch.stack([track.points_px for track in tracks]), left)
        points = crop.to_px(evidence.points[..., :2])
        points[left] = mirror_px(points[left], pyramid.width)
        for i, track in enumerate(tracks):
            row = slice(i, i + 1)
            track.end_look(Detection(crop.take(row), HandEvidence(*(part[row] for part in evidence))), points[i])
        if again:
            self._look(pyramid, [track for track in tracks if track.unsettled], again=False)

    def _search(self, pyramid: Pyramid) -> list[Track]:
        """Tracks of hands that were found where none was looked for: lost ones first, then new ones."""
        lost = [track for track in self.tracks if not track.seen]
        if len(self.tracks) - len(lost) >= self.max_hands:
            return []
        if self.tracks and not lost and self.frame % SEARCH_EVERY:
            return []
        moved = []
        for hand in self._found(pyramid):
            if any(track.seen and same_points(hand.points_px, track.points_px) for track in self.tracks):
                continue
            if lost:
                track = min(lost, key=lambda track: float((track.points_px - hand.points_px).norm()))
                lost.remove(track)
                track.move(hand)
            elif len(self.tracks) < self.max_hands:
                track = Track(self._begun, hand.points_px, 2 * float(hand.evidence.right) - 1)
                self.tracks.append(track)
                self._begun += 1
            else:
                break
            moved.append(track)
        return moved

    def _found(self, pyramid: Pyramid) -> list[Detection]:
        finder = self.predictor.finder
        if not self.tracks and self.frame % THOROUGH_EVERY == 0:
            return finder.find(pyramid, self.max_hands)
        whole = next(views(pyramid.height, pyramid.width))
        settled = (finder.settled(pyramid, crop) for crop in finder.palm_crops(pyramid, whole))
        return [hand for hand in settled if hand.score >= ACCEPTED]

    def _estimates(self, photo: Photo, pyramid: Pyramid, tracks: list[Track]) -> list[HandEstimate]:
        if tracks and self.camera is None:
            self.camera = camera_of(photo, self.K, _stacked(tracks)[0])
        hands = self._estimated(pyramid, [track for track in tracks if track.state is not None])
        done = {hand.track for hand in hands}
        hands += self._estimated(pyramid, [track for track in tracks if track.number not in done], afresh=True)
        return sorted(hands, key=lambda hand: hand.track)

    def _estimated(self, pyramid: Pyramid, tracks: list[Track], afresh: bool = False) -> list[HandEstimate]:
        """Hands near where the frame before expects them, but for those that are not there; or all of them afresh."""
        if not tracks:
            return []
        left = torch.tensor([track.left for track in tracks])
        if afresh:
            how = {"refine": None if self.predictor.photo_trunk else 0}
        else:
            expected = zip(*(track.expected() for track in tracks), strict=True)
            frames = torch.tensor([[track.frames] for track in tracks], dtype=torch.float64)
            noise = replace(STEPS, step_shape=(SHAPE / frames.sqrt()).clamp(min=STEPS.step_shape))
            how = {"refine": ITERATIONS, "before": State(*map(torch.cat, expected)), "noise": noise}
        estimates = self.predictor.of_evidence(pyramid, *_stacked(tracks), left, *self.camera, **how)
        lifted, hands = self.predictor.lifted, []
        for i, (track, hand) in enumerate(zip(tracks, estimates, strict=True)):
            if not afresh and lifted.residual[i].clamp(max=STEPS.outlier).mean() > UNFITTED:
                continue
            track.frames += 1
            if self.smooth and lifted is not None:
                track.fitted(lifted.state.take(slice(i, i + 1)), afresh)
            hands.append(replace(hand, track=track.number))
        return hands


def _stacked(tracks: list[Track]) -> tuple[TurnedCrop, HandEvidence]:
    crops, evidence, *_ = zip(*(track.seen for track in tracks), strict=True)
    rows = zip(*crops, strict=True), zip(*evidence, strict=True)
    return TurnedCrop(*map(torch.cat, rows[0])), HandEvidence(*map(torch.cat, rows[1]))


def _apart(tracks: list[Track]) -> list[Track]:
    """The tracks without those that have come to lie on the hand of an older one."""
    kept: list[Track] = []
    for track in tracks:
        if not (track.seen and any(other.seen and same_points(track.points_px, other.points_px) for other in kept)):
            kept.append(track)
    return kept
