import pytest
import torch
from torch.nn import functional

from handlib.data.synthetic.appearance import MONK_TONES, Light, occlusion, relief, skin_tone, to_linear, to_picture
from handlib.hand.mesh import vertex_normals


def lamp(light=(0.0, -1, 0), color=0.8, sky=0.0, ground=0.0) -> Light:
    return Light(torch.tensor([light]), *(torch.full((1, 3), value) for value in (color, sky, ground)))


def test_light_round_trip():
    values = torch.linspace(0, 1, 300, dtype=torch.float64)
    torch.testing.assert_close(to_picture(to_linear(values)), values, rtol=0, atol=1e-6)
    assert to_picture(torch.tensor([-0.5, 2.0])).tolist() == pytest.approx([0, 1])


@pytest.mark.parametrize("tone", [0.0, 4.0, 8.0, 9.0])
def test_whole_tones_are_those_of_the_scale(tone):
    found = to_picture(skin_tone(torch.tensor([tone])))[0]
    wanted = [int(MONK_TONES[int(tone)][i : i + 2], 16) / 255 for i in (0, 2, 4)]
    assert found.tolist() == pytest.approx(wanted, abs=1e-3)


def test_relief_keeps_the_hands_own_colors(hand):
    found = relief(hand.vertex_colors)
    torch.testing.assert_close(found.mean(0), torch.ones(3))
    torch.testing.assert_close(found[3] / found[5], (hand.vertex_colors[3] / hand.vertex_colors[5]) ** 2)


def test_shade_is_brightest_towards_the_lamp(hand):
    vertices = hand.template * torch.tensor([1.0, -1, -1]) + torch.tensor([0, 0, 0.5])
    normals, one = vertex_normals(vertices, hand.faces), torch.ones(1, 1)
    colors = lamp().shade(vertices[None], normals[None], torch.full((1, 778, 3), 0.5), 0 * one, one, one)[0]
    facing = normals @ torch.tensor([0.0, -1.0, 0.0])
    assert colors[facing > 0.9].min() > colors[facing < 0.1].max()
    assert (colors[facing < -0.3] == 0).all()


def test_what_sees_neither_lamp_nor_sky_is_black(hand):
    normals, zero = vertex_normals(hand.template, hand.faces), torch.zeros(1, 1)
    light = lamp(sky=0.3, ground=0.3)
    colors = light.shade(hand.template[None] + 0.5, normals[None], torch.rand(1, 778, 3), zero + 0.2, zero, zero)
    assert not colors.any()


def test_a_sphere_shades_what_lies_behind_it():
    """The lamp above, a ball of 1 cm at a height of 5 cm over a floor."""
    floor = torch.tensor([[[0.0, 0, 0], [0.2, 0, 0], [0.0, -0.1, 0]]])  # below the ball, aside, above the ball
    up = torch.tensor([0.0, -1, 0])
    lit, open_ = occlusion(
        floor, up.expand(1, 3, 3), torch.tensor([[[0.0, -0.05, 0]]]), torch.tensor([[0.01]]), up[None], torch.ones(3, 1)
    )
    assert lit[0, 0] < 0.5 and lit[0, 1] == 1 and lit[0, 2] == 1
    assert 1 - open_[0, 0] == pytest.approx(0.8 * (0.01 / 0.05) ** 2, rel=1e-3)
    assert open_[0, 1] > open_[0, 0] and open_[0, 2] == 1  # it is below the last one's horizon
    for radius, apart in ((0.0, 1.0), (0.01, 0.0)):  # no sphere; one that does not count
        nothing = occlusion(
            floor, up.expand(1, 3, 3), torch.tensor([[[0.0, -0.05, 0]]]), torch.tensor([[radius]]), up[None],
            torch.full((3, 1), apart),
        )  # fmt: skip
        assert all((x == 1).all() for x in nothing)


def test_occlusion_by_differences(hand, generator):
    """Against the same written with every difference of two points."""
    vertices, centers = torch.rand(2, 30, 3, generator=generator), torch.rand(2, 5, 3, generator=generator)
    normals = functional.normalize(torch.randn(2, 30, 3, generator=generator), dim=-1)
    light = functional.normalize(torch.randn(2, 3, generator=generator), dim=-1)
    radii, apart = 0.1 * torch.rand(2, 5, generator=generator), (torch.rand(30, 5, generator=generator) < 0.7).float()
    to = centers[:, None] - vertices[:, :, None]
    distance, along = to.norm(dim=-1), (to * light[:, None, None]).sum(-1)
    facing = (to * normals[:, :, None]).sum(-1).clamp(min=0) / distance
    sky = (facing * (radii[:, None] / distance) ** 2 * apart).clamp(max=0.9)
    aside, penumbra = (distance**2 - along**2).clamp(min=0).sqrt(), 0.004 + 0.15 * along.clamp(min=0)
    covered = ((radii[:, None] + penumbra - aside) / (2 * penumbra)).clamp(0, 1) * apart
    covered = covered * (along / radii[:, None]).clamp(0, 1)
    found = occlusion(vertices, normals, centers, radii, light, apart)
    torch.testing.assert_close(found[0], (1 - 0.8 * covered).prod(-1), atol=2e-3, rtol=0)
    torch.testing.assert_close(found[1], (1 - 0.8 * sky).prod(-1), atol=2e-3, rtol=0)
