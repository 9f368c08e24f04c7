"""Solutions pass, stubs fail, and each known mistake is told by its name."""

import json
import math

import pytest
import torch

from handlib.camera import crop_to_px, project
from handlib.data.crop import mirror_cam, mirror_intrinsics
from handlib.data.real.palm import wrist_to_palm
from handlib.evaluation.metrics import auc, segmentation_scores
from handlib.evidence import heatmap_peaks
from handlib.hand.files import PARENTS
from handlib.hand.joints import C21, RHD21, convert
from handlib.parameters import posed_hand
from handlib.renderer import Renderer
from handlib.teaching import ASSIGNMENTS, EXERCISES, NotYet, check, grade, learning, measuring, refining, rendering
from handlib.teaching import hand as hands
from handlib.teaching.checking import generator, verdict
from handlib.teaching.grading import cells
from handlib.teaching.report import report

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


# ---- what is said of mistakes that no table knows


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda g: -g, "right size and the wrong sign"),
        (lambda g: 2 * g, "factor of ½ missing"),
        (lambda g: 1000 * g, "millimeters"),
        (lambda g: g * torch.nan, "NaN"),
        (lambda g: 0 * g, "zero"),
        (lambda g: g[None], "shape"),
        (lambda g: "right", "a str"),
        (lambda g: 1.1 * g, "1.1 times"),
    ],
)
def test_a_wrong_gradient_is_described(change, said):
    with pytest.raises(NotYet, match=said):
        check("A2.2", lambda mask, gradient: change(rendering.push_right(mask, gradient)))


def test_rows_and_coordinates_that_are_exchanged_are_described():
    with pytest.raises(NotYet, match="wrong order, along axis 0"):
        check("A3.1", lambda joints: measuring.to_c21(joints)[[*range(13), 17, 18, 19, 20, 13, 14, 15, 16]])
    with pytest.raises(NotYet, match="wrong sign in coordinate 1"):
        check("A3.1", lambda joints: measuring.to_c21(joints) * torch.tensor([1.0, -1, 1]))


def test_one_number_is_asked_for_in_words():
    with pytest.raises(NotYet, match="your distance has shape \\(3,\\), where a number is asked for"):
        check("data-palm", lambda joints: measuring.palm_gap_mm(joints).expand(3))


def test_names_that_do_not_exist_are_refused_with_the_next_one():
    with pytest.raises(ValueError, match="A2.1"):
        check("A2.11", 1)
    with pytest.raises(NotYet, match="a function is asked for"):
        check("A2.1", 3.0)
    with pytest.raises(NotYet, match="a value is asked for"):
        check("evidence-parameters", learning.dearest)


def test_a_message_is_all_that_a_notebook_shows():
    with pytest.raises(NotYet) as told:
        check("A5.1", lambda errors, T: 2.0)
    assert told.value._render_traceback_() == [str(told.value)]


def test_an_answer_may_write_into_its_inputs():
    def careless(errors, T):
        errors -= T
        return (errors.mean(1) <= 0).float().mean()

    check("A5.1", careless)


def test_an_answer_may_write_into_its_layer():
    def in_place(refiner):
        refiner.weight[:, -42:] += torch.eye(42)
        return refiner

    check("regressor-offset", in_place)


@pytest.mark.parametrize(
    "answer, said",
    [
        (lambda refiner: lambda x: x[:, -42:] + refiner(x), "a Linear is asked for; yours is a function"),
        (lambda refiner: 3, "a Linear is asked for; yours is a int"),
        (lambda refiner: torch.nn.Linear(refiner.in_features, 63), "176 inputs and 42 outputs.* 176 and 63"),
        (lambda refiner: torch.nn.Linear(134, 42), "176 inputs and 42 outputs.* 134 and 42"),
    ],
)
def test_a_layer_of_the_size_of_the_inputs_and_outputs_is_asked_for(answer, said):
    with pytest.raises(NotYet, match=said):
        check("regressor-offset", answer)


@pytest.mark.parametrize("turns", [-2, -1, 1])
def test_an_angle_and_whole_turns_more_are_the_same(turns):
    check("photographs-turn", lambda wrist, middle: learning.turn(wrist, middle) + turns * math.tau)
    for message, wrong in learning.turn.mistakes.items():
        with pytest.raises(NotYet, match=message):
            check("photographs-turn", lambda *points, wrong=wrong: wrong(*points) + turns * math.tau)


@pytest.mark.parametrize("angle, said", [("up", "a str"), (torch.zeros(2), "shape"), (math.inf, "infinite")])
def test_what_is_no_angle_is_refused(angle, said):
    with pytest.raises(NotYet, match=said):
        check("photographs-turn", lambda wrist, middle: angle)
    with pytest.raises(NotYet, match="degrees"):
        check("photographs-turn", lambda *points: math.degrees(learning.turn(*points)))


