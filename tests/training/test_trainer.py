import importlib
import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file
from trainers import SMALL, trainer_of

from handlib import DHPE, DHPEConfig
from handlib.data import CachedHands
from handlib.evaluation.evaluate import evaluate
from handlib.losses import LossWeights
from handlib.training.checkpoint import RunFolder, read_log
from handlib.training.train import Trainer, schedule, train

module = importlib.import_module("handlib.training.train")


def same(a, b) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


class Killed(Exception):
    pass


@pytest.mark.parametrize("steps", [2, 4])
def test_resumed_equals_uninterrupted(trained, tmp_path, monkeypatch, augmentation, steps):
    """To the last bit, wherever the run was killed: with averaged weights and a pool that grows."""
    config = replace(
        SMALL, average=0.9, augment_from=0, augment_every=2, augment_cap=20, feature_every=2, accumulate=2,
        save_minutes=0.0, log_steps=1,
    )  # fmt: skip
    whole = train(config, tmp_path / "whole", cache=trained.cache, progress=False)
    real, calls = Trainer.train_step, []

    def stop(*arguments):
        calls.append(None)
        if len(calls) > steps:
            raise Killed
        return real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "train_step", stop)
        with pytest.raises(Killed):
            train(config, tmp_path / "killed", cache=trained.cache, progress=False)
    resumed = train(config, tmp_path / "killed", cache=trained.cache, progress=False)
    assert same(whole.state_dict(), resumed.state_dict())
    logs = [read_log(tmp_path / name, steps=True) for name in ("whole", "killed")]
    for row in logs[0] + logs[1]:
        row.pop("minutes")
        row.pop("images_per_second", None)
    assert logs[0] == logs[1]
    states = [RunFolder(tmp_path / name).state() for name in ("whole", "killed")]
    assert same(states[0]["model"], states[1]["model"]) and states[0]["rows"] == states[1]["rows"] == 20


def test_accumulated_parts_equal_a_whole_batch(feed, tmp_path):
    """Where neither batch normalization nor the variance of F couples the images."""
    ends, loss = [], replace(SMALL.loss, feature_scaled=False)
    for parts in (1, 3):
        trainer = trainer_of(replace(SMALL, accumulate=parts, color_jitter=0.1, loss=loss), tmp_path)
        batch = next(feed(trainer.pool).batches([torch.arange(4)]))
        trainer.model.eval()
        terms = trainer.train_step(batch, 4, 1e-3, 4)
        ends.append((terms, [p.grad.clone() for p in trainer.model.parameters()]))
    for name, value in ends[0][0].items():
        assert torch.allclose(value, ends[1][0][name], rtol=1e-4), name
    for a, b in zip(ends[0][1], ends[1][1], strict=True):
        assert torch.allclose(a, b, rtol=1e-3, atol=1e-5)


def test_feature_loss_counts_in_every_second_step_twice(feed, tmp_path, monkeypatch):
    given = []
    real = module.dhpe_loss

    def spy(model, output, images, batch, weights):
        given.append(weights.feature)
        return real(model, output, images, batch, weights)

    monkeypatch.setattr(module, "dhpe_loss", spy)
    trainer = trainer_of(replace(SMALL, feature_every=2), tmp_path)
    row = trainer.run_epoch(feed(trainer.pool), False)
    weight = SMALL.loss.feature
    assert given == [2 * weight, 0, 2 * weight] and row["feature"] > 0


def test_what_a_step_does_depends_on_epoch_and_step_alone(feed, tmp_path):
    def loss(epoch, step):
        trainer = trainer_of(SMALL, tmp_path)
        trainer.epoch, trainer.step = epoch, step
        torch.rand(step + 5)
        batch = next(feed(trainer.pool).batches([torch.arange(4)]))
        return float(trainer.train_step(batch, 4, 0.0, 4)["loss"])

    assert loss(0, 1) == loss(0, 1) != loss(1, 0) != loss(0, 0)


@pytest.mark.parametrize("epochs", [0, 1])
def test_a_loss_that_is_no_number_stops_with_its_batch_saved(feed, tmp_path, monkeypatch, epochs):
    name = "heatmap_loss" if epochs else "dhpe_loss"
    real = getattr(module, name)

    def broken(*arguments):
        found = real(*arguments)
        return found * torch.nan if epochs else (found[0] * torch.nan, found[1] | {"loss": math.nan})

    monkeypatch.setattr(module, name, broken)
    trainer = trainer_of(replace(SMALL, evidence_epochs=epochs), tmp_path)
    before = {k: v.clone() for k, v in trainer.model.state_dict().items() if "running" not in k and "num_b" not in k}
    option = "--learning-rate" if epochs else "--joint-learning-rate"
    with pytest.raises(FloatingPointError, match=f"the loss became nan in epoch 1, step 1: lower {option}") as caught:
        trainer.run_epoch(feed(trainer.pool), False)
    path = tmp_path / "bad-batch.safetensors"
    assert str(path) in str(caught.value) and "--no-resume" in str(caught.value)
    saved, (indices, *_) = load_file(path), trainer.plan(10)
    assert torch.equal(saved["joints_px"], feed(trainer.pool).data.tensors["joints_px"][indices])
    assert {"image", "mask", "K"} <= saved.keys()
    assert all(torch.equal(value, trainer.model.state_dict()[key]) for key, value in before.items())


