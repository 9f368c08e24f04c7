"""MANO's files, written from the open hand in the form of the originals: right hands and left ones."""

import pickle
import sys
import types

import numpy as np
import pytest
import torch
from mano_files import (
    CH,
    CSC,
    NDARRAY,
    RECONSTRUCT,
    SELECT,
    Call,
    Instance,
    Name,
    chumpy,
    columns,
    originals_form,
    selection,
)
from scipy import sparse

from handlib import HandModel
from handlib.hand.files import HandFileError, read_hand


@pytest.mark.parametrize("protocol", [0, 2])
def test_right_hand(save, assert_open_hand, protocol):
    mano = HandModel.load(save(protocol=protocol))
    assert (mano.side, mano.name) == ("right", "MANO.pkl")
    assert_open_hand(mano)


def test_every_field_is_the_same_to_the_bit(save, right):
    read = read_hand(save())
    ours = {"vertex_colors", "vt", "ft", "named_poses", "pose_names"}
    assert set(read) == set(right) - {"J", "bs_style", "bs_type"} - ours
    for key in set(read) - {"kintree_table"}:
        np.testing.assert_array_equal(read[key], right[key])
        assert read[key].dtype.isnative and read[key].flags.writeable


def test_poses_and_texture_of_a_left_hand(tmp_path, hand, left):
    np.savez(tmp_path / "left.npz", **left)
    mirrored = HandModel.load(tmp_path / "left.npz")
    assert torch.equal(mirrored.uv_faces, hand.uv_faces) and torch.equal(mirrored.uv, hand.uv)
    assert mirrored.named_poses.keys() == hand.named_poses.keys()
    for name, pose in hand.named_poses.items():
        assert torch.equal(mirrored.named_poses[name], pose)


@pytest.mark.parametrize("defect", [False, True], ids=["mirrored shapedirs", "shapedirs of the right hand"])
@pytest.mark.parametrize("protocol", [0, 2])
def test_left_hand(save, left, right, assert_open_hand, protocol, defect):
    left = left | ({"shapedirs": right["shapedirs"]} if defect else {})
    mano = HandModel.load(save(left, protocol))
    assert mano.side == "left"
    assert_open_hand(mano)


@pytest.mark.parametrize("defect", [False, True])
def test_left_hand_as_npz(tmp_path, left, right, assert_open_hand, defect):
    path = tmp_path / "MANO_LEFT.npz"
    np.savez(path, **(left | ({"shapedirs": right["shapedirs"]} if defect else {})))
    mano = HandModel.load(path)
    assert mano.side == "left"
    assert_open_hand(mano)
    assert "J" not in read_hand(path)


def test_a_left_hand_written_again_stays_left(tmp_path, save, left):
    first = read_hand(save(left))
    path = tmp_path / "again.npz"
    np.savez(path, **first)
    again = read_hand(path)
    assert again["side"] == "left" and HandModel.load(path).side == "left"
    for key, array in first.items():
        np.testing.assert_array_equal(again[key], array)


