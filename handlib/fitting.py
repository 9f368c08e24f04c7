"""`fit`: Eq. 13 without a network. A hand from 2D joints, and from its mask where there is one.

What is minimised is the negative logarithm of a posterior, so that its terms weigh each other and starts compare:

    E = ½ Σ_j v_j ρ(‖π(Reg(m))_j − j2D_j‖² / s²) + ½ ‖z‖² + ½ ‖β‖² + ½ ‖excess / softness‖² [+ the mask's term]

with π the camera, ρ Geman–McClure's robust function, s the noise of the joints, z the pose in standard deviations of
its prior, β the shape, and the excess that over the joints' limits. Nothing is assumed about the viewpoint.

One view hides the depth of every finger, so E has many minima. A coarse search over poses and viewpoints finds starts,
and a batched Levenberg–Marquardt descends from all of them at once. It needs the skeleton only (skeleton.py).

Coordinates. *place* is the root (middle MCP) in the image: u, v in pixels and the logarithm of the pixels per metre at
its depth; the same three numbers serve the pinhole and the scaled orthographic camera. Rotations map model axes to
camera axes.
"""

import math
from typing import NamedTuple

import roma
import torch
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from .anatomy import SOFTNESS, PosePrior, joint_axes, joint_limits, limit_excess
from .camera import (
    FLIP,
    SCALE_UNIT,
    crop_box,
    focal_length,
    project,
    px_to_crop,
    rotation_to_quaternion,
    unproject,
)
from .hand import HandModel
from .joints import MIDDLE_MCP
from .output import DHPEOutput
from .parameters import MeshParameters
from .renderer import Renderer
from .skeleton import Skeleton, cross_matrix

NOISE = (
    0.02  # standard deviation of a 2D joint over the crop's side: 4.5 px of 224, as of a detector or a careful person
)
OUTLIER = 3.0  # standard deviations where a joint begins to be disbelieved
VIEWS, POSES = 160, 300  # of the coarse search
NEAREST = 0.02  # metres; no point of a hand is closer to the pinhole
MASK_SIZE, MASK_ITERATIONS = 112, 60
MASK_POINTS = 20  # the outline weighs as much as this many joints


class State(NamedTuple):
    """n estimates of one hand."""

    z: Float[Tensor, "*n k"]  # pose in standard deviations
    shape: Float[Tensor, "*n 10"]
    rotation: Float[Tensor, "*n 3 3"]
    place: Float[Tensor, "*n 3"]

    def take(self, index) -> "State":
        return State(*(part[index] for part in self))

    def moved(self, step: Float[Tensor, "*n p"]) -> "State":
        """The state after a step in its p = k + 16 numbers; the three of the rotation turn it from the left."""
        z, shape, turn, place = step.split([self.z.shape[-1], 10, 3, 3], -1)
        return State(self.z + z, self.shape + shape, roma.rotvec_to_rotmat(turn) @ self.rotation, self.place + place)


