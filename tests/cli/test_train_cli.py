"""`handlib train`."""

import json
import shutil

from handlib.training.train import read_log


def test_train_then_predict(run, picture, tmp_path):
    options = ("--epochs", 1, "--images", 4, "--val-images", 2, "--batch-size", 2, "--lifting-steps", 1)
    status, out, _ = run("train", "--profile", "smoke", *options, "--out", tmp_path / "run")
    assert status == 0 and "trained 1 epochs" in out and "model.safetensors" in out
    assert len(read_log(tmp_path / "run")) == 1
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["profile"] == "smoke" and config["images"] == 4 and config["model"]["size"] == 64
    model = ("--checkpoint", tmp_path / "run" / "model.safetensors")
    assert run("predict", picture, "--box", 0, 0, 64, *model, "--out", tmp_path, "--refine", 0)[0] == 0


def test_unknown_profile(refused):
    assert "unknown profile 'huge': choose one of smoke, laptop" in refused("train", "--profile", "huge")
    assert "unknown profile" in refused("train", "--profile")


def test_options_of_a_training(run, monkeypatch):
    """As the book writes them: a value may hold an equals sign, and networks' options have no prefix."""
    seen = []

    def train(config, *_):
        seen.append(config)
        raise ValueError("seen")

    monkeypatch.setattr("handlib.cli.train.train", train)
    spec = "rhd,joint0=wrist:PATH/RHD_published_v2"
    run("train", "--profile=paper", "--data", spec, "stb,joint0=ring:STB", "--val-data", spec, "--epochs=30",
        "--posenet", "a=b.pickle", "--hand=MANO_RIGHT.pkl", "--fingertips", "paper")  # fmt: skip
    (config,) = seen
    assert config.profile == "paper" and config.epochs == 30
    assert config.data == (spec, "stb,joint0=ring:STB") and config.val_data == (spec,)
    model = config.model
    assert (model.posenet, model.hand, model.fingertips) == ("a=b.pickle", "MANO_RIGHT.pkl", "paper")


def test_another_config_in_the_same_folder(refused, trained, tmp_path):
    folder = shutil.copytree(trained.folder, tmp_path / "run")
    line = refused("train", "--profile", "smoke", "--epochs", 9, "--out", folder)
    assert "another config" in line and "--no-resume" in line


def test_scores_that_there_are(run, monkeypatch, tmp_path):
    """A validation set without masks has no IoU, one without roots no error in millimeters."""
    monkeypatch.setattr("handlib.cli.train.train", lambda *_: None)
    for scores, text in (
        ({"val_joints_root_mean_mm": 12.34}, "trained 2 epochs in 3.5 minutes: validation error 12.3 mm\n"),
        ({"val_mean_iou": 0.5}, "trained 2 epochs in 3.5 minutes: mean IoU 0.500\n"),
        ({}, "trained 2 epochs in 3.5 minutes\n"),
    ):
        (tmp_path / "log.jsonl").write_text(json.dumps({"epoch": 2, "minutes": 3.5} | scores) + "\n")
        status, out, _ = run("train", "--profile", "smoke", "--out", tmp_path)
        assert status == 0 and out.startswith(text)
