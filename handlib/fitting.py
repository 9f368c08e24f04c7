"""`fit`: Eq. 13 without a network. A hand from 2D joints, and from its mask where there is one.

One view hides the depth of every finger, so the energy (posterior.py) has many minima. A coarse search over poses and
viewpoints finds starts, a batched Levenberg–Marquardt descends from all of them at once on the skeleton alone
(skeleton.py), and the state of the least energy is the answer. Only the mask's term needs the mesh.
"""

import math

import roma
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from tqdm import tqdm

from .camera import FLIP, SCALE_UNIT, rotation_to_quaternion
from .hand import HandModel
from .joints import MIDDLE_MCP
from .output import DHPEOutput
from .parameters import MeshParameters
from .posterior import Anatomy, Posterior, State, root_cam, to_px
from .renderer import Renderer

NOISE = 0.02  # standard deviation of a 2D joint over the crop's side: 4.5 px of 224, a detector's or a careful person's
VIEWS, POSES = 160, 300  # of the coarse search
MASK_SIZE, MASK_ITERATIONS = 112, 60  # pixels of the crop in which outlines are compared; steps of Adam
MASK_POINTS = 20  # the outline weighs as much as this many joints


def fit(
    joints_2d: Float[Tensor, "*batch 21 2"],
    K: Float[Tensor, "*#batch 3 3"] | None = None,
    mask: Float[Tensor, "*#batch h w"] | Bool[Tensor, "*#batch h w"] | None = None,
    hand: HandModel | None = None,
    visible: Float[Tensor, "*#batch 21"] | Bool[Tensor, "*#batch 21"] | None = None,
    starts: int = 24,
    iterations: int = 15,
    seed: int = 0,
    noise: float = NOISE,
    progress: bool = True,
) -> DHPEOutput:
    """A right hand from its 2D joints (C21, pixels), without a network; mirror the image of a left hand first.

    K: intrinsics of the image that the joints are in. With K the camera is a pinhole and `root_cam` is found, its depth
    as certain as the size of the hand is; without K it is scaled orthographic and `root_cam` is None.
    mask: the hand alone, without the forearm, 0 … 1, in the same pixels as the joints.
    visible: which joints count, or weights 0 … 1; those at 0 may hold anything.
    starts, iterations: of the descent. noise: standard deviation of a joint over the side of the crop; less of it makes
    the fit follow the joints more closely. progress: a bar, from 20 hands on.

    `h` describes the hand in its crop, `CROP_FACTOR` times the tight box of the visible joints: its camera is the
    scaled orthographic one that matches the projected joints best, with the root at z = 0. Every hand is fitted by
    itself, so its result does not depend on the batch.
    """
    joints, visible, K, mask = _checked(joints_2d, K, mask, visible)
    hand = hand or HandModel.load().to(joints.device)
    anatomy, fields = Anatomy.of(hand, joints), []
    for i in tqdm(range(len(joints)), "fit", disable=not progress or len(joints) < 20):
        generator = torch.Generator().manual_seed(seed)
        image = (joints[i], visible[i], None if K is None else K[i])
        posterior = Posterior(anatomy, *image, max(noise, NOISE))
        with torch.no_grad():
            state, energy = descend(posterior, coarse_starts(posterior, hand, starts, generator), iterations)
            if noise < NOISE:  # from afar, every joint would be an outlier of such exact ones
                posterior = Posterior(anatomy, *image, noise)
                state, energy = descend(posterior, state, iterations)
        state = state.take(energy.argmin())
        if mask is not None:
            state = match_mask(posterior, hand, state, mask[i])
        fields.append(_describe(posterior, hand, state))
    lead = joints_2d.shape[:-2]
    return DHPEOutput(**{n: torch.stack([f[n] for f in fields]).view(*lead, *fields[0][n].shape) for n in fields[0]})


def descend(posterior: Posterior, state: State, iterations: int) -> tuple[State, Float[Tensor, " n"]]:
    """Levenberg–Marquardt from n starts at once: states and energies, none worse than its start.

    Each start has its own damping, and keeps its place where a step does not help.
    """
    energy = posterior.energy(state)
    damping = torch.full_like(energy, 1e-2)
    for _ in range(iterations):
        residual, jacobian = posterior.linearised(state)
        hessian, slope = jacobian.mT @ jacobian, jacobian.mT @ residual[..., None]
        diagonal = hessian.diagonal(dim1=1, dim2=2)
        factor = torch.linalg.cholesky(hessian + torch.diag_embed(damping[:, None] * diagonal + 1e-9))
        tried = state.moved(-torch.cholesky_solve(slope, factor)[..., 0])
        reached = posterior.energy(tried)
        better = reached < energy
        state = State(
            *(torch.where(better.view(-1, *[1] * (a.dim() - 1)), a, b) for a, b in zip(tried, state, strict=True))
        )
        energy = torch.where(better, reached, energy)
        damping = torch.where(better, damping / 4, damping * 6).clamp(1e-7, 1e7)
    return state, energy


