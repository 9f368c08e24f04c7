"""The cells of a chapter, for a reader on Colab, a student, or an instructor."""

import enum
import re

from nbformat.v4 import new_code_cell, new_markdown_cell

from .markdown import blocks, check, folded, plain, quoted
from .stubs import stub

REPOSITORY = "https://github.com/OWNER/handlib"  # set by `make repository`
SETUP = """\
# @title Set up: run this cell first {{display-mode: "form"}}
import importlib.util

PROFILE = "laptop"  # @param ["smoke", "laptop", "gpu"]
# smoke: seconds, to see that everything runs; its numbers mean nothing
# laptop: {cost}
# gpu: trains larger where there is a GPU; everything else as with laptop
REPOSITORY = "{repository}"

if importlib.util.find_spec("handlib") is None:  # on Colab
    %pip install -q "handlib[photo,train,fast] @ git+{{REPOSITORY}}"
try:
    from handlib.teaching.notebook import start
except ImportError:
    raise SystemExit(f"handlib is not installed, and could not be fetched from {{REPOSITORY}}.") from None
start(REPOSITORY, PROFILE)"""
HIDDEN = {"remove-input", "remove-cell", "hide-input", "hide-cell"}
CHECKED = re.compile(r'check\("([\w.-]+)"')


class Kind(enum.Enum):
    READER = "reader"
    STUDENT = "student"
    INSTRUCTOR = "instructor"


def notebook_cells(cells, kind, name, links, cost="minutes; the page says how many"):
    """Cells of a notebook from those of its source, the set-up cell first."""
    made, answered, inside = [setup(cost)], _names(cells), False
    for cell in cells:
        if cell.cell_type == "code":
            if "google.colab" in cell.source:
                continue  # the set-up that the sources had
            tags = set(cell.metadata.get("tags", ()))
            if "answer" in tags:
                made.append(answer(cell.source, kind, next(answered, "")))
            else:
                made.append(code(cell.source, tags & HIDDEN))
            if caption := cell.metadata.get("mystnb", {}).get("figure", {}).get("caption"):
                made.append(markdown(f"*{plain(caption, links)}*", name))
            continue
        texts = []
        for block in blocks(cell.source):
            if block.name == "solution-start":
                inside = True
            elif block.name == "solution-end":
                inside = False
            elif not (inside and kind is Kind.STUDENT):
                text = as_plain(block, kind, links)
                texts.append(folded("Why", text) if inside and kind is Kind.READER else text)
        if any(texts):
            made.append(markdown("\n\n".join(filter(None, texts)), name))
    return made


def setup(cost):
    return code(SETUP.format(cost=cost, repository=REPOSITORY), {"hide-input"})


def as_plain(block, kind, links):
    """A block of Markdown that needs no MyST."""
    body = plain(block.body, links)
    if block.name == "":
        return body
    if block.name == "exercise":
        return f"### Exercise{f': {block.argument}' if block.argument else ''}\n\n{body}"
    if block.name == "solution":
        if kind is Kind.STUDENT:
            return ""
        return folded("Solution", body) if kind is Kind.READER else f"**Solution.** {body}"
    if block.name in ("admonition", "note", "important", "tip", "warning", "seealso"):
        title = block.argument if block.name == "admonition" else block.name.capitalize()
        return quoted(plain(title, links), body)
    if block.name in ("figure", "image"):
        return f"*{body or block.options.get('alt', '')}*"
    raise ValueError(f"there is no plain form of {{{block.name}}} yet: add it to tools/course/cells.py")


def answer(source, kind, name):
    if kind is Kind.STUDENT:
        return code(stub(source, name))
    if kind is Kind.READER:
        return code(f'# @title Solution {{display-mode: "form"}}\n{source}', {"hide-input"})
    return code(source)


def code(source, hidden=frozenset()):
    """A code cell; a hidden one is folded in JupyterLab and a form on Colab."""
    metadata = {"cellView": "form", "jupyter": {"source_hidden": True}} if hidden else {}
    return new_code_cell(source, metadata=metadata)


def markdown(text, name):
    check(re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S), name)
    return new_markdown_cell(text)


def _names(cells):
    """The exercise of each answer cell, by the check that follows it."""
    for here, cell in enumerate(cells):
        if cell.cell_type == "code" and "answer" in cell.metadata.get("tags", ()):
            later = (CHECKED.search(c.source) for c in cells[here + 1 :] if c.cell_type == "code")
            found = next(later, None)
            yield found[1] if found else ""
