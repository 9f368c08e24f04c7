"""`SyntheticHands`: rendered hands of which everything is known, made on the fly from a seed.

A perspective camera sees the hand, as a real one would: the method's scaled orthographic camera is an assumption to be
tested on this data, not built into it. Joints, vertices: camera frame, metres.
"""

import zlib

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import Dataset

from ..camera import project
from ..hand import HandModel
from ..joints import MIDDLE_MCP
from ..mesh import boundary_loop
from ..renderer import Renderer
from .appearance import FOREARM_RINGS, add_forearm, shade, skin_colors, to_linear
from .backgrounds import BuiltinBackgrounds
from .sample import HandSample
from .views import random_crop, random_placement

VERSION = "0.2"  # raised whenever a sample of the same seed changes
SPLITS = {"train": "train", "val": "val", "diverse": "test"}  # split → split of the background photographs
LENGTHS = {"train": 20000, "val": 500, "diverse": 500}
SUPERSAMPLING = 2  # pictures are drawn at twice the size and averaged
BLUSH = (1.08, 0.96, 0.9)  # skin is a little redder than the scale's printed swatches, blood being under it


class SyntheticHands(Dataset):
    """A map-style data set of `HandSample`.

    split: "train", "val" or "diverse" (test: all viewpoints, poses, shapes and skin tones; unseen backgrounds).
    size: side of the square crops in pixels. n: how many samples (a default a split). seed: another one gives another
    data set of the same kind. Sample i depends on version, split, seed and i alone.
    """

    def __init__(
        self,
        split: str,
        size: int = 224,
        n: int | None = None,
        seed: int | None = None,
        hand: HandModel | None = None,
    ):
        if split not in SPLITS:
            raise ValueError(f"unknown split '{split}': choose one of {', '.join(SPLITS)}")
        self.split, self.size, self.seed = split, size, seed or 0
        self.length = LENGTHS[split] if n is None else n
        self.hand = hand or HandModel.load()
        self.backgrounds = BuiltinBackgrounds(SPLITS[split])
        self.wrist = boundary_loop(self.hand.faces)
        self.renderer = Renderer(size * SUPERSAMPLING)

    @property
    def name(self) -> str:
        """What a results file records."""
        hand = f"{self.hand.name}/{self.hand.fingertips.name}"
        return f"SyntheticHands {VERSION} {self.split} size={self.size} n={self.length} seed={self.seed} hand={hand}"

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> HandSample:
        if not 0 <= index < self.length:
            raise IndexError(f"{self.name} has no sample {index}")
        generator = torch.Generator().manual_seed(zlib.crc32(f"{VERSION} {self.split} {self.seed} {index}".encode()))
        with torch.no_grad():
            return self._make(index, generator)

    def _make(self, index: int, generator: torch.Generator) -> HandSample:
        vertices, faces = self._hand_and_forearm(generator)
        joints = self.hand.regress_joints(vertices[:778])
        K = random_crop(joints, self.size, generator, jitter=self.split == "train")
        joints_px = project(joints, K)

        # A picture is drawn at twice its size: pixel coordinates, and so K, double.
        large = torch.diag(torch.tensor([SUPERSAMPLING, SUPERSAMPLING, 1.0])) @ K
        vertices_px = torch.cat([project(vertices, large), vertices[:, 2:]], -1)
        colors = self._colors(vertices, faces, generator)
        background = self.backgrounds.sample(self.size, generator)
        background = functional.interpolate(background[None], scale_factor=SUPERSAMPLING, mode="nearest")[0]
        face, weights = self.renderer.rasterize(vertices_px, faces)
        covered = face >= 0
        skin = (weights[covered][..., None] * colors[faces[face[covered]]]).sum(-2)
        background[:, covered] = skin.T
        image = functional.avg_pool2d(background, SUPERSAMPLING)
        seen = (covered & (face < len(self.hand.faces))).float()  # the forearm's faces come last
        mask = (functional.avg_pool2d(seen[None], SUPERSAMPLING)[0] >= 0.5).float()
        return HandSample(
            image=self._sensor(image, generator),
            mask=mask,
            joints_px=joints_px,
            joints_cam=joints,
            visible=((joints_px >= 0) & (joints_px < self.size)).all(-1),
            K=K,
            side="right",
            name=f"{self.split}-{self.seed}-{index:06d}",
            vertices_cam=vertices[:778],
        )

    def _hand_and_forearm(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """A posed hand somewhere in front of the camera, and its forearm."""
        pose, shape = self.hand.sample(1, generator)
        vertices = self.hand(pose[0], shape[0]).vertices
        bend = 0.35 * torch.randn(3, generator=generator)
        direction = functional.normalize(torch.tensor([1.0, 0.0, 0.0]) + bend.clamp(-0.8, 0.8), dim=0)
        vertices, faces = add_forearm(vertices, self.hand.faces, self.wrist, direction)
        rotation, root = random_placement(generator)
        turned = vertices @ rotation.mT
        return turned - self.hand.regress_joints(turned[:778])[MIDDLE_MCP] + root, faces

    def _colors(self, vertices: Tensor, faces: Tensor, generator: torch.Generator) -> Tensor:
        """Skin of a random tone, or a sleeve on the forearm, under a random light."""

        def uniform(low: float, high: float, n: int = 1) -> Tensor:
            return low + (high - low) * torch.rand(n, generator=generator)

        tone = float(uniform(0, 9))
        skin = skin_colors(self.hand.vertex_colors, tone, uniform(0.92, 1.1, 3) * torch.tensor(BLUSH))
        rim = len(self.wrist)
        arm = skin.mean(0).expand(rim * FOREARM_RINGS, 3)
        if uniform(0, 1) < 0.5:  # a sleeve from some ring on
            sleeve = to_linear(uniform(0, 1, 3))
            first = int(uniform(0, FOREARM_RINGS - 1)) * rim
            arm = torch.cat([arm[:first], sleeve.expand(len(arm) - first, 3)])
        light = functional.normalize(torch.randn(3, generator=generator) + torch.tensor([0.0, -0.7, -0.7]), dim=0)
        brightness = uniform(0.35, 0.9)
        tint = uniform(0.85, 1.15, 3)
        return shade(
            vertices,
            faces,
            torch.cat([skin, arm]),
            light,
            light_color=brightness * tint,
            sky=uniform(0.1, 0.4) * uniform(0.85, 1.15, 3),
            ground=uniform(0.05, 0.25) * uniform(0.85, 1.15, 3),
            gloss=float(uniform(0, 0.15)),
        )

    def _sensor(self, image: Tensor, generator: torch.Generator) -> Tensor:
        """Defocus, noise and the 256 grey levels of a file."""
        if torch.rand((), generator=generator) < 0.3:
            kernel = torch.tensor([1.0, 2.0, 1.0]) / 4
            kernel = (kernel[:, None] * kernel).expand(3, 1, 3, 3)
            image = functional.conv2d(functional.pad(image[None], (1, 1, 1, 1), "replicate"), kernel, groups=3)[0]
        noise = 0.025 * torch.rand((), generator=generator) * torch.randn(image.shape, generator=generator)
        return ((image + noise).clamp(0, 1) * 255).round() / 255
