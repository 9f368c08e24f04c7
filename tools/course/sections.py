"""An executed chapter cut at its headings: what a slide can show of each section."""

import base64
import html
import re
from typing import NamedTuple

from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin

from .markdown import blocks, plain

HEADING = re.compile(r"^#{1,4} (.+)$", re.M)
EQUATION = re.compile(r"^\$\$\n.*?^\$\$(?: \([\w-]+\))?$", re.M | re.S)
TABLE = re.compile(r"(?:^\|.*\n?)+", re.M)
KINDS = ("equation", "figure", "table", "code", "text")  # what of a section a slide can show
IMAGES = ("image/jpeg", "image/png")
HIDDEN = {"remove-input", "remove-cell", "hide-input", "answer"}

MARKDOWN = MarkdownIt("commonmark").enable("table")
MARKDOWN.use(dollarmath_plugin, allow_space=False)
MARKDOWN.add_render_rule("math_inline", lambda _, tokens, n, *__: rf"\({html.escape(tokens[n].content)}\)")
MARKDOWN.add_render_rule("math_block", lambda _, tokens, n, *__: rf"\[{html.escape(tokens[n].content)}\]")


class Section(NamedTuple):
    """What stands under one heading, in order: text as Markdown, and things to show as HTML by their kind."""

    title: str
    text: str
    things: dict[str, list[str]]

    def show(self, what):
        """HTML of "figure", or of "figure 2". Raises `ValueError` if there are fewer."""
        kind, _, number = what.partition(" ")
        if kind not in KINDS:
            raise ValueError(f"{self.title!r}: {kind!r} cannot be shown, choose one of {', '.join(KINDS)}")
        things = self.things[kind]
        if int(number or 1) > len(things):
            raise ValueError(f"{self.title!r} has {len(things)} of {kind!r}, so no {what!r}")
        return f'<div class="{kind}">{things[int(number or 1) - 1]}</div>'

    def bullets(self):
        """The items of its list, each with the lines that it goes on with."""
        return [re.sub(r"\s+", " ", item) for item in re.findall(r"^- (.*(?:\n  .*)*)", self.text, re.M)]


class Chapter(NamedTuple):
    """A chapter's name, and its sections by their titles."""

    name: str
    sections: dict[str, Section]

    @classmethod
    def of(cls, name, notebook, links):
        sections, here = {}, None
        for cell in notebook.cells:
            if cell.cell_type == "code":
                for kind, thing in shown(cell, links):
                    here.things[kind].append(thing)
                continue
            opening, *rest = HEADING.split(cell.source)
            parts = [(here, opening)] if here else []
            for title, text in zip(rest[::2], rest[1::2], strict=True):
                here = sections[title] = Section(title, "", {kind: [] for kind in KINDS})
                parts.append((here, text))
            for section, source in parts:
                text = "\n\n".join(plain(block.body, links) for block in blocks(source) if block.name == "")
                sections[section.title] = here = section._replace(text=section.text + text + "\n")
                for kind, pattern in (("equation", EQUATION), ("table", TABLE)):
                    section.things[kind].extend(rendered(plain(part, links)) for part in pattern.findall(source))
        return cls(name, sections)

    @property
    def title(self):
        return next(iter(self.sections))

    def section(self, title):
        if title not in self.sections:
            raise ValueError(f"{self.name} has no section {title!r}; it has {', '.join(map(repr, self.sections))}")
        return self.sections[title]


def shown(cell, links):
    """(kind, HTML) of what a code cell has to show."""
    tags = set(cell.metadata.get("tags", ()))
    if not tags & HIDDEN:
        yield "code", f"<pre>{html.escape(cell.source)}</pre>"
    if "remove-cell" in tags or "remove-output" in tags:
        return
    # What a cell prints comes in pieces; `nb_merge_streams` puts the whole of it into the first.
    printed = next((output.text for output in cell.get("outputs", ()) if output.get("name") == "stdout"), "")
    if printed.strip():
        yield "text", f"<pre>{html.escape(printed)}</pre>"
    for output in cell.get("outputs", ()):
        data = output.get("data", {})
        if "text/html" in data:
            yield "figure", data["text/html"]
        elif image := next((kind for kind in IMAGES if kind in data), None):
            alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
            yield "figure", f'<img src="data:{image};base64,{_one_line(data[image])}" alt="{html.escape(alt)}">'
        elif "text/markdown" in data:
            tables = TABLE.findall(data["text/markdown"])
            yield from (("table", rendered(plain(table, links))) for table in tables)
            if not tables:
                yield "text", rendered(plain(data["text/markdown"], links))


def _one_line(text):
    return base64.b64encode(base64.b64decode(text)).decode()


def rendered(markdown):
    """HTML of Markdown, with formulas as MathJax reads them."""
    return MARKDOWN.render(markdown)
