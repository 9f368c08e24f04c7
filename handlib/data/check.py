"""`handlib data check KIND:PATH`: checks that a download is complete and that its labels are read correctly.

Checks for every data set: the layout, the official counts, a few frames opened and cropped, distances and sizes of
hands, the side of the hand by `joints.chirality`, and the reprojection of 3D labels onto 2D labels if there are both.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..camera import project
from ..hand.joints import MIDDLE_MCP, chirality
from .real import dexter_object, freihand, ho3d, interhand, nyu, photo_folder, rhd, stb
from .real.frames import RealHands
from .real.pictures import SUFFIXES
from .sample import spread
from .specs import BACKGROUNDS, HANDS, open_backgrounds, open_spec, parse_spec

OPENED = 5  # frames of each split that are opened
DISTANCES_M = (0.1, 3.0)  # of a hand from a camera
SIZES_MM = (30, 150)  # from joint 0 to the middle MCP; small if joint 0 is a palm point
REPROJECTION_PX = 0.1
_TROUBLE = (ValueError, OSError, IndexError, ModuleNotFoundError)


class Line(NamedTuple):
    """One check. `ok` is None if there is nothing to compare with."""

    what: str
    found: str
    expected: str = ""
    ok: bool | None = None


@dataclass
class Report:
    """A table of actual and expected values, and remarks below it."""

    title: str
    source: str  # where to get the data set
    lines: list[Line] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether all comparisons succeeded."""
        return all(line.ok is not False for line in self.lines)

    def add(self, what: str, found: object, expected: object = "", ok: bool | None = None) -> None:
        texts = (f"{value:,}" if isinstance(value, int) else str(value) for value in (found, expected))
        self.lines.append(Line(what, *texts, ok))

    def count(self, what: str, found: int, official: int) -> None:
        self.add(what, found, official, found == official)

    @contextmanager
    def reading(self, what: str) -> Iterator[None]:
        """Adds a failed line and a remark if the block cannot read a file."""
        try:
            yield
        except _TROUBLE as error:
            self.add(what, "not readable", "", False)
            self.remarks.append(str(error))

    def __str__(self) -> str:
        verdicts = {True: "ok", False: "WRONG", None: ""}
        rows = [("", "found", "expected", ""), *((*line[:3], verdicts[line.ok]) for line in self.lines)]
        w = [max(map(len, column)) for column in zip(*rows, strict=True)]
        table = [f"{a:{w[0]}}  {b:>{w[1]}}  {c:>{w[2]}}  {d}".rstrip() for a, b, c, d in rows]
        remarks = ["", *self.remarks] if self.remarks else []
        end = [] if self.ok else ["", f"Something is missing or wrong. Get the data set from {self.source}"]
        return "\n".join([self.title, "", *table, *remarks, *end])


def check(spec: str) -> Report:
    """Checks the data set that a spec names; the report can be printed and has `ok`."""
    kind, _, path = parse_spec(spec, HANDS | BACKGROUNDS)
    title, source, splits, look = _CHECKS[kind]
    report = Report(f"{title} at {path}", source)
    if kind in BACKGROUNDS:
        with report.reading("photographs"):
            _backgrounds(report, spec)
    for split in splits:
        for camera in ("BB", "SK") if kind == "stb" else ("",):
            data = None
            with report.reading(f"{split}: labels" + (f" of {camera}" if camera else "")):
                data = open_spec(f"stb,camera={camera}:{path}" if camera else spec, split)
            if data is not None:
                look(report, data, split)
                _frames(report, data, f"{split} {camera}".rstrip(), len(data) if kind == "photos" else OPENED)
    return report


# ---- what is special about each data set


def _rhd(report: Report, data: RealHands, split: str) -> None:
    report.count(f"{split}: labels", len(data), rhd.COUNTS[split])
    for what in ("color", "mask", "depth"):
        report.count(f"{split}: {data.folder.name}/{what}", _pictures(data.folder / what), rhd.COUNTS[split])
    visible = (data.uv_vis[..., 2] > 0.5) & (data.xyz[..., 2] > 0)
    projected = project(torch.from_numpy(data.xyz).double(), torch.from_numpy(data.K).double())
    errors = np.linalg.norm(projected.numpy() - data.uv_vis[..., :2], axis=-1)[visible]
    _reprojection(report, f"{split}: reprojection, worst", np.max, errors)


