"""`handlib bench hand`: compares the hand model with smplx, MANO's own code.

Both get the same hand, float32, and the same 58 numbers per hand: pose (45) and global rotation (3) as axis-angles,
shape (10). handlib computes `rotvec_to_rotmat` of the rotation and `HandModel`, which gives 778 vertices and 21 joints
regressed from them; if numba is used, the plain torch code is also timed. smplx computes `MANO(use_pca=False,
flat_hand_mean=True, create_transl=False)`, which gives 778 vertices and the 16 joints of the tree. "Forward" records no
graph. "Forward and backward" adds the derivatives of a linear function of the vertices by all 58 numbers. One thread;
inputs are made in advance. Before timing, the results must agree. Milliseconds are those of the fastest round, ratios
the median over all rounds.
"""

import contextlib
import io
import logging
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version

import torch
from torch import Tensor

from ...evaluation.results import Metric, device_name
from ...hand import HandModel
from ...hand.files import read_hand
from ...hand.rotations import rotvec_to_rotmat
from ...support import jit
from .timing import Measured, benchmark, in_turns, speedup

Contestant = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]  # pose, shape, rotation → vertices, joints


@dataclass(frozen=True)
class HandBench:
    """Settings of the benchmark."""

    batches: tuple[int, ...] = (1, 32, 256)  # Batch sizes.
    seconds: float = 10.0  # Time for each batch size in each direction; at least five rounds.
    hand: str = "openhand"  # "openhand", or the path of a MANO file.
    compiled: bool = False  # Also time both compiled by torch.compile; needs a C++ compiler and some minutes.


HAND_BENCHES = {"smoke": HandBench(batches=(1, 2), seconds=0.0), "laptop": HandBench()}
DIRECTIONS = ("forward", "forward_backward")
PAIRS = (  # what is compared: each variant of handlib with smplx, and compiled with compiled
    ("handlib", "smplx"),
    ("handlib_reference", "smplx"),
    ("handlib_compiled", "smplx"),
    ("handlib_compiled", "smplx_compiled"),
)


@benchmark("hand")
def bench_hand(config: HandBench, device: str) -> Measured:
    """Times the hand model and smplx, MANO's own code, with and without derivatives.

    Raises `ModuleNotFoundError` without smplx, and `ValueError` if the results of the two differ.
    """
    _import_smplx()
    print(f"{device_name(device)}; ms: the fastest round; ×: median (quartiles) of the ratios of all rounds")
    print(f"{'':16} {'batch':>6} {'ms':>9}")
    metrics, curves = [], {}
    for direction in DIRECTIONS:
        for batch in config.batches:
            times = _times(config, direction, batch, device)
            rounds, case = len(times["smplx"]), f"{direction}_b{batch}"
            metrics += [Metric(f"{name}_{case}_ms", min(column), "ms", n=rounds) for name, column in times.items()]
            faster = dict.fromkeys(times, "")
            for ours, peer in PAIRS:
                if not {ours, peer} <= times.keys():
                    continue
                low, median, high = speedup(times, ours, peer)
                faster[ours] += f"  {median:.2f}× {peer} ({low:.2f}–{high:.2f})"
                metrics.append(Metric(f"{ours}_over_{peer}_{case}", median, "ratio", n=rounds))
                curve = curves.setdefault(f"{ours}_over_{peer}_{direction}", {})
                for key, number in {"batch": batch, "low": low, "median": median, "high": high}.items():
                    curve.setdefault(key, []).append(number)
            for name, column in times.items():
                print(f"{direction:16} {batch:6} {min(column):9.3f}  {name:17}{faster[name]}".rstrip())
    claim = "how many times faster the hand model is than smplx's MANO with the same hand and the same numbers"
    data = {"name": "pose, shape and rotation normal with standard deviation 0.5", "n": max(config.batches)}
    return Measured(claim, metrics, data, {"peer": f"smplx {version('smplx')}"}, curves, config.hand)


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
    """Returns the functions to compare. They also return joints, so that no compiler removes their computation."""
    smplx = _import_smplx()
    hand, plain = HandModel.load(model).to(device), HandModel.load(model, backend="reference").to(device)
    fields = smplx.utils.Struct(**read_hand(model))
    settings = {"use_pca": False, "flat_hand_mean": True, "create_transl": False, "batch_size": batch}
    with contextlib.redirect_stdout(io.StringIO()):  # it prints a warning about only ten shape components
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


def _times(config: HandBench, direction: str, batch: int, device: str) -> dict[str, list[float]]:
    """The times of one batch size in one direction in milliseconds, once the results agree."""
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
        torch.compiler.reset()  # forgets the code compiled for other batch sizes
        for name in ("smplx", "handlib"):
            compiled = call(torch.compile(functions[name], dynamic=False))
            logging.disable(logging.WARNING)  # smplx breaks the graph at every joint, with a long warning each
            try:
                compiled()
            except Exception as error:  # the compiler and its tools may raise anything
                reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
                print(f"torch.compile of {name} failed and is left out: {reason}")
            else:
                calls[f"{name}_compiled"] = compiled
            finally:
                logging.disable(logging.NOTSET)
    reference = calls["smplx"]()
    for name, made in calls.items():
        _check_agreement(name, made(), reference)
    return in_turns(calls, config.seconds, device)


def _without_graph(function: Contestant, inputs: list[Tensor]) -> list[Tensor]:
    with torch.no_grad():
        return [function(*inputs)[0]]


def _with_derivatives(function: Contestant, leaves: list[Tensor], pull: Tensor) -> list[Tensor]:
    vertices, _ = function(*leaves)
    return [vertices.detach(), *torch.autograd.grad(vertices, leaves, pull)]


def _check_agreement(name: str, actual: list[Tensor], expected: list[Tensor]) -> None:
    """Checks that vertices agree to 10 µm, and derivatives to a thousandth of the largest."""
    for i, (a, b) in enumerate(zip(actual, expected, strict=True)):
        tolerance = 1e-5 if i == 0 else 1e-3 * float(b.abs().max())
        difference = float((a - b).abs().max())
        if not difference <= tolerance:
            raise ValueError(f"{name} and smplx disagree by {difference:.2g}, so their times are not comparable")
