import math

import pytest
import torch

from handlib.networks.turned_crop import TurnedCrop
from handlib.photo.pyramid import Pyramid

HEIGHT, WIDTH = 403, 517


def crop(x, y, side, angle):
    return TurnedCrop(torch.tensor([[float(x), float(y)]]), torch.tensor([float(side)]), torch.tensor([float(angle)]))


@pytest.fixture(scope="module")
def image() -> torch.Tensor:
    return torch.randint(0, 256, (3, HEIGHT, WIDTH), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("border", ["border", "zeros"])
@pytest.mark.parametrize(
    "place",
    [(200, 150, 60, 0.3), (0, 0, 90, 2.0), (515, 400, 130, -1.0),
     (-300, 200, 40, 0.5), (260, 900, 50, 0.0), (90, 300, 101, math.pi)],
)  # fmt: skip
def test_a_part_of_the_image_gives_what_the_whole_gives(image, place, border):
    found = Pyramid(image).sample(crop(*place), 24, border)
    pyramid = Pyramid(image)
    for number in range(4):  # as floats: no part is cut
        pyramid.level(number)
    pyramid._levels[0] = pyramid.level(0)
    assert torch.allclose(found, pyramid.sample(crop(*place), 24, border), atol=1e-4)


def test_crops_of_several_sizes_come_in_their_order(image):
    crops = TurnedCrop(
        torch.tensor([[100.0, 90], [300, 200], [50, 60]]), torch.tensor([20.0, 180, 90]), torch.tensor([0.0, 1, 2])
    )
    together = Pyramid(image).sample(crops, 16)
    for i in range(3):
        assert torch.allclose(together[i : i + 1], Pyramid(image).sample(crops.take(slice(i, i + 1)), 16), atol=1e-4)


def test_a_plain_image_stays_plain_at_every_size():
    plain = torch.full((3, HEIGHT, WIDTH), 51, dtype=torch.uint8)
    for side in (10, 77, 300, 1500):
        assert torch.allclose(Pyramid(plain).sample(crop(40, 380, side, 0.7), 20), torch.tensor(0.2))
