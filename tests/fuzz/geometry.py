"""Functions of numbers: cameras, losses, metrics, evidence, parameters and the hand model."""

from pathlib import Path

import numpy as np
import torch
from function import Function, module
from given import Given, each, numbers, of, one_of, scalars
from hypothesis import strategies as st
from loaded import hand

from handlib import Camera, HandModel, MeshParameters, camera, evidence, losses
from handlib.evaluation import metrics
from handlib.hand.joints import FINGERTIPS
from handlib.parameters import posed_hand, posed_skeleton


def of_camera(quaternion, scale, translation, points):
    made = Camera(quaternion, scale, translation)
    return made.matrix(), made.rotation() if np.ndim(quaternion) else None, made.to_crop(points)


def joined(pose, shape, quaternion, scale, translation):
    return MeshParameters(pose, shape, quaternion, scale, translation).join()


def drawn(*shape: int) -> st.SearchStrategy[Given]:
    return numbers(lambda rng: rng.normal(0, 0.4, shape), 5)


TARGETS = [
    *module(camera),
    *module(losses, evidence=one_of([torch.zeros(2, 21, 2)] * 2, [np.zeros((2, 21, 2))], [[1.0]], [], 3, "x")),
    *module(metrics, thresholds_mm=one_of((5.0, 15.0), (), ("x",), 5, (float("nan"),))),
    *module(evidence),
    Function(
        "Camera",
        of_camera,
        each(quaternion=drawn(2, 4), scale=drawn(2, 1), translation=drawn(2, 3), points=drawn(2, 7, 3)),
        passes=True,
        words=("camera",),
    ),
    Function("MeshParameters.split", MeshParameters.split, of(MeshParameters.split), passes=True),
    Function(
        "MeshParameters.join",
        joined,
        each(pose=drawn(2, 45), shape=drawn(2, 10), quaternion=drawn(2, 4), scale=drawn(2, 1), translation=drawn(2, 3)),
        passes=True,
        words=("parts",),
    ),
    Function(
        "posed_hand", posed_hand, each(hand=st.builds(lambda: Given(hand(), hand())), h=drawn(2, 63)), passes=True
    ),
    Function(
        "posed_skeleton", posed_skeleton, each(hand=st.builds(lambda: Given(hand(), hand())), h=drawn(63)), passes=True
    ),
    Function(
        "HandModel",
        lambda **given: tuple(hand()(**given)),
        each(optional={"pose": drawn(2, 45), "shape": drawn(10), "rotation": drawn(3, 3), "placement": drawn(2, 3, 4)}),
        passes=True,
        share=2,
    ),
    Function(
        "HandModel.skeleton",
        lambda **given: hand().skeleton(**given),
        each(pose=drawn(2, 45), shape=drawn(2, 10)),
        passes=True,
    ),
    Function(
        "HandModel.regress_joints",
        lambda vertices: hand().regress_joints(vertices),
        each(vertices=drawn(2, 778, 3)),
        passes=True,
    ),
    Function("HandModel.sample", lambda n: hand().sample(n), each(n=scalars(int, 3)), share=0.2),
    Function(
        "HandModel()",
        lambda model, fingertips, backend: HandModel(model, fingertips, backend).template,
        each(
            model=one_of(
                "openhand", "openhand", "nowhere.pkl", "", ".", None, 3, {}, {"f": 3}, b"x", Path("nowhere.npz")
            ),
            fingertips=one_of("smplx", *FINGERTIPS, "x", None, 3),
            backend=one_of("auto", "reference", "x", None),
        ),
        share=0.5,
        words=("hand model", "fingertip"),
    ),
]
