"""How good an estimate is: errors, PCK and AUC, segmentation scores, mesh scores.

Lengths are meters inside; a name that ends in `_mm` is millimeters. Accumulate errors over a whole test set first: a
mean of per-batch scores is another number.
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
_ROOT_BONE = next(bone for bone in BONES if bone[1] == MIDDLE_MCP)  # wrist → middle MCP sets the scale of "root_scale"
TONE_EDGES = (0.0, 3.0, 6.0, 9.0)  # of the Monk scale's ten tones, 0 … 9, lightest first: light, medium, dark


@checked
def align(
    predicted: Float[Tensor, "*batch n 3"],
    truth: Float[Tensor, "*batch n 3"],
    mode: str = "root",
    counted: Bool[Tensor, "*batch n"] | None = None,
) -> Float[Tensor, "*batch n 3"]:
    """Moves predicted joints (C21) onto the true ones, as protocols do before they measure.

    "root": the middle MCPs coincide. "root_scale": and the lengths wrist – middle MCP agree. "wrist", "wrist_scale":
    likewise, but it is the wrists that coincide. "procrustes": the best similarity (rotation, scale, translation),
    which also serves for points that are not joints. "reflected_procrustes": it may be a mirror, as in FreiHAND's code.
    A hand that holds NaN comes back as NaN. counted: the points that it fits, three at least where the answer is to
    mean anything; all of them by default.
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
    """Umeyama's least-squares similarity of the counted points, applied to all; a mirror only with `reflections`."""
    source_mean, target_mean = _mean_of(source, counted), _mean_of(target, counted)
    x, y = source - source_mean, target - target_mean
    everything = x
    if counted is not None:
        x, y = (torch.where(counted[..., None], points, 0) for points in (x, y))
    products = y.mT @ x
    known = products.isfinite().flatten(-2).all(-1)[..., None, None]  # svd refuses the batch for one hand that is not
    u, s, vt = torch.linalg.svd(torch.where(known, products, 0))
    sign = torch.ones_like(s)
    if not reflections:
        sign[..., -1] = torch.sign(torch.det(u) * torch.det(vt))
    rotation = u @ (sign[..., None] * vt)
    scale = (s * sign).sum(-1) / x.square().sum((-2, -1)).clamp(min=1e-12)
    fitted = scale[..., None, None] * (everything @ rotation.mT) + target_mean
    return torch.where(known, fitted, torch.nan)


def _mean_of(points: Tensor, counted: Tensor | None) -> Tensor:
    if counted is None:
        return points.mean(-2, keepdim=True)
    total = torch.where(counted[..., None], points, 0).sum(-2, keepdim=True)
    return total / counted.sum(-1).clamp(min=1)[..., None, None]


@checked
def joint_errors_mm(predicted: Float[Tensor, "*batch n 3"], truth: Float[Tensor, "*batch n 3"]) -> Tensor:
    """Distance of each joint or vertex from the truth, in millimeters."""
    return (predicted - truth).norm(dim=-1) * 1000


@checked
def without_rounding(errors_mm: Tensor) -> Tensor:
    """What an alignment leaves of no error is none: a grid's first threshold may be 0."""
    return torch.where(errors_mm < ROUNDING_MM, 0, errors_mm)


@checked
def pck(
    errors: Float[Tensor, "n k"], thresholds: Float[Tensor, " t"], visible: Bool[Tensor, "n k"] | None = None
) -> Float[Tensor, "k t"]:
    """Percentage of correct keypoints: for each keypoint, the fraction of its visible samples within each threshold.

    `errors` and `thresholds` share a unit. A keypoint that is never visible gives NaN.
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
    """Area under the PCK curve from `low` to `high`, by the trapezoid rule over `steps` thresholds, 1 at best.

    The curve of each keypoint is integrated by itself, then the mean is taken over keypoints that were ever visible.
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
    """AUC on the grid of the field's reference evaluation: 20 thresholds from 0 to 50 mm, from `low_index` on.

    `low_index=8` is what its "20–50 mm" is in truth: 21.05 to 50 mm with 12 points.
    """
    at_least(0, 18, low_index=low_index)
    errors_mm = _floating(errors_mm)
    grid = torch.linspace(0, 50, 20, dtype=errors_mm.dtype, device=errors_mm.device)
    return auc_on(errors_mm, grid[low_index:], visible)