class Objective:
    """E of one hand as squared residuals: E = ½ Σ r²."""

    def __init__(self, hand: HandModel, joints_px, visible, K, noise: float):
        self.skeleton, self.prior = Skeleton(hand, joints_px), PosePrior.of(hand)
        self.prior = PosePrior(*(part.to(joints_px) for part in self.prior))
        self.axes, self.limits = joint_axes(hand).to(joints_px), joint_limits().to(joints_px)
        self.joints_px, self.visible, self.K = joints_px, visible, K
        self.sigma = noise * crop_box(joints_px[visible > 0])[2]

    def joints_cam(self, state: State) -> Float[Tensor, "*n 21 3"]:
        """Along camera axes in metres, relative to the root."""
        joints = self.skeleton(self.prior.pose(state.z), state.shape)
        return (joints - joints[..., MIDDLE_MCP : MIDDLE_MCP + 1, :]) @ state.rotation.mT

    def residuals(self, state: State) -> tuple[Float[Tensor, "*n 21 2"], Float[Tensor, "*n q"]]:
        """Of the joints in standard deviations, before ρ; and of everything that is known beforehand."""
        pose = self.prior.pose(state.z)
        error = (to_px(self.joints_cam(state), state.place, self.K) - self.joints_px) / self.sigma
        excess = limit_excess(pose, self.axes, self.limits).flatten(-2) / math.radians(SOFTNESS)
        return error * self.visible.sqrt()[:, None], torch.cat([state.z, state.shape, excess], -1)

    def energy(self, state: State) -> Float[Tensor, "*n"]:
        joints, prior = self.residuals(state)
        return (robust(joints.square().sum(-1)).sum(-1) + prior.square().sum(-1)) / 2

    def linearised(self, state: State) -> tuple[Tensor, Tensor]:
        """Residuals (n, 42 + q) and their derivatives (n, 42 + q, p) by a step, ρ entering as a weight √ρ'."""
        n, k = state.z.shape
        pose = self.prior.pose(state.z)
        joints, by_pose, by_shape = self.skeleton.with_jacobian(pose, state.shape)
        by_hand = torch.cat([by_pose @ self.prior.basis.mT, by_shape], -1)  # (n, 21, 3, k + 10)
        joints, by_hand = (a - a[:, MIDDLE_MCP : MIDDLE_MCP + 1] for a in (joints, by_hand))
        joints, by_hand = joints @ state.rotation.mT, state.rotation[:, None] @ by_hand
        by_point, by_place = to_px_jacobian(joints, state.place, self.K)
        by_turn = -cross_matrix(joints)  # a turn ω moves a point by ω × x
        by_step = torch.cat([by_point @ torch.cat([by_hand, by_turn], -1), by_place], -1)

        error, known = self.residuals(state)
        weight = self.visible.sqrt()[:, None] / (1 + error.square().sum(-1, keepdim=True) / OUTLIER**2)
        by_step = by_step * (weight / self.sigma)[..., None]
        out_of_range = (known[:, k + 10 :] != 0)[..., None] / math.radians(SOFTNESS)
        by_z = (self.axes @ self.prior.basis.T.unflatten(0, (15, 3))).flatten(0, 1) * out_of_range
        by_known = by_step.new_zeros(n, known.shape[1], k + 16)
        by_known[:, : k + 10, : k + 10] = torch.eye(k + 10)
        by_known[:, k + 10 :, :k] = by_z
        residual = torch.cat([(error * weight).flatten(1), known], 1)
        return residual, torch.cat([by_step.flatten(1, 2), by_known], 1)


def robust(squared: Tensor) -> Tensor:
    """Geman–McClure's ρ: x² for a small residual, never more than `OUTLIER`²."""
    c = OUTLIER**2
    return squared * c / (squared + c)


def to_px(points: Float[Tensor, "*n v 3"], place: Float[Tensor, "*n 3"], K: Float[Tensor, "3 3"] | None) -> Tensor:
    """Points relative to the root, in metres along camera axes, to pixels."""
    if K is None:
        return place[..., None, :2] + place[..., None, 2:].exp() * points[..., :2]
    points = points + root_cam(place, K)[..., None, :]
    return project(torch.cat([points[..., :2], points[..., 2:].clamp(min=NEAREST)], -1), K)


def to_px_jacobian(points: Float[Tensor, "n v 3"], place: Float[Tensor, "n 3"], K) -> tuple[Tensor, Tensor]:
    """Derivatives of `to_px` by the points (n, v, 2, 3) and by the place (n, v, 2, 3)."""
    if K is None:
        scale = place[:, None, 2:, None].exp()
        plane = torch.eye(3, dtype=points.dtype, device=points.device)[:2]
        by_place = torch.cat([plane[:, :2].expand(*points.shape[:2], 2, 2), scale * points[..., :2, None]], -1)
        return (scale * plane).expand(*points.shape[:2], 2, 3), by_place
    root = root_cam(place, K)
    points = points + root[:, None]
    depth = points[..., 2].clamp(min=NEAREST)[..., None, None]
    by_point = (K[:2] - to_px(points - root[:, None], place, K)[..., None] * K[2]) / depth
    depth_root = focal_length(K) * torch.exp(-place[:, 2])
    by_uv = depth_root[:, None, None] * torch.linalg.inv(K)[:, :2]  # a pixel more moves the root by z·K⁻¹
    return by_point, by_point @ torch.cat([by_uv, -root[..., None]], -1)[:, None]


