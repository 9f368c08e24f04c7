"""Measures tracking on rendered gestures: errors, jitter, lag and time.

    python tools/measure/tracking.py

The data are two sequences of `studio` from a camera at rest, with noise and blur for each frame and a new background
for each posture. The settings of handlib/photo/track.py were chosen on other sequences of the same person. It compares
each frame alone, each frame alone in the crops that tracking finds, and tracking. Errors are after moving the middle
MCP to the true one. Trembling is the mean second difference of the error of a joint. Lag is the slope of the error
against the true velocity in frames, positive if estimates are late. Since the errors of the network also follow the
motion by chance, the lag added by tracking is measured relative to each frame alone. Times are CPU time. Writes
results/tracking.json.
"""

import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import torch
from common import write
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

from handlib.data import SyntheticHands
from handlib.evaluation.metrics import align
from handlib.evaluation.results import Metric
from handlib.hand.joints import MIDDLE_MCP
from handlib.photo import track
from handlib.photo.clip import predict_clip
from handlib.photo.predict import Predictor
from handlib.photo.track import Tracker
from handlib.photo.video import video_writer

SEQUENCES, FRAMES, LENGTH = (2, 3), 96, 150  # frames used, of the frames of each sequence
SIZE, BOX = 480, (90.0, -60.0, 600.0)  # pixels; the crop of the benchmark's image
VIDEO = (1280, 720)  # size of the clip whose total time is measured
WAYS = {"each_frame": "each frame by itself", "followed": "the crops are tracked", "tracked": "tracking"}


def sequence(number: int) -> dict[str, Tensor]:
    """Renders a sequence: its frames as bytes, its true joints and K."""
    data = SyntheticHands("studio", SIZE, n=2 * LENGTH * (number + 1), box=BOX)
    made = [data.batch(2 * part) for part in (torch.arange(FRAMES) + LENGTH * number).split(16)]
    fields = {key: torch.cat([batch[key] for batch in made]) for key in ("image", "joints_cam", "K")}
    return fields | {"image": (fields["image"] * 255).round().byte()}


def followed(predictor: Predictor, way: str, seen: dict[str, Tensor]) -> tuple[Tensor, list[set], float]:
    """Returns the joints of each frame, NaN without a right hand; track numbers and sides; seconds per frame."""
    K = seen["K"][0]
    if way == "each_frame":
        step = lambda frame: predictor(frame, K, max_hands=1)  # noqa: E731
    else:
        step = Tracker(predictor, 1, K, smooth=way == "tracked")
    started = time.process_time()
    hands = [step(frame) for frame in tqdm(seen["image"], WAYS[way])]
    seconds = (time.process_time() - started) / len(hands)
    joints = [h[0].joints_cam if h and h[0].side == "right" else torch.full((21, 3), torch.nan) for h in hands]
    return torch.stack(joints), [(h[0].track, h[0].side) for h in hands if h], seconds


def centered(joints_cam: Tensor) -> Tensor:
    """Converts to millimeters relative to the middle MCP."""
    return 1000 * (joints_cam - joints_cam[:, MIDDLE_MCP, None])


def lag(late: list[Tensor], velocity: list[Tensor]) -> float:
    """Returns the lag in frames: the negative slope of errors against velocities."""
    return -float(
        sum((a * v).sum() for a, v in zip(late, velocity, strict=True)) / sum(v.square().sum() for v in velocity)
    )


