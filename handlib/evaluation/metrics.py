"""Metrics: joint and vertex errors, PCK and AUC, segmentation scores, F-scores of meshes.

Lengths are in meters; names that end in `_mm` are in millimeters. Collect the errors of the whole test set first: the
mean of per-batch scores is a different number.
"""

import math

import torch
from jaxtyping import Bool, Float, Num
from torch import Tensor

from ..hand.joints import BONES, C21, MIDDLE_MCP
from ..support.arguments import at_least, checked

ALIGNMENTS = ("root", "root_scale", "wrist", "wrist_scale", "procrustes", "reflected_procrustes")
ROUNDING_MM = 1e-3
WRIST = C21.index("wrist")
_ROOT_BONE = next(bone for bone in BONES if bone[1] == MIDDLE_MCP)  # wrist → middle MCP, sets the scale of "root_scale"
TONE_EDGES = (0.0, 3.0, 6.0, 9.0)  # bounds of light, medium and dark on the Monk scale, 0 (lightest) … 9


@checked
def align(
    predicted: Float[Tensor, "*batch n 3"],
    truth: Float[Tensor, "*batch n 3"],
    mode: str = "root",
    counted: Bool[Tensor, "*batch n"] | None = None,
) -> Float[Tensor, "*batch n 3"]:
    """Aligns predicted joints (C21) with the true ones, as protocols do before they measure.

    "root": the middle MCPs coincide. "root_scale": also the lengths wrist – middle MCP are equal. "wrist",
    "wrist_scale": the same with the wrists in place of the middle MCPs. "procrustes": the best similarity (rotation,
    scale, translation), also for points that are not joints. "reflected_procrustes": the same with mirror images
    allowed, as in FreiHAND's code. counted: the points to fit, at least three for a meaningful result; all by default.
    A hand with NaN returns as NaN. Raises `ValueError` for an unknown mode.
    """
    if mode in ("procrustes", "reflected_procrustes"):
        return _procrustes(predicted, truth, counted, reflections=mode != "procrustes")
    if mode not in ALIGNMENTS:
        raise ValueError(f"unknown alignment '{mode}': choose one of {', '.join(ALIGNMENTS)}")
    if predicted.shape[-2] <= MIDDLE_MCP:
        raise ValueError(f"predicted must be joints in C21 order for the mode {mode}, got {tuple(predicted.shape)}")
    root = WRIST if mode.startswith("wrist") else MIDDLE_MCP
    relative = predicted - predicted[..., root : root + 1, :]
    if mode.endswith("scale"):
        a, b = _ROOT_BONE
        scale = (truth[..., a, :] - truth[..., b, :]).norm(dim=-1) / (predicted[..., a, :] - predicted[..., b, :]).norm(
            dim=-1
        ).clamp(min=1e-9)
        relative = relative * scale[..., None, None]
    return relative + truth[..., root : root + 1, :]


def _procrustes(source: Tensor, target: Tensor, counted: Tensor | None = None, reflections: bool = False) -> Tensor:
    """Fits Umeyama's least-squares similarity to the counted points and applies it to all."""
    source_mean, target_mean = _mean_of(source, counted), _mean_of(target, counted)
    x, y = source - source_mean, target - target_mean
    everything = x
    if counted is not None:
        x, y = (torch.where(counted[..., None], points, 0) for points in (x, y))
    products = y.mT @ x
    finite = products.isfinite().flatten(-2).all(-1)[..., None, None]  # one NaN would make svd refuse the whole batch
    u, s, vt = torch.linalg.svd(torch.where(finite, products, 0))
    sign = torch.ones_like(s)
    if not reflections:
        sign[..., -1] = torch.sign(torch.det(u) * torch.det(vt))
    rotation = u @ (sign[..., None] * vt)
    scale = (s * sign).sum(-1) / x.square().sum((-2, -1)).clamp(min=1e-12)
    fitted = scale[..., None, None] * (everything @ rotation.mT) + target_mean
    return torch.where(finite, fitted, torch.nan)


def _mean_of(points: Tensor, counted: Tensor | None) -> Tensor:
    if counted is None:
        return points.mean(-2, keepdim=True)
    total = torch.where(counted[..., None], points, 0).sum(-2, keepdim=True)
    return total / counted.sum(-1).clamp(min=1)[..., None, None]


