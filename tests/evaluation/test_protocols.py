"""Every protocol against a twin written in loops from its description in words."""

import math

import pytest
import torch

from handlib.evaluation.evaluate import compared, measurements
from handlib.evaluation.metrics import align, joint_errors_mm
from handlib.evaluation.protocols import (
    OWN_PROTOCOLS,
    PROTOCOLS,
    Grid,
    dexter_object,
    freihand,
    freihand_mesh,
    ho3d,
    minimal_hand,
    rhd_hand3d,
    root,
    wrist,
)
from handlib.hand.joints import MIDDLE_MCP, TIPS


@pytest.fixture
def hands(generator):
    """Twelve true hands and estimates of them: some joints are hidden, those of the palm never."""
    truth = 0.05 * torch.randn(12, 21, 3, generator=generator, dtype=torch.float64) + 0.4
    predicted = 1.1 * truth + 0.02 * torch.randn(truth.shape, generator=generator, dtype=torch.float64) - 0.1
    visible = torch.rand(12, 21, generator=generator) < 0.6
    visible[:, [0, MIDDLE_MCP, 10]] = True
    return predicted, truth, visible


def length(p, q):
    return math.dist(p.tolist(), q.tolist())


def test_hand3d_equals_a_loop(hands):
    predicted, truth, visible = hands
    found = rhd_hand3d(predicted, truth, visible)
    assert torch.equal(found.counted, visible)
    for p, t, seen, errors in zip(predicted, truth, visible, found.mm, strict=True):
        scale = length(t[10], t[9]) / length(p[10], p[9])
        for j in range(21):
            wanted = 1000 * length((p[j] - p[0]) * scale, t[j] - t[0]) if seen[j] else 0
            assert float(errors[j]) == pytest.approx(wanted)


def test_minimal_hand_equals_a_loop(hands):
    predicted, truth, visible = hands
    found = minimal_hand(predicted, truth, visible)
    for p, t, seen, errors in zip(predicted, truth, visible, found.mm, strict=True):
        scale = length(t[0], t[9]) / length(p[0], p[9])
        for j in range(21):
            wanted = 1000 * length(t[9] + scale * (p[j] - p[9]), t[j]) if seen[j] else 0
            assert float(errors[j]) == pytest.approx(wanted)


@pytest.mark.parametrize("kind, rule", [("rhd", "half"), ("stb", "ring")])
def test_minimal_hand_takes_the_wrist(hands, kind, rule):
    """Its bone 0–9 begins there, though joint 0 of all other scores, hand3d's among them, is the palm."""
    predicted, truth, visible = hands
    found = compared({"joints_cam": truth, "visible": visible}, predicted, palm=rule)
    metrics, _ = measurements(found, len(truth), OWN_PROTOCOLS[kind], palm=rule)
    values = {metric.name: metric.value for metric in metrics}
    palms = found["joints_cam"], found["truth_cam"]
    for name, joints in (("minimal_hand", (predicted, truth)), ("rhd_hand3d", palms)):
        wanted = PROTOCOLS[name].scores(*joints, found["visible"])
        assert [values[metric.name] for metric in wanted] == pytest.approx([metric.value for metric in wanted])


def test_dexter_object_equals_a_loop(hands):
    predicted, truth, visible = hands
    truth = torch.where(visible[..., None], truth, torch.nan)  # as a loader gives what nobody annotated
    truth[3, TIPS[1:]] = torch.nan  # one tip is too few
    found = dexter_object(predicted, truth, visible | True)
    rows = []
    for p, t in zip(predicted, truth, strict=True):
        tips = [j for j in TIPS if not math.isnan(float(t[j, 0]))]
        if len(tips) < 2:
            continue
        p_center, t_center = (sum(x[j] for j in tips) / len(tips) for x in (p, t))
        p_size, t_size = (
            sum(length(x[j], c) for j in tips) / len(tips) for x, c in ((p, p_center), (t, t_center))
        )  # fmt: skip
        rows.append(
            [1000 * length(t_center + t_size / p_size * (p[j] - p_center), t[j]) if j in tips else None for j in TIPS]
        )
    assert len(rows) == len(found.mm) < 12
    for errors, counted, row in zip(found.mm, found.counted, rows, strict=True):
        assert counted.tolist() == [value is not None for value in row]
        assert errors.tolist() == pytest.approx([value or 0 for value in row])


