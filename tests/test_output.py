"""What an estimate is: in the crop, in the camera's frame, as a mask."""

from dataclasses import replace

import pytest
import torch

from handlib import Renderer
from handlib.camera import crop_to_px, project
from handlib.hand.joints import MIDDLE_MCP
from handlib.parameters import MeshParameters


@pytest.fixture(scope="module")
def output(trained, batch):
    with torch.no_grad():
        return trained.model(batch["image"])


def test_parts_of_an_estimate_agree(tiny, images):
    """Meters times σ·10 plus the root are crop units; joints_2d are their pixels."""
    out = tiny(images)
    parts = MeshParameters.split(out.h)
    root = out.mesh_crop.joints[:, MIDDLE_MCP, None]
    assert torch.equal(out.h, out.history[-1].h)
    assert out.joints_3d[:, MIDDLE_MCP].abs().max() == 0
    for meters, crop in ((out.vertices, out.mesh_crop.vertices), (out.joints_3d, out.mesh_crop.joints)):
        torch.testing.assert_close(meters * 10 * parts.scale[..., None] + root, crop, rtol=0, atol=1e-4)
    torch.testing.assert_close(out.joints_2d, crop_to_px(out.mesh_crop.joints, 32)[..., :2])


def test_in_camera_puts_the_root_at_its_depth(tiny, images):
    out = tiny(images)
    K = torch.tensor([[40.0, 0, 16], [0, 40, 16], [0, 0, 1]]).expand(2, 3, 3)
    placed = out.in_camera(K, torch.tensor([0.4, 0.8]))
    torch.testing.assert_close(placed.joints[:, MIDDLE_MCP, 2], torch.tensor([0.4, 0.8]))
    px = placed.joints @ K.mT
    torch.testing.assert_close(px[..., :2] / px[..., 2:], out.joints_2d, rtol=0, atol=1e-3)


def test_without_a_depth_the_hand_keeps_its_own_size(tiny, images):
    """Metric depth: in proportion to the focal length, and the mesh stays what it is."""
    out, depths = tiny(images), []
    for focal in (40.0, 80.0):
        K = torch.tensor([[focal, 0, 16], [0, focal, 16], [0, 0, 1]]).expand(2, 3, 3)
        placed = out.in_camera(K)
        along_z = placed.vertices[..., 2] - placed.joints[:, MIDDLE_MCP, None, 2]
        torch.testing.assert_close(along_z, out.vertices[..., 2], rtol=0, atol=1e-5)
        torch.testing.assert_close(project(placed.joints, K), out.joints_2d, rtol=0, atol=1e-3)
        depths.append(placed.joints[:, MIDDLE_MCP, 2])
    torch.testing.assert_close(depths[1], 2 * depths[0])


def test_in_camera_needs_crop_coordinates(tiny, images):
    bare = replace(tiny(images), mesh_crop=None)
    with pytest.raises(ValueError, match="no crop coordinates"):
        bare.in_camera(torch.eye(3).expand(2, 3, 3), torch.ones(2))


def test_output_of_some_rows(output):
    few = output.map(lambda tensor: tensor[torch.tensor([False, True, False, True])])
    assert torch.equal(few.h, output.h[[1, 3]]) and few.size == output.size
    assert torch.equal(few.mesh_crop.vertices, output.mesh_crop.vertices[[1, 3]])
    assert torch.equal(few.history[-1].evidence_2d, output.history[-1].evidence_2d[[1, 3]])


def test_the_mask_is_the_rendered_mesh(trained, batch, output):
    expected = trained.model.render_mask(output.mesh_crop.vertices, batch["image"].shape[-1])
    assert torch.equal(output.mask, expected) and output.mask.amax() > 0
    with pytest.raises(ValueError, match="no silhouette"):
        _ = replace(output, mesh_crop=None).mask


def test_representations_are_short(output):
    parameters = MeshParameters.split(output.h)
    n = len(output.h)
    assert f"vertices ({n}, 778, 3)" in repr(output) and len(repr(output)) < 400
    assert repr(parameters.camera) == f"Camera(quaternion ({n}, 4), scale ({n}, 1), translation ({n}, 3))"
    assert len(repr(parameters)) < 200 and repr(Renderer(64)).startswith("Renderer((64, 64)")
