import base64
import io

import numpy as np
import plotly.graph_objects as go
import pytest
import torch
from PIL import Image

from handlib.hand.joints import BONES
from handlib.viz.plots import (
    FINGER_COLORS,
    augmentation_sheet,
    contact_sheet,
    draw_skeleton,
    film,
    lines_figure,
    mesh_figure,
    overlay,
    pck_figure,
    sphere_figure,
    to_image,
    upright,
)


def test_upright_turns_about_x(lead, generator):
    points = torch.randn(*lead, 4, 3, generator=generator)
    found = upright(points)
    assert torch.equal(found[..., 0], points[..., 0]) and torch.equal(found[..., 1:], -points[..., 1:])


def test_mesh_figure_shows_the_mesh(hand):
    figure = mesh_figure(hand.template, hand.faces, hand.vertex_colors, title="a hand", height=300)
    (mesh,) = figure.data
    found = np.stack([mesh.x, mesh.y, mesh.z], 1)
    np.testing.assert_allclose(found, hand.template.numpy(), atol=1e-5)
    np.testing.assert_array_equal(np.stack([mesh.i, mesh.j, mesh.k], 1), hand.faces.numpy())
    wanted = (hand.vertex_colors.clamp(0, 1) * 255).round().byte().numpy()
    np.testing.assert_array_equal(np.asarray(mesh.vertexcolor), wanted)
    assert figure.layout.title.text == "a hand" and figure.layout.height == 300 and not figure.frames


def test_scene_is_a_cube_around_the_mesh(hand):
    scene = mesh_figure(hand.template, hand.faces).layout.scene
    low, high = hand.template.amin(0), hand.template.amax(0)
    ranges = [scene.xaxis.range, scene.yaxis.range, scene.zaxis.range]
    for (a, b), start, end in zip(ranges, low.tolist(), high.tolist(), strict=True):
        assert a < start and end < b
    assert len({round(b - a, 5) for a, b in ranges}) == 1


def test_several_meshes_become_a_slider(hand):
    meshes = [hand.template + i for i in range(3)]
    figure = mesh_figure(meshes, hand.faces, labels=["a", "b", "c"], slider="pose")
    assert [frame.name for frame in figure.frames] == ["a", "b", "c"]
    slider = figure.layout.sliders[0]
    assert [step.label for step in slider.steps] == ["a", "b", "c"] and slider.currentvalue.prefix == "pose: "
    for i, frame in enumerate(figure.frames):
        np.testing.assert_allclose(frame.data[0].x, (hand.template[:, 0] + i).numpy(), atol=1e-5)


def test_each_mesh_may_have_its_own_colors(hand):
    colors = [torch.full((778, 3), 0.2 * n) for n in range(3)]
    figure = mesh_figure([hand.template] * 3, hand.faces, colors)
    assert [int(np.asarray(frame.data[0].vertexcolor)[5, 1]) for frame in figure.frames] == [0, 51, 102]
    assert np.asarray(figure.data[0].vertexcolor).max() == 0
    alike = mesh_figure([hand.template] * 2, hand.faces, hand.vertex_colors)
    assert all(frame.data[0].vertexcolor is None for frame in alike.frames)


def test_spheres_hold_their_points():
    clouds = {"a": torch.eye(3), "b": -torch.eye(3)[:2]}
    figure = sphere_figure(clouds, alt="two spheres")
    points = [trace for trace in figure.data if trace.type == "scatter3d"]
    for trace, cloud in zip(points, clouds.values(), strict=True):
        np.testing.assert_allclose(np.stack([trace.x, trace.y, trace.z], 1), cloud.numpy())
    assert [trace.scene for trace in points] == ["scene", "scene2"] and figure.layout.meta == "two spheres"
    assert figure.layout.scene.domain.x[1] <= figure.layout.scene2.domain.x[0]
    assert [note.text for note in figure.layout.annotations] == ["a", "b"]


