"""`SyntheticHands`: the open benchmark of rendered hands with complete labels, made on the fly from a seed.

The camera is perspective, like a real one: the data test the method's assumption of a scaled orthographic camera rather
than share it. Joints and vertices are in meters in the camera frame.
"""

import copy
import hashlib
import json
from numbers import Integral

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import Dataset

from ...camera import CROP_FACTOR, crop_intrinsics, project
from ...hand import HandModel
from ...hand.joints import TIPS
from ...renderer.backends import choose
from ...support.arguments import at_least, checked
from ..backgrounds import Backgrounds, BuiltinBackgrounds
from ..sample import HandSample
from . import motion
from .backdrop import Backdrops
from .draws import Draws
from .layers import SAMPLES, resolve
from .scene import Stage, Subjects
from .sensor import photograph
from .settings import SETTINGS
from .views import random_box

VERSION = "1.0"  # raised whenever a sample of the same seed changes


class SyntheticHands(Dataset):
    """A map-style data set of `HandSample`.

    split: "train", "val", or one of the tests: "diverse" (all viewpoints, poses, shapes, tones), "studio" (gestures of
    one person in front of a stereo camera), "object" (the left hand of one person with objects). No two splits share a
    person; training, validation and tests share no photographs either. size: side of the square crops in pixels. n: the
    number of samples; each split has a default. seed: another seed gives another data set of the same kind.
    backgrounds: photographs to use instead of the built-in ones. crop_factor: the side of the crop over that of the
    tight box of the joints. box: one crop (left, top, side) for all samples, in pixels of the virtual camera, to see a
    sequence as a camera at rest does.

    Sample i depends only on version, split, seed, i, hand and backgrounds; not on the device or the batch, and on the
    size only in its pixels.
    """

    @checked
    def __init__(
        self,
        split: str,
        size: int = 224,
        n: int | None = None,
        seed: int | None = None,
        hand: HandModel | None = None,
        backgrounds: Backgrounds | None = None,
        crop_factor: float = CROP_FACTOR,
        box: tuple[float, float, float] | None = None,
    ):
        at_least(0, 1 << 40, n=n, seed=seed)
        at_least(1, 1 << 14, size=size)
        if split not in SETTINGS:
            raise ValueError(f"unknown split '{split}': choose one of {', '.join(SETTINGS)}")
        if not 0 < crop_factor < 100:
            raise ValueError(f"crop_factor must be above 0 and below 100, usually 1 … 4, not {crop_factor}")
        self.split, self.size, self.seed, self.setting = split, size, seed or 0, SETTINGS[split]
        self.length = self.setting.length if n is None else n
        self.crop_factor, self.box = crop_factor, box
        self.hand = hand or HandModel.load()
        self.backgrounds = BuiltinBackgrounds(self.setting.photographs) if backgrounds is None else backgrounds
        self.backdrops = Backdrops(self.backgrounds)
        self.scored = TIPS if split == "object" else tuple(range(21))
        self._stages: dict[str, Stage] = {}

    @property
    def name(self) -> str:
        """The name in results files."""
        hand = f"{self.hand.name}/{self.hand.fingertips.name}"
        text = f"SyntheticHands {VERSION} {self.split} size={self.size} n={self.length} seed={self.seed} hand={hand}"
        text += "" if self.crop_factor == CROP_FACTOR else f" crop_factor={self.crop_factor:g}"
        text += "" if self.box is None else " box=" + ",".join(f"{value:g}" for value in self.box)
        return text + ("" if self.backgrounds.name.startswith("builtin") else f" backgrounds={self.backgrounds.name}")

    def __len__(self) -> int:
        return self.length

    def sample_name(self, index: int) -> str:
        return f"{self.split}-{self.seed}-{index:06d}"

    def __getitem__(self, index: int) -> HandSample:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: list[int]) -> list[HandSample]:
        """Makes several samples together; a DataLoader calls this."""
        for index in indices:
            if not (isinstance(index, Integral) and 0 <= index < self.length):
                raise IndexError(f"{self.name} has no sample {index}")
        fields = self.batch(torch.tensor(indices))
        return [
            HandSample(
                **{key: value[row] for key, value in fields.items()},
                side=self.setting.side,
                name=self.sample_name(index),
            )
            for row, index in enumerate(indices)
        ]

    @torch.no_grad()
    def batch(self, indices: Tensor, device: str | torch.device = "cpu") -> dict[str, Tensor]:
        """Makes these samples together on a device, in the form of `collate`."""
        indices = torch.as_tensor(indices).to(device)
        stage = self._stage(indices.device)
        key = f"{VERSION} {self.split} {self.seed}"
        draws = Draws(key, indices)
        people = torch.zeros_like(indices) if self.setting.subjects == 1 else draws.integer(self.setting.subjects)
        subjects = Subjects.of(key, people, self.setting.subjects)
        moved = self._motion(stage.hand, key, draws, indices, subjects)
        scene = stage(self.setting, moved.surroundings, subjects, moved)

        box = random_box(scene.joints, moved.K, draws, self.setting.jitter)
        side = box[:, 2:] * (self.crop_factor / CROP_FACTOR)
        box = torch.cat([box[:, :2] + (box[:, 2:] - side) / 2, side], -1)
        if self.box is not None:
            box = box.new_tensor(self.box).expand(len(box), 3)
        K = crop_intrinsics(moved.K, box, self.size)
        vertices_px = torch.cat([SAMPLES * project(scene.vertices, K), scene.vertices[..., 2:]], -1)
        rasterize = choose("auto", indices.device.type).rasterize
        face = rasterize(vertices_px, stage.faces[None], SAMPLES * self.size, SAMPLES * self.size)
        layers = resolve(face, vertices_px, stage.faces, scene.colors, stage.part)
        background = self.backdrops(moved.backdrop, self.size)
        picture = photograph(background.mul_((1 - layers.cover)[:, None]).add_(layers.color), draws)
        joints_px = project(scene.joints, K)
        inside = ((joints_px >= 0) & (joints_px < self.size)).all(-1)
        return {
            "image": picture,
            "mask": layers.mask.float(),
            "joints_px": joints_px,
            "joints_cam": scene.joints,
            "visible": inside,
            "K": K,
            "vertices_cam": scene.vertices[:, :778].contiguous(),
            "parts": layers.part,
            "depth": layers.depth,
            "box": box,
            "tone": subjects.tone,
        }

    def _motion(self, hand: HandModel, key: str, draws: Draws, indices: Tensor, subjects: Subjects) -> motion.Motion:
        if self.setting.motion == "gestures":
            return motion.gestures(hand, key, indices // 2, indices % 2)
        if self.setting.motion == "handling":
            return motion.handling(hand, key, indices)
        return motion.free(hand, draws, subjects.shape)

    def _stage(self, device: torch.device) -> Stage:
        if str(device) not in self._stages:
            hand = self.hand if self.hand.faces.device == device else copy.deepcopy(self.hand).to(device)
            self._stages[str(device)] = Stage(hand)
        return self._stages[str(device)]


def digest(data: SyntheticHands) -> str:
    """Returns eight letters that identify the contents of a data set, from rounded numbers of its first sample.

    Rounding makes it the same on every machine. It differs if data of the same name are different.
    """
    sample = data[0]
    joints_mm = (sample.joints_cam * 1000).flatten().round().int().tolist()
    colors = (functional.adaptive_avg_pool2d(sample.image, 4) * 16).flatten().round().int().tolist()
    return hashlib.sha256(json.dumps([joints_mm, colors]).encode()).hexdigest()[:8]
