"""`handlib bench refinement`: the inner loop of fitting a hand to an image, without a network.

What is timed: fifty steps of Adam on the 63 numbers h of a hand, from the mean hand in the middle of the crop, down the
mean squared difference between its silhouette and a mask. A step is posing the hand, rendering, the gradient and the
optimizer. The same loop runs on handlib's compiled loops and on its plain torch; both must arrive at the same error.
One thread on the CPU.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from ...camera import crop_to_px
from ...evaluation import results
from ...evaluation.results import Metric
from ...hand import HandModel
from ...parameters import MeshParameters, posed_hand
from ...renderer import Renderer
from .timing import in_turns, one_thread, record_name, speedup


@dataclass(frozen=True)
class RefinementBench:
    """Settings of the benchmark.

    Args:
        batches: Numbers of images at once on the CPU.
        batches_cuda: The same on a GPU, where a step costs its launches until there are many.
        sizes: Sides of the masks in pixels.
        steps: Steps of Adam.
        seconds: How long each case is timed; five rounds at least.
    """

    batches: tuple[int, ...] = (1, 8)
    batches_cuda: tuple[int, ...] = (1, 8, 256)
    sizes: tuple[int, ...] = (128, 224)
    steps: int = 50
    seconds: float = 10.0


REFINEMENT_BENCHES = {"smoke": RefinementBench(sizes=(32,), steps=3, seconds=0.0), "laptop": RefinementBench()}


def make_loop(backend: str, batch: int, size: int, steps: int, device: str = "cpu") -> Callable[[], Tensor]:
    """The loop on one backend; it returns the last squared difference of every image."""
    hand = HandModel.load("openhand", backend="reference" if backend == "reference" else "auto")
    pose, shape = hand.sample(batch, torch.Generator().manual_seed(0))
    hand, renderer = hand.to(device), Renderer(size, backend)
    first = MeshParameters.initial(hand).expand(batch, -1)
    truth = MeshParameters.split(first)._replace(pose=pose.to(device), shape=shape.to(device)).join()

    def placed(h: Tensor) -> Tensor:
        return crop_to_px(posed_hand(hand, h).vertices, size)

    mask = renderer.silhouette(placed(truth), hand.faces)

    def error(h: Tensor) -> Tensor:
        return (renderer.silhouette(placed(h), hand.faces) - mask).square().mean((-2, -1))

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
    """Runs the benchmark and returns its record; `say` gets the table. `ValueError` when both loops end apart."""
    started, metrics = time.perf_counter(), []
    batches = config.batches if device == "cpu" else config.batches_cuda
    with one_thread():
        say(f"{results.device_name(device)}; ms an image for {config.steps} steps: the fastest round")
        for size in config.sizes:
            for batch in batches:
                loops = {b: make_loop(b, batch, size, config.steps, device) for b in ("auto", "reference")}
                ends = [float(loop().mean()) for loop in loops.values()]
                if abs(ends[0] - ends[1]) > 0.1 * ends[1] + 1e-3:
                    raise ValueError(f"the loops end apart, at errors of {ends[0]:.3g} and {ends[1]:.3g}")
                times, case = in_turns(loops, config.seconds, device), f"{size}px_b{batch}"
                low, median, high = speedup(times, "auto", "reference")
                for name, key in {"auto": "fast", "reference": "plain"}.items():
                    each = min(times[name]) / batch
                    metrics.append(Metric(f"{key}_{case}_ms_per_image", each, "ms", n=len(times[name])))
                metrics.append(Metric(f"fast_over_plain_{case}", median, "ratio", n=len(times["auto"])))
                fast, plain = metrics[-3].value, metrics[-2].value
                line = f"{size:4}² batch {batch:3}  fast {fast:8.1f}  plain {plain:8.1f}"
                say(f"{line}  {median:.2f}× ({low:.2f}–{high:.2f})")
    return results.record(
        record_name("refinement", device, profile),
        "how long fifty steps of refinement take, and how much the compiled loops save",
        metrics,
        profile=profile,
        config=asdict(config) | {"threads": 1},
        data={"name": "sampled poses and shapes of the open hand, palm to the viewer", "n": max(batches)},
        hand={"name": "openhand", "fingertips": "smplx"},
        started=started,
        device=device,
    )
