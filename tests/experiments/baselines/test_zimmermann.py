"""Zimmermann & Brox: heat maps lifted to joints in a frame of their own."""

import pickle
from dataclasses import replace

import pytest
import torch
from miniatures import posenet_arrays

from handlib import DHPE
from handlib.camera import px_to_crop
from handlib.dhpe import DHPEConfig
from handlib.evaluation.metrics import align, joint_errors_mm
from handlib.experiments.baselines import BASELINES, view_of
from handlib.experiments.baselines.zimmermann import Zimmermann, canonical
from handlib.hand.joints import MIDDLE_MCP
from handlib.losses import LossWeights, heatmap_loss
from handlib.networks.pose_machine import PoseMachine
from handlib.networks.pretrained import read_posenet
from handlib.training.train import preset

SMALL = preset("smoke").model
STILL = {"epochs": 1, "learning_rate": 0.0, "weight_decay": 0.0}  # a run that leaves weights as they are


def test_zimmermann_learns(few, overfit):
    """Every term falls, in one run."""
    torch.manual_seed(0)
    _, first, last = overfit(Zimmermann(SMALL, LossWeights()), few, 20, 3e-3)
    for term, share in (("heatmap", 0.75), ("canonical", 0.3), ("rotation", 0.95)):
        assert last[term] < share * first[term], term


def test_zimmermann_can_start_from_a_trained_j2d(options, tmp_path):
    trained, path = DHPE(SMALL), tmp_path / "trained.safetensors"
    trained.save(path)
    config = preset("smoke", init_pose=str(path), **STILL)
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
    config = preset("smoke", model=paper_trunk(posenet=str(file)), **STILL)
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
    config = preset("smoke", model=paper_trunk(), init_pose=str(path), **STILL)
    network = BASELINES["zimmermann"].fit(config, tmp_path / "run", options)
    theirs = parent.pose_network.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in network.pose_network.state_dict().items())
