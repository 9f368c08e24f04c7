"""Exercises of the course: `check` tells whether an answer is right and what is wrong with it, `grade` counts points.

The tables are in one file an assignment. A notebook never holds an answer's value: `check` draws inputs with a seed,
calls the answer, and compares it with the solution, and with the mistakes that are known.
"""

from .checking import NotYet, check
from .grading import grade
from .tables import ASSIGNMENTS, EXERCISES

__all__ = ["ASSIGNMENTS", "EXERCISES", "NotYet", "check", "grade"]
