"""`handlib bench renderer`: silhouettes of hands and their gradients, against pytorch3d.

What is compared. The same posed hands in pixels, float32, in pictures of 224². "Forward" records no graph; "forward
and backward" adds the derivatives by the vertices of the mean squared difference from the silhouettes of the same
hands five pixels to the right. One thread on the CPU. Milliseconds are those of the fastest round, ratios the median
over all.

The peer is pytorch3d's soft silhouette with σ = 1e-4 and fifty faces a pixel; with fewer its silhouettes have holes.
handlib's `soft` computes the same, and is not timed before both are seen to agree; `antialias` and `kato` are other
gradients of the same picture. pytorch3d's CPU code spends most of its backward pass in nine writes through a slow
operator; to compare with what it could be, build it after

    sed -i -e '/torch::Tensor grad_face_verts = /a auto grads = grad_face_verts.accessor<float, 3>();' \
        -e 's/grad_face_verts\\[f\\]/grads[f]/' pytorch3d/csrc/rasterize_meshes/rasterize_meshes_cpu.cpp

and say so with `--variant repaired`. Without CUDA, `FORCE_CUDA=0 PYTORCH3D_FORCE_NO_CUDA=1 pip install
--no-build-isolation .` builds it in some twenty minutes of one core.
"""

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ...camera import crop_to_px
from ...evaluation import results
from ...evaluation.results import Metric
from ...hand import HandModel
from ...parameters import MeshParameters, posed_hand
from ...renderer import Renderer
from ...renderer.backends import fast_serves
from .memory import peak_memory_mb
from .timing import in_turns, one_thread, record_name, speedup

PEER = "pytorch3d_soft"
DIRECTIONS = ("forward", "forward_backward")
SLOW = 0.2  # seconds of a call beside which short calls find their caches cold, and from which on two rounds must do


@dataclass(frozen=True)
class RendererBench:
    """Settings of the benchmark.

    Args:
        batches: Numbers of hands at once.
        size: Side of the pictures in pixels.
        seconds: How long each batch size is timed in each direction; five rounds at least, two of slow calls.
        patience: A contestant of which one call would take longer than this many seconds is left out.
        variant: What was done to the peer, such as "repaired"; part of the record's name.
    """

    batches: tuple[int, ...] = (1, 8, 64)
    size: int = 224
    seconds: float = 10.0
    patience: float = 120.0
    variant: str = "as shipped"


RENDERER_BENCHES = {"smoke": RendererBench(batches=(1, 2), size=32, seconds=0.0), "laptop": RendererBench()}


def contestants(size: int, device: str = "cpu") -> dict[str, Renderer]:
    """The renderers that are compared; the peer only where it is installed."""
    fast = fast_serves(device.split(":")[0])
    found = {name: Renderer(size, gradient=name, supersampling=1) for name in ("antialias", "soft", "kato")}
    if fast:  # then the plain torch is another
        found["reference_antialias"] = Renderer(size, "reference")
    try:
        found[PEER] = Renderer(size, "pytorch3d", gradient="soft")
    except ModuleNotFoundError:
        pass
    return found


def hands(batch: int, size: int, device: str = "cpu") -> tuple[Tensor, Tensor]:
    """Vertices in pixels of that many hands that fill most of the picture, and their faces."""
    hand = HandModel.load("openhand")
    pose, shape = hand.sample(batch, torch.Generator().manual_seed(0))
    first = MeshParameters.split(MeshParameters.initial(hand).expand(batch, -1))
    vertices = posed_hand(hand, first._replace(pose=pose, shape=shape).join()).vertices
    return crop_to_px(vertices, size).to(device), hand.faces.to(device)


def make_call(renderer: Renderer, direction: str, batch: int, device: str = "cpu") -> Callable[[], list[Tensor]]:
    """What is timed: silhouettes, and in the other direction the gradient as well."""
    vertices, faces = hands(batch, renderer.height, device)
    if direction == "forward":
        return lambda: [renderer.silhouette(vertices, faces)]
    target = Renderer(renderer.height).silhouette(vertices + vertices.new_tensor([5.0, 0, 0]), faces)
    leaf = vertices.clone().requires_grad_()

    def forward_backward() -> list[Tensor]:
        image = renderer.silhouette(leaf, faces)
        return [image.detach(), *torch.autograd.grad(functional.mse_loss(image, target), leaf)]

    return forward_backward


