"""Exercises of the chapters that judge: results, ablations, verdict, reproducing."""

import hashlib
import json
import math
import statistics

import torch
from torch import Generator

from ..experiments.baselines.interface import View, estimate_of
from ..parameters import MeshParameters
from .exercise import exercise
from .hand import open_hand

# ---- results


def _view(generator: Generator) -> tuple:
    K = torch.tensor([[150.0, 0, 32], [0, 150, 32], [0, 0, 1]]).expand(3, 3, 3)
    depth = 0.4 + torch.rand(3, generator=generator)
    return (View(torch.rand(3, 3, 64, 64, generator=generator), K, depth, torch.full((3,), 0.09)),)


@exercise("results-blind", _view, gives="joints")
def blind(view):
    """Write a method that ignores the picture: it answers the mean hand in its mean pose, at the depth of the root.

    `view` has `images` (b, 3, s, s), `K` (b, 3, 3) and `root_depth` (b). Return joints (b, 21, 3) in the camera frame,
    in meters; `estimate_of(hand, h, view)` converts h (b, 63) to them.
    """
    h = MeshParameters.initial(open_hand()).expand(len(view.images), 63)
    return estimate_of(open_hand(), h, view).joints_cam


@blind.mistake("all hands are at one depth: view.root_depth has that of each")
def _(view):
    return blind(view._replace(root_depth=view.root_depth[:1].expand(len(view.images))))


@blind.mistake("one hand is returned, where there is one for each picture")
def _(view):
    return blind(view)[0]


@exercise("results-seeds", lambda g: tuple((0.002 + 0.02 * torch.rand(2, generator=g)).tolist()), gives="number")
def seeds_needed(difference, spread):
    """Say how many seeds each of two methods needs for a difference of their means to be shown.

    The scores of runs have the standard deviation `spread`; the runs are not paired. A `difference` of the means over
    n seeds each is shown if it is larger than Student's t (one-sided, 95 %, 2n − 2 degrees of freedom) times its
    standard error, spread · √(2 / n). Return the smallest such n, at least 2.
    """
    return _smallest(difference, lambda n: student(2 * n - 2) * spread * math.sqrt(2 / n))


@seeds_needed.mistake("that is the error of one mean: the difference of two has √2 times as much")
def _(difference, spread):
    return _smallest(difference, lambda n: student(2 * n - 2) * spread / math.sqrt(n))


@seeds_needed.mistake("this takes n − 1 degrees of freedom: two methods with n seeds each have 2n − 2")
def _(difference, spread):
    return _smallest(difference, lambda n: student(n - 1) * spread * math.sqrt(2 / n))


@seeds_needed.mistake("this is the two-sided t: one-sided at 95 % is the quantile 0.95")
def _(difference, spread):
    return _smallest(difference, lambda n: student(2 * n - 2, 0.975) * spread * math.sqrt(2 / n))


def _smallest(difference: float, error) -> int:
    n = 2
    while error(n) >= difference:
        n += 1
    return n


def student(freedom: int, quantile: float = 0.95) -> float:
    """The quantile of Student's t with so many degrees of freedom."""
    from scipy.stats import t

    return float(t.ppf(quantile, freedom))


# ---- ablations


def _variants(generator: Generator) -> tuple:
    """Random switches; a row that occurs twice, and one that differs from it in one switch."""
    on = torch.rand(4, 5, generator=generator) < 0.5
    on[2] = on[0]
    on[3] = on[0]
    on[3, int(torch.randint(5, (), generator=generator))] ^= True
    names = ("refinement", "augmentation", "refiner", "evidence", "shape")
    return ({f"variant {n}": dict(zip(names, row, strict=True)) for n, row in enumerate(on.tolist())},)


@exercise("ablations-pairs", _variants, gives="pair")
def one_apart(variants):
    """Find the pairs of variants that differ in exactly one switch: their difference is the worth of one part.

    `variants` gives the switches of each variant, `{"DHPE": {"test_refinement": True, …}, …}`. Return a list of pairs
    of names, each pair once, in the order in which the names come.
    """
    names = list(variants)
    pairs = [(a, b) for n, a in enumerate(names) for b in names[n + 1 :]]
    return tuple((a, b) for a, b in pairs if _apart(variants, a, b) == 1)


