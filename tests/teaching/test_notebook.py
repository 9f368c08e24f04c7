"""The first cell of a notebook: inside of the repository, outside of it against the wheel, and where it must stop."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

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
    """handlib as it is installed from its wheel, in a folder of its own."""
    home = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "-q"]
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(home), str(ROOT)]
    subprocess.run(build, check=True)
    (built,) = home.glob("handlib-*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", str(home / "site"), str(built)], check=True)
    return home / "site"


def run(notebook, folder, site, **environment):
    """Executes a notebook outside of the repository, with the installed handlib."""
    code = (
        "import sys, nbformat, nbclient\n"
        f"nb = nbformat.read({str(notebook)!r}, 4)\n"
        "import handlib\n"
        f"assert handlib.__file__.startswith({str(site)!r}), handlib.__file__\n"
        "nbclient.NotebookClient(nb, timeout=600).execute()\n"
    )
    clean = {key: value for key, value in os.environ.items() if not key.startswith("HANDLIB_")}
    clean |= {"PYTHONPATH": str(site), "HANDLIB_PROFILE": "smoke", "TQDM_DISABLE": "1", **environment}
    return subprocess.run([sys.executable, "-c", code], cwd=folder, env=clean, capture_output=True, text=True)


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
