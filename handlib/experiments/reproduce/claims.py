"""The claims of the paper, each with its evidence and what would show it.

They were written before the runs that judge them, but for what is marked as later.
"""

from typing import NamedTuple

from .. import published
from .statistics import DELTA

DELTA_MM = 0.3  # of mean error: what moves an AUC over 30 mm by DELTA
UNDER = "under_threshold"  # of trainings a curve and, at its end, a metric: the share of hands under T
SWITCHING = (0.1, 0.6)  # shares at which Eq. 12 has hands to switch on, and some that are on


class Claim(NamedTuple):
    """pairs: (A, B); the first of which there are runs of both counts. sets: names of published data sets; the test
    sets that are or stand for one of them count, or all. score: what A and B are compared by (sets.ERRORS, or UNDER),
    and `other` of B, if it is another one. same: the claim is that there is no difference. steps: of Eq. 13 that A must
    have taken, at least. under: shares of training hands under T between which the curves of A and B must begin.
    missing: why nobody here can test it."""

    name: str
    claim: str
    evidence: str  # the paper's
    rule: str
    pairs: tuple[tuple[str, str], ...] = ()
    sets: tuple[str, ...] = ()
    score: str = "auc"
    other: str = ""
    same: bool = False
    steps: int = 0
    under: tuple[float, float] | None = None
    missing: str = ""


def _said(method: str, *data: str) -> str:
    """Published numbers of a method, one a data set."""
    return ", ".join(f"{published.find(method, name).text} on {name}" for name in data)


def _against(method: str, *data: str) -> str:
    """The paper's method against another, as published."""
    return f"{_said(published.OURS, *data)}; {method} {_said(method, *data)}"


_RULE = "AUC of {} above that of {}"
CLAIMS = (
    Claim(
        "published", "DHPE reaches its published accuracy",
        "AUC " + _said(published.OURS, *published.DATA),
        f"AUC at most {DELTA} below the published one, on the real sets", (("full", "full"),),
    ),
    Claim(
        "zimmermann", "better than Zimmermann & Brox by a large margin",
        "Fig. 5a, c: AUC " + _against("Zimmermann & Brox 2017", "RHD", "SHD"),
        _RULE.format("DHPE", "lifted heat maps") + "; how large the margin is, is not tested",
        (("full", "zimmermann"),), ("RHD", "SHD"),
    ),
    Claim(
        "swarm", "better than fitting a 3D model by a particle swarm",
        "Fig. 5c: AUC " + _against("PSO 1995/2011", "SHD"), _RULE.format("DHPE", "the swarm"),
        (("full", "pso"),), ("SHD",),
    ),
    Claim(
        "squares", "better than fitting a 3D model to the 2D joints by least squares",
        "Fig. 5c: AUC " + _against("Panteleris et al. 2018", "SHD"), _RULE.format("DHPE", "least squares"),
        (("full", "panteleris"),), ("SHD",),
    ),
    Claim(
        "others", "better than Cai et al. by 4 mm, and than Spurr et al. and Mueller et al.",
        "Fig. 5a–c (published)", "none", missing="these methods are not among the baselines",
    ),
    Claim(
        "iqbal", "on par with Iqbal et al. on SHD, better on DO",
        "Fig. 5b, c: AUC " + _against("Iqbal et al. 2018", "SHD") + "; ranges and alignments on DO are mixed",
        "none", missing="this method is not among the baselines",
    ),
    Claim(
        "refinement-do", "test-time refinement matters on DO", "Fig. 5d: without it considerably worse",
        _RULE.format("refined", "not refined") + "; on cached evidence without the feature term and the Laplacian",
        (("rows-refined", "rows-full"), ("full", "no_test_refinement")), ("DO",),
    ),
    Claim(
        "augmentation", "self-supervised augmentation improves the accuracy significantly",
        "Fig. 5d, e, both without test refinement", _RULE.format("no refinement", "no refinement and augmentation"),
        (("no_test_refinement", "no_augmentation"),), ("DO", "RHD"),
    ),
    Claim(
        "refiner", "the 2D pose refiner further improves the accuracy significantly",
        "Fig. 5e, both without test refinement", _RULE.format("with Ref", "without"),
        (("rows-full", "rows-no_refiner"), ("no_test_refinement", "no_refiner")), ("RHD",),
    ),
    Claim(
        "evidence", "features and 2D joints together are better than features alone (Kanazawa et al.)",
        "Fig. 5d, e: without refiner against without 2D losses",
        _RULE.format("F and 2D joints", "F alone") + ", all else equal",
        (("rows-both", "rows-features"), ("no_refiner", "no_evidence_losses")), ("RHD", "DO"),
    ),
    Claim(
        "shape", "estimating shape and pose together gives better poses than pose alone", "Fig. 5a, d",
        _RULE.format("with shape loss", "without"),
        (("rows-full", "rows-no_shape_loss"), ("full", "no_shape_loss")), ("RHD", "DO"),
    ),
    Claim(
        "schedule-under", "Eq. 12 lets more instances come under T than a constant weight", "Fig. 5f",
        "training hands under T at the end of training, Eq. 12 above constant, from starts with 10–60 % under T",
        (("rows-scheduled", "rows-constant"),), score=UNDER, under=SWITCHING,
    ),
    Claim(
        "schedule-error", "Eq. 12 brings a lower test error than a constant weight", "Fig. 5f",
        _RULE.format("Eq. 12", "constant") + ", from the same starts", (("rows-scheduled", "rows-constant"),),
        under=SWITCHING,
    ),
    Claim(  # later: that at least 50 steps must have been taken
        "iterations", "50 steps of refinement are enough", "Fig. 5e: the error has settled",
        f"the second half of the steps changes the mean error by less than {DELTA_MM} mm",
        (("rows-refined", "rows-refined"), ("full", "full")), score="root_mm", other="half_mm", same=True, steps=50,
    ),
    Claim(
        "segments-handsegnet", "segments hands much better than HandSegNet, made for it",
        "Table 2 (values not available)", "IoU of each hand, DHPE above HandSegNet; how much, is not tested",
        (("full", "handsegnet"),), ("RHD",), score="iou",
    ),
    Claim(
        "segments-encoder", "segments hands much better than an encoder–decoder, made for it",
        "Table 2 (values not available)", "IoU of each hand, DHPE above an encoder–decoder; how much, is not tested",
        (("full", "encoder-decoder"),), ("RHD",), score="iou",
    ),
    Claim(
        "speed", "100 ms for a first estimate and 5 ms for each step of refinement", "Sec. 3.4",
        "none", missing="the paper's machine is needed; `handlib bench` times this one",
    ),
)  # fmt: skip
