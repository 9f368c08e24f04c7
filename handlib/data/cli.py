"""`handlib data VERB …`. `VERBS` maps each verb to what it does in a line and to the function that takes the rest."""

import sys
from collections.abc import Callable

from .check import check
from .specs import BACKGROUNDS, HANDS


def check_command(arguments: list[str]) -> None:
    """Prints the report of each spec; exit status 1 when something is missing or wrong."""
    kinds = ", ".join(HANDS | BACKGROUNDS)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(f"usage: handlib data check KIND:PATH …        KIND is one of {kinds}")
        return
    reports = [check(spec) for spec in arguments]
    print("\n\n".join(str(report) for report in reports))
    if not all(report.ok for report in reports):
        sys.exit(1)


VERBS: dict[str, tuple[str, Callable[[list[str]], None]]] = {
    "check": ("KIND:PATH: is a download of a real data set complete, and read rightly?", check_command),
}


def data_command(arguments: list[str]) -> None:
    """`handlib data VERB …`"""
    if not arguments or arguments[0] in ("-h", "--help"):
        print("usage: handlib data VERB …        (handlib data VERB --help says more)\n")
        for verb, (what, _) in VERBS.items():
            print(f"  {verb:8} {what}")
        return
    verb, rest = arguments[0], arguments[1:]
    if verb not in VERBS:
        raise ValueError(f"unknown verb '{verb}' of handlib data: choose one of {', '.join(VERBS)}")
    VERBS[verb][1](rest)
