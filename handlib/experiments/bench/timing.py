"""Timing several calls in turns, so that whatever else the machine is doing slows all of them alike."""

import gc
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch on one thread, so that what is compared shares nothing out."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def record_name(bench: str, device: str, profile: str) -> str:
    """Of a benchmark's results file: the usual device and profile go without saying."""
    parts = [f"bench-{bench}", *([] if device == "cpu" else [device]), *([] if profile == "laptop" else [profile])]
    return "-".join(parts)


def in_turns(
    calls: dict[str, Callable[[], object]],
    seconds: float,
    device: str = "cpu",
    least: int = 5,
    warm: int = 2,
    again: float = 0.0,
) -> dict[str, list[float]]:
    """Milliseconds of each call, round by round: A B C, A B C, …, for about `seconds` and at least `least` rounds.

    Every call is made `warm` times before, unmeasured. With `again`, a turn goes on for that many seconds and counts by
    its fastest call: next to a peer of many seconds, a single short call finds all its code and data gone from the
    caches. On the CPU it is the time that this process had one; on a GPU the clock stops when its work is done.
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
    gc.disable()  # a collection would fall on one call and not on its neighbor
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
    """How many times faster than its peer: the quartiles of the ratios within the rounds, low, median, high."""
    ratios = [theirs / own for own, theirs in zip(times[ours], times[peer], strict=True)]
    low, median, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return low, median, high
