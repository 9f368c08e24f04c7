import math

import pytest
import torch

from handlib.evaluation.metrics import (
    align,
    auc,
    auc_on,
    auc_reference,
    error_by_joint,
    error_by_tone,
    f_scores,
    joint_errors_mm,
    pck,
    segmentation_scores,
)
from handlib.hand.joints import C21, MIDDLE_MCP


def similarity(generator, reflect=False):
    """A random rotation (or reflection), scale and translation."""
    q, _ = torch.linalg.qr(torch.randn(3, 3, generator=generator, dtype=torch.float64))
    wanted = -1.0 if reflect else 1.0
    return q * torch.det(q).sign() * wanted, 1.7, torch.randn(3, generator=generator, dtype=torch.float64)


def hands(lead, generator, n=21):
    return 0.05 * torch.randn(*lead, n, 3, generator=generator, dtype=torch.float64)


# ---- alignment


def test_root_alignment_equals_a_loop(lead, generator):
    predicted, truth = hands(lead, generator), hands(lead, generator) + 1
    found = align(predicted, truth).reshape(-1, 21, 3)
    for n, (p, t) in enumerate(zip(predicted.reshape(-1, 21, 3), truth.reshape(-1, 21, 3), strict=True)):
        for j in range(21):
            torch.testing.assert_close(found[n, j], p[j] - p[MIDDLE_MCP] + t[MIDDLE_MCP])


def test_root_scale_alignment_agrees_at_root_and_wrist_distance(lead, generator):
    predicted, truth = hands(lead, generator), hands(lead, generator) + 1
    found = align(predicted, truth, "root_scale")
    torch.testing.assert_close(found[..., MIDDLE_MCP, :], truth[..., MIDDLE_MCP, :])
    lengths = [(j[..., 0, :] - j[..., MIDDLE_MCP, :]).norm(dim=-1) for j in (found, truth)]
    torch.testing.assert_close(*lengths)
    torch.testing.assert_close(align(3 * truth + 0.2, truth, "root_scale"), truth)


def test_procrustes_undoes_a_similarity(lead, generator):
    truth = hands(lead, generator)
    rotation, scale, shift = similarity(generator)
    torch.testing.assert_close(align(scale * truth @ rotation.mT + shift, truth, "procrustes"), truth)


def test_procrustes_refuses_a_reflection(generator):
    """A mirrored hand is not a hand turned: its error stays; turning cannot mend it."""
    truth = hands((), generator)
    rotation, scale, shift = similarity(generator, reflect=True)
    aligned = align(scale * truth @ rotation.mT + shift, truth, "procrustes")
    assert joint_errors_mm(aligned, truth).mean() > 10


def test_procrustes_is_the_least_squares_similarity(generator):
    """No nearby rotation, scale or translation is better."""
    predicted, truth = hands((), generator), hands((), generator)
    best = align(predicted, truth, "procrustes")
    least = (best - truth).square().sum()
    for _ in range(50):
        angle = 0.05 * torch.randn(3, generator=generator, dtype=torch.float64)
        x, y, z = angle.tolist()
        turn = torch.linalg.matrix_exp(torch.tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]], dtype=torch.float64))
        grow = 1 + 0.05 * float(torch.randn((), generator=generator))
        shift = 0.002 * torch.randn(3, generator=generator, dtype=torch.float64)
        assert (grow * best @ turn.mT + shift - truth).square().sum() > least


def test_procrustes_of_a_batch_is_that_of_each(generator):
    predicted, truth = hands((4,), generator, 30), hands((4,), generator, 30)
    found = align(predicted, truth, "procrustes")
    for n in range(4):
        torch.testing.assert_close(found[n], align(predicted[n], truth[n], "procrustes"))


def test_procrustes_of_a_point_is_finite(generator):
    assert torch.isfinite(align(torch.zeros(21, 3).double(), hands((), generator), "procrustes")).all()


def test_unknown_alignment(generator):
    with pytest.raises(ValueError, match="unknown alignment 'palm': choose one of root, root_scale, wrist"):
        align(hands((), generator), hands((), generator), "palm")


def test_errors_are_millimeters():
    predicted = torch.zeros(2, 21, 3)
    predicted[1] = torch.tensor([0.003, 0.0, 0.004])
    errors = joint_errors_mm(predicted, torch.zeros(2, 21, 3))
    torch.testing.assert_close(errors, torch.tensor([[0.0], [5.0]]).expand(2, 21))


