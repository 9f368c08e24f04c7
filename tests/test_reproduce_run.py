"""Runs of tiny networks: how they are made, kept, resumed and shared. No number here means anything."""

import json
from dataclasses import replace

import pytest
import torch
from miniatures import STB_SEQUENCES, write_do, write_rhd, write_stb

from handlib import results
from handlib.ablation import ABLATIONS
from handlib.baselines import Estimate
from handlib.dhpe import DHPEConfig
from handlib.reproduce import SCALES, make_plan, plan, read_collections
from handlib.reproduce.cli import reproduce_command
from handlib.reproduce.hands import parse_data
from handlib.reproduce.run import Runner, launched_share, speed

TINY = DHPEConfig(size=32, feature_width=2, features=8, pose_width=2, hidden=8)
_RUN = replace(SCALES["smoke"].train, images=4, val_images=2, epochs=1, augment_from=None, batch_size=4,
               lifting_steps=1, device="cpu", model=TINY)  # fmt: skip
SCALE = replace(SCALES["smoke"], train=_RUN, schedule=replace(_RUN, lifting_steps=0), test_images=2, iterations=1)


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setitem(SCALES, "smoke", SCALE)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def runner(out, cache, *only, say=lambda line: None, resume=True, data="", profile="smoke"):
    return Runner(make_plan("all", profile, parse_data(data), out, only), cache, resume, progress=False, say=say)


def without_time(path):
    record = results.read(path)
    return {key: record[key] for key in ("name", "config", "seed", "data", "metrics", "curves", "claim", "command")}


class Killed(BaseException):
    pass


class Nothing:
    """A method without an answer."""

    def predict(self, view):
        return Estimate()


