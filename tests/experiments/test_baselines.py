"""Each baseline learns or fits a handful of hands; the interface, the trainer and the loop that measures them."""

import importlib
import json
import math
import pickle
from dataclasses import replace
from functools import partial
from tempfile import TemporaryDirectory

import pytest
import torch
from miniatures import posenet_arrays

from handlib import DHPE, MeshParameters
from handlib.camera import px_to_crop
from handlib.data import CachedHands, SyntheticHands
from handlib.dhpe import DHPEConfig
from handlib.evaluation.evaluate import evaluate
from handlib.evaluation.metrics import align, joint_errors_mm
from handlib.evidence import target_heatmaps
from handlib.experiments.baselines import (
    BASELINES,
    DHPEMethod,
    FitOptions,
    best_learning_rate,
    measure,
    predictions,
    train_network,
    view_of,
)
from handlib.experiments.baselines.direct import direct
from handlib.experiments.baselines.encoder_decoder import EncoderDecoder
from handlib.experiments.baselines.handsegnet import HandSegNet
from handlib.experiments.baselines.interface import SCALE_BONE, detect, estimate_of
from handlib.experiments.baselines.kanazawa import kanazawa
from handlib.experiments.baselines.panteleris import Panteleris
from handlib.experiments.baselines.pso import ParticleSwarm
from handlib.experiments.baselines.segmentation import equal_width, parameters
from handlib.experiments.baselines.zimmermann import Zimmermann, canonical
from handlib.hand.joints import MIDDLE_MCP
from handlib.losses import LossWeights, heatmap_loss
from handlib.networks.pose_machine import PoseMachine
from handlib.networks.pretrained import read_posenet
from handlib.training.train import Trainer, preset, read_log

training = importlib.import_module("handlib.experiments.baselines.training")
SMALL = preset("smoke").model


@pytest.fixture(scope="module")
def data(trained) -> CachedHands:
    return CachedHands.make(SyntheticHands("val", 64, 16), folder=trained.cache, progress=False)


@pytest.fixture(scope="module")
def few(data) -> CachedHands:
    return CachedHands({key: value[:8] for key, value in data.tensors.items()}, "few")


@pytest.fixture
def options(few) -> FitOptions:
    return FitOptions(data=(few, few), progress=False)


class TrueHeatmaps(torch.nn.Module):
    """A J2D that is always right: it recognizes the pictures of a data set and knows where their joints are."""

    def __init__(self, data: CachedHands):
        super().__init__()
        self.truth = data.batch(torch.arange(len(data)))

    def stages(self, images):
        return [self(images)]

    def forward(self, images):
        row = (images[:, None] - self.truth["image"]).abs().mean((2, 3, 4)).argmin(1)
        return target_heatmaps(px_to_crop(self.truth["joints_px"][row], 64), 16)


@pytest.fixture(scope="module")
def detector(few) -> DHPE:
    model = DHPE(SMALL).eval()
    model.pose_network = TrueHeatmaps(few)
    return model


# ---- the interface


def test_a_view_holds_what_protocols_give_away(few):
    batch = few.batch(torch.arange(3))
    view = view_of(batch)
    assert view._fields == ("images", "K", "root_depth", "bone_length")
    for i, joints in enumerate(batch["joints_cam"]):
        assert float(view.root_depth[i]) == float(joints[MIDDLE_MCP, 2])
        assert float(view.bone_length[i]) == pytest.approx(math.dist(*(joints[j].tolist() for j in SCALE_BONE)))


def test_dhpe_behind_the_interface_scores_what_evaluate_says(trained, data):
    assert measure(DHPEMethod(trained.model), data, progress=False) == pytest.approx(
        evaluate(trained.model, data, progress=False), rel=1e-4
    )


def test_refinement_behind_the_interface(trained, few):
    found = measure(DHPEMethod(trained.model, 3), few, progress=False)
    assert found == pytest.approx(evaluate(trained.model, few, 3, progress=False), rel=1e-4)


def test_batches_do_not_matter(trained, data):
    a, b = (predictions(DHPEMethod(trained.model), data, n, progress=False) for n in (3, 16))
    torch.testing.assert_close(a["joints_mm"], b["joints_mm"], rtol=1e-3, atol=1e-2)
    assert torch.equal(a["target"], b["target"])


def test_detected_joints(detector, few):
    batch = few.batch(torch.arange(8))
    joints, confidence = detect(detector, batch["image"])
    assert (joints - px_to_crop(batch["joints_px"], 64)).abs().mean() < 0.02
    assert confidence.min() >= 0.05 and confidence.max() <= 1


