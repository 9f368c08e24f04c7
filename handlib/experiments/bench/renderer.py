"""`handlib bench renderer`: compares silhouettes of hands and their gradients with pytorch3d.

All render the same posed hands in pixels, float32, in images of 224². "Forward" records no graph; "forward and
backward" adds the derivatives by the vertices of the mean squared difference from the silhouettes of the same hands
five pixels to the right. One thread on the CPU. Milliseconds are those of the fastest round, ratios the median over
all rounds.

The peer is pytorch3d's soft silhouette with σ = 1e-4 and fifty faces per pixel; with fewer, its silhouettes have holes.
handlib's `soft` computes the same, and both must agree before they are timed; `antialias` and `kato` are other
gradients of the same image. pytorch3d's CPU code spends most of its backward pass in nine writes through a slow
operator. To compare with a repaired version, build it after

    sed -i -e '/torch::Tensor grad_face_verts = /a auto grads = grad_face_verts.accessor<float, 3>();' \
        -e 's/grad_face_verts\\[f\\]/grads[f]/' pytorch3d/csrc/rasterize_meshes/rasterize_meshes_cpu.cpp

and run with `--variant repaired`. Without CUDA, `FORCE_CUDA=0 PYTORCH3D_FORCE_NO_CUDA=1 pip install
--no-build-isolation .` builds it in about twenty minutes on one core.
"""

import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version

import torch
from torch import Tensor
from torch.nn import functional

from ...camera import crop_to_px
from ...evaluation.results import Metric, device_name
from ...hand import HandModel
from ...parameters import MeshParameters, posed_hand
from ...renderer import Renderer
from ...renderer.backends import fast_serves
from .memory import peak_memory_mb
from .timing import Measured, benchmark, in_turns, speedup

PEER = "pytorch3d_soft"
DIRECTIONS = ("forward", "forward_backward")
AS_SHIPPED = "as shipped"  # the peer's build
HANDS = "sampled poses and shapes of the open hand, palm to the viewer"  # what is rendered
SLOW = 0.2  # seconds; longer calls empty the caches for the short calls after them, and get only two rounds


@dataclass(frozen=True)
class RendererBench:
    """Settings of the benchmark."""

    batches: tuple[int, ...] = (1, 8, 64)  # Batch sizes.
    size: int = 224  # Side of the images in pixels.
    seconds: float = 10.0  # Time for each batch size in each direction; at least five rounds, two for slow calls.
    patience: float = 120.0  # A contestant is left out where one call would take longer than this many seconds.
    variant: str = AS_SHIPPED  # Build of the peer, such as "repaired"; part of the record's name.


RENDERER_BENCHES = {"smoke": RendererBench(batches=(1, 2), size=32, seconds=0.0), "laptop": RendererBench()}


def contestants(size: int, device: str = "cpu") -> dict[str, Renderer]:
    """Returns the renderers to compare; the peer only if it is installed."""
    renderers = {name: Renderer(size, gradient=name, supersampling=1) for name in ("antialias", "soft", "kato")}
    if fast_serves(device.split(":")[0]):
        renderers["reference_antialias"] = Renderer(size, "reference")
    with suppress(ModuleNotFoundError):
        renderers[PEER] = Renderer(size, "pytorch3d", gradient="soft")
    return renderers


def hands(batch: int, size: int, device: str = "cpu") -> tuple[Tensor, Tensor]:
    """Returns vertices in pixels of a batch of hands that fill most of the image, and their faces."""
    hand = HandModel.load("openhand")
    pose, shape = hand.sample(batch, torch.Generator().manual_seed(0))
    first = MeshParameters.split(MeshParameters.initial(hand).expand(batch, -1))
    vertices = posed_hand(hand, first._replace(pose=pose, shape=shape).join()).vertices
    return crop_to_px(vertices, size).to(device), hand.faces.to(device)


def make_call(renderer: Renderer, direction: str, batch: int, device: str = "cpu") -> Callable[[], list[Tensor]]:
    """Returns the call to time: silhouettes, and for "forward_backward" also the gradient."""
    vertices, faces = hands(batch, renderer.height, device)
    if direction == "forward":
        return lambda: [renderer.silhouette(vertices, faces)]
    target = Renderer(renderer.height).silhouette(vertices + vertices.new_tensor([5.0, 0, 0]), faces)
    leaf = vertices.clone().requires_grad_()

    def forward_backward() -> list[Tensor]:
        image = renderer.silhouette(leaf, faces)
        return [image.detach(), *torch.autograd.grad(functional.mse_loss(image, target), leaf)]

    return forward_backward


@benchmark("renderer")
def bench_renderer(config: RendererBench, device: str) -> Measured:
    """Times silhouettes and their gradients, and pytorch3d's if it is installed; also measures memory.

    Raises `ValueError` if handlib's soft silhouettes and the peer's differ.
    """
    renderers = contestants(config.size, device)
    peer = f"pytorch3d {version('pytorch3d')}, {config.variant}" if PEER in renderers else "none"
    print(f"{device_name(device)}; ms: the fastest round; ×: median (quartiles) of the ratios of all rounds")
    print(f"peer: {peer}" if PEER in renderers else "peer: none, since pytorch3d is not installed")
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
                    print(f"{name} is left out: a call would take about {expected[name] * batch / 60:.0f} minutes")
            if not entrants:
                continue
            slow = max(expected[name] * batch for name in entrants) > SLOW
            times = _time(entrants, direction, batch, config.seconds, device, slow)
            expected |= {name: min(column) / 1e3 / batch for name, column in times.items()}
            metrics += _metrics(times, direction, batch, config.size, device)
    variant = "" if config.variant == AS_SHIPPED else config.variant
    claim = "how many times faster the renderer's silhouettes and gradients are than pytorch3d's"
    return Measured(claim, metrics, {"name": HANDS, "n": max(config.batches)}, {"peer": peer}, variant=variant)


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


def _metrics(times: dict[str, list[float]], direction: str, batch: int, size: int, device: str) -> list[Metric]:
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
        print(line)
    return metrics


def _check_agreement(renderers: dict[str, Renderer], device: str) -> None:
    """Checks that silhouettes agree, except for the mean difference that faces beyond the peer's fifty may make."""
    ours, theirs = (make_call(renderers[name], "forward", 1, device)()[0] for name in ("soft", PEER))
    difference = float((ours - theirs).abs().mean())
    if not difference < 1e-5:
        raise ValueError(f"the soft silhouettes disagree by {difference:.2g} on average, so times are not comparable")


def _memory(name: str, direction: str, batch: int, size: int, device: str) -> float | None:
    if device != "cpu":
        return measure_memory(name, direction, batch, size, device)
    code = f"from {__name__} import measure_memory as m; print(m({name!r}, {direction!r}, {batch}, {size}))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    return None if answer.split()[-1] == "None" else float(answer.split()[-1])


def measure_memory(name: str, direction: str, batch: int, size: int, device: str = "cpu") -> float | None:
    """Returns the MB of one call, after a call on a tiny image has loaded all code."""
    torch.set_num_threads(1)
    make_call(contestants(8, device)[name], direction, 1, device)()
    return peak_memory_mb(make_call(contestants(size, device)[name], direction, batch, device), device)
