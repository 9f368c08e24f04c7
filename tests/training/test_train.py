import importlib
import json
import math
import shutil
from dataclasses import asdict, replace

import pytest
import torch
from filelock import FileLock

from handlib import DHPE, DHPEConfig
from handlib.data import SyntheticHands
from handlib.data.crop import Crop
from handlib.evaluation.feature_controls import verdict_on_features
from handlib.support.locks import alone_in
from handlib.training.checkpoint import RunFolder
from handlib.training.first_weights import warm_start
from handlib.training.lifting import pretrain_regressor
from handlib.training.train import preset, read_log, train

module = importlib.import_module("handlib.training.train")


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
    files = {p.name for p in trained.folder.iterdir()} - {".training"}  # an empty file to lock; some systems leave none
    assert files == {"config.json", "log.jsonl", "state.pt", "model.safetensors"}
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


def test_card_says_whether_f_matters(trained):
    last = read_log(trained.folder)[-1]
    assert {"val_feature_ratio", "val_shuffled_features_mm"} <= last.keys()
    note = DHPE.from_pretrained(trained.checkpoint).provenance["features"]
    assert note == verdict_on_features(last["val_shuffled_features_mm"], last["val_joints_root_mean_mm"])


def interrupted(trained, folder, monkeypatch, owner, name):
    """A run of the same config that Ctrl-C ends in its second epoch."""
    real, calls = getattr(owner, name), []

    def stop(*arguments, **options):
        calls.append(None)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, stop)
        with pytest.raises(KeyboardInterrupt):
            train(preset("smoke"), folder, cache=trained.cache, progress=False)


@pytest.mark.parametrize("owner, name", [(module.Trainer, "run_epoch"), (module, "evaluate")])
def test_a_resumed_run_equals_an_uninterrupted_one(trained, tmp_path, monkeypatch, owner, name):
    interrupted(trained, tmp_path, monkeypatch, owner, name)
    assert len(read_log(tmp_path)) == 1
    with open(tmp_path / "log.jsonl", "a") as log:  # the line of an epoch whose state was never written
        log.write('{"epoch": 2}\n')
    resumed = train(preset("smoke"), tmp_path, cache=trained.cache, progress=False)
    assert same(resumed, trained.model)
    rows, wanted = read_log(tmp_path), read_log(trained.folder)
    for row in rows + wanted:
        row.pop("minutes")
        row.pop("images_per_second")
    assert rows == wanted


def test_a_finished_run_is_loaded_not_repeated(trained, copy, monkeypatch):
    monkeypatch.setattr(module, "open_feed", None)  # would fail
    assert same(train(preset("smoke"), copy, progress=False), trained.model)
    assert len(read_log(copy)) == 2


