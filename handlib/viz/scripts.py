"""JavaScript modules joined into one classic script: file:// and an output cell can load no modules.

A module of handlib imports by name from a path that begins with a dot, on one line, and exports declarations where they
stand. Joined modules share one scope, so no two of them may declare the same name at the top.
"""

import re
from importlib.resources import files
from pathlib import PurePosixPath

STATIC = "static"
_IMPORT = re.compile(r'^import \{[^}]*\} from "(\.{1,2}/[^"]+)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=class|const|let|function|async)", re.MULTILINE)
_TOP = re.compile(r"^(?:export )?(?:async )?(?:class|const|let|function)\*? (\w+)", re.MULTILINE)


def joined(entry: str) -> str:
    """The module `entry` of viz/static and all that it imports, each once, before those who import it."""
    texts: dict[str, str] = {}

    def visit(name: str, open_: tuple[str, ...] = ()) -> None:
        if name in open_:
            raise ValueError(f"modules import each other in a circle: {' → '.join((*open_, name))}")
        if name in texts:
            return
        text = (files(__package__) / STATIC / name).read_text("utf-8")
        if renamed := re.search(r"^import \{[^}]* as ", text, re.MULTILINE):
            raise ValueError(f"{name}: '{renamed[0]}': joined modules import names as they are")
        for path in _IMPORT.findall(text):
            visit(_resolved(PurePosixPath(name).parent, path), (*open_, name))
        texts[name] = text

    visit(entry)
    declared: dict[str, str] = {}
    for name, text in texts.items():
        for top in _TOP.findall(text):
            if declared.setdefault(top, name) != name:
                raise ValueError(f"{name} and {declared[top]} both declare {top}; joined they share one scope")
    return "\n".join(_EXPORT.sub("", _IMPORT.sub("", text)) for text in texts.values())


def _resolved(folder: PurePosixPath, path: str) -> str:
    parts: list[str] = []
    for part in (folder / path).parts:
        if part == "..":
            parts.pop()
        elif part != ".":
            parts.append(part)
    return "/".join(parts)
