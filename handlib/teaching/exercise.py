"""What an exercise is, and what an assignment is.

@exercise("A2.2", _masks, points=4, gives="gradient")
def push_right(mask, gradient):
    \"\"\"The task.\"\"\"
    return …the solution…

@push_right.mistake("what to say of it")
def _(mask, gradient):
    return …what somebody answers who makes this mistake…
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from torch import Generator

from .compare import copied, difference

Inputs = Callable[[Generator], tuple]
Function = TypeVar("Function", bound=Callable)


def nothing(generator: Generator) -> tuple:
    """The inputs of an exercise that asks for one value."""
    return ()


@dataclass(frozen=True)
class Exercise:
    """One task: a function to write, or one value to find.

    The docstring of `solution` is the task, and its code is the answer in the instructor's notebooks. An answer is
    right if it gives what the solution gives on inputs that are drawn with a seed; or, where many answers are right,
    if `judge` finds nothing wrong with it.
    """

    name: str  # "A2.1": a task of an assignment; "hand-linear": exercise of a chapter, by its label
    solution: Callable
    inputs: Inputs = nothing
    judge: Callable[..., str | None] | None = None  # of (answer, *inputs): what is wrong with it
    gives: str = "answer"  # what an answer is called in messages: "your gradient …"
    tolerance: float = 1e-4  # relative to the largest number in the solution
    points: int = 1
    trials: int = 3  # draws of inputs
    hidden: int = 0  # of the inputs the last ones, which `judge` alone sees
    mistakes: dict[str, Callable] = field(default_factory=dict)  # what to say of an answer -> who would answer so

    def __call__(self, *inputs: Any) -> Any:
        """The right answer."""
        return self.solution(*inputs)

    def mistake(self, message: str) -> Callable[[Function], Function]:
        """Decorates a function that gives a wrong answer, of which `message` says what is wrong."""

        def known(function: Function) -> Function:
            self.mistakes[message] = function
            return function

        return known

    @property
    def task(self) -> str:
        """The task, as Markdown."""
        return self.solution.__doc__ or ""

    @property
    def answer(self) -> str:
        """What the answer is called in a notebook."""
        return self.solution.__name__

    @property
    def wants_value(self) -> bool:
        return self.inputs is nothing

    def wrong(self, answer: Any, generator: Generator) -> str | None:
        """What is wrong with an answer, on one draw of inputs; None: nothing."""
        inputs = self.inputs(generator)
        seen = inputs[: len(inputs) - self.hidden]
        given = answer if self.wants_value else answer(*copied(seen))
        if given is None or given is ...:
            raise NotImplementedError(f"{self.name}: nothing is returned yet")
        if self.judge is not None:
            return self.judge(given, *inputs)
        wanted = self.solution(*copied(inputs))
        said = difference(given, wanted, self.gives, self.tolerance)
        if said is None:
            return None
        for message, mistake in self.mistakes.items():
            if difference(given, mistake(*copied(inputs)), self.gives, self.tolerance) is None:
                return message
        return said


def exercise(name: str, inputs: Inputs = nothing, **fields: Any) -> Callable[[Callable], Exercise]:
    """Makes an `Exercise` of the function that is its solution."""
    return lambda solution: Exercise(name, solution, inputs, **fields)


@dataclass(frozen=True)
class Assignment:
    """Exercises that are handed in together."""

    name: str  # "A2"
    title: str
    chapter: str  # file name in book/, without its ending
    exercises: tuple[Exercise, ...]
    rubric: tuple[tuple[int, str], ...] = ()  # what a reader judges: points, and what they are for

    @property
    def points(self) -> int:
        """Of the exercises, which `grade` gives, and of the rubric, which a reader gives."""
        return sum(exercise.points for exercise in self.exercises) + sum(points for points, _ in self.rubric)
