"""Sentences that a reader would stop at: none of their kinds comes back."""

import re
from pathlib import Path

import pytest

BOOK = Path(__file__).resolve().parents[2] / "book"
PAGES = sorted(BOOK.glob("*.md"))

# What not to write, and what to write instead.
KINDS = {
    r"need not be believed": "say what the reader can check",
    r"which nothing brings about": "name what does not happen, and why",
    r"\bworse than no (loss|answer)\b": "say what does more harm than good",
    r"can be satisfied by that": "name what pulls at what",
    r"is another thing than": "say that two numbers do not mean the same",
    r"when a difference is one\b|difference one\?": "say when a difference is real",
    r"gets a word\b": "say that it is labeled by chance",
    r"keeps away from no\b|\bno \w+ but \w+ all the same": "say what it does, without a double negation",
    r"who lives on\b|hurts who\b|\bwhoever may\b": "name whom it helps or hurts",
    r"\bthe only question that counts\b": "say what counts",
    r"\bone sees what nobody\b|\bwhat it is the mean of\b": "name the subject",
    r"\ba bug that waits\b|\bmakes noise\b|\bkeeps? (their|its) word\b": "no aphorisms",
    r"\b(of which|of whom) (it|one|everything)\b": "turn the clause around: name the subject first",
    r"\b(?i:whoever)\b": "name who it is, or say you",
    r"\b(is|are|gives?) (another number|other numbers)\b": "say that the number changes",
    r"\ban (opinion|anecdote)\b|\bgives? (it|them) away\b|\bunderstand(s)? itself\b": "no figures of speech",
    r"\bmakes itself scarce\b|\bhas the last word\b": "say what it does",
}


CELL = re.compile(r"^```\{code-cell\} ipython3\n(.*?)^```$", re.M | re.S)
WIDTH = 100  # columns of code beside both sidebars


def prose(path):
    """A page without its cells and other fences."""
    return re.sub(r"^(`{3,}).*?^\1\s*$", "", path.read_text("utf-8"), flags=re.M | re.S)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_a_page_reads_without_a_stop(page):
    text = prose(page)
    found = {hit[0]: instead for kind, instead in KINDS.items() if (hit := re.search(kind, text))}
    assert not found, found


def test_each_kind_is_found_where_it_was():
    told = (
        "costs need not be believed; one hand is another thing than the other; say when a difference is one; "
        "one in ten gets a word; it keeps away from no pole but crowds all the same; hurts who lives on features"
    )
    assert sum(bool(re.search(kind, told)) for kind in KINDS) >= 6


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_code_that_readers_see_fits_the_page(page):
    shown = [cell for cell in CELL.findall(page.read_text("utf-8")) if not re.search(r"\b(remove|hide)-", cell)]
    code = [line for cell in shown for line in cell.splitlines() if not re.match(r"\s+(alt|caption): ", line)]
    assert [line for line in code if len(line) > WIDTH] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_every_reference_has_a_target(page):
    """A role in a notebook becomes a link; one without a target would fail only there."""
    text = "\n".join(path.read_text("utf-8") for path in PAGES)
    labels = set(re.findall(r"^\(([\w-]+)\)=$", text, re.M))
    equations = set(re.findall(r"^\$\$ \(([\w-]+)\)$", text, re.M))
    own = page.read_text("utf-8")
    assert {label for label in re.findall(r"\{ref\}`(?:[^`<]*<)?([\w-]+)>?`", own)} <= labels
    assert set(re.findall(r"\{eq\}`([\w-]+)`", own)) <= equations
