"""Rendered hands of a test split, in place of those that a smoke run trains on."""

import pytest

from handlib.data import HandSample, SyntheticHands

SIZE = 48  # pixels; tests that count pixels name it, too


@pytest.fixture(scope="module")
def data(hand) -> SyntheticHands:
    return SyntheticHands("diverse", SIZE, 40, hand=hand)


@pytest.fixture(scope="module")
def samples(data) -> list[HandSample]:
    return [data[i] for i in range(12)]
