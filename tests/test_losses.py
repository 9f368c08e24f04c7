from dataclasses import fields, replace

import pytest
import torch

from handlib.camera import crop_box, normalise_joints
from handlib.evidence import target_heatmaps
from handlib.joints import MIDDLE_MCP
from handlib.losses import (
    LossWeights,
    articulation_loss,
    dhpe_loss,
    feature_loss,
    heatmap_loss,
    laplacian_loss,
    refiner_loss,
    reprojection_loss,
    shape_loss,
    shape_weight,
)
from handlib.parameters import MeshParameters

B = 3


def randn(generator, *shape):
    return torch.randn(*shape, generator=generator, dtype=torch.float64, requires_grad=True)


def mean_of(values):
    values = list(values)
    return sum(values) / len(values)


def same(fast, slow, *inputs):
    """Values, and gradients by every input."""
    torch.testing.assert_close(fast, slow)
    for a, b in zip(torch.autograd.grad(fast, inputs), torch.autograd.grad(slow, inputs), strict=True):
        torch.testing.assert_close(a, b)


def test_feature_loss_equals_a_loop(generator):
    a, b = randn(generator, B, 5), randn(generator, B, 5)
    same(feature_loss(a, b), mean_of((a[n, k] - b[n, k]) ** 2 for n in range(B) for k in range(5)), a, b)


def test_heatmap_loss_equals_a_loop(generator):
    maps, joints = randn(generator, 2, 21, 3, 3), torch.rand(2, 21, 2, generator=generator, dtype=torch.float64)
    truth = target_heatmaps(joints, 3)
    cells = [(n, j, r, c) for n in range(2) for j in range(21) for r in range(3) for c in range(3)]
    same(heatmap_loss(maps, joints), mean_of((maps[cell] - truth[cell]) ** 2 for cell in cells), maps)
    assert heatmap_loss(truth, joints) == 0


def test_refiner_loss_sums_steps_and_averages_the_rest(generator):
    steps, joints = [randn(generator, B, 21, 2) for _ in range(3)], randn(generator, B, 21, 2)
    cells = [(n, j, c) for n in range(B) for j in range(21) for c in range(2)]
    slow = sum(mean_of((step[cell] - joints[cell]) ** 2 for cell in cells) for step in steps)
    same(refiner_loss(steps, joints), slow, *steps)


def test_articulation_loss_equals_a_loop(generator):
    joints, target = randn(generator, B, 21, 3), randn(generator, B, 21, 3)
    omega = torch.rand(B, generator=generator, dtype=torch.float64) + 0.5
    cells = [(n, j, c) for n in range(B) for j in range(21) for c in range(3)]
    slow = mean_of(
        ((joints[n, j, c] - joints[n, MIDDLE_MCP, c]) / omega[n] - target[n, j, c]) ** 2 for n, j, c in cells
    )
    same(articulation_loss(joints, target, omega), slow, joints, target)


def test_articulation_ignores_place_and_shares_the_size(generator):
    joints, target = randn(generator, B, 21, 3), randn(generator, B, 21, 3)
    omega = torch.ones(B, dtype=torch.float64)
    there = torch.tensor([0.3, -0.2, 5.0], dtype=torch.float64)
    before = articulation_loss(joints, target, omega)
    torch.testing.assert_close(articulation_loss(joints + there, target, omega), before)
    torch.testing.assert_close(articulation_loss(2 * joints, target, 2 * omega), before)


def test_articulation_of_the_truth_is_nothing(generator):
    """Joints that a scaled orthographic camera would see: crop xy and z = norm·ω."""
    cam = 0.08 * torch.randn(B, 21, 3, generator=generator, dtype=torch.float64)
    cam = cam + torch.tensor([0, 0, 0.6], dtype=torch.float64)
    K = torch.tensor([[100.0, 0, 32], [0, 100, 32], [0, 0, 1]], dtype=torch.float64).expand(B, 3, 3)
    target = normalise_joints(cam, K)
    px = cam @ K.mT
    omega = crop_box(px[..., :2] / px[..., 2:])[:, 2] / 32
    assert articulation_loss(target * omega[:, None, None] + 0.1, target, omega) < 1e-20