def _stb(report: Report, data: RealHands, split: str) -> None:
    sequences = stb.SEQUENCES[split]
    official = len(sequences) * stb.FRAMES
    report.count(f"{split}: labels of {data.camera}", sum(map(len, data.labels.values())), official)
    for stem in ("BB_left", "BB_right") if data.camera == "BB" else ("SK_color", "SK_depth"):
        count = sum(_pictures(stb.folder_of(data.root, sequence), stem + "_") for sequence in sequences)
        report.count(f"{split}: {stem}", count, official)


def _dexter_object(report: Report, data: RealHands, split: str) -> None:
    errors = [np.zeros(0)]
    fx, fy, cx, cy = dexter_object.DEPTH_INTRINSICS
    for sequence, official in dexter_object.FRAMES.items():
        tips = data.tips_mm[sequence]
        report.count(f"{sequence}: labels", len(tips), official)
        report.count(f"{sequence}: pictures", _pictures(data.root / sequence / "color"), official)
        with report.reading(f"{sequence}: 2D labels"):
            tips_px = dexter_object.read_tips(dexter_object.label_path(data.root, sequence, "2D"), 2)
            if len(tips_px) != len(tips):
                report.count(f"{sequence}: 2D labels", len(tips_px), len(tips))
                continue
            x, y, z = np.moveaxis(tips, -1, 0)
            projected = np.stack([-x / z * fx + cx, -y / z * fy + cy], -1)
            errors.append(np.linalg.norm(projected - tips_px, axis=-1)[dexter_object.valid_tips(tips)])
    error = np.concatenate(errors)
    _reprojection(report, "reprojection, median", np.median, error)
    report.add("reprojection, tips beyond", f"{int((error >= REPROJECTION_PX).sum()):,}", f"of {len(error):,}")


def _freihand(report: Report, data: RealHands, split: str) -> None:
    official, folder = freihand.COUNTS[split], data.root / freihand.FOLDERS[split]
    versions = freihand.BACKGROUNDS if split == "train" else 1
    report.count(f"{split}: labels", len(data.K), official)
    report.count(f"{split}: {folder.name}/rgb", _pictures(folder / "rgb"), versions * official)
    if split == "train":
        report.count(f"{split}: {folder.name}/mask", _pictures(folder / "mask"), official)
    elif data.xyz is None:
        report.add("test: evaluation_xyz.json", "missing", "in FreiHAND_pub_v2_eval.zip", False)
    verts = data.root / f"{folder.name}_verts.json"
    report.add(f"{split}: {verts.name}", "there" if verts.is_file() else "missing", "there", verts.is_file())


def _ho3d(report: Report, data: RealHands, split: str) -> None:
    official = ho3d.COUNTS[data.version][split]
    report.add(f"{split}: frames", len(data), " or ".join(f"{n:,}" for n in official), len(data) in official)
    there = sum(data.picture(row).is_file() for row in data.rows)
    report.count(f"{split}: {data.folder.name}/*/rgb", there, len(data))
    for what in ("xyz", "verts") if split == "test" else ():
        truth = data.root / f"evaluation_{what}.json"
        report.add(f"test: {truth.name}", "there" if truth.is_file() else "missing", "a download of its own")


def _interhand(report: Report, data: RealHands, split: str) -> None:
    # A picture without a valid wrist, or without any other valid joint, has no hand.
    most = interhand.COUNTS[split]
    report.add(f"{split}: pictures with hands", data.pictures, f"≤ {most:,}", 0 < data.pictures <= most)
    report.add(f"{split}: hands", len(data))


def _photos(report: Report, data: RealHands, split: str) -> None:
    report.add("entries", len(data))


