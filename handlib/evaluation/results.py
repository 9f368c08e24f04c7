"""Results files: one JSON per run, the only source of every published table, figure and number.

A record says what was measured, by which command, on what data and for how long, so that anyone can repeat it.
`SCHEMA` lists its fields; `read` refuses a file that breaks it. `write` adds a digest, by which `handlib results
verify` (audit.py) detects later changes.
"""

import hashlib
import json
import math
import os
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from ..support.arguments import check_fields
from ..support.files import write_file
from ..support.json_text import read_json

SCHEMA = {
    "schema": int,  # 1
    "name": str,  # of the run and of its file
    "claim": str,  # what the run is meant to show
    "profile": str,  # "smoke" is never a result
    "synthetic": bool,  # whether the data are rendered; rendered hands and photographs are never mixed
    "command": str,  # repeats the run
    "config": dict,  # complete, without implied defaults
    "seed": int,
    "data": dict,  # name (with version, split and seed), n
    "hand": dict,  # name, fingertips
    "metrics": list,  # of name, value, unit, alignment, grid, n
    "curves": dict,  # name → lists of equal length
    "minutes": float,
    "peak_memory_mb": float,
    "device": str,
    "versions": dict,  # handlib, torch, python, platform
    "git": dict,  # commit, dirty; empty outside a checkout
    "created": str,  # UTC, ISO 8601
}
OPTIONAL = {
    "digest": str,  # "sha256:…" of the rest of the record; `write` adds it
    "errors": str,  # SHA-256 of NAME.safetensors beside it, which holds the error of every hand
}


@dataclass(frozen=True)
class Metric:
    """One number and its meaning. alignment: applied before measuring. grid: the thresholds of an AUC.

    For several runs that differ only in their seed, `value` is the mean and `spread` the standard deviation.
    """

    name: str
    value: float
    unit: str
    alignment: str = "none"
    grid: str = "none"
    n: int = 0
    spread: float | None = None
    seeds: int = 1


def check_alike(records: list[dict[str, Any]]) -> None:
    """Raises `ValueError` unless records differ in their seed and what was measured alone, as those to average must."""
    first = records[0]
    names = [metric["name"] for metric in first["metrics"]]
    if len({r["seed"] for r in records}) < len(records):
        raise ValueError(f"{first['name']}: two of the runs have the same seed, so they are the same run")
    for other in records[1:]:
        if [metric["name"] for metric in other["metrics"]] != names or other["data"] != first["data"]:
            raise ValueError(f"{first['name']} and {other['name']} do not measure the same on the same data")
        if _without_seed(other["config"]) != _without_seed(first["config"]):
            raise ValueError(f"{first['name']} and {other['name']} differ in more than their seed")


def _without_seed(config: Any) -> Any:
    """Returns a config without fields named "seed", at any depth."""
    if isinstance(config, dict):
        return {key: _without_seed(part) for key, part in config.items() if key != "seed"}
    return config