@pytest.mark.parametrize("seed", [0, 1])
def test_weights_must_be_right_for_corners_of_either_direction(seed):
    def one_direction(corners, points):
        (ux, uy), (vx, vy) = corners[1:] - corners[0]
        return rendering.barycentric(corners, points) * torch.sign(ux * vy - uy * vx)

    for sign in (1, -1):
        with pytest.raises(NotYet, match="the wrong sign"):
            check("A2.1", lambda corners, points, sign=sign: sign * one_direction(corners, points), seed)


@pytest.mark.parametrize("name, answer", [("A1.2", "pose"), ("A2.3", "h"), ("A5.3", "h")])
def test_a_tuple_in_the_place_of_a_tensor_is_told(name, answer):
    with pytest.raises(NotYet, match="yours is a tuple"):
        check(name, lambda hand, start, *others: (start, start))


@pytest.mark.parametrize(
    "parts, said",
    [
        (5, "three lists"),
        ([5, 5, 5], "three lists"),
        ([["full"], ["direct"], ["nothing"]], "'nothing' is no experiment"),
    ],
)
def test_shares_that_are_none_are_told(parts, said):
    with pytest.raises(NotYet, match=said):
        check("reproducing-shares", parts)


# ---- solutions are what handlib computes


def test_skin_is_that_of_the_hand_model_without_correctives(hand):
    rest, joints, weights, rotations, parents = hands._skeleton(generator("A1.1", 0, 0))
    assert parents == list(PARENTS)
    still = hands.skin(rest, joints, weights, torch.eye(3).expand(16, 3, 3), parents)
    assert torch.allclose(still, rest, atol=1e-6)


def test_push_right_is_the_gradient_of_the_renderer_and_of_finite_differences(hand):
    vertices = crop_to_px(posed_hand(hand, rendering.some_hand(generator("A2.2", 0, 0))).vertices, 48)
    pull = torch.rand(48, 48, generator=torch.Generator().manual_seed(0))
    pull = torch.nn.functional.avg_pool2d(pull[None], 9, 1, 4)[0]  # smooth, or finite differences are noise

    def loss(shift, scale=1):
        moved = (vertices + torch.stack([shift, 0 * shift, 0 * shift])) * torch.tensor([scale, scale, 1.0])
        mask = Renderer(48 * scale).silhouette(moved, hand.faces)
        return (torch.nn.functional.avg_pool2d(mask[None], scale)[0] * pull).sum()

    shift = torch.zeros((), requires_grad=True)
    (slope,) = torch.autograd.grad(loss(shift), shift)
    given = rendering.push_right(Renderer(48).silhouette(vertices, hand.faces), pull)
    assert torch.isclose(given, slope, rtol=1e-3, atol=1e-4)
    with torch.no_grad():
        finite = loss(torch.tensor(0.5), 8) - loss(torch.tensor(-0.5), 8)
    assert abs(float(given - finite)) < 0.1 * float(finite.abs()) + 0.3


def test_measures_are_those_of_handlib():
    rows = generator("A3", 0, 0)
    joints = measuring.skeleton_cam(rows)
    assert torch.equal(measuring.to_c21(convert(joints, C21, RHD21)), joints)
    image, joints, K = measuring._sample(rows)
    flipped = measuring.flip(image, joints, K)
    assert torch.equal(flipped[1], mirror_cam(joints)) and torch.allclose(flipped[2], mirror_intrinsics(K, 64))
    assert torch.allclose(project(flipped[1], flipped[2])[:, 0], 64 - project(joints, K)[:, 0], atol=1e-3)
    errors, visible, low, high = measuring._errors(rows)
    assert abs(float(measuring.area_under_pck(errors, visible, low, high)) - auc(errors, visible=visible)) < 1e-5
    predicted, truth = measuring._masks(rows)
    assert [float(s) for s in measuring.mask_scores(predicted, truth)] == pytest.approx(
        list(segmentation_scores(predicted, truth).values())
    )
    palm = wrist_to_palm(joints[None], "half")[:, 0]
    assert float(measuring.palm_gap_mm(joints[None])) == pytest.approx(1000 * float((palm - joints[:1]).norm()))


def test_peaks_are_those_of_handlib():
    (maps,) = learning._maps(generator("A4.1", 0, 0))
    assert torch.allclose(learning.peaks(maps), 8 * (heatmap_peaks(maps[:, None])[:, 0] + 1), atol=1e-3)


def test_refinement_without_a_hold_on_depth_is_not_enough(hand):
    with pytest.raises(NotYet, match="not enough.*rises for 8 of 8 hands: is depth"):
        check("A5.3", lambda hand, h, j2d, skeleton: h + 0.3)
    with pytest.raises(NotYet, match="at most 0.[0-9]+ is asked for$"):
        check("A5.3", lambda hand, h, j2d, skeleton: h)
    assert "20 %" in refining.refined.task
    assert refining.A5.exercises[-1].hidden == 1


