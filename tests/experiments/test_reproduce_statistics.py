import numpy as np
import pytest

from handlib.experiments.reproduce.statistics import (
    BOUNDED,
    CONTRADICTED,
    HOLDS,
    UNDECIDED,
    holm,
    needed,
    paired_bootstrap,
    verdicts,
)


def drawn(mean, by_seed, by_hand, noise, seeds, hands, generator):
    """Differences of two methods: what a seed and a hand add, and the rest."""
    rng = np.random.default_rng(generator)
    return (mean + by_seed * rng.standard_normal((seeds, 1)) + by_hand * rng.standard_normal((1, hands))
            + noise * rng.standard_normal((seeds, hands)))  # fmt: skip


@pytest.mark.parametrize("by_seed, by_hand", [(0.02, 0.01), (0.0, 0.3), (0.01, 0.1)])
@pytest.mark.parametrize("seeds", [3, 10])
def test_intervals_hold_the_truth_as_often_as_they_say(by_seed, by_hand, seeds):
    """19 times in 20, whether seeds or hands are what moves the difference."""
    inside = 0
    for trial in range(200):
        differences = [drawn(0.05, by_seed, by_hand, 0.05, seeds, 150, trial)]
        effect = paired_bootstrap(differences, draws=400, seed=trial)
        inside += effect.low <= 0.05 <= effect.high
    assert 0.89 <= inside / 200 <= 1.0


def test_an_interval_is_the_plain_one_where_seeds_are_alike():
    differences = [np.tile(drawn(0.02, 0, 0.1, 0, 1, 400, 0), (5, 1))]
    effect = paired_bootstrap(differences)
    error = 1.96 * differences[0][0].std(ddof=1) / 20
    assert effect.mean == pytest.approx(differences[0].mean())
    assert effect.low == pytest.approx(effect.mean - error, abs=0.1 * error)
    assert effect.high == pytest.approx(effect.mean + error, abs=0.1 * error)


def test_an_effect_in_a_word():
    words = [paired_bootstrap([drawn(mean, 0.001, 0.05, 0.01, 3, 200, 0)]).word() for mean in (0.1, -0.1, 0.0)]
    assert words == ["helps", "hurts", "too close to tell"]


def test_test_sets_count_alike():
    large, small = np.full((3, 1000), 0.1), np.full((3, 10), 0.3)
    assert paired_bootstrap([large, small]).mean == pytest.approx(0.2)
    with pytest.raises(ValueError, match="the same ones on every test set"):
        paired_bootstrap([large, small[:2]])


def test_holm():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0] and holm([]) == []


@pytest.mark.parametrize("mean, by_hand, expected", [
    (0.05, 0.1, HOLDS), (-0.05, 0.1, CONTRADICTED), (0.001, 0.02, BOUNDED), (0.006, 0.01, BOUNDED),
    (0.004, 0.5, UNDECIDED),
])  # fmt: skip
def test_four_answers(mean, by_hand, expected):
    effect = paired_bootstrap([drawn(mean, 0.0005, by_hand, 0.01, 5, 1000, 1)])
    assert verdicts([effect]) == [expected]


@pytest.mark.parametrize("mean, by_hand, plain, same", [
    (-0.05, 0.1, CONTRADICTED, CONTRADICTED), (-0.008, 0.1, CONTRADICTED, UNDECIDED), (0.001, 0.02, BOUNDED, BOUNDED),
])  # fmt: skip
def test_a_claim_that_nothing_changes_is_contradicted_by_more_than_its_bound_alone(mean, by_hand, plain, same):
    differences = [drawn(mean, 0.0005, by_hand, 0.01, 5, 1000, 1)]
    assert verdicts([paired_bootstrap(differences)]) == [plain]
    assert verdicts([paired_bootstrap(differences, same=True)]) == [same]


def test_two_seeds_decide_nothing():
    assert verdicts([paired_bootstrap([drawn(0.3, 0.0, 0.01, 0.0, 2, 100, 0)])]) == [UNDECIDED]


@pytest.mark.parametrize("by_seed", [0.0, 1.0])
@pytest.mark.parametrize("seeds", [3, 5])
def test_many_claims_about_nothing_seldom_hold(by_seed, seeds):
    """Without Holm's correction one in twenty would, for each of the claims; whether seeds or hands are what moves."""
    families = 0
    for trial in range(40):
        effects = [paired_bootstrap([drawn(0, by_seed, 0.5, 0.1, seeds, 50, 1000 * trial + k)], draws=1000)
                   for k in range(12)]  # fmt: skip
        families += any(verdict in (HOLDS, CONTRADICTED) for verdict in verdicts(effects))
    assert families / 40 < 0.15


def test_more_is_needed_among_many_claims_and_less_for_a_large_difference():
    differences = [drawn(0.0, 0.01, 0.15, 0.02, 10, 2000, 3)]
    alone, among = needed(differences), needed(differences, claims=13)
    assert among[0] > alone[0] and among[1] > alone[1]
    large = needed([differences[0] + 0.1], claims=13)
    assert large[0] < among[0] / 50 and large[1] < among[1]


def test_what_is_needed_is_enough():
    """With as many hands and seeds as it says, a difference of δ is found four times out of five."""
    hands, seeds = needed([drawn(0, 0.01, 0.15, 0.02, 10, 2000, 3)])
    assert 2500 < hands < 6000 and 10 < seeds < 60
    found = 0
    for trial in range(60):
        effect = paired_bootstrap([drawn(0.01, 0.01, 0.15, 0.02, seeds, hands, trial)], draws=300, seed=trial)
        found += effect.low > 0
    assert 0.65 < found / 60 < 0.98
