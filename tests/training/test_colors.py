import torch

from handlib.training.train import color_noise, jitter_colors


def test_jitter_is_one_gain_and_offset_a_channel(generator):
    images = 0.3 + 0.4 * torch.rand(6, 3, 8, 8, generator=generator)
    found = jitter_colors(images, color_noise(6, 0.1, generator))
    assert found.min() >= 0 and found.max() <= 1
    for before, after in zip(images.flatten(0, 1), found.flatten(0, 1), strict=True):
        x, y = before.flatten(), after.flatten()
        inside = (y > 0) & (y < 1)
        design = torch.stack([x[inside], torch.ones(int(inside.sum()))], 1)
        line = torch.linalg.lstsq(design, y[inside, None]).solution
        assert (design @ line - y[inside, None]).abs().max() < 1e-4
    assert (found - images).abs().max() > 0.01
    assert torch.equal(jitter_colors(images, color_noise(6, 0.0, generator)), images)
