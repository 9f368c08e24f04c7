"""The loss of a training (Eq. 7): its terms together, on rendered hands."""

import math
from dataclasses import fields, replace

import pytest
import torch
from losses_in_loops import mean_of

from handlib import DHPE, DHPEConfig
from handlib.camera import crop_box, normalize_joints, project
from handlib.evidence import target_heatmaps
from handlib.hand.joints import MIDDLE_MCP
from handlib.losses import LossWeights, articulation_loss, feature_loss, laplacian_loss
from handlib.parameters import MeshParameters, posed_hand
from handlib.training.loss import dhpe_loss

TINY = DHPEConfig(size=64, feature_width=4, features=16, pose_width=4, hidden=8)


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
        _, log = total_of(model, batch, LossWeights(scheduled=False, feature_scaled=False))
        joints = batch["joints_px"] / 32 - 1
        omega = crop_box(batch["joints_px"])[:, 2] / 32
        target = normalize_joints(batch["joints_cam"], batch["K"])
        steps = out.history[1:]
        masked = model.feature_extractor(batch["image"] * batch["mask"][:, None])
        wanted = {
            "articulation": mean_of(articulation_loss(s.joints, target, omega) for s in steps),
            "reprojection": mean_of(((s.joints[..., :2] - joints) ** 2).mean() for s in steps),
            "refiner": sum(((s.evidence_2d - joints) ** 2).mean() for s in steps),
            "shape": ((model.render_mask(out.mesh_crop.vertices) - batch["mask"]) ** 2).mean(),
            "heatmap": ((out.heatmaps - target_heatmaps(joints, 16)) ** 2).mean(),
            "feature": feature_loss(out.features, masked),
            "feature_joints": ((model.feature_head(out.features).view(-1, 21, 3) - target) ** 2).mean(),
            "laplacian": laplacian_loss(out.vertices, model.laplacian),
            "shape_prior": (MeshParameters.split(out.h).shape ** 2).mean(),
        }
    for name, value in wanted.items():
        assert log[name] == pytest.approx(float(value), rel=1e-4, abs=1e-7), name
    with torch.no_grad():
        scaled = total_of(model, batch, LossWeights())[1]["feature"]
    assert scaled == pytest.approx(float(feature_loss(out.features, masked, scaled=True)), rel=1e-4)


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
        weights = LossWeights(scheduled=False, vertices=1.0, feature_scaled=False)  # the ratio of an untrained F jumps
        _, log = total_of(trained.model, large, weights)
        _, wanted = total_of(trained.model, batch, weights)
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