# ---- PCK and AUC


def reference(errors, visible, thresholds):
    """The definition, in loops: PCK of each keypoint over its visible samples, trapezoids, mean over keypoints."""
    areas = []
    for k in range(errors.shape[1]):
        seen = [float(e) for e, v in zip(errors[:, k], visible[:, k], strict=True) if v]
        if not seen:
            continue
        curve = [sum(e <= t for e in seen) / len(seen) for t in thresholds]
        area = 0.0
        for i in range(len(thresholds) - 1):
            area += (thresholds[i + 1] - thresholds[i]) * (curve[i] + curve[i + 1]) / 2
        areas.append(area / (thresholds[-1] - thresholds[0]))
    return sum(areas) / len(areas)


@pytest.fixture
def errors(generator):
    return 60 * torch.rand(40, 21, generator=generator, dtype=torch.float64)


@pytest.fixture
def visible(generator):
    return torch.rand(40, 21, generator=generator) < torch.linspace(0, 1, 21)  # keypoint 0 is never visible


def test_auc_equals_its_definition(errors, visible):
    for low, high, steps in ((20, 50, 20), (0, 50, 7)):
        grid = [low + (high - low) * i / (steps - 1) for i in range(steps)]
        assert auc(errors, low, high, steps) == pytest.approx(reference(errors, torch.ones_like(visible), grid))
        assert auc(errors, low, high, steps, visible) == pytest.approx(reference(errors, visible, grid))


@pytest.mark.parametrize("low_index", [0, 8])
def test_reference_auc_equals_its_definition(errors, visible, low_index):
    grid = [50 * i / 19 for i in range(20)][low_index:]
    assert auc_reference(errors, low_index, visible) == pytest.approx(reference(errors, visible, grid))
    assert low_index == 0 or (grid[0] == pytest.approx(21.05, abs=0.01) and len(grid) == 12)


@pytest.mark.parametrize("score", [auc, auc_reference])
def test_auc_of_perfect_and_of_hopeless(score):
    assert score(torch.zeros(5, 21)) == pytest.approx(1)
    assert score(torch.full((5, 21), 51.0)) == 0


def test_auc_of_one_error_is_where_it_lies():
    """An error of 35 mm is within the upper half of 20 … 50 mm."""
    assert auc(torch.full((1, 1), 35.0), 20, 50, 3001) == pytest.approx(0.5, abs=1e-3)


def test_auc_averages_keypoints_not_samples():
    """One keypoint seen a hundred times, wrong; another seen once, right: one half."""
    errors, visible = torch.full((100, 2), 99.0), torch.ones(100, 2, dtype=torch.bool)
    errors[0, 1] = 0
    visible[1:, 1] = False
    assert auc(errors, visible=visible) == pytest.approx(0.5)


def test_pck_equals_a_loop(errors, visible):
    thresholds = torch.tensor([0.0, 10, 30, 60], dtype=torch.float64)
    curves = pck(errors, thresholds, visible)
    assert torch.isnan(curves[0]).all()
    for k in range(1, 21):
        for t, threshold in enumerate(thresholds.tolist()):
            hits = [float(e) <= threshold for e, v in zip(errors[:, k], visible[:, k], strict=True) if v]
            assert float(curves[k, t]) == pytest.approx(sum(hits) / len(hits))


def test_invisible_joints_do_not_count(errors, visible):
    thresholds = torch.linspace(0, 50, 5, dtype=torch.float64)
    worse = torch.where(visible, errors, 1e6)
    assert torch.equal(pck(worse, thresholds, visible)[1:], pck(errors, thresholds, visible)[1:])


def test_threshold_is_within():
    assert pck(torch.full((1, 1), 20.0), torch.tensor([20.0])).item() == 1


def test_auc_on_uneven_thresholds(errors, visible):
    grid = [0.0, 1, 4, 30, 31]
    assert auc_on(errors, torch.tensor(grid).double(), visible) == pytest.approx(reference(errors, visible, grid))


