"""`fit`: Eq. 13 without a network. A hand from 2D joints, from 3D points and its mask where there are any.

The energy (posterior.py) has many minima. Starts (starts.py) come from the 3D points, or from a coarse search over
poses and viewpoints; Levenberg–Marquardt (solver.py) descends from all of them at once on the skeleton alone, and the
state of the least energy is the answer. Only the mask's term needs the mesh.
"""

import warnings
from dataclasses import replace
from functools import partial

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from tqdm import tqdm

from ..camera import mirror_cam, mirror_intrinsics, mirror_px
from ..hand import HandModel
from ..output import DHPEOutput
from ..support.arguments import at_least, checked
from .describe import describe
from .hints import hint
from .mask import match_mask
from .posterior import Anatomy, Noise, Observation, Posterior, State
from .solver import descend
from .starts import Samples, starts_from_2d, starts_from_3d

FIRST, KEPT = 5, 6  # after so many iterations, so many of a hand's starts go on
CHUNK = 8  # hands at once: few, so that their derivatives stay in the cache, and enough for a hint (hints.py)
LARGEST = 1e6  # pixels of a coordinate, and of a focal length
NOISE = Noise()
FOUND = ("h", "vertices", "joints_3d", "joints_2d", "root_cam", "joint_residual_px", "residual_px")


@checked
@torch.no_grad()
def fit(
    joints_2d: Float[Tensor, "*batch 21 2"],
    K: Float[Tensor, "*#batch 3 3"] | None = None,
    mask: Float[Tensor, "*#batch h w"] | Bool[Tensor, "*#batch h w"] | None = None,
    hand: HandModel | None = None,
    visible: Float[Tensor, "*#batch 21"] | Bool[Tensor, "*#batch 21"] | None = None,
    starts: int = 24,
    iterations: int = 15,
    seed: int = 0,
    noise: float = NOISE.points,
    progress: bool = True,
    joints_3d: Float[Tensor, "*#batch 21 3"] | None = None,
    side: str = "right",
) -> DHPEOutput:
    """A hand from its 2D joints (C21, pixels), without a network.

    K: intrinsics of the image that the joints are in. With K the camera is a pinhole and `root_cam` is found, its depth
    as certain as the size of the hand is; without K it is scaled orthographic and `root_cam` is None.
    mask: the hand alone, without the forearm, 0 … 1, in the same pixels as the joints.
    visible: which joints count, or weights 0 … 1; those at 0 may hold anything.
    joints_3d: meters along the camera's axes, about any origin: a guess that is worth a centimeter a joint.
    side: "right" or "left". Of a left hand the mirror image is fitted, and mirrored back: `h` is a right hand's.
    starts, iterations: of the descent; with joints_3d, which tell the pose, half as many starts.
    noise: standard deviation of a joint over the side of the crop; less of it makes
    the fit follow the joints more closely. progress: a bar, from 20 hands on.

    Every hand is fitted by itself, so its result does not depend on the batch. `residual_px` of the output says how far
    it is from the joints. `ValueError` says what cannot be fitted. A warning says if another joint order, the other
    side, or a K of half or twice the size would explain the joints of the first hands much better (hints.py).
    """
    at_least(1, starts=starts)
    at_least(0, iterations=iterations, seed=seed)
    if not 0 < noise < 1:
        raise ValueError(f"noise must be a share of the crop's side between 0 and 1, such as 0.02, not {noise}")
    seen, mask = _checked(joints_2d, K, mask, visible, joints_3d)
    width = _mirrored_width(side, mask)
    if width is not None:
        seen, mask = mirror(seen, width), None if mask is None else mask.flip(-1)
    hand = hand or HandModel.load().to(joints_2d.device)
    anatomy = Anatomy.of(hand, seen.points_px)
    samples = Samples.of(hand, anatomy, torch.Generator().manual_seed(seed))
    parts = []
    rows = torch.arange(len(seen.points_px), device=joints_2d.device).split(CHUNK)
    for index in tqdm(rows, "fit", disable=not progress or len(seen.points_px) < 20):
        # From afar, every joint would be an outlier of very exact ones: those come second.
        posterior = Posterior(anatomy, seen.take(index), replace(NOISE, points=max(noise, NOISE.points)))
        state = _fitted(posterior, samples, starts, iterations, seed)[0]
        if not parts and iterations:
            again = partial(_energies, posterior, samples, seed)
            doubt = hint(posterior, state, side, mirror(posterior.seen, 0.0), again)
            if doubt:
                warnings.warn(f"another explanation fits these joints much better: {doubt}", stacklevel=4)
        if noise < NOISE.points:
            posterior = Posterior(anatomy, seen.take(index), replace(NOISE, points=noise))
            state = descend(posterior, state, iterations)[0]
        if mask is not None:
            with torch.enable_grad():
                state = match_mask(posterior, hand, state, mask[index])
        parts.append(describe(posterior, hand, state))
    lead = joints_2d.shape[:-2]
    found = {name: [getattr(part, name) for part in parts] for name in FOUND if getattr(parts[0], name) is not None}
    found = {name: torch.cat(values).view((*lead, *values[0].shape[1:])) for name, values in found.items()}
    output = DHPEOutput(**found)
    return output if width is None else mirror_output(output, width)


