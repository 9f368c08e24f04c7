"""The chapters as files: book/NAME.md is the source, and tools/notebooks.py makes every notebook of it."""

import json
import re

import notebooks
import pytest
import yaml
from course.cells import Kind
from course.markdown import check as plain_markdown
from course.stubs import stub

from handlib.teaching import ASSIGNMENTS, EXERCISES, check, grade

SOURCES = notebooks.sources()
chapter = pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
ALL = notebooks.everything()
every = pytest.mark.parametrize("path", ALL, ids=lambda path: "/".join(path.parts[-2:]))


def cells(path, kind="code"):
    return [cell for cell in json.loads(ALL[path])["cells"] if cell["cell_type"] == kind]


def text(cell):
    return "".join(cell["source"])


@chapter
def test_notebook_is_that_of_its_source(source):
    notebook = source.with_suffix(".ipynb")
    assert notebooks.same(notebook, ALL[notebook]), "the source changed: run `make notebooks`"


@every
def test_no_myst_remains(path):
    for cell in cells(path, "markdown"):
        plain_markdown(re.sub(r"^```.*?^```$", "", text(cell), flags=re.M | re.S), path.name)


def test_what_myst_is_left_is_told():
    for left in ("see {ref}`x`", "```{note}\nx\n```", "(sec-x)=\n# X"):
        with pytest.raises(ValueError, match="chapter.md"):
            plain_markdown(left, "chapter.md")


@every
def test_the_first_code_cell_sets_up_and_outputs_are_not_stored(path):
    first, *others = cells(path)
    assert text(first).startswith("# @title Set up") and "PROFILE" in text(first) and "start(REPOSITORY" in text(first)
    assert not any("google.colab" in text(cell) for cell in others)
    assert not any(cell["outputs"] or cell["execution_count"] for cell in (first, *others))
    assert json.loads(ALL[path])["metadata"]["accelerator"] == "GPU"


def test_a_readers_photograph_may_hold_one_hand():
    (asserted,) = (text(cell) for cell in cells(notebooks.BOOK / "start.ipynb") if "assert " in text(cell))
    exec(asserted, {"PHOTO": "photo.jpg", "hands": []})
    with pytest.raises(AssertionError):
        exec(asserted, {"PHOTO": "", "hands": []})


# ---- solutions pass and stubs fail; those of the chapters run with their notebooks, by nbval


@pytest.mark.parametrize("name", ASSIGNMENTS)
def test_an_instructors_assignment_gets_all_points_and_a_students_none(name, tmp_path):
    for kind, share in ((Kind.INSTRUCTOR, 1), (Kind.STUDENT, 0)):
        handed_in = tmp_path / f"{name}.ipynb"
        source = [
            cell for cell in cells(notebooks.OUT / kind.value / f"{name}.ipynb")[1:] if 'check("' not in text(cell)
        ]
        handed_in.write_text(json.dumps({"cells": source}))
        grades = grade(handed_in)
        assert grades.points == share * grades.of, grades


def test_every_exercise_of_the_tables_is_asked_in_a_chapter_or_an_assignment():
    asked = {name for path in ALL for cell in cells(path) for name in re.findall(r'check\("([^"]+)"', text(cell))}
    assert asked == set(EXERCISES)


@chapter
def test_a_students_chapter_holds_no_answer(source):
    tagged = re.findall(r":tags: \[answer\]\n\n(.*?)\n```", source.read_text("utf-8"), re.S)
    student = [text(cell) for cell in cells(notebooks.OUT / "student" / f"{source.stem}.ipynb")]
    for answer in tagged:
        assert answer not in student
        first = stub(answer).split("\n")[0].partition("  #")[0]  # its comment depends on the exercise's name
        assert any(cell.startswith(first) for cell in student)


@pytest.mark.parametrize(
    "code, expected",
    [
        ("def f(x, w):\n    return x", 'def f(x, w):\n    raise NotImplementedError("A: write f() here")'),
        ("a = 1\nb = a + 1", "b = ...  # your answer"),
        ("import math\n\nx = math.pi", "import math\nx = ...  # your answer"),
        (
            "def f(x, w):\n    return x\n\ny = f(1, 2)",
            'def f(x, w):\n    raise NotImplementedError("A: write f() here")',
        ),
    ],
)
def test_a_stub_keeps_the_signature_and_asks_for_the_rest(code, expected):
    assert stub(code, "A") == expected
    assert stub("best = 1") == "best = ...  # your answer, without which the next cell fails"
    names = {}
    exec(expected, names)
    with pytest.raises(NotImplementedError):
        check("A4.3" if "def" in code else "data-stb", names.get("f", ...) if "def" in code else ...)


def test_every_chapter_is_in_the_table_of_contents_and_no_other():
    toc = yaml.safe_load((notebooks.ROOT / "_toc.yml").read_text("utf-8"))
    listed = {toc["root"]} | {page["file"] for part in toc["parts"] for page in part["chapters"]}
    assert listed == {f"book/{path.stem}" for path in notebooks.BOOK.glob("*.md")}