def test_mirroring_is_the_mirror_image_of_the_posed_hand(left, hand, poses, monkeypatch):
    """right(mirrored pose, shape) = M left(pose, shape), the left hand posed as it stands in its file."""
    pose, shape = poses
    monkeypatch.setattr("handlib.hand.model.as_right_hand", lambda fields: fields)
    as_filed = HandModel(left, hand.fingertips)
    mirrored_pose = pose.unflatten(-1, (15, 3)) * torch.tensor([1.0, -1, -1])
    expected = as_filed(mirrored_pose.flatten(-2), shape).vertices * torch.tensor([-1.0, 1, 1])
    torch.testing.assert_close(hand(pose, shape).vertices, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("defect", [False, True])
def test_defect_is_seen_in_any_basis_of_the_shapes(save, left, right, defect, seed):
    """Principal components have no sign, and a basis turned at random spans the same population."""
    turn = np.linalg.qr(np.random.default_rng(seed).normal(size=(10, 10)))[0]
    shapes = right["shapedirs"] if defect else left["shapedirs"]
    read = read_hand(save(left | {"shapedirs": shapes @ turn}))
    np.testing.assert_allclose(read["shapedirs"], right["shapedirs"] @ turn, atol=1e-12)


def test_faces_of_a_left_hand_turn_outwards_even_if_they_were_not_flipped(save, left, right):
    np.testing.assert_array_equal(read_hand(save(left | {"f": right["f"]}))["f"], right["f"])


@pytest.mark.parametrize("turn", [[-1, 1, -1], [1, -1, -1]])
def test_a_turned_hand_is_not_taken_for_a_left_one(save, right, turn):
    with pytest.raises(HandFileError, match="'v_template' is not in MANO's frame"):
        read_hand(save(right | {"v_template": right["v_template"] * np.array(turn)}))


@pytest.mark.parametrize("side", ["Left", 3])
def test_side_is_left_or_right(tmp_path, right, side):
    np.savez(tmp_path / "hand.npz", side=np.array(side), **right)
    with pytest.raises(HandFileError, match="'side' must be 'right' or 'left'"):
        read_hand(tmp_path / "hand.npz")


@pytest.fixture
def modern(right, monkeypatch):
    """The same dict of real objects, for the pickle of today: scipy's, numpy's, and made-up classes for chumpy's."""
    monkeypatch.setitem(sys.modules, "chumpy", types.ModuleType("chumpy"))
    for module, name in (CH, SELECT):
        fake = types.ModuleType(module)
        setattr(fake, name, type(name, (), {"__module__": module}))
        monkeypatch.setitem(sys.modules, module, fake)

    def real(value):
        if not isinstance(value, Instance):
            return value
        if value.of == CSC:
            return sparse.csc_matrix((value.state["data"], value.state["indices"], value.state["indptr"]), (16, 778))
        instance = getattr(sys.modules[value.of.module], value.of.name)()
        instance.__dict__.update({k: real(v) for k, v in value.state.items()})
        return instance

    return {k: real(v) for k, v in originals_form(right).items()}


@pytest.mark.parametrize("protocol", [3, 4])
def test_pickles_that_python_3_wrote_anew(tmp_path, modern, assert_open_hand, protocol):
    path = tmp_path / "MANO_RIGHT.PKL"
    path.write_bytes(pickle.dumps(modern, protocol))
    assert_open_hand(HandModel.load(path))


def test_forms_of_arrays(save, right):
    """Column by column, big-endian, half precision and single bytes; chumpy's arrays nested and without a shape."""
    wide = right["weights"].astype(">f8")
    state = (1, wide.shape, Call(Name("numpy", "dtype"), ("f8", 0, 1), (3, ">", None)), False, wide.tobytes())
    flat = selection(right["hands_mean"].reshape(-1, 1)).state
    flat.pop("preferred_shape")
    read = read_hand(
        save(
            posedirs=np.asfortranarray(right["posedirs"]),
            weights=Call(RECONSTRUCT, (NDARRAY, (0,), b"b"), state),
            kintree_table=np.array([[0, *right["kintree_table"][0, 1:]], range(16)], np.uint8),
            v_template=Instance(CH, chumpy(x=Instance(CH, chumpy(x=right["v_template"])))),
            shapedirs=selection(right["shapedirs"], (778, 3, 10)),
            hands_mean=Instance(SELECT, flat),
        )
    )
    for key in ("posedirs", "weights", "v_template", "shapedirs", "hands_mean"):
        np.testing.assert_array_equal(read[key], right[key])


def test_entries_of_a_sparse_matrix_that_occur_twice_are_summed(save, right):
    parts = columns(right["J_regressor"].astype(np.float64))
    parts["data"], parts["indices"] = np.repeat(parts["data"] / 2, 2), np.repeat(parts["indices"], 2)
    parts["indptr"] = parts["indptr"] * 2
    read = read_hand(save(J_regressor=Instance(CSC, parts)))
    np.testing.assert_allclose(read["J_regressor"], right["J_regressor"], rtol=1e-12)


def test_left_hand_as_fields(left, assert_open_hand):
    hand = HandModel(left)
    assert hand.side == "left"
    assert_open_hand(hand)
