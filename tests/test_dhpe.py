import json
import subprocess
import sys
import urllib.error
from dataclasses import asdict, replace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from handlib import DHPE, DHPEConfig, DHPEOutput, Renderer
from handlib.camera import crop_to_px, project
from handlib.hand.joints import MIDDLE_MCP
from handlib.losses import LossWeights
from handlib.parameters import MeshParameters, posed_hand
from handlib.training.loss import dhpe_loss

TINY = DHPEConfig(size=32, feature_width=4, features=16, pose_width=4, hidden=8)
NEWER = ("trunk", "pose_size", "pretrained", "posenet", "evidence_2d")  # fields that lite's file does not know


@pytest.fixture(scope="module")
def model() -> DHPE:
    torch.manual_seed(0)
    return DHPE(TINY).eval()


@pytest.fixture
def images(generator):
    return torch.rand(2, 3, 32, 32, generator=generator)


@pytest.fixture
def rewrite(model, tmp_path):
    """Writes a checkpoint with its config and weights changed; returns the path."""

    def write(config=None, weights=lambda w: w, metadata=None):
        path = tmp_path / "model.safetensors"
        model.save(path)
        metadata = metadata or {"config": json.dumps(asdict(TINY) | (config or {}))}
        save_file(weights(load_file(path)), path, metadata)
        return path

    return write


