"""`handlib data check KIND:PATH`: checks that a download is complete and that its labels are read correctly.

Checks for every data set: the layout, the official counts, a few frames opened and cropped, distances and sizes of
hands, the side of the hand by `joints.chirality`, and the reprojection of 3D labels onto 2D labels if there are both.
"""

from pathlib import Path

import numpy as np
import torch

from ..camera import project
from ..hand.joints import MIDDLE_MCP, chirality
from .real import dexter_object, freihand, ho3d, interhand, nyu, photo_folder, rhd, stb
from .real.frames import RealHands
from .real.pictures import SUFFIXES
from .report import Report
from .sample import spread
from .specs import BACKGROUNDS, HANDS, open_backgrounds, open_spec, parse_spec

OPENED = 5  # frames of each split that are opened
DISTANCES_M = (0.1, 3.0)  # of a hand from a camera
SIZES_M = (0.03, 0.15)  # from joint 0 to the middle MCP; small if joint 0 is a palm point
REPROJECTION_PX = 0.1
_TROUBLE = (ValueError, OSError, IndexError, ModuleNotFoundError)


def check(spec: str) -> Report:
    """Checks the data set that a spec names; the report can be printed and has `ok`."""
    kind, _, path = parse_spec(spec, HANDS | BACKGROUNDS)
    title, source, look = _CHECKS[kind]
    report = Report(f"{title} at {path}", source)
    look(report, path, spec)
    return report


# ---- one function per data set


def _check_rhd(report: Report, path: str, spec: str) -> None:
    for split, folder in rhd.FOLDERS.items():
        data = _open(report, spec, split)
        if data is None:
            continue
        report.count(f"{split}: labels", len(data), rhd.COUNTS[split])
        for what in ("color", "mask", "depth"):
            report.count(f"{split}: {folder}/{what}", _pictures(data.folder / what), rhd.COUNTS[split])
        visible = (data.uv_vis[..., 2] > 0.5) & (data.xyz[..., 2] > 0)
        xyz, K = (torch.from_numpy(array).double() for array in (data.xyz, data.K))
        error = (project(xyz, K) - torch.from_numpy(data.uv_vis[..., :2]).double()).norm(dim=-1)
        error = error[torch.from_numpy(visible)]
        report.below(f"{split}: reprojection, worst", _or_nan(error.max, error), REPROJECTION_PX, "px")
        _look(report, data, split)


def _check_stb(report: Report, path: str, spec: str) -> None:
    for split, sequences in stb.SEQUENCES.items():
        official = len(sequences) * stb.FRAMES
        for kind, stems in (("BB", ("BB_left", "BB_right")), ("SK", ("SK_color", "SK_depth"))):
            data = _open(report, f"stb,camera={kind}:{path}", split, f" of {kind}")
            if data is None:
                continue
            report.count(f"{split}: labels of {kind}", sum(len(label) for label in data.labels.values()), official)
            for stem in stems:
                count = sum(_pictures(stb.folder_of(data.root, sequence), stem + "_") for sequence in sequences)
                report.count(f"{split}: {stem}", count, official)
            _look(report, data, f"{split} {kind}")


def _check_do(report: Report, path: str, spec: str) -> None:
    data = _open(report, spec, "test")
    if data is None:
        return
    errors = []
    for sequence, official in dexter_object.FRAMES.items():
        tips = data.tips_mm[sequence]
        report.count(f"{sequence}: labels", len(tips), official)
        report.count(f"{sequence}: pictures", _pictures(data.root / sequence / "color"), official)
        path_2d = dexter_object.label_path(data.root, sequence, "2D")
        try:
            tips_px = dexter_object.read_tips(path_2d, 2)
        except _TROUBLE as error:
            report.add(f"{sequence}: 2D labels", "not readable", "", False)
            report.remarks.append(str(error))
            continue
        if len(tips_px) != len(tips):
            report.count(f"{sequence}: 2D labels", len(tips_px), len(tips))
            continue
        fx, fy, cx, cy = dexter_object.DEPTH_INTRINSICS
        x, y, z = np.moveaxis(tips, -1, 0)
        projected = np.stack([-x / z * fx + cx, -y / z * fy + cy], -1)
        errors.append(np.linalg.norm(projected - tips_px, axis=-1)[dexter_object.valid_tips(tips)])
    error = np.concatenate(errors) if errors else np.zeros(0)
    report.below("reprojection, median", _or_nan(lambda: np.median(error), error), REPROJECTION_PX, "px")
    report.add("reprojection, tips beyond", f"{int((error >= REPROJECTION_PX).sum()):,}", f"of {len(error):,}")
    _look(report, data, "test")


def _check_freihand(report: Report, path: str, spec: str) -> None:
    for split, folder in freihand.FOLDERS.items():
        data = _open(report, spec, split)
        if data is None:
            continue
        official = freihand.COUNTS[split]
        versions = freihand.BACKGROUNDS if split == "train" else 1
        report.count(f"{split}: labels", len(data.K), official)
        report.count(f"{split}: {folder}/rgb", _pictures(data.root / folder / "rgb"), versions * official)
        if split == "train":
            report.count(f"{split}: {folder}/mask", _pictures(data.root / folder / "mask"), official)
        elif data.xyz is None:
            report.add("test: evaluation_xyz.json", "missing", "in newer downloads", False)
        verts = data.root / f"{folder}_verts.json"
        report.add(f"{split}: {verts.name}", "there" if verts.is_file() else "missing", "there", verts.is_file())
        _look(report, data, split)