def test_procrustes_of_some_points_is_that_of_them_alone(generator):
    truth = torch.randn(3, 21, 3, generator=generator, dtype=torch.float64)
    predicted = truth + 0.3 * torch.randn(3, 21, 3, generator=generator, dtype=torch.float64)
    counted = torch.rand(3, 21, generator=generator) < 0.5
    holes = torch.where(counted[..., None], truth, torch.nan)
    moved = align(predicted, holes, "procrustes", counted)
    for i in range(3):
        alone = align(predicted[i, counted[i]], truth[i, counted[i]], "procrustes")
        torch.testing.assert_close(moved[i, counted[i]], alone)
    all_of_them = torch.ones_like(counted)
    torch.testing.assert_close(
        align(predicted, truth, "procrustes", all_of_them), align(predicted, truth, "procrustes")
    )


# ---- tables


def test_error_by_joint_equals_a_loop(errors, visible):
    table = error_by_joint(errors, visible)
    assert table["joint"] == list(C21.joints) and {len(column) for column in table.values()} == {21}
    assert (table["mean_mm"][0], table["median_mm"][0], table["n"][0]) == (None, None, 0)
    for k in range(1, 21):
        seen = sorted(float(e) for e, v in zip(errors[:, k], visible[:, k], strict=True) if v)
        assert table["n"][k] == len(seen)
        assert table["mean_mm"][k] == pytest.approx(sum(seen) / len(seen), abs=1e-3)
        assert table["median_mm"][k] == pytest.approx(seen[(len(seen) - 1) // 2], abs=1e-3)
    assert error_by_joint(errors)["n"] == [40] * 21


def test_error_by_tone_equals_a_loop(errors, visible, generator):
    tone = 9 * torch.rand(40, generator=generator, dtype=torch.float64)
    tone[:4] = torch.tensor([0.0, 3, 6, 9])
    visible[7] = False  # a hand of which nothing is seen is no hand
    table = error_by_tone(errors, tone, visible)
    assert (table["low"], table["high"]) == ([0, 3, 6], [3, 6, 9])
    groups = [[], [], []]
    for i in range(40):
        seen = [float(e) for e, v in zip(errors[i], visible[i], strict=True) if v]
        if seen:
            groups[min(int(tone[i] // 3), 2)].append(sum(seen) / len(seen))
    assert table["n"] == [len(group) for group in groups] and sum(table["n"]) < 40
    for mean, error, group in zip(table["mean_mm"], table["standard_error_mm"], groups, strict=True):
        assert mean == pytest.approx(sum(group) / len(group), abs=1e-3)
        variance = sum((g - sum(group) / len(group)) ** 2 for g in group) / (len(group) - 1)
        assert error == pytest.approx(math.sqrt(variance / len(group)), abs=1e-3)


def test_tones_that_nobody_has(errors):
    table = error_by_tone(errors[:1], torch.tensor([4.0]).double())
    assert table["n"] == [0, 1, 0] and table["mean_mm"][0] is None is table["standard_error_mm"][1]
    with pytest.raises(ValueError, match="tone must lie within 0 … 9"):
        error_by_tone(errors[:1], torch.tensor([10.0]).double())
    with pytest.raises(ValueError, match="tone must lie within"):
        error_by_tone(errors[:1], torch.tensor([torch.nan]).double())


# ---- masks


def test_segmentation_scores_of_a_matrix_done_by_hand():
    """Confusion matrix [[5, 1], [2, 4]]: 5 + 1 of the background, 2 + 4 of the hand."""
    target = torch.tensor([0] * 6 + [1] * 6)
    predicted = torch.tensor([0] * 5 + [1] + [0] * 2 + [1] * 4)
    scores = segmentation_scores(predicted, target)
    assert scores == pytest.approx(
        {
            "pixel_accuracy": 9 / 12,
            "mean_accuracy": (5 / 6 + 4 / 6) / 2,
            "mean_iou": (5 / 8 + 4 / 7) / 2,
            "frequency_weighted_iou": (6 * 5 / 8 + 6 * 4 / 7) / 12,
        }
    )


@pytest.mark.parametrize("kind", [torch.bool, torch.uint8, torch.float32])
def test_masks_of_any_type_and_shape(generator, kind):
    target = torch.rand(2, 5, 5, generator=generator) < 0.4
    predicted = torch.rand(2, 5, 5, generator=generator) < 0.6
    wanted = segmentation_scores(predicted.long().flatten(), target.long().flatten())
    assert segmentation_scores(predicted.to(kind), target.to(kind)) == wanted


def test_perfect_and_inverted_masks():
    target = torch.tensor([0, 0, 1])
    assert set(segmentation_scores(target, target).values()) == {1.0}
    assert set(segmentation_scores(1 - target, target).values()) == {0.0}


def test_a_class_that_never_occurs_is_left_out():
    scores = segmentation_scores(torch.zeros(4), torch.zeros(4), classes=3)
    assert set(scores.values()) == {1.0}


def test_masks_of_other_shapes_are_refused():
    with pytest.raises(ValueError, match=r"predicted \(2, 3\) and target \(3, 2\) differ in shape"):
        segmentation_scores(torch.zeros(2, 3), torch.zeros(3, 2))


# ---- meshes


def test_f_score_equals_a_loop(generator):
    a, b = hands((), generator, 12), hands((), generator, 15)
    for threshold in (20, 50):
        near = [
            sum(min(math.dist(p, q) for q in other.tolist()) * 1000 < threshold for p in one.tolist()) / len(one)
            for one, other in ((a, b), (b, a))
        ]
        assert 0 < min(near)
        wanted = 2 * near[0] * near[1] / (near[0] + near[1])
        assert f_scores(a, b, (threshold,))[0] == pytest.approx(wanted)


def test_f_score_at_its_ends(generator):
    a = hands((), generator, 12)
    assert f_scores(a, a, (5.0,)) == [1]
    assert f_scores(a, a + 9, (5.0,)) == [0]


@pytest.mark.parametrize("points", [(0, 5), (5, 0)])
def test_f_score_of_no_points(points):
    with pytest.raises(ValueError, match="predicted and truth must hold points"):
        f_scores(*(torch.zeros(n, 3) for n in points), (5.0,))


def test_f_scores_are_exact_at_a_distance():
    """Two vertices 4 and 20 mm off, in single precision half a meter away: one of two within 5 mm, none more in 15."""
    a = torch.zeros(40, 3) + torch.arange(40)[:, None] * torch.tensor([0.05, 0.0, 0.0]) + 0.5
    b = a.clone()
    b[0, 1] += 0.004
    b[1, 1] += 0.020
    assert f_scores(a, b, (3.9, 4.1, 15, 20.1)) == pytest.approx([38 / 40, 39 / 40, 39 / 40, 1])
    assert f_scores(a, a.clone(), (1e-3,)) == [1]


def test_wrist_alignment(generator):
    truth = hands((4,), generator)
    predicted = 1.3 * truth + 0.2
    moved = align(predicted, truth, "wrist")
    torch.testing.assert_close(moved, predicted - predicted[:, :1] + truth[:, :1])
    torch.testing.assert_close(align(predicted, truth, "wrist_scale"), truth)


def test_classes_that_are_none(generator):
    """Class 3 said of class 1 everywhere scored 1.0: it fell on another row of the confusion matrix."""
    target = torch.ones(2, 4, 4, dtype=torch.long)
    for wrong, text in ((3, "3 … 3"), (-1, "-1 … -1")):
        with pytest.raises(ValueError, match=f"predicted has classes {text}: they must be 0 … 1"):
            segmentation_scores(torch.full_like(target, wrong), target)
        with pytest.raises(ValueError, match="target has classes"):
            segmentation_scores(target, torch.full_like(target, wrong))
    assert segmentation_scores(torch.full_like(target, 3), torch.full_like(target, 3), 4)["mean_iou"] == 1


def test_soft_masks_are_no_classes():
    """Cut down to 0, all of them would be background."""
    hard, soft = torch.ones(2, 4), torch.full((2, 4), 0.9)
    for pair, name in (((soft, hard), "predicted"), ((hard, soft), "target")):
        with pytest.raises(ValueError, match=f"{name} holds numbers between classes: give a mask as mask > 0.5"):
            segmentation_scores(*pair)


def test_auc_of_whole_numbers(generator):
    errors = torch.randint(0, 60, (50, 21), generator=generator)
    assert auc(errors) == auc(errors.float()) and auc_reference(errors, 8) == auc_reference(errors.float(), 8)


@pytest.mark.parametrize("mode", ["procrustes", "reflected_procrustes"])
def test_procrustes_of_a_batch_with_a_hand_that_is_not_known(generator, mode):
    predicted, truth = torch.randn(2, 3, 21, 3, generator=generator)
    broken = predicted.clone()
    broken[1, 4, 0] = torch.nan
    found = align(broken, truth, mode)
    assert found[1].isnan().all()
    torch.testing.assert_close(found[[0, 2]], align(predicted, truth, mode)[[0, 2]])
