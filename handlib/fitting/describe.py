"""From the state of a fit to the estimate that it stands for."""

import torch
from jaxtyping import Float
from torch import Tensor

from ..camera import FLIP, SCALE_UNIT, rotation_to_quaternion
from ..hand import HandModel
from ..hand.joints import MIDDLE_MCP
from ..output import DHPEOutput
from ..parameters import MeshParameters
from .posterior import Anatomy, N, Posterior, State, root_cam, to_px


def mesh_cam(anatomy: Anatomy, hand: HandModel, state: State) -> Float[Tensor, "n 778 3"]:
    """The real model's mesh, along the camera's axes and relative to the root of the fit's points."""
    pose, shape = anatomy.prior.pose(state.z), state.beta
    vertices = hand(pose.to(hand.template), shape.to(hand.template)).vertices.to(pose)
    root = anatomy.skeleton(pose, shape)[:, MIDDLE_MCP : MIDDLE_MCP + 1]
    return (vertices - root) @ state.rotation.mT


def describe(posterior: Posterior, hand: HandModel, state: State) -> DHPEOutput:
    """The hands of n states.

    `h` describes each hand in its crop, `CROP_FACTOR` times the tight box of the points that count: its camera is the
    scaled orthographic one that matches the projected joints best, with the root at z = 0.
    """
    K, box = posterior.seen.K, posterior.box
    vertices = mesh_cam(posterior.anatomy, hand, state)
    joints = hand.joint_regressor.to(vertices) @ vertices
    joints_px = to_px(joints, state.place, K)
    root = joints[:, MIDDLE_MCP : MIDDLE_MCP + 1]  # not the root of the fit where its points are not the joints

    # c of h: least squares over the projected joints. It acts on the model's own frame, whose origin is not the root.
    pose = posterior.anatomy.prior.pose(state.z)
    origin = posterior.anatomy.skeleton(pose, state.beta)[:, MIDDLE_MCP : MIDDLE_MCP + 1] @ state.rotation.mT
    model = joints + origin
    crop = (joints_px - box[:, None, :2]) / box[:, None, 2:] * 2 - 1
    flat = model[..., :2]
    centered = flat - flat.mean(1, keepdim=True)
    scale = (centered * (crop - crop.mean(1, keepdim=True))).sum((1, 2)) / centered.square().sum((1, 2))
    shift = (crop - scale[:, None, None] * flat).mean(1)
    depth = -scale[:, None] * model[:, MIDDLE_MCP, 2:]
    quaternion = rotation_to_quaternion(state.rotation * state.rotation.new_tensor(FLIP)[:, None])
    h = MeshParameters(pose, state.beta, quaternion, scale[:, None] / SCALE_UNIT, torch.cat([shift, depth], -1)).join()

    points_px = to_px(posterior.points_cam(state)[:, :N], state.place, K)
    off, weight = (points_px - posterior.seen.points_px).norm(dim=-1), posterior.seen.weight
    mean = (weight * off.square()).sum(1) / weight.sum(1)
    return DHPEOutput(
        h=h.float(),
        vertices=(vertices - root).float(),
        joints_3d=(joints - root).float(),
        joints_2d=joints_px.float(),
        root_cam=None if K is None else (root_cam(state.place, K) + root[:, 0]).float(),
        joint_residual_px=torch.where(weight > 0, off, torch.nan).float(),
        residual_px=mean.sqrt().float(),
    )
