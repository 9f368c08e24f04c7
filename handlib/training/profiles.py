"""`TrainConfig`, the config of a training run, and the profiles, which list only differences from its defaults."""

import math
from dataclasses import dataclass, field, replace
from typing import Literal

import tyro

from ..dhpe import DHPEConfig
from ..losses import LossWeights

MANY, LARGE, ALMOST_ONE = 10**9, 1e30, 0.9999
RANGES = {  # of the numbers of a run, both ends included
    "val_images": (1, MANY), "epochs": (1, MANY), "evidence_epochs": (0, MANY), "accumulate": (1, MANY),
    "lifting_steps": (0, MANY), "learning_rate": (0, LARGE), "joint_learning_rate": (0, LARGE),
    "weight_decay": (0, LARGE), "warmup": (0, ALMOST_ONE), "gradient_clip": (1e-12, LARGE),
    "average": (0, ALMOST_ONE), "feature_every": (1, MANY), "color_jitter": (0, 10), "crop_jitter": (0, 0.5),
    "augment_every": (1, MANY), "augment_cap": (0, MANY), "save_minutes": (0, LARGE), "log_steps": (1, MANY),
    "workers": (0, 1024), "threshold_px": (0, 1e6),
}  # fmt: skip


@dataclass(frozen=True)
class TrainConfig:
    """One training run. A profile is a preset of this; every field can be overridden on the command line."""

    data: tuple[str, ...] = ("synthetic",)  # training sets: synthetic, or specs such as rhd:PATH, stb:PATH
    val_data: tuple[str, ...] = ("synthetic",)  # validation sets, measured after every epoch
    images: int = 1200  # synthetic training hands
    val_images: int = 200  # at most, in each validation set
    data_seed: int = 0  # of the synthetic training hands; another seed gives other hands
    backgrounds: str = ""  # nyu:FILE or pictures:FOLDER behind training hands; "": the built-in photographs
    feed: Literal["memory", "workers", "device"] = "memory"  # read once; read by workers; rendered on the device
    init: str = ""  # checkpoint ("lite" or a path) to start from, instead of random weights and lifting
    init_pose: str = ""  # checkpoint whose J2D starts J2D and F; the paper's start from published weights
    epochs: int = 8  # in total
    evidence_epochs: int = 3  # the first ones, which train J2D alone; the paper's J2D starts from published weights
    batch_size: int = 16  # images in a step, over all processes
    accumulate: int = 1  # parts into which each process divides its share of a batch, to save memory
    lifting_steps: int = 1000  # pre-training of the regressor on skeletons alone (lifting.py); 0: as in the paper
    learning_rate: float = 1e-3  # of the evidence epochs
    joint_learning_rate: float = 3e-4  # of the joint epochs; a larger one undoes the lifting
    weight_decay: float = 1e-4
    warmup: float = 0.05  # fraction of the steps of a stage; the rest is a cosine down to zero
    gradient_clip: float = 1.0
    average: float = 0.0  # exponential average of the weights: the fraction that each step keeps; 0: none
    feature_every: int = 1  # steps between those that compute Eq. 2, a second pass of F, at as many times its weight
    color_jitter: float = 0.15  # standard deviation of gain and offset of each color channel
    crop_jitter: float = 0.2  # of the crops of real training hands, in side and center: `data.crop.Crop.jitter`
    augment_from: int | None = None  # first epoch with augmentation (Sec. 3.5), counted from 0; None: never
    augment_every: int = 1  # steps between those that augment
    augment_cap: int = 6000  # the most instances that augmentation adds to the training set
    precision: Literal["no", "bf16", "fp16"] = "no"  # of the convolutional networks
    device: Literal["auto", "cpu"] = "auto"
    save_minutes: float = 5.0  # between states within an epoch
    log_steps: int = 100  # between rows of the log within an epoch
    seed: int = 0
    workers: int = 2  # processes that render or read
    profile: tyro.conf.Suppress[str] = "laptop"  # name of the preset, for the record; not an option
    model: DHPEConfig = field(default_factory=DHPEConfig)
    loss: LossWeights = field(default_factory=LossWeights)

    def check(self) -> None:
        """Raises `ValueError` for an invalid run; the message names the field and the mend."""
        if min(self.images, self.batch_size) < 2:
            raise ValueError("images and batch_size must be at least 2: batch normalization needs two")
        for name, (least, most) in RANGES.items():
            value = getattr(self.loss if name == "threshold_px" else self, name)
            if not least <= value <= most:  # false for NaN, too
                raise ValueError(f"{name} must be {least:g} … {most:g}, not {value}")
        if self.model.trunk == "photo":
            raise ValueError("the photo trunk is trained by `handlib train --profile photo`")
        if self.evidence_epochs >= max(self.epochs, 1):
            raise ValueError("epochs must be more than evidence_epochs, or the regressor is never trained on images")
        if self.init and self.init_pose:
            raise ValueError("init starts all networks from a checkpoint, init_pose J2D and F: give only one of them")
        if self.evidence_epochs and not self.model.evidence_2d:
            raise ValueError("evidence_epochs must be 0 for a model without evidence_2d, which has no J2D to train")
        if self.augment_from is not None and self.augment_from < self.evidence_epochs:
            raise ValueError("augment_from must be at least evidence_epochs: earlier epochs estimate no meshes")


PROFILES = {
    "smoke": TrainConfig(
        images=32, val_images=16, epochs=2, evidence_epochs=0, lifting_steps=2, workers=0, profile="smoke",
        device="cpu", model=DHPEConfig(size=64, feature_width=4, features=32, pose_width=4, hidden=32),
    ),
    "laptop": TrainConfig(),
    "gpu": TrainConfig(
        images=100_000, val_images=500, epochs=30, evidence_epochs=5, batch_size=64, lifting_steps=4000, workers=8,
        feed="device", precision="bf16", average=0.999, augment_from=20, augment_every=10, augment_cap=20_000,
        profile="gpu", model=DHPEConfig.paper(),
    ),
    # The paper's training set and its schedule as far as it is known. All stages are joint ones, since F and J2D start
    # from published weights.
    "paper": TrainConfig(
        data=("rhd:RHD_published_v2", "stb:STB"), val_data=("rhd:RHD_published_v2",), val_images=500, epochs=40,
        evidence_epochs=0, batch_size=64, lifting_steps=0, joint_learning_rate=1e-4, workers=8, feed="workers",
        augment_from=20, augment_cap=30_000, profile="paper", model=DHPEConfig.paper(),
        loss=LossWeights(feature_scaled=False, feature_joints=0.0),
    ),
}  # fmt: skip


def preset(profile: str, **overrides) -> TrainConfig:
    """Returns the config of a profile with some fields changed."""
    if profile not in PROFILES:
        raise ValueError(f"unknown profile '{profile}': choose one of {', '.join(PROFILES)}")
    return replace(PROFILES[profile], **overrides)


def schedule(progress: float, warmup: float) -> float:
    """Returns the learning-rate factor: a linear rise, then half a cosine to zero."""
    if progress < warmup:
        return (progress + 1e-3) / warmup
    return 0.5 * (1 + math.cos(math.pi * (progress - warmup) / (1 - warmup)))
