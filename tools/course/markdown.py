"""MyST Markdown as plain Markdown: what GitHub, Colab and JupyterLab show as it is meant."""

import re
from typing import NamedTuple

FENCE = re.compile(r"^(`{3,}|:{3,})\{([\w-]+)\}\s*(.*)$")
ROLE = re.compile(r"\{(ref|eq|cite|term|doc|download|numref)\}`([^`]+)`")
LEFT = re.compile(r"^(?:`{3,}|:{3,})\{[\w:-]+\}|\{[a-z][a-z:]*\}`|^\([\w-]+\)=$|^\$\$ \([\w-]+\)$", re.M)


class Block(NamedTuple):
    """A directive of MyST, or text where `name` is empty."""

    name: str
    argument: str
    options: dict[str, str]
    body: str


def blocks(text):
    """A Markdown cell cut at its directives."""
    lines, plain, n = text.split("\n"), [], 0
    while n < len(lines):
        fence = FENCE.match(lines[n])
        if fence is None:
            plain.append(lines[n])
            n += 1
            continue
        if any(line.strip() for line in plain):
            yield Block("", "", {}, "\n".join(plain).strip("\n"))
        plain = []
        end = next((k for k in range(n + 1, len(lines)) if lines[k].rstrip() == fence[1]), len(lines))
        inside, options = lines[n + 1 : end], {}
        while inside and (option := re.match(r"^:([\w-]+):\s*(.*)$", inside[0])):
            options[option[1]] = option[2]
            inside.pop(0)
        yield Block(fence[2], fence[3], options, "\n".join(inside).strip("\n"))
        n = end + 1
    if any(line.strip() for line in plain):
        yield Block("", "", {}, "\n".join(plain).strip("\n"))


def plain(text, links):
    """Text without labels and roles."""
    text = re.sub(r"^\([\w-]+\)=\n", "", text, flags=re.M)
    text = re.sub(r"^\$\$ \(P(\d+)\)$", r"\\tag{P\1}\n$$", text, flags=re.M)  # the paper's number, inside the display
    text = re.sub(r"^\$\$ \([\w-]+\)$", "$$", text, flags=re.M)
    return ROLE.sub(lambda role: resolved(role[1], role[2], links), text)


def resolved(role, text, links):
    shown, _, target = text.rpartition("<")
    target, shown = target.rstrip(">").strip(), shown.strip()
    if role == "cite":
        return links.citation(text)
    if role == "eq":
        return links.equation(text)
    if role in ("ref", "numref"):
        return links.section(target, shown)
    return shown or target


def folded(summary, text):
    return f"<details><summary>{summary}</summary>\n\n{text}\n\n</details>"


def quoted(title, text):
    body = f"**{title}**\n\n{text}" if title else text
    return "\n".join(f"> {line}".rstrip() for line in body.split("\n"))


def check(text, where):
    """Raises `ValueError` if any MyST is left."""
    left = LEFT.search(text)
    if left:
        raise ValueError(f"{where}: {left[0]!r} is MyST that tools/course/markdown.py does not know: teach it there")
