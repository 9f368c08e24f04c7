"""The slides: each outline finds its sections, and a deck shows what its chapter shows."""

import jupytext
import pytest
import slides
import yaml
from chromium import CHROMIUM
from course.deck import deck, first_words
from course.links import Links
from course.sections import Chapter
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from handlib.teaching import ASSIGNMENTS

OUTLINES = slides.outlines()
LINKS = Links.of(slides.BOOK, site="..")
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="


@pytest.mark.parametrize("name", OUTLINES)
def test_an_outline_finds_its_sections_and_asks_a_question_of_each(name):
    outline = OUTLINES[name]
    for chapter, wanted in outline["chapters"].items():
        read = Chapter.of(chapter, jupytext.read(slides.BOOK / f"{chapter}.md"), LINKS)
        for one in wanted:
            section = read.section(one["section"])
            assert one["ask"].endswith("?") or "?" in one["ask"]
            assert len(one.get("say", "").split()) <= 40, "few words: the chapter has the rest"
            shown = [one["show"]] if isinstance(one["show"], str) else one["show"]
            for what in shown:
                if what.split()[0] in ("equation", "code"):  # the others come with the outputs, in `make book`
                    section.show(what)


def test_the_course_has_a_deck_a_week_which_the_instructors_page_links():
    assert [outline["assignment"] for outline in OUTLINES.values()] == list(ASSIGNMENTS)
    page = (slides.BOOK / "instructors.md").read_text("utf-8")
    assert all(f'href="../slides/{name}.html">{outline["title"]}<' in page for name, outline in OUTLINES.items())


@pytest.fixture
def chapter():
    """Executed: an equation, a picture, a figure, printed lines in two pieces, and a table."""
    line = new_output("stream", name="stdout", text="True\n")
    both = new_output("stream", name="stdout", text="True\nTrue\n")  # as myst-nb merges them
    cells = [
        new_markdown_cell("(sec-x)=\n# Chapter\n\nBy the end you can\n\n- say it;\n- do it,\n  twice."),
        new_markdown_cell("## Idea\n\nWith {eq}`P8`:\n\n$$\na < b\n$$ (P8)\n"),
        new_code_cell(
            "draw(1)",
            metadata={"mystnb": {"image": {"alt": "A <dot>."}}},
            outputs=[new_output("display_data", {"image/png": PIXEL})],
        ),
        new_code_cell("print(1 < 2)", metadata={"tags": ["remove-input"]}, outputs=[both, line]),
        new_code_cell("assert 1", metadata={"tags": ["remove-cell"]}, outputs=[new_output("stream", text="secret")]),
        new_code_cell("t", outputs=[new_output("display_data", {"text/markdown": "| a |\n|---|\n| $x$ |\n\nn = 3"})]),
        new_code_cell("f", outputs=[new_output("display_data", {"text/html": '<div class="js-plotly-plot"></div>'})]),
        new_markdown_cell("## Pitfalls\n\n- **Half.** By Eq. 8 it is less. More follows.\n- Another one. And more."),
    ]  # fmt: skip
    return Chapter.of("data", new_notebook(cells=cells), LINKS)


def outline(**slide):
    return {"title": "Deck", "week": "Week 9", "assignment": "A1", "lab": "Try.", "chapters": {"data": [slide]}}


def test_a_deck_shows_what_its_chapter_shows(chapter):
    wanted = outline(
        section="Idea", title="*New*", say="- Few words.", ask="Why?",
        show=["equation", "figure", "figure 2", "text", "table", "code"],
    )  # fmt: skip
    page = deck(wanted, {"data": chapter})
    for shown in (
        "<h1><em>New</em></h1>", "<li>Few words.</li>", "a &lt; b", r"\tag{P8}",
        'alt="A &lt;dot&gt;."', "js-plotly-plot",
        "<pre>True\nTrue\n</pre>", r"\(x\)", "<pre>draw(1)</pre>", '<p class="ask">Why?</p>', "../book/data.html",
        "<li>say it;</li>", "<li>do it, twice.</li>", "<strong>A1.1</strong> Write linear blend skinning",
        "<strong>Half.</strong> By Eq. 8 it is less.</li>", "<li>Another one.</li>",
    ):  # fmt: skip
        assert shown in page
    assert "secret" not in page and "More follows" not in page and "http" not in page.replace("https://github.com", "")


@pytest.mark.parametrize(
    "slide, told",
    [
        ({"section": "No such"}, "no section 'No such'; it has 'Chapter', 'Idea', 'Pitfalls'"),
        ({"section": "Idea", "show": "figure 3"}, "'Idea' has 2 of 'figure'"),
        ({"section": "Idea", "show": "film"}, "'film' cannot be shown"),
        ({"section": "Idea", "asks": "?"}, "unknown asks"),
    ],
)
def test_an_outline_that_asks_for_what_is_not_there_is_told(chapter, slide, told):
    with pytest.raises(ValueError, match=told):
        deck(outline(**slide), {"data": chapter})


in_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium here: apt-get install chromium fonts-dejavu-core"
)


@pytest.fixture
def opened(browser, chapter, tmp_path):
    """A deck in a browser, with a MathJax that leaves formulas as they are."""
    (tmp_path / "_static/mathjax").mkdir(parents=True)
    (tmp_path / "_static/mathjax/tex-mml-chtml.js").write_text("MathJax.typesetPromise = () => {}", "utf-8")
    (tmp_path / "slides").mkdir()
    path = tmp_path / "slides/week9.html"
    path.write_text(
        deck(outline(section="Idea", say="- Few words.", ask="Why?", show="code"), {"data": chapter}), "utf-8"
    )
    page = browser.new_page(viewport={"width": 390, "height": 740})
    page.goto(path.as_uri())
    page.wait_for_function("document.body.dataset.shown == 1")
    yield page
    page.close()


@in_chromium
def test_space_presses_the_button_that_has_the_focus(opened):
    opened.keyboard.press("Space")
    opened.wait_for_function("document.body.dataset.shown == 2")
    opened.get_by_role("button", name="Previous slide").focus()
    opened.keyboard.press("Space")
    opened.wait_for_function("document.body.dataset.shown == 1")


@in_chromium
def test_letters_on_a_phone_can_be_read(opened):
    for number in range(1, opened.evaluate("slides.length") + 1):
        opened.evaluate("number => show(number - 1)", number)
        opened.wait_for_function("number => document.body.dataset.shown == number", arg=number)
        sizes = "[...stage.querySelectorAll('*')].map(part => parseFloat(getComputedStyle(part).fontSize))"
        assert opened.evaluate(f"Math.min(...{sizes})") >= 11
        assert opened.evaluate("document.documentElement.scrollWidth") <= 390


def test_outlines_are_read_from_their_folder(tmp_path):
    (tmp_path / "week9.yml").write_text(yaml.safe_dump(outline(section="Idea")), "utf-8")
    assert slides.outlines(tmp_path)["week9"]["title"] == "Deck"


def test_the_first_sentence_names_a_pitfall():
    assert first_words("**Losses.** A [Eq. P9](x) counts. More.") == "**Losses.** A [Eq. P9](x) counts."