def test_what_is_not_visible_may_hold_anything(hands):
    predicted, truth, visible = hands
    visible[:, TIPS[0]] = False
    spoilt = torch.where(visible[..., None], truth, torch.nan)
    for protocol in (root, rhd_hand3d, minimal_hand, dexter_object):
        a, b = protocol(predicted, truth, visible), protocol(predicted, spoilt, visible)
        torch.testing.assert_close(a.mm, b.mm)
        assert torch.equal(a.counted, b.counted)


def test_ho3d_equals_a_loop(hands):
    """Its code knows joints by MANO's numbers, where bone 0–4 goes to the middle MCP, joint 9 here."""
    predicted, truth, visible = hands
    relative, scaled = wrist(predicted, truth, visible), ho3d(predicted, truth, visible)
    for i, (p, t) in enumerate(zip(predicted, truth, strict=True)):
        scale = length(t[0], t[9]) / length(p[0], p[9])
        for found, s in ((relative, 1), (scaled, scale)):
            wanted = [1000 * length(s * (p[j] - p[0]), t[j] - t[0]) if visible[i, j] else 0 for j in range(21)]
            assert found.mm[i].tolist() == pytest.approx(wanted)


def test_a_hand_without_a_wrist_does_not_count(hands):
    predicted, truth, visible = hands
    truth[2, 0] = torch.nan
    found = wrist(predicted, truth, visible)
    assert not found.counted[2].any() and torch.equal(found.counted[3:], visible[3:]) and found.mm.isfinite().all()


def test_arithmetic_of_a_known_estimate(hands):
    """Bones 0–9 of 100 mm. Twice the hand leaves a joint at distance d from the wrist d further out; 5 mm to the side
    are 5 mm at the wrist, and gone where the wrists coincide."""
    truth = torch.zeros(2, 21, 3, dtype=torch.float64)
    truth[:, :, 1] = 0.1
    truth[:, 1:9, 0] = torch.linspace(0.01, 0.08, 8, dtype=torch.float64)
    truth[:, 0] = 0
    everything = torch.ones(2, 21, dtype=torch.bool)
    distance = truth.norm(dim=-1) * 1000
    torch.testing.assert_close(wrist(2 * truth, truth, everything).mm, distance)
    assert ho3d(2 * truth, truth, everything).mm.max() == 0
    aside = truth + torch.tensor([0.005, 0, 0], dtype=torch.float64)
    assert wrist(aside, truth, everything).mm.max() == 0
    assert joint_errors_mm(aside, truth).mean() == pytest.approx(5)
    # One joint 20 mm off: 20 mm at it, a mean of 20/21 mm, and an area short of 1 by its share below 20 mm.
    one = truth.clone()
    one[:, 20, 2] += 0.02
    metrics = {m.name: m.value for m in PROTOCOLS["wrist"].scores(one, truth, everything)}
    assert metrics["wrist_mean_mm"] == pytest.approx(20 / 21)
    thresholds = [50 * i / 99 for i in range(100)]
    area = sum((b - a) * ((a >= 20) + (b >= 20)) / 2 for a, b in zip(thresholds, thresholds[1:], strict=False)) / 50
    assert metrics["wrist_auc_0_50_mm"] == pytest.approx((20 + area) / 21, abs=1e-5)


