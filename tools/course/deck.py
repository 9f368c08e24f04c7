"""A deck of slides: a title, and for each chapter its objectives, the chosen sections, its pitfalls, its exercises."""

import html
import re
from pathlib import Path
from string import Template

from handlib.teaching import ASSIGNMENTS

from .sections import rendered

PAGE = Template(Path(__file__).with_name("deck.html").read_text("utf-8"))
FIELDS = {"section", "title", "say", "show", "ask"}


def deck(outline, chapters):
    """The page of a deck, from its outline and from the chapters by their names. Raises `ValueError`."""
    slides = [slide(outline["title"], f"<p>{outline['week']}</p>", kind="title")]
    for name, wanted in outline["chapters"].items():
        chapter = chapters[name]
        objectives = chapter.section(chapter.title).bullets()
        slides.append(slide(chapter.title, "<p>By the end you can</p>" + listed(objectives), chapter))
        slides += [_chosen(chapter, one) for one in wanted]
        if "Pitfalls" in chapter.sections:
            slides.append(slide("Pitfalls", listed(map(first_words, chapter.section("Pitfalls").bullets())), chapter))
    assignment = ASSIGNMENTS[outline["assignment"]]
    tasks = [f"**{task.name}** {paragraph(task.task)}" for task in assignment.exercises]
    slides.append(slide(f"{assignment.name}: {assignment.title}", rendered(outline["lab"]) + listed(tasks)))
    return page(outline["title"], slides)


def _chosen(chapter, wanted):
    unknown = set(wanted) - FIELDS
    if unknown:
        raise ValueError(f"{wanted.get('section')!r}: unknown {', '.join(sorted(unknown))}; known: {sorted(FIELDS)}")
    section = chapter.section(wanted["section"])
    things = [wanted["show"]] if isinstance(wanted.get("show"), str) else wanted.get("show", [])
    words = rendered(wanted.get("say", ""))
    ask = f'<p class="ask">{rendered(wanted["ask"]).strip()[3:-4]}</p>' if "ask" in wanted else ""
    return slide(wanted.get("title", section.title), words, chapter, shown="".join(map(section.show, things)), ask=ask)


def slide(title, words, chapter=None, shown="", ask="", kind=""):
    """One slide as HTML."""
    source = "" if chapter is None else f'<a href="../book/{chapter.name}.html">{rendered(chapter.title)[3:-5]}</a>'
    body = f'<div class="words">{words}</div><div class="shown">{shown}</div>' if shown else words
    return f"""<template data-title="{html.escape(title)}"><section class="{kind or ("with" if shown else "plain")}">
<h1>{rendered(title).strip()[3:-4]}</h1>
<div class="body">{body}</div>
{ask}
<small>{source}</small>
</section></template>"""


def listed(items):
    return rendered("\n".join(f"- {item}" for item in items))


def first_words(item):
    """The name of a pitfall, which is bold, and the sentence after it."""
    name, rest = re.match(r"(\*\*.+?\*\* ?)?(.*)", item).groups("")
    return name + re.split(r"(?<!Eq\.)(?<=[.?!]) ", rest)[0]


def paragraph(text):
    """The first of a docstring's paragraphs."""
    return " ".join(text.strip().split("\n\n")[0].split()).rstrip(":.") + "."


def index(outlines):
    """The page that lists the decks."""
    links = "".join(
        f'<li><a href="{name}.html">{outline["week"]}: {outline["title"]}</a></li>'
        for name, outline in outlines.items()
    )
    return page("Slides", [slide("Slides", f"<ul>{links}</ul>")])


def page(title, slides):
    return PAGE.substitute(title=html.escape(title), slides="\n".join(slides))
