"""Where the hands of a photograph are, and what the landmark network says about each.

Palms are looked for first (networks/palms.py), then each hand is looked at through a turned crop, which its own points
make better: two looks settle it. What is a hand gives the same points through crops that are moved a little; what only
looks like one does not. So each find is checked by three such looks, and scored (confidence.py). Views go from cheap
and likely to thorough, and end when hands are found.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from ..networks.landmarks import LandmarkNetwork
from ..networks.palms import PalmNetwork, crop_around
from ..networks.turned_crop import HandEvidence, TurnedCrop
from .confidence import hand_score
from .pyramid import Pyramid

PALM, SMALL_PALM = 0.5, 0.3  # least score of a palm; of one in a tile, where passes cost more than looks
PRESENT = 0.3  # least presence of a hand that is worth a check
ACCEPTED = 0.7  # least score of a hand: with less, more finds are wrong and hardly more are right
MOVES = (
    (0.06, 0.03, 1.1, 0.25),
    (-0.06, -0.03, 0.92, -0.25),
    (0.0, 0.08, 1.15, -0.1),
)  # x, y, scale, angle of the checks
TURNED_ZOOM = 1.3  # of turned views
TILE, OVERLAP = 1 / 2, 0.25  # side of a tile over the side of the image; shared part over the side of a tile
TURNS, TRIED = 8, 3  # of an image that is a crop: looked at; followed
SAME_PLACE = 0.2  # sides of a crop between the centers of two hands' crops
SAME_POINTS = 0.25  # sides of the tight box between the points of two hands


class Detection(NamedTuple):
    crop: TurnedCrop  # through which it was looked at last; one row
    evidence: HandEvidence  # one row
    score: float = 0.0  # probability that the points are right; 0 where it was not checked
    spread: Float[Tensor, "21"] | None = None  # of each point between the checks, over the hand's side

    @property
    def points_px(self) -> Float[Tensor, "21 2"]:
        return self.crop.to_px(self.evidence.points[..., :2])[0]

    @property
    def presence(self) -> float:
        return float(self.evidence.presence)


class View(NamedTuple):
    name: str
    crops: TurnedCrop
    border: str  # what is beyond the image: its rim repeated ("border"), or black ("zeros")
    size: int = PalmNetwork.SIZE  # of its pictures
    palm: float = PALM  # least score of a palm in it
    next_too: bool = False  # whether the next view is searched too where a hand was found


def views(height: int, width: int) -> Iterator[View]:
    """Where to look for palms. More pixels than the image has tell the network nothing new."""
    long, quarter, large = max(height, width), math.pi / 2, 2 * PalmNetwork.SIZE
    fine = long >= 1.5 * large
    whole = TurnedCrop(torch.tensor([[width / 2, height / 2]]), torch.tensor([float(long)]), torch.zeros(1))
    yield View("whole", whole, "zeros", next_too=True)
    yield View("farther", whole.turned(0, 1.6), "border", next_too=not fine)
    if fine:
        yield View("finer", whole, "zeros", large)
    if TILE * long >= large:
        yield View("tiles", _tiles(height, width, TILE * long, OVERLAP), "zeros", large, SMALL_PALM)
    yield View("turned", whole.turned([i * quarter for i in (1, 2, 3)], TURNED_ZOOM), "border")
    if fine:  # the network sees some palms only where little else is seen
        yield View("halves", _tiles(height, width, long / 2, 0.5), "zeros")


class Finder:
    """The two networks and how they are used on one image after another."""

    def __init__(self, palms: PalmNetwork, landmarks: LandmarkNetwork):
        self.palms, self.landmarks = palms, landmarks

    @torch.no_grad()
    def find(self, image: Pyramid, most: int = 2) -> list[Detection]:
        """Up to `most` hands, surest first; an empty list where there is none."""
        hands: list[Detection] = []
        for view in views(image.height, image.width):
            for crop in self.palm_crops(image, view):
                if any(same_place(crop, TurnedCrop.around_points(other.points_px[None])) for other in hands):
                    continue
                hand = self.settled(image, crop)
                if hand.score >= ACCEPTED and not any(same_points(hand.points_px, other.points_px) for other in hands):
                    hands.append(hand)
                if len(hands) == most:
                    return _surest_first(hands)
            if view.name == "turned" and not hands:
                hand = self.surest_turn(image, view.crops.take(slice(0, 1)).turned(0, 1 / TURNED_ZOOM))
                hands += [hand] if hand.score >= ACCEPTED else []
            if hands and not view.next_too:
                break
        return _surest_first(hands)

    def palm_crops(self, image: Pyramid, view: View, threshold: float | None = None) -> list[TurnedCrop]:
        """Crops of the hands whose palms are in a view, most certain first. threshold: else the view's own."""
        pictures = image.sample(view.crops, view.size, view.border)
        found = [
            (palm.score, view.crops.take(slice(i, i + 1)).inner(crop_around(palm)))
            for i, palms in enumerate(self.palms.palms(pictures, view.palm if threshold is None else threshold))
            for palm in palms
        ]
        kept: list[TurnedCrop] = []
        for _, crop in sorted(found, key=lambda pair: -pair[0]):
            if not any(same_place(crop, other) for other in kept):
                kept.append(crop)
        return kept

    def look(self, image: Pyramid, crop: TurnedCrop) -> list[Detection]:
        """What each crop shows."""
        pictures = image.sample(crop, self.landmarks.SIZE).contiguous(memory_format=torch.channels_last)
        evidence = self.landmarks(pictures)
        rows = [slice(i, i + 1) for i in range(len(pictures))]
        return [Detection(crop.take(row), HandEvidence(*(part[row] for part in evidence))) for row in rows]

    def settled(self, image: Pyramid, crop: TurnedCrop, again: int = 1) -> Detection:
        """The hand of a crop after further looks through its own points, checked. Score 0 if at any look there is
        none."""
        (hand,) = self.look(image, crop)
        for _ in range(again):
            if hand.presence < PRESENT:
                return hand
            before = hand
            (hand,) = self.look(image, TurnedCrop.around_points(hand.points_px[None]))
        return hand if hand.presence < PRESENT else self.checked(image, hand, before)

    def checked(self, image: Pyramid, hand: Detection, before: Detection) -> Detection:
        """The hand with its score: how sure the network is, through moved crops too, and how far its points move."""
        own = TurnedCrop.around_points(hand.points_px[None])
        x, y, scale, angle = own.center.new_tensor(MOVES).unbind(1)
        moved = TurnedCrop(own.center + torch.stack([x, y], 1) * own.side, own.side * scale, own.angle + angle)
        looks = self.look(image, moved)
        side = (hand.points_px.amax(0) - hand.points_px.amin(0)).max()
        points = torch.stack([hand.points_px, *(look.points_px for look in looks)])
        spread = (points - points.mean(0)).norm(dim=-1).mean(0) / side
        settled = (hand.points_px - before.points_px).norm(dim=-1).mean() / side
        presences = torch.stack([look.evidence.presence[0] for look in looks])
        score = hand_score(hand.evidence.presence[0], presences.mean(), settled, spread.mean())
        return hand._replace(score=float(score), spread=spread)

    @torch.no_grad()
    def surest_turn(self, image: Pyramid, square: TurnedCrop) -> Detection:
        """The hand of a square: looked at in eight turns, the most present ones followed, the best scored kept."""
        turns = self.look(image, square.turned([i * 2 * math.pi / TURNS for i in range(TURNS)]))
        turns = sorted(turns, key=lambda hand: -hand.presence)[:TRIED]
        hands = [self.settled(image, TurnedCrop.around_points(hand.points_px[None]), 2) for hand in turns]
        return max(hands, key=lambda hand: (hand.score, hand.presence))


def _surest_first(hands: list[Detection]) -> list[Detection]:
    return sorted(hands, key=lambda hand: -hand.score)


def same_points(one: Float[Tensor, "21 2"], other: Float[Tensor, "21 2"]) -> bool:
    side = (other.amax(0) - other.amin(0)).max()
    return bool((one - other).norm(dim=-1).mean() < SAME_POINTS * side)


def same_place(one: TurnedCrop, other: TurnedCrop) -> bool:
    apart, ratio = float((one.center - other.center).norm()), float(one.side / other.side)
    return apart < SAME_PLACE * float(torch.minimum(one.side, other.side)) and 0.5 < ratio < 2


def _tiles(height: int, width: int, side: float, overlap: float) -> TurnedCrop:
    """Squares of this side that cover the image and overlap by a part of it."""

    def centers(length: int) -> list[float]:
        count = max(1, math.ceil((length - side) / ((1 - overlap) * side) - 1e-6) + 1)
        return [length / 2] if count == 1 else [side / 2 + i * (length - side) / (count - 1) for i in range(count)]

    at = torch.tensor([(x, y) for y in centers(height) for x in centers(width)])
    return TurnedCrop(at, torch.full((len(at),), side), torch.zeros(len(at)))
