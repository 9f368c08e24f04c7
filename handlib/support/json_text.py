"""JSON from outside, which may be anything: the one place that parses it.

Numbers must be finite and fit in 64 bits; bytes must be UTF-8; nesting is as deep as Python's parser goes. Whatever is
wrong becomes one `ValueError` that names the place and the mend.
"""

import json
import math
import os
from pathlib import Path
from typing import Any

MAX_BYTES = 256 << 20
DIGITS = 19  # of a whole number of 64 bits


def read_json(path: str | os.PathLike[str], mend: str = "get it again", most: int = MAX_BYTES) -> Any:
    """What a JSON file holds. `FileNotFoundError`, or `ValueError` with the path and the mend."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no file at {path}; {mend}")
    if (size := path.stat().st_size) > most:
        raise ValueError(f"{path}: {size >> 20} MB, more than {most >> 20} are refused unread; {mend}")
    return parse_json(path.read_bytes(), path, mend)


def parse_json(text: bytes | str, where: object, mend: str = "get it again") -> Any:
    """What a JSON text holds. `where`, in errors: its file, and the place in it."""
    try:
        if isinstance(text, bytes):
            text = text.decode()
        return json.loads(text, parse_int=_whole, parse_float=_real, parse_constant=_real)
    except (ValueError, RecursionError, MemoryError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else " ".join(str(error).split())
        raise ValueError(f"{where}: not JSON ({reason[:100]}); {mend}") from error


def _whole(digits: str) -> int:
    if len(digits.lstrip("-")) > DIGITS:
        raise ValueError(f"a number of {len(digits)} digits")
    return int(digits)


def _real(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"{digits[:20]} is no finite number")
    return value
