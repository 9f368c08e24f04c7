import math
from dataclasses import fields, replace

import pytest
import torch
from torch.autograd import gradcheck

from handlib import DHPE, DHPEConfig
from handlib.camera import crop_box, crop_to_cam, normalize_joints, project
from handlib.evidence import target_heatmaps
from handlib.hand.joints import MIDDLE_MCP
from handlib.losses import (
    LossWeights,
    articulation_loss,
    feature_loss,
    filled_from_root,
    heatmap_loss,
    laplacian_loss,
    refiner_loss,
    relative_vertices,
    reprojection_loss,
    shape_loss,
    shape_weight,
    vertex_loss,
)
from handlib.parameters import MeshParameters, posed_hand
from handlib.training.loss import dhpe_loss

B = 3
TINY = DHPEConfig(size=64, feature_width=4, features=16, pose_width=4, hidden=8)


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
    target = normalize_joints(cam, K)
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


def test_vertex_loss_equals_a_loop(generator):
    vertices, root, target = randn(generator, B, 4, 3), randn(generator, B, 3), randn(generator, B, 4, 3)
    cells = [(n, v, c) for n in range(B) for v in range(4) for c in range(3)]
    slow = mean_of((vertices[n, v, c] - root[n, c] - target[n, v, c]) ** 2 for n, v, c in cells)
    same(vertex_loss(vertices, root, target), slow, vertices, root)


def test_relative_vertices_are_the_inverse_of_the_inverse_normalization(generator):
    """Points of a crop, taken to the camera frame as an estimate is at test time, come back as they were."""
    size = 64
    K = torch.tensor([[100.0, 0, 32], [0, 100, 30], [0, 0, 1]], dtype=torch.float64).expand(B, 3, 3)
    points = torch.rand(B, 6, 3, generator=generator, dtype=torch.float64) - 0.5
    depth = torch.tensor([0.4, 0.6, 0.9], dtype=torch.float64)
    cam = crop_to_cam(points, points[:, 0], depth, K, size)
    torch.testing.assert_close(relative_vertices(cam, cam[:, 0], K, size), points - points[:, :1])


@pytest.mark.parametrize("depth", [0.0, -0.5])
def test_what_is_not_in_front_of_the_camera_is_unknown(depth, generator):
    K = torch.tensor([[100.0, 0, 32], [0, 100, 30], [0, 0, 1]]).expand(2, 3, 3)
    cam = 0.1 * torch.rand(2, 6, 3, generator=generator) + torch.tensor([0, 0, 0.5])
    root = cam[:, 5].clone()
    root[0, 2] = cam[1, 3, 2] = depth
    relative = relative_vertices(cam, root, K, 64)
    assert relative.isnan().any(-1).tolist() == [[True] * 6, [False, False, False, True, False, False]]
    known = [0, 1, 2, 4, 5]
    alone = relative_vertices(cam[1:, known], root[1:], K[1:], 64)
    torch.testing.assert_close(relative[1:, known], alone)
    torch.testing.assert_close(vertex_loss(cam, root, relative), vertex_loss(cam[1:, known], root[1:], alone))


@pytest.mark.parametrize("unknown", [0.0, -1.0, math.nan])
def test_a_hand_without_an_extent_is_left_out(unknown, generator):
    joints, target = randn(generator, B, 21, 3), randn(generator, B, 21, 3).detach()
    omega = torch.tensor([0.7, unknown, 1.2], dtype=torch.float64)
    same(articulation_loss(joints, target, omega), articulation_loss(joints[::2], target[::2], omega[::2]), joints)


# ---- what is not known


def test_unknown_joints_are_left_out_of_the_means(generator):
    """Each loss equals the mean over the known joints, and its gradient is 0 at the others, never NaN."""
    known = [(n, j) for n in range(B) for j in range(21) if (n + j) % 3]
    joints, flat, maps = randn(generator, B, 21, 3), randn(generator, B, 21, 2), randn(generator, B, 21, 3, 3)
    target = torch.full((B, 21, 3), torch.nan, dtype=torch.float64)
    for cell in known:
        target[cell] = torch.randn(3, generator=generator, dtype=torch.float64)
    omega = torch.rand(B, generator=generator, dtype=torch.float64) + 0.5
    slow = mean_of(
        ((joints[n, j, c] - joints[n, MIDDLE_MCP, c]) / omega[n] - target[n, j, c]) ** 2
        for n, j in known
        for c in range(3)
    )
    same(articulation_loss(joints, target, omega), slow, joints)

    def slow_2d(factor):
        return mean_of((factor * flat[n, j, c] - target[n, j, c]) ** 2 for n, j in known for c in range(2))

    same(reprojection_loss(flat, target[..., :2]), slow_2d(1), flat)
    same(refiner_loss([flat, 2 * flat], target[..., :2]), slow_2d(1) + slow_2d(2), flat)
    truth = target_heatmaps(target[..., :2], 3)
    slow = mean_of((maps[n, j, r, c] - truth[n, j, r, c]) ** 2 for n, j in known for r in range(3) for c in range(3))
    same(heatmap_loss(maps, target[..., :2]), slow, maps)
    root = randn(generator, B, 3)
    slow = mean_of((joints[n, j, c] - root[n, c] - target[n, j, c]) ** 2 for n, j in known for c in range(3))
    same(vertex_loss(joints, root, target), slow, joints, root)