def record(
    name: str,
    claim: str,
    metrics: Iterable[Metric],
    *,
    profile: str,
    config: dict[str, Any],
    data: dict[str, Any],
    hand: dict[str, str],
    started: float,
    command: str | None = None,
    seed: int = 0,
    synthetic: bool = True,
    curves: dict[str, Any] | None = None,
    device: str = "cpu",
) -> dict[str, Any]:
    """Makes a complete record; `started` is `time.perf_counter()` at the start of the run."""
    return {
        "schema": 1,
        "name": name,
        "claim": claim,
        "profile": profile,
        "synthetic": synthetic,
        "command": command or shlex.join(["handlib", *sys.argv[1:]]),
        "config": config,
        "seed": seed,
        "data": data,
        "hand": hand,
        "metrics": [asdict(metric) for metric in metrics],
        "curves": curves or {},
        "minutes": round((time.perf_counter() - started) / 60, 3),
        "peak_memory_mb": peak_memory_mb(),
        "device": device_name(device),
        "versions": versions(),
        "git": _git(),
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


def write(record: dict[str, Any], folder: str | os.PathLike[str]) -> Path:
    """Checks a record and writes it, with its digest, as `folder/name.json`."""
    _check(record, "record")
    record = {**record, "digest": digest(record)}
    text = json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    return write_file(Path(folder) / f"{record['name']}.json", text)


def digest(record: dict[str, Any]) -> str:
    """Returns "sha256:…" of a record without its digest, written as JSON with sorted keys and no spaces."""
    rest = {key: part for key, part in record.items() if key != "digest"}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def read(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Reads and checks a record. Raises `FileNotFoundError`, or `ValueError` with file and field."""
    loaded = read_json(path, "run its command again")
    _check(loaded, str(path))
    return loaded


def present(folder: str | os.PathLike[str], names: Iterable[str]) -> tuple[dict[str, dict[str, Any]], str]:
    """Returns the named records that exist, and a sentence that names the missing files, or ""."""
    paths = {name: Path(folder) / f"{name}.json" for name in names}
    missing = [f"`{path.name}`" for path in paths.values() if not path.is_file()]
    records = {name: read(path) for name, path in paths.items() if path.is_file()}
    return records, f"Not measured yet; missing results files: {', '.join(missing)}." if missing else ""


def value(record: dict[str, Any], metric: str) -> float:
    """Returns the value of a metric of a record. Raises `KeyError` if there is no such metric."""
    for entry in record["metrics"]:
        if entry["name"] == metric:
            return entry["value"]
    raise KeyError(
        f"{record['name']} has no metric '{metric}': it has {', '.join(m['name'] for m in record['metrics'])}"
    )


def _check(record: dict[str, Any], where: str) -> None:
    if not isinstance(record, dict):
        raise ValueError(f"{where}: a results file must hold one JSON object")
    for field, kind in (SCHEMA | OPTIONAL).items():
        if field not in record:
            if field in OPTIONAL:
                continue
            raise ValueError(f"{where}: the field '{field}' is missing")
        accepted = (int, float) if kind is float else kind
        if not isinstance(record[field], accepted):
            raise ValueError(
                f"{where}: the field '{field}' must be {kind.__name__}, not {type(record[field]).__name__}"
            )
    if not isinstance(record["git"].get("commit", ""), str):
        raise ValueError(f"{where}: the field 'git' must have a text as its commit")
    for metric in record["metrics"]:
        if not isinstance(metric, dict):
            raise ValueError(f"{where}: the field 'metrics' must be a list of objects, not of {type(metric).__name__}")
        number = metric.get("value", 0.0)
        if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
            raise ValueError(f"{where}: the metric '{metric.get('name')}' must have a finite number, not {number!r}")
        try:
            check_fields(Metric(**metric))
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"{where}: a metric must have the fields of handlib.evaluation.results.Metric ({error})"
            ) from error


def peak_memory_mb(children: bool = False) -> float:
    """Returns the peak memory of this process, or of its largest child; 0 if the system does not count it (Windows)."""
    try:
        import resource
    except ModuleNotFoundError:
        return 0.0
    peak = resource.getrusage(resource.RUSAGE_CHILDREN if children else resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1 << 20 if sys.platform == "darwin" else 1 << 10), 1)


def versions() -> dict[str, str]:
    try:
        handlib = version("handlib")
    except PackageNotFoundError:
        handlib = "not installed"
    return {
        "handlib": handlib,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
    }


def device_name(device: str) -> str:
    """Describes the device of a measurement in words, a CPU with the instructions that torch uses on it: with others
    sums round differently, and no last digit is the same."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    instructions = torch.backends.cpu.get_cpu_capability()
    return f"{_processor()}, {instructions}, {threads} thread{'s' if threads != 1 else ''}"


def device_of(record: dict[str, Any]) -> str:
    """Returns the device of a record, in words; older records say "1 threads"."""
    return record["device"].replace(", 1 threads", ", 1 thread")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _git() -> dict[str, Any]:
    def run(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], cwd=Path(__file__).parents[1], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        run("ls-files", "--error-unmatch", __file__)  # fails if handlib is installed inside another project
        return {"commit": run("rev-parse", "HEAD"), "dirty": bool(run("status", "--porcelain", "--", "."))}
    except (OSError, subprocess.CalledProcessError):
        return {}
