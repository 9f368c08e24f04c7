"""`handlib bench checks`: what it costs that no argument makes the compiled loops read or write foreign memory.

The share of a silhouette on the CPU that goes into checks of its arguments and of the mesh, in images so small that
the loops are short. The check of the mesh stands inside the compiled loop, and that of the arguments around a call that
is made anyway, so the time of both calls is taken off here. One thread; the median of the ratios within the rounds.
"""

import statistics
from collections.abc import Callable
from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor

from ...evaluation.results import Metric
from ...renderer import Renderer
from ...support.arguments import checked
from ...support.jit import jit
from .renderer import HANDS, hands
from .timing import Measured, benchmark, in_turns

REPEATS = 50  # a call of microseconds is shorter than reading the clock


@dataclass(frozen=True)
class ChecksBench:
    """Settings of the benchmark."""

    batches: tuple[int, ...] = (1, 8, 64)  # Numbers of hands.
    size: int = 64  # Side of the images in pixels.
    seconds: float = 10.0  # Time for each batch size; at least five rounds.


CHECKS_BENCHES = {"smoke": ChecksBench(batches=(1, 2), seconds=0.0), "laptop": ChecksBench()}


def checks_and_loops(renderer: Renderer, vertices: Tensor, faces: Tensor) -> dict[str, Callable[[], object]]:
    """Returns three calls: some silhouettes, only what they do to refuse arguments that cannot be, and the same calls
    without any check."""
    from ...renderer.numba.sound import sound  # late: importing numba takes half a second

    @jit
    def all_sound(meshes, corners):
        count = 0
        for n in range(len(meshes)):
            count += sound(meshes[n], corners)
        return count

    as_checked, meshes, corners = checked(_as_silhouette), vertices.contiguous().numpy(), faces.numpy()
    nothing = meshes[:0]

    def checks() -> None:
        for _ in range(REPEATS):
            as_checked(renderer, vertices, faces)
            all_sound(meshes, corners)

    def calls() -> None:
        for _ in range(REPEATS):
            _as_silhouette(renderer, vertices, faces)
            all_sound(nothing, corners)

    def silhouettes() -> None:
        for _ in range(REPEATS):
            renderer.silhouette(vertices, faces)

    return {"checks": checks, "calls": calls, "silhouette": silhouettes}


def _as_silhouette(
    renderer: Renderer, vertices_px: Float[Tensor, "*batch v 3"], faces: Int[Tensor, "*#batch f 3"]
) -> None:
    """Takes what `Renderer.silhouette` takes."""


@benchmark("checks")
def bench_checks(config: ChecksBench, device: str) -> Measured | None:
    """Measures which share of a silhouette goes into checks of its arguments.

    None on a GPU, which has no such loops.
    """
    if device != "cpu":
        return None
    metrics = []
    for n in config.batches:
        times = in_turns(checks_and_loops(Renderer(config.size, "fast"), *hands(n, config.size)), config.seconds)
        rounds = zip(times["checks"], times["calls"], times["silhouette"], strict=True)
        share = 100 * statistics.median((checks - calls) / whole for checks, calls, whole in rounds)
        metrics.append(Metric(f"share_b{n}", share, "%", n=len(times["checks"])))
        print(f"checks of {n} hands at {config.size}² pixels: {share:.2g} % of their silhouettes")
    claim = "which share of a silhouette goes into checks of its arguments"
    return Measured(claim, metrics, {"name": HANDS, "n": max(config.batches)})
