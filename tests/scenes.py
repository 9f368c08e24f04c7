"""Photographs made of rendered hands, and where the hands' joints are in them."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional


class Scene(NamedTuple):
    image: Tensor  # 3 h w
    joints_px: list[Tensor]


class Hands:
    """Pictures of hands and their joints, to be pasted into larger ones."""

    def __init__(self, rendered: dict[str, Tensor]):
        self.images, self.joints = rendered["image"], rendered["joints_px"]

    def scene(self, height: int, width: int, *placed: tuple[int, int, int, int, int, bool]) -> Scene:
        """placed: for each hand its number, x, y, side, quarters that it is turned by, and whether it is mirrored."""
        image, all_joints = torch.full((3, height, width), 0.5), []
        for number, x, y, side, quarters, mirrored in placed:
            picture, joints = self.images[number], self.joints[number] / self.images.shape[-1]
            if mirrored:
                picture, joints = picture.flip(-1), joints * torch.tensor([-1.0, 1]) + torch.tensor([1.0, 0])
            for _ in range(quarters):  # counterclockwise
                joints = torch.stack([joints[:, 1], 1 - joints[:, 0]], -1)
            picture = picture.rot90(quarters, (-2, -1))
            picture = functional.interpolate(picture[None], (side, side), mode="bilinear", antialias=True)[0]
            image[:, y : y + side, x : x + side] = picture
            all_joints.append(joints * side + torch.tensor([x, y]))
        return Scene(image, all_joints)
