"""handlib's hand against smplx 0.1.28, MANO's own code: the same file, the same numbers in, the same mesh out.

How smplx reads a file of the MANO form:

- its type must be said, `ext="npz"`: the default takes every file for a pickle, and opens pickles without precautions;
- `MANO` and `MANOLayer` take a file's path and call it a right hand if its name contains RIGHT; `create` takes the kind
  of model from the name up to its first "_", so it wants a folder with `mano/MANO_RIGHT.npz`;
- what handlib reads can be handed on, `MANO("", data_struct=Struct(**read_hand(path)))`: MANO's pickles without chumpy.

How it counts poses: handlib's `pose` is 0 for the flat hand, which is smplx's `flat_hand_mean=True`. The default there
is False, and adds `hands_mean` to the pose. `MANOLayer` takes matrices and never adds it.

smplx's license forbids commercial use, so nothing of handlib but these tests and `handlib bench` imports it. Without
it they are skipped.
"""

import numpy as np
import pytest
import roma
import torch
from mano_files import Python2Pickle, mirrored_naive, originals_form

from handlib import HandModel
from handlib.hand.files import OPENHAND, read_hand
from handlib.hand.joints import C21, FINGERTIPS, MANO16, convert

smplx = pytest.importorskip("smplx")
from smplx.utils import Struct  # noqa: E402
from smplx.vertex_ids import vertex_ids  # noqa: E402

N = 8
DOUBLE = {"use_pca": False, "flat_hand_mean": True, "batch_size": N, "dtype": torch.float64}
MIRROR = torch.tensor([-1.0, 1, 1], dtype=torch.float64)


@pytest.fixture(scope="module")
def hand64() -> HandModel:
    return HandModel.load().double()


@pytest.fixture
def inputs(generator) -> list[torch.Tensor]:
    """Pose, shape and rotation of the whole hand as an axis-angle; the first pose is flat."""
    pose, shape, orient = (torch.randn(N, size, generator=generator, dtype=torch.float64) for size in (45, 10, 3))
    pose[0] = 0
    return [0.5 * pose, 2 * shape, 2 * orient]


def of_handlib(hand: HandModel, pose, shape, orient) -> torch.Tensor:
    return hand(pose, shape, roma.rotvec_to_rotmat(orient)).vertices


def of_mano(model, pose, shape, orient) -> torch.Tensor:
    return model(betas=shape, global_orient=orient, hand_pose=pose).vertices


def of_layer(model, pose, shape, orient) -> torch.Tensor:
    matrices = roma.rotvec_to_rotmat(pose.unflatten(-1, (15, 3)))
    return model(betas=shape, global_orient=roma.rotvec_to_rotmat(orient)[:, None], hand_pose=matrices).vertices


def assert_same(ours: torch.Tensor, theirs: torch.Tensor, inputs, generator) -> None:
    """Vertices to a micrometer, and the gradients of a random linear function of them."""
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)
    pull = torch.randn(ours.shape, generator=generator, dtype=ours.dtype)
    gradients = [torch.autograd.grad((vertices * pull).sum(), inputs) for vertices in (ours, theirs)]
    for a, b in zip(*gradients, strict=True):
        assert b.abs().max() > 0.1
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def mano(_):
    return smplx.MANO(str(OPENHAND), ext="npz", **DOUBLE), of_mano


def layer(_):
    return smplx.MANOLayer(model_path=str(OPENHAND), ext="npz", **DOUBLE), of_layer


def created(folder):
    (folder / "mano").mkdir()
    (folder / "mano" / "MANO_RIGHT.npz").write_bytes(OPENHAND.read_bytes())
    return smplx.create(str(folder), model_type="mano", ext="npz", **DOUBLE), of_mano


def handed_on(_):
    return smplx.MANO("", data_struct=Struct(**read_hand("openhand")), **DOUBLE), of_mano


@pytest.mark.parametrize("load", [mano, layer, created, handed_on])
def test_the_open_hand(load, tmp_path, hand64, inputs, generator):
    model, posed = load(tmp_path)
    inputs = [x.requires_grad_() for x in inputs]
    assert_same(of_handlib(hand64, *inputs), posed(model, *inputs), inputs, generator)
    np.testing.assert_array_equal(hand64.faces.numpy(), model.faces)


def test_in_single_precision(hand, inputs):
    inputs = [x.float() for x in inputs]
    model = smplx.MANO(str(OPENHAND), ext="npz", **DOUBLE | {"dtype": torch.float32})
    torch.testing.assert_close(of_handlib(hand, *inputs), of_mano(model, *inputs), rtol=0, atol=1e-6)


@pytest.mark.parametrize("protocol", [0, 2])
def test_a_pickle_in_the_original_form(tmp_path, protocol, inputs, generator):
    """handlib reads the pickle, chumpy and all; smplx gets the arrays that went into it."""
    fields = read_hand("openhand")
    path = tmp_path / "MANO_RIGHT.pkl"
    path.write_bytes(Python2Pickle(protocol).file(originals_form(fields)))
    inputs = [x.requires_grad_() for x in inputs]
    model = smplx.MANO("", data_struct=Struct(**fields), **DOUBLE)
    assert_same(of_handlib(HandModel.load(path).double(), *inputs), of_mano(model, *inputs), inputs, generator)


