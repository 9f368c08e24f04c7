"""Assignment 2: rendering. Barycentric weights, the gradient of an outline, and a fit by it."""

import torch
from torch import Generator, Tensor

from ..camera import crop_to_px
from ..hand.model import HandModel
from ..parameters import MeshParameters, posed_hand
from ..renderer import Renderer
from .compare import as_tensor
from .exercise import Assignment, exercise
from .hand import open_hand

SIZE = 48


def silhouette(hand: HandModel, h: Tensor) -> Tensor:
    """The mask (48, 48) of h, with the gradient of its outline."""
    return Renderer(SIZE).silhouette(crop_to_px(posed_hand(hand, h).vertices, SIZE), hand.faces)


def some_hand(generator: Generator) -> Tensor:
    """An upright hand in the middle of the crop, of a random pose."""
    hand = open_hand()
    pose, shape = hand.sample(1, generator)
    parts = MeshParameters.split(MeshParameters.initial(hand))
    return parts._replace(pose=pose[0], shape=shape[0]).join()


# ---- A2.1


@exercise(
    "A2.1", lambda g: (10 * torch.rand(3, 2, generator=g), 10 * torch.rand(6, 2, generator=g)),
    points=3, gives="table of weights", tolerance=1e-3, trials=6,
)  # fmt: skip
def barycentric(corners, points):
    """Compute the barycentric weights (n, 3) of `points` (n, 2) in the triangle `corners` (3, 2).

    They sum to one, and corners mixed by them give the point. A weight is negative beyond the edge that lies opposite
    its corner. The corners may run clockwise or counterclockwise.
    """

    def area(a, b, p):
        return (b[0] - a[0]) * (p[..., 1] - a[1]) - (b[1] - a[1]) * (p[..., 0] - a[0])

    a, b, c = corners
    areas = torch.stack([area(b, c, points), area(c, a, points), area(a, b, points)], -1)
    return areas / areas.sum(-1, keepdim=True)


@barycentric.mistake("these are areas: divide them by their sum")
def _areas(corners, points):
    a, b, c = corners
    whole = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
    return barycentric(corners, points) * whole


@barycentric.mistake("the areas have lost their signs, and with them whether a point is inside")
def _(corners, points):
    areas = _areas(corners, points).abs()
    return areas / areas.sum(-1, keepdim=True)


# ---- A2.2


def _masks(generator: Generator) -> tuple:
    with torch.no_grad():
        mask = silhouette(open_hand(), some_hand(generator))
    return mask, torch.rand(SIZE, SIZE, generator=generator)


@exercise("A2.2", _masks, points=4, gives="gradient")
def push_right(mask, gradient):
    """Differentiate a loss of a mask with respect to a shift of the hand to the right, in pixels.

    `mask` (h, w) is 1 on the hand and 0 beside it, `gradient` (h, w) the derivative of the loss with respect to each
    pixel. The hand's outline runs between neighbors in a row. Where it moves by d pixels from pixel a, on the hand, to
    pixel c, beside it, the loss changes by d (mask[a] − mask[c]) (gradient[a] + gradient[c]) / 2. Return one number.
    """
    left, right = mask[:, :-1], mask[:, 1:]
    return ((left - right) * (gradient[:, :-1] + gradient[:, 1:])).sum() / 2


@push_right.mistake("at the left outline a shift to the right takes pixels away: its sign is negative")
def _(mask, gradient):
    left, right = mask[:, :-1], mask[:, 1:]
    return ((left - right).abs() * (gradient[:, :-1] + gradient[:, 1:])).sum() / 2


@push_right.mistake("only one of the two pixels counts: the outline lies between them, so take their mean")
def _(mask, gradient):
    return ((mask[:, :-1] - mask[:, 1:]) * gradient[:, :-1]).sum()


@push_right.mistake("the left outline is missing: it moves as well")
def _(mask, gradient):
    edges = (mask[:, :-1] - mask[:, 1:]).clamp(min=0)
    return (edges * (gradient[:, :-1] + gradient[:, 1:])).sum() / 2


# ---- A2.3


def _iou(mask: Tensor, target: Tensor) -> float:
    return float(torch.minimum(mask, target).sum() / torch.maximum(mask, target).sum())


def _covers(answer, hand, h, target, mask_of) -> str | None:
    given = as_tensor(answer, (63,))
    if isinstance(given, str):
        return f"an h of 63 numbers is asked for; {given}"
    with torch.no_grad():
        before, after = (_iou(mask_of(hand, x), target) for x in (h, given))
    if after >= 0.85:
        return None
    way = "away from the target: is a sign wrong?" if after < before - 0.02 else "not far enough: more steps?"
    return f"the IoU went from {before:.2f} to {after:.2f}, {way}"


def _beside(generator: Generator) -> tuple:
    hand, h = open_hand(), some_hand(generator)
    moved = h.clone()
    moved[60:62] += 0.12 * torch.where(torch.rand(2, generator=generator) < 0.5, -1.0, 1.0)
    with torch.no_grad():
        return hand, moved, silhouette(hand, h), silhouette


@exercise("A2.3", _beside, judge=_covers, points=3, trials=2)
def fit_place(hand, h, target, mask_of):
    """Move a hand onto a silhouette by gradient descent.

    `target` (48, 48) is a mask; `mask_of(hand, h)` renders the mask of `h` (63), and its gradient is that of the
    outline. Return an h (63) whose mask covers the target to an IoU of at least 0.85. Entries 60 and 61 are the
    hand's place in the crop.
    """
    h = h.clone().requires_grad_()
    optimizer = torch.optim.Adam([h], 0.02)
    for _ in range(40):
        optimizer.zero_grad()
        (mask_of(hand, h) - target).square().mean().backward()
        h.grad[:60] = 0
        h.grad[62] = 0
        optimizer.step()
    return h.detach()


A2 = Assignment(
    "A2",
    "Rendering",
    "renderer",
    (barycentric, push_right, fit_place),
    rubric=((2, "A plot compares the gradient with finite differences of a mask rendered finer, and says how close."),),
)
