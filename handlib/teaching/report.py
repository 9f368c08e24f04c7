"""Assignment 6: a report. Claim, rule, runs and verdict in one dictionary, checked for whether they belong together."""

import math
from collections.abc import Mapping
from datetime import datetime

import torch

from .exercise import Assignment, exercise
from .judging import student

FIELDS = ("claim", "rule", "command", "commit", "seeds", "with", "without", "higher_is_better", "mean", "verdict")
VERDICTS = ("holds", "contradicted", "undecided")
FEWEST = 3


def wrong_with(answer) -> str | None:
    """What does not belong together in a report."""
    if not isinstance(answer, Mapping):
        return f"a dictionary is asked for; yours is a {type(answer).__name__}"
    missing = [field for field in (*FIELDS, "started") if field not in answer]
    if missing:
        return f"{', '.join(missing)} is missing"
    if len(str(answer["claim"]).split()) < 5:
        return "claim: write a sentence that can be false, with the score and the data in it"
    if not isinstance(answer["rule"], Mapping) or not {"written", "text"} <= set(answer["rule"]):
        return "rule: a dictionary with `written` and `text` is asked for"
    try:
        written, started = (datetime.fromisoformat(str(t)) for t in (answer["rule"]["written"], answer["started"]))
        too_late = written >= started
    except (ValueError, TypeError):
        return "rule.written and started: write times as 2026-01-31T10:00"
    if too_late:
        return "the rule was written after the runs had started: it must come first"
    return _wrong_numbers(answer)


def _wrong_numbers(answer: Mapping) -> str | None:
    seeds = answer["seeds"]
    if not isinstance(seeds, (list, tuple)) or not all(isinstance(seed, int) for seed in seeds):
        return f"seeds: a list of numbers is asked for, such as [0, 1, 2]; yours is {seeds!r}"
    if len(set(seeds)) < max(FEWEST, len(seeds)):
        return f"seeds: at least {FEWEST} different ones are needed; you have {seeds}"
    try:
        on, off = (torch.tensor([float(x) for x in answer[key]], dtype=torch.float64) for key in ("with", "without"))
    except (TypeError, ValueError):
        return "with and without: lists of numbers are asked for"
    if not len(on) == len(off) == len(seeds) or not torch.isfinite(torch.cat([on, off])).all():
        return f"with and without: one finite score for each of the {len(seeds)} seeds is asked for"
    differences = on - off
    mean = float(differences.mean())
    if not isinstance(answer["mean"], (int, float)):
        return f"mean: a number is asked for, not {answer['mean']!r}"
    if not isinstance(answer["higher_is_better"], bool):
        return f"higher_is_better: True or False is asked for, not {answer['higher_is_better']!r}"
    if not math.isclose(answer["mean"], mean, rel_tol=5e-3, abs_tol=1e-12):
        return f"mean: the differences seed by seed have the mean {mean:.4g}, not {answer['mean']}"
    if answer["verdict"] not in VERDICTS:
        return f"verdict: choose one of {', '.join(VERDICTS)}"
    gain = mean if answer["higher_is_better"] else -mean
    chance = student(len(seeds) - 1) * float(differences.std()) / math.sqrt(len(seeds))
    verdict = VERDICTS[0] if gain > chance else VERDICTS[1] if -gain > chance else VERDICTS[2]
    if answer["verdict"] != verdict:
        return f"verdict: by the rule, with {len(seeds)} seeds, it is {verdict!r}, not {answer['verdict']!r}"
    return None


@exercise("A6.1", judge=wrong_with, points=4)
def report():
    """Report one ablation as a dictionary, which `json.dumps` can write:

    - `claim`: a sentence that can be false;
    - `rule`: `{"written": "2026-01-31T10:00", "text": …}`, how the verdict follows from the runs;
    - `command`, `commit`, `started` (a time, after the rule was written): what ran;
    - `seeds`: at least three; `with` and `without`: the score of each seed with the part and without it;
    - `higher_is_better`: of the score, true or false;
    - `mean`: of the differences with − without, seed by seed;
    - `verdict`: "holds" if the part makes the score better, by Student's t (one-sided, 95 %); "contradicted" if it
      makes it worse, by the same test; else "undecided".
    """
    return {
        "claim": "With its 2D pose refiner, lite has a higher AUC on the split diverse than without.",
        "rule": {"written": "2026-01-31T10:00", "text": "Student's t over the seeds, one-sided, at 95 %"},
        "command": "handlib reproduce ablations --profile laptop",
        "commit": "0123abc",
        "started": "2026-01-31T11:00",
        "seeds": [0, 1, 2],
        "with": [0.612, 0.605, 0.618],
        "without": [0.590, 0.588, 0.593],
        "higher_is_better": True,
        "mean": 0.02133,
        "verdict": "holds",
    }


A6 = Assignment(
    "A6",
    "A verdict",
    "ablations",
    (report,),
    rubric=(
        (2, "The claim names the score, the data and the size of the networks, and could have come out false."),
        (2, "The runs differ in one thing; the report says what else was held equal and what was not."),
        (2, "The report says what its verdict does not show: other data, other sizes, the chance of the test hands."),
    ),
)
