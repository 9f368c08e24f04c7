"""The objects of a list inside a JSON file, `{"images": [{…}, {…}], "annotations": [{…}]}`, one at a time.

InterHand2.6M's are more than a gigabyte of text, which would unpack to some ten of Python objects. Theirs have numbers,
texts and lists inside, but no objects, so each ends at its first closing brace.
"""

import mmap
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...support.json_text import parse_json

MAX_OBJECT_BYTES = 1 << 16  # the originals' have some 2 kB
_OBJECT = re.compile(rb"\s{0,256}(\{[^{}]{0,%d}\})\s{0,256}([,\]])" % MAX_OBJECT_BYTES)
_EMPTY = re.compile(rb"\s{0,256}\]")


def json_objects(path: Path, key: str, source: str) -> Iterator[dict[str, Any]]:
    """Each object of the list `key`. `ValueError` names the file and the number of the object that is none."""
    mend = f"get it again from {source}"
    if not path.is_file():
        raise FileNotFoundError(f"no {path.name} in {path.parent}; get it from {source}")
    if path.stat().st_size == 0:
        raise ValueError(f"{path}: the file is empty; {mend}")
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
        opened = re.search(rb'"%s"\s{0,256}:\s{0,256}\[' % key.encode(), text)
        if opened is None:
            raise ValueError(f"{path}: the field '{key}' is missing, or no list; {mend}")
        at, number, more = opened.end(), 0, b","
        if _EMPTY.match(text, at):
            return
        while more == b",":
            found = _OBJECT.match(text, at)
            where = f"{path}: {key} {number}"
            if found is None:
                raise ValueError(f"{where} is no object of at most {MAX_OBJECT_BYTES:,} bytes; {mend}")
            content, more, at = found[1], found[2], found.end()
            yield parse_json(content, where, mend)
            number += 1
