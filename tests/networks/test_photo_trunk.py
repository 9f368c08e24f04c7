"""The trunk `photo`: directions of F, and the upright crop that it finds."""

import math

import pytest
import torch

from handlib.networks.photo_trunk import CLIP, PhotoTrunk, spread
from handlib.networks.published import load_landmarks
from handlib.networks.turned_crop import TurnedCrop


@pytest.fixture(scope="module")
def trunk():
    trunk = PhotoTrunk(principal=4)
    load_landmarks(trunk.network)
    return trunk.eval()


def test_directions_whiten_the_features_they_were_learned_from(generator):
    trunk = PhotoTrunk(principal=4)
    hidden = torch.randn(400, 6, generator=generator) * torch.tensor([9.0, 6, 4, 3, 1, 0.5])
    features = 2 + hidden @ torch.linalg.qr(torch.randn(1152, 6, generator=generator))[0].T
    trunk.learn_directions(features)
    seen = (features - trunk.mean) @ trunk.directions
    torch.testing.assert_close(seen.T @ seen / 400, torch.eye(4), atol=1e-3, rtol=0)
    # The strongest cause comes first, whatever its sign.
    first = torch.corrcoef(torch.stack([seen[:, 0], hidden[:, 0]]))[0, 1].abs()
    assert first > 0.5


def test_conditions_are_directions_then_depths_then_points_in_space(trunk, rendered):
    with torch.no_grad():
        evidence = trunk(TurnedCrop.around_points(rendered["joints_px"]).sample(rendered["image"], 224))
        seen = trunk.conditions(evidence)
    assert seen.shape == (5, trunk.inputs) == (5, 4 + 21 + 63)
    torch.testing.assert_close(seen[:, 4:25], evidence.points[..., 2])
    torch.testing.assert_close(seen[:, 25:], spread(evidence.points_3d))
    torch.testing.assert_close(seen[:, 25:].unflatten(1, (21, 3)).mean(1), torch.zeros(5, 3), atol=1e-5, rtol=0)


def test_features_far_from_all_learned_ones_are_clipped(trunk):
    trunk = PhotoTrunk(principal=3)
    trunk.directions.fill_(1.0)
    evidence = trunk.network.heads(torch.full((1, 1152), 5.0))
    assert (trunk.conditions(evidence)[:, :3] == CLIP).all()


def test_without_directions_points_alone_are_seen():
    assert PhotoTrunk(principal=0).inputs == 84


def test_upright_crop_is_found_in_any_turn(trunk, rendered):
    image = rendered["image"][:2]
    truth = TurnedCrop.around_points(rendered["joints_px"][:2])
    for quarters in (1, 2):
        found = trunk.upright(image.rot90(quarters, (-2, -1)))
        turn = found.angle - truth.angle + quarters * math.pi / 2
        assert (turn.cos() > 0.9).all()
        assert ((found.side / truth.side).log().abs() < 0.3).all()


def test_each_picture_is_looked_at_alone(trunk, rendered):
    together, alone = trunk.upright(rendered["image"][:2]), trunk.upright(rendered["image"][1:2])
    for a, b in zip(together, alone, strict=True):
        torch.testing.assert_close(a[1:], b, atol=1e-3, rtol=1e-4)