def _fitted(
    posterior: Posterior, samples: Samples, starts: int, iterations: int, seed: int
) -> tuple[State, Float[Tensor, " n"]]:
    """The best state of each hand, and its energy."""
    if posterior.seen.points_3d is None:
        state = starts_from_2d(posterior, samples, starts, torch.Generator().manual_seed(seed))
    else:
        state = starts_from_3d(posterior, samples, (starts + 1) // 2)
    return best_of(posterior, state, iterations)


def _energies(posterior: Posterior, samples: Samples, seed: int, seen: Observation) -> Float[Tensor, " n"]:
    """Of a fit to other observations of the same hands, from fewer starts."""
    return _fitted(Posterior(posterior.anatomy, seen, posterior.noise), samples, KEPT, FIRST, seed)[1]


def best_of(posterior: Posterior, state: State, iterations: int) -> tuple[State, Float[Tensor, " n"]]:
    """The best end of several starts for each hand. `state` holds as many rows a hand, those of one hand together."""
    n = len(posterior.sigma)
    count = len(state.z) // n
    energy = None
    for keep, steps in ((min(KEPT, count), min(FIRST, iterations)), (1, iterations - FIRST)):
        hands = torch.arange(n, device=state.z.device).repeat_interleave(count)
        if steps > 0:
            state, energy = descend(posterior.take(hands), state, steps)
        energy = posterior.take(hands).energy(state) if energy is None else energy
        kept = energy.view(n, count).topk(keep, largest=False).indices
        index = (kept + torch.arange(n, device=kept.device)[:, None] * count).flatten()
        state, energy, count = state.take(index), energy[index], keep
    return state, energy


# ---- left hands


def mirror(seen: Observation, width: float) -> Observation:
    """What a mirrored image of this width shows: x to width − x."""
    K = None if seen.K is None else mirror_intrinsics(seen.K, width)
    points_3d = None if seen.points_3d is None else mirror_cam(seen.points_3d)
    return seen._replace(points_px=mirror_px(seen.points_px, width), K=K, points_3d=points_3d)


def mirror_output(output: DHPEOutput, width: float) -> DHPEOutput:
    """An estimate of a mirrored image in the image itself; h stays that of the right hand."""
    return replace(
        output,
        vertices=mirror_cam(output.vertices),
        joints_3d=mirror_cam(output.joints_3d),
        joints_2d=mirror_px(output.joints_2d, width),
        root_cam=None if output.root_cam is None else mirror_cam(output.root_cam),
    )


def _mirrored_width(side: str, mask: Tensor | None) -> float | None:
    if side not in ("right", "left"):
        raise ValueError(f"side must be right or left, not {side!r}")
    return None if side == "right" else 0.0 if mask is None else float(mask.shape[-1])


# ---- the arguments


def _checked(joints_2d, K, mask, visible, joints_3d) -> tuple[Observation, Tensor | None]:
    """One row a hand in double precision, joints zero where not visible; and the masks.

    `ValueError` says what cannot be fitted and what to do about it.
    """
    lead = joints_2d.shape[:-2]
    if not lead.numel():
        raise ValueError(f"joints_2d must hold at least one hand, got {tuple(joints_2d.shape)}")
    if mask is not None and not mask.numel():
        raise ValueError(f"mask must hold at least one pixel, got {tuple(mask.shape)}")

    def rows(value: Tensor | None, trailing: int = 2) -> Tensor | None:
        if value is None:
            return None
        size = value.shape[-trailing:]
        return value.double().expand(*lead, *size).reshape(-1, *size)

    joints, K, mask, joints_3d = map(rows, (joints_2d, K, mask, joints_3d))
    visible = joints.new_ones(joints.shape[:-1]) if visible is None else rows(visible, 1)
    for name, weights in (("visible", visible), ("mask", mask)):
        if weights is not None and not ((weights >= 0) & (weights <= 1)).all():  # false for NaN
            raise ValueError(f"{name} must hold weights 0 … 1, or true and false")
    joints = torch.where(visible[..., None] > 0, joints, 0)
    if not torch.isfinite(joints).all():
        raise ValueError("joints_2d holds NaN or infinity: pass visible=, false at the joints that were not found")
    if (joints.abs() > LARGEST).any():
        raise ValueError(f"joints_2d must be pixels of an image: it holds a coordinate beyond {LARGEST:g}")
    if ((visible > 0).sum(-1) < 4).any():
        raise ValueError("fewer than 4 joints are visible: leave such a hand out, it cannot be placed")
    spread = torch.stack([(j[v > 0].amax(0) - j[v > 0].amin(0)).amax() for j, v in zip(joints, visible, strict=True)])
    if (spread <= 0).any():
        raise ValueError("all visible joints lie at one point: joints_2d must be in pixels of the image")
    if K is not None and not _is_camera(K):
        wanted = "[[fx, s, cx], [0, fy, cy], [0, 0, 1]] with focal lengths of at least 1 pixel"
        raise ValueError(f"K must be {wanted}; leave it out for an orthographic camera")
    if joints_3d is not None:
        joints_3d = torch.where(visible[..., None] > 0, joints_3d, 0)
        if not torch.isfinite(joints_3d).all():
            raise ValueError("joints_3d holds NaN or infinity: pass visible=, false at the joints that are not known")
        if (joints_3d.abs() > 20).any():
            raise ValueError("joints_3d must be meters: it holds a coordinate beyond 20")
    return Observation(joints, visible, K, joints_3d), mask


def _is_camera(K: Float[Tensor, "n 3 3"]) -> bool:
    focal = K[:, [0, 1], [0, 1]]
    fixed = (K[:, [1, 2, 2, 2], [0, 0, 1, 2]] == K.new_tensor([0.0, 0, 0, 1])).all()
    return bool(fixed and (focal >= 1).all() and (K.abs() <= LARGEST).all())  # a comparison with NaN is false
