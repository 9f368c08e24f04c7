"""Assignment 3: data and measuring. Joint orders, a mirrored camera, the AUC, and four scores of masks."""

import torch
from torch import Generator

from ..hand.joints import C21, RHD21
from .exercise import Assignment, exercise
from .hand import bent, open_hand


def skeleton_cam(generator: Generator):
    """A hand (21, 3) half a meter before a camera."""
    hand = open_hand()
    return hand(bent(generator), torch.randn(10, generator=generator)).joints + torch.tensor([0.05, -0.02, 0.5])


# ---- A3.1


@exercise(
    "A3.1", lambda g: (skeleton_cam(g)[[C21.index(joint) for joint in RHD21.joints]],), points=2, gives="skeleton"
)
def to_c21(joints):
    """Bring a skeleton from the order of RHD into C21.

    `joints` (21, 3) holds the wrist, then thumb, index, middle, ring and little finger, each from **tip to base**.
    Return the same joints, each finger from base to tip.
    """
    rows = [0] + [4 * finger + n for finger in range(5) for n in (4, 3, 2, 1)]
    return joints[rows]


@to_c21.mistake("the fingers come out in reverse order too: reverse each finger by itself")
def _(joints):
    return torch.cat([joints[:1], joints[1:].flip(0)])


@to_c21.mistake("nothing has changed: the fingers still run from tip to base")
def _(joints):
    return joints


# ---- A3.2


def _sample(generator: Generator) -> tuple:
    K = torch.tensor([[300.0, 0, 20 + 20 * float(torch.rand((), generator=generator))], [0, 310, 30], [0, 0, 1]])
    return torch.rand(3, 48, 64, generator=generator), skeleton_cam(generator), K


@exercise("A3.2", _sample, points=3, gives="result")
def flip(image, joints_cam, K):
    """Mirror a sample as an augmentation would: the picture, the joints, and the camera.

    `image` (3, h, w), `joints_cam` (21, 3) in meters, `K` (3, 3) in pixels with the center of the first pixel at 0.5.
    Return the three so that `project(joints_cam, K)` still lies on the hand. Flipping twice changes nothing.
    """
    mirrored = K.clone()
    mirrored[0, 2] = image.shape[-1] - K[0, 2]
    return image.flip(-1), joints_cam * torch.tensor([-1.0, 1.0, 1.0]), mirrored


@flip.mistake("picture and joints are mirrored, the camera is not: its principal point moves too")
def _(image, joints_cam, K):
    return (*flip(image, joints_cam, K)[:2], K)


@flip.mistake("cx is off by one: pixel centers lie at +0.5, so the middle of the picture is w / 2")
def _(image, joints_cam, K):
    return flip(image, joints_cam, K)[:2] + (flip(image[..., 1:], joints_cam, K)[2],)


@flip.mistake("the picture stands on its head: the last axis runs to the right")
def _(image, joints_cam, K):
    return (image.flip(-2), *flip(image, joints_cam, K)[1:])


# ---- A3.3


def _errors(generator: Generator) -> tuple:
    errors = 60 * torch.rand(40, 21, generator=generator) * torch.linspace(0.4, 1.2, 21)
    visible = torch.rand(40, 21, generator=generator) < torch.linspace(1.0, 0.3, 21)
    visible[0] = True
    return errors, visible, 20.0, 50.0


@exercise("A3.3", _errors, points=3, gives="AUC")
def area_under_pck(errors, visible, low, high):
    """Compute the area under the PCK curve between two thresholds, divided by its width.

    `errors` (n, 21) in millimeters; `visible` (n, 21) says which count. For each joint, PCK(t) is the share of its
    visible samples with an error of at most t. Take the area of each joint's curve by the trapezoid rule, at 20 evenly
    spaced thresholds from `low` to `high`, both included, and then the mean over joints. Return one number from 0 to 1.
    """
    thresholds = torch.linspace(low, high, 20)
    hit = (errors[..., None] <= thresholds) & visible[..., None]
    curves = hit.sum(0) / visible.sum(0)[:, None]
    return torch.trapezoid(curves, thresholds, dim=-1).mean() / (high - low)


@area_under_pck.mistake("all joints are in one curve: each joint has its own, and the mean comes last")
def _(errors, visible, low, high):
    return area_under_pck(errors[visible][:, None], torch.ones(int(visible.sum()), 1, dtype=torch.bool), low, high)


@area_under_pck.mistake("joints that are not visible count too")
def _(errors, visible, low, high):
    return area_under_pck(errors, torch.ones_like(visible), low, high)


@area_under_pck.mistake("the share is of the visible samples, not of all")
def _(errors, visible, low, high):
    return area_under_pck(errors.masked_fill(~visible, torch.inf), torch.ones_like(visible), low, high)


@area_under_pck.mistake("the mean over thresholds is not the area: by the trapezoid rule the first and last count half")
def _(errors, visible, low, high):
    hit = (errors[..., None] <= torch.linspace(low, high, 20)) & visible[..., None]
    return (hit.sum(0) / visible.sum(0)[:, None]).mean()


