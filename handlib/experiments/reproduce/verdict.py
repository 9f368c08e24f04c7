"""Each claim of the paper beside what was measured here, judged by a rule that is written down with it.

The rule for "A is better than B": on a test set take the difference between A and B seed by seed. It counts as shown
when its mean is in A's favor by more than Student's t (one-sided, 95 %) times its standard error. The claim holds when
that is so on every test set that it is about; else it does not hold. It is not testable here when the runs, the data,
or a second seed are missing. Nothing else enters: no cell of the table is written by hand.

"On every set" is strict, and so is "does not hold", which includes "too close to tell with so few seeds": the numbers
stand beside the verdict.
"""

from collections.abc import Callable
from typing import NamedTuple

from .. import published
from .collection import Collection, Value
from .experiments import EXPERIMENTS
from .hands import PUBLISHED
from .measure import headline
from .tables import Rendered

HOLDS, FAILS, UNTESTABLE = "holds", "does not hold", "not testable here"
FEWEST_SEEDS = 2
REACHED = 0.01  # of AUC, by which a published number may be missed and still count as reached
ENOUGH_UNDER = 0.05  # of the training hands under T, in either run, for a study of Eq. 12 to say anything
SATURATED = 0.9  # of the gain of all steps of refinement that half of them must have brought


class Judgment(NamedTuple):
    verdict: str  # HOLDS, FAILS or UNTESTABLE
    found: str  # our numbers, or what is missing


class Claim(NamedTuple):
    name: str
    claim: str
    evidence: str  # the paper's
    rule: str
    judge: Callable[[Collection], Judgment]


def verdict_table(runs: Collection) -> Rendered:
    rows = []
    for claim in CLAIMS:
        verdict, found = claim.judge(runs)
        rows.append((claim.claim, claim.evidence, claim.rule, found, f"**{verdict}**"))
    kind = "rendered hands; the paper's are photographs and RHD" if runs.synthetic else "real data sets"
    notes = (
        f"Ours: suite {runs.suite}, {kind}. Differences are mean ± standard deviation over seeds; AUC at thresholds "
        "and alignments of the table of results.",
        "Better: the mean difference over seeds exceeds Student's t (one-sided, 95 %) times its standard error, on "
        "every test set. A claim that is too close to tell does not hold.",
    )
    return Rendered(
        f"What the paper claims, and what holds here, {runs.suite}",
        ("claim", "the paper's evidence", "rule", "ours", "verdict"), tuple(rows), notes,
    )  # fmt: skip


# ---- rules


def shown(difference: Value | None) -> bool | None:
    """Whether a difference is above chance; None where there are too few seeds to say."""
    if difference is None or difference.seeds < FEWEST_SEEDS:
        return None
    return difference.mean > difference.error


def word(difference: Value, better: str = "helps", worse: str = "hurts") -> str:
    """Which way a difference goes, if either. Both signs are read, so one in ten that are nothing get a word."""
    if shown(difference) is None:
        return "too few seeds"
    return better if shown(difference) else worse if shown(_negative(difference)) else "too close to tell"


def better(a: str, b: str, sets: tuple[str, ...] = (), metric: str = "", sign: int = 1) -> Callable:
    """A is better than B by the AUC of each test set, or by a metric; sign −1: of which less is better.

    sets: names of published data sets; those test sets that are or stand for one of them, or all.
    """

    def judge(runs: Collection) -> Judgment:
        tests = [test for test in runs.tests if not sets or PUBLISHED.get(test) in sets]
        if metric:  # a set may lack what the metric needs, such as masks
            tests = [test for test in tests if runs.metric(test, metric)]
        if not tests:
            return Judgment(UNTESTABLE, f"no runs on a test set that is or stands for {' or '.join(sets) or 'any'}")
        answers, said = [], []
        for test in tests:
            name = metric or headline(test)
            difference = runs.difference(a, b, test, name)
            answers.append(shown(difference if sign > 0 or difference is None else _negative(difference)))
            said.append(f"{test}: {_difference(difference, runs, (a, b), test, name)}")
        return Judgment(_verdict(answers), f"against “{EXPERIMENTS[b].title}”, " + "; ".join(said))

    return judge


def all_of(*judges: Callable[[Collection], Judgment]) -> Callable[[Collection], Judgment]:
    """Holds when all hold; does not when one does not; else not testable."""

    def judge(runs: Collection) -> Judgment:
        found = [one(runs) for one in judges]
        verdicts = {one.verdict for one in found}
        verdict = FAILS if FAILS in verdicts else UNTESTABLE if UNTESTABLE in verdicts else HOLDS
        return Judgment(verdict, " — ".join(dict.fromkeys(one.found for one in found)))

    return judge