@checked
def joint_errors_mm(predicted: Float[Tensor, "*batch n 3"], truth: Float[Tensor, "*batch n 3"]) -> Tensor:
    """Returns the distance of each joint or vertex from the truth in millimeters."""
    return (predicted - truth).norm(dim=-1) * 1000


@checked
def without_rounding(errors_mm: Tensor) -> Tensor:
    """Sets errors below `ROUNDING_MM` to 0, since a perfect estimate must pass a threshold of 0 after alignment."""
    return torch.where(errors_mm < ROUNDING_MM, 0, errors_mm)


@checked
def pck(
    errors: Float[Tensor, "n k"], thresholds: Float[Tensor, " t"], visible: Bool[Tensor, "n k"] | None = None
) -> Float[Tensor, "k t"]:
    """Computes, for each keypoint, the fraction of its visible samples whose error is within each threshold.

    `errors` and `thresholds` have the same unit. A keypoint that is never visible gives NaN.
    """
    visible = torch.ones_like(errors, dtype=torch.bool) if visible is None else visible
    hit = (errors[..., None] <= thresholds) & visible[..., None]
    return hit.sum(0) / visible.sum(0)[:, None]


@checked
def auc(
    errors: Num[Tensor, "n k"],
    low: float = 20.0,
    high: float = 50.0,
    steps: int = 20,
    visible: Bool[Tensor, "n k"] | None = None,
) -> float:
    """Computes the area under the PCK curve from `low` to `high` by trapezoids over `steps` thresholds, 0 … 1.

    The curve of each keypoint is integrated separately; the result is the mean over keypoints that are ever visible.
    """
    at_least(2, 1 << 20, steps=steps)
    if not -math.inf < low < high < math.inf:
        raise ValueError(f"low must be below high, got {low} and {high}")
    errors = _floating(errors)
    return auc_on(errors, torch.linspace(low, high, steps, dtype=errors.dtype, device=errors.device), visible)


@checked
def auc_reference(
    errors_mm: Num[Tensor, "n k"], low_index: int = 0, visible: Bool[Tensor, "n k"] | None = None
) -> float:
    """Computes the AUC on the field's reference grid: 20 thresholds from 0 to 50 mm, those from `low_index` on.

    What that code calls "20–50 mm" is `low_index=8`: 12 thresholds from 21.05 to 50 mm.
    """
    at_least(0, 18, low_index=low_index)
    errors_mm = _floating(errors_mm)
    grid = torch.linspace(0, 50, 20, dtype=errors_mm.dtype, device=errors_mm.device)
    return auc_on(errors_mm, grid[low_index:], visible)


@checked
def auc_on(
    errors: Float[Tensor, "n k"], thresholds: Float[Tensor, " t"], visible: Bool[Tensor, "n k"] | None = None
) -> float:
    """Computes `auc` over any increasing thresholds; NaN where nothing was ever visible."""
    if len(thresholds) < 2 or not bool((thresholds.diff() > 0).all() and thresholds.isfinite().all()):
        raise ValueError("thresholds must be two numbers at least, each larger than the one before")
    curves = pck(errors, thresholds, visible)
    areas = torch.trapezoid(curves, thresholds.to(curves.dtype), dim=-1) / (thresholds[-1] - thresholds[0])
    return float(areas.nanmean())


def _floating(values: Tensor) -> Tensor:
    """Converts integers to floats, since integer thresholds would change the curve."""
    return values if values.is_floating_point() else values.float()


@checked
def error_by_joint(errors_mm: Float[Tensor, "n 21"], visible: Bool[Tensor, "n 21"] | None = None) -> dict[str, list]:
    """Computes mean and median error of each joint of C21 over its visible samples, and their number, as columns.

    None for a joint that is never visible.
    """
    visible = torch.ones_like(errors_mm, dtype=torch.bool) if visible is None else visible
    seen = [column[rows] for column, rows in zip(errors_mm.T, visible.T, strict=True)]
    return {
        "joint": list(C21.joints),
        "mean_mm": [_number(errors.mean()) if len(errors) else None for errors in seen],
        "median_mm": [_number(errors.median()) if len(errors) else None for errors in seen],
        "n": [len(errors) for errors in seen],
    }


