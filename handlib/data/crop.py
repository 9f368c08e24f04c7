"""Cuts a square crop of a right hand from a picture, mirroring left hands, and converts results back.

| step | picture of width W | pixels | camera | K |
|---|---|---|---|---|
| mirror a left hand | columns reversed | u' = W − u | x' = −x | cx' = W − cx |
| cut (left, top, side) to s² | colors smooth, others nearest | u' = (u − left)·s/side | same | scaled, shifted |

Pixel centers are at +0.5. Where they are whole numbers, as in OpenCV, the mirror is u' = W − 1 − u; readers of such
data sets add 0.5 to cx and cy (`first_pixel`). The box of a left hand is in the mirrored picture. Crop and picture have
the same camera frame: cropping changes only K.
"""

import zlib
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from PIL import Image
from torch import Tensor
from torch.nn import functional

from ..camera import (
    CROP_FACTOR,
    crop_box,
    crop_intrinsics,
    focal_length,
    mirror_cam,
    mirror_intrinsics,
    mirror_px,
    project,
)
from .sample import HandSample

RULES = ("joints", "visible", "box", "mask", "metric", "picture")
SHORTEST_PX = 8.0  # smallest side of a crop
LARGEST = 6.0  # largest side of a crop over that of the picture; beyond it, the labels must be wrong
GRAY = 128  # color beyond the border of the picture


@dataclass(frozen=True)
class Crop:
    """The rule by which a square is cut around a hand.

    rule: "joints": `factor` times the larger side of the tight box of all annotated joints, which is ω of Eq. 8;
    "visible": the same of the visible joints; "box": the same of the box in the data set; "mask": the same of the mask;
    "metric": a square of `meters` around the mean of the joints at their mean depth, for data sets that annotate too
    little of the hand for a box; "picture": the smallest centered square around the whole picture. A frame that lacks
    what its rule needs (a mask, two joints) is cut by "box" if it has one, else by "metric", and without any joint by
    "picture".

    jitter: for training, because detectors do not crop as accurately as the truth: standard deviation of the logarithm
    of the side, and of the center in units of half the side, clamped to twice that. It is drawn from the name of the
    frame, so it is always the same.
    """

    rule: str = "joints"
    factor: float = CROP_FACTOR
    meters: float = 0.3
    jitter: float = 0.0

    def __post_init__(self):
        if self.rule not in RULES:
            raise ValueError(f"unknown crop '{self.rule}': choose one of {', '.join(RULES)}")
        if not (self.factor > 0 and self.meters > 0):
            raise ValueError("a crop's factor and meters must be above 0")
        if not 0 <= self.jitter <= 0.5:
            raise ValueError(f"a crop's jitter must be 0 … 0.5, not {self.jitter}")

    def __str__(self) -> str:
        amount = {"picture": "", "metric": f"={self.meters:g}m"}.get(self.rule, f"×{self.factor:g}")
        return f"crop={self.rule}{amount}" + (f"±{self.jitter:g}" if self.jitter else "")


