"""A hand under the names of MANO and smplx, and back.

handlib places a hand as x = R v(pose, shape) + t. smplx turns it about its joint 0, J0(shape): x = R (v − J0) + J0 +
transl, so `global_orient` is the rotation vector of R, and transl = t + R J0 − J0. A pose of zero is the flat hand, as
with `flat_hand_mean=True`. Inside, a left hand is the mirror image (x negated) of a right one; smplx's left hand is
mirrored back: of every rotation vector y and z change their sign, of transl x. To use them with smplx:

    smplx.create(folder, "mano", is_rhand=…, use_pca=False, flat_hand_mean=True)

The published MANO_LEFT holds the `shapedirs` of the right hand; negate their x, as github.com/vchoutas/smplx/issues/48
says.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..hand import HandModel
from ..support import roma

SIZES = {"global_orient": 3, "hand_pose": 45, "betas": 10, "transl": 3}
_MIRROR = (-1.0, 1.0, 1.0)


class PlacedHand(NamedTuple):
    """A right hand, or the mirror image of a left one: x = rotation · v(pose, shape) + translation, in meters."""

    pose: Float[Tensor, "*batch 45"]
    shape: Float[Tensor, "*batch 10"]
    rotation: Float[Tensor, "*batch 3 3"]
    translation: Float[Tensor, "*batch 3"]
    side: str = "right"  # of the hand that it stands for
    frame: int = 0  # of a video


def mano_parameters(
    hand: HandModel,
    pose: Float[Tensor, "*batch 45"],
    shape: Float[Tensor, "*batch 10"],
    rotation: Float[Tensor, "*batch 3 3"],
    translation: Float[Tensor, "*batch 3"],
    side: str = "right",
) -> dict[str, Any]:
    """Parameters under smplx's names: global_orient (3), hand_pose (45), betas (10), transl (3) in meters,
    flat_hand_mean and is_rhand.

    `rotation` and `translation` place the mesh that `hand` has without either; with side "left" all of them are of the
    mirror image, as everywhere inside handlib. A scale does not belong into `rotation`.
    """
    if side not in ("right", "left"):
        raise ValueError(f"side must be right or left, not '{side}'")
    identity = torch.eye(3, dtype=rotation.dtype, device=rotation.device)
    off = (rotation @ rotation.mT - identity).abs().amax()
    if not (off < 1e-3 and (torch.linalg.det(rotation) > 0).all()):  # false for NaN
        raise ValueError("rotation must hold rotation matrices, without scale or mirroring; divide by the scale")
    wrist = _wrist(hand, shape)
    transl = translation + (rotation @ wrist[..., None])[..., 0] - wrist
    parameters = {"global_orient": roma.rotmat_to_rotvec(rotation), "hand_pose": pose, "betas": shape, "transl": transl}
    if side == "left":
        parameters = _mirrored(parameters)
    return parameters | {"flat_hand_mean": True, "is_rhand": side == "right"}


def from_mano_parameters(hand: HandModel, parameters: Mapping[str, Any]) -> PlacedHand:
    """The hand of parameters under smplx's names: tensors, arrays or lists, with any leading dimensions.

    `is_rhand` and `flat_hand_mean` are true where they are missing; smplx's own default of the second is false. Raises
    `ValueError` with the name of a field that cannot be used.
    """
    values = {key: _field(parameters, key, size, hand.template) for key, size in SIZES.items()}
    lead = torch.broadcast_shapes(*(value.shape[:-1] for value in values.values()))
    values = {key: value.expand(*lead, SIZES[key]) for key, value in values.items()}
    right, flat = (_flag(parameters, key) for key in ("is_rhand", "flat_hand_mean"))
    if not right:
        values = _mirrored(values)
    pose = values["hand_pose"] if flat else values["hand_pose"] + hand.mean_pose
    rotation, wrist = roma.rotvec_to_rotmat(values["global_orient"]), _wrist(hand, values["betas"])
    translation = values["transl"] - (rotation @ wrist[..., None])[..., 0] + wrist
    return PlacedHand(pose, values["betas"], rotation, translation, "right" if right else "left")


def _wrist(hand: HandModel, shape: Float[Tensor, "*batch 10"]) -> Float[Tensor, "*batch 3"]:
    """J0: the joint of a shape at rest about which smplx turns the hand."""
    shape = shape.to(hand.template)
    return hand.joint_template[0] + shape @ hand.joint_shapes[:, :3]


def _mirrored(parameters: dict[str, Tensor]) -> dict[str, Tensor]:
    """Those of the other hand in the mirror x → −x: points change x, rotation vectors y and z."""
    points = parameters["transl"].new_tensor(_MIRROR)
    turned = {key: (parameters[key].unflatten(-1, (-1, 3)) * -points).flatten(-2) for key in SIZES if key[0] in "gh"}
    return parameters | turned | {"transl": parameters["transl"] * points}


def _field(parameters: Mapping[str, Any], key: str, size: int, like: Tensor) -> Tensor:
    if key not in parameters:
        raise ValueError(f"MANO's parameters lack the field '{key}'; they are {', '.join(SIZES)}")
    try:
        value = torch.as_tensor(np.asarray(parameters[key]) if isinstance(parameters[key], list) else parameters[key])
        value = value.to(like)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"the field '{key}' must be an array of numbers") from error
    if value.ndim < 1 or value.shape[-1] != size:
        mend = "; turn principal components into a pose first" if key == "hand_pose" else ""
        raise ValueError(f"the field '{key}' must end in {size} numbers, got shape {tuple(value.shape)}{mend}")
    if not value.isfinite().all():
        raise ValueError(f"the field '{key}' must hold finite numbers")
    return value


def _flag(parameters: Mapping[str, Any], key: str) -> bool:
    value = np.asarray(parameters.get(key, True))
    if value.size != 1 or value.item() not in (0, 1):
        raise ValueError(f"the field '{key}' must be true or false")
    return bool(value.item())
