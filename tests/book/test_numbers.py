"""Numbers with a unit in the text of a page: a cell of the page holds them, or STATED says where they come from.

What was measured belongs in a results file, from which a cell reads it: a number that is typed into the text stays when
the measurement changes.
"""

import re
from pathlib import Path

import pytest

BOOK = Path(__file__).resolve().parents[2] / "book"
PAGES = sorted(BOOK.glob("*.md"))

FENCE = re.compile(r"^(`{3,})(.*?)$(.*?)^\1\s*$", re.M | re.S)
UNIT = (
    r"mm|millimeters?|cm|px|pixels?|ms|milliseconds?|s|seconds?|min|minutes?|hours?|GB|MB|kB|%|°|degrees"
    r"|times|hands|pictures|photographs|images|steps|epochs"
)
NUMBER = re.compile(rf"(?<![\w.,])(\d[\d,]*(?:\.\d+)?)\s?(?:{UNIT})(?!\w)")
LITERAL = re.compile(r"(?<![\w.])\d[\d_]*(?:\.\d+)?")

# What no cell makes: how the method, a test or an exercise is defined, and what others state, who are named beside it.
STATED = {
    "data": {
        "1,449 photographs": "NYU Depth v2's own count",
        "1.5 times": "the crop, Sec. 4 of the paper",
        "120.054 mm": "STB's baseline, as its authors give it; the exercise computes with it",
        "822.79 px": "STB's focal length, likewise",
        "640 pixels": "the width of STB's pictures",
    },
    "evaluation": {"1.5 times": "the crop, Sec. 4 of the paper"},
    "evidence": {
        "3.5 pixels": "half a pixel of a map of 32², in pixels of 224²",
        "98 MB": "torchvision's own number for its file",
    },
    "instructors": {
        "90 minutes": "a session",
        "16 hands": "the task of the lab",
        "8 hands": "what the check of A5.3 says",
    },
    "intro": {"90 minutes": "a session"},
    "notation": {"1.5 times": "the crop, Sec. 4 of the paper"},
    "photographs": {
        "10,000 photographs": "what the authors of the landmark network say of its data",
        "192 pixels": "PalmNetwork.SIZE",
        "384 pixels": "twice that",
        "6,000 photographs": "likewise",
    },
    "refinement": {
        "100 ms": "Sec. 4 of the paper",
        "5 ms": "Sec. 4 of the paper",
        "20 %": "what the exercise asks for, as its check does",
    },
    "renderer": {"32 pixels": "an example", "1.6 %": "half a pixel of these"},
    "reproducing": {"71,258 pictures": "RHD's and STB's training pictures together"},
    "setup": {"3 GB": "the size of torch with CUDA; what a user of a hub gets"},
    "verdict": {"50 steps": "the claim", "95 %": "the level of the test"},
}


def split(page):
    """The text of a page, and its cells and blocks of code as one string. Boxes and exercises are text."""
    code = []

    def without_code(fence):
        kind = fence[2].strip()
        if kind.startswith("{") and not kind.startswith("{code-cell}"):
            return fence[0]
        code.append(fence[3])
        return ""

    return FENCE.sub(without_code, page), "\n".join(code)


def typed(page):
    """The numbers with a unit in the text of a page that stand in none of its cells."""
    text, code = split(page)
    literals = {number.replace("_", "") for number in LITERAL.findall(code)}
    return {" ".join(hit[0].split()) for hit in NUMBER.finditer(text) if hit[1].replace(",", "") not in literals}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_number_in_the_text_is_made_by_a_cell_or_stated_by_somebody(path):
    found, stated = typed(path.read_text("utf-8")), set(STATED.get(path.stem, ()))
    assert found - stated == set(), "let a cell read it from its file; if it is defined or cited, add it to STATED"
    assert stated - found == set(), "STATED has more than the page"


def test_a_typed_result_is_found():
    page = (
        "It takes 3.2 min.\n\n```{code-cell} ipython3\nn = 1_200\n```\n\n"
        "Of 1,200 hands 71 % are found at 50 mm.\n\n```{exercise} Far\nNot 80 cm.\n```\n\nNor 9 px.\n"
    )
    assert typed(page) == {"3.2 min", "71 %", "50 mm", "80 cm", "9 px"}