@pytest.mark.parametrize("name", [name for name, b in BASELINES.items() if not b.trained])
def test_model_fitting_needs_a_detector(name, tmp_path):
    with pytest.raises(ValueError, match="pass FitOptions"):
        BASELINES[name].fit(preset("smoke"), tmp_path)


# ---- every baseline by the one call that the tables make


@pytest.mark.parametrize("name", BASELINES)
def test_each_is_fitted_and_measured_by_the_same_calls(name, trained, few, detector, tmp_path):
    """It answers what it promises, and evaluation finds exactly these scores."""
    baseline = BASELINES[name]
    config = preset("smoke", epochs=1, images=8, val_images=4, lifting_steps=2)
    options = FitOptions(cache=trained.cache, detector=detector, progress=False)
    method = baseline.fit(config, tmp_path, options)
    if name == "pso":
        method.config = replace(method.config, particles=16, generations=2)
    if name == "panteleris":
        method.starts, method.iterations = 2, 2
    two = CachedHands({key: value[:2] for key, value in few.tensors.items()}, "two")
    answer = method.predict(view_of(two.batch(torch.arange(2))))
    assert {field for field, value in answer._asdict().items() if value is not None} == set(baseline.gives)
    scores = measure(method, two, progress=False)
    assert all(math.isfinite(value) for value in scores.values())
    assert ("joints_root_mean_mm" in scores) == ("joints_cam" in baseline.gives)
    assert ("vertices_procrustes_mean_mm" in scores) == ("vertices_cam" in baseline.gives)
    assert ("mean_iou" in scores) == ("mask" in baseline.gives)
    assert bool(list(tmp_path.iterdir())) == baseline.trained


def overfit(network, few, config):
    """The network after some steps on the same few pictures, and the loss terms of its first and last epoch."""
    with TemporaryDirectory() as folder:
        network = train_network(lambda: network, config, folder, FitOptions(data=(few, few), progress=False))
        rows = read_log(folder)
    return network, rows[0], rows[-1]


def steps(epochs, rate):
    return preset("smoke", epochs=epochs, batch_size=8, color_jitter=0.0, learning_rate=rate)


def test_zimmermann_learns(few):
    """Every term falls, in one run."""
    torch.manual_seed(0)
    _, first, last = overfit(Zimmermann(SMALL, LossWeights()), few, steps(20, 3e-3))
    for term, share in (("heatmap", 0.75), ("canonical", 0.3), ("rotation", 0.95)):
        assert last[term] < share * first[term], term


def test_zimmermann_can_start_from_a_trained_j2d(options, tmp_path):
    trained, path = DHPE(preset("smoke").model), tmp_path / "trained.safetensors"
    trained.save(path)
    config = preset("smoke", init_pose=str(path), epochs=1, learning_rate=0.0, weight_decay=0.0)
    network = BASELINES["zimmermann"].fit(config, tmp_path / "run", options)
    theirs = dict(trained.pose_network.named_parameters())
    assert all(torch.equal(value, theirs[name]) for name, value in network.pose_network.named_parameters())


def test_lifting_overfits(detector, few):
    """From heat maps that are right, both lifting networks learn a few hands by heart."""
    batch = few.batch(torch.arange(4))
    torch.manual_seed(0)
    network = Zimmermann(replace(SMALL, pose_width=4), LossWeights()).eval()  # no dropout
    network.pose_network = detector.pose_network
    optimizer = torch.optim.AdamW([*network.pose_prior.parameters(), *network.viewpoint.parameters()], 2e-3)
    for _ in range(140):
        loss = network.loss(batch["image"], batch)[0]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    found = network.predict(view_of(batch)).joints_cam
    assert joint_errors_mm(align(found, batch["joints_cam"]), batch["joints_cam"]).mean() < 20


@pytest.mark.parametrize("make", [HandSegNet, EncoderDecoder])
def test_segmentation_overfits(few, make):
    torch.manual_seed(0)
    four = CachedHands({key: value[:4] for key, value in few.tensors.items()}, "four")
    network, first, last = overfit(make(64, 6), four, steps(35, 1e-2))
    assert last["loss"] < 0.6 * first["loss"]
    found = measure(network, four, progress=False)
    assert found["mean_iou"] > 0.55 and found.keys() == {
        "pixel_accuracy", "mean_accuracy", "mean_iou", "frequency_weighted_iou",
    }  # fmt: skip