def test_shape_loss_equals_a_loop(generator):
    seen, mask = randn(generator, B, 4, 4), randn(generator, B, 4, 4)
    weight = torch.tensor([1.0, 0.0, 0.5], dtype=torch.float64)
    cells = [(r, c) for r in range(4) for c in range(4)]
    slow = mean_of(weight[n] * mean_of((seen[n][cell] - mask[n][cell]) ** 2 for cell in cells) for n in range(B))
    same(shape_loss(seen, mask, weight), slow, seen, mask)


def test_instances_that_are_switched_off_do_not_pull(generator):
    seen, mask = randn(generator, B, 4, 4), randn(generator, B, 4, 4)
    shape_loss(seen, mask, torch.tensor([1.0, 0.0, 1.0], dtype=torch.float64)).backward()
    assert not seen.grad[1].any() and seen.grad[0].any() and seen.grad[2].any()


def test_switch_looks_at_each_instance_and_at_the_mean_distance():
    """Eq. 12: errors of 3-4-5 triangles. One joint far off is as bad as all of them a little off."""
    target = torch.zeros(4, 21, 2)
    joints = target.clone()
    joints[1] = torch.tensor([0.3, 0.4])
    joints[2, 0] = torch.tensor([21 * 0.3, 21 * 0.4])
    joints[3] = torch.tensor([0.33, 0.44])
    assert shape_weight(joints, target, 0.5 + 1e-6).tolist() == [1, 1, 1, 0]
    assert shape_weight(joints, target, 0.49).tolist() == [1, 0, 0, 0]


def test_switch_includes_the_threshold():
    assert shape_weight(torch.ones(1, 21, 2) * torch.tensor([0.5, 0.0]), torch.zeros(1, 21, 2), 0.5).tolist() == [1]


def test_laplacian_loss_equals_a_loop(lead, generator):
    vertices, laplacian = randn(generator, *lead, 5, 3), randn(generator, 5, 5)
    lengths = []
    for mesh in vertices.reshape(-1, 5, 3):
        for i in range(5):
            total = sum(laplacian[i, j] * mesh[j] for j in range(5))
            lengths.append((total[0] ** 2 + total[1] ** 2 + total[2] ** 2) ** 0.5)
    same(laplacian_loss(vertices, laplacian), mean_of(lengths), vertices)


def test_laplacian_loss_of_a_point_has_a_gradient():
    vertices = torch.zeros(5, 3, requires_grad=True)
    laplacian_loss(vertices, torch.eye(5)).backward()
    assert torch.isfinite(vertices.grad).all()


def test_reprojection_loss_equals_a_loop(generator):
    a, b = randn(generator, B, 21, 2), randn(generator, B, 21, 2)
    cells = [(n, j, c) for n in range(B) for j in range(21) for c in range(2)]
    same(reprojection_loss(a, b), mean_of((a[cell] - b[cell]) ** 2 for cell in cells), a, b)


# ---- Eq. 7


def total_of(model, batch, weights=None):
    return dhpe_loss(model, model(batch["image"]), batch["image"], batch, weights or LossWeights())


def test_total_is_the_weighted_sum_of_its_terms(trained, batch):
    weights = LossWeights()
    loss, log = total_of(trained.model, batch)
    loss = loss.detach()
    parts = sum(getattr(weights, f.name) * log[f.name] for f in fields(weights) if f.name in log)
    assert float(loss) == pytest.approx(parts, rel=1e-5)
    assert float(loss) == pytest.approx(log["loss"])
    assert {"articulation", "shape", "laplacian", "feature", "heatmap", "refiner", "reprojection"} <= log.keys()


