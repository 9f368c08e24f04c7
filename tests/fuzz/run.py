"""Tries cases in a process of its own for each target, so that a crash is seen, and counts how they ended."""

import argparse
import importlib
import multiprocessing
import os
import re
import resource
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from hypothesis import HealthCheck, Phase, given, seed, settings
from outcomes import GOOD, OUTCOMES

MEMORY = 12 << 30  # bytes of addresses that a process may have: more than any case needs
TABLES = ("geometry", "rendering", "estimating", "predicting", "files", "commands")  # modules that hold TARGETS
SILENCE = 300  # seconds without a case after which a process hangs


class Found(NamedTuple):
    """A case that did not end as it should."""

    target: str
    outcome: str
    why: str
    case: str


def targets(tables: tuple[str, ...]) -> list[Any]:
    """Everything that is tried; each has a name, a share, `given` and `outcome`."""
    return [target for table in tables for target in importlib.import_module(table).TARGETS]


def _work(tables: tuple[str, ...], number: int, count: int, start: int | None, pipe) -> None:
    """Sends each case before it is tried, and its outcome after."""
    import torch

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    os.environ["TQDM_DISABLE"] = "1"
    target = targets(tables)[number]

    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        derandomize=start is None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(target.given)
    def tried(case) -> None:
        pipe.send(("case", repr(case)[:600]))
        pipe.send(("outcome", target.outcome(case)))

    (tried if start is None else seed(start)(tried))()
    pipe.send(("end", None))


def run(
    cases: int,
    minutes: float,
    start: int | None = None,
    only: str = "",
    say: Callable[[str], None] = print,
    tables: tuple[str, ...] = TABLES,
) -> tuple[Counter, list[Found]]:
    """Counts by outcome, and the cases that ended badly, one of a kind. start: a seed; None: the same cases each time.

    only: a regular expression of targets' names.
    """
    chosen = [(n, target) for n, target in enumerate(targets(tables)) if re.search(only, target.name)]
    total = sum(target.share for _, target in chosen)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(tables))
    counts, found, began, rest = Counter(), [], time.monotonic(), total
    for n, target in chosen:
        left, seen = minutes * 60 - (time.monotonic() - began), len(found)
        mine = min(left, 30 + 3 * left * target.share / rest)  # what others need is left to them
        own = _one(context, (tables, n), target.name, max(2, round(cases * target.share / total)), start, mine, found)
        counts, rest = counts + own, rest - target.share
        say(f"{target.name:32} " + ", ".join(f"{own[key]} {key}" for key in OUTCOMES if own[key]))
        for one in found[seen:]:
            say(f"  {one.outcome}: {one.why}\n    {one.case}")
    return counts, found


def _one(
    context, which: tuple[tuple[str, ...], int], name: str, count: int, start, left: float, found: list[Found]
) -> Counter:
    counts, kinds, case, ended = Counter(), set(), "the first", False
    until = time.monotonic() + left
    mine, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(*which, count, start, theirs))
    process.start()
    theirs.close()
    with suppress(EOFError):
        while not ended and mine.poll(SILENCE):
            kind, what = mine.recv()
            ended = kind == "end" or time.monotonic() > until
            if kind == "case":
                case = what
            elif kind == "outcome":
                outcome, why = what
                counts[outcome] += 1
                if outcome not in GOOD and (outcome, why) not in kinds:
                    kinds.add((outcome, why))
                    found.append(Found(name, outcome, why, case))
    if not ended:
        process.join(1)
        counts["crash"] += 1
        why = "it was silent for too long" if process.is_alive() else f"the process ended with {process.exitcode}"
        found.append(Found(name, "crash", why, case))
    process.kill()
    process.join()
    return counts


def main() -> int:
    parser = argparse.ArgumentParser(description="Tries arguments, files and options that handlib may be given.")
    parser.add_argument("--cases", type=int, default=6000)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument(
        "--seed", type=int, default=None, help="another one tries other cases; none: the same each time"
    )
    parser.add_argument("--only", default="", help="a regular expression of targets' names")
    parser.add_argument("--tables", nargs="+", default=TABLES)
    parser.add_argument("--results-dir", default=None, help="where to write fuzz.json, a results file of the counts")
    options, started = parser.parse_args(), time.perf_counter()
    say, tables = partial(print, flush=True), tuple(options.tables)
    counts, found = run(options.cases, options.minutes, options.seed, options.only, say, tables)
    print(f"\n{sum(counts.values())} cases: " + ", ".join(f"{counts[key]} {key}" for key in OUTCOMES))
    if options.results_dir:
        print("wrote", write(counts, options, started))
    return 1 if found else 0


def write(counts: Counter, options: argparse.Namespace, started: float) -> Path:
    """Writes the counts as a results file; one of a seed has it in its name."""
    from handlib.evaluation import results
    from handlib.hand import HandModel

    n, hand = sum(counts.values()), HandModel.load()
    config = {"cases": options.cases, "minutes": options.minutes, "only": options.only, "tables": list(options.tables)}
    record = results.record(
        "fuzz" if options.seed is None else f"fuzz-{options.seed}",
        "how odd arguments, damaged files and odd options end",
        [results.Metric(outcome.replace(" ", "_"), counts[outcome], "cases", n=n) for outcome in OUTCOMES],
        profile="laptop",
        config=config,
        data={"name": "public functions, readers of files and commands", "n": n},
        hand={"name": hand.name, "fingertips": hand.fingertips.name},
        started=started,
        command="make fuzz" + (f" SEED={options.seed}" if options.seed is not None else ""),
        seed=options.seed or 0,
    )
    return results.write(record, options.results_dir)


if __name__ == "__main__":
    sys.exit(main())
