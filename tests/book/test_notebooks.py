"""The chapters as files: book/NAME.md is the source, book/NAME.ipynb the same cells for Colab."""

from pathlib import Path

import jupytext
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted(p for p in (ROOT / "book").glob("*.md") if p.read_text("utf-8").startswith("---\njupytext:"))
chapter = pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)


def cells(path):
    return [(cell.cell_type, cell.source, dict(cell.metadata)) for cell in jupytext.read(path).cells]


@chapter
def test_notebook_has_the_cells_of_its_source(source):
    notebook = source.with_suffix(".ipynb")
    assert notebook.exists(), "run `make notebooks`"
    assert cells(notebook) == cells(source), "the source changed: run `make notebooks`"


@chapter
def test_notebook_stores_no_outputs(source):
    for cell in jupytext.read(source.with_suffix(".ipynb")).cells:
        assert not cell.get("outputs") and not cell.get("execution_count")


@chapter
def test_first_code_cell_installs_handlib_on_colab(source):
    kind, code, metadata = next(cell for cell in cells(source) if cell[0] == "code")
    assert 'if "google.colab" in sys.modules:' in code
    assert "git clone -q --depth 1 https://github.com/" in code and "%pip install" in code
    assert "remove-cell" in metadata["tags"]


def test_every_chapter_is_in_the_table_of_contents_and_no_other():
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text("utf-8"))
    listed = {toc["root"]} | {chapter["file"] for chapter in toc["chapters"]}
    assert listed == {f"book/{path.stem}" for path in (ROOT / "book").glob("*.md")}
