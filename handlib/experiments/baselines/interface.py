"""The inputs and outputs of every method, so that the same loop measures them all.

Camera frame, meters, C21 order. One image does not show how large a hand is, so protocols give one true length: the
depth of the root (the middle MCP) or the length of one bone. A `View` has both; a method that uses more than one of
them says so.
"""

import os
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from ...camera import crop_to_cam, crop_to_px, project
from ...data import CachedHands
from ...data.crop import recropped
from ...dhpe import DHPE
from ...evaluation.evaluate import compared, depth_of_root, estimated, scores
from ...evaluation.refinement_report import by_batch
from ...evidence import heatmap_peaks
from ...hand import HandModel
from ...hand.joints import C21, MIDDLE_MCP
from ...parameters import posed_hand
from ...renderer import Renderer

SCALE_BONE = (MIDDLE_MCP, C21.index("middle2"))  # of Zimmermann & Brox: from the MCP to the PIP of the middle finger
BONE_LENGTH = 0.03  # meters; used where the bone is not annotated, whose protocols ignore the size


class View(NamedTuple):
    """The inputs of a method at test time."""

    images: Float[Tensor, "b 3 s s"]  # sRGB in [0, 1]
    K: Float[Tensor, "b 3 3"]  # of these images
    root_depth: Float[Tensor, " b"]  # meters
    bone_length: Float[Tensor, " b"]  # meters, of `SCALE_BONE`


class Estimate(NamedTuple):
    """The outputs of a method; None for those that it does not estimate."""

    joints_cam: Float[Tensor, "b 21 3"] | None = None
    vertices_cam: Float[Tensor, "b 778 3"] | None = None
    mask: Float[Tensor, "b s s"] | None = None  # 0 … 1; above 0.5 is hand


@runtime_checkable
class Method(Protocol):
    def predict(self, view: View) -> Estimate: ...


@dataclass(frozen=True)
class FitOptions:
    resume: bool = True  # continue an interrupted run of the same config
    cache: str | os.PathLike[str] | None = None  # folder that keeps rendered hands
    data: tuple[CachedHands, CachedHands] | None = None  # training and validation hands; by default those of the config
    detector: DHPE | None = None  # its J2D finds the joints for model fitting
    progress: bool = True
    device: str = "cpu"


DEFAULTS = FitOptions()


def view_of(batch: dict[str, Tensor]) -> View:
    """Returns the part of a batch (`data.collate`) that a method may use; unknown lengths get typical values."""
    joints = batch["joints_cam"]
    a, b = SCALE_BONE
    length = (joints[:, a] - joints[:, b]).norm(dim=-1).nan_to_num(BONE_LENGTH)
    return View(batch["image"], batch["K"], depth_of_root(joints), length)


def estimate_of(hand: HandModel, h: Float[Tensor, "b 63"], view: View) -> Estimate:
    """Converts h, in the crop coordinates of the view, to joints, mesh and silhouette by the inverse of Eq. 8."""
    size = view.images.shape[-1]
    mesh = posed_hand(hand, h)
    root = mesh.joints[:, MIDDLE_MCP]
    vertices, joints = (crop_to_cam(points, root, view.root_depth, view.K, size) for points in mesh)
    return Estimate(joints, vertices, Renderer(size).silhouette(crop_to_px(mesh.vertices, size), hand.faces))


def detect(model: DHPE, images: Float[Tensor, "b 3 s s"]) -> tuple[Float[Tensor, "b 21 2"], Float[Tensor, "b 21"]]:
    """Returns J2D's joints in crop coordinates, and as confidence the peak of each heat map, clamped to 0.05 … 1."""
    with torch.no_grad():
        stages = model.eval().heatmaps(images)
    if not stages:
        raise ValueError("this DHPE has no J2D to find joints with: give one whose config has evidence_2d")
    heatmaps = stages[-1]
    return heatmap_peaks(heatmaps, model.config.subpixel), heatmaps.amax((-2, -1)).clamp(0.05, 1)


class DHPEMethod:
    """A DHPE as a method; `iterations` > 0 adds test-time refinement (Eq. 13)."""

    def __init__(self, model: DHPE, iterations: int = 0):
        self.model, self.iterations = model.eval(), iterations

    def predict(self, view: View) -> Estimate:
        output, _ = estimated(self.model, {"image": view.images}, iterations=self.iterations)
        with torch.no_grad():
            return estimate_of(self.model.hand, output.h, view)


def predictions(
    method: Method, data: CachedHands, batch_size: int = 32, progress: bool = True, device: str = "cpu"
) -> dict[str, Tensor]:
    """Estimates every sample and compares it with the truth: the fields of `evaluate.compared`, on the CPU."""

    def comparison(batch: dict[str, Tensor]) -> dict[str, Tensor]:
        batch = {name: value.to(device) for name, value in batch.items()}
        estimate = method.predict(view_of(batch))
        for _ in range(data.passes - 1):
            if estimate.joints_cam is not None:
                batch = recropped(batch, project(estimate.joints_cam, batch["K"]))
                estimate = method.predict(view_of(batch))
        return compared(batch, *estimate, data.scored, data.palm)

    return by_batch(comparison, data, batch_size, progress)


def measure(method: Method, data: CachedHands, progress: bool = True, device: str = "cpu") -> dict[str, float]:
    """Computes all scores of a method on a data set."""
    return scores(predictions(method, data, progress=progress, device=device))