@dataclass(frozen=True)
class Frame:
    """One hand in one picture of a data set, neither mirrored nor cropped.

    Geometry is in double precision, C21 order, meters, in the frame of the camera; K has pixel centers at +0.5.
    """

    name: str
    side: str
    image: UInt8[np.ndarray, "h w 3"]
    joints_cam: Float[Tensor, "21 3"]  # NaN where not annotated
    visible: Bool[Tensor, "21"]
    K: Float[Tensor, "3 3"]
    mask: Bool[np.ndarray, "h w"] | None = None
    parts: UInt8[np.ndarray, "h w"] | None = None  # codes of `sample.PARTS`
    depth: Float[np.ndarray, "h w"] | None = None  # meters
    vertices_cam: Float[Tensor, "778 3"] | None = None
    box_px: Float[Tensor, "2 2"] | None = None  # two opposite corners of the hand's box, if the data set has it

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the picture."""
        return self.image.shape[1], self.image.shape[0]

    def mirrored(self) -> "Frame":
        """Mirrors the frame: a left hand becomes a right hand and the reverse."""
        width = self.size[0]
        pictures = {name: getattr(self, name) for name in ("image", "mask", "parts", "depth")}
        return replace(
            self,
            side={"left": "right", "right": "left"}[self.side],
            joints_cam=mirror_cam(self.joints_cam),
            K=mirror_intrinsics(self.K, width),
            vertices_cam=None if self.vertices_cam is None else mirror_cam(self.vertices_cam),
            box_px=None if self.box_px is None else mirror_px(self.box_px, width),
            **{name: picture[:, ::-1] for name, picture in pictures.items() if picture is not None},
        )


# ---- and back


def to_original_camera(points_cam: Float[Tensor, "*batch n 3"], side: str) -> Float[Tensor, "*batch n 3"]:
    """Converts joints or vertices of a sample, true or predicted, to the camera frame of the original picture."""
    if side not in ("right", "left"):
        raise ValueError(f"side must be right or left, not '{side}'")
    return mirror_cam(points_cam) if side == "left" else points_cam


def to_original_picture(points_px: Float[Tensor, "n 2"], sample: HandSample) -> Float[Tensor, "n 2"]:
    """Converts pixels of the crop to pixels of the original picture, not mirrored; pixel centers at +0.5.

    Raises `ValueError` for a sample that was not cut from a picture.
    """
    if sample.box is None or sample.picture is None:
        raise ValueError(f"{sample.name} was not cut from a picture: its fields 'box' and 'picture' are empty")
    zoom = sample.box[2] / sample.image.shape[-1]
    points = points_px * zoom + sample.box[:2]
    return mirror_px(points, sample.picture[0]) if sample.side == "left" else points


# ---- cutting


def choose_box(frame: Frame, crop: Crop) -> Float[Tensor, "3"]:
    """Returns the square of `Crop`: left, top, side in pixels of the picture of the frame.

    Raises `ValueError` for joints behind the camera and for a hand outside the picture.
    """
    valid = frame.joints_cam.isfinite().all(-1)
    if not (frame.joints_cam[valid][:, 2] > 0).all():
        raise ValueError(f"{frame.name}: joints are behind the camera (z ≤ 0); is the label of this frame damaged?")
    joints_px = project(frame.joints_cam, frame.K)
    width, height = frame.size
    rule = crop.rule
    box = None
    if rule == "mask" and frame.mask is not None and frame.mask.any():
        rows, columns = (np.flatnonzero(frame.mask.any(axis)) for axis in (1, 0))
        corners = [[columns[0], rows[0]], [columns[-1] + 1, rows[-1] + 1]]
        box = crop_box(torch.tensor(corners, dtype=torch.float64), crop.factor)
    elif rule in ("joints", "visible"):
        used = joints_px[valid & frame.visible if rule == "visible" else valid]
        box = crop_box(used, crop.factor) if len(used) > 1 else None
    if box is None and rule not in ("metric", "picture") and frame.box_px is not None:
        box = crop_box(frame.box_px, crop.factor)
    if box is None and rule != "picture" and valid.any():
        side = crop.meters * focal_length(frame.K) / frame.joints_cam[valid][:, 2].mean()
        box = torch.cat([joints_px[valid].mean(0) - side / 2, side[None]])
    if box is None:
        side = float(max(width, height))
        box = torch.tensor([(width - side) / 2, (height - side) / 2, side], dtype=torch.float64)
    if crop.jitter:
        box = jittered(box, crop.jitter, frame.name)
    side = box[2].clamp(min=SHORTEST_PX)
    box = torch.cat([box[:2] + (box[2] - side) / 2, side[None]])
    beyond = (box[:2] + box[2] < 0) | (box[:2] > torch.tensor([width, height]))
    if not side <= LARGEST * max(width, height) or beyond.any():
        numbers = ", ".join(f"{v:.0f}" for v in box.tolist())
        raise ValueError(
            f"{frame.name}: the hand's box (left, top, side = {numbers} px) is not in its picture of {width}×{height}; "
            "do labels, K and picture belong together?"
        )
    return box


def jittered(box: Float[Tensor, "3"], strength: float, name: str) -> Float[Tensor, "3"]:
    """Changes size and position of a square as `Crop.jitter` says."""
    noise = torch.from_numpy(np.random.default_rng(zlib.crc32(name.encode())).normal(size=3)).clamp(-2, 2) * strength
    side = box[2] * noise[2].exp()
    center = box[:2] + box[2] / 2 * (1 + noise[:2])
    return torch.cat([center - side / 2, side[None]])


def recropped(batch: dict[str, Tensor], joints_px: Float[Tensor, "b 21 2"]) -> dict[str, Tensor]:
    """Crops a batch (`collate`) again, around joints estimated in it, as training crops are cut around the true joints.

    For data sets whose first crops fit the hand badly. It samples the first crops, so the area beyond them is gray; a
    box far outside its crop is moved back. Masks, parts and depths are left out.
    """
    size = batch["image"].shape[-1]
    box = crop_box(joints_px.nan_to_num(size / 2))
    side = box[:, 2:].clamp(size / 8, 2 * size)
    center = (box[:, :2] + box[:, 2:] / 2).clamp(0, size)
    box = torch.cat([center - side / 2, side], 1)
    K = crop_intrinsics(batch["K"], box, size)
    steps = (torch.arange(size, device=box.device) + 0.5) / size
    x, y = (2 * (box[:, axis, None] + steps * side) / size - 1 for axis in (0, 1))
    grid = torch.stack(torch.broadcast_tensors(x[:, None, :], y[:, :, None]), -1)
    gray = GRAY / 255
    image = functional.grid_sample(batch["image"] - gray, grid, align_corners=False) + gray
    kept = {name: value for name, value in batch.items() if name not in ("mask", "parts", "depth", "box")}
    return kept | {"image": image, "K": K, "joints_px": project(batch["joints_cam"], K)}


def cut_frame(frame: Frame, size: int, crop: Crop) -> HandSample:
    """Makes the sample of a frame: mirrored if it is a left hand, cropped, and resized to `size` pixels."""
    right = frame.mirrored() if frame.side == "left" else frame
    box = choose_box(right, crop)
    K = crop_intrinsics(right.K, box, size).float()
    joints_cam = right.joints_cam.float()
    valid = joints_cam.isfinite().all(-1)
    mask, parts, depth = (
        None if picture is None else torch.from_numpy(cut_nearest(picture, box, size))
        for picture in (right.mask, right.parts, right.depth)
    )
    return HandSample(
        image=cut_smooth(right.image, box, size),
        mask=None if mask is None else mask.float(),
        joints_px=project(joints_cam, K),
        joints_cam=joints_cam,
        visible=right.visible & valid,
        K=K,
        side=frame.side,
        name=frame.name,
        vertices_cam=None if right.vertices_cam is None else right.vertices_cam.float(),
        parts=None if parts is None else parts.long(),
        depth=None if depth is None else depth.float(),
        box=box.float(),
        picture=frame.size,
    )


def cut_smooth(picture: UInt8[np.ndarray, "h w 3"], box: Float[Tensor, "3"], size: int) -> Float[Tensor, "3 s s"]:
    """Cuts a square from a picture with antialiasing, as sRGB in [0, 1]; exact on whole pixels at its own size."""
    left, top, side = box.tolist()
    height, width = picture.shape[:2]
    # Copies only the window that the square and the resampling filter need.
    margin = int(np.ceil(side / size)) + 2
    low = np.floor([left, top]).astype(int) - margin
    high = np.ceil([left + side, top + side]).astype(int) + margin
    window = np.full((*(high - low)[::-1], 3), GRAY, np.uint8)
    (x0, y0), (x1, y1) = np.clip(low, 0, [width, height]), np.clip(high, 0, [width, height])
    window[y0 - low[1] : y1 - low[1], x0 - low[0] : x1 - low[0]] = picture[y0:y1, x0:x1]
    left, top = left - low[0], top - low[1]
    small = Image.fromarray(window).resize(
        (size, size), Image.Resampling.BILINEAR, (left, top, left + side, top + side)
    )
    return torch.from_numpy(np.array(small)).movedim(-1, 0).contiguous().float() / 255


def cut_nearest(picture: np.ndarray, box: Float[Tensor, "3"], size: int) -> np.ndarray:
    """Cuts a square from a mask, part codes or depths (h, w) by nearest pixels; 0 beyond the border."""
    left, top, side = box.tolist()
    steps = (np.arange(size) + 0.5) * (side / size)
    columns, rows = np.floor(left + steps).astype(int), np.floor(top + steps).astype(int)
    height, width = picture.shape
    inside = ((rows >= 0) & (rows < height))[:, None] & ((columns >= 0) & (columns < width))
    nearest = picture[rows.clip(0, height - 1)[:, None], columns.clip(0, width - 1)]
    return np.where(inside, nearest, np.zeros((), picture.dtype))
