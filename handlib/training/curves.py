"""Draws the curves of a training run from its log with matplotlib, after it has ended or while it runs."""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from .checkpoint import read_log

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GRAY = "#808080"  # is read on a light page and on a dark one
STYLE = {
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "legend.frameon": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
} | dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), GRAY)
SCORES = {"val_joints_root_mean_mm": "validation error (mm)", "val_mean_iou": "validation mean IU"}


def curve(out: str | os.PathLike[str], terms: tuple[str, ...] = ("loss",)) -> "Figure":
    """Draws loss terms over the epochs, including the rows within epochs, beside the validation scores."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure  # unlike pyplot, needs no display and keeps no list of figures

    rows, epochs = read_log(out, steps=True), read_log(out)
    steps = {}  # the last logged step of each epoch, slightly fewer than all
    for row in rows:
        steps[row["epoch"]] = max(steps.get(row["epoch"], 1), row.get("step", 1))
    with rc_context(STYLE):
        figure = Figure(figsize=(9, 3), layout="constrained")
        left, *others = figure.subplots(1, 1 + len(SCORES))
        for term in terms:
            within = [row for row in rows if "step" in row and term in row]
            position = [row["epoch"] - 1 + row["step"] / steps[row["epoch"]] for row in within]
            (line,) = left.plot(position, [row[term] for row in within], linewidth=0.8, alpha=0.5)
            left.plot(*_logged(epochs, term), "o-", color=line.get_color(), label=term)
        left.set(xlabel="epoch", yscale="log", title="loss")
        left.legend()
        for axes, (score, title) in zip(others, SCORES.items(), strict=True):
            axes.plot(*_logged(epochs, score), "o-", color="tab:green")
            axes.set(xlabel="epoch", title=title)
    return figure


def _logged(rows: list[dict[str, float]], name: str) -> tuple[list[float], list[float]]:
    """The epochs that have a number of this name, and the numbers."""
    logged = [row for row in rows if name in row]
    return [row["epoch"] for row in logged], [row[name] for row in logged]


def live_curve(out: str | os.PathLike[str]) -> Callable[[], None]:
    """Returns a function that redraws the curve of a run in a notebook: `train(…, each_epoch=live_curve(out))`."""
    from IPython.display import display

    handle = None

    def draw() -> None:
        nonlocal handle
        figure = curve(out)
        if handle is None:
            handle = display(figure, display_id=True)
        else:
            handle.update(figure)

    return draw
