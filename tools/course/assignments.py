"""The notebooks of the assignments, from the tables in handlib/teaching."""

import inspect
import textwrap

from handlib.teaching import ASSIGNMENTS

from .cells import Kind, answer, code, setup
from .cells import markdown as markdown_cell

IMPORTS = """\
import math
import torch
from torch import nn
from torch.nn import functional
from handlib.teaching import check"""


def assignment_cells(links):
    """(name, kind -> cells) of each assignment."""
    for assignment in ASSIGNMENTS.values():
        yield assignment.name, {kind: _cells(assignment, kind, links) for kind in (Kind.STUDENT, Kind.INSTRUCTOR)}


def _cells(assignment, kind, links):
    rubric = "".join(f"\n| {text} | {points} |" for points, text in assignment.rubric)
    title = f"""\
# {assignment.name}: {assignment.title}

Belongs to {links.section(f"sec-{assignment.chapter}")}. Each task is a function;
`check` tells you whether it is right, and what is wrong with it. Grading draws other inputs. A function may use nothing
but its arguments and what the next cell imports.

| task | points |
|---|---:|{"".join(f"{chr(10)}| {e.name} `{e.answer}` | {e.points} |" for e in assignment.exercises)}{rubric}"""
    made = [setup("seconds"), markdown_cell(title, assignment.name), code(IMPORTS)]
    for exercise in assignment.exercises:
        made.append(markdown_cell(f"## {exercise.name}\n\n{inspect.cleandoc(exercise.task)}", exercise.name))
        made.append(answer(solution(exercise), kind, exercise.name))
        made.append(code(f'check("{exercise.name}", {exercise.answer})'))
    return made


def solution(exercise):
    """The code of a solution, without its docstring, which is the task above it, and its decorator."""
    source = inspect.getsource(exercise.solution)
    head, _, rest = source[source.index("def ") :].partition('    """')
    body = rest.partition('"""\n')[2].strip("\n")
    if not exercise.wants_value:
        return f"{head}{body}"
    return f"{exercise.answer} = {textwrap.dedent(body).removeprefix('return ')}"