def test_skeleton_inside_a_translucent_hand(hand):
    joints = hand.regress_joints(hand.template)
    figure = mesh_figure(hand.template, hand.faces, joints=joints)
    assert len(figure.data) == 6 and figure.data[0].opacity < 1
    for trace, color in zip(figure.data[1:], FINGER_COLORS, strict=True):
        assert trace.line.color == color and len(trace.x) == 5
        np.testing.assert_allclose([trace.x[0], trace.y[0], trace.z[0]], joints[0].numpy(), atol=1e-5)
    frames = mesh_figure([hand.template] * 2, hand.faces, joints=[joints] * 2).frames
    assert [len(frame.data) for frame in frames] == [6, 6]


def test_gradients_do_not_get_in_the_way(hand):
    assert len(mesh_figure(hand.template.clone().requires_grad_(), hand.faces).data) == 1


def test_curves():
    pck = {"threshold_mm": [0.0, 25.0, 50.0], "pck": [0.0, 0.5, 1.0]}
    figure = pck_figure({"ours": pck, "published": pck}, title="RHD")
    assert [trace.name for trace in figure.data] == ["ours", "published"]
    assert list(figure.data[0].x) == pck["threshold_mm"] and list(figure.data[0].y) == pck["pck"]
    lines = lines_figure([1, 2], {"loss": [3.0, 1.0]}, "epoch", "loss")
    assert isinstance(lines.data[0], go.Scatter) and list(lines.data[0].y) == [3.0, 1.0]
    assert lines.layout.xaxis.title.text == "epoch" and lines.layout.yaxis.title.text == "loss"


# ---- still pictures


def test_to_image_keeps_the_pixels(generator):
    values = torch.rand(3, 4, 5, generator=generator)
    picture = to_image(values)
    assert picture.size == (5, 4) and picture.mode == "RGB"
    pixels = (values * 255).round().byte()
    np.testing.assert_array_equal(np.asarray(picture), pixels.movedim(0, -1).numpy())
    np.testing.assert_array_equal(np.asarray(to_image(pixels)), np.asarray(picture))


def test_to_image_of_a_mask_and_of_values_out_of_range():
    mask = torch.tensor([[0.0, 1.0], [0.5, 2.0]])
    assert np.asarray(to_image(mask))[..., 0].tolist() == [[0, 255], [128, 255]]
    assert (np.asarray(to_image(-mask)) == 0).all()


def test_overlay_changes_only_where_the_mesh_is():
    image = torch.full((3, 20, 30), 0.5)
    vertices = torch.tensor([[5.0, 5, 1], [15, 5, 1], [5, 15, 1]])
    array = np.asarray(overlay(image, vertices, torch.tensor([[0, 1, 2]]))).astype(int)
    changed = (array != 128).any(-1)
    place = np.add.outer(np.arange(20), np.arange(30)) + 1  # x + y of the pixels' centers
    rows, columns = np.nonzero(changed)
    assert changed.sum() > 40
    assert (rows >= 5).all() and (columns >= 5).all() and (place[changed] <= 20).all()
    blend = 0.75 * torch.tensor([0.42, 0.68, 0.93]) + 0.25 * 0.5  # seen from the front
    np.testing.assert_allclose(array[6, 6], (255 * blend).numpy(), atol=1)


def test_overlay_with_a_skeleton_and_without_opacity(hand):
    image = torch.zeros(3, 32, 32)
    joints = torch.full((21, 2), 16.0)
    joints[4] = torch.tensor([2.0, 16.0])  # the thumb's tip, far left
    vertices = torch.tensor([[0.0, 0, 1], [0, 1, 1], [1, 0, 1]])
    picture = np.asarray(overlay(image, vertices, torch.tensor([[0, 1, 2]]), joints, opacity=0.0))
    assert picture[16, 8].tolist() == [0xE4, 0x57, 0x2E]
    assert (picture[:12] == 0).all()