# ---- starts


def coarse_starts(posterior: Posterior, hand: HandModel, starts: int, generator: torch.Generator) -> State:
    """For each of many viewpoints the best pose among the model's samples; of those the best `starts`.

    Under a scaled orthographic camera the turn in the image, the scale and the place are a similarity of the plane:
    with points as complex numbers, y ≈ s·x + t leaves |y|² − |⟨x, y⟩|² / |x|².
    """
    like, prior = posterior.joints_px, posterior.prior
    if len(hand.pose_samples):
        rows = torch.randperm(len(hand.pose_samples), generator=generator)[:POSES]
        z = prior.whiten(hand.pose_samples.to(like)[rows.to(like.device)])
    else:
        z = torch.randn(POSES, len(prior.basis), generator=generator).to(like)
    views = sphere_views(VIEWS, generator).to(like)
    joints = posterior.skeleton(prior.pose(z), z.new_zeros(len(z), 10))
    joints = joints - joints[:, MIDDLE_MCP : MIDDLE_MCP + 1]
    # Single precision is enough for a start and halves the time.
    x = torch.view_as_complex((joints.float() @ views[:, None, :2].mT.float()).contiguous())  # (views, poses, 21)
    y = torch.view_as_complex(like.float())
    weight = (posterior.visible / posterior.visible.sum()).to(x.dtype)
    mean_x, mean_y = x @ weight, y @ weight
    x, y = x - mean_x[..., None], y - mean_y
    product, size = (x.conj() * weight) @ y, (x.abs().square() * weight.real).sum(-1)
    error = (y.abs().square() * weight.real).sum() - product.abs().square() / size
    # The samples are a coarse net, so they are held against the image with twice the noise.
    energy = error * posterior.visible.sum() / (2 * posterior.sigma) ** 2 + z.square().sum(-1)
    energy, pose = energy.min(1)
    view = energy.topk(min(starts, VIEWS), largest=False).indices
    pose = pose[view]
    s = product[view, pose] / size[view, pose]
    root = mean_y - s * mean_x[view, pose]  # the origin of the joints is the root
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


def match_mask(posterior: Posterior, hand: HandModel, state: State, mask: Float[Tensor, "h w"]) -> State:
    """Goes on from one state by Adam, with the mask's term ½ n ‖Ren(m) − mask‖² / (s·L) and the real mesh.

    An outline of length L that is off by d pixels adds L·d to the squared difference, so over s·L it is the offset in
    standard deviations, and it counts as n joints do. The image is the crop at `MASK_SIZE` pixels.
    """
    zoom = MASK_SIZE / posterior.box[2]
    target = _crop(mask, posterior.box)
    length = 4 * MASK_SIZE  # about what a hand's outline measures in its crop
    renderer, faces = Renderer(MASK_SIZE), hand.faces.to(mask.device)
    step = state.z.new_zeros(len(state.z) + 16).requires_grad_()
    # Adam's steps have one size: a fiftieth of a standard deviation, a radian, the noise of a joint, or the scale.
    unit = torch.cat([torch.ones_like(step[:-3]), posterior.sigma.expand(2), step.new_ones(1)]).detach()
    optimiser = torch.optim.Adam([step], lr=0.02)
    best, least = state, torch.inf
    for _ in range(MASK_ITERATIONS):
        moved = state.moved(step * unit)
        points = _mesh_cam(posterior, hand, moved)
        px = (to_px(points, moved.place, posterior.K) - posterior.box[:2]) * zoom
        drawn = renderer.silhouette(torch.cat([px, points[:, 2:]], -1).float(), faces)
        offset = (drawn - target).square().sum() / (posterior.sigma * zoom * length)
        energy = posterior.energy(moved) + MASK_POINTS / 2 * offset
        if energy < least:
            best, least = State(*(part.detach() for part in moved)), energy.item()
        optimiser.zero_grad()
        energy.backward()
        optimiser.step()
    return best


