"""Slides from the executed chapters, a deck a week: `make slides`, and `make book` with the site.

book/slides/NAME.yml says which sections make a deck, what of each is shown, and what is asked. Objectives, equations,
figures, tables and pitfalls come from the chapters, as they were executed for the site. A deck lies in the folder of
the site and shares its MathJax and plotly, so it needs no network.

`python tools/slides.py _build` writes _build/html/slides from _build/jupyter_execute.
"""

import sys
from pathlib import Path

import nbformat
import yaml
from course.deck import deck, index
from course.links import Links
from course.sections import Chapter
from jupyter_cache import get_cache

ROOT = Path(__file__).resolve().parents[1]
BOOK = ROOT / "book"
OUTLINES = BOOK / "slides"


def outlines(folder=OUTLINES):
    """The decks that are to be: name -> outline."""
    return {path.stem: yaml.safe_load(path.read_text("utf-8")) for path in sorted(folder.glob("*.yml"))}


def decks(chapters):
    """Every deck and their index as HTML: name -> page. `chapters` gives a notebook by its chapter's name."""
    links = Links.of(BOOK, site="..")
    made = {}
    for name, outline in outlines().items():
        read = {chapter: Chapter.of(chapter, chapters(chapter), links) for chapter in outline["chapters"]}
        try:
            made[name] = deck(outline, read)
        except ValueError as error:
            raise ValueError(f"book/slides/{name}.yml: {error}") from error
    return made | {"index": index(outlines())}


def main(build):
    executed, target = build / "jupyter_execute" / "book", build / "html" / "slides"
    if not executed.is_dir():
        sys.exit(f"{executed} is missing: `make book` executes the chapters")
    target.mkdir(parents=True, exist_ok=True)
    cache = get_cache(build / ".jupyter_cache")  # a chapter that was not run again has its outputs there alone

    def read(chapter):
        notebook = nbformat.read(executed / f"{chapter}.ipynb", 4)
        ran = any(cell.get("outputs") for cell in notebook.cells)
        return notebook if ran else cache.merge_match_into_notebook(notebook)[1]

    for name, page in decks(read).items():
        (target / f"{name}.html").write_text(page, "utf-8")
    print(f"slides: file://{(target / 'index.html').resolve()}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