@pytest.fixture(scope="module")
def whole(tmp_path_factory, cache):
    """An uninterrupted reproduction of two experiments that share a training."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SCALES, "smoke", SCALE)
        out = tmp_path_factory.mktemp("whole")
        written = runner(out, cache, "full", "no_test_refinement")()
    return out, written


def test_a_results_file_for_each_job(whole):
    out, written = whole
    names = {f"reproduce-smoke-{e}-{t}-seed0.json" for e in ("full", "no_test_refinement")
             for t in ("diverse", "studio", "object")}  # fmt: skip
    assert {path.name for path in written} == names == {path.name for path in (out / "smoke" / "results").iterdir()}
    full, plain = (results.read(out / "smoke" / "results" / f"reproduce-smoke-{e}-object-seed0.json")
                   for e in ("full", "no_test_refinement"))  # fmt: skip
    assert full["profile"] == "smoke" and full["synthetic"] and full["data"]["n"] == 2
    metrics = {m["name"]: m for m in full["metrics"]}
    assert {"joints_root_auc_20_50_mm", "mean_iou", "vertices_procrustes_mean_mm", "dexter_object_auc_20_50_mm",
            "refinement_error_rose_fraction"} <= metrics.keys()  # fmt: skip
    assert {"pck_root", "joint", "tone", "refinement"} <= full["curves"].keys()
    assert full["curves"]["joint"]["n"].count(0) == 16  # the tips alone count
    assert "refinement" not in plain["curves"]
    assert plain["config"]["refine"] == {"iterations": 0} and full["config"]["refine"]["iterations"] == 1
    assert [path.name for path in (out / "smoke" / "runs").iterdir()] == ["full-seed0"]  # one training for both


def test_killed_between_experiments_it_goes_on(whole, cache, tmp_path):
    seen = []

    def say(line):
        seen.append(line)
        if sum("wrote" in text for text in seen) == 2:
            raise Killed

    with pytest.raises(Killed):
        runner(tmp_path, cache, "full", "no_test_refinement", say=say)()
    there = {path: path.stat().st_mtime_ns for path in (tmp_path / "smoke" / "results").iterdir()}
    model = tmp_path / "smoke" / "runs" / "full-seed0" / "model.safetensors"
    trained = model.stat().st_mtime_ns
    assert len(there) == 2
    written = runner(tmp_path, cache, "full", "no_test_refinement")()
    assert len(written) == 4 and not set(written) & there.keys()
    assert all(path.stat().st_mtime_ns == when for path, when in there.items())
    assert model.stat().st_mtime_ns == trained  # nothing was trained again
    for path in whole[1]:
        assert without_time(tmp_path / "smoke" / "results" / path.name) == without_time(path)
    assert runner(tmp_path, cache, "full", "no_test_refinement")() == []


def test_smoke_is_never_shown(whole, capsys):
    out, _ = whole
    assert read_collections(out) == {}
    reproduce_command("show", out=out)
    assert "smoke runs are none" in capsys.readouterr().out


def test_the_command_plans_first(whole, capsys, monkeypatch):
    out, written = whole
    reproduce_command("ablations", profile="smoke", only=("full", "no_test_refinement"), dry_run=True, out=out)
    said = capsys.readouterr().out
    assert "6 results from 1 trainings, 0 of them still to be made" in said and "as the last training here" in said
    assert written[0].is_file()


def test_speed_is_probed_without_a_run(tmp_path):
    value, source = speed(make_plan("all", "smoke", parse_data(""), tmp_path), steps=1)
    assert value > 0 and "measured now" in source and not list(tmp_path.iterdir())


def test_ablations_leave_out_their_part(tmp_path, cache):
    run = runner(tmp_path, cache)
    full, no_refiner, no_shape = (run._config(name) for name in ("full", "no_refiner", "no_shape_loss"))
    assert full.model.pose_refiner and not no_refiner.model.pose_refiner
    assert full.loss.shape and not no_shape.loss.shape and no_shape.model == full.model
    augmented = replace(SCALE, train=replace(SCALE.train, augment_from=0))
    run = Runner(replace(run.plan, scale=augmented), cache, progress=False)
    assert run._config("full").augment_from == 0 and run._config("no_augmentation").augment_from is None
    assert ABLATIONS["no_augmentation"].augmentation is False


def test_fitting_segmentation_and_schedule(whole, cache):
    """Model fitting takes the full method's J2D, which is not trained again."""
    out, _ = whole
    before = (out / "smoke" / "runs" / "full-seed0" / "model.safetensors").stat().st_mtime_ns
    written = runner(out, cache, "pso", "encoder-decoder", "schedule")()
    assert (out / "smoke" / "runs" / "full-seed0" / "model.safetensors").stat().st_mtime_ns == before
    records = {path.stem.removeprefix("reproduce-smoke-"): results.read(path) for path in written}
    assert len(records) == 7
    assert {m["name"] for m in records["encoder-decoder-diverse-seed0"]["metrics"]} == {
        "pixel_accuracy", "mean_accuracy", "mean_iou", "frequency_weighted_iou"
    }  # fmt: skip
    assert "pck_root" in records["pso-studio-seed0"]["curves"]
    schedule = records["schedule-val-seed0"]
    assert schedule["curves"].keys() == {"scheduled", "constant"} and schedule["config"]["experiment"] == "schedule"
    assert not make_plan("schedule", "smoke", parse_data(""), out).minutes(1.0)


def test_a_training_that_diverges_does_not_stop_the_others(tmp_path, cache, monkeypatch):
    run = runner(tmp_path, cache, "no_refiner", "encoder-decoder")
    whole = run._trained

    def trained(training, *rest):
        if training == "no_refiner":
            raise FloatingPointError("the loss became nan")
        return whole(training, *rest)

    monkeypatch.setattr(run, "_trained", trained)
    with pytest.raises(FloatingPointError, match="1 of the trainings diverged.*\n.*no_refiner-seed0"):
        run()
    assert len(list((tmp_path / "smoke" / "results").iterdir())) == 3