def measure(predictor: Predictor) -> list[Metric]:
    sequences = [sequence(number) for number in tqdm(SEQUENCES, "rendering")]
    tracks = {way: [followed(predictor, way, seen) for seen in sequences] for way in WAYS}
    everywhere = [
        torch.stack([tracks[way][i][0] for way in WAYS]).isfinite().flatten(2).all(2).all(0)
        for i in range(len(SEQUENCES))
    ]
    inner = [ok[2:] & ok[1:-1] & ok[:-2] for ok in everywhere]
    truth = [centered(seen["joints_cam"]) for seen in sequences]
    velocity = [((t[2:] - t[:-2]) / 2)[ok] for t, ok in zip(truth, inner, strict=True)]
    n, metrics = sum(int(ok.sum()) for ok in everywhere), []

    def add(name: str, value: float, unit: str, alignment: str = "none", n: int = n) -> None:
        metrics.append(Metric(name, float(value), unit, alignment, "none", n))

    add("motion_mm", torch.cat(velocity).norm(dim=-1).mean(), "mm/frame", "root")
    alone = [centered(joints)[1:-1][ok] for (joints, *_), ok in zip(tracks["each_frame"], inner, strict=True)]
    for way in WAYS:
        joints = [joints for joints, *_ in tracks[way]]
        error = [centered(j) - t for j, t in zip(joints, truth, strict=True)]
        aligned = torch.cat([
            align(j[ok], seen["joints_cam"][ok], "procrustes") - seen["joints_cam"][ok]
            for j, seen, ok in zip(joints, sequences, everywhere, strict=True)
        ])  # fmt: skip
        trembling = [(e[2:] - 2 * e[1:-1] + e[:-2])[ok] for e, ok in zip(error, inner, strict=True)]
        add(
            f"{way}_root_mm",
            torch.cat([e[ok] for e, ok in zip(error, everywhere, strict=True)]).norm(dim=-1).mean(),
            "mm",
            "root",
        )
        add(f"{way}_procrustes_mm", 1000 * aligned.norm(dim=-1).mean(), "mm", "procrustes")
        add(f"{way}_trembling_mm", torch.cat(trembling).norm(dim=-1).mean(), "mm", "root")
        add(
            f"{way}_lag_frames",
            lag([e[1:-1][ok] for e, ok in zip(error, inner, strict=True)], velocity),
            "frames",
            "root",
        )
        if way != "each_frame":
            late = [centered(j)[1:-1][ok] - a for j, ok, a in zip(joints, inner, alone, strict=True)]
            add(f"{way}_added_lag_frames", lag(late, velocity), "frames", "root")
            add(
                f"{way}_tracks",
                sum(len({number for number, _ in ids}) for _, ids, _ in tracks[way]),
                "tracks",
                n=len(SEQUENCES),
            )
        sides = [side for _, ids, _ in tracks[way] for _, side in ids]
        add(f"{way}_found", len(sides) / (FRAMES * len(SEQUENCES)), "fraction", n=FRAMES * len(SEQUENCES))
        add(f"{way}_right_side", sides.count("right") / max(len(sides), 1), "fraction", n=len(sides))
        add(f"{way}_ms", 1000 * sum(s for *_, s in tracks[way]) / len(SEQUENCES), "ms/frame", n=FRAMES * len(SEQUENCES))
    add("clip_fps", clip_fps(predictor, sequences[0]["image"]), "frames/s", n=FRAMES)
    return metrics


def clip_fps(predictor: Predictor, images: Tensor) -> float:
    """Measures frames per second of CPU time for a whole clip: reading, estimating, drawing and writing."""
    width, height = VIDEO
    margin = (width - height) // 2
    with tempfile.TemporaryDirectory() as home:
        path = Path(home) / "clip.mp4"
        with video_writer(path, VIDEO, 30) as add:
            for image in images:
                large = functional.interpolate(image[None].float(), (height, height), mode="bilinear")
                add(functional.pad(large, (margin, margin, 0, 0), "replicate")[0].round().byte())
        started = time.process_time()
        predict_clip(path, home, predictor, max_hands=1)
        return len(images) / (time.process_time() - started)


def main() -> None:
    torch.set_num_threads(1)
    started = time.perf_counter()
    predictor = Predictor()
    settings = {key: getattr(track, key) for key in ("ITERATIONS", "VELOCITY", "SHAPE", "SEARCH_EVERY", "PATIENCE")}
    config = {"model": asdict(predictor.model.config), "noise": asdict(track.STEPS), **settings}
    dataset = SyntheticHands("studio", SIZE, n=2 * LENGTH * (SEQUENCES[-1] + 1), box=BOX)
    data = {"name": f"{dataset.name}, sequences {SEQUENCES}", "n": FRAMES * len(SEQUENCES)}
    claim = "hands of a video are tracked without trembling, and with what lag"
    write("tracking", claim, measure(predictor), predictor.model, data, started, "tracking.py", config)


if __name__ == "__main__":
    main()
