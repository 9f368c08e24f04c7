"""A document of its own: Jupyter and Colab show it in a frame, and it can be saved as one file."""

import html
import json
import os
from pathlib import Path
from typing import Any

from ..support.files import write_file

_STYLE = """
:root{color-scheme:light dark} body{font:16px/1.5 system-ui,sans-serif;max-width:64rem;margin:1rem auto;padding:0 1rem}
"""


class FramedPage:
    """A page that needs no network and nothing beside it. Subclasses write `html`."""

    title, allowed = "", ""  # what a screen reader calls the frame; what the page may ask for there

    def __init__(self, height: int):
        self.height = height

    def __repr__(self) -> str:
        return f"{type(self).__name__}(height={self.height})"

    def _repr_html_(self) -> str:
        return (
            f'<iframe srcdoc="{html.escape(self.html(), quote=True)}" title="{self.title}" allow="{self.allowed}" '
            f'style="width:100%;height:{self.height}px;border:0"></iframe>'
        )

    def html(self) -> str:
        """The page as one document."""
        raise NotImplementedError

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Writes the page as one file of HTML, which a browser opens from disk."""
        return write_file(path, self.html())


def document(title: str, style: str, body: str, *scripts: str) -> str:
    """A whole page out of its parts; `body` and `scripts` are trusted."""
    meta = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    head = f'{meta}<title>{html.escape(title)}</title><link rel="icon" href="data:,"><style>{_STYLE}{style}</style>'
    run = "".join(f"<script>{script}</script>" for script in scripts)
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body><main>{body}</main>{run}</body></html>\n'


def script_json(data: Any) -> str:
    """Data as JavaScript; nothing in it can end the script."""
    return json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
