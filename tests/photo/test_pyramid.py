"""Crops of any size out of one image: in the right place, and without aliasing."""

import math

import pytest
import torch
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from handlib.networks.turned_crop import TurnedCrop
from handlib.photo.pyramid import Pyramid


def _ramp(height, width):
    """Red is x and green is y of the pixel's center, over 1000: exact under averaging and interpolation."""
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    return torch.stack([x, y, 0 * x]) / 1000


def _places(crop, size):
    at = (torch.arange(size) + 0.5) * (2 / size) - 1
    y, x = torch.meshgrid(at, at, indexing="ij")
    px = crop.to_px(torch.stack([x, y], -1).view(1, -1, 2).expand(len(crop.side), -1, 2))
    return px.view(-1, size, size, 2).movedim(-1, 1) / 1000


@pytest.mark.parametrize("size", [(640, 480), (333, 517)], ids=str)
def test_every_level_shows_what_is_there(size):
    """Crops of one to thirteen image pixels a pixel, all at once, each inside."""
    side = torch.tensor([16.0, 31, 40, 100, 210])
    middle = torch.tensor([size[1] / 2, size[0] / 2]).expand(5, 2)
    crop = TurnedCrop(middle, side, torch.tensor([0.0, 0.3, 1.0, -0.4, 2.0]))
    pictures = Pyramid(_ramp(*size)).sample(crop, 16)
    torch.testing.assert_close(pictures[:, :2], _places(crop, 16), atol=2e-4, rtol=0)


def test_a_reduced_photograph_is_sampled_in_pixels_of_the_whole():
    small = Pyramid(_ramp(100, 100), reduction=4)
    assert (small.height, small.width) == (400, 400)
    crop = TurnedCrop(torch.tensor([[200.0, 160]]), torch.tensor([240.0]), torch.tensor([0.3]))
    torch.testing.assert_close(small.sample(crop, 16)[:, :2] * 4, _places(crop, 16), atol=1e-3, rtol=0)


def test_bytes_are_the_same_image(generator):
    image = torch.randint(0, 256, (3, 50, 70), generator=generator, dtype=torch.uint8)
    crop = TurnedCrop(torch.tensor([[30.0, 20], [35, 25]]), torch.tensor([20.0, 70]), torch.zeros(2))
    one, other = (Pyramid(values).sample(crop, 16) for values in (image, image.float() / 255))
    torch.testing.assert_close(one, other, atol=1e-5, rtol=0)


def test_fine_checks_become_gray_and_not_a_pattern():
    checks = ((torch.arange(256)[:, None] + torch.arange(256)) % 2).float().expand(3, -1, -1)
    crop = TurnedCrop(torch.tensor([[128.0, 128]]), torch.tensor([220.0]), torch.tensor([0.2]))
    torch.testing.assert_close(Pyramid(checks).sample(crop, 32), torch.full((1, 3, 32, 32), 0.5))


def test_a_crop_far_larger_than_the_image_ends_at_one_pixel():
    crop = TurnedCrop(torch.tensor([[2.0, 2]]), torch.tensor([1e4]), torch.zeros(1))
    torch.testing.assert_close(Pyramid(torch.full((3, 4, 4), 0.3)).sample(crop, 8), torch.full((1, 3, 8, 8), 0.3))


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


class _Largest(TorchDispatchMode):
    """Remembers how many real numbers the largest tensor held that any operation made."""

    def __init__(self):
        super().__init__()
        self.numbers = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor) and result.is_floating_point():
            self.numbers = max(self.numbers, result.numel())
        return result


def test_a_photograph_of_bytes_is_never_one_of_floats():
    """48 megapixels of floats are half a gigabyte; strips that are pooled one by one give the same levels."""
    generator = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (3, 1301, 900), dtype=torch.uint8, generator=generator)
    with _Largest() as largest:
        levels = [Pyramid(image).level(number) for number in (1, 2)]
    assert largest.numbers == levels[0].numel()
    whole = image[None].float() / 255
    for level in levels:
        whole = functional.avg_pool2d(whole, 2, ceil_mode=True, count_include_pad=False)
        torch.testing.assert_close(level, whole, atol=1e-6, rtol=0)
