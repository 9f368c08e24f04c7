"""`python -m handlib.experiments.reproduce OPTIONS NAME`: one run of a suite, or its tables, as rules.smk starts it."""

import json
import sys
from pathlib import Path

from .show import save_tables


def main(options: str, name: str) -> None:
    given = json.loads(Path(options).read_text(encoding="utf-8"))
    if name == "tables":
        print(save_tables(Path(options).parent))
        return
    from ...data.cache import CACHE  # late: tables need none of it
    from .run import Runner
    from .suite import suite_of

    try:
        Runner(suite_of(given), CACHE, progress=False)(name)
    except (ValueError, OSError, FloatingPointError) as error:
        sys.exit(f"{name}: {error}")


if __name__ == "__main__":
    main(*sys.argv[1:])