def _check_ho3d(report: Report, path: str, spec: str) -> None:
    for split, folder in ho3d.FOLDERS.items():
        data = _open(report, spec, split)
        if data is None:
            continue
        official = ho3d.COUNTS[data.version][split]
        report.add(f"{split}: frames", len(data), " or ".join(f"{n:,}" for n in official), len(data) in official)
        there = sum(data.picture(row).is_file() for row in data.rows)
        report.count(f"{split}: {folder}/*/rgb", there, len(data))
        if split == "test":
            for what in ("xyz", "verts"):
                truth = data.root / f"evaluation_{what}.json"
                report.add(f"test: {truth.name}", "there" if truth.is_file() else "missing", "a download of its own")
        _look(report, data, split)


def _check_interhand(report: Report, path: str, spec: str) -> None:
    for split in interhand.SPLITS:
        data = _open(report, spec, split)
        if data is None:
            continue
        # A picture without a valid wrist, or without any other valid joint, has no hand.
        report.add(
            f"{split}: pictures with hands",
            data.pictures,
            f"≤ {interhand.COUNTS[split]:,}",
            0 < data.pictures <= interhand.COUNTS[split],
        )
        report.add(f"{split}: hands", len(data))
        _look(report, data, split)


def _check_photos(report: Report, path: str, spec: str) -> None:
    data = _open(report, spec, "test")
    if data is not None:
        report.add("entries", len(data))
        _look(report, data, "test", len(data))


def _check_backgrounds(report: Report, path: str, spec: str) -> None:
    try:
        source = open_backgrounds(spec)
        if spec.startswith("nyu"):
            report.count("photographs", len(source), nyu.COUNT)
        else:
            report.add("photographs", len(source))
        rows = spread(len(source), OPENED)
        sizes = sorted({tuple(source.photograph(i).shape[1:]) for i in rows})
        report.add("opened", len(rows))
        report.add("heights × widths", ", ".join(f"{h}×{w}" for h, w in sizes))
        contrast = min(float(source.photograph(i).float().std()) for i in rows)
        report.add("least spread of gray levels", f"{contrast:.1f}", "> 0", contrast > 0)
    except _TROUBLE as error:
        report.add("photographs", "not readable", "", False)
        report.remarks.append(str(error))


# ---- shared


def _open(report: Report, spec: str, split: str, of: str = "") -> RealHands | None:
    try:
        return open_spec(spec, split)
    except _TROUBLE as error:
        report.add(f"{split}: labels{of}", "not readable", "", False)
        report.remarks.append(str(error))
        return None


def _look(report: Report, data: RealHands, split: str, count: int = OPENED) -> None:
    """Opens some frames and measures them."""
    frames = []
    rows = spread(len(data), count)
    for i in rows:
        try:
            data[i]
            frames.append(data.frame(i))
        except _TROUBLE as error:
            report.remarks.append(str(error))
    report.add(f"{split}: opened and cut", len(frames), len(rows), len(frames) == len(rows) > 0)
    joints = torch.stack([frame.joints_cam for frame in frames]) if frames else torch.zeros(0, 21, 3)
    depth = joints[..., 2][joints[..., 2].isfinite()]
    if len(depth):
        low, high = DISTANCES_M
        inside = bool(((depth > low) & (depth < high)).all())
        measured = f"{float(depth.min()):.2f} … {float(depth.max()):.2f} m"
        report.add(f"{split}: distances", measured, f"{low:g} … {high:g} m", inside)
    whole = joints.isfinite().all(-1).all(-1)
    if whole.any():
        size = (joints[whole][:, 0] - joints[whole][:, MIDDLE_MCP]).norm(dim=-1)
        low, high = SIZES_M
        inside = bool(((size > low) & (size < high)).all())
        measured = f"{float(size.min()) * 1000:.0f} … {float(size.max()) * 1000:.0f} mm"
        report.add(f"{split}: joint 0 to middle MCP", measured, f"{low * 1000:.0f} … {high * 1000:.0f} mm", inside)
        sides = torch.tensor([1.0 if frame.side == "right" else -1.0 for frame in frames])[whole]
        agree = int((chirality(joints[whole]) == sides).sum())
        # A thumb may lie behind its palm, so one hand in five may disagree.
        report.add(f"{split}: side as labeled", f"{agree} of {len(sides)}", "4 of 5", agree >= 0.8 * len(sides))


def _pictures(folder: Path, prefix: str = "") -> int:
    """Counts the pictures in a folder; 0 if there is no folder."""
    if not folder.is_dir():
        return 0
    names = (path.name for path in folder.iterdir())
    return sum(name.startswith(prefix) and name.lower().endswith(SUFFIXES) for name in names)


def _or_nan(value, values) -> float:
    return float(value()) if len(values) else float("nan")


_CHECKS = {
    "rhd": ("RHD", rhd.SOURCE, _check_rhd),
    "stb": ("STB (the paper's SHD)", stb.SOURCE, _check_stb),
    "do": ("Dexter+Object", dexter_object.SOURCE, _check_do),
    "freihand": ("FreiHAND v2", freihand.SOURCE, _check_freihand),
    "ho3d": ("HO3D", ho3d.SOURCE, _check_ho3d),
    "interhand": ("InterHand2.6M", interhand.SOURCE, _check_interhand),
    "photos": ("Photographs", f"whoever made it; the layout is described in {photo_folder.__name__}", _check_photos),
    "nyu": ("NYU Depth v2", nyu.SOURCE, _check_backgrounds),
    "pictures": ("Pictures", "anywhere", _check_backgrounds),
}
