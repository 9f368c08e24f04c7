import importlib
import json
import math
import shutil
from dataclasses import asdict, replace

import pytest
import torch

from handlib import DHPE
from handlib.data import CachedHands, SyntheticHands
from handlib.lifting import pretrain_regressor
from handlib.train import PROFILES, jitter_colors, preset, read_log, schedule, train

module = importlib.import_module("handlib.train")


@pytest.fixture
def copy(trained, tmp_path):
    """A copy of the finished run that may be changed."""
    return shutil.copytree(trained.folder, tmp_path / "copy")


def weights(model) -> dict[str, torch.Tensor]:
    return model.state_dict()


def same(a, b) -> bool:
    a, b = weights(a), weights(b)
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def test_a_run_is_a_folder(trained):
    assert {"config.json", "log.jsonl", "state.pt", "model.safetensors"} == {p.name for p in trained.folder.iterdir()}
    config = json.loads((trained.folder / "config.json").read_text())
    assert config == json.loads(json.dumps(asdict(preset("smoke"))))
    assert not trained.model.training


def test_log_has_one_row_an_epoch(trained):
    rows = read_log(trained.folder)
    assert [row["epoch"] for row in rows] == [1, 2]
    for row in rows:
        assert {"minutes", "loss", "heatmap", "articulation", "val_joints_root_mean_mm", "val_mean_iou"} <= row.keys()
        assert all(math.isfinite(value) for value in row.values())


def test_checkpoint_is_the_returned_model(trained, batch):
    read = DHPE.from_pretrained(trained.checkpoint)
    assert torch.equal(read(batch["image"]).vertices, trained.model(batch["image"]).vertices)
    assert json.loads(read.provenance["train"])["profile"] == "smoke"
    assert read.provenance["epochs"] == "2"


def interrupted(trained, folder, monkeypatch, where):
    """A run of the same config that Ctrl-C ends in its second epoch."""
    real, calls = getattr(module, where), []

    def stop(*arguments, **options):
        calls.append(None)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(module, where, stop)
        with pytest.raises(KeyboardInterrupt):
            train(preset("smoke"), folder, cache=trained.cache, progress=False)


@pytest.mark.parametrize("where", ["_epoch", "evaluate"])
def test_a_resumed_run_equals_an_uninterrupted_one(trained, tmp_path, monkeypatch, where):
    interrupted(trained, tmp_path, monkeypatch, where)
    assert len(read_log(tmp_path)) == 1
    with open(tmp_path / "log.jsonl", "a") as log:  # the line of an epoch whose state was never written
        log.write('{"epoch": 2}\n')
    resumed = train(preset("smoke"), tmp_path, cache=trained.cache, progress=False)
    assert same(resumed, trained.model)
    rows, wanted = read_log(tmp_path), read_log(trained.folder)
    for row in rows + wanted:
        row.pop("minutes")
    assert rows == wanted


def test_a_finished_run_is_loaded_not_repeated(trained, copy, monkeypatch):
    monkeypatch.setattr(module, "SyntheticHands", None)  # would fail
    assert same(train(preset("smoke"), copy, progress=False), trained.model)
    assert len(read_log(copy)) == 2


def test_a_checkpoint_that_was_never_written_is_written(trained, copy):
    """The run stopped between the last state and its model.safetensors."""
    (copy / "model.safetensors").unlink()
    train(preset("smoke"), copy, cache=trained.cache, progress=False)
    assert (copy / "model.safetensors").is_file()


def test_anew_overwrites(trained, copy):
    config = preset("smoke", epochs=1, images=4, val_images=2, batch_size=2)
    train(config, copy, resume=False, progress=False)
    assert [row["epoch"] for row in read_log(copy)] == [1]


def test_another_config_in_the_same_folder_is_refused(copy):
    before = (copy / "state.pt").read_bytes()
    with pytest.raises(ValueError, match="holds a run of another config: choose another folder, or --no-resume"):
        train(preset("smoke", learning_rate=1e-4), copy, progress=False)
    assert (copy / "state.pt").read_bytes() == before and len(read_log(copy)) == 2


@pytest.mark.parametrize("name", ["state.pt", "config.json"])
@pytest.mark.parametrize("keep", [0, 50])
def test_a_damaged_run_says_what_to_do(copy, name, keep):
    (copy / name).write_bytes((copy / name).read_bytes()[:keep])
    with pytest.raises(ValueError, match=rf"{name}.*--no-resume") as caught:
        train(preset("smoke"), copy, progress=False)
    assert "\n" not in str(caught.value)


def test_a_run_without_its_config_says_what_to_do(copy):
    (copy / "config.json").unlink()
    with pytest.raises((ValueError, OSError), match="config.json"):
        train(preset("smoke"), copy, progress=False)


