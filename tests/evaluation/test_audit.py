"""`handlib results`: what it shows, and that it finds what was done to a file."""

import json
import subprocess
import time

import pytest

from handlib.evaluation import audit, results
from handlib.evaluation.results import Metric


@pytest.fixture
def record():
    made = results.record(
        "run",
        "a claim",
        [
            Metric("joints_root_mean_mm", 12.5, "mm", "root", n=3, spread=0.25, seeds=3),
            Metric("auc", 0.9, "fraction", "root", "20 thresholds, 20–50 mm", 3),
        ],
        profile="laptop",
        config={},
        data={"name": "SyntheticHands", "n": 3},
        hand={"name": "openhand", "fingertips": "smplx"},
        started=time.perf_counter(),
        curves={"pck": {"threshold_mm": [0.0, 1.0], "pck": [0.0, 1.0]}},
    )
    return {**made, "git": {"commit": "a" * 40, "dirty": False}}


@pytest.fixture
def unchanged(monkeypatch):
    monkeypatch.setattr(audit, "changed_since", lambda commit: False)


def found(folder):
    return [(finding.level, finding.text) for finding in audit.verify(folder)]


def test_an_honest_record(record, tmp_path, unchanged):
    results.write(record, tmp_path)
    assert audit.verify(tmp_path) == []
    assert audit.report([], 1) == "1 files, 0 errors, 0 doubts"


@pytest.mark.parametrize(
    "change, words",
    [
        ({"profile": "smoke"}, "a smoke run is never a result"),
        ({"name": "other"}, "its record is named 'other'"),
        ({"curves": {"pck": {"threshold_mm": [0.0, 1.0], "pck": [0.0]}}}, "the columns of the curve 'pck'"),
        ({"metrics": [{"name": "auc", "value": 1.2, "unit": "fraction"}]}, "'auc' is a fraction but 1.2"),
        ({"metrics": [{"name": "mean", "value": -1.0, "unit": "mm"}]}, "'mean' is a negative length"),
    ],
)
def test_errors(record, tmp_path, unchanged, change, words):
    path = results.write(record | change, tmp_path)
    if path.stem != "run":
        path.rename(tmp_path / "run.json")
    ((level, text),) = found(tmp_path)
    assert level == "error" and words in text


def test_a_number_changed_by_hand(record, tmp_path, unchanged):
    path = results.write(record, tmp_path)
    path.write_text(path.read_text().replace("12.5", "11.5"))
    assert found(tmp_path) == [
        ("error", "its digest does not fit its content, so it was changed after it was written: run it again")
    ]


def test_infinity_is_no_number_of_a_record(record, tmp_path):
    path = results.write(record, tmp_path)
    path.write_text(path.read_text().replace(f'"minutes": {record["minutes"]}', '"minutes": 1e999'))
    (finding,) = audit.verify(tmp_path)
    assert finding.level == "error" and "1e999 is no finite number" in finding.text


@pytest.mark.parametrize("text, words", [("{", "not JSON"), ("{}", "the field 'schema' is missing")])
def test_what_is_no_record(tmp_path, text, words):
    (tmp_path / "run.json").write_text(text)
    (finding,) = audit.verify(tmp_path)
    assert finding.level == "error" and words in finding.text