def test_instances_without_a_mask_are_left_out(generator):
    seen, mask = randn(generator, B, 4, 4), randn(generator, B, 4, 4).detach()
    mask[1] = torch.nan
    weight = torch.tensor([1.0, 1.0, 0.5], dtype=torch.float64)
    same(shape_loss(seen, mask, weight), shape_loss(seen[::2], mask[::2], weight[::2]), seen)
    a, b = randn(generator, B, 5), randn(generator, B, 5)
    same(feature_loss(a, b, torch.tensor([True, False, True])), feature_loss(a[::2], b[::2]), a, b)


def test_where_nothing_is_known_there_is_nothing_to_learn(generator):
    joints, maps, seen = randn(generator, B, 21, 3), randn(generator, B, 21, 3, 3), randn(generator, B, 4, 4)
    nothing = torch.full((B, 21, 3), torch.nan, dtype=torch.float64)
    omega = torch.full((B,), torch.nan, dtype=torch.float64)
    total = (
        articulation_loss(joints, nothing, omega)
        + reprojection_loss(joints[..., :2], nothing[..., :2])
        + refiner_loss([joints[..., :2]], nothing[..., :2])
        + heatmap_loss(maps, nothing[..., :2])
        + vertex_loss(joints, joints[:, 0], nothing)
        + shape_loss(seen, torch.full((B, 4, 4), torch.nan, dtype=torch.float64), omega.new_ones(B))
        + feature_loss(maps[:, 0, 0], maps[:, 1, 0], torch.zeros(B, dtype=torch.bool))
    )
    assert total == 0
    assert not any(gradient.any() for gradient in torch.autograd.grad(total, (joints, maps, seen)))
    assert shape_weight(joints[..., :2], nothing[..., :2], 1e9).tolist() == [0] * B


def test_of_no_hands_every_loss_is_0():
    joints, flat, maps, one = (torch.zeros(0, *shape) for shape in ((21, 3), (21, 2), (21, 4, 4), ()))
    losses = (
        articulation_loss(joints, joints, one),
        reprojection_loss(flat, flat),
        refiner_loss([flat], flat),
        heatmap_loss(maps, flat),
        vertex_loss(joints, joints[:, 0], joints),
        shape_loss(maps[:, 0], maps[:, 0], one),
        feature_loss(flat[:, 0], flat[:, 0]),
        laplacian_loss(joints, torch.eye(21)),
    )
    assert [loss.item() for loss in losses] == [0] * len(losses)


def test_an_estimate_that_is_nan_is_not_taken_for_unknown(generator):
    """A diverged network must show."""
    joints, target = randn(generator, B, 21, 2).detach(), randn(generator, B, 21, 2)
    joints[0, 0, 0] = torch.nan
    assert reprojection_loss(joints, target).isnan()
    assert shape_weight(joints, target, 1e9).tolist() == [0, 1, 1]


def test_switch_takes_the_mean_over_the_known_joints():
    target = torch.full((2, 21, 2), torch.nan)
    target[:, :5] = 0
    joints = torch.zeros(2, 21, 2)
    joints[0, :5], joints[0, 5:] = torch.tensor([0.3, 0.4]), 100
    joints[1, 0] = torch.tensor([5 * 0.33, 5 * 0.44])
    assert shape_weight(joints, target, 0.5 + 1e-6).tolist() == [1, 0]


def test_filling_keeps_the_box_of_the_known_joints(generator):
    joints = randn(generator, B, 21, 2).detach()
    joints[0, [0, 4, 7]] = torch.nan
    low, high = joints[0].nan_to_num(torch.inf).amin(0), joints[0].nan_to_num(-torch.inf).amax(0)
    filled = filled_from_root(joints)
    torch.testing.assert_close(crop_box(filled)[0, 2], 1.5 * (high - low).max())
    assert torch.equal(filled[1:], joints[1:])


# ---- derivatives, against finite differences


def double(generator, *shape):
    return torch.rand(*shape, generator=generator, dtype=torch.float64, requires_grad=True)