def test_all_layers_that_tie_are_asked_for():
    from handlib.networks.pose_machine import layers

    side, products = 256, {}
    for name, (inputs, outputs, kernel) in layers().items():
        side //= 2 if name in ("conv2_1", "conv3_1", "conv4_1") else 1
        products[name] = inputs * outputs * kernel**2 * side**2
    most = [name for name, count in products.items() if count == max(products.values())]
    check("evidence-parameters", most)
    for answer, said in ((most[0], "6 layers tie, and you name 1"), (["conv1_1"], "conv1_1"), (3, "a list of names")):
        with pytest.raises(NotYet, match=said):
            check("evidence-parameters", answer)


@pytest.mark.slow
def test_without_a_pull_the_error_of_a_long_refinement_rises_again(hand):
    """As the solution in the chapter says."""
    hand, h, j2d, skeleton, joints = refining._held_out(generator("A5.3", 1, 0))

    def error_after(pull, steps):
        x = h.clone().requires_grad_()
        optimizer = torch.optim.Adam([x], 0.05)
        for _ in range(steps):
            optimizer.zero_grad()
            off = (skeleton(hand, x)[..., :2] - j2d).square().sum((1, 2))
            (off + pull * (x - h).square().sum(1)).sum().backward()
            optimizer.step()
        return float((skeleton(hand, x.detach()) - joints).norm(dim=-1).mean())

    assert error_after(0.0, 300) > 1.05 * error_after(0.0, 60)
    assert error_after(0.02, 300) < 0.8 * error_after(0.0, 300)


# ---- the report


@pytest.mark.parametrize(
    "change, said",
    [
        ({"claim": "better"}, "claim"),
        ({"rule": {"written": "2026-02-01T10:00", "text": "t"}}, "before|first"),
        ({"started": "tomorrow"}, "2026-01-31T10:00"),
        ({"seeds": [0, 0, 1]}, "seeds"),
        ({"seeds": 3}, "seeds: a list"),
        ({"with": [0.6, 0.6]}, "one finite score"),
        ({"mean": "about 0.02"}, "mean: a number"),
        ({"mean": 0.5}, "0.02133"),
        ({"verdict": "undecided"}, "'holds'"),
        ({"higher_is_better": False}, "contradicted"),
        ({"higher_is_better": "false"}, "higher_is_better: True or False"),
    ],
)
def test_a_report_whose_parts_do_not_belong_together_is_told(change, said):
    with pytest.raises(NotYet, match=said):
        check("A6.1", report() | change)


# ---- grading


def notebook(path, *sources):
    cells = [
        {"cell_type": "code", "source": s, "metadata": {}, "outputs": [], "execution_count": None} for s in sources
    ]
    path.write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    return path


def test_what_is_handed_in_gets_its_points(tmp_path):
    good = "def fraction_under(errors, T):\n    return (errors.mean(1) <= T).float().mean()"
    handed_in = notebook(
        tmp_path / "A5_ada.ipynb", "%pip list\nimport torch", good, "def step(h, f, r):\n    return h", "1 / 0"
    )
    grades = grade(handed_in)
    assert [(g.exercise, g.points) for g in grades] == [("A5.1", 2), ("A5.2", 0), ("A5.3", 0)]
    assert "nothing has moved" in grades[1].said and "refined is not defined" in grades[2].said
    assert "2 of 10 points" in repr(grades)


def test_what_ends_the_program_costs_its_own_points_alone(tmp_path):
    good = "def fraction_under(errors, T):\n    return (errors.mean(1) <= T).float().mean()"
    handed_in = notebook(
        tmp_path / "A5.ipynb", "import sys\nsys.exit()", "input()", good, "def step(*x):\n    sys.exit()"
    )
    assert [(g.points, g.said) for g in grade(handed_in)][:2] == [(2, ""), (0, "SystemExit: ")]


@pytest.mark.parametrize(
    "source, python",
    [
        ("%pip list\n\nx = 1\n!ls", "pass\n\nx = 1\npass"),
        ("print('%d'\n      % 5)\nx = 17\\\n% 5", None),
        ("%pip list\nprint('%d'\n      % 5)", "pass\nprint('%d'\n      % 5)"),
        ("if True:\n    %pip list", "if True:\n    pass"),
        ("x = (", None),
    ],
)
def test_only_lines_that_are_ipythons_own_are_left_out(tmp_path, source, python):
    assert cells(notebook(tmp_path / "A1.ipynb", source)) == [python or source]


def test_a_program_that_does_not_end_gets_none(tmp_path):
    (tmp_path / "A5.py").write_text("while True: pass")
    grades = grade(tmp_path / "A5.py", minutes=0.15)
    assert grades.points == 0 and "stopped after" in grades[0].said


def test_a_file_that_is_no_notebook_is_refused(tmp_path):
    (tmp_path / "A1.ipynb").write_text("{}")
    with pytest.raises(ValueError, match="A1.ipynb"):
        grade(tmp_path / "A1.ipynb")
