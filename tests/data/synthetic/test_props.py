import pytest
import torch

from handlib.data.synthetic.props import (
    ARM_RINGS,
    FOREARM_LENGTH,
    SLEEVE_RINGS,
    SOLID_RINGS,
    SOLID_SIDES,
    TUBE_RINGS,
    TUBE_SIDES,
    forearm,
    grid_faces,
    sleeve,
    solid,
    tube,
)
from handlib.hand.mesh import boundary_loop, vertex_normals

IDENTITY = torch.eye(3)[None]


def test_forearm_closes_on_to_the_hand(hand):
    loop = boundary_loop(hand.faces)
    rim, direction = hand.template[loop][None], torch.tensor([[1.0, 0, 0]])
    arm = forearm(rim, direction)
    torch.testing.assert_close(arm[:, : len(loop)], rim)
    reach = arm[0, -len(loop) :].mean(0) - rim[0].mean(0)
    torch.testing.assert_close(reach, FOREARM_LENGTH * direction[0], rtol=0, atol=1e-5)
    assert outwardness(arm, ARM_RINGS + 1) > 0.95


def outwardness(mesh, rings):
    """How many normals point away from the middle of their ring."""
    sides = mesh.shape[1] // rings
    normals = vertex_normals(mesh[0], grid_faces(rings, sides)).view(rings, sides, 3)
    away = mesh[0].view(rings, sides, 3) - mesh[0].view(rings, sides, 3).mean(1, keepdim=True)
    return ((normals * away).sum(-1) > 0).float()[1:-1].mean()


def test_sleeve_lies_around_the_arm(hand):
    rim, direction = hand.template[boundary_loop(hand.faces)][None], torch.tensor([[1.0, 0, 0]])
    width = torch.tensor([1.2])
    cloth = sleeve(rim, direction, torch.tensor([0.3]), width).view(SLEEVE_RINGS, -1, 3)
    assert float(cloth[0].mean(0)[0] - rim[0].mean(0)[0]) == pytest.approx(0.3 * FOREARM_LENGTH, rel=0.05)
    radius = (cloth - cloth.mean(1, keepdim=True)).norm(dim=-1).mean(1)
    assert float(radius[1] / radius[0]) == pytest.approx(1.2, rel=1e-3)  # the hem
    assert float(sleeve(rim, direction, torch.tensor([0.3]), 0 * width).view(SLEEVE_RINGS, -1, 3).std(1).max()) < 1e-6


def test_tube():
    start, end = torch.tensor([[0.0, 0, 0]]), torch.tensor([[0.0, 0.3, 0.1]])
    mesh = tube(start, end, torch.tensor([0.03]), torch.tensor([0.5]))
    rings = mesh.view(TUBE_RINGS, TUBE_SIDES, 3)
    torch.testing.assert_close(rings[0].mean(0), start[0], atol=1e-6, rtol=0)
    torch.testing.assert_close(rings[-1].mean(0), end[0], atol=1e-6, rtol=0)
    radius = (rings - rings.mean(1, keepdim=True)).norm(dim=-1)
    torch.testing.assert_close(radius[0], torch.full((TUBE_SIDES,), 0.03))
    torch.testing.assert_close(radius[-1], torch.full((TUBE_SIDES,), 0.015))
    assert outwardness(mesh, TUBE_RINGS) == 1


@pytest.mark.parametrize("roundness", [(1.0, 1.0), (0.25, 1.0), (0.25, 0.25)])
def test_solids(roundness):
    """A point of a superquadric fulfills its equation."""
    e, f = roundness
    radii = torch.tensor([[0.02, 0.03, 0.05]])
    mesh = solid(torch.zeros(1, 3), IDENTITY, radii, torch.tensor([roundness]))
    x, y, z = (mesh[0] / radii).abs().unbind(-1)
    value = (x ** (2 / f) + y ** (2 / f)) ** (f / e) + z ** (2 / e)
    torch.testing.assert_close(value, torch.ones_like(value), atol=2e-2, rtol=0)
    assert outwardness(mesh, SOLID_RINGS) == 1 and len(mesh[0]) == SOLID_RINGS * SOLID_SIDES


def test_a_solid_of_no_size_is_a_point():
    mesh = solid(torch.tensor([[1.0, 2, 3]]), IDENTITY, torch.zeros(1, 3), torch.ones(1, 2))
    torch.testing.assert_close(mesh[0], torch.tensor([1.0, 2, 3]).expand(len(mesh[0]), 3))
