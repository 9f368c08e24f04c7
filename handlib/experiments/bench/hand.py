"""`handlib bench hand`: the hand model against smplx, MANO's own code.

What is compared. Both get the same hand, float32, and the same 58 numbers a hand: pose (45) and rotation of the whole
hand (3) as axis-angles, shape (10). handlib's side is `rotvec_to_rotmat` of the rotation and `HandModel`, which gives
778 vertices and 21 joints regressed from them; where numba compiles its loops, the plain torch is timed as well.
smplx's is `MANO(use_pca=False, flat_hand_mean=True, create_transl=False)`, which gives 778 vertices and the 16 joints
of the tree. "Forward" records no graph. "Forward and backward" adds the derivatives of a linear function of the
vertices by all 58 numbers. One thread; inputs are made before the clock starts. Nothing is timed before both are seen
to agree. Milliseconds are those of the fastest round, ratios the median over all rounds.
"""

import contextlib
import io
import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

import torch
from torch import Tensor

from ...evaluation import results
from ...evaluation.results import Metric
from ...hand import HandModel
from ...hand.files import read_hand
from ...hand.rotations import rotvec_to_rotmat
from ...support import jit
from .timing import in_turns, one_thread, record_name, speedup

Contestant = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]  # pose, shape, rotation to vertices, joints


@dataclass(frozen=True)
class HandBench:
    """Settings of the benchmark.

    Args:
        batches: Numbers of hands at once.
        seconds: How long each batch size is timed in each direction; five rounds at least.
        hand: "openhand", or the path of a MANO file.
        compiled: Time what torch.compile makes of both as well; needs a C++ compiler and some minutes.
    """

    batches: tuple[int, ...] = (1, 32, 256)
    seconds: float = 10.0
    hand: str = "openhand"
    compiled: bool = False


HAND_BENCHES = {"smoke": HandBench(batches=(1, 2), seconds=0.0), "laptop": HandBench()}
DIRECTIONS = ("forward", "forward_backward")


@dataclass
class Comparison:
    """Times of one batch size in one direction, in milliseconds, one list a contestant."""

    direction: str
    batch: int
    times: dict[str, list[float]]

    def fastest(self, name: str) -> float:
        """The round that the machine disturbed least."""
        return min(self.times[name])

    def speedups(self) -> dict[tuple[str, str], tuple[float, float, float]]:
        """Quartiles for (ours, peer): each of handlib's over smplx, and compiled over compiled."""
        pairs = [(ours, "smplx") for ours in ("handlib", "handlib_reference", "handlib_compiled")]
        pairs.append(("handlib_compiled", "smplx_compiled"))
        return {pair: speedup(self.times, *pair) for pair in pairs if set(pair) <= self.times.keys()}

    def line(self, name: str) -> str:
        """A row of the table."""
        faster = [
            f"{median:.2f}× {peer} ({low:.2f}–{high:.2f})"
            for (ours, peer), (low, median, high) in self.speedups().items()
            if ours == name
        ]
        return f"{self.direction:16} {self.batch:6} {self.fastest(name):9.3f}  {name:17} {', '.join(faster)}".rstrip()


def bench_hand(
    config: HandBench, profile: str, device: str = "cpu", say: Callable[[str], object] = print
) -> dict[str, Any]:
    """Runs the benchmark and returns its record; `say` gets the table, line by line.

    Raises `ModuleNotFoundError` without smplx, and `ValueError` when the two disagree.
    """
    started = time.perf_counter()
    _import_smplx()
    with one_thread():
        say(f"{results.device_name(device)}; ms: the fastest round; ×: median (quartiles) of the rounds' ratios")
        say(f"{'':16} {'batch':>6} {'ms':>9}")
        cases = [(direction, batch) for direction in DIRECTIONS for batch in config.batches]
        return _record(config, profile, device, [_compare(config, *case, device, say) for case in cases], started)


def _import_smplx():
    try:
        import smplx
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "handlib bench hand compares with smplx, which is not installed: pip install smplx "
            "(its license forbids commercial use)"
        ) from error
    return smplx


