"""Where long code may break: lines of code and output wrap with their indentation, names in tables after signs."""

import re

BLOCK = re.compile(r'(<div class="highlight"><pre>(?:<span></span>)?)(.*?)(</pre></div>)', re.S)
CELL = re.compile(r"<t[dh]\b.*?</t[dh]>", re.S)
TAG = re.compile(r"<[^>]*>")
LONG = 20  # letters; shorter names stay whole


def wrap(body):
    """The HTML of a page, with a span around each line of a block of code and break points in long names of tables."""
    body = BLOCK.sub(lambda block: block[1] + "\n".join(map(_line, block[2].split("\n"))) + block[3], body)
    return CELL.sub(lambda cell: _cell(cell[0]), body)


def _cell(html):
    # A number stays beside its name; a spread may go below its number, with its sign.
    html = re.sub(r" ([×=]) ", "\N{NO-BREAK SPACE}\\1\N{NO-BREAK SPACE}", html).replace("± ", "±\N{NO-BREAK SPACE}")
    return re.sub(rf"(?<=>)[^<>\s]{{{LONG},}}(?=<)", _breakable, html)


def _line(html):
    text = TAG.sub("", html)
    indent = len(text) - len(text.lstrip(" "))
    return f'<span class="line" style="--indent: {indent}">{html}</span>' if text.strip() else html


def _breakable(name):
    return re.sub(r"(?<=[/_=.,:-])(?=\w)", "<wbr>", name[0])
