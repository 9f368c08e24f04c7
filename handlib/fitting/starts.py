"""Where a fit starts: one view hides the depth of every finger, so the energy has many minima."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from ..hand import HandModel
from ..hand.joints import MIDDLE_MCP
from ..support import roma
from .posterior import Anatomy, N, Posterior, State

VIEWS, POSES = 160, 300  # of the coarse search


class Samples(NamedTuple):
    """Poses that a start may have, and their points."""

    z: Float[Tensor, "s k"]
    points: Float[Tensor, "s p 3"]  # meters, model axes, relative to the root; p is 42 where the 3D points are others

    @classmethod
    def of(cls, hand: HandModel, anatomy: Anatomy, generator: torch.Generator, most: int = POSES) -> "Samples":
        """Pose samples of the model, or draws from its prior where it has none."""
        like, prior = anatomy.limits, anatomy.prior
        if len(hand.pose_samples):
            rows = torch.randperm(len(hand.pose_samples), generator=generator)[:most]
            z = prior.whiten(hand.pose_samples.to(like)[rows.to(like.device)])
        else:
            z = torch.randn(most, len(prior.basis), generator=generator).to(like)
        points = anatomy.skeleton(prior.pose(z), z.new_zeros(len(z), 10))
        return cls(z, points - points[:, MIDDLE_MCP : MIDDLE_MCP + 1])


def starts_from_2d(posterior: Posterior, samples: Samples, count: int, generator: torch.Generator) -> State:
    """For each of many viewpoints the best pose; of those the best `count` of each hand.

    Under a scaled orthographic camera the turn in the image, the scale and the place are a similarity of the plane:
    with points as complex numbers, y ≈ s·x + t leaves |y|² − |⟨x, y⟩|² / |x|². x is a view of a pose's points, so both
    products are views of moments of these points, which no viewpoint changes.

    Rows: all starts of the first hand, then of the second.
    """
    seen, points = posterior.seen, samples.points[:, :N]
    views = sphere_views(VIEWS, generator).to(points)
    right, down, depth = views.unbind(1)
    total = seen.weight.sum(1)
    share = seen.weight / total[:, None]
    mean_y = (share[..., None] * seen.points_px).sum(1)
    y = seen.points_px - mean_y[:, None]
    mean_x = torch.einsum("nj,sja->nsa", share, points)
    spread = torch.einsum("nj,sjab->nsab", share, points[..., None] * points[..., None, :])
    spread = spread - mean_x[..., None] * mean_x[..., None, :]
    cross = torch.einsum("nj,njd,sja->nsad", share, y, points).flatten(2).mT  # (n, 6, s)
    product = torch.complex(
        torch.stack([right, down], -1).flatten(1) @ cross, torch.stack([-down, right], -1).flatten(1) @ cross
    )  # ⟨x, y⟩ of (n, views, s)
    trace = spread.diagonal(dim1=-2, dim2=-1).sum(-1)
    size = trace[:, None] - (depth[:, :, None] * depth[:, None]).flatten(1) @ spread.flatten(2).mT
    error = (share[..., None] * y.square()).sum((1, 2))[:, None, None] - product.abs().square() / size
    # The samples are a coarse net, so they are held against the image with twice the noise.
    energy = error * (total / (2 * posterior.sigma) ** 2)[:, None, None] + samples.z.square().sum(-1)
    energy, pose = energy.min(-1)
    view = energy.topk(min(count, VIEWS), largest=False).indices  # (n, count)
    row = torch.arange(len(view), device=view.device)[:, None]
    pose = pose[row, view]
    s = product[row, view, pose] / size[row, view, pose]
    flat = (views[view, :2] @ mean_x[row, pose][..., None])[..., 0]
    root = torch.view_as_complex(mean_y)[:, None] - s * torch.view_as_complex(flat)  # the points' origin is the root
    turn = roma.rotvec_to_rotmat(torch.stack([0 * s.real, 0 * s.real, s.angle()], -1))
    place = torch.stack([root.real, root.imag, s.abs().log()], -1)
    state = State(samples.z[pose], place.new_zeros(*pose.shape, 10), turn @ views[view], place)
    return State(*(part.flatten(0, 1) for part in state))


def starts_from_3d(posterior: Posterior, samples: Samples, count: int) -> State:
    """The best `count` poses on each hand's 3D points when they are turned onto them, placed by its 2D points.

    Rows: all starts of the first hand, then of the second.
    """
    seen = posterior.seen
    share = (seen.weight / seen.weight.sum(1, keepdim=True))[..., None]
    target = seen.points_3d - (share * seen.points_3d).sum(1, keepdim=True)
    x = samples.points[:, -N:]
    x = x - x.mean(1, keepdim=True)
    cross = torch.einsum("nja,pjb->npab", share * target, x)
    rotation, values = roma.special_procrustes(cross, return_singular_values=True)
    size = (share[:, None] * x.square().sum(-1)[None, :, :, None]).sum((2, 3))
    error = size - 2 * values.sum(-1)
    pose = error.topk(min(count, len(x)), largest=False).indices  # (n, count)
    row = torch.arange(len(pose), device=pose.device)[:, None]
    rotation = rotation[row, pose]
    flat = (samples.points[:, :N][pose] @ rotation.mT)[..., :2]
    share, points = share[:, None], seen.points_px[:, None]
    mean = (share * flat).sum(2, keepdim=True)
    target = points - (share * points).sum(2, keepdim=True)
    scale = (share * (flat - mean) * target).sum((2, 3)) / (share * (flat - mean).square()).sum((2, 3)).clamp(min=1e-12)
    scale = scale.clamp(min=1.0)  # pixels per meter
    place = (share * (points - scale[..., None, None] * flat)).sum(2)
    place = torch.cat([place, scale.log()[..., None]], -1)
    state = State(samples.z[pose], flat.new_zeros(*pose.shape, 10), rotation, place)
    return State(*(part.flatten(0, 1) for part in state))


def sphere_views(n: int, generator: torch.Generator) -> Float[Tensor, "{n} 3 3"]:
    """n rotations that bring evenly spread directions of the model (a spiral on the sphere) to the camera's z axis."""
    number = torch.arange(n, dtype=torch.float64)
    height = 1 - (2 * number + 1) / n
    angle = number * math.pi * (3 - math.sqrt(5)) + 2 * math.pi * torch.rand((), generator=generator)
    radius = (1 - height**2).sqrt()
    z = torch.stack([radius * angle.cos(), radius * angle.sin(), height], -1)
    x = torch.linalg.cross(z.roll(1, -1), z)
    x = x / x.norm(dim=-1, keepdim=True)
    return torch.stack([x, torch.linalg.cross(z, x), z], -2)