def _backgrounds(report: Report, spec: str) -> None:
    source = open_backgrounds(spec)
    if spec.startswith("nyu"):
        report.count("photographs", len(source), nyu.COUNT)
    else:
        report.add("photographs", len(source))
    photographs = [source.photograph(i) for i in spread(len(source), OPENED)]
    sizes = sorted({tuple(photograph.shape[1:]) for photograph in photographs})
    report.add("opened", len(photographs))
    report.add("heights × widths", ", ".join(f"{h}×{w}" for h, w in sizes))
    contrast = min(float(photograph.float().std()) for photograph in photographs)
    report.add("least spread of gray levels", f"{contrast:.1f}", "> 0", contrast > 0)


# ---- what is the same for all


def _frames(report: Report, data: RealHands, split: str, count: int) -> None:
    """Opens some frames and measures them."""
    frames, rows = [], spread(len(data), count)
    for i in rows:
        try:
            data[i]
            frames.append(data.frame(i))
        except _TROUBLE as error:
            report.remarks.append(str(error))
    report.add(f"{split}: opened and cut", len(frames), len(rows), len(frames) == len(rows) > 0)
    joints = torch.stack([frame.joints_cam for frame in frames]) if frames else torch.zeros(0, 21, 3)
    depth = joints[..., 2]
    _within(report, f"{split}: distances", depth[depth.isfinite()], DISTANCES_M, "m", 2)
    whole = joints.isfinite().all(-1).all(-1)
    size_mm = (joints[whole][:, 0] - joints[whole][:, MIDDLE_MCP]).norm(dim=-1) * 1000
    _within(report, f"{split}: joint 0 to middle MCP", size_mm, SIZES_MM, "mm", 0)
    if whole.any():
        sides = torch.tensor([1.0 if frame.side == "right" else -1.0 for frame in frames])[whole]
        agree = int((chirality(joints[whole]) == sides).sum())
        # A thumb may lie behind its palm, so one hand in five may disagree.
        report.add(f"{split}: side as labeled", f"{agree} of {len(sides)}", "4 of 5", agree >= 0.8 * len(sides))


def _within(report: Report, what: str, values: Tensor, bounds: tuple[float, float], unit: str, digits: int) -> None:
    if len(values):
        (low, high), (least, most) = bounds, map(float, values.aminmax())
        found = f"{least:.{digits}f} … {most:.{digits}f} {unit}"
        report.add(what, found, f"{low:g} … {high:g} {unit}", low < least <= most < high)


def _reprojection(report: Report, what: str, summary: Callable, errors_px: np.ndarray) -> None:
    value = float(summary(errors_px)) if len(errors_px) else float("nan")
    report.add(what, f"{value:.3g} px", f"< {REPROJECTION_PX:g} px", value < REPROJECTION_PX)


def _pictures(folder: Path, prefix: str = "") -> int:
    """Counts the pictures in a folder; 0 if there is no folder."""
    names = (path.name for path in folder.iterdir()) if folder.is_dir() else ()
    return sum(name.startswith(prefix) and name.lower().endswith(SUFFIXES) for name in names)


_BOTH = ("train", "test")
_CHECKS = {  # title, source, splits, what looks at them
    "rhd": ("RHD", rhd.SOURCE, _BOTH, _rhd),
    "stb": ("STB (the paper's SHD)", stb.SOURCE, _BOTH, _stb),
    "do": ("Dexter+Object", dexter_object.SOURCE, ("test",), _dexter_object),
    "freihand": ("FreiHAND v2", freihand.SOURCE, _BOTH, _freihand),
    "ho3d": ("HO3D", ho3d.SOURCE, _BOTH, _ho3d),
    "interhand": ("InterHand2.6M", interhand.SOURCE, interhand.SPLITS, _interhand),
    "photos": ("Photographs", f"whoever made it; {photo_folder.__name__} describes the layout", ("test",), _photos),
    "nyu": ("NYU Depth v2", nyu.SOURCE, (), _backgrounds),
    "pictures": ("Pictures", "anywhere", (), _backgrounds),
}
