"""What a training starts from: a checkpoint, the evidence networks of one, or random weights and lifting."""

import hashlib
import json
import os
from dataclasses import asdict
from pathlib import Path

from torch import nn

from .dhpe import DHPE, WEIGHTS
from .lifting import lifted
from .profiles import TrainConfig

# What F and J2D depend on, as names of fields of DHPEConfig.
FEATURES = ("trunk", "feature_width", "features")
POSE = ("trunk", "pose_width")


def first_weights(
    model: DHPE, config: TrainConfig, cache: str | os.PathLike[str] | None = None, progress: bool = True
) -> dict[str, str]:
    """Gives a new model the weights that its run starts from; returns notes for the checkpoints: where they are from.

    cache: folder that keeps lifted regressors for other runs.
    """
    if config.init:
        return {"init": warm_start(model, config.init)}
    notes = {}
    if config.init_evidence:
        notes["init_evidence"] = start_evidence(model.feature_extractor, model.pose_network, config)
    if config.lifting_steps:
        lifted(model, config.lifting_steps, config.loss, seed=config.seed, cache=cache, progress=progress)
    return notes


def warm_start(model: DHPE, name_or_path: str) -> str:
    """Gives a model the weights of a checkpoint of the same config; returns, as JSON, which file it was and how that
    came about."""
    parent = DHPE.from_pretrained(name_or_path)
    _check_equal(model.config, parent, tuple(asdict(model.config)), name_or_path)
    model.load_state_dict(parent.state_dict())
    return _origin(parent, name_or_path)


def start_evidence(features: nn.Module | None, pose: nn.Module | None, config: TrainConfig) -> str:
    """Gives F and J2D, or the one of them that there is, the weights that they have in `config.init_evidence`; returns
    what `warm_start` does.

    The paper's F and J2D start from published weights, too, and all else from random ones.
    """
    name_or_path = config.init_evidence
    parent = DHPE.from_pretrained(name_or_path)
    if features is not None:
        _check_equal(config.model, parent, FEATURES, name_or_path)
        features.load_state_dict(parent.feature_extractor.state_dict())
    if pose is not None:
        _check_equal(config.model, parent, POSE, name_or_path)
        if parent.pose_network is None:
            raise ValueError(f"{name_or_path}: has no J2D: start from a checkpoint whose config has evidence_2d")
        pose.load_state_dict(parent.pose_network.state_dict())
    return _origin(parent, name_or_path)


def _check_equal(config, parent: DHPE, fields: tuple[str, ...], name_or_path: str) -> None:
    for name in fields:
        mine, theirs = getattr(config, name), getattr(parent.config, name)
        if mine != theirs:
            raise ValueError(
                f"{name_or_path}: its config has {name}={theirs!r}, the run's {mine!r}: start from a checkpoint of the "
                f"same networks, or give --model.{name.replace('_', '-')}"
            )


def _origin(parent: DHPE, name_or_path: str) -> str:
    path = WEIGHTS / "lite.safetensors" if name_or_path == "lite" else Path(name_or_path).expanduser()
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return json.dumps({"name": name_or_path, "sha256": digest, "provenance": parent.provenance})
