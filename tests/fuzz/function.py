"""A public function: what is tried on it, and how its answer is judged."""

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

from given import Given, of, scalars
from hypothesis import strategies as st
from outcomes import is_clear, is_finite, is_same, where

from handlib.evaluation import metrics


class Function(NamedTuple):
    """passes: NaN and numbers beyond single precision come out as they went in, as torch's do; said in the docstring
    or the room's. share: of all cases."""

    name: str
    call: Callable[..., Any]
    given: st.SearchStrategy[dict[str, Given]]
    passes: bool = False
    share: float = 1.0
    words: tuple[str, ...] = ()

    def outcome(self, given: dict[str, Given]) -> tuple[str, str]:
        names = {*given, *(name.split("_")[0] for name in given), *self.words}
        try:
            answer = self.call(**{name: one.value for name, one in given.items()})
        except Exception as error:
            return ("clear error" if is_clear(error, names) else "raw error"), where(error)
        if not is_finite(answer) and not (self.passes and any(one.wild for one in given.values())):
            return "silent", "an answer with NaN or infinity"
        if any(one.strange for one in given.values()):
            return "right", ""
        expected = self.call(**{name: one.plain for name, one in given.items()})
        return ("right", "") if is_same(answer, expected) else ("silent", "another answer than to plain tensors")


MODES = {"align": metrics.ALIGNMENTS}
_SKIP = {"normalise_joints", "posed_hand", "posed_skeleton", "arrays"}


def module(of_module: Any, passes: bool = True, **known: st.SearchStrategy) -> list[Function]:
    """All public functions of tensors in a module, by their annotations; known: what some arguments are drawn from."""
    functions = []
    for name, function in vars(of_module).items():
        if not inspect.isfunction(function) or function.__module__ != of_module.__name__:
            continue
        parameters = inspect.signature(function).parameters
        if name[0] == "_" or name in _SKIP or not any("Tensor" in str(p.annotation) for p in parameters.values()):
            continue
        mine = known | ({"mode": scalars(str, *MODES[name])} if name in MODES else {})
        own = {key: value for key, value in mine.items() if key in parameters}
        title = f"{of_module.__name__.split('.')[-1]}.{name}"
        functions.append(Function(title, function, of(function, **own), passes, words=("alignment",)))
    return functions