@one_apart.mistake("two variants that are equal are in the list: they differ in nothing")
def _(variants):
    names = list(variants)
    return tuple((a, b) for n, a in enumerate(names) for b in names[n + 1 :] if _apart(variants, a, b) <= 1)


@one_apart.mistake("each pair is in the list twice: (a, b) and (b, a) are the same")
def _(variants):
    return tuple((a, b) for a in variants for b in variants if _apart(variants, a, b) == 1)


@one_apart.mistake("only pairs with the first variant are in the list")
def _(variants):
    first, *others = variants
    return tuple((first, other) for other in others if _apart(variants, first, other) == 1)


def _apart(variants: dict, a: str, b: str) -> int:
    return sum(variants[a][switch] != variants[b][switch] for switch in variants[a])


@exercise("ablations-iterations", gives="number")
def saved():
    """Say how many trained numbers the regressor has less if it takes one step instead of three."""
    return 0


def _scores(generator: Generator) -> tuple:
    """Scores by seed that go up and down together; each has a seed that the other lacks, and its own order."""
    luck = 0.05 * torch.randn(6, generator=generator)
    full, variant = (0.7 + luck + 0.01 * torch.randn(6, generator=generator) for _ in range(2))
    order = torch.randperm(5, generator=generator).tolist()
    return dict(enumerate(full.tolist()[:5])), {seed + 1: float(variant[seed + 1]) for seed in order}


@exercise("ablations-paired", _scores, gives="result")
def paired(full, variant):
    """Compute the mean and the standard deviation (n − 1) of the differences full − variant, seed by seed.

    `full` and `variant` give the score of each seed, `{0: 0.71, 1: 0.69, …}`, in any order; a seed may be missing in
    one of them. Return a tuple of two numbers.
    """
    differences = [full[seed] - variant[seed] for seed in full if seed in variant]
    return statistics.mean(differences), statistics.stdev(differences)


@paired.mistake("the runs are paired by their place: pair those of the same seed")
def _(full, variant):
    differences = [a - b for a, b in zip(full.values(), variant.values(), strict=False)]
    return statistics.mean(differences), statistics.stdev(differences)


@paired.mistake("this is the spread of unpaired runs: subtract seed by seed first")
def _(full, variant):
    common = [seed for seed in full if seed in variant]
    a, b = ([scores[seed] for seed in common] for scores in (full, variant))
    return statistics.mean(a) - statistics.mean(b), math.sqrt(statistics.variance(a) + statistics.variance(b))


@paired.mistake("the standard deviation of a sample divides by n − 1")
def _(full, variant):
    differences = [full[seed] - variant[seed] for seed in full if seed in variant]
    return statistics.mean(differences), statistics.pstdev(differences)


# ---- verdict


def _p_values(generator: Generator) -> tuple:
    """Small ones, which their neighbors in size hold up, and two that come out larger than 1."""
    p = torch.rand(12, generator=generator) * torch.tensor([0.08] * 10 + [0.4] * 2)
    p[10:] += 0.6
    return (p[torch.randperm(12, generator=generator)].tolist(),)


@exercise("verdict-holm", _p_values, gives="p-value")
def holm(p):
    """Correct p-values for how many there are, by Holm's rule.

    `p` is a list of m numbers. Multiply the smallest by m, the next by m − 1, and so on to the largest by 1; none may
    come out smaller than one before it, nor larger than 1. Return a tuple, in the order of `p`.
    """
    corrected, largest = [0.0] * len(p), 0.0
    for rank, n in enumerate(sorted(range(len(p)), key=p.__getitem__)):
        largest = max(largest, min(1.0, (len(p) - rank) * p[n]))
        corrected[n] = largest
    return tuple(corrected)


@holm.mistake("all are multiplied by m, which is Bonferroni's rule: the next is multiplied by m − 1")
def _(p):
    return tuple(min(1.0, len(p) * x) for x in p)


@holm.mistake("one comes out smaller than one before it: keep the largest so far")
def _(p):
    order = sorted(range(len(p)), key=p.__getitem__)
    return tuple(min(1.0, (len(p) - order.index(n)) * x) for n, x in enumerate(p))


