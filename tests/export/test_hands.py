"""Hands out of files, and into smplx, which is skipped without the package."""

import json
from collections import Counter

import numpy as np
import pytest
import torch
import trimesh
from mano_files import mirrored_naive

from handlib import HandModel
from handlib.export.hands import MEAN, mesh_of, own_hand, read_placed, write_open_hand, write_parameters
from handlib.hand.files import read_hand
from handlib.photo.arrays import stacked, write_hands
from handlib.photo.estimate import HandEstimate, describe_photo
from handlib.photo.mano_parameters import SIZES, PlacedHand
from handlib.photo.meshes import watertight, write_meshes
from handlib.support import roma
from handlib.support.files import write_json

CLOSE = 1e-7  # meters: 1e-4 mm
MIRROR = torch.tensor([-1.0, 1, 1])


@pytest.fixture(scope="module")
def hand64() -> HandModel:
    return HandModel.load().double()


@pytest.fixture(scope="module")
def placed(hand64) -> list[PlacedHand]:
    """Two right hands and two left ones in front of a camera, in any pose, shape and turn."""
    generator = torch.Generator().manual_seed(5)
    pose, shape = hand64.sample(4, generator)
    turn, place = (torch.randn(4, 3, generator=generator, dtype=torch.float64) for _ in range(2))
    place = 0.1 * place + torch.tensor([0.0, 0, 0.6])
    sides = ("right", "left", "left", "right")
    return [PlacedHand(*row) for row in zip(pose, shape, roma.rotvec_to_rotmat(2 * turn), place, sides, strict=True)]


@pytest.fixture(scope="module")
def estimates(hand, placed) -> list[HandEstimate]:
    """The same as `predict` gives them, in single precision."""
    K = torch.tensor([[500.0, 0, 160], [0, 500, 120], [0, 0, 1]])
    found = []
    for one in placed:
        pose, shape, rotation, place = (part.float() for part in one[:4])
        vertices = hand(pose, shape).vertices @ rotation.mT + place
        vertices = vertices * MIRROR if one.side == "left" else vertices
        h = torch.cat([pose, shape, torch.tensor([1.0, 0, 0, 0, 0.7, 0, 0, 0])])
        found.append(
            HandEstimate(
                side=one.side, score=0.9, confidence=torch.ones(21), vertices_cam=vertices, K=K, K_assumed=True, h=h,
                joints_cam=hand.regress_joints(vertices), placement=(rotation, place), hand=hand,
            )
        )  # fmt: skip
    return found


@pytest.fixture(scope="module")
def smplx_vertices(tmp_path_factory):
    """What smplx makes of parameters, with files of the open hand that were written for it."""
    smplx, folder = pytest.importorskip("smplx"), tmp_path_factory.mktemp("models")
    models = {}
    for side in ("right", "left"):
        write_open_hand(folder / "mano" / f"MANO_{side.upper()}.npz", side)
        options = {"ext": "npz", "use_pca": False, "flat_hand_mean": True, "dtype": torch.float64}
        models[side] = smplx.create(str(folder), "mano", is_rhand=side == "right", **options)

    def vertices(parameters):
        model = models["right" if parameters["is_rhand"] else "left"]
        return model(**{key: torch.as_tensor(parameters[key], dtype=torch.float64)[None] for key in SIZES}).vertices[0]

    return vertices


def test_an_estimate_of_either_hand_in_smplx(estimates, smplx_vertices):
    for one in estimates:
        off = (smplx_vertices(one.mano()) - one.vertices_cam).abs().max()
        assert off < 2e-7, off  # of single precision at half a meter


@pytest.mark.parametrize("suffix", [".json", ".npz"])
def test_files_of_parameters_in_smplx_and_back(hand64, placed, smplx_vertices, suffix, tmp_path):
    path = write_parameters(tmp_path / f"hands{suffix}", hand64, placed)
    if suffix == ".json":
        rows = json.loads(path.read_text())
    else:
        arrays = np.load(path)
        rows = [{key: arrays[key][i] for key in (*SIZES, "is_rhand")} for i in range(4)]
    again = read_placed(path, hand64)
    assert [one.side for one in again] == [one.side for one in placed]
    for row, one, wanted in zip(rows, again, placed, strict=True):
        mesh = mesh_of(hand64, wanted).vertices_cam
        torch.testing.assert_close(smplx_vertices(row), mesh, rtol=0, atol=CLOSE)
        torch.testing.assert_close(mesh_of(hand64, one).vertices_cam, mesh, rtol=0, atol=CLOSE)


def test_the_left_open_hand_is_the_mirrored_one(hand, tmp_path):
    path = write_open_hand(tmp_path / "MANO_LEFT.npz", "left")
    wanted = mirrored_naive(read_hand("openhand"))
    with np.load(path) as found:
        for key in wanted.keys() & set(found.files):
            np.testing.assert_array_equal(found[key], wanted[key], err_msg=key)
    read = HandModel(path)  # as a right hand again
    assert read.side == "left" and torch.equal(read().vertices, hand().vertices)
    with pytest.raises(ValueError, match="MANO_LEFT.npz"):
        write_open_hand(tmp_path / "hand.npz", "left")


