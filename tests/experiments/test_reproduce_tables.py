import subprocess
import sys

import pytest
from reproduction import REAL, write_suite

from handlib.evaluation import results
from handlib.experiments import published
from handlib.experiments.reproduce import TABLES, read_collections
from handlib.experiments.reproduce.collection import Value
from handlib.experiments.reproduce.equipment import Equipment
from handlib.experiments.reproduce.figures import figures, write_figures
from handlib.experiments.reproduce.show import rendered, save_tables, shown
from handlib.experiments.reproduce.tables import NOT_RUN, missing_runs, published_table, results_table, tables
from handlib.experiments.reproduce.verdict import verdict_table

NAMES = tuple(TABLES)


def auc(job):
    """Of the full method 0.80, 0.82, 0.84 by seed; of others 0.1 less."""
    return (0.8 if job.experiment.name == "full" else 0.7) + 0.02 * job.seed


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_suite(tmp_path_factory.mktemp("suite"), auc)


@pytest.fixture(scope="module")
def runs(folder):
    return read_collections(folder)["laptop"]


def column(table, row, test):
    cells = next(cells for cells in table.rows if cells[0] == row)
    return cells[next(n for n, head in enumerate(table.header) if head.startswith(test))]


def test_numbers_over_seeds():
    value = Value.of([0.80, 0.82, 0.84])
    assert value.mean == pytest.approx(0.82) and value.spread == pytest.approx(0.02) and value.seeds == 3
    assert Value.of([1.0]).spread is None
    assert value.text() == "0.820 ± 0.020" and Value.of([1.0]).text(1) == "1.0"


def test_every_table_has_its_numbers(runs):
    made = tables(runs)
    assert made.keys() == TABLES.keys() - {"verdict"}
    assert column(made["results"], "DHPE", "diverse") == "0.820 ± 0.020"
    assert column(made["ablations"], "without shape loss", "object") == "0.720 ± 0.020"
    change = next(row for row in made["ablations"].rows if row[0] == "without shape loss")
    assert change[2].startswith("-0.100 [-0.1")
    assert column(made["segmentation"], "HandSegNet (Zimmermann & Brox)", "mean IoU") == "0.720 ± 0.020"
    assert column(made["mesh"], "DHPE", "diverse") == "12.0 ± 0.0"
    assert column(made["mesh"], "DHPE", "F at 15") == "0.75 ± 0.00"
    assert column(made["schedule"], "Eq. 12", "training hands") == "0.810 ± 0.010"
    assert column(made["joints"], "wrist", "diverse") == "21.0" and column(made["joints"], "little4", "diverse") == "–"
    assert [row[2] for row in made["tones"].rows[:3]] == ["20.0 ± 1.0", "21.0", "–"]
    assert made["iterations"].header[1] == "0 steps" and made["iterations"].header[-2] == "50 steps"
    assert "150 hands a validation set" in made["schedule"].markdown()
    assert "150 hands a test set" in made["results"].markdown()
    for table in made.values():
        lines = table.markdown().split("\n")
        assert len({line.count(" | ") for line in lines[2:3] + lines[4 : 4 + len(table.rows)]}) == 1
        assert "rendered hands, not photographs" in table.markdown()


def test_published_numbers_stand_apart_from_rendered_hands(runs):
    assert published.MARK not in "".join(cell for row in results_table(runs).rows for cell in row)
    texts = rendered(runs, ("results",))
    assert texts.keys() == {"results", "published"} and "on real data sets" in texts["published"]
    assert column(published_table(), "DHPE", "RHD") == "0.926 (published)"
    assert column(published_table(), "Iqbal et al. 2018", "DO").endswith("0.565 (published, 0–100 mm)")


