"""`handlib bench predict`: times one photograph and a batch of hands, from pixels to meshes in the camera frame.

Photograph: one rendered hand in an image of 1280 × 960: detection and its check, evidence, E3D, refinement.
Batch: turned crops of many hands at once: evidence, E3D and refinement, as in video and in evaluation.
Times are milliseconds of CPU time on one thread, after a first call.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from ...data import SyntheticHands
from ...evaluation.results import Metric
from ...networks.turned_crop import TurnedCrop
from ...photo.predict import Predictor
from ...photo.pyramid import Pyramid
from .timing import bench_record, one_thread


@dataclass(frozen=True)
class PredictBench:
    """Settings of the benchmark.

    Args:
        hands: Hands in the batch.
        rounds: Repetitions of each case.
        checkpoint: "photo" or a checkpoint.
    """

    hands: int = 16
    rounds: int = 8
    checkpoint: str = "photo"


PREDICT_BENCHES = {"smoke": PredictBench(hands=2, rounds=1), "laptop": PredictBench()}
FIRST = 18  # a hand of the split studio that the detector finds
WIDTH, HEIGHT, SIDE = 1280, 960, 400  # of the photograph, and of the square with the hand in it


def bench_predict(
    config: PredictBench, profile: str, device: str = "cpu", say: Callable[[str], object] = print
) -> dict[str, Any] | None:
    """Runs the benchmark and returns its record; None on a GPU. say: is called with each line of the table."""
    if device != "cpu":
        return None
    started, predictor = time.perf_counter(), Predictor(config.checkpoint)
    rows = FIRST + torch.arange(config.hands)
    pictures = SyntheticHands("studio", 256, int(rows[-1]) + 1, crop_factor=2.0).batch(rows)["image"]
    photograph = torch.full((3, HEIGHT, WIDTH), 0.5)
    photograph[:, 280 : 280 + SIDE, 440 : 440 + SIDE] = functional.interpolate(pictures[:1], (SIDE, SIDE))[0]
    photograph = (255 * photograph).byte()
    whole = TurnedCrop.upright(torch.tensor([[0.0, 0, 256]]))
    crops = [predictor.finder.surest_turn(Pyramid(picture), whole) for picture in pictures]
    points = torch.stack([hand.points_px for hand in crops])
    left, K = torch.zeros(len(points), dtype=torch.bool), torch.tensor([[400.0, 0, 128], [0, 400, 128], [0, 0, 1]])

    def batch() -> None:
        looks = [predictor.last_look(Pyramid(p), q[None], left[:1]) for p, q in zip(pictures, points, strict=True)]
        crop, evidence = (
            type(parts[0])(*map(torch.cat, zip(*parts, strict=True))) for parts in zip(*looks, strict=True)
        )
        predictor.of_evidence(Pyramid(pictures[0]), crop, evidence, left, K, True)

    if not predictor(photograph, max_hands=1):
        raise ValueError("no hand was found in the photograph, so there is nothing to time: use another checkpoint")
    metrics = []
    with one_thread(), torch.no_grad():
        cases = (("photograph", lambda: predictor(photograph, max_hands=1), 1), ("batch", batch, len(points)))
        for name, call, hands in cases:
            call()
            each = []
            for _ in range(config.rounds):
                began = time.process_time()
                call()
                each.append(1000 * (time.process_time() - began) / hands)
            metrics.append(Metric(f"{name}_cpu_ms_per_hand", statistics.median(each), "ms", n=len(each)))
            say(f"{name:12} {statistics.median(each):8.1f} ms per hand (fastest {min(each):.1f})")
    data = {"name": "SyntheticHands studio in pictures of one size", "n": config.hands}
    claim = "how much CPU time a photograph takes, and a hand in a batch"
    return bench_record("predict", claim, metrics, config, profile, device, started, data)
