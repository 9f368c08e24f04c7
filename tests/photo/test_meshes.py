import json
import struct

import numpy as np
import pytest
import torch
import trimesh

from handlib.photo.meshes import Mesh, watertight, write_meshes

TURN = np.array([1.0, -1, -1])
KINDS = [".obj", ".ply", ".glb", ".stl"]


@pytest.fixture
def pair(hand, generator):
    """A right hand and a left one beside it, in front of a camera."""
    pose, shape = hand.sample(2, generator)
    vertices = hand(pose, shape).vertices + torch.tensor([0.0, 0.1, 0.5])
    left = vertices[1] * torch.tensor([-1.0, 1, 1])
    colors = torch.rand(778, 3, generator=generator)
    return [Mesh(vertices[0], hand.faces, colors, "right"), Mesh(left, hand.faces.flip(1), colors.flip(0), "left")]


def loaded(path) -> list[trimesh.Trimesh]:
    if path.suffix == ".obj":
        return list(trimesh.load_scene(path, split_object=True, process=False, maintain_order=True).geometry.values())
    return list(trimesh.load_scene(path, process=False).geometry.values())


@pytest.mark.parametrize("kind", [".obj", ".ply", ".glb"])
def test_a_hand_comes_back(tmp_path, pair, kind):
    mesh = pair[0]
    (found,) = loaded(write_meshes(tmp_path / f"a{kind}", [mesh]))
    np.testing.assert_allclose(found.vertices, mesh.vertices_cam.numpy() * TURN, atol=1e-7)
    np.testing.assert_array_equal(found.faces, mesh.faces.numpy())
    if kind == ".glb":  # linear light, beside a material
        colors = found.visual.vertex_attributes["color"][:, :3].astype(float)
        colors = np.where(colors <= 0.0031308, 12.92 * colors, 1.055 * colors ** (1 / 2.4) - 0.055)
    else:
        colors = found.visual.vertex_colors[:, :3] / 255
    np.testing.assert_allclose(colors, mesh.colors.numpy(), atol=0.003)