# ---- configs of DHPE


def test_kanazawa_has_no_joints_and_no_loss_of_them():
    """Nor a stage that would teach them; all else is as it was."""
    config = preset("laptop")
    changed = kanazawa(config)
    assert not changed.model.evidence_2d and not changed.model.pose_refiner
    assert changed.loss.feature == changed.loss.heatmap == changed.loss.refiner == 0
    assert changed.loss.articulation == config.loss.articulation and changed.loss.shape == config.loss.shape
    assert changed.evidence_epochs == changed.lifting_steps == 0
    assert (changed.epochs, changed.images) == (config.epochs, config.images)


def test_kanazawa_cannot_find_joints(few):
    model = DHPE(kanazawa(preset("smoke")).model)
    with pytest.raises(ValueError, match="has no J2D"):
        detect(model, few.batch(torch.arange(2))["image"])


def test_direct_differs_from_dhpe_by_its_steps_alone():
    config = preset("laptop")
    changed = direct(config)
    assert (changed.model.iterations, changed.model.pose_refiner) == (1, False)
    assert replace(changed, model=replace(changed.model, iterations=3, pose_refiner=True)) == config


# ---- Zimmermann & Brox


def test_canonical_frame(generator, lead):
    """Invariant under a turn, a shift and a scale of the hand; its axes are where the docstring says."""
    joints = torch.randn(*lead, 21, 3, generator=generator)
    found, rotation = canonical(joints)
    torch.testing.assert_close(torch.linalg.det(rotation), torch.ones(lead))
    torch.testing.assert_close(found[..., 0, :], torch.zeros(*lead, 3))
    torch.testing.assert_close(found[..., MIDDLE_MCP, [0, 2]], torch.zeros(*lead, 2), atol=1e-5, rtol=0)
    assert (found[..., MIDDLE_MCP, 1] > 0).all() and (found[..., 17, 0] > 0).all()
    torch.testing.assert_close(found[..., 17, 2], torch.zeros(lead), atol=1e-5, rtol=0)
    torch.testing.assert_close((found[..., 9, :] - found[..., 10, :]).norm(dim=-1), torch.ones(lead))
    turn = torch.linalg.qr(torch.randn(3, 3, generator=generator))[0]
    turn = turn * torch.linalg.det(turn)
    moved, turned = canonical(2 * joints @ turn.mT + 1)
    torch.testing.assert_close(moved, found, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(turned @ turn, rotation, atol=1e-4, rtol=1e-4)


def test_zimmermann_undoes_its_frame(few, monkeypatch):
    """Given the truth in the canonical frame, it answers the truth, up to the depth that the crop does not show."""
    batch = few.batch(torch.arange(4))
    network = Zimmermann(SMALL, LossWeights()).eval()
    heatmaps = network(batch["image"])[0]
    monkeypatch.setattr(network, "forward", lambda images: (heatmaps, *canonical(batch["joints_cam"])))
    found, truth = network.predict(view_of(batch)).joints_cam, batch["joints_cam"]
    root = slice(MIDDLE_MCP, MIDDLE_MCP + 1)
    torch.testing.assert_close(found - found[:, root], truth - truth[:, root], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found[:, MIDDLE_MCP, 2], truth[:, MIDDLE_MCP, 2])


def test_lifting_networks_are_the_originals_at_width_16():
    """Convolutions of 32, 64, 128 and 64, 128, 256 channels; 512, 512, 63 and 256, 128, 3 numbers."""
    network = Zimmermann(DHPEConfig(), LossWeights())

    def outputs(part):
        return [layer.weight.shape[0] for layer in part.layers if hasattr(layer, "weight")]

    assert outputs(network.pose_prior) == [32, 32, 64, 64, 128, 128, 512, 512, 63]
    assert outputs(network.viewpoint) == [64, 64, 128, 128, 256, 256, 256, 128, 3]


def test_lifting_does_not_move_the_heat_maps(few):
    batch = few.batch(torch.arange(4))
    network = Zimmermann(SMALL, LossWeights())
    _, joints, rotation = network(batch["image"])
    (joints.sum() + rotation.sum()).backward()
    assert all(p.grad is None for p in network.pose_network.parameters())


def paper_trunk(**changes):
    """The paper's J2D, whose layers have one size only, on the smallest pictures."""
    return DHPEConfig.paper(**{"size": 64, "pose_size": 32, "pose_width": 4, "pretrained": False} | changes)


def test_zimmermann_has_the_j2d_of_its_trunk(few):
    """The paper's looks at its own size; its last stage is lifted, and every stage learns."""
    batch = few.batch(torch.arange(4))
    weights = LossWeights()
    network = Zimmermann(paper_trunk(), weights).eval()  # no dropout
    assert isinstance(network.pose_network, PoseMachine)
    torch.nn.init.normal_(network.pose_network.layers["conv7_7"].weight)  # so that its maps are not those before it
    stages = network.heatmaps(batch["image"])
    assert [tuple(maps.shape) for maps in stages] == [(4, 21, 4, 4)] * 3
    heatmaps, joints, _ = network(batch["image"])
    assert torch.equal(heatmaps, stages[-1]) and torch.equal(joints, network.lift(stages[-1])[0])
    total, terms = network.loss(batch["image"], batch)
    points = px_to_crop(batch["joints_px"], 64)
    wanted = [heatmap_loss(maps, points).item() for maps in stages]
    assert terms["heatmap"] == pytest.approx(weights.heatmap * wanted[-1])
    assert terms["earlier_heatmaps"] == pytest.approx(weights.earlier_heatmaps * (wanted[0] + wanted[1]) / 2)
    assert terms["loss"] == pytest.approx(sum(value for name, value in terms.items() if name != "loss"))
    total.backward()
    assert all(p.grad is not None and p.grad.any() for p in network.pose_network.parameters())
    assert "earlier_heatmaps" not in Zimmermann(SMALL, weights).loss(batch["image"], batch)[1]
    without = Zimmermann(paper_trunk(), replace(weights, earlier_heatmaps=0.0))
    assert "earlier_heatmaps" not in without.loss(batch["image"], batch)[1]
    assert network.predict(view_of(batch)).joints_cam.shape == (4, 21, 3)


@pytest.mark.parametrize("size", [64, 66, 128])
@pytest.mark.parametrize("trunk", ["lite", "paper"])
def test_the_side_of_heat_maps(trunk, size):
    config = replace(SMALL, size=size) if trunk == "lite" else paper_trunk(size=size, pose_size=size // 8 * 8)
    heatmaps, _, rotation = Zimmermann(config, LossWeights())(torch.rand(2, 3, size, size))
    assert heatmaps.shape[-1] == config.heatmap_side and rotation.shape == (2, 3, 3)


@pytest.mark.slow
def test_zimmermann_starts_from_published_weights(options, tmp_path):
    """And from those of another J2D, where the config names one: as DHPE does."""
    file = tmp_path / "posenet.pickle"
    file.write_bytes(pickle.dumps(posenet_arrays()))
    still = {"epochs": 1, "learning_rate": 0.0, "weight_decay": 0.0}
    config = preset("smoke", model=paper_trunk(posenet=str(file)), **still)
    network = BASELINES["zimmermann"].fit(config, tmp_path / "run", options)
    published = read_posenet(file)
    assert all(torch.equal(value, published[name]) for name, value in network.pose_network.state_dict().items())
    file.unlink()
    with pytest.raises(FileNotFoundError, match="no weights at"):
        BASELINES["zimmermann"].fit(config, tmp_path / "other", options)


@pytest.mark.slow
def test_the_paper_s_j2d_can_start_from_a_checkpoint_s(options, tmp_path, monkeypatch):
    parent, path = DHPE(paper_trunk()), tmp_path / "parent.safetensors"
    path.write_bytes(b"read by nobody")
    monkeypatch.setattr(DHPE, "from_pretrained", lambda name: parent)
    config = preset("smoke", model=paper_trunk(), init_pose=str(path), epochs=1, learning_rate=0.0, weight_decay=0.0)
    network = BASELINES["zimmermann"].fit(config, tmp_path / "run", options)
    theirs = parent.pose_network.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in network.pose_network.state_dict().items())


# ---- segmentation


def test_handsegnet_is_the_originals_at_width_64():
    layers = [layer for part in HandSegNet(256).layers for layer in part.modules() if hasattr(layer, "out_channels")]
    assert [layer.out_channels for layer in layers] == [64] * 2 + [128] * 2 + [256] * 4 + [512] * 5 + [128, 512, 1]
    assert [layer.kernel_size[0] for layer in layers] == [3] * 14 + [1] * 2


@pytest.mark.parametrize(
    "config", [DHPEConfig(), SMALL, DHPEConfig.paper(pretrained=False)], ids=["lite", "smoke", "paper"]
)
@pytest.mark.parametrize("make", [HandSegNet, EncoderDecoder])
def test_segmentation_has_the_size_of_the_evidence_networks(make, config):
    model = DHPE(config)
    wanted = parameters(model.feature_extractor) + parameters(model.pose_network)
    width = equal_width(lambda w: make(config.size, w), config)
    assert parameters(make(config.size, width)) == pytest.approx(wanted, rel=0.15)


@pytest.mark.parametrize("make", [HandSegNet, EncoderDecoder])
def test_masks_have_the_size_of_the_picture(make, few):
    view = view_of(few.batch(torch.arange(2)))
    large = view._replace(images=torch.nn.functional.interpolate(view.images, (96, 96)))
    mask = make(64, 4).eval().predict(large).mask
    assert mask.shape == (2, 96, 96) and 0 <= mask.min() and mask.max() <= 1


# ---- model fitting


def test_panteleris_finds_the_hand_behind_true_joints(detector, few):
    four = CachedHands({key: value[:4] for key, value in few.tensors.items()}, "four")
    found = measure(Panteleris(detector, starts=8, iterations=8), four, progress=False)
    assert found["joints_procrustes_mean_mm"] < 12 and found["mean_iou"] > 0.75


def test_panteleris_stands_at_the_true_depth(detector, few):
    """Moving it there leaves its picture as it was."""
    view = view_of(few.batch(torch.arange(2)))
    method = Panteleris(detector, starts=2, iterations=2)
    near, far = (method.predict(view._replace(root_depth=view.root_depth * k)) for k in (1.0, 2.0))
    torch.testing.assert_close(near.joints_cam[:, MIDDLE_MCP, 2], view.root_depth, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(far.vertices_cam, 2 * near.vertices_cam, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(far.mask, near.mask, atol=1e-3, rtol=0)


def test_swarm_fits_what_its_detector_sees(detector, few):
    """Far better than the hand that all start from."""
    batch = few.batch(torch.arange(8))
    method = ParticleSwarm(detector)
    method.config = replace(method.config, particles=64, generations=40)
    found = measure(method, few, progress=False)
    start = MeshParameters.initial(detector.hand).expand(8, -1)

    class Start:
        def predict(self, view):
            return estimate_of(detector.hand, start, view)

    blind = measure(Start(), few, progress=False)
    assert found["joints_root_mean_mm"] < 0.7 * blind["joints_root_mean_mm"]
    assert found["mean_iou"] > blind["mean_iou"] + 0.1
    joints, _ = detect(detector, batch["image"])
    assert joints.shape == (8, 21, 2)


# ---- the trainer


def encoder_decoder(config, folder, options):
    return train_network(lambda: EncoderDecoder(64, 4), config, folder, options)


def test_a_run_is_a_folder(tmp_path, options):
    encoder_decoder(preset("smoke"), tmp_path, options)
    assert {path.name for path in tmp_path.iterdir()} == {"config.json", "log.jsonl", "state.pt"}
    assert json.loads((tmp_path / "config.json").read_text())["network"] == "EncoderDecoder"
    rows = read_log(tmp_path)
    assert [row["epoch"] for row in rows] == [1, 2] and all("val_mean_iou" in row for row in rows)


@pytest.mark.parametrize(
    "owner, where, make",
    [
        (Trainer, "run_epoch", lambda: EncoderDecoder(64, 4)),
        (training, "measure", lambda: Zimmermann(SMALL, LossWeights())),
    ],
)
def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path, options, monkeypatch, owner, where, make):
    whole = train_network(make, preset("smoke"), tmp_path / "whole", options)
    real, calls = getattr(owner, where), []

    def stop(*arguments, **named):
        calls.append(None)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(owner, where, stop)
        with pytest.raises(KeyboardInterrupt):
            train_network(make, preset("smoke"), tmp_path / "cut", options)
    assert len(read_log(tmp_path / "cut")) == 1
    resumed = train_network(make, preset("smoke"), tmp_path / "cut", options)
    for (name, a), b in zip(whole.state_dict().items(), resumed.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    rows, wanted = read_log(tmp_path / "cut"), read_log(tmp_path / "whole")
    for row in rows + wanted:
        row.pop("minutes")
        row.pop("images_per_second")
    assert rows == wanted


def test_a_finished_run_is_loaded_and_another_refused(tmp_path, options, monkeypatch):
    first = encoder_decoder(preset("smoke"), tmp_path, options)
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "run_epoch", None)  # would fail
        again = encoder_decoder(preset("smoke"), tmp_path, options)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    other = preset("smoke", learning_rate=1e-4)
    with pytest.raises(ValueError, match="holds a run of another config"):
        encoder_decoder(other, tmp_path, options)
    with pytest.raises(ValueError, match="holds a run of another config"):
        train_network(lambda: HandSegNet(64, 4), preset("smoke"), tmp_path, options)
    encoder_decoder(replace(other, epochs=1), tmp_path, replace(options, resume=False))
    assert len(read_log(tmp_path)) == 1


def test_seed_decides(tmp_path, options):
    runs = [
        encoder_decoder(preset("smoke", epochs=1, seed=seed), tmp_path / str(n), options)
        for n, seed in enumerate((1, 1, 2))
    ]
    same = [all(torch.equal(a, b) for a, b in zip(runs[0].parameters(), r.parameters(), strict=True)) for r in runs]
    assert same == [True, True, False]


def test_divergence_says_what_to_do(tmp_path, options):
    config = preset("smoke", learning_rate=1e25, gradient_clip=1e25, warmup=0.0, epochs=8)
    with pytest.raises(FloatingPointError, match="training diverged.*lower --learning-rate"):
        encoder_decoder(config, tmp_path, options)


def test_configs_that_cannot_be_trained(tmp_path, options):
    for wrong in ({"batch_size": 1}, {"images": 1}, {"epochs": 0}):
        with pytest.raises(ValueError, match="must be"):
            encoder_decoder(preset("smoke", **wrong), tmp_path, options)


def test_best_learning_rate_is_that_of_the_best_run(tmp_path, options):
    config = preset("smoke", epochs=2)
    factors = (1e-6, 3.0)
    best = best_learning_rate(partial(encoder_decoder, options=options), config, tmp_path, factors)
    ends = {f: read_log(tmp_path / f"rate-times-{f:g}")[-1]["val_mean_iou"] for f in factors}
    chosen = max(ends, key=ends.get)
    assert best == replace(
        config,
        learning_rate=config.learning_rate * chosen,
        joint_learning_rate=config.joint_learning_rate * chosen,
    )


def test_best_learning_rate_goes_by_joints_where_there_are_some(tmp_path, options):
    config = preset("smoke", epochs=3)
    fit = partial(BASELINES["zimmermann"].fit, options=options)
    best = best_learning_rate(fit, config, tmp_path, (1e-6, 1.0))
    ends = {f: read_log(tmp_path / f"rate-times-{f:g}")[-1]["val_joints_root_mean_mm"] for f in (1e-6, 1.0)}
    assert best.learning_rate == config.learning_rate * min(ends, key=ends.get)


def test_a_rate_that_diverges_is_out(tmp_path, options, monkeypatch):
    """The others are still compared; only when all diverge is it an error."""
    real, config = BASELINES["encoder-decoder"].fit, preset("smoke", epochs=1)

    def fit(run, folder):
        if run.learning_rate > 2 * config.learning_rate:
            raise FloatingPointError("training diverged")
        return real(run, folder, options)

    assert best_learning_rate(fit, config, tmp_path, (3.0, 1.0)) == config
    with pytest.raises(FloatingPointError, match="diverged"):
        best_learning_rate(fit, config, tmp_path, (3.0, 9.0))


def test_what_each_makes_of_a_config():
    """For records: what a baseline leaves out of the run that it is given is not said to be in it."""
    config = preset("laptop", init_pose="lite", average=0.9, augment_from=3)
    used = {name: baseline.used(config) for name, baseline in BASELINES.items()}
    assert used["direct"].model.iterations == 1 and not used["direct"].model.pose_refiner
    assert used["kanazawa"].lifting_steps == 0 and not used["kanazawa"].model.evidence_2d
    assert used["kanazawa"].loss.heatmap == 0
    for name in ("zimmermann", "handsegnet", "encoder-decoder"):
        assert used[name].lifting_steps == used[name].average == 0 and used[name].augment_from is None
    assert used["zimmermann"].init_pose == "lite" and used["handsegnet"].init_pose == ""
    assert used["pso"] == config


@pytest.mark.parametrize("make", [HandSegNet, EncoderDecoder])
def test_segmentation_learns_nothing_from_pictures_without_masks(make, few):
    batch = few.batch(torch.arange(2))
    network = make(64, 4)
    for masks in ({}, {"mask": torch.full((2, 64, 64), torch.nan)}):
        loss, _ = network.loss(batch["image"], {"joints_px": batch["joints_px"], **masks})
        assert loss.requires_grad and float(loss.detach()) == 0