def bench_renderer(
    config: RendererBench, profile: str, device: str = "cpu", say: Callable[[str], object] = print
) -> dict[str, Any]:
    """Runs the benchmark and returns its record; `say` gets the table, line by line.

    Raises `ValueError` when our soft silhouettes and the peer's disagree.
    """
    started = time.perf_counter()
    with one_thread():
        renderers = contestants(config.size, device)
        peer = f"pytorch3d {version('pytorch3d')}, {config.variant}" if PEER in renderers else "none"
        say(f"{results.device_name(device)}; ms: the fastest round; ×: median (quartiles) of the rounds' ratios")
        say(f"peer: {peer}" if PEER in renderers else "peer: none, as pytorch3d is not installed")
        if PEER in renderers:
            _check_agreement(renderers, device)
        metrics, expected = [], dict.fromkeys(renderers, 0.0)  # seconds of a call, for one hand
        for direction in DIRECTIONS:
            for batch in config.batches:
                entrants = {}
                for name, renderer in renderers.items():
                    if expected[name] * batch <= config.patience:
                        entrants[name] = renderer
                    else:
                        say(f"{name} is left out: a call would take about {expected[name] * batch / 60:.0f} minutes")
                if not entrants:
                    continue
                slow = max(expected[name] * batch for name in entrants) > SLOW
                times = _time(entrants, direction, batch, config.seconds, device, slow)
                expected |= {name: min(column) / 1e3 / batch for name, column in times.items()}
                metrics += _metrics(times, direction, batch, config.size, device, say)
    kind = "renderer" if config.variant == "as shipped" else f"renderer-{config.variant}"
    return results.record(
        record_name(kind, device, profile),
        "how many times faster the renderer's silhouettes and gradients are than pytorch3d's",
        metrics,
        profile=profile,
        config=asdict(config) | {"peer": peer, "threads": 1},
        data={"name": "sampled poses and shapes of the open hand, palm to the viewer", "n": max(config.batches)},
        hand={"name": "openhand", "fingertips": "smplx"},
        started=started,
        device=device,
    )


def _time(
    renderers: dict[str, Renderer], direction: str, batch: int, seconds: float, device: str, slow: bool
) -> dict[str, list[float]]:
    calls = {name: make_call(renderer, direction, batch, device) for name, renderer in renderers.items()}
    if not slow:
        first = in_turns(calls, 0, device, least=1, warm=0 if device == "cpu" else 1)  # else it times the compiler
        slow = max(max(column) for column in first.values()) / 1e3 > SLOW
    if slow:
        return in_turns(calls, 0, device, least=2, warm=0, again=0.3)
    return in_turns(calls, seconds, device)


def _metrics(
    times: dict[str, list[float]], direction: str, batch: int, size: int, device: str, say: Callable[[str], object]
) -> list[Metric]:
    metrics, case = [], f"{direction}_b{batch}"
    for name, column in times.items():
        line = f"{direction:16} {batch:4} {name:20} {min(column):10.2f} ms"
        metrics.append(Metric(f"{name}_{case}_ms", min(column), "ms", n=len(column)))
        memory = _memory(name, direction, batch, size, device) if direction == "forward_backward" else None
        if memory is not None:
            metrics.append(Metric(f"{name}_{case}_memory_mb", memory, "MB", n=1))
            line += f" {memory:8.0f} MB"
        if PEER in times and name != PEER:
            low, median, high = speedup(times, name, PEER)
            metrics.append(Metric(f"{name}_over_{PEER}_{case}", median, "ratio", n=len(column)))
            line += f"   {median:.4g}× ({low:.4g}–{high:.4g})"
        say(line)
    return metrics


def _check_agreement(renderers: dict[str, Renderer], device: str) -> None:
    """Equal silhouettes, to the mean difference that the peer's fiftieth face may make."""
    ours, theirs = (make_call(renderers[name], "forward", 1, device)()[0] for name in ("soft", PEER))
    apart = float((ours - theirs).abs().mean())
    if not apart < 1e-5:
        raise ValueError(f"the soft silhouettes disagree by {apart:.2g} on average; what differs is not worth timing")


def _memory(name: str, direction: str, batch: int, size: int, device: str) -> float | None:
    if device != "cpu":
        return measure_memory(name, direction, batch, size, device)
    code = f"from {__name__} import measure_memory as m; print(m({name!r}, {direction!r}, {batch}, {size}))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    return None if answer.split()[-1] == "None" else float(answer.split()[-1])


def measure_memory(name: str, direction: str, batch: int, size: int, device: str = "cpu") -> float | None:
    """MB of one call, after one on a tiny picture has loaded all code."""
    torch.set_num_threads(1)
    make_call(contestants(8, device)[name], direction, 1, device)()
    return peak_memory_mb(make_call(contestants(size, device)[name], direction, batch, device), device)
