"""Against smplx itself, skipped without it: tests/hand/test_smplx.py says how it reads files."""

import json

import numpy as np
import pytest
import roma
import torch
from mano_files import mirrored_naive

from handlib import HandModel
from handlib.hand.files import OPENHAND, read_hand
from handlib.photo.mano_parameters import SIZES, from_mano_parameters, mano_parameters

MIRROR = torch.tensor([-1.0, 1, 1], dtype=torch.float64)
N = 6


@pytest.fixture(scope="module")
def hand64() -> HandModel:
    return HandModel.load().double()


@pytest.fixture
def placed(generator):
    """Pose, shape, rotation and translation; the first hand is the flat one, not turned."""
    sizes = (45, 10, 3, 3)
    pose, shape, turn, translation = (torch.randn(N, n, generator=generator, dtype=torch.float64) for n in sizes)
    pose[0], turn[0] = 0, 0
    return 0.5 * pose, 2 * shape, roma.rotvec_to_rotmat(2 * turn), translation + torch.tensor([0.0, 0, 0.6])


def ours(hand, pose, shape, rotation, translation):
    """R v + t, with v the mesh that is not turned."""
    return (rotation[..., None, :, :] @ hand(pose, shape).vertices[..., None])[..., 0] + translation[..., None, :]


def theirs(path, parameters):
    smplx = pytest.importorskip("smplx")
    flat = parameters["flat_hand_mean"]
    model = smplx.MANO(str(path), ext="npz", use_pca=False, flat_hand_mean=flat, batch_size=N, dtype=torch.float64)
    assert model.is_rhand == parameters["is_rhand"]
    return model(**{key: parameters[key] for key in SIZES}).vertices


def test_smplx_makes_the_same_right_hand(hand64, placed):
    parameters = mano_parameters(hand64, *placed)
    torch.testing.assert_close(theirs(OPENHAND, parameters), ours(hand64, *placed), rtol=0, atol=1e-7)


def test_smplx_makes_the_same_left_hand(tmp_path, hand64, placed):
    np.savez(tmp_path / "MANO_LEFT.npz", **mirrored_naive(read_hand("openhand")))
    parameters = mano_parameters(hand64, *placed, side="left")
    mirrored = ours(hand64, *placed) * MIRROR
    torch.testing.assert_close(theirs(tmp_path / "MANO_LEFT.npz", parameters), mirrored, rtol=0, atol=1e-7)


@pytest.mark.parametrize("side", ["right", "left"])
def test_there_and_back(hand64, placed, side):
    back = from_mano_parameters(hand64, mano_parameters(hand64, *placed, side=side))
    assert back.side == side
    for found, wanted in zip(back[:4], placed, strict=True):
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-9)


def test_any_leading_dimensions_in_single_precision(hand, lead, generator):
    pose, shape, turn, translation = (torch.randn(*lead, n, generator=generator) for n in (45, 10, 3, 3))
    parameters = mano_parameters(hand, pose, shape, roma.rotvec_to_rotmat(turn), translation)
    assert {key: tuple(parameters[key].shape) for key in SIZES} == {key: (*lead, n) for key, n in SIZES.items()}
    back = from_mano_parameters(hand, parameters)
    torch.testing.assert_close(back.translation, translation, rtol=0, atol=1e-6)


@pytest.mark.parametrize("side", ["right", "left"])
def test_json_holds_them(hand64, placed, side):
    one = mano_parameters(hand64, *(x[1] for x in placed), side=side)
    text = json.dumps({key: value.tolist() if isinstance(value, torch.Tensor) else value for key, value in one.items()})
    back = from_mano_parameters(hand64, json.loads(text))
    torch.testing.assert_close(back.pose, placed[0][1], rtol=0, atol=1e-9)
    torch.testing.assert_close(back.translation, placed[3][1], rtol=0, atol=1e-9)


@pytest.mark.parametrize("side", ["right", "left"])
def test_poses_counted_from_the_mean_hand(tmp_path, hand64, placed, side):
    """smplx's own default, flat_hand_mean=False."""
    path = OPENHAND
    if side == "left":
        path = tmp_path / "MANO_LEFT.npz"
        np.savez(path, **mirrored_naive(read_hand("openhand")))
    parameters = mano_parameters(hand64, *placed, side=side) | {"flat_hand_mean": False}
    vertices = ours(hand64, *from_mano_parameters(hand64, parameters)[:4])
    if side == "left":
        vertices = vertices * MIRROR
    torch.testing.assert_close(theirs(path, parameters), vertices, rtol=0, atol=1e-7)


def test_what_is_no_rotation_is_refused(hand64, placed):
    pose, shape, rotation, translation = placed
    for wrong in (2 * rotation, -rotation, rotation * torch.nan):
        with pytest.raises(ValueError, match="rotation must hold rotation matrices"):
            mano_parameters(hand64, pose, shape, wrong, translation)
    with pytest.raises(ValueError, match="side must be right or left"):
        mano_parameters(hand64, *placed, side="both")


@pytest.mark.parametrize(
    "field, value, message",
    [
        ("hand_pose", [0.0] * 6, "'hand_pose' must end in 45 .*principal components"),
        ("betas", 3.0, "'betas' must end in 10"),
        ("transl", [0.0, "x", 0.0], "'transl' must be an array of numbers"),
        ("transl", None, "'transl' must be an array of numbers"),
        ("global_orient", [[0.0], [0.0, 1.0]], "'global_orient' must be an array of numbers"),
        ("global_orient", [0.0, float("nan"), 0.0], "'global_orient' must hold finite"),
        ("is_rhand", "left", "'is_rhand' must be true or false"),
        ("is_rhand", [True, False], "'is_rhand' must be true or false"),
    ],
)
def test_parameters_that_cannot_be_used(hand64, placed, field, value, message):
    parameters = mano_parameters(hand64, *placed)
    with pytest.raises(ValueError, match=message):
        from_mano_parameters(hand64, parameters | {field: value})
    del parameters["betas"]
    with pytest.raises(ValueError, match="lack the field 'betas'"):
        from_mano_parameters(hand64, parameters)