def test_learning_rates_are_chosen_once(tmp_path, cache, monkeypatch):
    """The factor whose run ends best; all methods of one kind take it, and it is kept."""
    scale = replace(SCALE, rate_factors=(0.3, 1.0, 3.0))
    run = runner(tmp_path, cache)
    run.plan = replace(run.plan, scale=scale)
    tried = []

    def trained(training, config, folder, resume):
        tried.append((training, round(config.learning_rate / scale.train.learning_rate, 3), config.epochs))
        folder.mkdir(parents=True)
        error = abs(config.learning_rate / scale.train.learning_rate - 3)
        (folder / "log.jsonl").write_text(json.dumps({"epoch": 1, "val_joints_root_mean_mm": error}) + "\n")
        return Nothing()

    monkeypatch.setattr(run, "_trained", trained)
    config = run._config("no_shape_loss")
    assert config.learning_rate == pytest.approx(3 * scale.train.learning_rate)
    assert config.joint_learning_rate == pytest.approx(3 * scale.train.joint_learning_rate)
    assert tried == [("full", factor, scale.rate_epochs) for factor in (0.3, 1.0, 3.0)]
    run._config("full")
    assert len(tried) == 3 and run.plan.rate_cost("full") == 0 and run.plan.rate_cost("zimmermann") > 0
    run.plan.rate_file("full").write_text("{}")
    with pytest.raises(ValueError, match="is damaged: delete it"):
        run._config("full")


def test_launched_processes_take_shares(monkeypatch):
    assert launched_share() == ""
    for name, text in {"RANK": "2", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "MASTER_PORT": "1234",
                       "CUDA_VISIBLE_DEVICES": "5,7"}.items():  # fmt: skip
        monkeypatch.setenv(name, text)
    assert launched_share() == "3/4"
    import os

    assert os.environ["CUDA_VISIBLE_DEVICES"] == "7" and "WORLD_SIZE" not in os.environ
    assert launched_share() == ""


def test_shards_or_torchrun(monkeypatch, tmp_path):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(ValueError, match="torchrun gives out the shares itself"):
        reproduce_command("all", profile="smoke", shard="1/2", out=tmp_path)


@pytest.mark.slow
def test_the_paper_profile_on_miniatures(tmp_path, cache, hand, monkeypatch):
    """The real data sets' layouts: trained on two of them, of which one has no masks, measured on three."""
    write_rhd(tmp_path / "RHD", hand, n=3)
    write_stb(tmp_path / "STB", hand, n=1, pictures=tuple(STB_SEQUENCES))
    write_do(tmp_path / "DO", hand)
    paper = SCALES["paper"]
    tiny = replace(paper.train, epochs=1, batch_size=4, workers=0, model=TINY, device="cpu", val_images=2,
                   augment_from=None, augment_cap=4)  # fmt: skip
    monkeypatch.setitem(SCALES, "paper", replace(paper, train=tiny, seeds=(0,), test_images=2, iterations=1))
    data = f"rhd:{tmp_path / 'RHD'},stb:{tmp_path / 'STB'},do:{tmp_path / 'DO'}"
    out = tmp_path / "out"
    written = runner(out, cache, "full", "zimmermann", "handsegnet", data=data, profile="paper")()
    assert len(written) == 9
    for path in written:
        assert str(tmp_path) not in path.read_text()  # no path of this machine
        record = results.read(path)
        assert not record["synthetic"] and "--data rhd,joint0=wrist:PATH" in record["command"].replace("'", "")
    runs = read_collections(out)["paper-rhd-stb-do"]
    assert runs.tests == ("rhd", "stb", "do")
    assert 0 <= runs.value("full", "do", "dexter_object_auc_20_50_mm").mean <= 1
    assert runs.curve("full", "do", "pck_dexter_object") and not runs.curve("full", "do", "pck_root")
    assert runs.value("full", "rhd", "mean_iou") and not runs.value("full", "stb", "mean_iou")
    assert runs.value("zimmermann", "stb", "joints_root_auc_20_50_mm")
    assert torch.isfinite(torch.tensor([m["value"] for r in runs.records for m in r["metrics"]])).all()


def test_every_training_has_a_cost(tmp_path):
    full = make_plan("all", "laptop", parse_data(""), tmp_path)
    assert all(full.cost(unit) > 0 for unit in full.units)
    assert plan.FITTING_COST.keys() == {"panteleris", "pso"}
