"""Draws positions and crops of synthetic hands: viewpoints, distances, focal lengths, detector errors.

Every function draws for a batch, which is the leading dimension of its results.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from ...camera import crop_box, project, quaternion_to_rotation
from .draws import Draws

IMAGE_WIDTH, IMAGE_HEIGHT = 640, 480  # of the virtual camera


def random_placement(draws: Draws) -> tuple[Float[Tensor, "b 3 3"], Float[Tensor, "b 3"]]:
    """Draws a rotation, uniform over all viewpoints, and a position of the root in meters."""
    rotation = quaternion_to_rotation(draws.normal(4))
    distance = draws.uniform(low=0.35, high=1.0)
    sideways = draws.uniform(2, low=-0.5, high=0.5) * distance[:, None]  # in the middle half of the image
    sideways = sideways * sideways.new_tensor([0.5, 0.4])
    return rotation, torch.cat([sideways, distance[:, None]], -1)


def random_intrinsics(draws: Draws) -> Float[Tensor, "b 3 3"]:
    """Draws K of a camera of random focal length, for images of `IMAGE_WIDTH` by `IMAGE_HEIGHT`."""
    return intrinsics(IMAGE_WIDTH * draws.uniform(low=0.8, high=1.3))


def intrinsics(focal: Float[Tensor, " b"]) -> Float[Tensor, "b 3 3"]:
    """Returns K with the principal point in the center of the image."""
    K = focal.new_zeros(len(focal), 3, 3)
    K[:, 0, 0] = K[:, 1, 1] = focal
    K[:, 0, 2], K[:, 1, 2], K[:, 2, 2] = IMAGE_WIDTH / 2, IMAGE_HEIGHT / 2, 1
    return K


def random_box(
    joints_cam: Float[Tensor, "b 21 3"], K: Float[Tensor, "b 3 3"], draws: Draws, jitter: bool
) -> Float[Tensor, "b 3"]:
    """Returns the crop of a hand: left, top, side in pixels. jitter: changes size and center like a detector."""
    box = crop_box(project(joints_cam, K))
    if not jitter:
        return box
    side = box[:, 2:] * draws.uniform(1, low=0.9, high=1.15)
    shift = 0.06 * side * draws.normal(2).clamp(-1.5, 1.5)
    return torch.cat([box[:, :2] + (box[:, 2:] - side) / 2 + shift, side], -1)