@holm.mistake("one comes out larger than 1, which no probability is")
def _(p):
    return tuple(len(p) * x for x in holm([x / len(p) for x in p]))  # the smaller ones never reach 1


@holm.mistake("they are sorted: return them in the order of p")
def _(p):
    return tuple(sorted(holm(p)))


def _interval(generator: Generator) -> tuple:
    low, width = (torch.rand(2, generator=generator) * torch.tensor([0.04, 0.03]) - torch.tensor([0.025, 0.0])).tolist()
    return low, low + width, 0.01


@exercise("verdict-rule", _interval, trials=40)
def verdict(low, high, delta):
    """Judge the claim "A is better than B" by the interval of the difference A − B.

    `low` and `high` are its ends. Return "bounded" if the difference is smaller than `delta` either way, else "holds"
    or "contradicted" if chance does not explain it, else "undecided".
    """
    if -delta < low and high < delta:
        return "bounded"
    return "holds" if low > 0 else "contradicted" if high < 0 else "undecided"


@verdict.mistake("“bounded” goes first: the whole interval lies within ± delta")
def _(low, high, delta):
    return "holds" if low > 0 else "contradicted" if high < 0 else verdict(low, high, delta)


@verdict.mistake("an interval that holds zero and reaches beyond delta is “undecided”: the difference may be large")
def _(low, high, delta):
    return "bounded" if low <= 0 <= high else verdict(low, high, delta)


# ---- reproducing


def _missing_or_double(parts) -> str | None:
    """What is wrong with shares of the trainings of the profile paper."""
    from ..experiments.reproduce.hands import parse_data
    from ..experiments.reproduce.suite import make_suite

    def runs(only=()):
        hands = parse_data("rhd:PATH,stb:PATH,do:PATH")
        return [run.name for run in make_suite("all", "paper", hands, "runs", only=tuple(only)).runs]

    lists = (list, tuple, set)
    if not isinstance(parts, lists) or len(parts) != 3 or not all(isinstance(part, lists) for part in parts):
        return "three lists of experiments are asked for, one a machine"
    try:
        made = [name for part in parts for name in runs(part)]
    except ValueError as error:  # an unknown name
        return str(error)
    double = sorted({name for name in made if made.count(name) > 1})
    if double:
        return f"{', '.join(double)} would be trained twice: experiments of one training go together"
    missing = [name for name in runs() if name not in made]
    return f"nobody trains {', '.join(missing)}" if missing else None


@exercise("reproducing-shares", judge=_missing_or_double)
def parts():
    """Divide the trainings of the profile paper among three machines: three lists of experiments."""
    return [
        ("full", "no_test_refinement", "panteleris", "pso", "schedule"),
        ("no_augmentation", "no_refiner", "no_evidence_losses", "no_shape_loss"),
        ("direct", "zimmermann", "handsegnet", "encoder-decoder"),
    ]


@exercise("reproducing-first")
def first():
    """Name the run of the table `cached` that all others wait for."""
    return "rows-train"


def _record(generator: Generator) -> tuple:
    """A record with its digest; every other one was changed afterwards."""
    record = {"name": "täglich", "metrics": [{"value": float(torch.rand((), generator=generator))}], "seed": 3}
    record["digest"] = _digest(record)
    if torch.rand((), generator=generator) < 0.5:
        record["seed"] = 4
    return (record,)


def _digest(record: dict, **how) -> str:
    how = {"sort_keys": True, "separators": (",", ":"), "ensure_ascii": False} | how
    text = json.dumps({key: value for key, value in record.items() if key != "digest"}, **how)
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


@exercise("reproducing-digest", _record, trials=12)
def fits(record):
    """Say whether the digest of a record fits the rest of it.

    `record["digest"]` is "sha256:" and the SHA-256, in hexadecimal digits, of the record without its digest, written
    by `json.dumps` with sorted keys, the separators "," and ":" and `ensure_ascii=False`, in UTF-8. Return True or
    False.
    """
    return record["digest"] == _digest(record)


@fits.mistake("the digest is computed of the record with its digest: leave it out first")
def _(record):
    return False


@fits.mistake("every record fits: compute the digest anew and compare")
def _(record):
    return True


CHAPTER = (
    blind, seeds_needed, one_apart, saved, paired, holm, verdict, parts, first, fits,
)  # fmt: skip