def error_of(path) -> str:
    """The one line that `from_pretrained` ends in; it names the file."""
    with pytest.raises(ValueError) as caught:
        DHPE.from_pretrained(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_shapes(model, images):
    out = model(images)
    assert isinstance(out, DHPEOutput)
    assert out.h.shape == (2, 63) and out.vertices.shape == (2, 778, 3)
    assert out.joints_3d.shape == (2, 21, 3) and out.joints_2d.shape == (2, 21, 2)
    assert out.heatmaps.shape == (2, 21, 8, 8) and out.features.shape == (2, 16)
    assert out.size == 32 and len(out.history) == TINY.iterations + 1


def test_parts_of_an_estimate_agree(model, images):
    """Meters times σ·10 plus the root are crop units; joints_2d are their pixels."""
    out = model(images)
    parts = MeshParameters.split(out.h)
    root = out.mesh_crop.joints[:, MIDDLE_MCP, None]
    assert torch.equal(out.h, out.history[-1].h)
    assert out.joints_3d[:, MIDDLE_MCP].abs().max() == 0
    for meters, crop in ((out.vertices, out.mesh_crop.vertices), (out.joints_3d, out.mesh_crop.joints)):
        torch.testing.assert_close(meters * 10 * parts.scale[..., None] + root, crop, rtol=0, atol=1e-4)
    torch.testing.assert_close(out.joints_2d, crop_to_px(out.mesh_crop.joints, 32)[..., :2])


def test_deterministic(model, images):
    assert torch.equal(model(images).vertices, model(images).vertices)


def test_each_image_alone(model, images):
    together = model(images)
    for n in range(2):
        alone = model(images[n : n + 1])
        torch.testing.assert_close(alone.vertices[0], together.vertices[n], rtol=0, atol=1e-5)
        torch.testing.assert_close(alone.joints_2d[0], together.joints_2d[n], rtol=0, atol=1e-3)


@pytest.mark.parametrize("size", [20, 48, 64])
def test_images_of_other_sizes_are_resized(model, size):
    """The same picture at another size: the same hand, its joints in the pixels of that picture."""
    place = torch.linspace(0, 1, 192)
    picture = torch.stack(
        [place[None, :] * place[:, None], place[None, :].expand(192, -1), place[:, None].expand(-1, 192)]
    )

    def at(side):
        return torch.nn.functional.interpolate(picture[None], (side, side), mode="bilinear", antialias=True)

    own, other = model(at(32)), model(at(size))
    assert other.size == size
    torch.testing.assert_close(other.vertices, own.vertices, rtol=0, atol=2e-3)
    torch.testing.assert_close(other.joints_2d / size, own.joints_2d / 32, rtol=0, atol=2e-2)


def test_in_camera_puts_the_root_at_its_depth(model, images):
    out = model(images)
    K = torch.tensor([[40.0, 0, 16], [0, 40, 16], [0, 0, 1]]).expand(2, 3, 3)
    placed = out.in_camera(K, torch.tensor([0.4, 0.8]))
    torch.testing.assert_close(placed.joints[:, MIDDLE_MCP, 2], torch.tensor([0.4, 0.8]))
    px = placed.joints @ K.mT
    torch.testing.assert_close(px[..., :2] / px[..., 2:], out.joints_2d, rtol=0, atol=1e-3)


def test_without_a_depth_the_hand_keeps_its_own_size(model, images):
    """Metric depth: in proportion to the focal length, and the mesh stays what it is."""
    out, depths = model(images), []
    for focal in (40.0, 80.0):
        K = torch.tensor([[focal, 0, 16], [0, focal, 16], [0, 0, 1]]).expand(2, 3, 3)
        placed = out.in_camera(K)
        along_z = placed.vertices[..., 2] - placed.joints[:, MIDDLE_MCP, None, 2]
        torch.testing.assert_close(along_z, out.vertices[..., 2], rtol=0, atol=1e-5)
        torch.testing.assert_close(project(placed.joints, K), out.joints_2d, rtol=0, atol=1e-3)
        depths.append(placed.joints[:, MIDDLE_MCP, 2])
    torch.testing.assert_close(depths[1], 2 * depths[0])


def test_in_camera_needs_crop_coordinates(model, images):
    bare = replace(model(images), mesh_crop=None)
    with pytest.raises(ValueError, match="no crop coordinates"):
        bare.in_camera(torch.eye(3).expand(2, 3, 3), torch.ones(2))


def test_render_mask_is_the_silhouette(model, images):
    vertices = model(images).mesh_crop.vertices.detach()
    small, large = model.render_mask(vertices), model.render_mask(vertices, 96)
    assert small.shape == (2, 32, 32) and large.shape == (2, 96, 96)
    assert 0.02 < small.mean() < 0.9
    assert abs(float(small.mean() - large.mean())) < 0.03


def test_rendered_mask_passes_gradients(model, images):
    vertices = model(images).mesh_crop.vertices.detach().requires_grad_()
    model.render_mask(vertices)[:, :16].sum().backward()
    assert vertices.grad.abs().max() > 0


@pytest.mark.parametrize(
    "shape", [(3, 32, 32), (1, 1, 32, 32), (1, 4, 32, 32), (1, 3, 32, 40), (1, 32, 32, 3)], ids=str
)
def test_images_of_the_wrong_shape(model, unchecked, shape):
    with pytest.raises(ValueError, match=r"images must be \(B, 3, H, H\): square RGB crops; got "):
        model(torch.zeros(shape))


def test_bytes_are_refused(model, unchecked):
    with pytest.raises(ValueError, match="uint8: divide bytes by 255"):
        model(torch.zeros(1, 3, 32, 32, dtype=torch.uint8))


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_nan_in_images(model, images, value):
    images[1, 2, 3, 4] = value
    with pytest.raises(ValueError, match="images hold NaN or infinity"):
        model(images)


# ---- checkpoints


def test_checkpoint_round_trip(model, images, tmp_path):
    path = tmp_path / "new" / "model.safetensors"
    model.save(path, {"train": '{"profile": "smoke"}'})
    read = DHPE.from_pretrained(path)
    assert read.config == TINY and not read.training
    assert read.provenance == {"train": '{"profile": "smoke"}'}
    assert torch.equal(read(images).vertices, model(images).vertices)
    assert not [key for key in load_file(path) if key.startswith("hand.")]


@pytest.mark.parametrize("field, value", [("subpixel", False), ("pose_refiner", False), ("fingertips", "paper")])
def test_options_survive_the_round_trip(tmp_path, field, value):
    model = DHPE(replace(TINY, **{field: value}))
    model.save(tmp_path / "model.safetensors")
    assert getattr(DHPE.from_pretrained(tmp_path / "model.safetensors").config, field) == value


def test_missing_checkpoint(tmp_path):
    message = "no checkpoint at .*none.safetensors: give 'lite', 'photo', or .*handlib train"
    with pytest.raises(FileNotFoundError, match=message):
        DHPE.from_pretrained(tmp_path / "none.safetensors")


@pytest.mark.parametrize("keep", [0, 5, 200, -100], ids=["empty", "5 bytes", "200 bytes", "cut short"])
def test_truncated_checkpoint(rewrite, keep):
    path = rewrite()
    path.write_bytes(path.read_bytes()[:keep])
    assert "not a safetensors checkpoint" in error_of(path)


def test_text_is_no_checkpoint(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_text("<html>404 Not Found</html>" * 20)
    assert "not a safetensors checkpoint" in error_of(path)


def test_unknown_config_field(rewrite):
    assert "unknown config field 'augment'; update handlib" in error_of(rewrite({"augment": True}))


@pytest.mark.parametrize("change", [{"features": "many"}, {"size": None}, {"size": -3}, {"iterations": [3]}], ids=str)
def test_config_of_the_wrong_type(rewrite, unchecked, change):
    assert next(iter(change)) in error_of(rewrite(change))


@pytest.mark.parametrize("text", ["[]", "3", "{", '"lite"'])
def test_config_that_is_no_config(rewrite, unchecked, text):
    assert "config" in error_of(rewrite(metadata={"config": text}))


def test_safetensors_of_something_else(rewrite):
    assert "holds no DHPE config" in error_of(rewrite(metadata={"format": "pt"}))


def test_config_that_does_not_fit_the_weights(rewrite):
    assert "regressor" in error_of(rewrite({"hidden": 0}))
    assert "size mismatch" in error_of(rewrite({"features": 17}))


def test_weights_that_are_missing(rewrite):
    message = error_of(rewrite(weights=lambda w: {k: v for k, v in w.items() if k != "regressor.start"}))
    assert "do not fit its config (regressor.start" in message


def test_unknown_hand_in_the_config():
    with pytest.raises(FileNotFoundError, match="no hand model"):
        DHPE(replace(TINY, hand="/nowhere/MANO_RIGHT.npz"))


def test_half_precision_file_is_smaller_and_nearly_the_same(trained, tmp_path, batch):
    trained.model.save(tmp_path / "full.safetensors")
    trained.model.save(tmp_path / "half.safetensors", {"note": "kept"}, half=True)
    assert (tmp_path / "half.safetensors").stat().st_size < 0.8 * (tmp_path / "full.safetensors").stat().st_size
    half = DHPE.from_pretrained(tmp_path / "half.safetensors")
    assert half.provenance == {"note": "kept"}
    with torch.no_grad():
        a, b = trained.model(batch["image"]), half(batch["image"])
    assert (a.joints_3d - b.joints_3d).abs().max() < 1e-3


# ---- the paper's size


@pytest.fixture
def offline(monkeypatch):
    """No test downloads anything; the calls are counted."""
    calls = []

    def refuse(url, **options):
        calls.append(url)
        raise urllib.error.URLError("offline")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", refuse)
    return calls


@pytest.fixture(scope="module")
def paper() -> DHPE:
    torch.manual_seed(0)
    return DHPE(DHPEConfig.paper(pretrained=False)).eval()


def test_the_paper_s_sizes(paper):
    """Sec. 3: single layers 2153 → 63 and 2216 → 42, three steps, the highest pixel; ResNet-50 less its classifier."""
    config = paper.config
    assert (config.size, config.pose_size, config.iterations, config.subpixel) == (224, 256, 3, False)
    assert paper.regressor.estimate.weight.shape == (63, 2153) and paper.regressor.refiner.weight.shape == (42, 2216)
    assert sum(p.numel() for p in paper.feature_extractor.parameters()) == 23_508_032


@pytest.mark.parametrize("size", [224, 96])
def test_each_network_gets_its_own_size(paper, generator, size):
    """Whatever the image's: F 224², J2D 256² and so 32² heat maps, joints in the image's own pixels."""
    sides = []
    hooks = [
        paper.feature_extractor.conv1.register_forward_pre_hook(lambda _, x: sides.append(x[0].shape[-1])),
        paper.pose_network.layers["conv1_1"].register_forward_pre_hook(lambda _, x: sides.append(x[0].shape[-1])),
    ]
    with torch.no_grad():
        out = paper(torch.rand(1, 3, size, size, generator=generator))
    for hook in hooks:
        hook.remove()
    assert sides == [224, 256]
    assert out.features.shape == (1, 2048) and out.heatmaps.shape == (1, 21, 32, 32)
    assert [maps.shape for maps in out.earlier_heatmaps] == [(1, 21, 32, 32)] * 2
    assert out.size == size and torch.isfinite(out.vertices).all()
    pixels = (out.history[0].evidence_2d + 1) * 16 - 0.5
    torch.testing.assert_close(pixels, pixels.round(), rtol=0, atol=1e-4)  # argmax: centers of pixels


@pytest.mark.slow
def test_all_weights_of_the_paper_s_networks_learn():
    """By the full loss, every stage of J2D included. At a small size, since depth is what matters here."""
    torch.manual_seed(0)
    model = DHPE(DHPEConfig.paper(size=32, pose_size=32, pretrained=False))
    hands = {
        "image": torch.rand(2, 3, 32, 32), "mask": torch.rand(2, 32, 32), "joints_px": 32 * torch.rand(2, 21, 2),
        "joints_cam": 0.1 * torch.rand(2, 21, 3) + torch.tensor([0, 0, 0.5]),
        "K": torch.tensor([[60.0, 0, 16], [0, 60, 16], [0, 0, 1]]).expand(2, 3, 3),
    }  # fmt: skip
    loss, log = dhpe_loss(model, model(hands["image"]), hands["image"], hands, LossWeights())
    loss.backward()
    assert log["earlier_heatmaps"] > 0
    silent = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert not silent


def test_published_weights_are_asked_for_once_and_never_for_a_checkpoint(offline, tmp_path):
    config = DHPEConfig.paper(size=32, pose_size=32)
    with pytest.warns(UserWarning, match="F starts from random weights") as caught:
        model = DHPE(config).eval()
    assert len(offline) == len(caught) == 1
    model.save(tmp_path / "model.safetensors")
    read = DHPE.from_pretrained(tmp_path / "model.safetensors")
    assert len(offline) == 1 and read.config == config
    image = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(read(image).vertices, model(image).vertices)


def test_lite_asks_for_nothing(offline):
    DHPE(TINY)
    assert not offline


def test_posenet_weights_that_are_not_there():
    with pytest.raises(FileNotFoundError, match="no weights at /nowhere"):
        DHPE(DHPEConfig.paper(pretrained=False, posenet="/nowhere/posenet.pickle"))


@pytest.mark.parametrize(
    "change, reason",
    [
        ({"trunk": "large"}, "unknown trunk 'large': choose one of lite, paper, photo"),
        ({"trunk": "paper"}, "2048 features, not 16: set features=2048"),
        ({"trunk": "paper", "features": 2048, "pose_size": 30}, "8 must divide"),
        ({"pretrained": True}, "are for trunk='paper'"),
        ({"posenet": "file.pickle"}, "are for trunk='paper'"),
        ({"evidence_2d": False}, "set pose_refiner=False too"),
    ],
    ids=str,
)
def test_configs_that_cannot_be(rewrite, change, reason):
    with pytest.raises(ValueError, match=reason):
        replace(TINY, **change)
    message = error_of(rewrite(change))  # and in a file from outside
    assert "invalid config" in message


def test_checkpoints_from_before_the_paper_s_trunk_are_lite(rewrite, model, images):
    """The config that ships with lite lacks the newer fields; their defaults are what it was made with."""
    old = {k: v for k, v in asdict(TINY).items() if k not in NEWER}
    read = DHPE.from_pretrained(rewrite(metadata={"config": json.dumps(old)}))
    assert read.config == TINY
    assert torch.equal(read(images).vertices, model(images).vertices)


def test_without_2d_evidence_there_is_no_j2d(images, tmp_path):
    torch.manual_seed(0)
    model = DHPE(replace(TINY, evidence_2d=False, pose_refiner=False)).eval()
    assert model.pose_network is None and not [k for k in model.state_dict() if k.startswith("pose_network")]
    out = model(images)
    assert out.heatmaps is None and out.earlier_heatmaps == () and model.heatmaps(images) == []
    assert torch.equal(out.evidence_2d, out.history[-1].joints[..., :2])
    model.save(tmp_path / "model.safetensors")
    assert torch.equal(DHPE.from_pretrained(tmp_path / "model.safetensors")(images).vertices, out.vertices)


def test_j2d_may_have_a_size_of_its_own(images):
    model = DHPE(replace(TINY, pose_size=64)).eval()
    assert model(images).heatmaps.shape == (2, 21, 16, 16)


def test_in_training_the_numbers_of_an_image_are_not_looked_at(model, images):
    """That would make a GPU wait in every step; a NaN then shows in the loss."""
    images[0, 0, 0, 0] = torch.nan
    model.train()
    try:
        assert not torch.isfinite(model(images).h).all()
    finally:
        model.eval()


def test_output_of_some_rows(trained, batch):
    with torch.no_grad():
        output = trained.model(batch["image"])
    few = output.map(lambda tensor: tensor[torch.tensor([False, True, False, True])])
    assert torch.equal(few.h, output.h[[1, 3]]) and few.size == output.size
    assert torch.equal(few.mesh_crop.vertices, output.mesh_crop.vertices[[1, 3]])
    assert torch.equal(few.history[-1].evidence_2d, output.history[-1].evidence_2d[[1, 3]])


@pytest.mark.parametrize("field", ["size", "features", "iterations"])
def test_configs_of_nothing_are_refused_where_they_are_made(field):
    with pytest.raises(ValueError, match=rf"{field} must be \d+ … \d+, not -1"):
        DHPEConfig(**{field: -1})


@pytest.mark.parametrize("low, high", [(0, 255), (-1, 1)])
def test_images_of_another_range_are_refused(trained, batch, low, high):
    with pytest.raises(ValueError, match=r"images must be in \[0, 1\], got values from"):
        trained.model(low + (high - low) * batch["image"])


def test_the_mask_is_the_rendered_mesh(trained, batch):
    with torch.no_grad():
        output = trained.model(batch["image"])
    expected = trained.model.render_mask(output.mesh_crop.vertices, batch["image"].shape[-1])
    assert torch.equal(output.mask, expected) and output.mask.amax() > 0
    with pytest.raises(ValueError, match="no silhouette"):
        _ = replace(output, mesh_crop=None).mask


def test_representations_are_short(trained, batch):
    with torch.no_grad():
        output = trained.model(batch["image"])
    parameters = MeshParameters.split(output.h)
    n = len(output.h)
    assert f"vertices ({n}, 778, 3)" in repr(output) and len(repr(output)) < 400
    assert repr(parameters.camera) == f"Camera(quaternion ({n}, 4), scale ({n}, 1), translation ({n}, 3))"
    assert len(repr(parameters)) < 200 and repr(Renderer(64)).startswith("Renderer((64, 64)")


def test_the_gradient_of_ren_is_part_of_the_config(model):
    assert DHPEConfig.paper().gradient == "kato" and DHPEConfig().gradient == "antialias"
    vertices = posed_hand(model.hand, MeshParameters.initial(model.hand).expand(1, -1)).vertices
    for size in (None, 48):
        slopes = []
        for gradient in ("kato", "antialias"):
            moving = vertices.clone().requires_grad_()
            DHPE(replace(TINY, gradient=gradient)).render_mask(moving, size).sum().backward()
            slopes.append(moving.grad)
        assert not torch.allclose(*slopes)
    with pytest.raises(ValueError, match="unknown gradient 'exact': choose one of antialias, kato"):
        DHPEConfig(gradient="exact")


def test_a_checkpoint_notices_damage(tmp_path):
    model, path = DHPE(TINY), tmp_path / "model.safetensors"
    model.save(path, {"train": "{}", "a": "1", "b": "ä", "c": "3"})
    whole = path.read_bytes()
    for _ in range(3):  # the same bytes whatever chance does
        model.save(path, {"train": "{}", "a": "1", "b": "ä", "c": "3"})
        assert path.read_bytes() == whole
    assert DHPE.from_pretrained(path).provenance == {"train": "{}", "a": "1", "b": "ä", "c": "3"}
    for at in (len(whole) - 9, len(whole) // 2):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(ValueError, match="model.safetensors: the file is damaged"):
            DHPE.from_pretrained(path)


@pytest.mark.parametrize("change", [lambda w: w * torch.nan, lambda w: w / 0.0, lambda w: w.long()])
def test_weights_that_cannot_answer(tmp_path, change):
    path = tmp_path / "model.safetensors"
    DHPE(TINY).save(path)
    with safe_open(path, "pt") as file:
        config = file.metadata()["config"]
    weights = load_file(path)
    name = "pose_network.head.1.weight"
    save_file(weights | {name: change(weights[name] + 1.0)}, path, {"config": config})
    with pytest.raises(ValueError, match=f"'{name}' holds NaN, infinity or torch"):
        DHPE.from_pretrained(path)


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