def _crop(mask: Float[Tensor, "h w"], box: Float[Tensor, "3"]) -> Float[Tensor, "side side"]:
    """The square box (left, top, side) of a mask, resampled; 0 beyond the image."""
    height, width = mask.shape
    centre = (torch.arange(MASK_SIZE).to(mask) + 0.5) / MASK_SIZE * box[2]
    x, y = (centre + box[0]) * 2 / width - 1, (centre + box[1]) * 2 / height - 1
    grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)
    return torch.nn.functional.grid_sample(mask[None, None], grid[None], align_corners=False)[0, 0]


# ---- the result


def _mesh_cam(posterior: Posterior, hand: HandModel, state: State) -> Float[Tensor, "778 3"]:
    """The real model's mesh, along camera axes and relative to the root."""
    vertices = hand(posterior.prior.pose(state.z).to(hand.template), state.beta.to(hand.template)).vertices
    root = hand.regress_joints(vertices)[MIDDLE_MCP]
    return (vertices - root).to(state.z) @ state.rotation.mT


def _describe(posterior: Posterior, hand: HandModel, state: State) -> dict[str, Tensor]:
    """The fields of `DHPEOutput`, from the real model's mesh."""
    vertices = _mesh_cam(posterior, hand, state)
    joints = hand.joint_regressor.to(vertices) @ vertices
    joints_px = to_px(joints, state.place, posterior.K)

    # c of h: least squares over the projected joints. It acts on the model's own frame, whose origin is not the root.
    pose = posterior.prior.pose(state.z)
    model = posterior.skeleton(pose, state.beta) @ state.rotation.mT
    crop = (joints_px - posterior.box[:2]) / posterior.box[2] * 2 - 1
    centred = (model - model.mean(0))[:, :2]
    scale = (centred * (crop - crop.mean(0))).sum() / centred.square().sum()
    shift = (crop - scale * model[:, :2]).mean(0)
    depth = -scale * model[MIDDLE_MCP, 2:]
    quaternion = rotation_to_quaternion(state.rotation * state.rotation.new_tensor(FLIP)[:, None])
    h = MeshParameters(pose, state.beta, quaternion, scale[None] / SCALE_UNIT, torch.cat([shift, depth])).join()

    fields = {"h": h, "vertices": vertices, "joints_3d": joints, "joints_2d": joints_px}
    if posterior.K is not None:
        fields["root_cam"] = root_cam(state.place, posterior.K)
    return {name: value.float() for name, value in fields.items()}


# ---- the arguments


def _checked(joints_2d, K, mask, visible) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
    """One row a hand in double precision: joints (zero where not visible), weights, K and mask.

    `ValueError` says what cannot be fitted and what to do about it.
    """
    if joints_2d.dim() < 2 or joints_2d.shape[-2:] != (21, 2) or not joints_2d.numel():
        raise ValueError(f"joints_2d must be (..., 21, 2) pixels in C21 order, got {tuple(joints_2d.shape)}")
    lead = joints_2d.shape[:-2]

    def rows(name: str, value: Tensor | None, *trailing: int) -> Tensor | None:
        if value is None:
            return None
        size = value.shape[-len(trailing) :]
        try:
            if len(size) < len(trailing) or any(
                want not in (got, -1) for got, want in zip(size, trailing, strict=True)
            ):
                raise RuntimeError
            return value.to(joints_2d.device).double().expand(*lead, *size).reshape(-1, *size)
        except RuntimeError:
            wanted = ", ".join("n" if n < 0 else str(n) for n in (*lead, *trailing))
            raise ValueError(f"{name} must be ({wanted}) like joints_2d, got {tuple(value.shape)}") from None

    joints, K, mask = rows("joints_2d", joints_2d, 21, 2), rows("K", K, 3, 3), rows("mask", mask, -1, -1)
    visible = joints.new_ones(joints.shape[:-1]) if visible is None else rows("visible", visible, 21)
    joints = torch.where(visible[..., None] > 0, joints, 0)
    if not torch.isfinite(joints).all():
        raise ValueError("joints_2d holds NaN or infinity: pass visible=, false at the joints that were not found")
    if ((visible > 0).sum(-1) < 4).any():
        raise ValueError("fewer than 4 joints are visible: leave such a hand out, it cannot be placed")
    spread = torch.stack([(j[v > 0].amax(0) - j[v > 0].amin(0)).amax() for j, v in zip(joints, visible, strict=True)])
    if (spread <= 0).any():
        raise ValueError("all visible joints lie at one point: joints_2d must be in pixels of the image")
    if K is not None and not (torch.isfinite(K).all() and (torch.linalg.det(K).abs() > 1e-6).all()):
        raise ValueError("K is not invertible: give focal lengths in pixels, or leave K out for an orthographic camera")
    return joints, visible, K, mask