@area_under_pck.mistake("the curve starts at 0 mm, not at `low`")
def _(errors, visible, low, high):
    return area_under_pck(errors, visible, 0.0, high)


@area_under_pck.mistake("the area is not divided by the width of the range")
def _(errors, visible, low, high):
    return area_under_pck(errors, visible, low, high) * (high - low)


# ---- A3.4


def _masks(generator: Generator) -> tuple:
    truth = torch.rand(4, 8, 8, generator=generator) < torch.tensor([0.2, 0.3, 0.4, 0.5]).view(4, 1, 1)
    return truth ^ (torch.rand(4, 8, 8, generator=generator) < 0.2), truth


@exercise("A3.4", _masks, points=2, gives="score")
def mask_scores(predicted, truth):
    """Compute pixel accuracy, mean accuracy, mean IU and frequency-weighted IU of masks, in this order.

    `predicted` and `truth` (n, h, w) are booleans. All four come from **one** confusion matrix over all pixels of all
    masks. Return a tuple of four numbers.
    """
    pairs = 2 * truth.long().flatten() + predicted.long().flatten()
    n = torch.bincount(pairs, minlength=4).view(2, 2).double()
    hit, true, said = n.diagonal(), n.sum(1), n.sum(0)
    iou = hit / (true + said - hit)
    return hit.sum() / n.sum(), (hit / true).mean(), iou.mean(), (true * iou).sum() / n.sum()


@mask_scores.mistake("these are means over masks: sum the confusion matrix over all of them first")
def _(predicted, truth):
    scores = [torch.stack(mask_scores(*pair)) for pair in zip(predicted.split(1), truth.split(1), strict=True)]
    return tuple(torch.stack(scores).mean(0))


@mask_scores.mistake("truth and prediction are exchanged")
def _(predicted, truth):
    return mask_scores(truth, predicted)


@mask_scores.mistake("the mean IU is that of the hand alone: background is a class as well")
def _(predicted, truth):
    scores = list(mask_scores(predicted, truth))
    scores[2] = (predicted & truth).sum() / (predicted | truth).sum()
    return tuple(scores)


A3 = Assignment(
    "A3",
    "Data and measuring",
    "data",
    (to_c21, flip, area_under_pck, mask_scores),
    rubric=((2, "The four bugs of the lab are named, each with the picture or the number that gave it away."),),
)


# ---- exercises of the chapters


@exercise("data-palm", lambda g: (torch.stack([skeleton_cam(g) for _ in range(3)]),), gives="distance")
def palm_gap_mm(joints):
    """Measure how far the palm point, half-way from the wrist to the middle MCP, is from the wrist: the mean over
    `joints` (n, 21, 3), in meters. Return millimeters."""
    palm = (joints[:, 0] + joints[:, 9]) / 2
    return 1000 * (palm - joints[:, 0]).norm(dim=-1).mean()


@palm_gap_mm.mistake("that is the distance to the middle MCP: the palm point lies half-way")
def _(joints):
    return 2 * palm_gap_mm(joints)


@exercise("data-stb", gives="disparity", tolerance=5e-3)
def disparity_px():
    """By how many pixels is a hand off, at 0.5 m and at 0.8 m, if the baseline is forgotten?"""
    return (822.79 * 0.120054 / 0.5, 822.79 * 0.120054 / 0.8)


@exercise("evaluation-empty", lambda g: (0.1 + 0.4 * float(torch.rand((), generator=g)),), gives="score")
def background_scores(share):
    """Give pixel accuracy, mean accuracy, mean IU and frequency-weighted IU of the answer "everything is background",
    where `share` of all pixels is hand. Return a tuple."""
    return 1 - share, 0.5, (1 - share) / 2, (1 - share) ** 2


@background_scores.mistake("the IU of the hand is 0, and it counts in the mean")
def _(share):
    return 1 - share, 0.5, 1 - share, (1 - share) ** 2


def _pieces(generator: Generator) -> tuple:
    mask = torch.zeros(24, 24, dtype=torch.bool)
    mask[0, :2] = True  # the first piece is not the largest
    mask[2:14, 3:15], mask[5:9, 6:10] = True, False  # a piece with a hole
    top = 16 + int(torch.randint(0, 4, (), generator=generator))
    mask[top : top + 3, 17:20] = True
    return (mask,)


@exercise("segmentation-clean", _pieces, gives="mask")
def clean(mask):
    """Keep the largest piece of a mask (h, w) of booleans and fill its holes; return a mask of booleans.

    Pixels hold together across corners.
    """
    import numpy as np
    from scipy import ndimage

    labels, n = ndimage.label(np.asarray(mask), np.ones((3, 3)))
    if not n:
        return torch.as_tensor(labels > 0)
    largest = np.bincount(labels.flat)[1:].argmax() + 1
    return torch.as_tensor(ndimage.binary_fill_holes(labels == largest))


@clean.mistake("this is the first piece: keep the largest")
def _(mask):
    return torch.cat([mask[:1], torch.zeros_like(mask[1:])])


@clean.mistake("the hole is still there")
def _(mask):
    return mask & clean(mask)


CHAPTER = (palm_gap_mm, disparity_px, background_scores, clean)
