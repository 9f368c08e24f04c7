"""Markdown tables from a `Collection`: every cell is a number of results files, a published one marked as such, or
says that there is none."""

from collections.abc import Iterable
from typing import NamedTuple

from ...evaluation.results import device_of
from .. import published
from .collection import Collection, Value
from .experiments import EXPERIMENTS, NETWORKS, TABLES
from .sets import PHOTOS, PUBLISHED, SPLITS, TITLES, headline

NOT_RUN, NONE = "not run", "–"  # a run that is missing; a number that cannot be
INTERVALS = "Intervals: paired, hands by a bootstrap and seeds by Student's t."


class Rendered(NamedTuple):
    """A table: `rows` of texts under `header`, and what must be known to read it."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()

    def markdown(self) -> str:
        line = "| " + " | ".join(self.header) + " |"
        rule = "|" + "|".join(" --- " for _ in self.header) + "|"
        body = ["| " + " | ".join(row) + " |" for row in self.rows]
        notes = ["", *self.notes] if self.notes else []
        return "\n".join([f"**{self.title}**", "", line, rule, *body, *notes])


def tables(runs: Collection, names: tuple[str, ...] = tuple(TABLES)) -> dict[str, Rendered]:
    """The tables of these names of which there is anything to show."""
    makers = {"results": results_table, "ablations": ablation_table, "cached": cached_table, "schedule": schedule_table,
              "iterations": iterations_table, "segmentation": segmentation_table, "joints": joints_table,
              "tones": tones_table, "mesh": mesh_table, "cost": cost_table}  # fmt: skip
    return {name: makers[name](runs) for name in names if name in makers and _any(runs, name)}


def test_title(test: str) -> str:
    """A test set as a column's head; of a split of the benchmark with the set that it stands for."""
    return f"{test} (synthetic, stands for {PUBLISHED[test]})" if test in SPLITS else TITLES.get(test, test)


def results_table(runs: Collection) -> Rendered:
    """Fig. 5a–c as numbers: AUC of every method on every test set; on real ones beside published numbers."""
    rows = [(EXPERIMENTS[name].title, *_aucs(runs, name)) for name in TABLES["results"].experiments]
    note = "Published numbers are of photographs, so they stand in a table of their own."
    if not runs.synthetic:
        rows += [(f"{name}, {published.MARK}", *cells) for name, *cells in _published(map(PUBLISHED.get, runs.tests))]
        note = f"The {published.MARK} numbers mix alignments; see the chapter on protocols."
    header = ("method", *map(test_title, runs.tests))
    return _table(runs, "AUC of the PCK curve", header, rows, _grids(runs), note)


def published_table() -> Rendered:
    """What the paper's Fig. 5a–c and others report on the real data sets. None of it was measured here."""
    return Rendered(
        "Published AUC of the PCK curve, on real data sets", ("method", *published.DATA),
        tuple(map(tuple, _published(published.DATA))),
        ("20 to 50 mm where no other thresholds are named. Alignments differ from paper to paper, above all on DO.",),
    )  # fmt: skip


def _published(data: Iterable[str | None]) -> list[list[str]]:
    """A row for each method: its name, and what is published of it on each of these real data sets."""
    rows, data = [], tuple(data)
    for method in dict.fromkeys(entry.method for entry in published.AUC):
        row = [method]
        for name in data:
            entries = [e for e in published.AUC if (e.method, e.data) == (method, name)]
            row.append("; ".join(e.text for e in entries if e.value is not None) or NONE)
        rows.append(row)
    return rows


def ablation_table(runs: Collection) -> Rendered:
    """Fig. 5d, e as numbers, with the difference from the full method and its 95 % interval."""
    header, rows = ["variant"], []
    for test in runs.tests:
        header += [test_title(test), "− DHPE [95 % interval]"]
    for name in TABLES["ablations"].experiments:
        row = [EXPERIMENTS[name].title]
        for test, cell in zip(runs.tests, _aucs(runs, name), strict=True):
            effect = runs.effect(name, "full", test) if name != "full" else None
            row += [cell, effect.text() if effect else NONE]
        rows.append(row)
    note = f"The paper's own values are {published.MISSING}: it draws them as curves."
    return _table(runs, "Ablations, AUC", header, rows, _grids(runs), INTERVALS, note)


# On cached evidence a row is compared with the one that it differs from in one thing.
CACHED_PAIRS = {
    "rows-refined": "rows-full", "rows-no_refiner": "rows-full", "rows-one_iteration": "rows-full",
    "rows-no_shape_loss": "rows-full", "rows-no_features": "rows-full", "rows-shuffled_features": "rows-full",
    "rows-features": "rows-both", "rows-scheduled": "rows-constant",
}  # fmt: skip