@pytest.mark.parametrize("left", ["nothing", "half of it", "another model", "the model"])
def test_a_finished_run_has_its_model(trained, copy, left):
    """Whatever a disk that lost power kept of it; a whole one is left alone."""
    path = copy / "model.safetensors"
    whole, before = path.read_bytes(), path.stat().st_mtime_ns
    if left == "nothing":
        path.unlink()
    elif left == "half of it":
        path.write_bytes(whole[: len(whole) // 2])
    elif left == "another model":
        DHPE(preset("smoke").model).save(path)
    train(preset("smoke"), copy, cache=trained.cache, progress=False)
    assert path.read_bytes() == whole
    assert (path.stat().st_mtime_ns == before) == (left == "the model")


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


def test_a_run_that_diverges_says_what_to_do(trained, tmp_path):
    config = preset("smoke", joint_learning_rate=1e12, warmup=0.0, gradient_clip=1e12, epochs=4)
    with pytest.raises(FloatingPointError, match="learning-rate"):
        train(config, tmp_path, cache=trained.cache, progress=False)


def test_seed_decides(trained, tmp_path):
    config = preset("smoke", epochs=1, images=8, val_images=2, batch_size=4)
    models = [
        train(replace(config, seed=seed), tmp_path / str(n), cache=tmp_path / "cache", progress=False)
        for n, seed in enumerate((1, 1, 2))
    ]
    assert same(models[0], models[1]) and not same(models[0], models[2])


def test_evidence_epochs_train_the_pose_network_alone(tmp_path, trained, batch):
    """Up to the first joint epoch, which then changes everything."""
    stopped = tmp_path / "run"

    def stop_at_joint(*_):
        raise KeyboardInterrupt

    config = preset("smoke", epochs=2, evidence_epochs=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("handlib.training.train.dhpe_loss", stop_at_joint)
        with pytest.raises(KeyboardInterrupt):
            train(config, stopped, cache=trained.cache, progress=False)
    after = torch.load(stopped / "state.pt", weights_only=True)["model"]
    torch.manual_seed(config.seed)
    before = DHPE(config.model)
    pretrain_regressor(before, config.lifting_steps, config.loss, seed=config.seed, progress=False)
    values = before.state_dict()
    changed = {name.split(".")[0] for name, value in after.items() if not torch.equal(value, values[name])}
    assert changed == {"pose_network"}
    assert read_log(stopped)[0]["heatmap"] > 0


def test_a_regressor_that_would_never_see_a_picture_is_refused(tmp_path):
    with pytest.raises(ValueError, match="epochs must be more than evidence_epochs"):
        train(preset("smoke", epochs=2, evidence_epochs=2), tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


def test_warm_start(trained, tmp_path):
    """From the weights of the checkpoint, without lifting, and it is written down."""
    config = preset("smoke", init=str(trained.checkpoint), epochs=1, joint_learning_rate=0.0, weight_decay=0.0)
    model = train(config, tmp_path, cache=trained.cache, progress=False)
    parent = DHPE.from_pretrained(trained.checkpoint)
    mine, theirs = dict(model.named_parameters()), dict(parent.named_parameters())
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    origin = json.loads(DHPE.from_pretrained(tmp_path / "model.safetensors").provenance["init"])
    assert origin["name"] == str(trained.checkpoint) and len(origin["sha256"]) == 64
    assert json.loads(origin["provenance"]["train"])["epochs"] == 2
    assert json.loads((tmp_path / "config.json").read_text())["init"] == str(trained.checkpoint)


def test_lite_can_be_trained_further():
    model = DHPE(DHPEConfig())
    assert json.loads(warm_start(model, "lite"))["name"] == "lite"
    assert same(model, DHPE.from_pretrained("lite"))


def test_a_warm_start_of_other_networks_is_refused(trained, tmp_path):
    config = preset("smoke", init=str(trained.checkpoint), model=replace(preset("smoke").model, hidden=16))
    with pytest.raises(ValueError, match="its config has hidden=32, the run's 16: .*--hidden"):
        train(config, tmp_path, progress=False)
    with pytest.raises(FileNotFoundError, match="no checkpoint at"):
        train(preset("smoke", init=str(tmp_path / "none")), tmp_path, progress=False)


def test_one_training_a_folder(tmp_path):
    """A second one would delete what the first has made, as two notebooks of one checkout could."""
    with alone_in(tmp_path, ".training"), pytest.raises(ValueError, match="another process is training in"):
        train(preset("smoke"), tmp_path, resume=False, progress=False)
    assert {path.name for path in tmp_path.iterdir()} <= {".training"}


def test_a_disk_without_locks(tmp_path, monkeypatch):
    monkeypatch.setattr(FileLock, "acquire", lambda *_, **__: (_ for _ in ()).throw(NotImplementedError("no flock")))
    with pytest.warns(UserWarning, match="does not support locks: run only one process there"), alone_in(tmp_path):
        (tmp_path / "work").write_text("done")


def test_each_epoch_is_told(trained, tmp_path):
    seen = []
    train(
        preset("smoke"), tmp_path, cache=trained.cache, progress=False,
        each_epoch=lambda: seen.append(len(read_log(tmp_path))),
    )  # fmt: skip
    assert seen == [1, 2]


def test_other_data_are_opened_by_their_spec(trained, tmp_path, monkeypatch):
    """Real pictures, here in the form of a data set that is not synthetic, beside synthetic ones."""
    asked, opened = [], []

    def open_spec(spec, split, **options):
        asked.append((spec, split, options["size"]))
        data = torch.utils.data.Subset(SyntheticHands("val", options["size"], 6, seed=9), range(6))
        data.name, data.rule = spec, Crop()
        opened.append(data)
        return data

    monkeypatch.setattr("handlib.training.feed.open_spec", open_spec)
    config = preset(
        "smoke",
        data=("rhd:here", "synthetic"),
        val_data=("rhd:here",),
        val_images=3,
        images=4,
        epochs=1,
        feed="workers",
    )
    train(config, tmp_path, cache=trained.cache, progress=False)
    assert asked == [("rhd:here", "train", 64), ("rhd:here", "test", 64)]
    assert [data.rule.jitter for data in opened] == [config.crop_jitter, 0]  # validation is on crops as they are
    assert read_log(tmp_path)[0]["val_joints_root_mean_mm"] > 0


def test_j2d_of_a_checkpoint(trained, tmp_path):
    """J2D is the checkpoint's, and so are the layers that F has in common with it; all else is the run's own."""
    frozen = {"epochs": 1, "joint_learning_rate": 0.0, "weight_decay": 0.0}
    config = preset("smoke", init_pose=str(trained.checkpoint), **frozen)
    model = train(config, tmp_path / "a", cache=trained.cache, progress=False)
    alone = train(preset("smoke", **frozen), tmp_path / "b", cache=trained.cache, progress=False)
    parent, own = (dict(m.named_parameters()) for m in (DHPE.from_pretrained(trained.checkpoint), alone))
    for name, value in model.named_parameters():
        twin = parent.get(name.replace("feature_extractor", "pose_network"))
        evidence = name.startswith(("feature_extractor", "pose_network")) and twin is not None
        expected = twin if evidence and twin.shape == value.shape else own[name]
        assert torch.equal(value, expected), name
    assert torch.equal(model.feature_extractor.stem[0][0].weight, parent["pose_network.stem.0.0.weight"])
    notes = DHPE.from_pretrained(tmp_path / "a" / "model.safetensors").provenance
    assert json.loads(notes["init_pose"])["name"] == str(trained.checkpoint) and "init" not in notes


def test_a_j2d_that_does_not_fit_is_refused(trained, tmp_path):
    wider = preset("smoke", init_pose=str(trained.checkpoint), model=replace(preset("smoke").model, pose_width=8))
    with pytest.raises(ValueError, match="its config has pose_width=4, the run's 8: .*--pose-width"):
        train(wider, tmp_path, progress=False)
    with pytest.raises(ValueError, match="give only one"):
        train(preset("smoke", init="lite", init_pose="lite"), tmp_path, progress=False)
    blind = DHPE(replace(preset("smoke").model, evidence_2d=False, pose_refiner=False))
    blind.save(tmp_path / "blind.safetensors")
    with pytest.raises(ValueError, match="has no J2D"):
        train(preset("smoke", init_pose=str(tmp_path / "blind.safetensors")), tmp_path / "run", progress=False)


def test_f_of_a_network_without_j2d_starts_from_one_all_the_same(trained, tmp_path):
    """Features alone (Kanazawa et al.) start as the full method does."""
    blind = replace(preset("smoke").model, evidence_2d=False, pose_refiner=False)
    start = {"init_pose": str(trained.checkpoint), "joint_learning_rate": 0.0, "weight_decay": 0.0}
    config = preset("smoke", epochs=1, lifting_steps=0, model=blind, **start)
    model = train(config, tmp_path, cache=trained.cache, progress=False)
    parent = DHPE.from_pretrained(trained.checkpoint).pose_network
    assert torch.equal(model.feature_extractor.stem[0][0].weight, parent.stem[0][0].weight)
    assert json.loads(model_notes(tmp_path)["init_pose"])["name"] == str(trained.checkpoint)


def model_notes(folder) -> dict[str, str]:
    return DHPE.from_pretrained(folder / "model.safetensors").provenance


def test_a_resumed_run_does_not_look_for_its_start_again(trained, tmp_path, monkeypatch):
    """A checkpoint may have moved, or been trained again; published weights are not needed either."""
    start = shutil.copy(trained.checkpoint, tmp_path / "start.safetensors")
    config = preset("smoke", init=str(start), epochs=1)
    train(config, tmp_path / "run", cache=trained.cache, progress=False)
    before = model_notes(tmp_path / "run")
    start.unlink()
    (tmp_path / "run" / "model.safetensors").unlink()
    monkeypatch.setattr(DHPE, "_load_published", None)  # would fail
    train(config, tmp_path / "run", cache=trained.cache, progress=False)
    assert model_notes(tmp_path / "run")["init"] == before["init"]
    folder = RunFolder(tmp_path / "run")
    folder.save({name: value for name, value in folder.state().items() if name != "notes"})  # as an older version
    with pytest.raises(FileNotFoundError, match="no checkpoint at"):
        train(config, tmp_path / "run", cache=trained.cache, progress=False)


def test_validation_sets_without_masks_or_roots(trained, tmp_path, monkeypatch):
    """The card then says nothing about F."""
    monkeypatch.setattr(module, "evaluate", lambda *_, **__: {"joints_procrustes_mean_mm": 9.0})
    monkeypatch.setattr(module, "feature_controls", lambda *_: {})
    train(preset("smoke", epochs=1), tmp_path, cache=trained.cache, progress=False)
    assert read_log(tmp_path)[0]["val_joints_procrustes_mean_mm"] == 9
    assert "features" not in model_notes(tmp_path)
