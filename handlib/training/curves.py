"""Draws the curves of a training run from its log with matplotlib, after it has ended or while it runs."""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from .checkpoint import read_log

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LOSSES = ("loss",)
GRAY = "#808080"  # is read on a light page and on a dark one
STYLE = {
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "legend.frameon": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
} | dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), GRAY)
SCORES = {"val_joints_root_mean_mm": "validation error (mm)", "val_mean_iou": "validation mean IU"}


def curve(out: str | os.PathLike[str], terms: tuple[str, ...] = LOSSES) -> "Figure":
    """Draws loss terms over the epochs, including the rows within epochs, beside the validation scores."""
    from matplotlib import rc_context

    with rc_context(STYLE):
        return _curve(out, terms)


def _curve(out: str | os.PathLike[str], terms: tuple[str, ...]) -> "Figure":
    from matplotlib.figure import Figure  # unlike pyplot, needs no display and keeps no list of figures

    rows, epochs = read_log(out, steps=True), read_log(out)
    steps = {}  # the last logged step of each epoch, slightly fewer than all
    for row in rows:
        steps[row["epoch"]] = max(steps.get(row["epoch"], 1), row.get("step", 1))
    figure = Figure(figsize=(9, 3), layout="constrained")
    left, *others = figure.subplots(1, 1 + len(SCORES))
    for term in terms:
        within = [row for row in rows if "step" in row and term in row]
        position = [row["epoch"] - 1 + row["step"] / steps[row["epoch"]] for row in within]
        (line,) = left.plot(position, [row[term] for row in within], linewidth=0.8, alpha=0.5)
        logged = [row for row in epochs if term in row]
        left.plot(
            [row["epoch"] for row in logged], [row[term] for row in logged], "o-", color=line.get_color(), label=term
        )
    left.set(xlabel="epoch", yscale="log", title="loss")
    left.legend()
    for axes, (score, title) in zip(others, SCORES.items(), strict=True):
        logged = [row for row in epochs if score in row]
        axes.plot([row["epoch"] for row in logged], [row[score] for row in logged], "o-", color="tab:green")
        axes.set(xlabel="epoch", title=title)
    return figure


def live_curve(out: str | os.PathLike[str], terms: tuple[str, ...] = LOSSES) -> Callable[[], None]:
    """Returns a function that redraws the curve of a run in a notebook: `train(…, each_epoch=live_curve(out))`."""
    from IPython.display import display

    handle = None

    def draw() -> None:
        nonlocal handle
        figure = curve(out, terms)
        if handle is None:
            handle = display(figure, display_id=True)
        else:
            handle.update(figure)

    return draw