def test_a_pose_of_zero_is_the_flat_hand_here_and_the_mean_hand_there(hand64, inputs):
    pose, shape, orient = inputs
    flat, curled = (smplx.MANO(str(OPENHAND), ext="npz", **DOUBLE | {"flat_hand_mean": flat}) for flat in (True, False))
    ours = of_handlib(hand64, pose + hand64.mean_pose, shape, orient)
    torch.testing.assert_close(ours, of_mano(curled, pose, shape, orient), rtol=0, atol=1e-6)
    still = [torch.zeros_like(x) for x in inputs]
    template = hand64.template.expand(N, -1, -1)
    torch.testing.assert_close(of_mano(flat, *still), template, rtol=0, atol=1e-6)
    assert (of_mano(curled, *still) - template).abs().max() > 5e-3


def test_the_layer_never_adds_the_mean(inputs):
    flat, curled = (
        smplx.MANOLayer(model_path=str(OPENHAND), ext="npz", **DOUBLE | {"flat_hand_mean": flat})
        for flat in (True, False)
    )
    assert torch.equal(of_layer(flat, *inputs), of_layer(curled, *inputs))


@pytest.mark.parametrize("components", [6, 45])
def test_principal_components(hand64, inputs, generator, components):
    """Coefficients of the first components, on top of the mean; for 45 of them smplx takes the pose itself."""
    _, shape, orient = inputs
    settings = DOUBLE | {"use_pca": True, "num_pca_comps": components, "flat_hand_mean": False}
    model = smplx.MANO(str(OPENHAND), ext="npz", **settings)
    coefficients = torch.randn(N, components, generator=generator, dtype=torch.float64)
    offset = coefficients if components == 45 else coefficients @ hand64.pose_components[:components]
    ours = of_handlib(hand64, hand64.mean_pose + offset, shape, orient)
    torch.testing.assert_close(ours, of_mano(model, coefficients, shape, orient), rtol=0, atol=1e-6)


def test_joints_of_the_flat_hand(hand64, inputs):
    """handlib regresses joints from the posed mesh, smplx gives those of the tree: the same only where none is bent."""
    pose, shape, orient = inputs
    model = smplx.MANO(str(OPENHAND), ext="npz", **DOUBLE)
    theirs = model(betas=shape, global_orient=orient, hand_pose=0 * pose).joints
    ours = hand64(0 * pose, shape, roma.rotvec_to_rotmat(orient)).joints
    torch.testing.assert_close(convert(ours, C21, MANO16), theirs, rtol=0, atol=1e-6)
    bent = model(betas=shape, global_orient=orient, hand_pose=pose).joints
    apart = convert(hand64(pose, shape, roma.rotvec_to_rotmat(orient)).joints, C21, MANO16) - bent
    assert apart.norm(dim=-1).max() > 1e-3


@pytest.mark.parametrize("defect", [False, True], ids=["mended", "shapedirs of the right hand"])
def test_left_hand(tmp_path, inputs, generator, defect):
    """A file like the published MANO_LEFT, with the shapedirs of the right hand, or with those that it should have.

    With smplx one changes their sign in x by hand (github.com/vchoutas/smplx/issues/48); handlib sees it itself. It
    mirrors the hand: the left hand's pose (x, y, z) is (x, −y, −z) of the right one, and so is its rotation.
    """
    right = read_hand("openhand")
    left = mirrored_naive(right)
    path = tmp_path / "MANO_LEFT.npz"
    np.savez(path, **left | ({"shapedirs": right["shapedirs"]} if defect else {}))
    model = smplx.MANO(str(path), ext="npz", **DOUBLE)
    assert not model.is_rhand
    if defect:
        model.shapedirs[:, 0] *= -1

    inputs = [x.requires_grad_() for x in inputs]
    pose, shape, orient = inputs
    turned = (pose.unflatten(-1, (15, 3)) * -MIRROR).flatten(-2)
    ours = HandModel.load(path).double()
    assert ours.side == "left"
    vertices = of_handlib(ours, turned, shape, orient * -MIRROR)
    assert_same(vertices * MIRROR, of_mano(model, *inputs), inputs, generator)

    curled = smplx.MANO(str(path), ext="npz", **DOUBLE | {"flat_hand_mean": False})
    torch.testing.assert_close(ours.mean_pose.view(15, 3) * -MIRROR, curled.hand_mean.view(15, 3), rtol=0, atol=1e-7)


def test_fingertips_are_those_of_smplx():
    names = ("thumb", "index", "middle", "ring", "pinky")
    assert FINGERTIPS["smplx"].vertices == tuple(vertex_ids["mano"][name] for name in names)
