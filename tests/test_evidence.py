import math

import pytest
import torch

from handlib.camera import px_to_crop
from handlib.evidence import SIGMA, FeatureExtractor, PoseNetwork, heatmap_peaks, target_heatmaps


def joints_inside(lead, generator, margin=0.75):
    return margin * (2 * torch.rand(*lead, 21, 2, generator=generator) - 1)


def test_targets_equal_a_loop(lead, generator):
    joints, size = joints_inside(lead, generator, 1.2), 6
    found = target_heatmaps(joints, size).reshape(-1, 21, size, size)
    assert found.shape[0] == math.prod(lead)
    for n, hand in enumerate(joints.reshape(-1, 21, 2).tolist()):
        for j, (x, y) in enumerate(hand):
            px, py = (x + 1) * size / 2, (y + 1) * size / 2
            for row in range(size):
                for column in range(size):
                    squared = (column + 0.5 - px) ** 2 + (row + 0.5 - py) ** 2
                    wanted = math.exp(-squared / (2 * SIGMA**2))
                    assert float(found[n, j, row, column]) == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize("row, column", [(0, 0), (3, 9), (15, 15)])
def test_target_is_one_at_the_joint(row, column):
    """A joint on the center of a pixel of the map."""
    joints = torch.tensor([(column + 0.5) / 8 - 1, (row + 0.5) / 8 - 1]).expand(21, 2)
    maps = target_heatmaps(joints, 16)
    assert float(maps[0, row, column]) == pytest.approx(1)
    assert (maps.flatten(1).argmax(1) == 16 * row + column).all()


@pytest.mark.parametrize("size", [16, 32])
def test_peaks_of_targets_are_the_joints(lead, size, generator):
    joints = joints_inside(lead, generator)
    maps = target_heatmaps(joints, size)
    pixel = 2 / size  # of the map, in crop units
    fine = (heatmap_peaks(maps) - joints).abs()
    coarse = (heatmap_peaks(maps, subpixel=False) - joints).abs()
    assert fine.shape == coarse.shape == (*lead, 21, 2)
    assert coarse.max() <= pixel / 2 * 1.001
    assert fine.max() <= pixel / 100  # the parabola is exact for a Gaussian


def test_coarse_peaks_are_pixel_centers(generator):
    maps = torch.rand(3, 21, 8, 8, generator=generator)
    peaks = heatmap_peaks(maps, subpixel=False)
    for n in range(3):
        for j in range(21):
            best = max(((r, c) for r in range(8) for c in range(8)), key=lambda rc: float(maps[n, j, rc[0], rc[1]]))
            assert peaks[n, j].tolist() == pytest.approx([(best[1] + 0.5) / 4 - 1, (best[0] + 0.5) / 4 - 1])


def test_fine_peaks_equal_a_loop(generator):
    """The top of the parabola through the logarithms beside the highest pixel, at most half a pixel away."""
    maps = torch.rand(40, 1, 7, 7, generator=generator) + 0.1
    peaks = heatmap_peaks(maps)
    for n in range(40):
        log = maps[n, 0].log()
        row, column = divmod(int(log.argmax()), 7)
        r, c = min(max(row, 1), 5), min(max(column, 1), 5)
        found = []
        for place, middle, line in ((column, c, log[row]), (row, r, log[:, column])):
            before, center, after = line[middle - 1 : middle + 2].tolist()
            curvature = max(2 * center - before - after, 1e-6)
            top = middle + 0.5 + (after - before) / (2 * curvature)
            found.append(min(max(top, place), place + 1) / 3.5 - 1)
        assert peaks[n, 0].tolist() == pytest.approx(found, abs=1e-4)


def test_fine_peaks_of_maps_without_a_positive_pixel_are_finite():
    assert torch.isfinite(heatmap_peaks(torch.full((2, 21, 8, 8), -1.0))).all()


@pytest.mark.parametrize("x", [-50.0, -1.3, 1.3, 50.0])
def test_joint_outside_the_crop(x):
    joints = torch.tensor([x, 0.0]).expand(21, 2)
    maps = target_heatmaps(joints, 16)
    assert torch.isfinite(maps).all() and maps.max() < 1
    if abs(x) > 10:
        assert maps.max() == 0
    for subpixel in (False, True):
        peaks = heatmap_peaks(maps, subpixel)
        assert torch.isfinite(peaks).all() and (peaks.abs() <= 1).all()


