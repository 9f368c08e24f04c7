"""Augmented instances join the training set."""

import sys
from dataclasses import replace
from types import SimpleNamespace

import torch
from trainers import SMALL, recolored, trainer_of

from handlib.training.checkpoint import read_log
from handlib.training.train import train


def test_instances_join_the_training_set(feed, tmp_path, augmentation):
    config = replace(SMALL, augment_from=1, augment_cap=17, epochs=9)
    trainer = trainer_of(config, tmp_path)
    fed = feed(trainer.pool)
    assert trainer.run_epoch(fed, False)["pool"] == 0
    seen = []
    for wanted in (10, 10, 27):  # what an epoch trains on is settled when it begins
        trainer.pool_at_start = len(trainer.pool)
        seen.append(sum(map(len, trainer.plan(len(fed)))))
        assert seen[-1] == wanted if len(seen) != 2 else seen[-1] >= 10
        trainer.run_epoch(fed, False)
        if len(seen) == 1:
            assert len(trainer.pool) == 17
    assert len(trainer.pool) == 17


def test_rows_of_the_pool_are_no_seeds(feed, tmp_path, monkeypatch, augmentation):
    counts = []

    def count(model, output, images, batch, generator, backgrounds=None):
        counts.append(len(images))
        return recolored(model, output, images, batch, generator)

    monkeypatch.setitem(sys.modules, "handlib.augmentation", SimpleNamespace(augment=count))
    trainer = trainer_of(replace(SMALL, augment_from=0, augment_cap=1000, batch_size=5), tmp_path)
    fed = feed(trainer.pool)
    trainer.run_epoch(fed, False)
    trainer.run_epoch(fed, False)
    assert sum(counts) == 20  # the ten images, twice; not the thirty rows


def test_seeds_wear_the_colors_of_the_image(trained, tmp_path, feed, monkeypatch):
    """Not those that jitter gave it for this step: what is drawn from the pool gets jitter of its own."""
    seen = []

    def recorded(model, output, images, batch, generator, backgrounds=None):
        seen.append(images)
        return recolored(model, output, images, batch, generator)

    monkeypatch.setitem(sys.modules, "handlib.augmentation", SimpleNamespace(augment=recorded))
    trainer = trainer_of(replace(SMALL, augment_from=0, color_jitter=1.0), tmp_path)
    fed = feed(trainer.pool)
    trainer.run_epoch(fed, progress=False)
    images = fed.data.batch(torch.arange(10))["image"]
    assert seen and all((image == images).flatten(1).all(1).any() for batch in seen for image in batch)


def test_parts_of_a_batch_are_augmented_in_their_own_ways(feed, tmp_path, monkeypatch):
    seeds = []

    def seen(model, output, images, batch, generator, backgrounds=None):
        seeds.append(generator.initial_seed())
        return recolored(model, output, images, batch, generator)

    monkeypatch.setitem(sys.modules, "handlib.augmentation", SimpleNamespace(augment=seen))
    for parts in (1, 3):
        trainer = trainer_of(replace(SMALL, augment_from=0, accumulate=parts), tmp_path)
        trainer.train_step(next(feed(trainer.pool).batches([torch.arange(4)])), 4, 1e-3, 4)
    assert len(seeds) == 4 and len(set(seeds)) == 3 and seeds[0] == seeds[1]


def test_augments_in_half_precision(trained, tmp_path):
    config = replace(SMALL, epochs=1, precision="bf16", augment_from=0)
    train(config, tmp_path, cache=trained.cache, progress=False)
    assert read_log(tmp_path)[0]["val_joints_root_mean_mm"] > 0
