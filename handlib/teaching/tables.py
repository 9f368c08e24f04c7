"""All exercises by name, and the six assignments."""

from . import hand, judging, learning, measuring, refining, rendering, report
from .exercise import Assignment, Exercise

ASSIGNMENTS: dict[str, Assignment] = {
    assignment.name: assignment
    for assignment in (hand.A1, rendering.A2, measuring.A3, learning.A4, refining.A5, report.A6)
}

EXERCISES: dict[str, Exercise] = {
    exercise.name: exercise
    for group in (
        *(assignment.exercises for assignment in ASSIGNMENTS.values()),
        *(module.CHAPTER for module in (hand, measuring, learning, refining, judging)),
    )
    for exercise in group
}
