"""`handlib bench predict`: what one photograph and a batch of hands cost, from pixels to meshes in the camera.

One photograph: a rendered hand in a picture of 1280 × 960, one hand looked for: detection, the check of the find,
evidence, E3D, refinement.
A batch: turned crops of many hands at once through evidence, E3D and refinement, as in video and in evaluation.
Milliseconds of CPU time on one thread, warm.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch.nn import functional

from ...data import SyntheticHands
from ...evaluation import results
from ...evaluation.results import Metric
from ...networks.turned_crop import TurnedCrop
from ...photo.predict import Predictor
from ...photo.pyramid import Pyramid
from .timing import one_thread, record_name


@dataclass(frozen=True)
class PredictBench:
    """Settings of the benchmark.

    Args:
        hands: Hands of the batch.
        rounds: How often each case is timed.
        checkpoint: The model.
    """

    hands: int = 16
    rounds: int = 8
    checkpoint: str = "photo"


PREDICT_BENCHES = {"smoke": PredictBench(hands=2, rounds=1), "laptop": PredictBench()}
FIRST = 18  # of the studio's hands, one that is found at once
WIDTH, HEIGHT, SIDE = 1280, 960, 400  # of the photograph; of the hand's picture in it


def bench_predict(
    config: PredictBench, profile: str, device: str = "cpu", say: Callable[[str], object] = print
) -> dict[str, Any]:
    """Runs the benchmark and returns its record; `say` gets the table. The photo pipeline runs on the CPU alone."""
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
        raise ValueError("the photograph's hand is not found, so there is nothing to time: use another checkpoint")
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
            say(f"{name:12} {statistics.median(each):8.1f} ms a hand (fastest {min(each):.1f})")
    return results.record(
        record_name("predict", device, profile),
        "what a photograph costs, and a hand in a batch",
        metrics,
        profile=profile,
        config=asdict(config) | {"threads": 1},
        data={"name": "SyntheticHands studio in pictures of one size", "n": config.hands},
        hand={"name": "openhand", "fingertips": "smplx"},
        started=started,
        device=device,
    )
