"""The first weights of a training run: from a checkpoint, from the J2D of one, or random; and lifting."""

import json
import os
from dataclasses import asdict

from torch import nn

from ..dhpe import DHPE
from ..networks.checkpoint import checkpoint_path
from ..support.files import sha256
from .lifting import lifted
from .profiles import TrainConfig


def first_weights(
    model: DHPE, config: TrainConfig, cache: str | os.PathLike[str] | None = None, progress: bool = True
) -> dict[str, str]:
    """Loads the weights that a run starts from into a new model; returns their origin as notes for the checkpoints.

    cache: folder that keeps lifted regressors for other runs.
    """
    if config.init:
        return {"init": warm_start(model, config.init)}
    notes = {}
    if config.init_pose and model.pose_network is not None:
        notes["init_pose"] = start_pose(model.pose_network, config)
    if config.lifting_steps:
        lifted(model, config.lifting_steps, config.loss, seed=config.seed, cache=cache, progress=progress)
    return notes


def warm_start(model: DHPE, name_or_path: str) -> str:
    """Loads a checkpoint of the same config into a model; returns its name, digest and provenance as JSON."""
    parent = DHPE.from_pretrained(name_or_path)
    _check_equal(model.config, parent, tuple(asdict(model.config)), name_or_path)
    model.load_state_dict(parent.state_dict())
    return _origin(parent, name_or_path)


def start_pose(network: nn.Module, config: TrainConfig) -> str:
    """Loads the J2D of the checkpoint `config.init_pose`; returns what `warm_start` returns.

    The paper's J2D and F start from published weights. F of lite is no useful start: next to 2D joints it has learned
    almost nothing.
    """
    parent = DHPE.from_pretrained(config.init_pose)
    _check_equal(config.model, parent, ("trunk", "pose_width"), config.init_pose)
    if parent.pose_network is None:
        raise ValueError(f"{config.init_pose} has no J2D: start from a checkpoint whose config has evidence_2d")
    network.load_state_dict(parent.pose_network.state_dict())
    return _origin(parent, config.init_pose)


def _check_equal(config, parent: DHPE, fields: tuple[str, ...], name_or_path: str) -> None:
    for name in fields:
        mine, theirs = getattr(config, name), getattr(parent.config, name)
        if mine != theirs:
            raise ValueError(
                f"{name_or_path}: its config has {name}={theirs!r}, the run's {mine!r}: start from a checkpoint of the "
                f"same networks, or set --{name.replace('_', '-')}"
            )


def _origin(parent: DHPE, name_or_path: str) -> str:
    digest = sha256(checkpoint_path(name_or_path))
    return json.dumps({"name": name_or_path, "sha256": digest, "provenance": parent.provenance})
