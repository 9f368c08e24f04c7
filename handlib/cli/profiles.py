"""The word --profile, which decides what the other arguments' defaults are."""

import argparse
from collections.abc import Iterable


def take_profile(arguments: list[str], profiles: Iterable[str]) -> tuple[str, list[str]]:
    """The value of --profile, and the other arguments."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--profile", nargs="?", default="laptop", const="")
    options, others = parser.parse_known_args(arguments)
    if options.profile not in profiles:
        raise ValueError(f"unknown profile '{options.profile}': choose one of {', '.join(profiles)}")
    return options.profile, others
