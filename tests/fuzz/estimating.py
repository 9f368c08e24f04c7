"""The network, what refines and fits a hand, and the hands that it learns from."""

from dataclasses import replace

import numpy as np
import torch
from function import Function
from given import each, intrinsics, just, numbers, one_of, scalars
from loaded import hand, model, photograph

import handlib
from handlib import DHPE, DHPEConfig, augmentation
from handlib.data import SyntheticHands


def fitted(**arguments):
    output = handlib.fit(**arguments, starts=4, iterations=3, progress=False, hand=hand())
    return replace(output, joint_residual_px=output.joint_residual_px.nan_to_num())  # NaN where a joint is not visible


def joints_2d(rng: np.random.Generator) -> np.ndarray:
    sample = hand().skeleton(hand().mean_pose, torch.zeros(10)).numpy()
    return (sample - sample.mean(0))[:, :2] * rng.uniform(600, 900) + 112


def joints_3d(rng: np.random.Generator) -> np.ndarray:
    return hand().skeleton(hand().mean_pose, torch.zeros(10)).numpy() + rng.normal(0, 0.002, (21, 3))


def picture(rng: np.random.Generator) -> np.ndarray:
    return photograph().astype(np.float64) / 255


def crops(rng: np.random.Generator) -> np.ndarray:
    return picture(rng).transpose(2, 0, 1)[None]


def refined(images, iterations):
    lite, good = model(), torch.from_numpy(crops(None)).float()
    return handlib.refine(lite, images, lite(good), iterations)


def in_camera_of(K, root_depth):
    with torch.no_grad():
        output = model()(torch.from_numpy(crops(None)).float())
    return output.in_camera(K, root_depth)


def generated(images):
    class Gray:
        def __len__(self):
            return 1

        def photograph(self, index):
            return torch.full((3, 64, 64), 128, dtype=torch.uint8)

    batch = {
        key: value[None]
        for key, value in vars(SyntheticHands("val", 64, 1)[0]).items()
        if isinstance(value, torch.Tensor)
    }
    output = model()(batch["image"]).map(torch.Tensor.detach)
    generator = torch.Generator().manual_seed(0)
    config = augmentation.AugmentationConfig(per_seed=1, masked=False, threshold_px=1e9)
    return augmentation.augment(model(), output, images, batch, generator, Gray(), config)


def rendered_hands(split, size, n, seed, crop_factor, index):
    data = SyntheticHands(split, size, n, seed, crop_factor=crop_factor)
    sample = data[index]
    return sample.image, sample.joints_cam, sample.K


CONFIGS = {
    name: one_of(*values)
    for name, values in {
        "trunk": ("lite", "paper", "photo", "x", None, 3),
        "size": (64, 8, 4096, 0, -1, 10**30, "64", None, 2.5, float("nan")),
        "features": (256, 2048, 1152, 0, 10**9, "x"),
        "hidden": (0, 64, 65_536, -1, float("inf"), None),
        "iterations": (1, 3, 0, 10**6, True, "3"),
        "gradient": ("antialias", "kato", "x", None),
        "principal": (0, 8, 2000, -1, "x"),
        "pose_size": (0, 64, 65, -8, None),
        "evidence_2d": (True, False, None),
        "pose_refiner": (True, False),
    }.items()
}
TARGETS = [
    Function(
        "DHPEConfig",
        lambda **given: len(vars(DHPEConfig(**given))),
        each(optional=CONFIGS),
        words=("evidence", "trunk", "features", "size"),
    ),
    Function(
        "DHPE.from_pretrained",
        DHPE.from_pretrained,
        each(name_or_path=one_of("lite", "x", "", ".", None, 3, b"x", "/dev/zero")),
        share=0.3,
        words=("checkpoint",),
    ),
    Function("DHPE", lambda images: vars(model()(images))["vertices"], each(images=numbers(crops, 2)), share=0.7),
    Function(
        "DHPEOutput.in_camera",
        in_camera_of,
        each(
            K=numbers(lambda rng: intrinsics(rng, (1,)), 3),
            root_depth=numbers(lambda rng: rng.uniform(0.3, 1, (1,)), 3),
        ),
        passes=True,
        share=0.7,
    ),
    Function(
        "refine", refined, each(images=numbers(crops, 2), iterations=one_of(1, 2, 0, -1, 2.5, "x", None)), share=0.3
    ),
    Function("augment", generated, each(images=numbers(lambda rng: rng.uniform(0, 1, (1, 3, 64, 64)), 2)), share=0.3),
    Function(
        "fit",
        fitted,
        each(
            joints_2d=numbers(joints_2d, 3),
            optional={
                "K": numbers(lambda rng: intrinsics(rng, ()), 3),
                "visible": numbers(lambda rng: rng.random(21) < 0.9, 3),
                "joints_3d": numbers(joints_3d, 3),
                "side": one_of("right", "left", "x", None, 3),
                "noise": scalars(float, 0.02),
                "seed": scalars(int, 0),
            },
        ),
        share=1.5,
    ),
    Function(
        "fit with a mask",
        fitted,
        each(
            joints_2d=just(torch.from_numpy(joints_2d(np.random.default_rng(0))).float()),
            mask=numbers(lambda rng: np.float64(photograph()[..., 0] > 90), 2),
        ),
        share=0.15,
    ),
    Function(
        "SyntheticHands",
        rendered_hands,
        each(
            split=one_of("val", "studio", "object", "x", None),
            size=one_of(16, 32, 0, -1, 2.5, "x", 10**9, None),
            n=one_of(2, 1, 0, -1, "x", 10**12),
            seed=one_of(0, 5, -1, "x", 2**70, None),
            crop_factor=one_of(1.5, 2, 0, -1, float("nan"), "x", 1e30),
            index=one_of(0, -1, 5, 10**12, "x", None, 0.5),
        ),
        share=0.5,
        words=("sample",),
    ),
]
