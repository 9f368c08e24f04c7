"""Whether a difference between two methods is real, from the errors of every hand in every run of both.

Two things make a difference uncertain: training again (another seed, which also draws other training hands) and testing
on other hands. The bootstrap here draws both anew, hands by the same draw for both methods, since they are paired.

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
DETECTED = 1.96 + 0.84  # standard errors that a difference must be away from 0 to be found four times out of five
HOLDS, CONTRADICTED, BOUNDED, UNDECIDED, UNTESTABLE = (
    "holds", "contradicted", "bounded", "undecided", "not testable here",
)  # fmt: skip
# Two-sided 95 % quantiles of Student's t by degrees of freedom; from 15 on that of 15, which errs on the safe side.
STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131)

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

    Seeds are drawn once for all test sets, hands for each. A resample of few seeds varies too little, by (S − 1) / S
    and by the heavy tails of Student's t: what seeds contribute is widened accordingly. `ValueError` where arrays do
    not have the same seeds, or fewer than two.
    """
    seeds = len(differences[0])
    if seeds < 2 or any(len(d) != seeds for d in differences):
        raise ValueError("a bootstrap over seeds takes two at least, the same ones on every test set")
    generator = np.random.default_rng(seed)
    drawn = generator.multinomial(seeds, np.full(seeds, 1 / seeds), draws) / seeds  # draws × seeds
    widened = np.sqrt(seeds / (seeds - 1)) * student(seeds) / 1.96
    total = np.zeros(draws)
    for d in differences:
        hands = d.shape[1]
        some = generator.multinomial(hands, np.full(hands, 1 / hands), draws) / hands
        by_seed = some @ d.T  # draws × seeds: each seed's mean over the drawn hands
        mean = by_seed.mean(1, keepdims=True)
        total += mean[:, 0] + widened * (drawn * (by_seed - mean)).sum(1)
    total /= len(differences)
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


def needed(differences: Differences, delta: float = DELTA) -> tuple[int, int]:
    """Hands a test set and seeds with which a difference of `delta` would be found four times out of five, if judged
    alone.

    Half of the variance that may be is left to each. What seeds contribute is how far their means lie apart, widened
    for few seeds as in the bootstrap.
    """
    allowed = (delta / DETECTED) ** 2 / 2
    tests = len(differences)
    by_hand = sum(float(d.mean(0).var(ddof=1)) for d in differences if d.shape[1] > 1) / tests**2
    by_seed = float(np.mean([d.mean(1) for d in differences], axis=0).var(ddof=1))
    seeds = FEWEST_SEEDS
    while by_seed / seeds * (student(seeds) / 1.96) ** 2 > allowed:
        seeds += 1
    return max(1, int(np.ceil(by_hand / allowed))), seeds


def student(seeds: int) -> float:
    """The quantile by which a mean over so many seeds is uncertain."""
    return STUDENT[min(seeds - 1, len(STUDENT)) - 1]