@pytest.mark.parametrize("kind", KINDS)
def test_several_hands_in_one_file(tmp_path, pair, kind):
    found = loaded(write_meshes(tmp_path / f"a{kind}", pair, closed=False))
    wanted = [mesh.vertices_cam.numpy() * TURN * (1000 if kind == ".stl" else 1) for mesh in pair]
    if kind == ".glb":
        assert len(found) == 2
        for one, vertices in zip(found, wanted, strict=True):
            np.testing.assert_allclose(one.vertices, vertices, atol=1e-7)
    triangles = np.concatenate([one.triangles for one in found])
    expected = np.concatenate([v[mesh.faces.numpy()] for v, mesh in zip(wanted, pair, strict=True)])
    np.testing.assert_allclose(triangles, expected, atol=1e-4 if kind == ".stl" else 1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_closed_hands_are_watertight_and_not_inside_out(tmp_path, pair, kind):
    for mesh in pair:
        (found,) = loaded(write_meshes(tmp_path / f"{mesh.name}{kind}", [mesh], closed=True))
        found.merge_vertices(merge_norm=True, merge_tex=True)
        assert found.is_watertight and found.is_winding_consistent
        assert 1e-4 < found.volume / (1e9 if kind == ".stl" else 1) < 1e-3  # cubic meters of a hand, positive
        assert len(found.faces) == 1538 + 16


def test_printing_gets_closed_wrists_unasked(tmp_path, pair):
    (closed,) = loaded(write_meshes(tmp_path / "a.stl", pair[:1]))
    (open_wrist,) = loaded(write_meshes(tmp_path / "a.ply", pair[:1]))
    assert len(closed.faces) == 1538 + 16 and len(open_wrist.faces) == 1538
    whole = Mesh(*watertight(pair[0].vertices_cam, pair[0].faces))
    (again,) = loaded(write_meshes(tmp_path / "b.stl", [whole]))  # nothing is left to close
    assert len(again.faces) == 1538 + 16


def test_the_fan_is_flat_and_leaves_the_hand_alone(hand):
    vertices, faces = watertight(hand.template, hand.faces)
    assert torch.equal(vertices[:-1], hand.template) and torch.equal(faces[:1538], hand.faces)
    mesh = trimesh.Trimesh(vertices.numpy(), faces.numpy(), process=False)
    assert mesh.is_watertight and mesh.is_winding_consistent and mesh.volume > 0
    with pytest.raises(ValueError, match="closed"):
        watertight(vertices, faces)


def test_glb_as_the_standard_has_it(tmp_path, pair):
    data = write_meshes(tmp_path / "a.glb", pair).read_bytes()
    magic, version, length, json_length, json_kind = struct.unpack_from("<4sIII4s", data)
    assert (magic, version, length, json_kind) == (b"glTF", 2, len(data), b"JSON") and json_length % 4 == 0
    described = json.loads(data[20 : 20 + json_length])
    binary_length, binary_kind = struct.unpack_from("<I4s", data, 20 + json_length)
    assert binary_kind == b"BIN\0" and binary_length == len(data) - 28 - json_length and binary_length % 4 == 0
    assert described["buffers"] == [{"byteLength": binary_length}]
    binary = data[28 + json_length :]
    assert [node["name"] for node in described["nodes"]] == ["right", "left"]
    for mesh in described["meshes"]:
        (primitive,) = mesh["primitives"]
        arrays = {}
        for name, index in [*primitive["attributes"].items(), ("indices", primitive["indices"])]:
            accessor = described["accessors"][index]
            view = described["bufferViews"][accessor["bufferView"]]
            assert view["byteOffset"] % 4 == 0 and view["target"] == (34963 if name == "indices" else 34962)
            kind = "<u4" if accessor["componentType"] == 5125 else "<f4"
            array = np.frombuffer(binary, kind, view["byteLength"] // 4, view["byteOffset"])
            arrays[name] = array.reshape(accessor["count"], 1 if accessor["type"] == "SCALAR" else 3)
            if name == "POSITION":
                assert accessor["min"] == arrays[name].min(0).tolist()
                assert accessor["max"] == arrays[name].max(0).tolist()
        np.testing.assert_allclose(np.linalg.norm(arrays["NORMAL"], axis=1), 1, atol=1e-5)
        assert arrays["indices"].max() < len(arrays["POSITION"])
        # Normals point outwards: along them the hand grows.
        faces = arrays["indices"].reshape(-1, 3)
        grown = trimesh.Trimesh(arrays["POSITION"] + 1e-4 * arrays["NORMAL"], faces, process=False)
        assert grown.area > trimesh.Trimesh(arrays["POSITION"], faces, process=False).area


@pytest.mark.parametrize("kind", KINDS)
def test_files_say_unit_and_frame(tmp_path, pair, kind):
    text = write_meshes(tmp_path / f"a{kind}", pair).read_bytes().decode("latin1")
    assert ("millimeters" if kind == ".stl" else "meters") in text and "x right, y up, z towards the viewer" in text
    assert not text.startswith("solid")  # which would make an STL one of text


@pytest.mark.parametrize("kind", KINDS)
def test_a_mesh_without_colors(tmp_path, hand, kind):
    assert loaded(write_meshes(tmp_path / f"a{kind}", [Mesh(hand.template, hand.faces)]))


def test_what_cannot_be_written(tmp_path, hand):
    mesh = Mesh(hand.template, hand.faces)
    with pytest.raises(ValueError, match="a.fbx: meshes are written as .obj, .ply, .glb, .stl"):
        write_meshes(tmp_path / "a.fbx", [mesh])
    with pytest.raises(ValueError, match="no mesh"):
        write_meshes(tmp_path / "a.obj", [])
    for faces in (hand.faces + 1, hand.faces - 1, hand.faces[:0]):
        with pytest.raises(ValueError, match="a.obj: faces of 'hand'"):
            write_meshes(tmp_path / "a.obj", [mesh._replace(faces=faces)])
    with pytest.raises(ValueError, match="finite"):
        write_meshes(tmp_path / "a.obj", [mesh._replace(vertices_cam=hand.template * torch.inf)])
    with pytest.raises(ValueError, match="color for each"):
        write_meshes(tmp_path / "a.obj", [mesh._replace(colors=torch.zeros(5, 3))])
    assert not list(tmp_path.iterdir())
