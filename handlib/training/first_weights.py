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
    if config.init_pose:
        notes["init_pose"] = start_evidence(model.pose_network, model.feature_extractor, config)
    if config.lifting_steps:
        lifted(model, config.lifting_steps, config.loss, seed=config.seed, cache=cache, progress=progress)
    return notes


def warm_start(model: DHPE, name_or_path: str) -> str:
    """Loads a checkpoint of the same config into a model; returns its name, digest and provenance as JSON."""
    parent = DHPE.from_pretrained(name_or_path)
    _check_equal(model.config, parent, tuple(asdict(model.config)), name_or_path)
    model.load_state_dict(parent.state_dict())
    return _origin(parent, name_or_path)


def start_evidence(pose: nn.Module | None, features: nn.Module | None, config: TrainConfig) -> str:
    """Starts J2D and F, where a method has them, from the J2D of `config.init_pose`; returns what `warm_start` returns.

    The paper's start from published weights. F takes the layers that it has in common with J2D, which are most of
    lite's: beside 2D joints, an F from random weights learns almost nothing.
    """
    parent = DHPE.from_pretrained(config.init_pose)
    _check_equal(config.model, parent, ("trunk", "pose_width"), config.init_pose)
    if parent.pose_network is None:
        raise ValueError(f"{config.init_pose} has no J2D: start from a checkpoint whose config has evidence_2d")
    weights = parent.pose_network.state_dict()
    if pose is not None:
        pose.load_state_dict(weights)
    if features is not None:
        own = features.state_dict()
        common = {name: value for name, value in weights.items() if name in own and own[name].shape == value.shape}
        features.load_state_dict(common, strict=False)
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
