"""Times several calls in turns, so that other work on the machine slows all of them alike."""

import gc
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

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


def record_name(bench: str, device: str, profile: str) -> str:
    """Returns the name of a benchmark's results file; it omits the default device and profile."""
    parts = [f"bench-{bench}", *([] if device == "cpu" else [device]), *([] if profile == "laptop" else [profile])]
    return "-".join(parts)


def bench_record(
    bench: str,
    claim: str,
    metrics: list[results.Metric],
    config: object,
    profile: str,
    device: str,
    started: float,
    data: dict[str, Any],
    hand: HandModel | None = None,
    curves: dict[str, Any] | None = None,
    **settings: Any,
) -> dict[str, Any]:
    """Makes the record of a benchmark on one thread. settings: what its config does not name, such as the peer."""
    hand = hand or HandModel.load()
    return results.record(
        record_name(bench, device, profile),
        claim,
        metrics,
        profile=profile,
        config=asdict(config) | settings | {"threads": 1},
        data=data,
        hand={"name": hand.name, "fingertips": hand.fingertips.name},
        started=started,
        curves=curves,
        device=device,
    )


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