def reaches_published(runs: Collection) -> Judgment:
    """Our AUC on the real data sets against the paper's."""
    answers, said = [], []
    for test in runs.tests:
        if runs.synthetic or test not in PUBLISHED:
            continue
        entry = published.find(published.OURS, PUBLISHED[test])
        value = runs.value("full", test, headline(test))
        if value is None:
            answers.append(None)
            continue
        enough = value.seeds >= FEWEST_SEEDS
        answers.append(value.mean - value.error >= entry.value - REACHED if enough else None)
        said.append(f"{test}: {value.text()} ({value.seeds} seeds), {entry.text}")
    if not answers:
        return Judgment(UNTESTABLE, "trained and measured on rendered hands; the numbers are of RHD, SHD and DO")
    return Judgment(_verdict(answers), "; ".join(said) or "not run")


def scheduled_is_better(runs: Collection) -> Judgment:
    """Fig. 5f: more instances under T at the end, and a lower error."""
    answers, said = [], []
    for metric, sign, title, digits in (
        ("under_threshold", 1, "hands under T", 3),
        ("joints_root_mean_mm", -1, "validation error, mm", 1),
    ):
        left, right = (runs.by_seed("schedule", "val", f"{name}_{metric}") for name in ("scheduled", "constant"))
        seeds = sorted(left.keys() & right.keys())
        if not seeds:
            return Judgment(UNTESTABLE, f"not run: `{runs.command('schedule')}`")
        difference = Value.of(left[seed] - right[seed] for seed in seeds)
        answers.append(shown(difference if sign > 0 else _negative(difference)))
        said.append(f"{title}: {_signed(difference, digits)} ({_seeds(difference)})")
    under = [runs.value("schedule", "val", f"{name}_under_threshold").mean for name in ("scheduled", "constant")]
    if max(under) < ENOUGH_UNDER:
        few = f"at most {max(under):.1%} of the training hands came under T, so the switch has hardly acted; "
        return Judgment(UNTESTABLE, few + "; ".join(said))
    return Judgment(_verdict(answers), "; ".join(said))


