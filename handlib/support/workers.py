"""How many processes read or render for another."""

import os

A_CORE = 4  # workers a core: more of them only take memory


def at_most_useful(workers: int) -> int:
    """Returns `workers`, or as many as this machine has a use for. What they make does not depend on their number."""
    return min(workers, A_CORE * (os.cpu_count() or 1))
