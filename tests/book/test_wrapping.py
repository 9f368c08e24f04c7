"""book/_ext/wrapping.py: where the code of a page may break."""

import re
from pathlib import Path

import pytest

BOOK = Path(__file__).resolve().parents[2] / "book"


@pytest.fixture
def wrap(monkeypatch):
    monkeypatch.syspath_prepend(str(BOOK / "_ext"))
    from wrapping import wrap

    return wrap


def test_a_line_of_code_keeps_its_text_and_knows_its_indentation(wrap):
    code = '<span></span><span class="k">if</span> x:\n    y = 1\n\nz\n'
    page = f'<p>a\n  b</p><div class="highlight"><pre>{code}</pre></div>'
    wrapped = wrap(page)
    assert re.sub("<[^>]*>", "", wrapped) == re.sub("<[^>]*>", "", page)
    assert re.findall(r"--indent: (\d+)", wrapped) == ["0", "4", "0"]  # an empty line stays as it is
    assert '<span class="line" style="--indent: 4">    y = 1</span>' in wrapped and "<p>a\n  b</p>" in wrapped


def test_long_names_break_in_tables_alone(wrap):
    name, score = "posenet3d-rhd-stb-slr-finetuned.pickle", "-0.749 ± 0.005 (n = 120)"
    pre = f'<span class="pre">{name}</span>'
    wrapped = wrap(f"<p>{pre}</p><table><td>{pre}</td><td><span>a-b.c</span></td><td>{score}</td></table>")
    assert f"<p>{pre}</p>" in wrapped and "finetuned.<wbr>pickle" in wrapped
    assert "<span>a-b.c</span>" in wrapped and "-0.749 ±\xa00.005 (n\xa0=\xa0120)" in wrapped
    assert re.sub("<wbr>", "", wrapped).count(name) == 2