def root_cam(place: Float[Tensor, "*n 3"], K: Float[Tensor, "3 3"]) -> Float[Tensor, "*n 3"]:
    """The root in the camera frame, in metres."""
    depth = focal_length(K) * torch.exp(-place[..., 2:])
    return unproject(place[..., None, :2], depth, K)[..., 0, :]


def fit(
    joints_2d: Float[Tensor, "*batch 21 2"],
    K: Float[Tensor, "*#batch 3 3"] | None = None,
    mask: Float[Tensor, "*#batch h w"] | None = None,
    hand: HandModel | None = None,
    visible: Tensor | None = None,
    starts: int = 48,
    iterations: int = 25,
    seed: int = 0,
    noise: float = NOISE,
) -> DHPEOutput:
    """A right hand from its 2D joints (C21, pixels), without a network; mirror the image of a left hand first.

    K: intrinsics of the image that the joints are in. With K the camera is a pinhole and `root_cam` is found, its depth
    as certain as the size of the hand is; without K it is scaled orthographic and `root_cam` is None.
    mask: the hand alone, not the forearm, 0 … 1, in the same pixels as the joints.
    visible: which joints count; the others may hold anything. Or weights, 0 … 1.
    starts, iterations: of the descent. The result is the best of all starts and does not depend on the batch.
    noise: standard deviation of a joint as a fraction of the crop's side.

    `h` describes the hand in its crop, `CROP_FACTOR` times the tight box of the visible joints: its camera is the scaled
    orthographic one that matches the projected joints best, with the root at z = 0.
    """
    hand = hand or HandModel.load()
    joints_2d, K, mask, visible = _checked(joints_2d, K, mask, visible)
    lead = joints_2d.shape[:-2]
    flat = joints_2d.reshape(-1, 21, 2)

    def rows(value, trailing: int):
        return (
            [None] * len(flat)
            if value is None
            else value.expand(*lead, *value.shape[-trailing:]).flatten(0, -trailing - 1)
        )

    found = []
    problems = list(zip(flat, rows(visible, 1), rows(K, 2), rows(mask, 2)))
    for joints, seen, k, silhouette in tqdm(problems, "fit", disable=len(problems) < 10):
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            objective = Objective(hand, joints.double(), seen.double(), None if k is None else k.double(), noise)
            state = coarse_starts(objective, hand, starts, generator)
            state, energy = descend(objective, state, iterations)
            state = state.take(energy.argmin())
        if silhouette is not None:
            state = match_mask(objective, hand, state, silhouette)
        found.append(_describe(objective, hand, state))
    fields = {name: torch.stack([f[name] for f in found]).unflatten(0, lead) for name in found[0]}
    return DHPEOutput(**fields)


# ---- descent


def descend(objective: Objective, state: State, iterations: int) -> tuple[State, Float[Tensor, " n"]]:
    """Levenberg–Marquardt from n starts at once: states and energies, each at least as good as its start.

    ρ enters by iterative reweighting; each start has its own damping, and keeps its place where a step does not help.
    """
    n, p = len(state.z), state.z.shape[-1] + 16
    energy, damping = objective.energy(state), state.z.new_full((n,), 1e-2)
    for _ in range(iterations):
        residual, jacobian = objective.linearised(state)
        hessian, slope = jacobian.mT @ jacobian, (jacobian.mT @ residual[..., None])[..., 0]
        diagonal = hessian.diagonal(dim1=1, dim2=2)
        factor = torch.linalg.cholesky(hessian + torch.diag_embed(damping[:, None] * diagonal + 1e-9))
        tried = state.moved(-torch.cholesky_solve(slope[..., None], factor)[..., 0])
        reached = objective.energy(tried)
        better = reached < energy
        state = State(*(torch.where(better.view(-1, *[1] * (a.dim() - 1)), a, b) for a, b in zip(tried, state)))
        energy = torch.where(better, reached, energy)
        damping = torch.where(better, damping / 4, damping * 6).clamp(1e-7, 1e7)
    return state, energy


# ---- starts