def test_skeleton_has_the_colors_of_the_fingers():
    joints = torch.zeros(21, 2)
    for n, (_, child) in enumerate(BONES):
        joints[child] = torch.tensor([5.0 + 4 * (n % 4 + 1), 10.0 * (n // 4) + 5])
    before = Image.new("RGB", (40, 60))
    after = np.asarray(draw_skeleton(before, joints))
    for finger, color in enumerate(FINGER_COLORS):
        assert "#" + bytes(after[10 * finger + 5, 15].tolist()).hex() == color
    assert not np.asarray(before).any()  # the original is left as it was


def test_augmentation_sheet_has_a_row_a_seed(hand):
    seeds = torch.tensor([0.2, 0.4]).view(2, 1, 1, 1).expand(2, 3, 20, 20)
    vertices_px = torch.zeros(2, 778, 3)  # a mesh that nothing shows of
    generated = {
        "image": torch.linspace(0.5, 1, 4).view(4, 1, 1, 1).expand(4, 3, 20, 20),
        "mask": torch.zeros(4, 20, 20),
        "joints_px": torch.full((4, 21, 2), 10.0),
    }
    sheet = np.asarray(augmentation_sheet(seeds, vertices_px, hand.faces, generated, size=20))
    head = 22  # the titles of the columns
    assert sheet.shape == (head + 2 * 24 - 4, 6 * 24 - 4, 4)
    corners = sheet[head + 2 :: 24, 2::24, 0] / 255  # of every picture; the skeleton is a point in the middle
    wanted = [[0.2, 0.2, 0.5, 2 / 3, 2 / 3, 0], [0.4, 0.4, 5 / 6, 1, 1, 0]]
    np.testing.assert_allclose(corners, wanted, atol=0.01)


@pytest.mark.parametrize("n, columns, wanted", [(1, 6, (6 * 14 - 4, 10)), (5, 2, (24, 38)), (4, 2, (24, 24))])
def test_contact_sheet(n, columns, wanted):
    pictures = [Image.new("RGB", (7, 9), (10 * i, 0, 0)) for i in range(n)]
    sheet = contact_sheet(pictures, columns, size=10)
    assert sheet.size == wanted
    array = np.asarray(sheet)
    for i in range(n):
        assert array[i // columns * 14 + 5, i % columns * 14 + 5].tolist() == [10 * i, 0, 0, 255]
    assert not array[:, 10:14, 3].any()  # a page shows through


def test_a_sheet_has_titles_over_its_columns():
    pictures = [Image.new("RGB", (7, 9), (200, 0, 0)) for _ in range(4)]
    plain, titled = contact_sheet(pictures, 2, 60), contact_sheet(pictures, 2, 60, titles=["truth", "lite"])
    top = titled.height - plain.height
    assert top > 0 and titled.crop((0, top, *titled.size)).tobytes() == plain.tobytes()
    head = np.asarray(titled)[:top]
    assert head[:, :60, 3].any() and head[:, 64:, 3].any()
    with pytest.raises(ValueError, match="3 titles for 2 columns"):
        contact_sheet(pictures, 2, titles=["a", "b", "c"])


def test_film_shows_its_pictures_in_order():
    pictures = [Image.new("RGB", (8, 6), (40 * n, 0, 0)) for n in range(3)]
    figure = film(pictures, ["a", "b", "c"], slider="day", alt="three days", seconds=0.2)
    assert [frame.name for frame in figure.frames] == ["a", "b", "c"] and figure.layout.meta == "three days"
    for picture, frame in zip(pictures, figure.frames, strict=True):
        shown = Image.open(io.BytesIO(base64.b64decode(frame.layout.images[0].source.split(",")[1])))
        np.testing.assert_allclose(np.asarray(shown.convert("RGB")), np.asarray(picture), atol=4)
    assert figure.layout.images[0].source == figure.frames[0].layout.images[0].source
    assert [step.label for step in figure.layout.sliders[0].steps] == ["a", "b", "c"]
    play, pause = figure.layout.updatemenus[0].buttons
    assert play.args[0] is None and play.args[1]["frame"]["duration"] == 200 and list(pause.args[0]) == [None]
    with pytest.raises(ValueError):
        film(pictures, ["a", "b"])
