"""Figures from a `Collection`, with matplotlib, which needs no display here: PCK curves, ablations, Fig. 5f, steps of
refinement. Published curves and numbers are dotted and say so."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...support.files import atomic_path
from .. import published
from .collection import Collection
from .experiments import EXPERIMENTS, TABLES
from .sets import PUBLISHED, headline, pck_name
from .tables import test_title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
else:  # Python 3.10 looks the names up where types are checked
    Axes = Figure = Any

STYLES = ("-", "--", "-.", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)), (0, (8, 2)))


def figures(runs: Collection, names: tuple[str, ...] = tuple(TABLES)) -> dict[str, "Figure"]:
    """The figures of these tables, of which there is anything to show."""
    drawn = {
        "results": lambda: _pck(runs, *TABLES["results"]),
        "ablations": lambda: _pck(runs, *TABLES["ablations"]),
        "schedule": lambda: _schedule(runs),
        "iterations": lambda: _iterations(runs),
        "joints": lambda: _joints(runs),
    }
    return {name: figure for name in names if name in drawn and (figure := drawn[name]()) is not None}


def write_figures(runs: Collection, names: tuple[str, ...], folder: str | os.PathLike[str]) -> list[Path]:
    """Saves them as folder/NAME.svg. `ModuleNotFoundError` without matplotlib."""
    paths = []
    for name, figure in figures(runs, names).items():
        path = Path(folder) / f"{name}.svg"
        with atomic_path(path) as temporary:
            figure.savefig(temporary, format="svg", metadata={"Date": None})
        paths.append(path)
    return paths


def _pck(runs: Collection, where: str, experiments: tuple[str, ...]) -> "Figure | None":
    """PCK curves of experiments, a panel a test set, with the AUC of each in its legend."""
    tests = [t for t in runs.tests if any(runs.curve(name, t, pck_name(t)) for name in experiments)]
    if not tests:
        return None
    figure, panels = _figure(len(tests), 4.6, 5.0)
    for test, axes in zip(tests, panels, strict=True):
        for style, name in zip(STYLES, experiments, strict=False):
            curve = runs.curve(name, test, pck_name(test))
            if curve is None:
                continue
            value = runs.value(name, test, headline(test))
            label = EXPERIMENTS[name].title + (f": {value.text()}" if value else "")
            axes.plot(curve["threshold_mm"], curve["pck"], linestyle=style, label=label)
        if PUBLISHED.get(test) == "RHD" and not runs.synthetic:
            said = published.find(published.OURS, "RHD")
            curve = published.RHD_CURVE
            axes.plot(curve["threshold_mm"], curve["pck"], "k:", label=f"{published.OURS}: {said.text}")
        axes.set(
            title=test_title(test), xlabel="error threshold (mm)", ylabel="joints within it", xlim=(0, 50), ylim=(0, 1)
        )
        axes.legend(fontsize=6.5, loc="upper center", bbox_to_anchor=(0.5, -0.18))  # below: curves fill the panel
    figure.suptitle(f"{where}; {_data(runs)}; legend: AUC, mean ± standard deviation over seeds", fontsize=8)
    return figure


def _schedule(runs: Collection) -> "Figure | None":
    """Instances under T and the validation error, over the epochs of joint training; each seed thin, the mean thick."""
    records = runs.runs("schedule", "val")
    if not records:
        return None
    figure, panels = _figure(2, 3.6)
    shown = (("under_threshold", "training hands under T"), ("val_joints_root_mean_mm", "validation error (mm)"))
    for axes, (column, title) in zip(panels, shown, strict=True):
        for color, style, variant, label in (("C0", "-", "scheduled", "Eq. 12"), ("C1", "--", "constant", "constant")):
            for record in records:
                curve = record["curves"][variant]
                axes.plot(curve["epoch"], curve[column], style, color=color, linewidth=0.6, alpha=0.5)
            mean = runs.curve("schedule", "val", variant)
            axes.plot(mean["epoch"], mean[column], style, color=color, label=label)
        axes.set(xlabel="epoch", ylabel=title)
    panels[0].legend(title="weight of the shape loss")
    figure.suptitle(f"Fig. 5f; {_data(runs)}", fontsize=8)
    return figure


def _iterations(runs: Collection) -> "Figure | None":
    curves = runs.curves("full", "refinement")
    if not curves:
        return None
    figure, panels = _figure(len(curves), 3.4)
    for axes, (test, mean) in zip(panels, curves.items(), strict=True):
        for record in runs.runs("full", test):
            curve = record["curves"]["refinement"]
            axes.plot(curve["iteration"], curve["joints_root_mean_mm"], color="C0", linewidth=0.6, alpha=0.5)
        axes.plot(mean["iteration"], mean["joints_root_mean_mm"], color="C0")
        axes.set(title=test_title(test), xlabel="steps of Eq. 13", ylabel="mean error (mm)")
    figure.suptitle(f"Steps of test-time refinement; {_data(runs)}; thin: each seed", fontsize=8)
    return figure


def _joints(runs: Collection) -> "Figure | None":
    curves = runs.curves("full", "joint")
    if not curves:
        return None
    figure, (axes,) = _figure(1, 8)
    for n, (test, curve) in enumerate(curves.items()):
        place = [row + (n - (len(curves) - 1) / 2) * 0.25 for row in range(len(curve["joint"]))]
        heights = [0 if mean is None else mean for mean in curve["mean_mm"]]
        axes.bar(place, heights, 0.25, label=test_title(test))
    axes.set_xticks(range(len(curve["joint"])), curve["joint"], rotation=60, fontsize=7)
    axes.set(ylabel="mean error (mm)")
    axes.legend(fontsize=7)
    figure.suptitle(f"DHPE, error of each joint; {_data(runs)}", fontsize=8)
    return figure


def _figure(panels: int, width: float, height: float = 3.6) -> "tuple[Figure, list[Axes]]":
    from matplotlib.figure import Figure  # needs no display, and leaves pyplot's list of figures alone

    figure = Figure(figsize=(width * panels, height), layout="constrained")
    return figure, list(figure.subplots(1, panels, squeeze=False)[0])


def _data(runs: Collection) -> str:
    return f"{runs.suite}, " + ("rendered hands" if runs.synthetic else "real data sets")
