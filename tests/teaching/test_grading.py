import json

import pytest

from handlib.teaching import grade
from handlib.teaching.grading import cells


def notebook(path, *sources):
    cells = [
        {"cell_type": "code", "source": s, "metadata": {}, "outputs": [], "execution_count": None} for s in sources
    ]
    path.write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    return path


def test_what_is_handed_in_gets_its_points(tmp_path):
    good = "def fraction_under(errors, T):\n    return (errors.mean(1) <= T).float().mean()"
    handed_in = notebook(
        tmp_path / "A5_ada.ipynb", "%pip list\nimport torch", good, "def step(h, f, r):\n    return h", "1 / 0"
    )
    grades = grade(handed_in)
    assert [(g.exercise, g.points) for g in grades] == [("A5.1", 2), ("A5.2", 0), ("A5.3", 0)]
    assert "nothing has moved" in grades[1].said and "refined is not defined" in grades[2].said
    assert "2 of 10 points" in repr(grades)


def test_what_ends_the_program_costs_its_own_points_alone(tmp_path):
    good = "def fraction_under(errors, T):\n    return (errors.mean(1) <= T).float().mean()"
    handed_in = notebook(
        tmp_path / "A5.ipynb", "import sys\nsys.exit()", "input()", good, "def step(*x):\n    sys.exit()"
    )
    assert [(g.points, g.said) for g in grade(handed_in)][:2] == [(2, ""), (0, "SystemExit: ")]


@pytest.mark.parametrize(
    "source, python",
    [
        ("%pip list\n\nx = 1\n!ls", "pass\n\nx = 1\npass"),
        ("print('%d'\n      % 5)\nx = 17\\\n% 5", None),
        ("%pip list\nprint('%d'\n      % 5)", "pass\nprint('%d'\n      % 5)"),
        ("if True:\n    %pip list", "if True:\n    pass"),
        ("x = (", None),
    ],
)
def test_only_lines_that_are_ipythons_own_are_left_out(tmp_path, source, python):
    assert cells(notebook(tmp_path / "A1.ipynb", source)) == [python or source]


def test_a_program_that_does_not_end_gets_none(tmp_path):
    (tmp_path / "A5.py").write_text("while True: pass")
    grades = grade(tmp_path / "A5.py", minutes=0.15)
    assert grades.points == 0 and "stopped after" in grades[0].said


def test_a_file_that_is_no_notebook_is_refused(tmp_path):
    (tmp_path / "A1.ipynb").write_text("{}")
    with pytest.raises(ValueError, match="A1.ipynb"):
        grade(tmp_path / "A1.ipynb")
