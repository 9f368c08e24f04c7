"""Measures the peak memory of a call beyond what was in use before."""

import re
from collections.abc import Callable
from pathlib import Path

import torch

STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def peak_memory_mb(call: Callable[[], object], device: str = "cpu") -> float | None:
    """Returns the MB that `call` adds to this process, or to the GPU; None if the system has no count (not Linux).

    Memory that earlier calls left in the allocator hides part of it: on the CPU, measure in a fresh process.
    """
    if device.startswith("cuda"):
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        call()
        return (torch.cuda.max_memory_allocated(device) - before) / 2**20
    try:
        RESET.write_text("5")  # the peak counts from here
        before = _status("VmRSS")
        call()
        return max(0, _status("VmHWM") - before) / 2**10  # 0: it fits in memory that was freed before
    except OSError:
        return None


def _status(field: str) -> int:
    return int(re.search(rf"{field}:\s+(\d+) kB", STATUS.read_text())[1])
