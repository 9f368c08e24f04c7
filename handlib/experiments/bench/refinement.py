"""`handlib bench refinement`: times the inner loop of fitting a hand to an image, without a network.

The loop is fifty steps of Adam on the 63 numbers h of a hand. It starts from the mean hand in the center of the crop
and minimizes the mean squared difference between its silhouette and a mask. A step poses the hand, renders it, computes
the gradient and updates h. The loop runs once with handlib's compiled code and once in plain torch; both must reach the
same error. One thread on the CPU.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...camera import crop_to_px
from ...evaluation.results import Metric, device_name
from ...hand import HandModel
from ...parameters import MeshParameters, posed_hand
from ...renderer import Renderer
from .timing import bench_record, in_turns, one_thread, speedup


@dataclass(frozen=True)
class RefinementBench:
    """Settings of the benchmark.

    Args:
        batches: Batch sizes on the CPU.
        batches_cuda: Batch sizes on a GPU, where small batches cost only the launches of kernels.
        sizes: Sides of the masks in pixels.
        steps: Steps of Adam.
        seconds: Time for each case; at least five rounds.
    """

    batches: tuple[int, ...] = (1, 8)
    batches_cuda: tuple[int, ...] = (1, 8, 256)
    sizes: tuple[int, ...] = (128, 224)
    steps: int = 50
    seconds: float = 10.0


REFINEMENT_BENCHES = {"smoke": RefinementBench(sizes=(32,), steps=3, seconds=0.0), "laptop": RefinementBench()}


def make_loop(backend: str, batch: int, size: int, steps: int, device: str = "cpu") -> Callable[[], Tensor]:
    """Returns the loop on one backend; it returns the final squared difference of every image."""
    hand = HandModel.load("openhand", backend="reference" if backend == "reference" else "auto")
    pose, shape = hand.sample(batch, torch.Generator().manual_seed(0))
    hand, renderer = hand.to(device), Renderer(size, backend)
    first = MeshParameters.initial(hand).expand(batch, -1)
    truth = MeshParameters.split(first)._replace(pose=pose.to(device), shape=shape.to(device)).join()

    def silhouette(h: Tensor) -> Tensor:
        return renderer.silhouette(crop_to_px(posed_hand(hand, h).vertices, size), hand.faces)

    mask = silhouette(truth)

    def error(h: Tensor) -> Tensor:
        return (silhouette(h) - mask).square().mean((-2, -1))

    def loop() -> Tensor:
        h = first.clone().requires_grad_()
        optimizer = torch.optim.Adam([h], lr=0.02, fused=True)
        for _ in range(steps):
            optimizer.zero_grad()
            error(h).sum().backward()
            optimizer.step()
        with torch.no_grad():
            return error(h)

    return loop


def bench_refinement(
    config: RefinementBench, profile: str, device: str = "cpu", say: Callable[[str], object] = print
) -> dict[str, Any]:
    """Runs the benchmark and returns its record. say: is called with each line of the table.

    Raises `ValueError` if the two loops end with different errors.
    """
    started, metrics = time.perf_counter(), []
    batches = config.batches if device == "cpu" else config.batches_cuda
    with one_thread():
        say(f"{device_name(device)}; ms per image for {config.steps} steps: the fastest round")
        for size in config.sizes:
            for batch in batches:
                loops = {b: make_loop(b, batch, size, config.steps, device) for b in ("auto", "reference")}
                ends = [float(loop().mean()) for loop in loops.values()]
                if abs(ends[0] - ends[1]) > 0.1 * ends[1] + 1e-3:
                    raise ValueError(f"the loops end with different errors: {ends[0]:.3g} and {ends[1]:.3g}")
                times, case = in_turns(loops, config.seconds, device), f"{size}px_b{batch}"
                low, median, high = speedup(times, "auto", "reference")
                for name, key in {"auto": "fast", "reference": "plain"}.items():
                    each = min(times[name]) / batch
                    metrics.append(Metric(f"{key}_{case}_ms_per_image", each, "ms", n=len(times[name])))
                metrics.append(Metric(f"fast_over_plain_{case}", median, "ratio", n=len(times["auto"])))
                fast, plain = metrics[-3].value, metrics[-2].value
                line = f"{size:4}² batch {batch:3}  fast {fast:8.1f}  plain {plain:8.1f}"
                say(f"{line}  {median:.2f}× ({low:.2f}–{high:.2f})")
    data = {"name": "sampled poses and shapes of the open hand, palm to the viewer", "n": max(batches)}
    claim = "how long fifty steps of refinement take, and how much the compiled loops save"
    return bench_record("refinement", claim, metrics, config, profile, device, started, data)