@checked
def auc_on(
    errors: Float[Tensor, "n k"], thresholds: Float[Tensor, " t"], visible: Bool[Tensor, "n k"] | None = None
) -> float:
    """`auc` over any rising thresholds; NaN where nothing was ever visible."""
    if len(thresholds) < 2 or not bool((thresholds.diff() > 0).all() and thresholds.isfinite().all()):
        raise ValueError("thresholds must be two numbers at least, each larger than the one before")
    curves = pck(errors, thresholds, visible)
    areas = torch.trapezoid(curves, thresholds.to(curves.dtype), dim=-1) / (thresholds[-1] - thresholds[0])
    return float(areas.nanmean())


def _floating(values: Tensor) -> Tensor:
    """Whole numbers too: in a grid of whole thresholds the curve would be another one."""
    return values if values.is_floating_point() else values.float()


@checked
def error_by_joint(errors_mm: Float[Tensor, "n 21"], visible: Bool[Tensor, "n 21"] | None = None) -> dict[str, list]:
    """Mean and median error of each joint of C21 over its visible samples, and how many those are, as columns.

    None where a joint is never visible.
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
    errors_mm: Float[Tensor, "n k"],
    tone: Float[Tensor, " n"],
    visible: Bool[Tensor, "n k"] | None = None,
    edges: tuple[float, ...] = TONE_EDGES,
) -> dict[str, list]:
    """Error by skin tone, as columns: hands of tone low ≤ tone < high (the last bucket has its upper edge, too).

    `mean_mm` is over hands, of each hand's mean over its visible joints; `standard_error_mm` says how far chance moves
    it; `n` is the number of hands. None where there are too few. `ValueError` when a tone lies outside the edges.
    """
    if len(edges) < 2 or list(edges) != sorted(set(edges)):
        raise ValueError(f"edges must be two numbers at least, each larger than the one before: {edges}")
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
    """The four scores of Long et al. 2015 from one confusion matrix over everything given.

    predicted, target: class numbers (masks of 0 and 1), same shape. A class that never occurs in either is left out
    of the means. `ValueError` for a number that is no class.
    """
    at_least(1, 4096, classes=classes)
    if predicted.shape != target.shape or not predicted.numel():
        shapes = f"predicted {tuple(predicted.shape)} and target {tuple(target.shape)}"
        raise ValueError(f"{shapes} differ in shape, or are empty")
    for name, given in (("predicted", predicted), ("target", target)):
        if given.numel() and not 0 <= given.min() <= given.max() < classes:
            raise ValueError(f"{name} has classes {given.min()} … {given.max()}: they must be 0 … {classes - 1}")
    pairs = target.long().flatten() * classes + predicted.long().flatten()
    confusion = torch.bincount(pairs, minlength=classes**2).view(classes, classes).double()  # n_ij: true i, said j
    hit, true, said = confusion.diagonal(), confusion.sum(1), confusion.sum(0)
    union = true + said - hit
    iou = torch.where(union > 0, hit / union, torch.nan)
    return {
        "pixel_accuracy": float(hit.sum() / true.sum()),
        "mean_accuracy": float(torch.where(true > 0, hit / true, torch.nan).nanmean()),
        "mean_iou": float(iou.nanmean()),
        "frequency_weighted_iou": float((true * iou.nan_to_num()).sum() / true.sum()),
    }


@checked
def vertex_error(predicted: Float[Tensor, "n v 3"], truth: Float[Tensor, "n v 3"], mode: str = "procrustes") -> float:
    """Mean vertex distance in millimeters, after `procrustes` alignment of the vertices or ("none") as they are."""
    if mode not in ("procrustes", "none"):
        raise ValueError(f"unknown alignment '{mode}' for vertices: choose procrustes or none")
    moved = _procrustes(predicted, truth) if mode == "procrustes" else predicted
    return float(joint_errors_mm(moved, truth).mean())


@checked
def f_score(predicted: Float[Tensor, "v 3"], truth: Float[Tensor, "w 3"], threshold_mm: float) -> float:
    """Harmonic mean of precision and recall of two point sets: points nearer than a threshold to the other set."""
    return f_scores(predicted, truth, (threshold_mm,))[0]


@checked
def f_scores(
    predicted: Float[Tensor, "v 3"], truth: Float[Tensor, "w 3"], thresholds_mm: tuple[float, ...]
) -> list[float]:
    """`f_score` at each of several thresholds, in millimeters; 0 where no point is near enough."""
    # The products that cdist takes for many points lose half a millimeter in single precision, half a meter away.
    distance = torch.cdist(predicted, truth, compute_mode="donot_use_mm_for_euclid_dist") * 1000
    nearest, scores = (distance.amin(1), distance.amin(0)), []
    for threshold in thresholds_mm:
        precision, recall = (float((near < threshold).double().mean()) for near in nearest)
        scores.append(2 * precision * recall / max(precision + recall, 1e-12))
    return scores