def contestants(model: str, batch: int, device: str = "cpu") -> dict[str, Contestant]:
    """The functions that are compared. Joints are handed out as well, so that no compiler leaves them out."""
    smplx = _import_smplx()
    hand, plain = HandModel.load(model).to(device), HandModel.load(model, backend="reference").to(device)
    fields = smplx.utils.Struct(**read_hand(model))
    settings = {"use_pca": False, "flat_hand_mean": True, "create_transl": False, "batch_size": batch}
    with contextlib.redirect_stdout(io.StringIO()):  # it prints that ten shape components are few
        mano = smplx.MANO("", data_struct=fields, **settings).to(device)

    def of_handlib(pose: Tensor, shape: Tensor, rotation: Tensor) -> tuple[Tensor, Tensor]:
        return tuple(hand(pose, shape, rotvec_to_rotmat(rotation)))

    def of_reference(pose: Tensor, shape: Tensor, rotation: Tensor) -> tuple[Tensor, Tensor]:
        return tuple(plain(pose, shape, rotvec_to_rotmat(rotation)))

    def of_smplx(pose: Tensor, shape: Tensor, rotation: Tensor) -> tuple[Tensor, Tensor]:
        output = mano(betas=shape, global_orient=rotation, hand_pose=pose)
        return output.vertices, output.joints

    fast = jit.available() and device == "cpu"
    return {"smplx": of_smplx, "handlib": of_handlib} | ({"handlib_reference": of_reference} if fast else {})


def _compare(config: HandBench, direction: str, batch: int, device: str, say: Callable[[str], object]) -> Comparison:
    generator = torch.Generator().manual_seed(0)
    inputs = [torch.randn(batch, size, generator=generator).mul(0.5).to(device) for size in (45, 10, 3)]
    pull = torch.randn(batch, 778, 3, generator=generator).to(device)

    def call(function: Contestant) -> Callable[[], list[Tensor]]:
        if direction == "forward":
            return lambda: _without_graph(function, inputs)
        leaves = [x.clone().requires_grad_() for x in inputs]
        return lambda: _with_derivatives(function, leaves, pull)

    functions = contestants(config.hand, batch, device)
    calls = {name: call(function) for name, function in functions.items()}
    if config.compiled:
        torch.compiler.reset()  # or what was compiled for another batch size would count as a first variant
        for name in ("smplx", "handlib"):
            compiled = call(torch.compile(functions[name], dynamic=False))
            logging.disable(logging.WARNING)  # smplx's graph breaks at every joint, which is told at length
            try:
                compiled()
            except Exception as error:  # whatever the compiler and its tools raise
                reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
                say(f"torch.compile of {name} failed and is left out: {reason}")
            else:
                calls[f"{name}_compiled"] = compiled
            finally:
                logging.disable(logging.NOTSET)
    reference = calls["smplx"]()
    for name, made in calls.items():
        _check_agreement(name, made(), reference)

    comparison = Comparison(direction, batch, in_turns(calls, config.seconds, device))
    for name in calls:
        say(comparison.line(name))
    return comparison


def _without_graph(function: Contestant, inputs: list[Tensor]) -> list[Tensor]:
    with torch.no_grad():
        return [function(*inputs)[0]]


def _with_derivatives(function: Contestant, leaves: list[Tensor], pull: Tensor) -> list[Tensor]:
    vertices, _ = function(*leaves)
    return [vertices.detach(), *torch.autograd.grad(vertices, leaves, pull)]


def _check_agreement(name: str, found: list[Tensor], expected: list[Tensor]) -> None:
    """Vertices to 10 µm, derivatives to a thousandth of the largest."""
    for i, (a, b) in enumerate(zip(found, expected, strict=True)):
        tolerance = 1e-5 if i == 0 else 1e-3 * float(b.abs().max())
        apart = float((a - b).abs().max())
        if not apart <= tolerance:
            raise ValueError(f"{name} and smplx disagree by {apart:.2g}; what differs is not worth timing")


def _record(
    config: HandBench, profile: str, device: str, comparisons: list[Comparison], started: float
) -> dict[str, Any]:
    metrics, curves = [], {}
    for c in comparisons:
        rounds, case = len(c.times["smplx"]), f"{c.direction}_b{c.batch}"
        metrics += [Metric(f"{name}_{case}_ms", c.fastest(name), "ms", n=rounds) for name in c.times]
        for (ours, peer), (low, median, high) in c.speedups().items():
            metrics.append(Metric(f"{ours}_over_{peer}_{case}", median, "ratio", n=rounds))
            curve = curves.setdefault(f"{ours}_over_{peer}_{c.direction}", {})
            for key, number in {"batch": c.batch, "low": low, "median": median, "high": high}.items():
                curve.setdefault(key, []).append(number)
    hand = HandModel.load(config.hand)
    return results.record(
        record_name("hand", device, profile),
        "how many times faster the hand model is than smplx's MANO with the same hand and the same numbers",
        metrics,
        profile=profile,
        config=asdict(config) | {"peer": f"smplx {version('smplx')}", "threads": 1},
        data={"name": "pose, shape and rotation normal with standard deviation 0.5", "n": max(config.batches)},
        hand={"name": hand.name, "fingertips": hand.fingertips.name},
        started=started,
        curves=curves,
        device=device,
    )