def test_an_estimate_that_is_no_number_stops_before_it_is_rendered(feed, tmp_path, monkeypatch):
    trainer = trainer_of(SMALL, tmp_path)
    trainer.model.regressor.estimate[-1].bias.data[0] = torch.inf
    monkeypatch.setattr(module, "dhpe_loss", None)  # would fail
    with pytest.raises(FloatingPointError, match=r"bad-batch\.safetensors"):
        trainer.run_epoch(feed(trainer.pool), False)
    assert (tmp_path / "bad-batch.safetensors").is_file()


def test_a_state_of_other_networks_is_refused(tmp_path):
    trainer = trainer_of(SMALL, tmp_path)
    trainer.save()
    state = trainer.folder.state()
    del state["model"]["regressor.start"]
    with pytest.raises(ValueError, match=r"state\.pt: does not fit the run's config.*--no-resume"):
        trainer.begin(state)


@pytest.mark.slow
def test_overfits_sixteen_images(feed, tmp_path):
    """To less than 2 mm. The farthest of the hands, which need fewest steps: the model's camera knows no perspective,
    and the best of all meshes of a near hand is up to 2.5 mm off."""
    weights = LossWeights(
        articulation=100.0, reprojection=30.0, refiner=1.0, heatmap=3.0, feature=0.0, laplacian=0.0, shape=0.0,
        shape_prior=0.0,
    )  # fmt: skip
    model = DHPEConfig(size=64, feature_width=4, features=128, pose_width=4, hidden=512)
    config = replace(SMALL, loss=weights, model=model, color_jitter=0.0, weight_decay=0.0, gradient_clip=10.0)
    trainer = trainer_of(config, tmp_path)
    tensors = feed(trainer.pool, 32).data.tensors
    far = tensors["joints_cam"][:, 9, 2].argsort(descending=True)[:16]
    data = CachedHands({name: value[far] for name, value in tensors.items()}, "far")
    trainer.model.train()
    for step in range(300):
        rate = 6e-3 * min((step + 1) / 20, 1.0, 0.02 + (300 - step) / 100)
        trainer.train_step(data.batch(torch.arange(16)), 16, rate, 16)
    assert evaluate(trainer.model.eval(), data, progress=False)["joints_root_mean_mm"] < 2


def test_schedule_rises_and_falls():
    factors = [schedule(step / 1000, 0.1) for step in range(1001)]
    assert 0 < factors[0] < 0.02
    assert factors[50] == pytest.approx(0.5, abs=0.02) and max(factors) == pytest.approx(1, abs=0.02)
    assert all(a <= b + 1e-9 for a, b in zip(factors[:100], factors[1:100], strict=False))
    assert all(a >= b for a, b in zip(factors[101:], factors[102:], strict=False))
    assert schedule(0.55, 0.1) == pytest.approx(0.5) and factors[-1] == pytest.approx(0)
    assert schedule(0.0, 0.0) == 1


@pytest.mark.parametrize("kind", [Trainer, DHPE], ids=["state", "model"])
@pytest.mark.parametrize("last", [False, True])
def test_killed_between_model_and_state(trained, tmp_path, monkeypatch, kind, last):
    """What is written last, of the first or the last epoch, is not: the model that a resumed run leaves is its own."""
    real, calls = kind.save, []

    def killed(self, *arguments, **named):
        calls.append(self.epoch if kind is Trainer else len(calls) + 1)
        if calls[-1] == (2 if last else 1):
            raise Killed
        return real(self, *arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(kind, "save", killed)
        with pytest.raises(Killed):
            train(SMALL, tmp_path, cache=trained.cache, progress=False)
    model = train(SMALL, tmp_path, cache=trained.cache, progress=False)
    kept = DHPE.from_pretrained(tmp_path / "model.safetensors")
    assert kept.provenance["epochs"] == "2" and same(kept.state_dict(), model.state_dict())


def test_where_both_rates_are_one_the_error_names_both(tmp_path):
    for epochs, options in ((0, "--learning-rate and --joint-learning-rate"), (1, "--learning-rate")):
        config = replace(SMALL, learning_rate=1e-3, joint_learning_rate=1e-3, evidence_epochs=epochs)
        assert f": lower {options}, then" in str(trainer_of(config, tmp_path).diverged({"image": torch.zeros(1)}))


def test_a_resumed_run_scales_losses_as_before(tmp_path):
    """With fp16, whose scale falls and rises; a state without one is resumed all the same."""
    scales = []
    for scale in (512.0, 1.0):
        trainer = trainer_of(SMALL, tmp_path)
        trainer.processes.accelerator = SimpleNamespace(scaler=torch.amp.GradScaler("cpu", init_scale=scale))
        if scale == 512:
            trainer.save()
            continue
        state = trainer.folder.state()
        trainer.begin(state)
        scales.append(trainer.processes.accelerator.scaler.get_scale())
        del state["scaler"]
        trainer.begin(state)
    assert scales == [512.0]