def test_doubts(record, tmp_path, monkeypatch):
    record["git"]["dirty"] = True
    (tmp_path / "run.json").write_text(json.dumps(record))
    for age, words in ((True, "handlib has changed since aaaaaaaaaaaa"), (None, "unknown"), (False, None)):
        monkeypatch.setattr(audit, "changed_since", lambda commit, age=age: age)
        texts = [text for level, text in found(tmp_path) if level == "doubt"]
        assert "no digest" in texts[0] and "not committed" in texts[1]
        assert len(texts) == 2 if words is None else words in texts[2]


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A repository with a package "handlib" that `audit` believes to be in; `git` runs in it."""
    home = tmp_path / "clone"
    package = home / "handlib"
    for room in ("evaluation", "viz"):
        (package / room).mkdir(parents=True)

    def git(*arguments):
        options = ["-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false"]
        done = subprocess.run(["git", *options, *arguments], cwd=home, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    git("init", "-q")
    for name in ("evaluation/results.py", "losses.py", "viz/plots.py"):
        (package / name).write_text("first")
    git("add", "-A")
    git("commit", "-qm", "first")
    monkeypatch.setattr(audit, "__file__", str(package / "evaluation" / "audit.py"))
    audit.changed_since.cache_clear()
    yield package, git
    audit.changed_since.cache_clear()


def test_code_that_changed_since(checkout):
    package, git = checkout
    commit = git("rev-parse", "HEAD")

    def changed(commit=commit):
        audit.changed_since.cache_clear()
        return audit.changed_since(commit)

    assert changed() is False
    (package / "viz" / "plots.py").write_text("only presents numbers")
    (package.parent / "README.md").write_text("is no code")
    assert changed() is False
    (package / "losses.py").write_text("not committed yet")
    assert changed() is True
    git("add", "-A")
    git("commit", "-qm", "second")
    assert changed() is True and changed(git("rev-parse", "HEAD")) is False
    for unknown in ("f" * 40, "", "HEAD", "--help"):
        assert changed(unknown) is None


def test_an_installed_copy_in_a_checkout_of_something_else(checkout):
    package, git = checkout
    commit = git("rev-parse", "HEAD")
    git("rm", "-rq", "--cached", ".")
    assert audit.changed_since(commit) is None


def test_without_git(monkeypatch):
    def missing(*_, **__):
        raise FileNotFoundError("git")

    audit.changed_since.cache_clear()
    monkeypatch.setattr(audit.subprocess, "run", missing)
    assert audit.changed_since("a" * 40) is None
    audit.changed_since.cache_clear()


def test_show(record, tmp_path):
    results.write(record, tmp_path)
    results.write({**record, "name": "another", "synthetic": False}, tmp_path)
    head, *rows = audit.show(tmp_path).splitlines()
    assert head.split()[:3] == ["name", "profile", "data"]
    assert [row.split()[:4] for row in rows] == [
        ["another", "laptop", "real", "3"],
        ["run", "laptop", "synthetic", "3"],
    ]
    text = audit.show(tmp_path, ("run",))
    assert "run: a claim" in text and "another" not in text
    assert "12.5 mm ± 0.2 mm over 3 seeds   (root)" in text
    assert "0.900   (root; 20 thresholds, 20–50 mm)" in text
    assert audit.show(tmp_path, ("run.json",)) == text


def test_a_record_in_the_folder_of_a_suite_is_found_by_its_name(record, tmp_path, unchanged):
    results.write(record, tmp_path / "reproduce-laptop")
    assert "run: a claim" in audit.show(tmp_path, ("run",)) and audit.verify(tmp_path, ("run.json",)) == []
    assert audit.show(tmp_path, ("reproduce-laptop/run",)) == audit.show(tmp_path, ("run",))


def test_folders_and_names_that_are_not_there(tmp_path):
    for folder, names, words in (
        (tmp_path / "no", (), "no folder of results"),
        (tmp_path, (), "holds no results file"),
        (tmp_path, ("x",), "no results file at .*x.json"),
    ):
        with pytest.raises(FileNotFoundError, match=words):
            audit.verify(folder, names)


def test_errors_come_first():
    findings = [audit.Finding("a.json", "doubt", "old"), audit.Finding("b.json", "error", "b.json: bad")]
    assert audit.report(findings, 5).splitlines() == [
        "error  b.json: bad", "doubt  a.json: old", "5 files, 1 errors, 1 doubts",
    ]  # fmt: skip


def test_the_results_of_this_repository_have_no_errors():
    folder = audit.Path(results.__file__).parents[2] / "results"
    if not folder.is_dir():
        pytest.skip("not in a checkout")
    assert [finding for finding in audit.verify(folder) if finding.level == "error"] == []
