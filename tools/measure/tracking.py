"""Measures tracking on rendered gestures: errors, trembling, lag and time.

    python tools/measure/tracking.py

Two sequences of `studio` as a camera at rest sees them, each frame with noise and blur of its own, a new background
with every posture. The settings of handlib/photo/track.py were chosen on other sequences of the same person. Compared
are: each frame by itself; each frame by itself through the crops that tracking finds; tracking. Errors are after moving
the middle MCP onto the true one. Trembling is the mean second difference of a joint's error. Lag is the slope of the
error against the true velocity, in frames, with the sign of what comes late; since the network's errors follow the
motion by chance as well, the lag that tracking adds is measured against each frame by itself. Times are CPU time.
Writes results/tracking.json.
"""

import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

from handlib.data import SyntheticHands
from handlib.evaluation import results
from handlib.evaluation.metrics import align
from handlib.hand.joints import MIDDLE_MCP
from handlib.photo import track
from handlib.photo.clip import predict_clip
from handlib.photo.predict import Predictor
from handlib.photo.track import Tracker
from handlib.photo.video import VideoWriter

SEQUENCES, FRAMES, LENGTH = (2, 3), 96, 150  # of each sequence so many of all its frames
SIZE, BOX = 480, (90.0, -60.0, 600.0)  # pixels; the crop of the benchmark's picture
VIDEO = (1280, 720)  # in which the time of all of it is measured
WAYS = {"each_frame": "each frame by itself", "followed": "the crops are tracked", "tracked": "tracking"}


def sequence(number: int) -> dict[str, Tensor]:
    """Its frames as bytes, its true joints and K."""
    data = SyntheticHands("studio", SIZE, n=2 * LENGTH * (number + 1), box=BOX)
    made = [data.batch(2 * part) for part in (torch.arange(FRAMES) + LENGTH * number).split(16)]
    fields = {key: torch.cat([batch[key] for batch in made]) for key in ("image", "joints_cam", "K")}
    return fields | {"image": (fields["image"] * 255).round().byte()}


def followed(predictor: Predictor, way: str, seen: dict[str, Tensor]) -> tuple[Tensor, list[set], float]:
    """The joints of each frame, NaN where there is no right hand; numbers and sides; seconds a frame."""
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
    """Millimeters about the middle MCP."""
    return 1000 * (joints_cam - joints_cam[:, MIDDLE_MCP, None])


def lag(late: list[Tensor], velocity: list[Tensor]) -> float:
    """How many frames' motion what is late lacks."""
    return -float(
        sum((a * v).sum() for a, v in zip(late, velocity, strict=True)) / sum(v.square().sum() for v in velocity)
    )


def measure(predictor: Predictor) -> list[results.Metric]:
    sequences = [sequence(number) for number in tqdm(SEQUENCES, "rendering")]
    found = {way: [followed(predictor, way, seen) for seen in sequences] for way in WAYS}
    everywhere = [
        torch.stack([found[way][i][0] for way in WAYS]).isfinite().flatten(2).all(2).all(0)
        for i in range(len(SEQUENCES))
    ]
    inner = [ok[2:] & ok[1:-1] & ok[:-2] for ok in everywhere]
    truth = [centered(seen["joints_cam"]) for seen in sequences]
    velocity = [((t[2:] - t[:-2]) / 2)[ok] for t, ok in zip(truth, inner, strict=True)]
    n, metrics = sum(int(ok.sum()) for ok in everywhere), []

    def add(name: str, value: float, unit: str, alignment: str = "none", n: int = n) -> None:
        metrics.append(results.Metric(name, float(value), unit, alignment, "none", n))
        print(f"{name:32} {value:8.3f} {unit}")

    add("motion_mm", torch.cat(velocity).norm(dim=-1).mean(), "mm/frame", "root")
    alone = [centered(joints)[1:-1][ok] for (joints, *_), ok in zip(found["each_frame"], inner, strict=True)]
    for way in WAYS:
        joints = [joints for joints, *_ in found[way]]
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
                sum(len({number for number, _ in said}) for _, said, _ in found[way]),
                "tracks",
                n=len(SEQUENCES),
            )
        sides = [side for _, said, _ in found[way] for _, side in said]
        add(f"{way}_found", len(sides) / (FRAMES * len(SEQUENCES)), "fraction", n=FRAMES * len(SEQUENCES))
        add(f"{way}_right_side", sides.count("right") / max(len(sides), 1), "fraction", n=len(sides))
        add(f"{way}_ms", 1000 * sum(s for *_, s in found[way]) / len(SEQUENCES), "ms/frame", n=FRAMES * len(SEQUENCES))
    add("clip_fps", clip_fps(predictor, sequences[0]["image"]), "frames/s", n=FRAMES)
    return metrics


def clip_fps(predictor: Predictor, images: Tensor) -> float:
    """Frames a second of CPU time of a whole clip: reading, estimating, drawing and writing."""
    width, height = VIDEO
    margin = (width - height) // 2
    with tempfile.TemporaryDirectory() as home:
        path = Path(home) / "clip.mp4"
        with VideoWriter(path, VIDEO, 30) as video:
            for image in images:
                large = functional.interpolate(image[None].float(), (height, height), mode="bilinear")
                video.write(functional.pad(large, (margin, margin, 0, 0), "replicate")[0].round().byte())
        started = time.process_time()
        predict_clip(path, home, predictor, max_hands=1)
        return len(images) / (time.process_time() - started)


def main() -> None:
    torch.set_num_threads(1)
    started = time.perf_counter()
    predictor = Predictor()
    settings = {key: getattr(track, key) for key in ("ITERATIONS", "VELOCITY", "SHAPE", "SEARCH_EVERY", "PATIENCE")}
    hand = predictor.model.hand
    data = SyntheticHands("studio", SIZE, n=2 * LENGTH * (SEQUENCES[-1] + 1), box=BOX)
    record = results.record(
        "tracking",
        "hands of a video are tracked without trembling, and with what lag",
        measure(predictor),
        profile="laptop",
        config={"model": asdict(predictor.model.config), "noise": asdict(track.STEPS), **settings},
        data={"name": f"{data.name}, sequences {SEQUENCES}", "n": FRAMES * len(SEQUENCES)},
        hand={"name": hand.name, "fingertips": hand.fingertips.name},
        started=started,
        command="python tools/measure/tracking.py",
    )
    print("wrote", results.write(record, Path(__file__).resolve().parents[2] / "results"))


if __name__ == "__main__":
    main()