def test_whatever_predict_writes_is_read(hand64, placed, estimates, tmp_path):
    photo = tmp_path / "photo.json"
    photo.write_text(json.dumps(describe_photo(estimates, (320, 240), estimates[0].K, True)))
    listed = write_json(tmp_path / "saved.json", [hand.described() for hand in estimates])
    files = [photo, listed, write_hands(tmp_path / "saved.npz", stacked([hand.row() for hand in estimates]))]
    one = tmp_path / "one.json"
    one.write_text(json.dumps(json.loads(photo.read_text())["hands"][1]["mano"]))
    assert [hand.side for hand in read_placed(one, hand64)] == ["left"]
    for path in files:
        meshes = [mesh_of(hand64, hand) for hand in read_placed(path, hand64)]
        assert [mesh.name for mesh in meshes] == ["right hand", "left hand", "left hand", "right hand"]
        for mesh, estimate in zip(meshes, estimates, strict=True):
            assert (mesh.vertices_cam - estimate.vertices_cam).abs().max() < 2e-7, path
            assert torch.equal(mesh.faces, estimate.faces)


def test_parameters_in_batches_as_smplx_holds_them(hand64, placed, tmp_path):
    path = write_parameters(tmp_path / "one.json", hand64, placed[:1])
    (one,) = json.loads(path.read_text())
    path.write_text(json.dumps({key: [value] if key in SIZES else value for key, value in one.items()}))
    (hand,) = read_placed(path, hand64)
    assert (mesh_of(hand64, hand).vertices_cam - mesh_of(hand64, placed[0]).vertices_cam).abs().max() < CLOSE


def test_a_frame_of_a_video(hand64, placed, tmp_path):
    path = write_parameters(tmp_path / "clip.npz", hand64, placed)
    with np.load(path) as arrays:
        np.savez(path, **dict(arrays) | {"frame": np.array([0, 3, 3, 4])})
    assert [hand.side for hand in read_placed(path, hand64, 3)] == ["left", "left"]
    again = write_parameters(tmp_path / "again.npz", hand64, read_placed(path, hand64))
    assert [hand.frame for hand in read_placed(again, hand64)] == [0, 3, 3, 4]
    assert read_placed(path, hand64, 2) == []
    with pytest.raises(ValueError, match="only the .npz"):
        read_placed(tmp_path / "clip.json", hand64, 2)


@pytest.mark.parametrize("name", [MEAN, "fist"])
@pytest.mark.parametrize("side", ["right", "left"])
def test_own_hands_close_for_printing(hand64, name, side, tmp_path):
    """Every edge has two faces, which run along it in opposite directions; the inside is inside."""
    mesh = mesh_of(hand64, own_hand(hand64, name, side))
    vertices, faces = watertight(mesh.vertices_cam, mesh.faces)
    edges = Counter((a, b) for face in faces.tolist() for a, b in zip(face, face[1:] + face[:1], strict=True))
    assert set(edges.values()) == {1} and all((b, a) in edges for a, b in edges)
    a, b, c = vertices[faces].unbind(1)
    assert 1e-4 < (a * torch.linalg.cross(b, c)).sum() / 6 < 6e-4  # cubic meters
    for suffix, unit in ((".stl", None), (".obj", "mm"), (".ply", "mm")):
        path = write_meshes(tmp_path / f"hand{suffix}", [mesh], True, unit)
        printed = trimesh.load(path, force="mesh", process=True)
        assert printed.is_watertight and printed.is_winding_consistent and 1e5 < printed.volume < 6e5  # mm³
        assert b"millimeters" in path.read_bytes()
    with pytest.raises(ValueError, match="unit must be m"):
        write_meshes(tmp_path / "hand.glb", [mesh], True, "mm")


def test_the_mean_hand_lies_in_the_axes_of_its_model(hand64, tmp_path):
    path = write_meshes(tmp_path / "mean.obj", [mesh_of(hand64, own_hand(hand64))])
    found = trimesh.load(path, process=False, maintain_order=True)
    np.testing.assert_allclose(found.vertices, hand64().vertices.numpy(), atol=CLOSE)


@pytest.mark.parametrize(
    "content, message",
    [
        ("", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("3", "must hold what `handlib predict` writes"),
        ("[[]]", "must hold what"),
        ('{"hands": {}}', "must hold what"),
        ('{"hands": [{"mano": 3}]}', "must hold what"),
        ('{"x": 1}', "hand 0: MANO's parameters lack the field 'global_orient'"),
        ('{"parameters": "clip.npz"}', "the summary of a video; its hands are in clip.npz"),
    ],
    ids=["empty", "deep", "a number", "a list", "no list", "no object", "other fields", "a summary"],
)
def test_files_that_hold_no_hand(hand64, tmp_path, content, message):
    path = tmp_path / "a.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=f"a.json: .*{message}" if message[:4] != "hand" else f"a.json: {message}"):
        read_placed(path, hand64)


def test_what_else_cannot_be_read(hand64, tmp_path):
    with pytest.raises(FileNotFoundError, match="none.json"):
        read_placed(tmp_path / "none.json", hand64)
    (tmp_path / "a.json").write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match="not JSON"):
        read_placed(tmp_path / "a.json", hand64)
    (tmp_path / "a.npz").write_bytes(b"PK")
    with pytest.raises(ValueError, match="a.npz"):
        read_placed(tmp_path / "a.npz", hand64)
