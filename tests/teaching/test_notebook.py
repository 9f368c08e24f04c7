"""The first cell of a notebook: inside of the repository, outside of it against the wheel, and where it must stop."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from run_notebooks import build_wheel, run

from handlib.teaching.notebook import FOLDER, CannotStart, start

ROOT = Path(__file__).resolve().parents[2]
UNSET = "https://github.com/OWNER/handlib"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HANDLIB_REPOSITORY", raising=False)
    monkeypatch.delenv("HANDLIB_PROFILE", raising=False)
    return tmp_path


def test_inside_of_the_book_nothing_is_fetched(monkeypatch):
    monkeypatch.chdir(ROOT / "book")
    start(UNSET, "smoke")
    assert os.environ["HANDLIB_PROFILE"] == "smoke" and Path.cwd() == ROOT / "book"


def test_an_address_that_is_not_set_is_one_sentence():
    with pytest.raises(CannotStart, match="make repository") as told:
        start(UNSET)
    assert told.value._render_traceback_() == [str(told.value)]


def test_a_repository_that_cannot_be_reached_is_named(tmp_path):
    with pytest.raises(CannotStart, match="nowhere"):
        start(f"file://{tmp_path}/nowhere")


def test_an_unknown_profile_is_refused():
    with pytest.raises(CannotStart, match="smoke, laptop, gpu"):
        start(UNSET, "huge")


def test_a_repository_is_cloned_once(tmp_path):
    origin = tmp_path / "origin"
    (origin / "book").mkdir(parents=True)
    (origin / "book" / "chapter.py").touch()
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    for command in (["init", "-q"], ["add", "."], [*identity, "commit", "-qm", "book"]):
        subprocess.run(["git", "-C", origin, *command], check=True)
    start(f"file://{origin}", "smoke")
    assert Path.cwd() == tmp_path / FOLDER / "book"
    os.chdir(tmp_path)
    (origin / "book" / "chapter.py").rename(origin / "gone.py")
    start(f"file://{origin}")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.mark.slow
def test_a_chapter_runs_outside_of_the_repository_against_the_wheel(wheel, tmp_path):
    done = run(ROOT / "book" / "hand.ipynb", tmp_path, wheel, HANDLIB_REPOSITORY=str(ROOT))
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.slow
def test_without_an_address_the_first_cell_says_so(wheel, tmp_path):
    done = run(ROOT / "book" / "hand.ipynb", tmp_path, wheel)
    assert done.returncode != 0 and "make repository URL=" in done.stderr
    cells = json.loads((ROOT / "book" / "hand.ipynb").read_text("utf-8"))["cells"]
    assert "start(REPOSITORY" in "".join(cells[0]["source"])