@checked
def error_by_tone(
    errors_mm: Float[Tensor, "n k"], tone: Float[Tensor, " n"], visible: Bool[Tensor, "n k"] | None = None
) -> dict[str, list]:
    """Computes the error by skin tone as columns, for hands with low ≤ tone < high (the last group includes `high`).

    `mean_mm` is the mean over hands of each hand's mean over its visible joints, `standard_error_mm` its standard
    error, `n` the number of hands. None where there are too few hands. Raises `ValueError` for a tone outside 0 … 9.
    """
    edges = TONE_EDGES
    if not bool(((tone >= edges[0]) & (tone <= edges[-1])).all()):
        raise ValueError(f"tone must lie within {edges[0]:g} … {edges[-1]:g}")
    visible = torch.ones_like(errors_mm, dtype=torch.bool) if visible is None else visible
    counts = visible.any(1)
    hands = torch.where(visible, errors_mm, 0).sum(1)[counts] / visible.sum(1)[counts]
    bucket = (torch.bucketize(tone[counts], tone.new_tensor(edges), right=True) - 1).clamp(max=len(edges) - 2)
    groups = [hands[bucket == i] for i in range(len(edges) - 1)]
    return {
        "low": list(edges[:-1]),
        "high": list(edges[1:]),
        "mean_mm": [_number(g.mean()) if len(g) else None for g in groups],
        "standard_error_mm": [_number(g.std() / len(g) ** 0.5) if len(g) > 1 else None for g in groups],
        "n": [len(g) for g in groups],
    }


def _number(value: Tensor) -> float:
    return round(float(value), 4)


@checked
def segmentation_scores(predicted: Tensor, target: Tensor, classes: int = 2) -> dict[str, float]:
    """Computes the four scores of Long et al. 2015 from one confusion matrix over all pixels.

    predicted, target: class numbers (masks of 0 and 1) of the same shape. A class that occurs in neither is left out of
    the means. Raises `ValueError` for different shapes and for numbers that are not classes.
    """
    at_least(1, 4096, classes=classes)
    if predicted.shape != target.shape or not predicted.numel():
        shapes = f"predicted {tuple(predicted.shape)} and target {tuple(target.shape)}"
        raise ValueError(f"{shapes} differ in shape, or are empty")
    for name, given in (("predicted", predicted), ("target", target)):
        if given.numel() and not 0 <= given.min() <= given.max() < classes:
            raise ValueError(f"{name} has classes {given.min()} … {given.max()}: they must be 0 … {classes - 1}")
        if given.is_floating_point() and (given != given.trunc()).any():
            raise ValueError(f"{name} holds numbers between classes: give a mask as mask > 0.5")
    pairs = target.long().flatten() * classes + predicted.long().flatten()
    confusion = torch.bincount(pairs, minlength=classes**2).view(classes, classes).double()  # [true, predicted]
    hit, true = confusion.diagonal(), confusion.sum(1)
    union = true + confusion.sum(0) - hit
    iou = torch.where(union > 0, hit / union, torch.nan)
    return {
        "pixel_accuracy": float(hit.sum() / true.sum()),
        "mean_accuracy": float(torch.where(true > 0, hit / true, torch.nan).nanmean()),
        "mean_iou": float(iou.nanmean()),
        "frequency_weighted_iou": float((true * iou.nan_to_num()).sum() / true.sum()),
    }


@checked
def f_scores(
    predicted: Float[Tensor, "v 3"], truth: Float[Tensor, "w 3"], thresholds_mm: tuple[float, ...]
) -> list[float]:
    """Computes the harmonic mean of precision and recall, the fractions of points within a threshold of the other set.

    One for each threshold in millimeters; 0 if no point is near enough.
    """
    if not len(predicted) or not len(truth):
        raise ValueError(f"predicted and truth must hold points: got {len(predicted)} and {len(truth)}")
    # By default cdist uses a matrix product, which in single precision loses half a millimeter at half a meter.
    distance = torch.cdist(predicted, truth, compute_mode="donot_use_mm_for_euclid_dist") * 1000
    nearest, scores = (distance.amin(1), distance.amin(0)), []
    for threshold in thresholds_mm:
        precision, recall = (float((near < threshold).double().mean()) for near in nearest)
        scores.append(2 * precision * recall / max(precision + recall, 1e-12))
    return scores