def test_nan_loss_stops_the_run(trained, tmp_path, monkeypatch):
    real = module.dhpe_loss
    monkeypatch.setattr(
        module, "dhpe_loss", lambda *arguments: (lambda loss, log: (loss * torch.nan, log))(*real(*arguments))
    )
    with pytest.raises(FloatingPointError, match="the loss became nan in epoch 1, step 1.*lower --joint-learning-rate"):
        train(preset("smoke"), tmp_path, cache=trained.cache, progress=False)


def test_a_run_that_diverges_says_what_to_do(trained, tmp_path):
    config = preset("smoke", joint_learning_rate=1e12, warmup=0.0, gradient_clip=1e12, epochs=4)
    with pytest.raises(FloatingPointError, match="learning-rate"):
        train(config, tmp_path, cache=trained.cache, progress=False)


def test_overfits_a_few_images(trained):
    """One step an epoch, always on the same pictures."""
    data = CachedHands.make(SyntheticHands("train", 64, 32), folder=trained.cache, progress=False)
    few = CachedHands({key: value[:8] for key, value in data.tensors.items()}, "few")
    config = preset("smoke", epochs=40, color_jitter=0.0, joint_learning_rate=3e-3)
    torch.manual_seed(0)
    model = DHPE(config.model)
    optimizer = torch.optim.AdamW(model.parameters())
    rows = [module._epoch(model, optimizer, few, config, epoch, progress=False) for epoch in range(config.epochs)]
    for term in ("loss", "heatmap", "articulation"):
        assert rows[-1][term] < 0.7 * rows[0][term], term


def test_seed_decides(trained, tmp_path):
    config = preset("smoke", epochs=1, images=8, val_images=2, batch_size=4)
    models = [
        train(replace(config, seed=seed), tmp_path / str(n), cache=tmp_path / "cache", progress=False)
        for n, seed in enumerate((1, 1, 2))
    ]
    assert same(models[0], models[1]) and not same(models[0], models[2])


def test_presets():
    assert preset("laptop") == PROFILES["laptop"]
    assert preset("smoke", epochs=7) == replace(PROFILES["smoke"], epochs=7)
    with pytest.raises(ValueError, match="unknown profile 'huge': choose one of smoke, laptop"):
        preset("huge")


def test_schedule_rises_and_falls():
    factors = [schedule(step / 1000, 0.1) for step in range(1001)]
    assert 0 < factors[0] < 0.02
    assert factors[50] == pytest.approx(0.5, abs=0.02) and max(factors) == pytest.approx(1, abs=0.02)
    assert all(a <= b + 1e-9 for a, b in zip(factors[:100], factors[1:100], strict=False))
    assert all(a >= b for a, b in zip(factors[101:], factors[102:], strict=False))
    assert schedule(0.55, 0.1) == pytest.approx(0.5) and factors[-1] == pytest.approx(0)
    assert schedule(0.0, 0.0) == 1


def test_jitter_is_one_gain_and_offset_a_channel(generator):
    images = 0.3 + 0.4 * torch.rand(6, 3, 8, 8, generator=generator)
    found = jitter_colors(images, 0.1, generator)
    assert found.min() >= 0 and found.max() <= 1
    for before, after in zip(images.flatten(0, 1), found.flatten(0, 1), strict=True):
        x, y = before.flatten(), after.flatten()
        inside = (y > 0) & (y < 1)
        design = torch.stack([x[inside], torch.ones(int(inside.sum()))], 1)
        line = torch.linalg.lstsq(design, y[inside, None]).solution
        assert (design @ line - y[inside, None]).abs().max() < 1e-4
    assert (found - images).abs().max() > 0.01
    assert torch.equal(jitter_colors(images, 0.0, generator), images)


def test_evidence_epochs_train_the_pose_network_alone(tmp_path, trained, batch):
    """Up to the first joint epoch, which then changes everything."""
    stopped = tmp_path / "run"

    def stop_at_joint(*_):
        raise KeyboardInterrupt

    config = preset("smoke", epochs=2, evidence_epochs=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_joint_loss", stop_at_joint)
        with pytest.raises(KeyboardInterrupt):
            train(config, stopped, cache=trained.cache, progress=False)
    after = torch.load(stopped / "state.pt", weights_only=True)["model"]
    torch.manual_seed(config.seed)
    before = DHPE(config.model)
    pretrain_regressor(before, config.lifting_steps, config.loss, seed=config.seed, progress=False)
    changed = {name.split(".")[0] for name, value in before.state_dict().items() if not torch.equal(value, after[name])}
    assert changed == {"pose_network"}
    assert read_log(stopped)[0]["heatmap"] > 0


def test_a_regressor_that_would_never_see_a_picture_is_refused(tmp_path):
    with pytest.raises(ValueError, match="epochs must be more than evidence_epochs"):
        train(preset("smoke", epochs=2, evidence_epochs=2), tmp_path / "run", progress=False)