def cached_table(runs: Collection) -> Rendered:
    """AUC of every variant on cached evidence, and its difference from the row that it is compared with, with the 95 %
    interval of `paired_bootstrap`."""
    header, rows = ["variant", "compared with"], []
    tests = [test for test in runs.tests if any(runs.runs(name, test) for name in TABLES["cached"].experiments)]
    for test in tests:
        header += [test_title(test), "difference [95 % interval]"]
    for name in TABLES["cached"].experiments:
        other = CACHED_PAIRS.get(name)
        row = [EXPERIMENTS[name].title, EXPERIMENTS[other].title if other else NONE]
        for test in tests:
            effect = runs.effect(name, other, test) if other else None
            row += [_cell(runs.value(name, test, headline(test)), 3, runs, name), effect.text() if effect else NONE]
        rows.append(row)
    title = "What each part is worth on cached evidence, AUC"
    return _table(runs, title, header, rows, _grids(runs), INTERVALS, cached=True)


def schedule_table(runs: Collection) -> Rendered:
    """Fig. 5f: the end of the training with Eq. 12's weight of the shape loss, and with a constant one."""
    rows = []
    for label, title in (("scheduled", "Eq. 12"), ("constant", "constant")):
        cells = [
            _cell(value, digits, runs) if (value := runs.value("schedule", "val", f"{label}_{metric}")) else NONE
            for metric, digits in (("under_threshold", 3), ("joints_root_mean_mm", 1), ("mean_iou", 3))
        ]
        rows.append((title, *cells))
    header = ("weight of the shape loss", "training hands under T", "validation error (mm)", "validation mean IoU")
    return _table(runs, "Weight of the shape loss", header, rows, measured_on="validation")


def iterations_table(runs: Collection) -> Rendered:
    """The mean error after some numbers of steps of Eq. 13."""
    curves = runs.curves("full", "refinement")
    longest = max(len(curve["iteration"]) for curve in curves.values())
    shown = sorted({0, 1, 2, 5, 10, 20, 30, 50, longest - 1} & set(range(longest)))
    rows = []
    for test, curve in curves.items():
        rose = _cell(runs.value("full", test, "refinement_error_rose_fraction"), 3, runs)
        rows.append((test_title(test), *(f"{curve['joints_root_mean_mm'][k]:.2f}" for k in shown), rose))
    header = ("test set", *(f"{k} step{'s' * (k != 1)}" for k in shown), "hands whose error rose")
    return _table(runs, "Mean error (mm) after steps of refinement", header, rows)


def segmentation_table(runs: Collection) -> Rendered:
    """Table 2: four criteria on the first test set that has masks."""
    test = next(test for test in runs.tests if _has(runs, "segmentation", test, "mean_iou"))
    rows = [
        (EXPERIMENTS[name].title, *(_cell(runs.value(name, test, metric), 3, runs) for metric in published.CRITERIA))
        for name in TABLES["segmentation"].experiments
    ]
    note = f"The paper's Table 2 is of RHD; its values are {published.MISSING}."
    return _table(runs, f"Segmentation on {test_title(test)}", ("method", *published.CRITERIA.values()), rows, note)


def joints_table(runs: Collection) -> Rendered:
    """Mean error of each joint of the full method."""
    curves = runs.curves("full", "joint")
    joints = next(iter(curves.values()))["joint"]
    means = [curve["mean_mm"] for curve in curves.values()]
    rows = [
        (joint, *(NONE if mean[row] is None else f"{mean[row]:.1f}" for mean in means))
        for row, joint in enumerate(joints)
    ]
    return _table(runs, "Mean error of each joint (mm), DHPE", ("joint", *map(test_title, curves)), rows)


def tones_table(runs: Collection) -> Rendered:
    """Mean error by skin tone of the full method."""
    rows = []
    for test in runs.tests:
        curve = runs.curve("full", test, "tone")
        if curve is None:
            continue
        columns = (curve[name] for name in ("low", "high", "mean_mm", "standard_error_mm", "n"))
        for low, high, mean, error, n in zip(*columns, strict=True):
            measured = NONE if mean is None else f"{mean:.1f}" + (f" ± {error:.1f}" if error is not None else "")
            rows.append((test_title(test), f"{low + 1:g} to {high + 1:g}", measured, f"{n:g}"))
    note = "Tones are those of the Monk scale, 1 the lightest; ± is the standard error over hands, not over seeds."
    return _table(runs, "Error by skin tone (mm), DHPE", ("test set", "tone", "mean error", "hands"), rows, note)


def mesh_table(runs: Collection) -> Rendered:
    """Where the true mesh is known: mean vertex error after Procrustes, and the F-scores of FreiHAND."""
    tests = [test for test in runs.tests if _has(runs, "mesh", test, "vertices_procrustes_mean_mm")]
    header = ["method"]
    for test in tests:
        header += [f"{test_title(test)}: error (mm)", "F at 5 mm", "F at 15 mm"]
    rows = []
    for name in TABLES["mesh"].experiments:
        row = [EXPERIMENTS[name].title]
        for test in tests:
            row.append(_cell(runs.value(name, test, "vertices_procrustes_mean_mm"), 1, runs))
            row += [_cell(runs.value(name, test, f"freihand_vertices_f_{mm}_mm"), 2, runs) for mm in (5, 15)]
        rows.append(row)
    return _table(runs, "The whole mesh, after Procrustes", header, rows, "F-scores: as FreiHAND defines them.")