def test_published_numbers_are_marked_beside_real_ones(tmp_path):
    runs = read_collections(write_suite(tmp_path, auc, data=REAL))["laptop-rhd-stb-do"]
    table = results_table(runs)
    assert column(table, "DHPE", "RHD") == "0.820 ± 0.020"
    assert column(table, "DHPE, published", "RHD") == "0.926 (published)"
    known = {f"{entry.value:.3f}" for entry in published.AUC if entry.value is not None}
    for row in table.rows:
        for cell in row[1:]:
            assert published.MARK in cell or cell[:5] not in known
    assert "mix alignments" in table.markdown() and "published" not in rendered(runs, ("results",))


def test_what_the_trainings_were(runs):
    """A row a training, not a row an experiment: three of them share that of the full method."""
    table = tables(runs, ("cost",))["cost"]
    names = [row[0] for row in table.rows]
    assert len(names) == len(set(names)) and {"full", "kanazawa", "handsegnet"} <= set(names)
    assert "no_test_refinement" not in names and "schedule" not in names
    assert column(table, "full", "minutes") == "5.0 ± 1.0" and column(table, "full", "learning rate") == "3e-04"
    assert column(table, "zimmermann", "learning rate") == "1e-03"


def test_what_is_missing_is_said(tmp_path):
    write_suite(tmp_path, auc, leave_out=lambda job: job.experiment.name == "pso" or job.seed == 2)
    runs = read_collections(tmp_path)["laptop"]
    table = results_table(runs)
    assert column(table, "particle swarm (Oikonomidis et al.)", "studio") == NOT_RUN
    assert column(table, "DHPE", "studio") == "0.810 ± 0.014 (2 of 3 seeds)"
    lines = missing_runs(runs)
    assert any("0 of 9" in line and "--profile laptop --only pso`" in line for line in lines)
    assert any(line.startswith("DHPE: 6 of 9") for line in lines)


@pytest.mark.parametrize("options", [{"data": REAL}, {"equipment": Equipment(fingertips="paper")}])
def test_cached_evidence_is_missing_nowhere_but_of_rendered_open_hands(tmp_path, options):
    write_suite(tmp_path, auc, leave_out=lambda job: job.experiment.name != "full" or job.seed > 0, **options)
    (runs,) = read_collections(tmp_path).values()
    assert missing_runs(runs) and not any("rows-" in line for line in missing_runs(runs))
    assert not any("rows-" in cell for row in verdict_table(runs).rows for cell in row)


def test_smoke_runs_never_enter(tmp_path):
    write_suite(tmp_path, auc, profile="smoke")
    assert read_collections(tmp_path) == {} and "smoke runs are none" in shown(tmp_path, NAMES)


def test_files_are_merged_by_lying_in_one_folder(folder, runs, tmp_path):
    for n, path in enumerate(sorted(folder.glob("*.json"))):
        half = tmp_path / f"machine{n % 2}" / "results"
        half.mkdir(parents=True, exist_ok=True)
        for file in folder.glob(f"{path.stem}.*"):
            (half / file.name).write_bytes(file.read_bytes())
    merged = read_collections(tmp_path)["laptop"]
    assert rendered(merged, NAMES) == rendered(runs, NAMES)


def test_other_results_may_lie_there(folder, runs, tmp_path):
    path = next(folder.glob("*.json"))
    (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "lite-diverse.json").write_text("{}")
    assert len(read_collections(tmp_path)["laptop"].records) == 1


def test_runs_that_differ_by_more_than_their_seed(folder, tmp_path):
    for path in folder.glob("reproduce-laptop-full-diverse-*.json"):
        record = results.read(path)
        if record["seed"] == 1:
            record["config"]["train"]["learning_rate"] = 1.0
        results.write(record, tmp_path)
    with pytest.raises(ValueError, match="differ in more than their seed"):
        read_collections(tmp_path)


def test_records_of_unknown_experiments_are_refused(folder, tmp_path):
    record = results.read(next(folder.glob("*.json")))
    record["config"]["experiment"] = "magic"
    results.write(record, tmp_path)
    with pytest.raises(ValueError, match="names no experiment"):
        read_collections(tmp_path)


