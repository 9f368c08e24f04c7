"""The landmark network: its size, what it says, and how its numbers become crop coordinates."""

import pytest
import torch
from patterns import pattern

from handlib.networks.landmarks import Z_SCALE, LandmarkNetwork
from handlib.networks.published import landmark_network
from handlib.networks.turned_crop import TurnedCrop


@pytest.fixture(scope="module")
def evidence():
    with torch.no_grad():
        return landmark_network()(pattern(224))


def test_shapes_and_sizes(evidence):
    assert sum(p.numel() for p in LandmarkNetwork().parameters()) == 2_715_680
    assert [tuple(part.shape) for part in evidence] == [(1, 21, 3), (1,), (1,), (1, 21, 3), (1, 1152)]
    state = landmark_network().state_dict()
    assert len(state) == 102
    assert state["stem.weight"].shape == (24, 3, 3, 3)
    assert state["blocks.15.filter.weight"].shape == (1152, 1, 3, 3)
    assert state["points_3d.weight"].shape == (63, 1152)


def test_weights_say_what_they_did(evidence):
    """Recorded from the weights as they shipped first after tuning."""
    golden = {
        "points": [[-0.0193, 0.5576, 0.0], [0.0194, -0.4158, -0.134], [-0.0148, -0.2004, 0.0081]],
        "points_3d": [[0.0008, 0.0588, 0.0431], [0.0006, -0.0405, 0.0089], [-0.0039, -0.0162, 0.0079]],
    }
    for name, values in golden.items():
        torch.testing.assert_close(getattr(evidence, name)[0, [0, 8, 20]], torch.tensor(values), atol=1e-3, rtol=0)
    said = torch.stack([evidence.presence[0], evidence.right[0], evidence.features.mean(), evidence.features.std()])
    torch.testing.assert_close(said, torch.tensor([0.0036, 0.5231, 0.2373, 0.5473]), atol=1e-3, rtol=0)


def test_points_are_counted_from_the_crops_middle():
    """Pixel 0 of the network is the middle of the first one; its z is `Z_SCALE` of its x and y."""
    network = LandmarkNetwork()
    with torch.no_grad():
        network.points.weight.zero_()
        network.points.bias.copy_(torch.tensor([111.5, -0.5, 11.2 * Z_SCALE]).repeat(21))
        points = network.heads(torch.zeros(1, 1152)).points
    torch.testing.assert_close(points[0], torch.tensor([0.0, -1.0, 0.1]).expand(21, 3), atol=1e-6, rtol=0)


def test_rendered_hands_are_seen(rendered):
    crop = TurnedCrop.around_points(rendered["joints_px"])
    with torch.no_grad():
        evidence = landmark_network()(crop.sample(rendered["image"], 224))
    assert (evidence.presence > 0.95).all()
    assert (evidence.right > 0.9).all()
    off = (crop.to_px(evidence.points[..., :2]) - rendered["joints_px"]).norm(dim=-1).mean(1)
    assert (off / crop.side < 0.03).all()
    # The points in space are the hand's: the same to a turn and a shift would be too much to ask, so lengths.
    spread = (evidence.points_3d[:, 0] - evidence.points_3d[:, 9]).norm(dim=-1)
    truth = (rendered["joints_cam"][:, 0] - rendered["joints_cam"][:, 9]).norm(dim=-1)
    assert (0.7 < spread / truth).all() and (spread / truth < 1.3).all()


def test_mirrored_hands_are_left_ones(rendered):
    crop = TurnedCrop.around_points(rendered["joints_px"])
    with torch.no_grad():
        evidence = landmark_network()(crop.sample(rendered["image"], 224).flip(-1))
    assert (evidence.right < 0.3).all()