def test_terms_are_those_of_the_equations(trained, batch):
    """Each logged term, from the outputs of the network, step by step."""
    model = trained.model
    with torch.no_grad():
        out = model(batch["image"])
        _, log = total_of(model, batch, LossWeights(scheduled=False))
        joints = batch["joints_px"] / 32 - 1
        omega = crop_box(batch["joints_px"])[:, 2] / 32
        target = normalise_joints(batch["joints_cam"], batch["K"])
        steps = out.history[1:]
        wanted = {
            "articulation": mean_of(articulation_loss(s.joints, target, omega) for s in steps),
            "reprojection": mean_of(((s.joints[..., :2] - joints) ** 2).mean() for s in steps),
            "refiner": sum(((s.evidence_2d - joints) ** 2).mean() for s in steps),
            "shape": ((model.render_mask(out.mesh_crop.vertices) - batch["mask"]) ** 2).mean(),
            "heatmap": ((out.heatmaps - target_heatmaps(joints, 16)) ** 2).mean(),
            "feature": feature_loss(out.features, model.feature_extractor(batch["image"] * batch["mask"][:, None])),
            "laplacian": laplacian_loss(out.vertices, model.laplacian),
            "shape_prior": (MeshParameters.split(out.h).shape ** 2).mean(),
        }
    for name, value in wanted.items():
        assert log[name] == pytest.approx(float(value), rel=1e-4, abs=1e-7), name


def test_schedule_switches_the_shape_term(trained, batch):
    _, never = total_of(trained.model, batch, LossWeights(threshold_px=0.0))
    _, always = total_of(trained.model, batch, LossWeights(threshold_px=1e6))
    _, constant = total_of(trained.model, batch, LossWeights(threshold_px=0.0, scheduled=False))
    assert never["shape"] == 0 and never["under_threshold"] == 0
    assert always["shape"] > 0 and always["under_threshold"] == 1
    assert constant["shape"] == pytest.approx(always["shape"])


def test_twice_the_batch_is_the_same_loss(trained, batch):
    twice = {key: torch.cat([value, value]) for key, value in batch.items()}
    weights = LossWeights(threshold_px=60.0)
    _, log = total_of(trained.model, batch, weights)
    _, doubled_log = total_of(trained.model, twice, weights)
    assert doubled_log["loss"] == pytest.approx(log["loss"], rel=1e-4)
    assert doubled_log == pytest.approx(log, rel=1e-3, abs=1e-7)


def test_without_the_refiner_its_term_is_nothing(batch):
    from handlib import DHPE, DHPEConfig

    config = DHPEConfig(size=64, feature_width=4, features=16, pose_width=4, hidden=8, pose_refiner=False)
    _, log = total_of(DHPE(config).eval(), batch)
    assert log["refiner"] == 0 and log["reprojection"] > 0


@pytest.mark.parametrize(
    "term, parts",  # which part of the network a term teaches
    [
        ("heatmap", {"pose_network"}),
        ("articulation", {"feature_extractor", "regressor"}),
        ("shape", {"feature_extractor", "regressor"}),
        ("feature", {"feature_extractor"}),
        ("refiner", {"feature_extractor", "regressor"}),
    ],
)
def test_each_term_teaches_its_part(batch, term, parts):
    from handlib import DHPE, DHPEConfig

    torch.manual_seed(0)
    model = DHPE(DHPEConfig(size=64, feature_width=4, features=16, pose_width=4, hidden=8))
    nothing = {f.name: 0.0 for f in fields(LossWeights) if f.type is float or f.type == "float"}
    weights = replace(LossWeights(**nothing | {"threshold_px": 1e6}), **{term: 1.0})
    total_of(model, batch, weights)[0].backward()
    taught = {name.split(".")[0] for name, w in model.named_parameters() if w.grad is not None and w.grad.any()}
    assert taught == parts
