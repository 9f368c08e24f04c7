"""DHPE: images in, an estimate out. Its trunks of other sizes are in test_dhpe_paper.py and test_dhpe_photo.py."""

import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from handlib import DHPE, DHPEConfig, DHPEOutput
from handlib.parameters import MeshParameters, posed_hand


def test_shapes(tiny, images):
    out = tiny(images)
    assert isinstance(out, DHPEOutput)
    assert out.h.shape == (2, 63) and out.vertices.shape == (2, 778, 3)
    assert out.joints_3d.shape == (2, 21, 3) and out.joints_2d.shape == (2, 21, 2)
    assert out.heatmaps.shape == (2, 21, 8, 8) and out.features.shape == (2, 16)
    assert out.size == 32 and len(out.history) == tiny.config.iterations + 1


def test_deterministic(tiny, images):
    assert torch.equal(tiny(images).vertices, tiny(images).vertices)


def test_each_image_alone(tiny, images):
    together = tiny(images)
    for n in range(2):
        alone = tiny(images[n : n + 1])
        torch.testing.assert_close(alone.vertices[0], together.vertices[n], rtol=0, atol=1e-5)
        torch.testing.assert_close(alone.joints_2d[0], together.joints_2d[n], rtol=0, atol=1e-3)


@pytest.mark.parametrize("size", [20, 48, 64])
def test_images_of_other_sizes_are_resized(tiny, size):
    """The same picture at another size: the same hand, its joints in the pixels of that picture."""
    place = torch.linspace(0, 1, 192)
    picture = torch.stack(
        [place[None, :] * place[:, None], place[None, :].expand(192, -1), place[:, None].expand(-1, 192)]
    )

    def at(side):
        return torch.nn.functional.interpolate(picture[None], (side, side), mode="bilinear", antialias=True)

    own, other = tiny(at(32)), tiny(at(size))
    assert other.size == size
    torch.testing.assert_close(other.vertices, own.vertices, rtol=0, atol=2e-3)
    torch.testing.assert_close(other.joints_2d / size, own.joints_2d / 32, rtol=0, atol=2e-2)


def test_render_mask_is_the_silhouette(tiny, images):
    vertices = tiny(images).mesh_crop.vertices.detach()
    small, large = tiny.render_mask(vertices), tiny.render_mask(vertices, 96)
    assert small.shape == (2, 32, 32) and large.shape == (2, 96, 96)
    assert 0.02 < small.mean() < 0.9
    assert abs(float(small.mean() - large.mean())) < 0.03


def test_rendered_mask_passes_gradients(tiny, images):
    vertices = tiny(images).mesh_crop.vertices.detach().requires_grad_()
    tiny.render_mask(vertices)[:, :16].sum().backward()
    assert vertices.grad.abs().max() > 0


@pytest.mark.parametrize(
    "shape", [(3, 32, 32), (1, 1, 32, 32), (1, 4, 32, 32), (1, 3, 32, 40), (1, 32, 32, 3)], ids=str
)
def test_images_of_the_wrong_shape(tiny, unchecked, shape):
    with pytest.raises(ValueError, match=r"images must be \(B, 3, H, H\): square RGB crops; got "):
        tiny(torch.zeros(shape))


def test_bytes_are_refused(tiny, unchecked):
    with pytest.raises(ValueError, match="uint8: divide bytes by 255"):
        tiny(torch.zeros(1, 3, 32, 32, dtype=torch.uint8))


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_nan_in_images(tiny, images, value):
    images[1, 2, 3, 4] = value
    with pytest.raises(ValueError, match="images hold NaN or infinity"):
        tiny(images)


def test_unknown_hand_in_the_config(tiny):
    with pytest.raises(FileNotFoundError, match="no hand model"):
        DHPE(replace(tiny.config, hand="/nowhere/MANO_RIGHT.npz"))


def test_without_2d_evidence_there_is_no_j2d(tiny, images, tmp_path):
    torch.manual_seed(0)
    model = DHPE(replace(tiny.config, evidence_2d=False, pose_refiner=False)).eval()
    assert model.pose_network is None and not [k for k in model.state_dict() if k.startswith("pose_network")]
    out = model(images)
    assert out.heatmaps is None and out.earlier_heatmaps == () and model.heatmaps(images) == []
    assert torch.equal(out.evidence_2d, out.history[-1].joints[..., :2])
    model.save(tmp_path / "model.safetensors")
    assert torch.equal(DHPE.from_pretrained(tmp_path / "model.safetensors")(images).vertices, out.vertices)


def test_j2d_may_have_a_size_of_its_own(tiny, images):
    model = DHPE(replace(tiny.config, pose_size=64)).eval()
    assert model(images).heatmaps.shape == (2, 21, 16, 16)


def test_in_training_the_numbers_of_an_image_are_not_looked_at(tiny, images):
    """That would make a GPU wait in every step; a NaN then shows in the loss."""
    images[0, 0, 0, 0] = torch.nan
    tiny.train()
    try:
        assert not torch.isfinite(tiny(images).h).all()
    finally:
        tiny.eval()


@pytest.mark.parametrize("field", ["size", "features", "iterations"])
def test_configs_of_nothing_are_refused_where_they_are_made(field):
    with pytest.raises(ValueError, match=rf"{field} must be \d+ … \d+, not -1"):
        DHPEConfig(**{field: -1})


@pytest.mark.parametrize("low, high", [(0, 255), (-1, 1)])
def test_images_of_another_range_are_refused(trained, batch, low, high):
    with pytest.raises(ValueError, match=r"images must be in \[0, 1\], got values from"):
        trained.model(low + (high - low) * batch["image"])


def test_the_gradient_of_ren_is_part_of_the_config(tiny):
    assert DHPEConfig.paper().gradient == "kato" and DHPEConfig().gradient == "antialias"
    vertices = posed_hand(tiny.hand, MeshParameters.initial(tiny.hand).expand(1, -1)).vertices
    for size in (None, 48):
        slopes = []
        for gradient in ("kato", "antialias"):
            moving = vertices.clone().requires_grad_()
            DHPE(replace(tiny.config, gradient=gradient)).render_mask(moving, size).sum().backward()
            slopes.append(moving.grad)
        assert not torch.allclose(*slopes)
    with pytest.raises(ValueError, match="unknown gradient 'exact': choose one of antialias, kato"):
        DHPEConfig(gradient="exact")


@pytest.mark.parametrize(
    "way", ["torch.jit.trace(network, images)", "torch.export.export(network, (images,)).module()"]
)
def test_a_graph_of_the_model_answers_for_other_images(way):
    """In a process of its own, without the checks of shapes, which count a traced side of an image as no number."""
    code = f"""
import torch
from handlib import DHPE, DHPEConfig

class Network(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.model = DHPE(DHPEConfig(size=32, feature_width=2, features=16, pose_width=2)).eval()

    def forward(self, images):
        return self.model(images).vertices

network, (images, others) = Network(), torch.rand(2, 2, 3, 32, 32)
with torch.no_grad():
    graph = torch.{way}
    found, wanted, before = graph(others), network(others), network(images)
print(float((found - wanted).abs().max()), float((before - wanted).abs().max()))
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True)
    off, moved = map(float, (done.stdout or done.stderr).split())
    assert off < 1e-5 < moved