def test_suites_are_kept_apart(folder, tmp_path):
    write_suite(tmp_path, auc, data=REAL)
    for path in folder.glob("*.json"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    found = read_collections(tmp_path)
    assert found.keys() == {"laptop", "laptop-rhd-stb-do"}
    real = found["laptop-rhd-stb-do"]
    assert real.tests == ("rhd", "stb", "do") and not real.synthetic
    assert real.command("full").endswith("--only full --data rhd:PATH,stb:PATH,do:PATH")
    made = tables(real)
    assert column(made["results"], "DHPE", "Dexter") == "0.820 ± 0.020" and "mesh" not in made
    assert column(made["segmentation"], "DHPE", "mean IoU") == "0.820 ± 0.020"


def test_figures_show_what_the_files_hold(runs, tmp_path):
    pytest.importorskip("matplotlib")
    drawn = figures(runs)
    assert drawn.keys() == {"results", "ablations", "schedule", "iterations", "joints"}
    panel = drawn["results"].axes[0]
    line = next(line for line in panel.lines if line.get_label().startswith("DHPE"))
    assert list(line.get_ydata()) == pytest.approx([0, 0.41, 0.82]) and "0.820 ± 0.020" in line.get_label()
    assert not any(published.MARK in line.get_label() for line in panel.lines)  # rendered hands beside RHD: never
    paths = write_figures(runs, NAMES, tmp_path)
    assert all(path.read_text().startswith("<?xml") for path in paths) and len(paths) == 5


def test_the_published_curve_is_drawn_beside_rhd(tmp_path):
    pytest.importorskip("matplotlib")
    runs = read_collections(write_suite(tmp_path, auc, data=REAL))["laptop-rhd-stb-do"]
    panels = figures(runs, ("results",))["results"].axes
    marked = [[line for line in axes.lines if published.MARK in line.get_label()] for axes in panels]
    assert [len(lines) for lines in marked] == [1, 0, 0]
    assert list(marked[0][0].get_ydata()) == published.RHD_CURVE["pck"]


def test_show_prints_tables_and_saves_nothing(folder):
    before = sorted(folder.rglob("*"))
    text = shown(folder, ("results", "verdict"))
    assert "**AUC of the PCK curve, laptop**" in text and "not testable here" in text
    assert sorted(folder.rglob("*")) == before


def test_tables_are_saved_beside_the_runs(tmp_path):
    write_suite(tmp_path / "results", auc, leave_out=lambda job: job.seed > 0)
    assert "tables to" in save_tables(tmp_path)
    saved = {path.stem for path in (tmp_path / "tables" / "laptop").iterdir()}
    assert saved == TABLES.keys() | {"published"}
    text = (tmp_path / "tables" / "laptop" / "results.md").read_text().strip()
    assert text in shown(tmp_path / "results", ("results",))


def test_cached_evidence_has_a_table_of_its_own(tmp_path):
    def by_name(job):
        return 0.6 if job.experiment.name == "rows-features" else 0.8

    write_suite(tmp_path, by_name, "workstation", leave_out=lambda job: job.seed > 2 or not job.experiment.cached)
    runs = read_collections(tmp_path)["workstation"]
    table = tables(runs)["cached"]
    assert column(table, "F alone, else equal (Kanazawa et al.)", "diverse") == "0.600 ± 0.000 (3 of 10 seeds)"
    row = next(row for row in table.rows if row[0].startswith("F alone"))
    assert row[1] == "F and 2D joints, not lifted, no refiner" and row[3].startswith("-0.200 [-0.200")
    assert "150 hands a test set" in table.markdown()


def test_tables_need_no_code_that_trains(folder):
    """In a process of its own, and in seconds."""
    script = (
        "import sys\nfrom handlib.experiments.reproduce.show import shown\nprint(len(shown(sys.argv[1])))\n"
        "trains = ('handlib.training.train', 'handlib.training.photo_model', 'handlib.experiments.baselines')\n"
        "assert not [name for name in sys.modules if name.startswith(trains)]"
    )
    done = subprocess.run([sys.executable, "-c", script, str(folder)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and int(done.stdout) > 1000, done.stderr
