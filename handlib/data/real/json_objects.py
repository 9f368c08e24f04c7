"""Reads the objects of a list in a JSON file, `{"images": [{…}, {…}], "annotations": [{…}]}`, one at a time.

InterHand2.6M has more than a gigabyte of such text, which would become about ten gigabytes of Python objects. Its
objects contain no other objects, so each ends at its first closing brace.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...support.json_text import parse_json
from .json_rows import mapped

MAX_OBJECT_BYTES = 1 << 16  # the originals have about 2 kB
_OBJECT = re.compile(rb"\s{0,256}(\{[^{}]{0,%d}\})\s{0,256}([,\]])" % MAX_OBJECT_BYTES)
_EMPTY = re.compile(rb"\s{0,256}\]")


def json_objects(path: Path, key: str, source: str) -> Iterator[dict[str, Any]]:
    """Yields each object of the list `key`. Raises `ValueError` with the file and the number of an invalid object."""
    mend = f"get it again from {source}"
    with mapped(path, source) as text:
        start = re.search(rb'"%s"\s{0,256}:\s{0,256}\[' % key.encode(), text)
        if start is None:
            raise ValueError(f"{path}: the field '{key}' is missing or not a list; {mend}")
        at, number, more = start.end(), 0, b","
        if _EMPTY.match(text, at):
            return
        while more == b",":
            match = _OBJECT.match(text, at)
            where = f"{path}: {key} {number}"
            if match is None:
                raise ValueError(f"{where} is not an object of at most {MAX_OBJECT_BYTES:,} bytes; {mend}")
            content, more, at = match[1], match[2], match.end()
            yield parse_json(content, where, mend)
            number += 1
