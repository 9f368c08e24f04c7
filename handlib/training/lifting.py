"""Pre-trains E3D and Ref on skeletons alone: an addition to the paper's schedule for training without a GPU.

Lifting 21 image points to a hand needs no image. Before any image is rendered, the regressor therefore gets the 2D
joints of many hands from all viewpoints, with errors like those of heat maps, and is trained by the same losses (Eq. 6,
Eq. 8). Features are zero meanwhile. Joint training then starts from a regressor that can already lift.
"""

import hashlib
import json
import os
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from ..camera import crop_box, crop_intrinsics, normalize_joints, project, px_to_crop
from ..data.cache import made_once
from ..data.synthetic.draws import Draws
from ..data.synthetic.views import random_box, random_intrinsics, random_placement
from ..dhpe import DHPE
from ..hand.joints import MIDDLE_MCP
from ..losses import LossWeights, articulation_loss, refiner_loss, reprojection_loss
from ..parameters import MeshParameters
from .regressor import ignore_features, train_regressor

VERSION = 1  # of the code below; a new version makes cached regressors invalid
POOL = 20_000  # different poses; each is seen from many viewpoints


def lifted(
    model: DHPE,
    steps: int,
    weights: LossWeights,
    seed: int = 0,
    cache: str | os.PathLike[str] | None = None,
    progress: bool = True,
) -> None:
    """Runs `pretrain_regressor` on a new model, or loads its earlier result from the folder `cache`.

    Runs that differ only after lifting, as ablations do, share one result. The seed must be the one that gave the
    model's random weights.
    """
    used = {name: getattr(weights, name) for name in ("articulation", "reprojection", "refiner", "shape_prior")}
    start = hashlib.sha256()  # of the random weights that lifting starts from
    for value in model.regressor.state_dict().values():
        start.update(value.detach().cpu().numpy().tobytes())
    described = {"config": asdict(model.config), "steps": steps, "loss": used, "seed": seed, "start": start.hexdigest(),
                 "version": VERSION}  # fmt: skip
    digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:12]

    def lift() -> dict[str, Tensor]:
        pretrain_regressor(model, steps, weights, seed=seed, progress=progress)
        return model.regressor.state_dict()

    path = None if cache is None else Path(cache) / f"lifted-{digest}.safetensors"
    model.regressor.load_state_dict(made_once(path, lift))


def pretrain_regressor(
    model: DHPE,
    steps: int,
    weights: LossWeights,
    batch_size: int = 128,
    learning_rate: float = 1e-3,
    seed: int = 0,
    progress: bool = True,
) -> list[float]:
    """Trains `model.regressor` in place; returns the loss of every step."""
    generator = torch.Generator().manual_seed(seed)
    pool, _ = model.hand.sample(min(POOL, steps * batch_size), generator)
    features = torch.zeros(batch_size, model.config.features)
    ignore_features(model.regressor, model.config.features)

    def loss_of(step: int) -> Tensor:
        draws = Draws(f"lifting {seed}", step * batch_size + torch.arange(batch_size))
        joints_cam, K = _hands(model, pool, draws)
        joints_px = project(joints_cam, K)
        joints = px_to_crop(joints_px, model.config.size)
        omega = crop_box(joints)[:, 2]
        target = normalize_joints(joints_cam, K)
        states = model.regressor(model.hand, features, _corrupt(joints, draws))[1:]
        return (
            weights.articulation * sum(articulation_loss(s.joints, target, omega) for s in states) / len(states)
            + weights.reprojection * sum(reprojection_loss(s.joints[..., :2], joints) for s in states) / len(states)
            + weights.refiner * refiner_loss([s.evidence_2d for s in states], joints)
            + weights.shape_prior * MeshParameters.split(states[-1].h).shape.square().mean()
        )

    return train_regressor(model.regressor, loss_of, steps, learning_rate, name="lifting", progress=progress)


def _hands(model: DHPE, pool: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
    """Draws hands from the pool with new shapes and viewpoints: joints in the camera frame, and K of a crop."""
    pose = pool[draws.integer(len(pool))]
    shape = draws.normal(10).clamp(-2.5, 2.5)
    rotation, root = random_placement(draws)
    with torch.no_grad():
        joints = model.hand.skeleton(pose, shape) @ rotation.mT
    joints = joints - joints[:, MIDDLE_MCP : MIDDLE_MCP + 1] + root[:, None]
    K = random_intrinsics(draws)
    return joints, crop_intrinsics(K, random_box(joints, K, draws, jitter=True), model.config.size)


def _corrupt(joints: Tensor, draws: Draws) -> Tensor:
    """Adds errors like those of heat maps: noise whose size differs from hand to hand, and rare large errors."""
    noise = 0.06 * draws.uniform(1, 1) * draws.normal(21, 2)
    blunder = (draws.uniform(21, 1) < 0.05) * 0.4 * draws.normal(21, 2)
    return joints + noise + blunder
