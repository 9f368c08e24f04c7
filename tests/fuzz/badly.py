"""What ends badly, to see that the suite sees it."""

import os
from typing import NamedTuple

from function import Function
from given import each, just
from hypothesis import strategies as st

from handlib.support.arguments import at_least


def looked_up(name):
    return {}[name]


class Dying(NamedTuple):
    name: str = "dies"
    share: float = 1.0
    given: st.SearchStrategy = st.integers(0, 9)

    def outcome(self, case: int) -> tuple[str, str]:
        return os.abort() if case else ("right", "")


def one(name: str, call) -> Function:
    return Function(name, call, each(name=just(-1.0)))


TARGETS = [
    one("right", lambda name: name),
    one("clear", lambda name: at_least(0, name=name)),
    one("raw", looked_up),
    one("silent", lambda name: float("nan")),
    Dying(),
]