def cost_table(runs: Collection) -> Rendered:
    """Minutes that a training took, and what it was."""
    rows = []
    for name in TABLES["cost"].experiments:
        records = [record for test in runs.tests for record in runs.runs(name, test)]
        if not records or EXPERIMENTS[name].training in (row[0] for row in rows):
            continue
        run, minutes = records[0]["config"]["train"], runs.value(name, records[0]["config"]["test"], "training_minutes")
        rate = run["learning_rate" if EXPERIMENTS[name].training in NETWORKS else "joint_learning_rate"]
        images = f"{run['images']:,}" if run["data"] == ["synthetic"] else "all"
        rows.append((EXPERIMENTS[name].training, images, str(run["epochs"]), f"{rate:.0e}", _cell(minutes, 1, runs)))
    devices = sorted({device_of(record) for record in runs.records})
    note = (
        f"On {', '.join(devices)}. Lifting that several runs need alike is done once and counted in the first of them; "
        "the minutes in which learning rates were tuned and test hands measured are not in these."
    )
    return _table(runs, "What the trainings were", ("training", "hands", "epochs", "learning rate, tuned", "minutes"),
                  rows, note)  # fmt: skip


def missing_runs(runs: Collection) -> list[str]:
    """What is missing of a suite, a line an experiment, with the command that makes it."""
    lines = []
    for name, experiment in EXPERIMENTS.items():
        if runs.tests == (PHOTOS,) and not experiment.cached:
            continue  # a suite of its own, beside one of rendered hands
        tests = runs.tests_of(name)
        found, wanted = sum(len(runs.runs(name, test)) for test in tests), len(tests) * runs.wanted(name)
        if found < wanted:
            lines.append(f"{experiment.title}: {found} of {wanted} runs are there; `{runs.command(name)}`")
    return lines


# ---- cells and notes


def _any(runs: Collection, table: str) -> bool:
    """Whether any run of a table is there, with what the table shows."""
    wanted = {"segmentation": "mean_iou", "mesh": "vertices_procrustes_mean_mm"}.get(table)
    if wanted:
        return any(_has(runs, table, test, wanted) for test in runs.tests)
    curve = {"joints": "joint", "tones": "tone", "iterations": "refinement"}.get(table)
    tests = ("val",) if table == "schedule" else runs.tests
    found = [run for name in TABLES[table].experiments for test in tests for run in runs.runs(name, test)]
    return any(curve in run["curves"] for run in found) if curve else bool(found)


def _has(runs: Collection, table: str, test: str, metric: str) -> bool:
    return any(runs.by_seed(name, test, metric) for name in TABLES[table].experiments)


def _aucs(runs: Collection, experiment: str) -> list[str]:
    return [_cell(runs.value(experiment, test, headline(test)), 3, runs) for test in runs.tests]


def _cell(value: Value | None, digits: int, runs: Collection, experiment: str = "full") -> str:
    if value is None:
        return NOT_RUN
    wanted = runs.wanted(experiment)
    return value.text(digits) + (f" ({value.seeds} of {wanted} seeds)" if value.seeds < wanted else "")


def _table(
    runs: Collection, title: str, header: Iterable[str], rows: Iterable[Iterable[str]], *notes: str,
    measured_on: str = "test", cached: bool = False,
) -> Rendered:  # fmt: skip
    """A table of a suite. The first note under it says what the data are, how many seeds, and what ± is."""
    kind = "rendered hands, not photographs" if runs.synthetic else "real data sets"
    counted = [
        r for r in runs.records
        if (r["config"]["test"] == "val") == (measured_on == "validation")
        and EXPERIMENTS[r["config"]["experiment"]].cached == cached
    ]  # fmt: skip
    counts = sorted({record["data"]["n"] for record in counted})
    seeds = len({record["seed"] for record in counted})
    about = (
        f"Ours: profile {runs.profile}, {kind}, {' or '.join(map(str, counts))} hands a {measured_on} set; "
        f"mean ± standard deviation over up to {seeds} seeds."
    )
    return Rendered(f"{title}, {runs.suite}", tuple(header), tuple(map(tuple, rows)), (about, *notes))


def _grids(runs: Collection) -> str:
    """Alignment and thresholds of the AUC of each test set."""
    said = []
    for test in runs.tests:
        metric = runs.metric(test, headline(test))
        if metric is not None:
            said.append(f"{test}: {metric['alignment']}, {metric['grid']}")
    return "Alignment and thresholds: " + "; ".join(said) + "."
