"""Grades a notebook or module that was handed in: the same checks as the student's, with inputs of another seed.

What is handed in is a program. It runs in a process of its own with a time limit, which is no protection against one
that means harm: grade in a container, or as a user who may do nothing else.
"""

import ast
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from .checking import verdict
from .exercise import Exercise
from .tables import ASSIGNMENTS

MINUTES = 10.0


class Grade(NamedTuple):
    """The points of one exercise."""

    exercise: str
    points: int
    of: int
    said: str  # what is wrong; empty where all is right


class Grades(list):
    """Grades of an assignment, and their sum."""

    @property
    def points(self) -> int:
        return sum(grade.points for grade in self)

    @property
    def of(self) -> int:
        return sum(grade.of for grade in self)

    def __repr__(self) -> str:
        lines = [f"{g.exercise:6} {g.points} of {g.of}  {g.said}".rstrip() for g in self]
        return "\n".join([*lines, f"{'':6} {self.points} of {self.of} points"])


def grade(path: str | os.PathLike[str], assignment: str = "", seed: int = 1, minutes: float = MINUTES) -> Grades:
    """Points of what was handed in for an assignment.

    path: a notebook (.ipynb) or module (.py) that defines the answers under the names of the assignment. assignment:
    "A2"; by default the name that the file begins with. seed: draws the hidden inputs; keep it to yourself. minutes:
    what is handed in has so long.

    A cell or an answer that fails costs its own points alone. Raises `ValueError` for a file that is none of the two.
    """
    path = Path(path)
    assignment = assignment or path.stem[:2].upper()
    code = cells(path)
    with tempfile.TemporaryDirectory() as folder:
        (job := Path(folder, "job.json")).write_text(json.dumps([code, assignment, seed]), "utf-8")
        done = Path(folder, "grades.json")
        command = [sys.executable, "-m", "handlib.teaching.grading", str(job), str(done)]
        try:
            subprocess.run(
                command, timeout=60 * minutes, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
            )
        except subprocess.TimeoutExpired:
            return _nothing(assignment, f"stopped after {minutes:g} minutes")
        except subprocess.CalledProcessError as error:
            return _nothing(assignment, f"the program ended with status {error.returncode}")
        return Grades(Grade(*row) for row in json.loads(done.read_text("utf-8")))


def cells(path: Path) -> list[str]:
    """The code of a notebook's cells, or of a module as one cell, without IPython's own lines."""
    if path.suffix == ".py":
        return [path.read_text("utf-8")]
    try:
        notebook = json.loads(path.read_text("utf-8"))
        sources = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is neither a notebook nor a module: hand in .ipynb or .py") from error
    return [_python(source) for source in sources]


def _python(source: str) -> str:
    """A cell as it is where it is Python, whose lines may begin with %; else without those that begin with % or !."""
    python = source
    for indent in ("", "[ \t]*"):
        try:
            ast.parse(python)
            break
        except (SyntaxError, ValueError):
            python = re.sub(f"^({indent})[%!].*", r"\1pass", source, flags=re.MULTILINE)
    return python


def _nothing(assignment: str, said: str) -> Grades:
    return Grades(Grade(e.name, 0, e.points, said) for e in _exercises(assignment))


def _exercises(assignment: str) -> tuple[Exercise, ...]:
    if assignment not in ASSIGNMENTS:
        raise ValueError(f"there is no assignment {assignment!r}: choose one of {', '.join(ASSIGNMENTS)}")
    return ASSIGNMENTS[assignment].exercises


def run(code: list[str], assignment: str, seed: int) -> list[Grade]:
    """Runs cells one after the other, each as far as it goes, and checks the answers that they leave behind."""
    names: dict = {"__name__": "__main__"}
    failed = ""
    for cell in code:
        try:
            exec(compile(cell, "<cell>", "exec"), names)
        except (Exception, SystemExit) as error:  # noqa: BLE001  a student's mistake may be any
            failed = f"{type(error).__name__}: {error}"
    grades = []
    for exercise in _exercises(assignment):
        if exercise.answer not in names:
            said = f"{exercise.answer} is not defined" + (f" ({failed})" if failed else "")
        else:
            try:
                said = verdict(exercise.name, names[exercise.answer], seed) or ""
            except (Exception, SystemExit) as error:  # noqa: BLE001
                said = f"{type(error).__name__}: {error}"
        grades.append(Grade(exercise.name, 0 if said else exercise.points, exercise.points, said))
    return grades


if __name__ == "__main__":
    job, done = map(Path, sys.argv[1:])
    done.write_text(json.dumps(run(*json.loads(job.read_text("utf-8")))), "utf-8")
