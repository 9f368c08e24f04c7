"""`handlib results show | verify`: lists the results files of a folder and checks whether they are still valid.

`verify` reports *errors*, which no folder of results may have (a file that breaks the schema, a file that was edited, a
smoke run), and *doubts*, which are for people to judge (code that has changed since, uncommitted changes). Nothing is
measured again.
"""

import json
import os
import re
import subprocess
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from . import results

# Files of handlib that only present numbers; a change to them does not make a result outdated.
PRESENTATION = (
    "cli", "viz", "evaluation/audit.py", "evaluation/results.py", "experiments/published.py",
    *(f"experiments/reproduce/{name}.py" for name in (
        "claims", "collection", "figures", "show", "statistics", "tables", "verdict",
    )),
)  # fmt: skip
UNITS = {"fraction": ("", 3), "mm": (" mm", 1)}
PERFECT = 1 + 1e-6


class Finding(NamedTuple):
    """One problem of a results file. level: "error" or "doubt"."""

    file: str
    level: str
    text: str


def show(folder: str | os.PathLike[str], names: tuple[str, ...] = ()) -> str:
    """Formats a table of the records of a folder; or, for the named records, everything except their curves."""
    records = [results.read(path) for path in paths(folder, names)]
    if names:
        return "\n\n".join(_described(record) for record in records)
    rows = [("name", "profile", "data", "n", "seed", "minutes", "created", "metrics")]
    for record in records:
        kind, n = "synthetic" if record["synthetic"] else "real", record["data"].get("n", "")
        made = (f"{record['minutes']:.1f}", record["created"][:10], str(len(record["metrics"])))
        rows.append((record["name"], record["profile"], kind, str(n), str(record["seed"]), *made))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(f"{cell:{w}}" for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def _described(record: dict[str, Any]) -> str:
    git = record["git"]
    commit = git.get("commit", "unknown")[:12] + (" with changes that were not committed" if git.get("dirty") else "")
    lines = [
        f"{record['name']}: {record['claim']}",
        f"  command   {record['command']}",
        f"  profile   {record['profile']}, seed {record['seed']}, "
        f"{record['minutes']:.1f} min on {results.device_of(record)}",
        f"  data      {json.dumps(record['data'], ensure_ascii=False)}",
        f"  hand      {json.dumps(record['hand'], ensure_ascii=False)}",
        f"  code      {commit}, {record['created']}",
    ]
    for entry in record["metrics"]:
        metric = results.Metric(**entry)
        suffix, digits = UNITS.get(metric.unit, (f" {metric.unit}", 3))
        spread = "" if metric.spread is None else f" ± {metric.spread:.{digits}f}{suffix} over {metric.seeds} seeds"
        notes = [note for note in (metric.alignment, metric.grid) if note != "none"]
        lines.append(
            f"  {metric.name:40} {metric.value:.{digits}f}{suffix}{spread}"
            + (f"   ({'; '.join(notes)})" if notes else "")
        )
    return "\n".join(lines)


def verify(folder: str | os.PathLike[str], names: tuple[str, ...] = ()) -> list[Finding]:
    """Returns all errors and doubts about the results files of a folder."""
    return [finding for path in paths(folder, names) for finding in _verify(path)]


def _verify(path: Path) -> list[Finding]:
    try:
        record = results.read(path)
        digest = results.digest(record)
    except ValueError as error:
        return [Finding(path.name, "error", str(error))]
    errors, doubts = [], []
    if record["profile"] == "smoke":
        errors.append("a smoke run is never a result: delete it")
    if record["name"] != path.stem:
        errors.append(f"its record is named '{record['name']}': a file must have the name of its record")
    if "digest" not in record:
        doubts.append("has no digest: it was written by an older handlib")
    elif record["digest"] != digest:
        errors.append("its digest does not fit its content, so it was changed after it was written: run it again")
    errors += [text for metric in record["metrics"] if (text := _wrong(metric))]
    errors += [
        f"the columns of the curve '{name}' have different lengths"
        for name, curve in record["curves"].items()
        if isinstance(curve, dict) and len({len(c) for c in curve.values() if isinstance(c, list)}) > 1
    ]
    if record["git"].get("dirty"):
        doubts.append("was made by code that was not committed")
    changed = changed_since(record["git"].get("commit", ""))
    if changed is None:
        doubts.append("whether the code has changed since is unknown: its commit is not in a checkout here")
    elif changed:
        doubts.append(f"was made by older code: handlib has changed since {record['git']['commit'][:12]}")
    return [
        Finding(path.name, level, text) for level, texts in (("error", errors), ("doubt", doubts)) for text in texts
    ]


def _wrong(metric: dict[str, Any]) -> str | None:
    name, value = metric["name"], metric["value"]
    if metric["unit"] == "fraction" and not 0 <= value <= PERFECT:
        return f"the metric '{name}' is a fraction but {value:g}"
    if metric["unit"] == "mm" and value < 0:
        return f"the metric '{name}' is a negative length"
    return None


@lru_cache
def changed_since(commit: str) -> bool | None:
    """Returns whether handlib, except `PRESENTATION`, differs from a commit; None if that cannot be determined."""
    here = Path(__file__).parents[1]
    if not re.fullmatch("[0-9a-f]{7,64}", commit):
        return None
    pathspec = [".", *(f":(exclude){name}" for name in PRESENTATION)]
    try:
        # An installed copy may lie in the checkout of another project, which does not track it.
        tracked = ["git", "ls-files", "--error-unmatch", "evaluation/results.py"]
        subprocess.run(tracked, cwd=here, capture_output=True, check=True)
        done = subprocess.run(["git", "diff", "--quiet", commit, "--", *pathspec], cwd=here, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return {0: False, 1: True}.get(done.returncode)


def paths(folder: str | os.PathLike[str], names: tuple[str, ...] = ()) -> list[Path]:
    """Returns the named results files of a folder, or all, including those in its folders `reproduce-SUITE`.

    Raises `FileNotFoundError` for a missing folder or file.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder of results at {folder}: give one with --results-dir")
    places = (folder, *sorted(folder.glob("reproduce-*")))
    files = [] if names else [path for place in places for path in sorted(place.glob("*.json"))]
    for name in names:
        file = f"{name.removesuffix('.json')}.json"
        path = next((place / file for place in places if (place / file).is_file()), folder / file)
        if not path.is_file():
            raise FileNotFoundError(f"no results file at {path}: `handlib results show` lists the existing ones")
        files.append(path)
    if not files:
        raise FileNotFoundError(f"{folder} holds no results file (*.json)")
    return files


def report(findings: list[Finding], checked: int) -> str:
    """Formats findings as lines, errors first, and a summary."""
    ordered = sorted(findings, key=lambda f: f.level != "error")
    lines = [f"{f.level:6} {f.file}: {f.text.removeprefix(f'{f.file}: ')}" for f in ordered]
    errors = sum(f.level == "error" for f in findings)
    return "\n".join([*lines, f"{checked} files, {errors} errors, {len(findings) - errors} doubts"])
