"""Each claim of the paper beside what was measured here, judged by the rules of statistics.py.

A claim says "A is better than B", or "A is no different from B", of scores that every hand has. The difference is the
mean over the test sets that the claim is about, each counting alike. Nothing else enters, and no cell of the table is
written by hand.
"""

from typing import NamedTuple

import numpy as np

from .. import published
from .claims import CLAIMS, DELTA_MM, UNDER, Claim
from .collection import Collection, paired
from .experiments import EXPERIMENTS
from .sets import PHOTOS, PUBLISHED
from .statistics import (
    BOUNDED,
    CONTRADICTED,
    DELTA,
    FEWEST_SEEDS,
    HOLDS,
    UNDECIDED,
    UNTESTABLE,
    Differences,
    Effect,
    needed,
    paired_bootstrap,
    verdicts,
)
from .tables import Rendered

VERDICTS = (HOLDS, CONTRADICTED, BOUNDED, UNDECIDED, UNTESTABLE)


class Unit(NamedTuple):
    text: str
    digits: int
    sign: int  # 1 where more is better


USUAL = Unit("", 3, 1)
UNITS = {"root_mm": Unit(" mm", 2, -1)}


class Judgment(NamedTuple):
    verdict: str  # one of VERDICTS
    found: str  # our numbers, or what is missing
    effect: Effect | None = None
    needed: tuple[int, int] | None = None  # hands a test set and seeds, of one that is undecided


class _Evidence(NamedTuple):
    tests: tuple[str, ...]
    pair: tuple[str, str]
    differences: Differences
    effect: Effect


def judge(runs: Collection) -> dict[str, Judgment]:
    """A judgment of each claim, by its name: together, since they are corrected for being many."""
    gathered = {claim.name: evidence for claim in CLAIMS if (evidence := _gather(claim, runs)) is not None}
    answers = dict(zip(gathered, verdicts([evidence.effect for evidence in gathered.values()]), strict=True))
    judged = {}
    for claim in CLAIMS:
        evidence = gathered.get(claim.name)
        if evidence is None:
            judged[claim.name] = Judgment(UNTESTABLE, claim.missing or _absent(claim, runs))
            continue
        verdict = answers[claim.name]
        if claim.same:
            verdict = {BOUNDED: HOLDS, HOLDS: CONTRADICTED}.get(verdict, verdict)  # whichever sign a difference has
        enough = needed(evidence.differences, _delta(claim), len(gathered)) if verdict == UNDECIDED else None
        judged[claim.name] = Judgment(verdict, _found(claim, evidence, enough), evidence.effect, enough)
    return judged


def verdict_table(runs: Collection) -> Rendered:
    judged = judge(runs)
    rows = []
    for claim in CLAIMS:
        verdict, found, *_ = judged[claim.name]
        rows.append((claim.claim, claim.evidence, claim.rule, found, f"**{verdict}**"))
    kind = "rendered hands; the paper's are photographs and RHD" if runs.synthetic else "photographs"
    notes = (
        f"Ours: suite {runs.suite}, {kind}. Differences with their 95 % interval, paired, hands by a bootstrap and "
        "seeds by Student's t; AUC at thresholds and alignments of the table of results.",
        f"Holds, contradicted: the difference is not 0; bounded: it is smaller than {DELTA} of AUC, either way. A "
        "claim that nothing changes holds where the difference is smaller than its rule says, and is contradicted "
        "where it is larger. All at 5 %, corrected by Holm over all claims. Undecided: neither is shown.",
    )
    return Rendered(
        f"What the paper claims, and what holds here, {runs.suite}",
        ("claim", "the paper's evidence", "rule", "ours", "verdict"), tuple(rows), notes,
    )  # fmt: skip


# ---- what a claim is judged by


def _gather(claim: Claim, runs: Collection) -> _Evidence | None:
    for a, b in claim.pairs:
        tests = tuple(
            test for test in runs.tests
            if _about(claim, test, runs.synthetic) and runs.runs(a, test) and runs.runs(b, test)
            and all(_steps(run) >= claim.steps for run in runs.runs(a, test))
            and all(_begins_within(claim.under, run) for name in (a, b) for run in runs.runs(name, test))
        )  # fmt: skip
        sides = {test: (_scores(runs, a, test, claim.score), _others(claim, runs, b, test)) for test in tests}
        sides = {test: side for test, side in sides.items() if paired([side])}  # a set may not have such scores
        differences = [UNITS.get(claim.score, USUAL).sign * d for d in paired(list(sides.values()))]
        if differences and len(differences[0]) > 1:
            effect = paired_bootstrap(differences, _delta(claim), claim.same)
            if claim.name == "published":  # whose rule has the bound in it
                effect = effect._replace(p_bound=1.0)
            return _Evidence(tuple(sides), (a, b), differences, effect)
    return None


