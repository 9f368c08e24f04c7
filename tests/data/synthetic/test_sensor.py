import io

import numpy as np
import pytest
import torch
from PIL import Image

from handlib.data.backgrounds import BuiltinBackgrounds
from handlib.data.synthetic.draws import Draws
from handlib.data.synthetic.sensor import PSF, _staircase, blur, jpeg, noise, photograph


@pytest.fixture(scope="module")
def picture():
    return BuiltinBackgrounds("val").photograph(0)[None, :, 100:228, 200:328].float() / 255


def by_library(picture: torch.Tensor, quality: int) -> torch.Tensor:
    file = io.BytesIO()
    pixels = (picture[0].movedim(0, -1) * 255).round().byte().numpy()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality, subsampling="4:2:0")
    return torch.from_numpy(np.array(Image.open(file))).movedim(-1, 0)[None].float() / 255


@pytest.mark.parametrize("quality", [30, 60, 90])
def test_jpeg_is_like_the_librarys(picture, quality):
    """Nearer to the file that Pillow writes than to the picture, and with an error of the same size."""
    ours, theirs = jpeg(picture, torch.tensor([float(quality)])), by_library(picture, quality)
    apart, error = (ours - theirs).square().mean().sqrt(), (theirs - picture).square().mean().sqrt()
    assert apart < 0.6 * error
    assert 0.7 < (ours - picture).square().mean().sqrt() / error < 1.3


def test_jpeg_of_any_size_and_of_several_qualities(picture):
    both = picture[..., :50, :37].expand(2, -1, -1, -1)
    found = jpeg(both, torch.tensor([20.0, 95.0]))
    assert found.shape == both.shape
    error = (found - both).square().mean((1, 2, 3))
    assert error[0] > 3 * error[1]
    torch.testing.assert_close(found[1:], jpeg(both[1:], torch.tensor([95.0])))


def test_a_last_bit_does_not_show(picture):
    """What differs between machines, a millionth, is far from a gray level afterwards."""
    shaken = (picture + 1e-6 * torch.randn(picture.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    quality = torch.tensor([40.0])
    assert (jpeg(shaken, quality) - jpeg(picture, quality)).abs().max() < 0.1 / 255


def test_staircase():
    x = torch.linspace(-3, 3, 601)
    assert torch.allclose(_staircase(torch.arange(-3.0, 4)), torch.arange(-3.0, 4), atol=1e-5)
    near = (x - x.round()).abs() < 0.3
    assert (_staircase(x) - x.round())[near].abs().max() < 0.05
    assert (_staircase(x).diff() >= -1e-6).all()


def test_blur_moves_along_its_line():
    point = torch.zeros(1, 3, 21, 21)
    point[..., 10, 10] = 1
    still, across = (
        blur(point, torch.tensor([length]), torch.tensor([0.0]), torch.tensor([0.3])) for length in (0.0, 6.0)
    )
    for image in (still, across):
        torch.testing.assert_close(image.sum((2, 3)), torch.ones(1, 3))
    assert still[0, 0, 10, 10] > 0.9
    assert across[0, 0, 10].sum() > 0.9 and across[0, 0, 10, 10 - PSF // 2 : 11 + PSF // 2].min() > 0.05
    down = blur(point, torch.tensor([6.0]), torch.tensor([torch.pi / 2]), torch.tensor([0.3]))
    torch.testing.assert_close(down, across.transpose(2, 3))


def test_noise_is_a_samples_own():
    found = noise(Draws("noise", torch.arange(3)), 40, 30)
    assert found.shape == (3, 3, 40, 30) and abs(float(found.std()) - 1) < 0.05
    assert not torch.equal(found[0], found[1])
    assert torch.equal(found[2:], noise(Draws("noise", torch.tensor([2])), 40, 30))


def test_a_photograph_has_gray_levels(picture):
    draws = Draws("camera", torch.arange(2))
    taken = photograph(picture.square().expand(2, -1, -1, -1), draws) * 255
    torch.testing.assert_close(taken, taken.round(), rtol=0, atol=1e-4)
    assert not torch.equal(taken[0], taken[1]) and 0 <= taken.min() and taken.max() <= 255


def test_dark_scenes_are_exposed_longer(picture):
    taken = [photograph(light * picture.square(), Draws("camera", torch.tensor([1]))).mean() for light in (0.05, 1.0)]
    assert 0.2 * taken[1] < taken[0] < taken[1]
