"""FreiHAND v2 (Zimmermann et al. 2019): right hands of 32 people, 224×224, 130,240 and 3,960 pictures.

    training/rgb/%08d.jpg       4 × 32,560: picture i shows what picture i modulo 32,560 shows, on another background
    training/mask/%08d.jpg      32,560, JPEG, three equal channels: gray levels near 0 and 255
    evaluation/rgb/%08d.jpg     3,960
    training_{K,xyz,verts,scale}.json, evaluation_{K,scale}.json
    evaluation_{xyz,verts}.json        in another download, FreiHAND_pub_v2_eval.zip, whose folder can be given alone

| theirs | here |
|---|---|
| `xyz` 21×3 meters, camera frame, order C21 | `joints_cam` |
| `verts` 778×3 meters | `vertices_cam`, if asked for; `handlib.hand.joints.FINGERTIPS["freihand"]` are its tips |
| `K` 3×3; whole numbers are pixel centers | + 0.5 in cx and cy, then that of the crop |
| joints are regressed from the mesh, not read off the kinematic chain | as `HandModel.regress_joints` |
| evaluation without `xyz`: K and |joint 9 − joint 10| alone | joints NaN, crop "picture" |
"""

import os
from dataclasses import dataclass, field

import numpy as np
import torch

from ..crop import Frame
from .frames import RealHands, find_root, intrinsics_of, split_of
from .json_rows import JsonRows
from .pictures import read_rgb, same_size

FOLDERS = {"train": "training", "test": "evaluation"}
COUNTS = {"train": 32560, "test": 3960}  # labels
BACKGROUNDS = 4  # pictures per label of the training split
SOURCE = "https://lmb.informatik.uni-freiburg.de/projects/freihand/"
THRESHOLD = 127  # of a mask, which is stored as JPEG


@dataclass(eq=False, repr=False)
class FreiHAND(RealHands):
    """Every picture of FreiHAND.

    root: the unpacked download. split: "train" ("training") or "test" ("evaluation").
    backgrounds: how many of the four versions of each training picture to use; all that exist by default.
    vertices: samples also have the mesh. crop: "picture" keeps the pictures, which are crops already. Other arguments:
    `RealHands`.
    """

    root: str | os.PathLike[str]
    split: str
    backgrounds: int | None = None
    vertices: bool = False
    fingertips: str = field(default="freihand", kw_only=True)

    def __post_init__(self):
        self.split = split_of(self.split)
        self.stem = FOLDERS[self.split]
        self.root = find_root(self.root, (f"{stem}_K.json" for stem in FOLDERS.values()), "FreiHAND")
        self.K = JsonRows(self.root / f"{self.stem}_K.json", (3, 3), SOURCE)
        test = self.split == "test"
        self.xyz = self._rows("xyz", (21, 3), optional=test)
        self.verts = self._rows("verts", (778, 3), optional=test) if self.vertices else None
        for rows in (self.xyz, self.verts):
            if rows is not None and len(rows) != len(self.K):
                raise ValueError(
                    f"{rows.path} has {len(rows)} rows, {self.K.path.name} {len(self.K)}; get both again from {SOURCE}"
                )
        versions = self._versions() if self.backgrounds is None else self.backgrounds
        if not 1 <= versions <= (1 if test else BACKGROUNDS):
            raise ValueError(f"backgrounds must be 1 … {1 if test else BACKGROUNDS}, not {versions}")
        self.start(f"FreiHAND {self.split} backgrounds={versions}", versions * len(self.K))

    def _rows(self, what: str, shape: tuple[int, int], optional: bool) -> JsonRows | None:
        path = self.root / f"{self.stem}_{what}.json"
        return None if optional and not path.is_file() else JsonRows(path, shape, SOURCE)

    def _versions(self) -> int:
        """Counts the versions of the training pictures, by the first picture of each."""
        if self.split == "test":
            return 1
        first = (self.root / self.stem / "rgb" / f"{i * len(self.K):08d}.jpg" for i in range(1, BACKGROUNDS))
        return 1 + sum(path.is_file() for path in first)

    def time(self, row: int) -> float:
        return row % len(self.K) / len(self.K)  # all versions of a picture have the same time

    def read(self, row: int) -> Frame:
        label = row % len(self.K)
        image = read_rgb(self.root / self.stem / "rgb" / f"{row:08d}.jpg")
        mask = None
        if self.split == "train":
            path = self.root / self.stem / "mask" / f"{label:08d}.jpg"
            mask = same_size(read_rgb(path)[..., 0], image, path) > THRESHOLD
        joints = np.full((21, 3), np.nan) if self.xyz is None else self.xyz[label]
        return Frame(
            name=f"freihand-{self.split}-{row:08d}",
            side="right",
            image=image,
            joints_cam=torch.from_numpy(joints),
            visible=torch.full((21,), self.xyz is not None),
            K=intrinsics_of(self.K[label], self.first_pixel),
            mask=mask,
            vertices_cam=None if self.verts is None else torch.from_numpy(self.verts[label]),
        )