def _about(claim: Claim, test: str, synthetic: bool) -> bool:
    """Whether a claim is about a test set. Photographs of one's own stand for any real set."""
    if claim.name == "published":
        return not synthetic and test in PUBLISHED
    if claim.score == UNDER:  # known of the training, whatever is tested
        return test == "diverse"
    return not claim.sets or test == PHOTOS or PUBLISHED.get(test) in claim.sets


def _steps(run: dict) -> int:
    return run["config"].get("refine", {}).get("iterations", 0)


def _begins_within(under: tuple[float, float] | None, run: dict) -> bool:
    shares = run["curves"].get("training", {}).get(UNDER)  # none of a training without steps
    return under is None or bool(shares) and under[0] <= shares[0] <= under[1]


def _scores(runs: Collection, experiment: str, test: str, score: str) -> dict[int, np.ndarray]:
    if score == UNDER:
        return {seed: np.array([value]) for seed, value in runs.by_seed(experiment, test, score).items()}
    return runs.errors(experiment, test, score)


def _others(claim: Claim, runs: Collection, experiment: str, test: str) -> dict[int, np.ndarray]:
    """What A is compared with."""
    if claim.name == "published":
        reached = np.array(published.find(published.OURS, PUBLISHED[test]).value - DELTA)
        return dict.fromkeys(runs.errors(experiment, test, claim.score), reached)
    return _scores(runs, experiment, test, claim.other or claim.score)


def _delta(claim: Claim) -> float:
    return DELTA_MM if claim.score.endswith("_mm") else DELTA


def _found(claim: Claim, evidence: _Evidence, enough: tuple[int, int] | None) -> str:
    unit, digits, _ = UNITS.get(claim.score, USUAL)
    a, b = (EXPERIMENTS[name].title for name in evidence.pair)
    effect, kind = evidence.effect, "cached evidence" if EXPERIMENTS[evidence.pair[0]].cached else "pixels"
    on = f"{effect.seeds} seeds" + (
        "" if claim.score == UNDER else f", {effect.hands:,} hands of {', '.join(evidence.tests)}"
    )
    text = f"{effect.text(digits)}{unit} ({kind}: “{a}” against “{b}”; {on})"
    if len(evidence.tests) > 1:
        each = (f"{t} {paired_bootstrap([d], _delta(claim)).text(digits)}" for t, d in
                zip(evidence.tests, evidence.differences, strict=True))  # fmt: skip
        text += "; " + ", ".join(each)
    if effect.seeds < FEWEST_SEEDS:
        return f"{text}; {FEWEST_SEEDS} seeds at least are needed"
    hands = f"{enough[0]:,} hands a test set and " if enough and claim.score != UNDER else ""
    return text + (f"; to decide: {hands}{enough[1]} seeds" if enough else "")


def _absent(claim: Claim, runs: Collection) -> str:
    """Why there is nothing to judge by: no runs, or runs that kept no errors of hands."""
    if claim.name == "published" and runs.synthetic:
        return "trained and measured on rendered hands; the numbers are of RHD, SHD and DO"
    if claim.steps:
        return f"no run of {claim.steps} steps kept the errors of hands half-way"
    done = [run for name in claim.pairs[-1] for test in runs.tests for run in runs.runs(name, test)]
    if not all(_begins_within(claim.under, run) for run in done):
        low, high = claim.under
        return f"the curves of the runs do not begin with {low:.0%} to {high:.0%} of the training hands under T"
    if not any(_about(claim, test, runs.synthetic) for test in runs.tests):
        return "about none of these test sets"
    if all(any(runs.runs(name, test) for test in runs.tests) for name in claim.pairs[-1]):
        return "run, but without the errors of each hand, so chance cannot be told"
    possible = [a for a, _ in claim.pairs if runs.wanted(a)]
    return f"not run: `{runs.command(possible[0])}`" if possible else "there is no such study of these hands"
