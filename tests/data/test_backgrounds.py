import pytest
import torch

from handlib.data import BuiltinBackgrounds, backgrounds
from handlib.data.synthetic.backdrop import Backdrops
from handlib.data.synthetic.draws import Draws


def test_a_backdrop_is_a_samples_own():
    make = Backdrops(BuiltinBackgrounds("val"))
    both, alone = make(Draws("b", torch.tensor([4, 7])), 24), make(Draws("b", torch.tensor([7])), 24)
    assert both.shape == (2, 3, 24, 24) and both.min() >= 0 and torch.isfinite(both).all()
    torch.testing.assert_close(both[1:], alone)
    assert not torch.equal(both[0], both[1])


def test_large_sources_are_read_a_few_at_a_time(monkeypatch):
    read = []

    class Many:
        name = "many"

        def __len__(self):
            return 1000

        def photograph(self, index):
            read.append(index)
            return torch.full((3, 30, 20), index % 256, dtype=torch.uint8)

    monkeypatch.setattr("handlib.data.synthetic.backdrop.PHOTOGRAPHS", 5)
    make = Backdrops(Many())
    for k in range(10):
        make(Draws("m", torch.tensor([k])), 8)
    assert len(set(read)) > 10 and len(make._squares) <= 5


def test_splits_share_no_photograph():
    photographs = [BuiltinBackgrounds(split) for split in ("train", "val", "test")]
    seen = [(p.shape, int(p.long().sum())) for split in photographs for p in map(split.photograph, range(len(split)))]
    assert len(seen) == len(set(seen)) > 6


def test_unknown_background_split():
    with pytest.raises(ValueError, match="unknown split 'diverse': choose one of train, val, test"):
        BuiltinBackgrounds("diverse")


def test_photographs_that_are_not_installed(monkeypatch):
    backgrounds._read.cache_clear()
    monkeypatch.setattr(backgrounds.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(
        ModuleNotFoundError, match=r"scikit-learn, which is not installed: pip install 'handlib\[train\]'"
    ):
        BuiltinBackgrounds("val")
