"""Numbers that others have published, the paper among them, for the columns marked "published". Handlib measured none.

AUC of the PCK curve, from `low` to `high` millimeters. The literature mixes ranges and alignments, above all on
Dexter+Object: two numbers of different ranges are never put side by side without saying so. A value of None is "not
available": it could not be found, and is never filled in from memory.
"""

from typing import NamedTuple

MARK = "published"  # stands beside every one of these numbers
MISSING = "not available"
DATA = ("RHD", "SHD", "DO")  # Rendered Handpose; stereo hands, also called STB; Dexter+Object
PAPER = "Baek, Kim and Kim, CVPR 2019"
ELSEWHERE = "the method's own paper, or a later one that compares with it"


class Published(NamedTuple):
    method: str
    data: str
    metric: str
    value: float | None
    low: float | None = 20  # of an AUC, millimeters
    high: float | None = 50
    source: str = ELSEWHERE
    note: str = ""

    @property
    def text(self) -> str:
        """As in a table's cell."""
        if self.value is None:
            return MISSING
        span = "" if (self.low, self.high) in ((20, 50), (None, None)) else f", {self.low:g}–{self.high:g} mm"
        return f"{self.value:.3f} ({MARK}{span})"


def _auc(
    method: str, rhd: float | None, shd: float | None, do: float | None, note: str = "", source: str = ELSEWHERE
) -> list[Published]:
    """One row of the table; the note is about DO."""
    values = zip(DATA, (rhd, shd, do), ("", "", note), strict=True)
    return [Published(method, data, "auc", value, source=source, note=about) for data, value, about in values]


OURS = "DHPE"
AUC = (
    *_auc(OURS, 0.926, 0.995, 0.650, "a secondary list says 0–100 mm", source=PAPER),
    *_auc("Zimmermann & Brox 2017", 0.675, 0.948, 0.573),
    *_auc("Cai et al. 2018", 0.887, 0.994, None),
    *_auc("Iqbal et al. 2018", None, 0.994, 0.672, "trained on all data"),
    Published("Iqbal et al. 2018", "DO", "auc", 0.565, 0, 100, note="without real 2D data"),
    *_auc("Mueller et al. 2018", None, 0.965, 0.482),
    Published("Mueller et al. 2018", "DO", "auc", 0.558, 0, 100),
    *_auc("Spurr et al. 2018", 0.849, 0.983, 0.511),
    *_auc("Panteleris et al. 2018", None, 0.941, None),
    *_auc("PSO 1995/2011", None, 0.709, None),
)

# DHPE's PCK curve on RHD, read off the plot of Fig. 5 (a): to about half a hundredth.
RHD_CURVE = {
    "threshold_mm": [20.0, 25.0, 30.0, 35.0, 40.0, 45.0, 50.0],
    "pck": [0.790, 0.874, 0.925, 0.956, 0.974, 0.986, 0.994],
}

SEGMENTERS = (OURS, "Zimmermann & Brox 2017", "Khan & Borji 2018")
CRITERIA = {  # of segmentation, by the names of our metrics
    "pixel_accuracy": "pixel accuracy",
    "mean_accuracy": "mean accuracy",
    "mean_iou": "mean IoU",
    "frequency_weighted_iou": "frequency-weighted IoU",
}
SEGMENTATION = tuple(
    Published(method, "RHD", criterion, None, None, None, f"{PAPER}, Table 2", "the table's values could not be found")
    for method in SEGMENTERS
    for criterion in CRITERIA
)


def find(method: str, data: str) -> Published:
    """The published AUC of a method from 20 to 50 mm; `KeyError` when none is listed, not even as missing."""
    for entry in AUC:
        if (entry.method, entry.data, entry.low, entry.high) == (method, data, 20, 50):
            return entry
    raise KeyError(f"no published AUC of {method} on {data} is listed")