def test_gradients_of_every_loss(generator):
    joints, flat, maps = double(generator, 2, 21, 3), double(generator, 2, 21, 2), double(generator, 2, 21, 3, 3)
    target = torch.rand(2, 21, 3, generator=generator, dtype=torch.float64)
    target[0, 3], target[1, 20] = torch.nan, torch.nan
    omega = torch.tensor([1.5, 2.0], dtype=torch.float64)
    seen, mask = double(generator, 2, 4, 4), double(generator, 2, 4, 4).detach()
    mask[1] = torch.nan
    features, masked = double(generator, 2, 5), double(generator, 2, 5)
    laplacian = torch.rand(21, 21, generator=generator, dtype=torch.float64)
    assert gradcheck(lambda x: articulation_loss(x, target, omega), joints)
    assert gradcheck(lambda x: reprojection_loss(x, target[..., :2]), flat)
    assert gradcheck(lambda x: refiner_loss([x, x**2], target[..., :2]), flat)
    assert gradcheck(lambda x: heatmap_loss(x, target[..., :2]), maps)
    assert gradcheck(lambda x: shape_loss(x, mask, omega), seen)
    assert gradcheck(feature_loss, (features, masked))
    assert gradcheck(lambda x: laplacian_loss(x, laplacian), joints)
    assert gradcheck(lambda x, y: vertex_loss(x, y, target), (joints, double(generator, 2, 3)))


# ---- Eq. 7


def total_of(model, batch, weights=None):
    """The loss, and its log as numbers."""
    loss, log = dhpe_loss(model, model(batch["image"]), batch["image"], batch, weights or LossWeights())
    assert not any(value.requires_grad for value in log.values())
    return loss, {name: value.item() for name, value in log.items()}


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
        target = normalize_joints(batch["joints_cam"], batch["K"])
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


@pytest.mark.parametrize(
    "options, missing",
    [({"pose_refiner": False}, {"refiner"}), ({"pose_refiner": False, "evidence_2d": False}, {"refiner", "heatmap"})],
    ids=["no refiner", "no 2D evidence"],
)
def test_a_network_without_a_part_has_no_term_for_it(batch, options, missing):
    _, full = total_of(DHPE(TINY).eval(), batch)
    _, log = total_of(DHPE(replace(TINY, **options)).eval(), batch)
    assert {name for name in full if full[name] and not log[name]} == missing


def test_terms_without_weight_are_not_computed(trained, batch):
    _, log = total_of(trained.model, batch, LossWeights(shape=0.0, feature=0.0, laplacian=0.0, scheduled=False))
    _, full = total_of(trained.model, batch, LossWeights(scheduled=False))
    assert full.keys() == log.keys()
    assert {name for name in full if full[name] and not log[name]} == {"shape", "feature", "laplacian"}
    assert log["under_threshold"] == full["under_threshold"] and log["articulation"] == full["articulation"]


def test_vertex_term(trained, batch):
    """From the outputs: crop units, relative to the middle MCP. Not computed unless asked for, nor without meshes."""
    model, weights = trained.model, LossWeights(vertices=3.0)
    loss, log = total_of(model, batch, weights)
    plain, without = total_of(model, batch)
    assert without["vertices"] == 0
    assert float(loss.detach() - plain.detach()) == pytest.approx(3 * log["vertices"], rel=1e-3)
    with torch.no_grad():
        mesh = model(batch["image"]).mesh_crop
    root = batch["joints_cam"][:, MIDDLE_MCP]
    wanted = 0
    for n in range(4):
        both = torch.cat([batch["vertices_cam"][n], root[n : n + 1]])
        px = project(both, batch["K"][n]) / 32
        focal = (batch["K"][n, 0, 0] + batch["K"][n, 1, 1]) / 2
        depth = (both[:, 2:] - root[n, 2]) * focal / root[n, 2] / 32
        truth = torch.cat([px - px[-1], depth], 1)[:-1]
        wanted += (mesh.vertices[n] - mesh.joints[n, MIDDLE_MCP] - truth).square().mean() / 4
    assert log["vertices"] == pytest.approx(float(wanted), rel=1e-4)
    without_meshes = {key: value for key, value in batch.items() if key != "vertices_cam"}
    assert total_of(model, without_meshes, weights)[1]["vertices"] == 0


def test_batch_without_masks(trained, batch):
    """`collate` leaves the field out where a data set has none, such as STB."""
    weights = LossWeights(scheduled=False)
    _, log = total_of(trained.model, {key: value for key, value in batch.items() if key != "mask"}, weights)
    _, wanted = total_of(trained.model, batch, weights)
    assert log["shape"] == log["feature"] == 0 and wanted["shape"] > 0 and wanted["feature"] > 0
    for name in log.keys() - {"shape", "feature", "loss"}:
        assert log[name] == pytest.approx(wanted[name], rel=1e-5), name