def steps_saturate(runs: Collection) -> Judgment:
    """The error falls with the steps of Eq. 13, and half of the steps bring most of the fall."""
    answers, said = [], []
    for test in runs.tests:
        found = [run["curves"].get("refinement") for run in runs.runs("full", test)]
        curves = [curve["joints_root_mean_mm"] for curve in found if curve]
        if not curves:
            continue
        gain = Value.of(curve[0] - curve[-1] for curve in curves)
        half = sum(curve[0] - curve[len(curve) // 2] for curve in curves) / len(curves)
        falls = shown(gain)
        answers.append(falls if not falls else half >= SATURATED * gain.mean)
        share = f", {half / gain.mean:.0%} of it in half the steps" if gain.mean > 0 else ""
        said.append(f"{test}: falls by {gain.text(2)} mm{share} ({_seeds(gain)})")
    if not answers:
        return Judgment(UNTESTABLE, f"not run: `{runs.command('full')}`")
    return Judgment(_verdict(answers), "; ".join(said))


def elsewhere(what: str) -> Callable[[Collection], Judgment]:
    """A claim about something that nobody here can run."""
    return lambda runs: Judgment(UNTESTABLE, what)


def _verdict(answers: list[bool | None]) -> str:
    if False in answers:
        return FAILS
    return UNTESTABLE if None in answers or not answers else HOLDS


def _negative(value: Value) -> Value:
    return value._replace(mean=-value.mean)


def _difference(difference: Value | None, runs: Collection, pair: tuple[str, str], test: str, metric: str) -> str:
    if difference is None:
        absent = [name for name in pair if not runs.by_seed(name, test, metric)] or list(pair)
        return "not run: " + ", ".join(EXPERIMENTS[name].title for name in absent)
    return f"{_signed(difference, 1 if metric.endswith('_mm') and 'auc' not in metric else 3)} ({_seeds(difference)})"


def _signed(value: Value, digits: int) -> str:
    return f"{value.mean:+.{digits}f}" + ("" if value.spread is None else f" ± {value.spread:.{digits}f}")


def _seeds(value: Value) -> str:
    return f"{value.seeds} seed" + ("s" if value.seeds > 1 else "")


# ---- the claims


def _said(method: str, *data: str) -> str:
    """Published numbers of a method, one a data set."""
    return ", ".join(f"{published.find(method, name).text} on {name}" for name in data)


def _against(method: str, *data: str) -> str:
    """The paper's method against another, as published."""
    return f"{_said(published.OURS, *data)}; {method} {_said(method, *data)}"


_RULE = "AUC of {} above that of {}"
CLAIMS = (
    Claim(
        "published", "DHPE reaches its published accuracy",
        "AUC " + _said(published.OURS, *published.DATA),
        f"mean AUC over seeds, less its error, at most {REACHED} below the published one, on every real set",
        reaches_published,
    ),
    Claim(
        "zimmermann", "better than Zimmermann & Brox by a large margin",
        "Fig. 5a, c: AUC " + _against("Zimmermann & Brox 2017", "RHD", "SHD"),
        _RULE.format("DHPE", "lifted heat maps") + "; how large the margin is, is not tested",
        better("full", "zimmermann", ("RHD", "SHD")),
    ),
    Claim(
        "fitting", "better than fitting a 3D model to the 2D joints",
        "Fig. 5c: AUC " + _against("PSO 1995/2011", "SHD") + "; " + _against("Panteleris et al. 2018", "SHD"),
        _RULE.format("DHPE", "each of the two fits"),
        all_of(better("full", "pso", ("SHD",)), better("full", "panteleris", ("SHD",))),
    ),
    Claim(
        "others", "better than Cai et al. by 4 mm, and than Spurr et al. and Mueller et al.",
        "Fig. 5a–c (published)", "not reimplemented, so not run",
        elsewhere("these methods are not among the baselines"),
    ),
    Claim(
        "iqbal", "on par with Iqbal et al. on SHD, better on DO",
        "Fig. 5b, c: AUC " + _against("Iqbal et al. 2018", "SHD") + "; ranges and alignments on DO are mixed",
        "not reimplemented, so not run", elsewhere("this method is not among the baselines"),
    ),
    Claim(
        "refinement-do", "test-time refinement matters on DO", "Fig. 5d: without it considerably worse",
        _RULE.format("DHPE", "DHPE without test refinement"), better("full", "no_test_refinement", ("DO",)),
    ),
    Claim(
        "augmentation", "self-supervised augmentation improves the accuracy significantly",
        "Fig. 5d, e, both without test refinement", _RULE.format("no refinement", "no refinement and augmentation"),
        better("no_test_refinement", "no_augmentation", ("DO", "RHD")),
    ),
    Claim(
        "refiner", "the 2D pose refiner further improves the accuracy significantly",
        "Fig. 5e, both without test refinement", _RULE.format("no refinement", "no refinement and pose refiner"),
        better("no_test_refinement", "no_refiner", ("RHD",)),
    ),
    Claim(
        "evidence", "features and 2D joints together are better than features alone (Kanazawa et al.)",
        "Fig. 5d, e: without refiner against without 2D losses", _RULE.format("no pose refiner", "no 2D losses"),
        better("no_refiner", "no_evidence_losses", ("RHD", "DO")),
    ),
    Claim(
        "shape", "estimating shape and pose together gives better poses than pose alone", "Fig. 5a, d",
        _RULE.format("DHPE", "DHPE without shape loss"), better("full", "no_shape_loss", ("RHD", "DO")),
    ),
    Claim(
        "schedule", "Eq. 12 lets more instances come under T, and the test error fall faster, than a constant weight",
        "Fig. 5f", f"at the end of training: more instances under T and a lower validation error; not testable while "
        f"fewer than {ENOUGH_UNDER:.0%} are under T, so that the switch has hardly acted (added after the first run)",
        scheduled_is_better,
    ),
    Claim(
        "iterations", "the error falls with the steps of refinement; 50 are enough", "Fig. 5e",
        f"the error at the end is lower than at the start, and half of the steps bring {SATURATED:.0%} of it",
        steps_saturate,
    ),
    Claim(
        "segmentation", "segments hands much better than networks made for it", "Table 2 (values not available)",
        "mean IoU of DHPE above that of HandSegNet and of an encoder–decoder; how much, is not tested",
        all_of(
            better("full", "handsegnet", ("RHD",), "mean_iou"),
            better("full", "encoder-decoder", ("RHD",), "mean_iou"),
        ),
    ),
    Claim(
        "speed", "100 ms for a first estimate and 5 ms for each step of refinement", "Sec. 3.4",
        "the same GPU is needed", elsewhere("the paper's machine; `handlib bench` times this one"),
    ),
)  # fmt: skip
