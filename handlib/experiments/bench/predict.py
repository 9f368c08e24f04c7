"""`handlib bench predict`: times one photograph and a batch of hands, from pixels to meshes in the camera frame.

Photograph: one rendered hand in an image of 1280 × 960: detection and its check, evidence, E3D, refinement.
Batch: turned crops of many hands at once: evidence, E3D and refinement, as in video and in evaluation.
Cold: the command `handlib predict` on that photograph as a file, a new process each time, from its start to the last
file written; beside it a process that only imports torch.
Times are CPU time on one thread; for the photograph and the batch, after a first call.
"""

import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from ...data import SyntheticHands
from ...evaluation.results import Metric
from ...networks.turned_crop import TurnedCrop
from ...photo.predict import Predictor
from ...photo.pyramid import Pyramid
from ...viz.plots import to_image
from .timing import Measured, benchmark, in_turns


@dataclass(frozen=True)
class PredictBench:
    """Settings of the benchmark."""

    hands: int = 16  # Hands in the batch.
    rounds: int = 8  # Repetitions of each case.
    cold: int = 7  # Processes that are started for each cold time.
    checkpoint: str = "photo"  # "photo" or a checkpoint.


PREDICT_BENCHES = {"smoke": PredictBench(hands=2, rounds=1, cold=1), "laptop": PredictBench()}
FIRST = 18  # a hand of the split studio that the detector finds
WIDTH, HEIGHT, SIDE = 1280, 960, 400  # of the photograph, and of the square with the hand in it


@benchmark("predict")
def bench_predict(config: PredictBench, device: str) -> Measured | None:
    """Times one photograph and a batch of hands, from pixels to meshes, and the command as a new process.

    None on a GPU.
    """
    if device != "cpu":
        return None
    predictor = Predictor(config.checkpoint)
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
    calls = {"photograph": lambda: predictor(photograph, max_hands=1), "batch": batch}
    with torch.no_grad():
        times = in_turns(calls, 0, least=config.rounds, warm=1)
    for name, hands in (("photograph", 1), ("batch", len(points))):
        each = [ms / hands for ms in times[name]]
        metrics.append(Metric(f"{name}_cpu_ms_per_hand", statistics.median(each), "ms", n=len(each)))
        print(f"{name:12} {statistics.median(each):8.1f} ms per hand (fastest {min(each):.1f})")
    for name, each in cold_times(photograph, config.checkpoint, config.cold).items():
        metrics.append(Metric(f"cold_{name}_cpu_s", statistics.median(each), "s", n=len(each)))
        print(f"cold {name:7} {statistics.median(each):8.2f} s (fastest {min(each):.2f})")
    data = {"name": "SyntheticHands studio in pictures of one size", "n": config.hands}
    claim = "how much CPU time a photograph takes, a hand in a batch, and the command as a new process"
    return Measured(claim, metrics, data)


def cold_times(photograph: Tensor, checkpoint: str, runs: int) -> dict[str, list[float]]:
    """Returns seconds of CPU time, in user and system, of new processes in turns: "torch" only imports it, "predict" is
    the command. photograph: (3, H, W) bytes.

    Raises `RuntimeError` with the last line of a process that failed.
    """
    times: dict[str, list[float]] = {"torch": [], "predict": []}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "photograph.jpg")
        to_image(photograph).save(path, quality=95)
        predict = ("-m", "handlib", "predict", path, "--out", folder, "--checkpoint", checkpoint)
        for _ in range(runs):
            times["torch"].append(_cpu_seconds("-c", "import torch"))
            times["predict"].append(_cpu_seconds(*predict))
    return times


def _cpu_seconds(*arguments: str | Path) -> float:
    """Runs Python with these arguments, on one thread and with this handlib."""
    here, before = str(Path(__file__).parents[3]), os.times()
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": here}
    done = subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{arguments[1]} failed: {(done.stderr.strip() or 'no message').splitlines()[-1][:200]}")
    after = os.times()
    return after.children_user - before.children_user + after.children_system - before.children_system
