"""`check("A2.2", push_right)`: right, or what is wrong with it."""

import difflib
import zlib
from typing import Any

import torch

from .exercise import Exercise
from .tables import EXERCISES


class Sentence:
    """Of an exception: a notebook shows its message alone, without a traceback."""

    def _render_traceback_(self) -> list[str]:  # IPython asks for it
        return [str(self)]


class NotYet(Sentence, AssertionError):
    """An answer is not right yet; the message says what is wrong."""


class Missing(Sentence, NotImplementedError):
    """An answer is still a stub; the message says what to write."""


def check(name: str, answer: Any, seed: int = 0) -> None:
    """Prints that an answer is right, or raises `NotYet`, whose message says what is wrong with it.

    name: of an exercise, "A2.1" or "hand-linear". answer: the function asked for, or the value. seed: another one
    draws other inputs, as `grade` does.

    An answer that is still a stub raises `Missing`, a `NotImplementedError`.
    """
    try:
        said = verdict(name, answer, seed)
    except NotImplementedError as error:
        raise Missing(str(error)) from None
    if said is not None:
        raise NotYet(f"{name}, not yet: {said}")
    print(f"{name}: right.")


def verdict(name: str, answer: Any, seed: int = 0) -> str | None:
    """What is wrong with an answer to an exercise; None: nothing."""
    exercise = _named(name)
    if answer is None or answer is ...:
        raise NotImplementedError(f"{name}: your answer is still missing in the cell above")
    if exercise.wants_value:
        if callable(answer):
            return f"a value is asked for: hand in {exercise.answer}, not a function"
        return exercise.wrong(answer, generator(name, seed, 0))
    if not callable(answer):
        return f"a function is asked for: hand in {exercise.answer} itself, not what it returns"
    for trial in range(exercise.trials):
        said = exercise.wrong(answer, generator(name, seed, trial))
        if said is not None:
            return said
    return None


def generator(name: str, seed: int, trial: int) -> torch.Generator:
    """The same on every machine for one exercise, seed and trial, and another one for all others."""
    return torch.Generator().manual_seed(zlib.crc32(f"{name} {seed} {trial}".encode()))


def _named(name: str) -> Exercise:
    if name not in EXERCISES:
        near = difflib.get_close_matches(name, EXERCISES, 1)
        raise ValueError(f"there is no exercise {name!r}" + (f": did you mean {near[0]!r}?" if near else ""))
    return EXERCISES[name]
