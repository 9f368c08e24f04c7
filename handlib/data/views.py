"""Where a synthetic hand is and which crop shows it: viewpoints, distances, focal lengths, detector errors.

Every function takes any leading dimensions and draws from a generator alone.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from ..camera import crop_box, crop_intrinsics, project, quaternion_to_rotation

IMAGE_WIDTH, IMAGE_HEIGHT = 640, 480  # of the virtual camera that the crops are cut from


def random_placement(generator: torch.Generator, *lead: int) -> tuple[Float[Tensor, "..."], Float[Tensor, "..."]]:
    """A rotation (*lead, 3, 3), uniform over all viewpoints, and a place of the root (*lead, 3) in metres."""
    rotation = quaternion_to_rotation(torch.randn(*lead, 4, generator=generator))
    distance = 0.35 + 0.65 * torch.rand(lead, generator=generator)
    offset = torch.rand(*lead, 2, generator=generator) - 0.5  # in the middle half of the picture
    sideways = offset * distance[..., None] * torch.tensor([0.5, 0.4])
    return rotation, torch.cat([sideways, distance[..., None]], -1)


def random_crop(
    joints_cam: Float[Tensor, "*batch 21 3"], size: int, generator: torch.Generator, jitter: bool
) -> Float[Tensor, "*batch 3 3"]:
    """K of the crop around a hand, by a camera of random focal length.

    jitter: the crop is, as a detector's would be, a little too large, too small or off centre.
    """
    lead = joints_cam.shape[:-2]
    focal = IMAGE_WIDTH * (0.8 + 0.5 * torch.rand(lead, generator=generator))
    K = torch.zeros(*lead, 3, 3)
    K[..., 0, 0], K[..., 1, 1], K[..., 2, 2] = focal, focal, 1
    K[..., 0, 2], K[..., 1, 2] = IMAGE_WIDTH / 2, IMAGE_HEIGHT / 2
    box = crop_box(project(joints_cam, K))
    if jitter:
        side = box[..., 2:] * (0.9 + 0.25 * torch.rand(*lead, 1, generator=generator))
        shift = 0.06 * side * torch.randn(*lead, 2, generator=generator).clamp(-1.5, 1.5)
        box = torch.cat([box[..., :2] + (box[..., 2:] - side) / 2 + shift, side], -1)
    return crop_intrinsics(K, box, size)
