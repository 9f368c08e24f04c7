import math

import torch

from handlib.data.synthetic.draws import Draws, mix


def test_a_number_depends_on_key_index_and_column_alone():
    batch, alone = Draws("a", torch.tensor([3, 70000, 5])), Draws("a", torch.tensor([70000]))
    for shape in ((), (2, 3), (500,)):  # the last one crosses blocks
        assert torch.equal(batch.uniform(*shape)[1], alone.uniform(*shape)[0])
    assert torch.equal(batch.normal(4)[1], alone.normal(4)[0])


def test_other_keys_and_indices_give_other_numbers():
    rows = torch.cat([Draws(key, torch.arange(50)).uniform(40) for key in ("a", "b", "a ", "ab")])
    assert len(rows.flatten().unique()) > 0.999 * rows.numel()


def test_the_global_generator_is_left_alone():
    before = torch.get_rng_state()
    Draws("a", torch.arange(3)).normal(5)
    assert torch.equal(torch.get_rng_state(), before)


def test_uniform_fills_its_range_evenly():
    x = Draws("u", torch.arange(2000)).uniform(50, low=-1.0, high=3.0)
    assert -1 <= x.min() and x.max() < 3
    counts = torch.histc(x, 40, -1, 3)
    assert ((counts - 2500).abs() < 5 * math.sqrt(2500)).all()
    # Neither rows nor columns go together.
    for pairs in (x.T, x):
        correlation = torch.corrcoef(pairs[:40])
        assert (correlation - torch.eye(40)).abs().max() < 5 / math.sqrt(pairs.shape[1])


def test_normal():
    x = Draws("n", torch.arange(4000)).normal(10)
    assert abs(float(x.mean())) < 0.02 and abs(float(x.std()) - 1) < 0.02 and torch.isfinite(x).all()
    assert abs(float((x.abs() < 1).float().mean()) - 0.6827) < 0.01


def test_integers_and_chances():
    draws = Draws("i", torch.arange(5000))
    assert torch.bincount(draws.integer(7), minlength=7).min() > 600 and draws.integer(3, 2).max() == 2
    assert abs(float(draws.chance(0.2).float().mean()) - 0.2) < 0.02
    assert not draws.chance(0.0).any()


def test_mix_is_that_of_32_bit_words():
    """The same in Python's whole numbers, which do not overflow."""
    for x in (0, 1, 12345, 2**31, 2**32 - 1):
        y = x ^ (x >> 16)
        y = (y * 0x7FEB352D) % 2**32
        y ^= y >> 15
        y = (y * 0x846CA68B) % 2**32
        assert int(mix(torch.tensor(x))) == y ^ (y >> 16)
