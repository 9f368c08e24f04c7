"""Of every exercise: solutions pass, stubs fail, and each known mistake is told by its name."""

import pytest

from handlib.teaching import ASSIGNMENTS, EXERCISES, NotYet, check
from handlib.teaching.checking import verdict

every = pytest.mark.parametrize("exercise", EXERCISES.values(), ids=EXERCISES)


def answer_of(exercise):
    return exercise.solution() if exercise.wants_value else exercise.solution


@every
@pytest.mark.parametrize("seed", [0, 1, 20])
def test_the_solution_is_right(exercise, seed):
    assert verdict(exercise.name, answer_of(exercise), seed) is None


@every
def test_a_stub_fails_with_a_friendly_sentence(exercise):
    with pytest.raises(NotImplementedError, match=exercise.name):
        check(exercise.name, ... if exercise.wants_value else lambda *inputs: None)


@pytest.mark.parametrize(
    "exercise, message",
    [(e, m) for e in EXERCISES.values() for m in e.mistakes],
    ids=lambda x: x.name if hasattr(x, "name") else x[:20],
)
def test_a_known_mistake_is_told(exercise, message):
    with pytest.raises(NotYet) as told:
        check(exercise.name, exercise.mistakes[message])
    assert str(told.value) == f"{exercise.name}, not yet: {message}"


@every
def test_a_task_says_what_is_asked_for(exercise):
    assert len(exercise.task.split()) > 8 or exercise.wants_value


def test_names_and_points_are_those_of_the_course():
    assert list(ASSIGNMENTS) == ["A1", "A2", "A3", "A4", "A5", "A6"]
    for name, assignment in ASSIGNMENTS.items():
        assert all(exercise.name.startswith(f"{name}.") for exercise in assignment.exercises)
    assert {sum(e.points for e in a.exercises) for n, a in ASSIGNMENTS.items() if n != "A6"} == {10}
