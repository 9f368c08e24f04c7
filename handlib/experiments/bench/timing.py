"""Times several calls in turns, so that other work on the machine slows all of them alike; `benchmark` records it."""

import gc
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from functools import wraps
from typing import Any, NamedTuple

import torch

from ...evaluation import results
from ...hand import HandModel


@contextmanager
def one_thread() -> Iterator[None]:
    """Limits torch to one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class Measured(NamedTuple):
    """What a benchmark measured, for its results file."""

    claim: str
    metrics: list[results.Metric]
    data: dict[str, Any]
    settings: dict[str, Any] = {}  # what its config does not name, such as the peer
    curves: dict[str, Any] = {}
    hand: str = "openhand"
    variant: str = ""  # part of the record's name


def benchmark(
    name: str, one_thread_only: bool = True
) -> Callable[[Callable[[Any, str], Measured | None]], Callable[..., dict[str, Any] | None]]:
    """Makes a benchmark's record of what it measures: a decorator of a function of its config and the device.

    The result is called with config, profile and device; None where there is nothing to measure on that device. The
    default device and profile are left out of the record's name.
    """

    def decorate(measure: Callable[[Any, str], Measured | None]) -> Callable[..., dict[str, Any] | None]:
        @wraps(measure)
        def run(config: Any, profile: str, device: str = "cpu") -> dict[str, Any] | None:
            started = time.perf_counter()
            with one_thread() if one_thread_only else nullcontext():
                found = measure(config, device)
                if found is None:
                    return None
                hand = HandModel.load(found.hand)
                parts = ["bench", name, *([found.variant] if found.variant else [])]
                parts += [part for part in (device, profile) if part not in ("cpu", "laptop")]
                return results.record(
                    "-".join(parts),
                    found.claim,
                    found.metrics,
                    profile=profile,
                    config=asdict(config) | found.settings | {"threads": torch.get_num_threads()},
                    data=found.data,
                    hand={"name": hand.name, "fingertips": hand.fingertips.name},
                    started=started,
                    curves=found.curves,
                    device=device,
                )

        return run

    return decorate


def in_turns(
    calls: dict[str, Callable[[], object]],
    seconds: float,
    device: str = "cpu",
    least: int = 5,
    warm: int = 2,
    again: float = 0.0,
) -> dict[str, list[float]]:
    """Times each call round by round (A B C, A B C, …) in milliseconds, for `seconds` and at least `least` rounds.

    Every call is first made `warm` times without timing. With `again`, a turn repeats the call for that many seconds
    and counts the fastest: after a slow call of several seconds, the caches hold nothing of the short one. On the CPU
    it is the time that this process was given; on a GPU a time includes all work on it.
    """
    clock = time.process_time if device == "cpu" else time.perf_counter

    def once(call: Callable[[], object]) -> float:
        _wait(device)
        started = clock()
        call()
        _wait(device)
        return 1e3 * (clock() - started)

    def measured(call: Callable[[], object]) -> float:
        fastest = spent = once(call)
        while spent < 1e3 * again:
            took = once(call)
            fastest, spent = min(fastest, took), spent + took
        return fastest

    for call in [*calls.values()] * warm:
        call()
    times: dict[str, list[float]] = {name: [] for name in calls}
    collecting = gc.isenabled()
    gc.disable()  # a collection would slow one call and not the next
    try:
        ends = time.perf_counter() + seconds
        while time.perf_counter() < ends or len(times[next(iter(calls))]) < least:
            for name, call in calls.items():
                times[name].append(measured(call))
    finally:
        if collecting:
            gc.enable()
    return times


def _wait(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


def speedup(times: dict[str, list[float]], ours: str, peer: str) -> tuple[float, float, float]:
    """Returns how many times faster than its peer a call is: the quartiles of the ratios within the rounds."""
    ratios = [theirs / own for own, theirs in zip(times[ours], times[peer], strict=True)]
    low, median, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return low, median, high
