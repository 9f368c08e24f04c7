"""Whether a difference between two methods is real, from the errors of every hand in every run of both.

Two things make a difference uncertain: training again with another seed, which on cached evidence also draws other
training hands, and testing on other hands. A bootstrap draws hands anew, by the same draw for both methods, since they
are paired; seeds, of which there are few, are drawn by Student's t.

The rules stand in this file, and were written before the runs that they judge; what came later says so:

- `DELTA`, the smallest difference of AUC that matters.
- *bounded*: the difference is smaller than that, whichever sign it has. *holds*, *contradicted*: it differs from zero,
  in the claim's direction or against it. Each is a test at 5 %, corrected by Holm over all claims.
- *undecided*: none of these; `needed` then says how many hands and seeds would be enough.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

DELTA = 0.01  # of AUC
LEVEL = 0.05
FEWEST_SEEDS = 3
DRAWS = 4000
POWER = 0.84  # standard errors beyond the level of a test at which a difference is found four times out of five
HOLDS, CONTRADICTED, BOUNDED, UNDECIDED, UNTESTABLE = (
    "holds", "contradicted", "bounded", "undecided", "not testable here",
)  # fmt: skip

# One array a test set: a score of method A minus that of method B, for each seed (rows) and hand (columns).
Differences = list[Float[np.ndarray, "seeds _"]]


class Effect(NamedTuple):
    """A mean difference, its 95 % interval, and the p-values of "it is 0" and of "it is DELTA or more".

    Of a claim that there is no difference, `p_zero` is that of "it is DELTA or less", which contradicts it (later).
    """

    mean: float
    low: float
    high: float
    p_zero: float
    p_bound: float
    seeds: int
    hands: int  # of all test sets together

    def text(self, digits: int = 3) -> str:
        return f"{self.mean:+.{digits}f} [{self.low:+.{digits}f}, {self.high:+.{digits}f}]"

    def word(self, better: str = "helps", worse: str = "hurts") -> str:
        """Which way the difference goes, by its interval alone. One in twenty that are nothing get a word of these."""
        return better if self.low > 0 else worse if self.high < 0 else "too close to tell"


def paired_bootstrap(
    differences: Differences, delta: float = DELTA, same: bool = False, draws: int = DRAWS, seed: int = 0
) -> Effect:
    """The difference, as the mean over test sets, each counting alike, and how chance moves it.

    same: whether the claim is that there is none.

    Hands are drawn anew for each test set. Draws of three or five seeds would end at the seeds that lie farthest out,
    while Holm's correction asks for the tails beyond; so what seeds contribute is drawn from Student's t (later: the
    first rule drew seeds, too, and called too much significant). `ValueError` where arrays do not have the same seeds,
    or fewer than two.
    """
    seeds = len(differences[0])
    if seeds < 2 or any(len(d) != seeds for d in differences):
        raise ValueError("a bootstrap over seeds takes two at least, the same ones on every test set")
    generator = np.random.default_rng(seed)
    by_seed = np.zeros((draws, seeds))  # each seed's mean over the drawn hands, over the test sets
    for d in differences:
        hands = d.shape[1]
        some = generator.multinomial(hands, np.full(hands, 1 / hands), draws) / hands
        by_seed += some @ d.T / len(differences)
    error = by_seed.std(1, ddof=1) / np.sqrt(seeds)
    total = by_seed.mean(1) + error * generator.standard_t(seeds - 1, draws)
    low, high = np.quantile(total, (LEVEL / 2, 1 - LEVEL / 2))
    least = delta if same else 0.0
    return Effect(
        float(np.mean([d.mean() for d in differences])), float(low), float(high),
        min(1.0, 2 * min(_share(total <= least), _share(total >= -least))),
        min(1.0, 2 * max(_share(total <= -delta), _share(total >= delta))),
        seeds, sum(d.shape[1] for d in differences),
    )  # fmt: skip


def _share(hits: np.ndarray) -> float:
    return (1 + int(hits.sum())) / (1 + len(hits))


def holm(p_values: list[float]) -> list[float]:
    """Holm's correction: p-values that can be compared with one level however many there are."""
    adjusted, largest = [1.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def verdicts(effects: list[Effect]) -> list[str]:
    """HOLDS, CONTRADICTED, BOUNDED or UNDECIDED for claims that each say "above 0", judged together."""
    zero, bound = holm([e.p_zero for e in effects]), holm([e.p_bound for e in effects])

    def verdict(effect: Effect, p_zero: float, p_bound: float) -> str:
        if effect.seeds < FEWEST_SEEDS:
            return UNDECIDED
        if p_bound < LEVEL:
            return BOUNDED
        if p_zero < LEVEL:
            return HOLDS if effect.mean > 0 else CONTRADICTED
        return UNDECIDED

    return [verdict(*three) for three in zip(effects, zero, bound, strict=True)]


def needed(differences: Differences, delta: float = DELTA, claims: int = 1) -> tuple[int, int]:
    """Hands a test set and seeds with which a difference as large as the one measured, or `delta` if that is larger,
    would be found four times out of five among so many claims, at the strictest level of Holm's correction.

    Half of the variance that may be is left to each. What seeds contribute is how far their means lie apart.
    """
    from scipy.stats import norm, t

    level = 1 - LEVEL / 2 / claims
    by_hand = sum(float(d.mean(0).var(ddof=1)) for d in differences if d.shape[1] > 1) / len(differences) ** 2
    means = np.mean([d.mean(1) for d in differences], axis=0)
    by_seed, found = float(means.var(ddof=1)), max(delta, abs(float(means.mean())))
    hands, seeds = int(np.ceil(2 * by_hand * ((norm.ppf(level) + POWER) / found) ** 2)), FEWEST_SEEDS
    while 2 * by_seed / seeds * ((t.ppf(level, seeds - 1) + POWER) / found) ** 2 > 1:
        seeds += 1
    return max(1, hands), seeds
