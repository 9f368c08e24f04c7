"""Cameras, crops, and the normalization of Eq. 8 with its inverse.

Frames and units. *Camera*: x right, y down, z forward, meters. *Pixels* of a crop: x right, y down, the center of the
first pixel at (0.5, 0.5). *Crop*: the same axes with the square crop spanning −1 … 1, so that a network sees the same
numbers at every resolution; z is in the same unit as x and y. The hand model has its own axes (hand/model.py): `FLIP`
turns them into the camera's. What has no answer, such as a point in the camera's plane, is infinite or NaN.
"""

import re
from typing import NamedTuple

import torch
from jaxtyping import Float, Num
from torch import Tensor

from .hand.joints import MIDDLE_MCP
from .support import roma
from .support.arguments import at_least, checked, common_lead, shapes, unified

CROP_FACTOR = 1.5  # a crop is this many times the larger side of the tight box of the 2D joints; ω of Eq. 8
SCALE_UNIT = 10.0  # a scale of 1 maps 0.1 m to one crop unit (half the crop), which keeps h's entries near 1
FLIP = (1.0, -1.0, -1.0)  # model axes (y up, z towards the viewer) to camera axes
SHORTEST = 1e-12  # squared length of a quaternion that still has a direction
_FLIP = torch.tensor(FLIP)[:, None]
_NO_TURN = torch.tensor([1.0, 0.0, 0.0, 0.0])
_XY = torch.tensor([1.0, 1.0, 0.0])
_COPIES: dict[tuple, Tensor] = {}


def _like(constant: Tensor, tensor: Tensor) -> Tensor:
    """One of the constants here, as a tensor is and where it is; on a GPU it stays, since every copy there waits."""
    if not tensor.is_cuda:
        return constant.to(tensor)
    key = (id(constant), tensor.dtype, tensor.device)
    if key not in _COPIES:
        with torch.inference_mode(False):  # a tensor made inside of it has no part in gradients, ever
            _COPIES[key] = constant.to(tensor.device, tensor.dtype)
    return _COPIES[key]


# The nine entries of |q|² R(q) as sums of products of two of q's, and the matrix that takes all 16 products to them.
_ENTRIES = (
    *("+ww+xx-yy-zz", "+xy+yx-wz-zw", "+xz+zx+wy+yw"),
    *("+xy+yx+wz+zw", "+ww-xx+yy-zz", "+yz+zy-wx-xw"),
    *("+xz+zx-wy-yw", "+yz+zy+wx+xw", "+ww-xx-yy+zz"),
)
_ROTATION = torch.zeros(16, 9)
for _column, _entry in enumerate(_ENTRIES):
    for _sign, _a, _b in re.findall("(.)(.)(.)", _entry):
        _ROTATION[4 * "wxyz".index(_a) + "wxyz".index(_b), _column] = float(_sign + "1")


@checked
def quaternion_to_rotation(quaternion: Float[Tensor, "*batch 4"]) -> Float[Tensor, "*batch 3 3"]:
    """Rotation of a quaternion w, x, y, z of any length; one too short to have a direction is the identity.

    One product with a fixed matrix, since this is a step of every inner loop and a general conversion takes many.
    """
    squared = quaternion.square().sum(-1, keepdim=True)
    safe = torch.where(squared > SHORTEST, quaternion, _like(_NO_TURN, quaternion))
    squared = torch.where(squared > SHORTEST, squared, 1.0)
    products = (safe[..., :, None] * safe[..., None, :]).flatten(-2)
    return (products @ _like(_ROTATION, quaternion) / squared).unflatten(-1, (3, 3))


@checked
def rotation_jacobian(quaternion: Float[Tensor, "*batch 4"]) -> Float[Tensor, "*batch 4 3 3"]:
    """Derivatives of `Camera.rotation` by w, x, y, z: |q|² R(q) is quadratic in q."""
    squared = quaternion.square().sum(-1)[..., None, None, None].clamp(min=SHORTEST)
    quadratic = 2 * (quaternion @ _like(_ROTATION, quaternion).view(4, 36)).unflatten(-1, (4, 3, 3))
    length = 2 * quaternion[..., None, None] * quaternion_to_rotation(quaternion)[..., None, :, :]
    return (quadratic - length) / squared * _like(_FLIP, quaternion)


@checked
def quaternion_product(a: Float[Tensor, "*batch 4"], b: Float[Tensor, "*batch 4"]) -> Float[Tensor, "*batch 4"]:
    """The quaternion of the rotation b and then a; w x y z."""
    w, x, y, z = a.unbind(-1)
    rows = torch.stack([w, -x, -y, -z, x, w, -z, y, y, z, w, -x, z, -y, x, w], -1).unflatten(-1, (4, 4))
    return (rows @ b[..., None])[..., 0]