def coarse_starts(objective: Objective, hand: HandModel, starts: int, generator: torch.Generator) -> State:
    """The best poses of the model's samples for each of many viewpoints, and of those the best `starts` viewpoints.

    Under a scaled orthographic camera the turn in the image, the scale and the place are a similarity of the plane:
    with points as complex numbers, y ≈ s·x + t has the residual |y|² − |⟨x, y⟩|² / |x|².
    """
    like = objective.joints_px
    if len(hand.pose_samples):
        rows = torch.randperm(len(hand.pose_samples), generator=generator)[:POSES]
        z = objective.prior.whiten(hand.pose_samples.to(like)[rows.to(like.device)])
    else:
        z = torch.randn(POSES, len(objective.prior.basis), generator=generator).to(like)
    views = sphere_views(VIEWS, generator).to(like)
    joints = objective.skeleton(objective.prior.pose(z), z.new_zeros(len(z), 10))
    joints = (joints - joints[:, MIDDLE_MCP : MIDDLE_MCP + 1]).float()
    x = torch.view_as_complex((joints @ views[:, None, :2].mT.float()).contiguous())  # (views, poses, 21)
    y = torch.view_as_complex(like.float())
    weight = (objective.visible / objective.visible.sum()).to(x.dtype)
    mean_x, mean_y = (x @ weight)[..., None], y @ weight
    cx, cy = x - mean_x, y - mean_y
    product, size = (cx.conj() * weight) @ cy, (cx.abs().square() * weight.real).sum(-1)
    error = (cy.abs().square() * weight.real).sum() - product.abs().square() / size
    # The samples are a coarse net, so their distance from the image counts with a wider noise than a joint's.
    energy = error * objective.visible.sum() / (2 * (2 * objective.sigma) ** 2) + z.square().sum(-1) / 2
    energy, pose = energy.min(1)
    view = energy.topk(min(starts, VIEWS), largest=False).indices
    pose = pose[view]
    s = product[view, pose] / size[view, pose]
    root = mean_y - s * mean_x[view, pose, 0]
    turn = roma.rotvec_to_rotmat(torch.stack([0 * s.real, 0 * s.real, s.angle()], -1).to(like))
    place = torch.stack([root.real, root.imag, s.abs().log()], -1).to(like)
    return State(z[pose], like.new_zeros(len(pose), 10), turn @ views[view], place)


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


# ---- the mask


def match_mask(objective: Objective, hand: HandModel, state: State, mask: Float[Tensor, "h w"]) -> State:
    """Goes on from one state with the mask's term, by Adam: the silhouette's gradient is noisy but the start is good.

    The outline is rendered at no more than `MASK_SIZE` pixels of the crop. A boundary that is off by d pixels along a length L
    adds L·d to the squared difference, so that difference over s·L is the offset in standard deviations.
    """
    box = crop_box(objective.joints_px[objective.visible > 0])
    target, to_window = _window(mask.to(objective.joints_px), box)
    renderer = Renderer(MASK_SIZE)
    outline = 4 * MASK_SIZE  # pixels; about what a hand's outline measures in its crop
    sigma = objective.sigma * to_window[0]
    step = state.z.new_zeros(len(state.z) + 16, requires_grad=True)
    optimiser = torch.optim.Adam([step], lr=0.02)
    scale = torch.cat([torch.ones_like(step[:-3]), objective.sigma.expand(2), step.new_ones(1)])
    best, best_energy = state, torch.inf
    for _ in range(MASK_ITERATIONS):
        moved = state.moved(step * scale)
        points = mesh_cam(objective, hand, moved)
        px = to_px(points, moved.place, objective.K) * to_window[0] + to_window[1:]
        drawn = renderer.silhouette(torch.cat([px, points[:, 2:]], -1).float(), hand.faces)
        offset = (drawn - target).square().sum() / (sigma * outline)
        energy = objective.energy(moved) + MASK_POINTS / 2 * offset
        if energy < best_energy:
            best, best_energy = State(*(part.detach() for part in moved)), energy.detach()
        optimiser.zero_grad()
        energy.backward()
        optimiser.step()
    return best


