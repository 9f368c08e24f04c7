"""The word --profile, which decides what the other arguments' defaults are."""

from collections.abc import Iterable


def take_profile(arguments: list[str], known: Iterable[str]) -> tuple[str, list[str]]:
    """The value of --profile, and the other arguments."""
    profile = "laptop"
    # --profile=gpu as --profile gpu; a value may hold a "=" of its own, as rhd,joint0=wrist:PATH does.
    arguments = [part for word in arguments for part in (word.split("=", 1) if word.startswith("--") else [word])]
    if "--profile" in arguments:
        at = arguments.index("--profile")
        profile = arguments[at + 1] if at + 1 < len(arguments) else ""
        arguments = arguments[:at] + arguments[at + 2 :]
    if profile not in known:
        raise ValueError(f"unknown profile '{profile}': choose one of {', '.join(known)}")
    return profile, arguments
