"""What trainers are fed in tests."""

import sys
from types import SimpleNamespace

import pytest
from trainers import recolored

from handlib.data import CachedHands, SyntheticHands
from handlib.training.feed import Feed


@pytest.fixture(scope="module")
def feed(trained):
    data = CachedHands.make(SyntheticHands("train", 64, 32), folder=trained.cache, progress=False)
    return lambda pool, n=10: _of(data, pool, n)


def _of(data, pool, n):
    return Feed(CachedHands({key: value[:n] for key, value in data.tensors.items()}, "few"), "memory", pool)


@pytest.fixture
def augmentation(monkeypatch):
    monkeypatch.setitem(sys.modules, "handlib.augmentation", SimpleNamespace(augment=recolored))