def test_freihand_allows_a_mirror_as_its_code_does(hands):
    """Its rotation comes from an orthogonal Procrustes fit, without a look at the determinant; ours never mirrors."""
    linalg = pytest.importorskip("scipy.linalg")
    predicted, truth, _ = hands
    for p in (predicted, truth * torch.tensor([-1.0, 1, 1])):
        found = freihand(p, truth).mm
        for mm, a, b in zip(found, p.numpy(), truth.numpy(), strict=True):
            a, b = a - a.mean(0), b - b.mean(0)
            a, size = a / (a**2).sum() ** 0.5, (b**2).sum() ** 0.5
            R, s = linalg.orthogonal_procrustes(b / size, a)
            wanted = 1000 * ((a @ R.T * s * size - b) ** 2).sum(1) ** 0.5
            assert mm.tolist() == pytest.approx(wanted.tolist(), abs=2e-3)
    assert found.max() == 0
    assert joint_errors_mm(align(p, truth, "procrustes"), truth).mean() > 10


def test_freihand_undoes_a_similarity(hands):
    predicted, truth, _ = hands
    turn = torch.linalg.matrix_exp(torch.tensor([[0, -1, 0.3], [1, 0, 0.2], [-0.3, -0.2, 0]], dtype=torch.float64))
    assert freihand(2 * truth @ turn.mT + 1, truth).mm.max() < 1e-6
    assert freihand(predicted, truth).mm.mean() < root(predicted, truth, torch.ones(12, 21).bool()).mm.mean()


@pytest.mark.parametrize("name", PROTOCOLS)
def test_each_protocol_forgives_what_it_says(hands, name):
    """A shift always; a scale unless it only aligns the root."""
    _, truth, visible = hands
    protocol = PROTOCOLS[name]
    assert protocol.errors(truth + 0.3, truth, visible).mm.max() < 1e-6
    scaled = protocol.errors(1.4 * truth, truth, visible).mm.max()
    assert scaled > 1 if name in ("root", "wrist") else scaled < 1e-6