def test_a_hand_of_which_nothing_is_known_changes_no_term(trained, batch):
    """As from a data set without masks, meshes and 3D: finite, with finite gradients, and silent."""
    model, weights = trained.model, LossWeights(vertices=1.0, threshold_px=1e6)
    three = {key: value[:3] for key, value in batch.items()}
    four = {key: value.clone() for key, value in batch.items()}
    for key in ("mask", "joints_px", "joints_cam", "vertices_cam"):
        four[key][3] = torch.nan
    model.requires_grad_(True)
    loss, log = total_of(model, four, weights)
    loss.backward()
    assert all(math.isfinite(value) for value in log.values())
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in model.parameters())
    model.zero_grad(set_to_none=True)
    _, wanted = total_of(model, three, weights)
    for name in log.keys() - {"loss", "laplacian", "shape_prior", "under_threshold"}:  # these need no truth
        assert log[name] == pytest.approx(wanted[name], rel=1e-4), name
    assert log["under_threshold"] == pytest.approx(0.75)


def test_a_hand_of_which_the_tips_alone_are_known(trained, batch):
    """As in Dexter+Object: no root, so nothing for Eq. 8, but five joints for the 2D losses."""
    tips = {key: value.clone() for key, value in batch.items()}
    hidden = torch.tensor([j for j in range(21) if j not in (4, 8, 12, 16, 20)])
    for key in ("joints_px", "joints_cam"):
        tips[key][:, hidden] = torch.nan
    with torch.no_grad():
        _, log = total_of(trained.model, tips, LossWeights(vertices=1.0, threshold_px=1e6))
    assert log["articulation"] == 0 and log["reprojection"] > 0 and log["heatmap"] > 0 and log["under_threshold"] == 1
    assert all(math.isfinite(value) for value in log.values())


def test_images_larger_than_the_network_takes(trained, batch):
    """The losses follow the size of the batch, not of the network: nearly the same at twice the resolution."""

    def doubled(x):
        return torch.nn.functional.interpolate(x, scale_factor=2, mode="bilinear")

    large = batch | {"image": doubled(batch["image"]), "mask": doubled(batch["mask"][:, None])[:, 0]}
    zoom = torch.tensor([2.0, 2.0, 1.0])[:, None]
    large |= {"joints_px": 2 * batch["joints_px"], "K": zoom * batch["K"]}
    with torch.no_grad():
        _, log = total_of(trained.model, large, LossWeights(scheduled=False, vertices=1.0))
        _, wanted = total_of(trained.model, batch, LossWeights(scheduled=False, vertices=1.0))
    for name in wanted.keys() - {"refiner", "loss"}:  # which follow the peaks, and those of flat heat maps jump
        assert log[name] == pytest.approx(wanted[name], rel=0.05, abs=2e-3), name


def test_the_networks_alone_are_rounded_under_autocast(trained, batch):
    """Geometry stays in single precision: the mesh of an estimate is exactly that of its h."""
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        output = trained.model(batch["image"])
        _, log = dhpe_loss(trained.model, output, batch["image"], batch, LossWeights(scheduled=False))
    assert {output.h.dtype, output.vertices.dtype, output.features.dtype, log["loss"].dtype} == {torch.float32}
    torch.testing.assert_close(posed_hand(trained.model.hand, output.h).vertices, output.mesh_crop.vertices)
    with torch.no_grad():
        _, wanted = total_of(trained.model, batch, LossWeights(scheduled=False))
    for name in ("heatmap", "feature", "laplacian"):  # the others follow the peaks, and those of flat maps jump
        assert float(log[name]) == pytest.approx(wanted[name], rel=0.05, abs=1e-3), name


@pytest.mark.parametrize(
    "term, parts",  # which part of the network a term teaches
    [
        ("heatmap", {"pose_network"}),
        ("articulation", {"feature_extractor", "regressor"}),
        ("shape", {"feature_extractor", "regressor"}),
        ("feature", {"feature_extractor"}),
        ("refiner", {"feature_extractor", "regressor"}),
        ("vertices", {"feature_extractor", "regressor"}),
    ],
)
def test_each_term_teaches_its_part(batch, term, parts):
    torch.manual_seed(0)
    model = DHPE(TINY)
    nothing = {f.name: 0.0 for f in fields(LossWeights) if f.type is float or f.type == "float"}
    weights = replace(LossWeights(**nothing | {"threshold_px": 1e6}), **{term: 1.0})
    total_of(model, batch, weights)[0].backward()
    taught = {name.split(".")[0] for name, w in model.named_parameters() if w.grad is not None and w.grad.any()}
    assert taught == parts