def _window(mask: Float[Tensor, "h w"], box: Float[Tensor, "3"]) -> tuple[Tensor, Tensor]:
    """The crop of a mask at `MASK_SIZE`, and what takes pixels there: scale, shift x, shift y."""
    height, width = mask.shape
    centre = (torch.arange(MASK_SIZE, device=mask.device, dtype=mask.dtype) + 0.5) / MASK_SIZE * box[2]
    x, y = (centre + box[0]) * 2 / width - 1, (centre + box[1]) * 2 / height - 1
    grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)
    crop = torch.nn.functional.grid_sample(mask[None, None], grid[None], align_corners=False)[0, 0]
    zoom = MASK_SIZE / box[2]
    return crop, torch.stack([zoom, -zoom * box[0], -zoom * box[1]])


# ---- the result


def mesh_cam(objective: Objective, hand: HandModel, state: State) -> Float[Tensor, "778 3"]:
    """The real model's mesh along camera axes in metres, relative to the root."""
    pose = objective.prior.pose(state.z).to(hand.template)
    vertices = hand(pose, state.shape.to(hand.template)).vertices
    root = hand.regress_joints(vertices)[MIDDLE_MCP]
    return (vertices - root).to(state.z) @ state.rotation.mT


def _describe(objective: Objective, hand: HandModel, state: State) -> dict[str, Tensor]:
    """The fields of `DHPEOutput`, from the model's own mesh."""
    vertices = mesh_cam(objective, hand, state)
    joints = hand.joint_regressor.to(vertices) @ vertices
    joints_px = to_px(joints, state.place, objective.K)
    box = crop_box(objective.joints_px[objective.visible > 0])
    crop = px_to_crop(joints_px - box[:2], box[2])
    scale = _best_scale(joints[:, :2], crop)
    # to_crop acts on the model's own frame, whose origin is not the root: the translation takes that up.
    pose = objective.prior.pose(state.z).to(hand.template)
    model = hand(pose, state.shape.to(hand.template)).joints.to(joints)
    shift = crop.mean(0) - scale * (model @ state.rotation.mT)[:, :2].mean(0)
    depth = -scale * (model[MIDDLE_MCP] @ state.rotation.mT)[2:]
    quaternion = rotation_to_quaternion(state.rotation * state.rotation.new_tensor(FLIP)[:, None])
    parts = MeshParameters(pose.to(scale), state.shape, quaternion, scale[None] / SCALE_UNIT, torch.cat([shift, depth]))
    fields = {"h": parts.join(), "vertices": vertices, "joints_3d": joints, "joints_2d": joints_px}
    if objective.K is not None:
        fields["root_cam"] = root_cam(state.place, objective.K)
    return {name: value.detach().to(hand.template.dtype) for name, value in fields.items()}


def _best_scale(points: Float[Tensor, "21 2"], target: Float[Tensor, "21 2"]) -> Float[Tensor, ""]:
    """s that brings s·points + t closest to the target."""
    centred = points - points.mean(0)
    return (centred * (target - target.mean(0))).sum() / centred.square().sum()


def _checked(joints_2d, K, mask, visible) -> tuple:
    """The arguments with the joints that are not seen zeroed; `ValueError` for what cannot be fitted."""
    if joints_2d.dim() < 2 or joints_2d.shape[-2:] != (21, 2):
        raise ValueError(f"joints_2d must be (..., 21, 2) pixels in C21 order, got {tuple(joints_2d.shape)}")
    lead = joints_2d.shape[:-2]
    visible = torch.ones_like(joints_2d[..., 0]) if visible is None else visible.to(joints_2d).expand(*lead, 21)
    joints_2d = torch.where(visible[..., None] > 0, joints_2d, 0)
    if not torch.isfinite(joints_2d).all():
        raise ValueError(
            "joints_2d holds NaN or infinity: pass visible=... with False at the joints that were not found"
        )
    if ((visible > 0).sum(-1) < 4).any():
        raise ValueError("fewer than 4 joints are visible: a hand needs at least 4 to be placed")
    if K is not None:
        if K.shape[-2:] != (3, 3):
            raise ValueError(f"K must be (..., 3, 3), got {tuple(K.shape)}")
        if not (torch.isfinite(K).all() and (torch.linalg.det(K).abs() > 1e-6).all()):
            raise ValueError("K is not invertible: give focal lengths in pixels, or K=None for an orthographic camera")
    if mask is not None and mask.dim() < 2:
        raise ValueError(f"mask must be (..., H, W) in the joints' pixels, got {tuple(mask.shape)}")
    return joints_2d, K, mask, visible
