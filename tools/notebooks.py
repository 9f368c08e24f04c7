"""Notebooks from the chapters: `make notebooks`.

book/NAME.md is the one source. From it come

- book/NAME.ipynb, which Colab and Jupyter open: roles are links, exercises plain Markdown, solutions folded;
- _build/notebooks/student/: answers are stubs that say what to do;
- _build/notebooks/instructor/: answers are open.

The assignments' notebooks come from the tables in handlib/teaching, as student's and instructor's. Nothing stores
outputs. `python tools/notebooks.py --check` writes nothing and fails where a file in book/ is not what it should be.
"""

import sys
from pathlib import Path

import jupytext
import nbformat
from course.assignments import assignment_cells
from course.cells import Kind, notebook_cells
from course.links import Links

ROOT = Path(__file__).resolve().parents[1]
BOOK = ROOT / "book"
OUT = ROOT / "_build" / "notebooks"
METADATA = {
    "accelerator": "GPU",  # Colab gives one where it can; every cell runs without
    "colab": {"gpuType": "T4", "provenance": []},
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def sources(book=BOOK):
    """The chapters that have cells."""
    return sorted(path for path in book.glob("*.md") if path.read_text("utf-8").startswith("---\njupytext:"))


def chapter(path, kind, links):
    """The notebook of a chapter, as text."""
    return as_text(notebook_cells(jupytext.read(path).cells, kind, path.stem, links), path.stem)


def as_text(cells, name):
    for number, cell in enumerate(cells):
        cell["id"] = f"{name}-{number}"  # the same in every run
    notebook = nbformat.v4.new_notebook(cells=cells, metadata=METADATA)
    nbformat.validate(notebook)
    return nbformat.writes(notebook) + "\n"


def everything(book=BOOK, out=OUT):
    """Every notebook that is to be: path -> text."""
    links, made = Links.of(book), {}
    for path in sources(book):
        made[path.with_suffix(".ipynb")] = chapter(path, Kind.READER, links)
        for kind in (Kind.STUDENT, Kind.INSTRUCTOR):
            made[out / kind.value / f"{path.stem}.ipynb"] = chapter(path, kind, links)
    for name, cells in assignment_cells(links):
        for kind, of_kind in cells.items():
            made[out / kind.value / f"{name}.ipynb"] = as_text(of_kind, name)
    return made


def main():
    if sys.argv[1:] == ["--check"]:
        stale = [path for path, text in everything().items() if path.parent == BOOK and not same(path, text)]
        sys.exit(f"the source changed: run `make notebooks` ({', '.join(p.name for p in stale)})" if stale else 0)
    for path, text in everything().items():
        if not same(path, text):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
            print(path.relative_to(ROOT))


def same(path, text):
    return path.is_file() and path.read_text("utf-8") == text


if __name__ == "__main__":
    main()
