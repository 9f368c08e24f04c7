"""What a trainer does as one of two processes."""

import importlib
from dataclasses import replace

import pytest
import torch
from trainers import SMALL, trainer_of

module = importlib.import_module("handlib.training.train")


def as_one_of_two(trainer, index, monkeypatch):
    """Makes a trainer think that it is one of two processes, which never hears of the other."""
    processes = trainer.processes
    processes.count, processes.index = 2, index
    monkeypatch.setattr(processes, "sum", lambda value: value)
    monkeypatch.setattr(processes, "reduce_gradients", lambda _: None)


def test_every_process_accumulates_as_many_parts(feed, tmp_path, monkeypatch):
    """Also where their shares differ by one: 3 and 2 of 5."""
    counts = []
    for index in range(2):
        trainer = trainer_of(replace(SMALL, accumulate=4), tmp_path)
        as_one_of_two(trainer, index, monkeypatch)
        real, parts = trainer.objective, []
        trainer.objective = lambda *given, real=real, parts=parts: parts.append(len(given[1])) or real(*given)
        batch = next(feed(trainer.pool).batches([trainer.processes.share(torch.arange(5))]))
        trainer.train_step(batch, 5, 1e-3, 5)
        counts.append(parts)
    assert [len(parts) for parts in counts] == [2, 2] and [sum(parts) for parts in counts] == [3, 2]


@pytest.mark.parametrize("count", [1, 2])
def test_every_process_has_masks(feed, tmp_path, monkeypatch, count):
    """Unknown ones for a share without any, or it alone would leave out the second pass of F."""
    given, real = [], module.dhpe_loss
    monkeypatch.setattr(module, "dhpe_loss", lambda *inputs: given.append(inputs[3]) or real(*inputs))
    trainer = trainer_of(SMALL, tmp_path)
    if count == 2:
        as_one_of_two(trainer, 0, monkeypatch)
    batch = next(feed(trainer.pool).batches([torch.arange(4)]))
    del batch["mask"]
    terms = trainer.train_step(batch, 4 * count, 1e-3, 4 * count)
    assert ("mask" in given[0]) == (count == 2) and terms["shape"] == terms["feature"] == 0
    assert all(parameter.isfinite().all() for parameter in trainer.model.parameters())
