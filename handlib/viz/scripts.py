"""JavaScript modules joined into one classic script: file:// and an output cell can load no modules.

A module of handlib imports by name from a path that begins with a dot, and exports declarations where they stand. When
joined, each module but the entry is a function of its own that returns what it exports.
"""

import re
from importlib.resources import files
from pathlib import PurePosixPath
from posixpath import normpath

STATIC = "static"
_IMPORT = re.compile(r'^import \{([^}]*)\} from "(\.{1,2}/[^"]+)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:class|const|let|function)\*? (\w+))", re.MULTILINE)


def joined(entry: str) -> str:
    """The module `entry` of viz/static and all that it imports, each once, before those who import it."""
    scripts: dict[str, str] = {}

    def visit(name: str, above: tuple[str, ...] = ()) -> None:
        if name in above:
            raise ValueError(f"modules import each other in a circle: {' → '.join((*above, name))}")
        if name in scripts:
            return
        text, folder = (files(__package__) / STATIC / name).read_text("utf-8"), PurePosixPath(name).parent
        for _, path in _IMPORT.findall(text):
            visit(normpath(folder / path), (*above, name))

        def constants(found: re.Match) -> str:
            return f"const {{{found[1].replace(' as ', ': ')}}} = {_name(normpath(folder / found[2]))};\n"

        exported = ", ".join(_EXPORT.findall(text))
        script = _EXPORT.sub("", _IMPORT.sub(constants, text))
        if left := re.search(r"^(?:import|export)\b.*", script, re.MULTILINE):
            raise ValueError(f"{name}: '{left[0]}' cannot be joined: import by name, export declarations")
        scripts[name] = (
            script if name == entry else f"const {_name(name)} = (() => {{\n{script}return {{ {exported} }};\n}})();\n"
        )

    visit(entry)
    return "\n".join(scripts.values())


def _name(module: str) -> str:
    return "$" + re.sub(r"\W", "_", module.removesuffix(".js"))