@checked
def rotation_to_quaternion(rotation: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 4"]:
    """Unit quaternion w, x, y, z of a rotation, with w ≥ 0."""
    quaternion = roma.rotmat_to_unitquat(rotation).roll(1, -1)
    return torch.where(quaternion[..., :1] < 0, -quaternion, quaternion)


class Camera(NamedTuple):
    """Scaled orthographic camera, the `c` of h: crop = 10σ·FLIP·R(q)·x + t, x in meters."""

    quaternion: Float[Tensor, "*batch 4"]  # w x y z, any length but zero
    scale: Float[Tensor, "*batch 1"]  # crop units per 0.1 m
    translation: Float[Tensor, "*batch 3"]  # crop units

    def __repr__(self) -> str:
        return shapes("Camera", self._asdict().items())

    def rotation(self) -> Float[Tensor, "*batch 3 3"]:
        """Model axes to camera axes."""
        rotation = quaternion_to_rotation(self._tensors().quaternion)
        return rotation * _like(_FLIP, rotation)

    def matrix(self) -> Float[Tensor, "*batch 3 4"]:
        """Model frame in meters to crop coordinates, as one affine map: (10σ·FLIP·R(q) | t)."""
        camera = self._tensors()
        turn_and_scale = camera.rotation() * (SCALE_UNIT * camera.scale[..., None])
        return torch.cat([turn_and_scale, camera.translation[..., None]], -1)

    def _tensors(self) -> "Camera":
        """The same camera as tensors of one precision on one device, each as long as it must be."""
        camera, first = self, self.quaternion
        if not all(isinstance(part, Tensor) and part.dtype is first.dtype for part in self) or not (
            first.dtype in (torch.float32, torch.float64) and first.device == self.scale.device == self[2].device
        ):
            camera = Camera(*unified({f"the camera's {name}": part for name, part in self._asdict().items()}))
        for name, part, n in zip(self._fields, camera, (4, 1, 3), strict=True):
            if part.shape[-1:] != (n,):
                raise ValueError(f"the camera's {name} must end in {n} numbers: got {tuple(part.shape)}")
        leads = [part.shape[:-1] for part in camera]
        if leads[0] == leads[1] == leads[2]:
            return camera
        lead = common_lead("the camera's quaternion, scale and translation", *leads)
        return Camera(*(part.expand(*lead, part.shape[-1]) for part in camera))

    @checked
    def to_crop(self, points: Float[Tensor, "*batch n 3"]) -> Float[Tensor, "*batch n 3"]:
        """Points of the model frame in meters to crop coordinates."""
        matrix = self.matrix()
        if matrix.dtype is not points.dtype:
            points, matrix = unified({"points": points, "the camera": matrix})
        common_lead("points and the camera", points.shape[:-2], matrix.shape[:-2])
        return points @ matrix[..., :3].mT + matrix[..., None, :, 3]


@checked
def crop_to_px(points: Float[Tensor, "*batch n c"], size: int) -> Float[Tensor, "*batch n c"]:
    """Crop coordinates to pixels of a crop of `size`; z, where there is one, is scaled alike but not shifted."""
    _check_crop(points, size)
    half = size / 2
    return torch.add(points * half, _like(_XY, points)[: points.shape[-1]], alpha=half)


@checked
def px_to_crop(points: Float[Tensor, "*batch n c"], size: int) -> Float[Tensor, "*batch n c"]:
    """Inverse of `crop_to_px`."""
    _check_crop(points, size)
    half = size / 2
    return torch.cat([points[..., :2] / half - 1, points[..., 2:] / half], -1)


def _check_crop(points: Tensor, size: int) -> None:
    at_least(1, size=size)
    if points.shape[-1] not in (2, 3):
        raise ValueError(f"points must end in 2 or 3 coordinates, got {tuple(points.shape)}")


# ---- the pinhole camera


@checked
def project(points_cam: Float[Tensor, "*batch n 3"], K: Float[Tensor, "*#batch 3 3"]) -> Float[Tensor, "*batch n 2"]:
    """Camera frame in meters to pixels."""
    px = points_cam @ K.mT
    return px[..., :2] / px[..., 2:]


@checked
def unproject(
    points_px: Float[Tensor, "*batch n 2"], depth: Float[Tensor, "*batch n"], K: Float[Tensor, "*#batch 3 3"]
) -> Float[Tensor, "*batch n 3"]:
    """Pixels and their depths in meters to the camera frame."""
    try:
        inverse = torch.linalg.inv(K)
    except torch.linalg.LinAlgError:
        raise ValueError("K must be invertible: give focal lengths in pixels") from None
    rays = torch.cat([points_px, torch.ones_like(points_px[..., :1])], -1) @ inverse.mT
    return rays * depth[..., None]


@checked
def mirror_cam(points_cam: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
    """Mirrors points of a camera frame, x → −x; its own inverse."""
    return points_cam * points_cam.new_tensor([-1.0, 1.0, 1.0])


@checked
def mirror_px(points_px: Float[Tensor, "*batch 2"], width: float) -> Float[Tensor, "*batch 2"]:
    """Mirrors points of a picture, u → W − u; its own inverse."""
    return torch.stack([width - points_px[..., 0], points_px[..., 1]], -1)


@checked
def mirror_intrinsics(K: Float[Tensor, "*batch 3 3"], width: float) -> Float[Tensor, "*batch 3 3"]:
    """Returns K of the mirrored picture: cx → W − cx, and the skew changes sign; its own inverse."""
    mirrored = K.clone()
    mirrored[..., 0, 1] = -K[..., 0, 1]
    mirrored[..., 0, 2] = width - K[..., 0, 2]
    return mirrored


@checked
def crop_box(joints_px: Float[Tensor, "*batch n 2"], factor: float = CROP_FACTOR) -> Float[Tensor, "*batch 3"]:
    """The square crop around some joints: left, top, side in pixels; `factor` times their tight box's larger side."""
    if not joints_px.shape[-2] or not 0 < factor < 100:
        shape = tuple(joints_px.shape)
        raise ValueError(f"joints_px must hold points and factor be above 0 and below 100: got {shape}, {factor}")
    low, high = joints_px.amin(-2), joints_px.amax(-2)
    side = factor * (high - low).amax(-1, keepdim=True)
    return torch.cat([(low + high - side) / 2, side], -1)


@checked
def crop_intrinsics(
    K: Num[Tensor, "*batch 3 3"], box: Num[Tensor, "*batch 3"], size: int
) -> Float[Tensor, "*batch 3 3"]:
    """K of a crop (left, top, side) that is resized to `size` pixels."""
    at_least(1, size=size)
    zoom = size / box[..., 2]
    K = K if K.is_floating_point() else K.to(zoom)  # in whole numbers the zoom would be cut off
    crop = torch.zeros_like(K)
    crop[..., 0, 0] = crop[..., 1, 1] = zoom
    crop[..., 0, 2], crop[..., 1, 2] = -zoom * box[..., 0], -zoom * box[..., 1]
    crop[..., 2, 2] = 1
    return crop @ K


@checked
def focal_length(K: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch"]:
    """One focal length for both axes, in pixels: the mean of fx and fy."""
    return (K[..., 0, 0] + K[..., 1, 1]) / 2


# ---- Eq. 8


@checked
def normalize_joints(
    joints_cam: Float[Tensor, "*batch 21 3"], K: Float[Tensor, "*batch 3 3"]
) -> Float[Tensor, "*batch 21 3"]:
    """norm(y_J) of Eq. 8: relative to the middle MCP; x and y are pixels over ω, z is depth over z_root·ω/f.

    Under a scaled orthographic camera at the root's depth all three axes then share one unit.
    """
    joints_px = project(joints_cam, K)
    omega = crop_box(joints_px)[..., 2]
    depth_unit = joints_cam[..., MIDDLE_MCP, 2] * omega / focal_length(K)
    xy = joints_px / omega[..., None, None]
    z = joints_cam[..., 2:] / depth_unit[..., None, None]
    normalized = torch.cat([xy, z], -1)
    return normalized - normalized[..., MIDDLE_MCP : MIDDLE_MCP + 1, :]


@checked
def crop_to_cam(
    points_crop: Float[Tensor, "*batch n 3"],
    root_crop: Float[Tensor, "*batch 3"],
    root_depth: Float[Tensor, "*batch"],
    K: Float[Tensor, "*batch 3 3"],
    size: int,
) -> Float[Tensor, "*batch n 3"]:
    """The inverse normalization used at test time: crop coordinates back to the camera frame in meters.

    The depth of the root (the middle MCP) cannot be seen in one image; protocols take the true one. ω cancels: one
    crop unit of depth is size/2 pixels, and a pixel at the root's depth is z_root/f meters.
    """
    meters = (size / 2) * root_depth / focal_length(K)  # of one crop unit at the root's depth
    depth = root_depth[..., None] + (points_crop[..., 2] - root_crop[..., None, 2]) * meters[..., None]
    return unproject(crop_to_px(points_crop[..., :2], size), depth, K)


normalise_joints = normalize_joints  # the name that it had at first