@pytest.mark.parametrize("value", [0.0, -3.0, 5.0])
def test_flat_maps_have_a_peak_inside(value):
    peaks = heatmap_peaks(torch.full((2, 21, 8, 8), value))
    assert torch.isfinite(peaks).all() and (peaks.abs() <= 1).all()


@pytest.mark.parametrize("subpixel", [True, False])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_peaks_of_maps_in_half_precision_are_in_single(dtype, subpixel, generator):
    """A crop coordinate near 1 in bfloat16 would be off by half a pixel of a 224² image."""
    joints = joints_inside((3,), generator)
    maps = target_heatmaps(joints, 32)
    peaks = heatmap_peaks(maps.to(dtype), subpixel)
    assert peaks.dtype == torch.float32
    torch.testing.assert_close(peaks, heatmap_peaks(maps, subpixel), rtol=0, atol=2 / 32 if subpixel else 2 / 31)


def test_the_highest_pixel_and_the_finer_maximum_differ_by_less_than_a_pixel(generator):
    maps = torch.rand(5, 21, 8, 8, generator=generator)
    coarse, fine = heatmap_peaks(maps, subpixel=False), heatmap_peaks(maps)
    assert 0 < (fine - coarse).abs().max() <= 0.5 * 2 / 8 + 1e-6


def test_target_of_an_unknown_joint_is_unknown(generator):
    joints = joints_inside((2,), generator)
    joints[1, 4] = torch.nan
    maps = target_heatmaps(joints, 8)
    assert maps[1, 4].isnan().all() and maps.isnan().sum() == 64


def test_lite_has_one_stage(generator):
    torch.manual_seed(0)
    network = PoseNetwork(4).eval()
    images = torch.rand(2, 3, 32, 32, generator=generator)
    (maps,) = network.stages(images)
    assert torch.equal(maps, network(images))


def test_peaks_carry_no_gradient(generator):
    maps = torch.rand(1, 21, 8, 8, generator=generator, requires_grad=True)
    assert not heatmap_peaks(maps).requires_grad


@pytest.mark.parametrize("side", [32, 64, 96])
def test_shapes_of_the_networks(side, generator):
    images = torch.rand(2, 3, side, side, generator=generator)
    assert FeatureExtractor(4, 24)(images).shape == (2, 24)
    assert PoseNetwork(4)(images).shape == (2, 21, side // 4, side // 4)


@pytest.mark.parametrize("network", [FeatureExtractor(4, 24), PoseNetwork(4)], ids=["F", "J2D"])
def test_networks_see_each_image_alone_when_evaluating(network, generator):
    images = torch.rand(3, 3, 32, 32, generator=generator)
    network.eval()
    with torch.no_grad():
        together, alone = network(images), torch.cat([network(image[None]) for image in images])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(together[0], together[1], atol=1e-4)


@pytest.mark.parametrize("network", [FeatureExtractor(4, 24), PoseNetwork(4)], ids=["F", "J2D"])
def test_every_weight_gets_a_gradient(network, generator):
    network.train()
    network(torch.rand(4, 3, 32, 32, generator=generator)).square().sum().backward()
    for name, weight in network.named_parameters():
        assert weight.grad is not None and weight.grad.abs().max() > 0, name


@pytest.mark.parametrize("place", [0.25, 0.5, 0.75, 1.0])
@pytest.mark.parametrize("far", [False, True])
def test_peaks_on_the_rim_are_as_exact_as_others(place, far):
    """In pixels of the map, from either border; the other coordinate is in the middle."""
    size = 32
    x = size - place if far else place
    for joint in ((x, 13.3), (13.3, x), (x, x)):
        wanted = px_to_crop(torch.tensor([joint]), size)
        found = heatmap_peaks(target_heatmaps(wanted.expand(21, 2), size))
        torch.testing.assert_close(found, wanted.expand(21, 2), rtol=0, atol=1e-3)