@pytest.mark.parametrize("name", PROTOCOLS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_truth_is_without_error(hands, name, dtype):
    """0.0 mm, and the whole area under the curve though its first threshold may be 0."""
    truth = hands[1].to(dtype)
    values = {m.name: m.value for m in PROTOCOLS[name].scores(truth, truth.clone(), hands[2])}
    assert values.pop(f"{name}_mean_mm") == values.pop(f"{name}_median_mm") == 0.0
    assert values and set(values.values()) == {1.0}


def test_one_estimate_has_another_error_under_each_protocol(hands):
    predicted, truth, visible = hands
    means = {name: p.scores(predicted, truth, visible | True)[0].value for name, p in PROTOCOLS.items()}
    assert len({round(value, 3) for value in means.values()}) == len(PROTOCOLS)
    assert means["freihand"] < means["root"]


@pytest.mark.parametrize("name", PROTOCOLS)
def test_scores_name_their_grid(hands, name):
    predicted, truth, visible = hands
    protocol = PROTOCOLS[name]
    metrics = protocol.scores(predicted, truth, visible | True)
    errors = protocol.errors(predicted, truth, visible | True)
    assert [m.name for m in metrics[:2]] == [f"{name}_mean_mm", f"{name}_median_mm"]
    assert metrics[0].value == pytest.approx(float(errors.mm[errors.counted].mean()))
    assert all(m.alignment == protocol.rule and m.n == 12 for m in metrics)
    assert [m.grid for m in metrics[2:]] == [grid.name for grid in protocol.grids]
    assert len({m.name for m in metrics}) == len(metrics)
    for metric, grid in zip(metrics[2:], protocol.grids, strict=True):
        assert metric.value == pytest.approx(area(errors, grid), abs=1e-6)


def area(errors, grid):
    """Mean over keypoints of the area under the curve, in loops."""
    thresholds = [grid.low + (grid.high - grid.low) * i / (grid.steps - 1) for i in range(grid.steps)][grid.first :]
    areas = []
    for column, counted in zip(errors.mm.T, errors.counted.T, strict=True):
        seen = [float(e) for e, c in zip(column, counted, strict=True) if c]
        curve = [sum(e <= t + 1e-5 for e in seen) / len(seen) for t in thresholds]
        steps = zip(thresholds[:-1], thresholds[1:], curve[:-1], curve[1:], strict=True)
        areas.append(sum((b - a) * (x + y) / 2 for a, b, x, y in steps) / (thresholds[-1] - thresholds[0]))
    return sum(areas) / len(areas)


def test_grid_of_the_reference():
    """Its "20–50 mm" begins at 21.05 mm."""
    grid = Grid(0, 50, 20, first=8)
    assert len(grid.thresholds_mm) == 12
    assert grid.thresholds_mm[0] == pytest.approx(21.0526, abs=1e-3) and grid.thresholds_mm[-1] == 50
    assert grid.name == "20 thresholds, 0–50 mm, from index 8: 21.05 mm"
    assert Grid(20, 50, 15).name == "15 thresholds, 20–50 mm"


def test_nothing_that_counts_is_an_error(hands):
    predicted, truth, visible = hands
    with pytest.raises(ValueError, match="dexter_object: no joint of any frame counts"):
        PROTOCOLS["dexter_object"].scores(predicted, truth, visible & False)


def test_freihand_meshes(generator):
    truth = 0.05 * torch.randn(3, 50, 3, generator=generator)
    metrics = {m.name: m for m in freihand_mesh(truth + 0.1, truth)}
    assert metrics["freihand_vertices_mean_mm"].value == pytest.approx(0, abs=1e-3)
    assert metrics["freihand_vertices_auc_0_50_mm"].value > 0.99
    assert metrics["freihand_vertices_f_5_mm"].value == metrics["freihand_vertices_f_15_mm"].value == 1
    assert metrics["freihand_vertices_auc_0_50_mm"].grid == "100 thresholds, 0–50 mm"
    far = {m.name: m.value for m in freihand_mesh(truth.flip(1), truth)}
    assert far["freihand_vertices_f_5_mm"] < far["freihand_vertices_f_15_mm"] < 1
    assert far["freihand_vertices_mean_mm"] > 10


def test_meshes_as_they_lie_and_aligned(generator):
    """A shift of 10 mm is nothing once aligned; as they lie it is more than 5 mm and less than 15, for vertices that
    are 30 mm from one another. Half of a mesh that is moved far away is half the precision and half the recall."""
    grid = torch.stack(torch.meshgrid(*[torch.arange(4.0)] * 3, indexing="ij"), -1).reshape(1, -1, 3) * 0.03 + 0.5

    def values(predicted):
        return {m.name.removeprefix("freihand_vertices_"): m.value for m in freihand_mesh(predicted, grid)}

    best = values(grid.clone())
    assert best == {"mean_mm": 0, "median_mm": 0, "auc_0_50_mm": 1} | {
        f"{kind}f_{n}_mm": 1 for kind in ("", "raw_") for n in (5, 15)
    }
    shifted = values(grid + torch.tensor([0.006, 0.0, 0.008]))
    assert shifted == pytest.approx(best | {"raw_f_5_mm": 0})
    assert values(1.5 * grid)["mean_mm"] == 0 and values(1.5 * grid)["raw_f_15_mm"] < 0.1
    half = grid.clone()
    half[:, 32:] += 1
    assert values(half)["raw_f_5_mm"] == pytest.approx(0.5)


def test_two_hands_of_joints_in_millimeters(hands):
    """What a protocol says is what `joint_errors_mm` says of aligned joints."""
    predicted, truth, _ = hands
    everything = torch.ones(12, 21, dtype=torch.bool)
    moved = predicted - predicted[:, 9:10] + truth[:, 9:10]
    torch.testing.assert_close(root(predicted, truth, everything).mm, joint_errors_mm(moved, truth))
