"""The trainer of the baselines that are networks of their own."""

import importlib
import json
from dataclasses import replace
from functools import partial

import pytest
import torch

from handlib.experiments.baselines import BASELINES, best_learning_rate, train_network
from handlib.experiments.baselines.encoder_decoder import EncoderDecoder
from handlib.experiments.baselines.handsegnet import HandSegNet
from handlib.experiments.baselines.zimmermann import Zimmermann
from handlib.losses import LossWeights
from handlib.training.train import Trainer, preset, read_log

training = importlib.import_module("handlib.experiments.baselines.training")
SMALL = preset("smoke").model


def encoder_decoder(config, folder, options):
    return train_network(lambda: EncoderDecoder(64, 4), config, folder, options)


def test_a_run_is_a_folder(tmp_path, options):
    encoder_decoder(preset("smoke"), tmp_path, options)
    assert {path.name for path in tmp_path.iterdir()} == {"config.json", "log.jsonl", "state.pt"}
    assert json.loads((tmp_path / "config.json").read_text())["network"] == "EncoderDecoder"
    rows = read_log(tmp_path)
    assert [row["epoch"] for row in rows] == [1, 2] and all("val_mean_iou" in row for row in rows)


@pytest.mark.parametrize(
    "owner, where, make",
    [
        (Trainer, "run_epoch", lambda: EncoderDecoder(64, 4)),
        (training, "measure", lambda: Zimmermann(SMALL, LossWeights())),
    ],
)
def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path, options, monkeypatch, owner, where, make):
    whole = train_network(make, preset("smoke"), tmp_path / "whole", options)
    real, calls = getattr(owner, where), []

    def stop(*arguments, **named):
        calls.append(None)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(owner, where, stop)
        with pytest.raises(KeyboardInterrupt):
            train_network(make, preset("smoke"), tmp_path / "cut", options)
    assert len(read_log(tmp_path / "cut")) == 1
    resumed = train_network(make, preset("smoke"), tmp_path / "cut", options)
    for (name, a), b in zip(whole.state_dict().items(), resumed.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    rows, wanted = read_log(tmp_path / "cut"), read_log(tmp_path / "whole")
    for row in rows + wanted:
        row.pop("minutes")
        row.pop("images_per_second")
    assert rows == wanted


def test_a_finished_run_is_loaded_and_another_refused(tmp_path, options, monkeypatch):
    first = encoder_decoder(preset("smoke"), tmp_path, options)
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "run_epoch", None)  # would fail
        again = encoder_decoder(preset("smoke"), tmp_path, options)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    other = preset("smoke", learning_rate=1e-4)
    with pytest.raises(ValueError, match="holds a run of another config"):
        encoder_decoder(other, tmp_path, options)
    with pytest.raises(ValueError, match="holds a run of another config"):
        train_network(lambda: HandSegNet(64, 4), preset("smoke"), tmp_path, options)
    encoder_decoder(replace(other, epochs=1), tmp_path, replace(options, resume=False))
    assert len(read_log(tmp_path)) == 1


def test_seed_decides(tmp_path, options):
    runs = [
        encoder_decoder(preset("smoke", epochs=1, seed=seed), tmp_path / str(n), options)
        for n, seed in enumerate((1, 1, 2))
    ]
    same = [all(torch.equal(a, b) for a, b in zip(runs[0].parameters(), r.parameters(), strict=True)) for r in runs]
    assert same == [True, True, False]


def test_divergence_says_what_to_do(tmp_path, options):
    config = preset("smoke", learning_rate=1e25, gradient_clip=1e25, warmup=0.0, epochs=8)
    with pytest.raises(FloatingPointError, match="training diverged.*lower --learning-rate"):
        encoder_decoder(config, tmp_path, options)


def test_configs_that_cannot_be_trained(tmp_path, options):
    for wrong in ({"batch_size": 1}, {"images": 1}, {"epochs": 0}):
        with pytest.raises(ValueError, match="must be"):
            encoder_decoder(preset("smoke", **wrong), tmp_path, options)


def test_best_learning_rate_is_that_of_the_best_run(tmp_path, options):
    config = preset("smoke", epochs=2)
    factors = (1e-6, 3.0)
    best = best_learning_rate(partial(encoder_decoder, options=options), config, tmp_path, factors)
    ends = {f: read_log(tmp_path / f"rate-times-{f:g}")[-1]["val_mean_iou"] for f in factors}
    chosen = max(ends, key=ends.get)
    assert best == replace(
        config,
        learning_rate=config.learning_rate * chosen,
        joint_learning_rate=config.joint_learning_rate * chosen,
    )


def test_best_learning_rate_goes_by_joints_where_there_are_some(tmp_path, options):
    config = preset("smoke", epochs=3)
    fit = partial(BASELINES["zimmermann"].fit, options=options)
    best = best_learning_rate(fit, config, tmp_path, (1e-6, 1.0))
    ends = {f: read_log(tmp_path / f"rate-times-{f:g}")[-1]["val_joints_root_mean_mm"] for f in (1e-6, 1.0)}
    assert best.learning_rate == config.learning_rate * min(ends, key=ends.get)


def test_a_method_without_joints_is_not_chosen_by_masks_that_are_not_there(tmp_path):
    def fit(run, folder):
        folder.mkdir()
        (folder / "log.jsonl").write_text('{"epoch": 1}\n')

    with pytest.raises(ValueError, match="no masks to choose by: name a data set with masks first in --data"):
        best_learning_rate(fit, preset("smoke"), tmp_path, (1.0,))


def test_a_rate_that_diverges_is_out(tmp_path, options):
    """The others are still compared; only when all diverge is it an error."""
    real, config = BASELINES["encoder-decoder"].fit, preset("smoke", epochs=1)

    def fit(run, folder):
        if run.learning_rate > 2 * config.learning_rate:
            raise FloatingPointError("training diverged")
        return real(run, folder, options)

    assert best_learning_rate(fit, config, tmp_path, (3.0, 1.0)) == config
    with pytest.raises(FloatingPointError, match="diverged"):
        best_learning_rate(fit, config, tmp_path, (3.0, 9.0))
