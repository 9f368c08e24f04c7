"""Runs of tiny networks: how they are made, kept, resumed and shared. No number here means anything."""

import json
import shutil
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch
from filelock import FileLock
from miniatures import STB_SEQUENCES, write_do, write_rhd, write_stb
from PIL import Image

from handlib.cli.reproduce import reproduce_command
from handlib.dhpe import DHPEConfig
from handlib.evaluation import results
from handlib.experiments.ablation import ABLATIONS
from handlib.experiments.baselines import Estimate
from handlib.experiments.reproduce import SCALES, Equipment, make_plan, plan, read_collections
from handlib.experiments.reproduce import run as running
from handlib.experiments.reproduce.hands import parse_data
from handlib.experiments.reproduce.run import Runner, launched_share, speed
from handlib.hand.files import OPENHAND
from handlib.support.files import sha256
from handlib.support.locks import LOCK, Busy, alone_in

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


def runner(out, cache, *only, say=lambda line: None, resume=True, data="", profile="smoke", given=plan.NOTHING):
    made = make_plan("all", profile, parse_data(data), out, only, equipment=given)
    return Runner(made, cache, resume, progress=False, say=say)


def without_time(path):
    record = results.read(path)
    record["metrics"] = [metric for metric in record["metrics"] if metric["name"] != "training_minutes"]
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
        "pixel_accuracy", "mean_accuracy", "mean_iou", "frequency_weighted_iou", "training_minutes"
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


def test_learning_rates_are_chosen_on_hands_held_out(tmp_path, cache, monkeypatch):
    """Not on the test hands of a real set, which has no split for it; the runs that count train on all hands."""
    hands = parse_data("rhd:R,stb:S")
    scale = replace(SCALE, rate_factors=(1.0, 3.0))
    scale = replace(scale, train=hands.config(scale.train))
    run = runner(tmp_path, cache)
    run.plan = replace(run.plan, scale=scale, hands=hands)
    tried = []

    def trained(training, config, folder, resume):
        tried.append((config.data, config.val_data))
        folder.mkdir(parents=True)
        (folder / "log.jsonl").write_text(json.dumps({"epoch": 1, "val_joints_root_mean_mm": 1.0}) + "\n")
        return Nothing()

    monkeypatch.setattr(run, "_trained", trained)
    rhd, stb = "rhd,hold=0.05:R", "stb,hold=0.05:S"
    assert run._config("full").data == ("rhd:R", "stb:S")
    assert tried == [((rhd, stb), (rhd,))] * 2
    assert hands.tuning(replace(scale.train, data=("synthetic",))).val_data == ("synthetic",)


def test_options_are_used_and_named_without_their_folders(tmp_path, cache):
    """A hand and backgrounds of one's own, through DHPE's training, a network's own loop and the study of Eq. 12."""
    shutil.copy(OPENHAND, tmp_path / "MINE.npz")
    (tmp_path / "photos").mkdir()
    Image.fromarray(np.full((40, 60, 3), 90, np.uint8)).save(tmp_path / "photos" / "gray.png")
    given = Equipment("", str(tmp_path / "MINE.npz"), "paper", f"pictures:{tmp_path / 'photos'}")
    written = runner(tmp_path / "out", cache, "no_refiner", "encoder-decoder", "schedule", given=given)()
    assert len(written) == 7
    for path in written:
        assert str(tmp_path) not in path.read_text()
        record = results.read(path)
        assert record["hand"] == {"name": "MINE", "fingertips": "paper"}
        assert record["command"].endswith("--hand MINE.npz --fingertips paper --backgrounds pictures:photos")
        assert record["config"]["train"]["model"]["hand"] == "MINE.npz" and "MINE" in record["data"]["name"]
        assert record["config"]["train"]["backgrounds"] == "pictures:photos"
        assert record["config"]["files"] == {"hand": sha256(given.hand)}
    for run in ("no_refiner-seed0", "encoder-decoder-seed0", "schedule-seed0/constant"):
        config = json.loads((tmp_path / "out" / "smoke" / "runs" / run / "config.json").read_text())
        assert config["model"]["hand"] == given.hand and config["backgrounds"] == given.backgrounds
    with pytest.raises(ValueError, match="or with other options"):
        runner(tmp_path / "out", cache, "no_refiner")()
    with open(given.hand, "ab") as file:  # another file of the same name
        file.write(b"\0")
    with pytest.raises(ValueError, match="options or files"):
        runner(tmp_path / "out", cache, "no_refiner", given=given)()


@pytest.mark.parametrize("missing", ["hand", "backgrounds", "data"])
def test_missing_files_are_an_error_before_anything_is_trained(tmp_path, cache, missing):
    given = {"hand": str(tmp_path / "NO.pkl")} if missing == "hand" else {}
    if missing == "backgrounds":
        given["backgrounds"] = f"pictures:{tmp_path / 'NO'}"
    data = f"do:{tmp_path / 'NO'}" if missing == "data" else ""
    with pytest.raises(FileNotFoundError, match="NO"):
        runner(tmp_path / "out", cache, "encoder-decoder", data=data, given=Equipment(**given))()
    assert not (tmp_path / "out").exists()


def test_missing_weights_are_an_error_too(tmp_path, cache, monkeypatch):
    tiny = DHPEConfig.paper(size=32, pose_size=32, pretrained=False)
    monkeypatch.setitem(SCALES, "smoke", replace(SCALE, train=replace(_RUN, model=tiny),
                                                 schedule=replace(_RUN, model=tiny)))  # fmt: skip
    with pytest.raises(FileNotFoundError, match="no weights at .*NO.pickle: follow the link"):
        runner(tmp_path / "out", cache, "full", given=Equipment(posenet=str(tmp_path / "NO.pickle")))()
    assert not (tmp_path / "out").exists()


def test_the_command_takes_the_options(whole, capsys, tmp_path):
    shutil.copy(OPENHAND, tmp_path / "MINE.npz")
    reproduce_command("mesh", profile="smoke", hand=str(tmp_path / "MINE.npz"), dry_run=True, out=tmp_path / "out")
    assert "  with --hand MINE.npz\n" in capsys.readouterr().out
    with pytest.raises(ValueError, match="or with other options"):
        reproduce_command("mesh", profile="smoke", fingertips="paper", dry_run=True, out=whole[0])


# ---- several processes


@contextmanager
def another_process(folder):
    """One that holds the lock of a folder until it is killed, which is how this ends."""
    folder.mkdir(parents=True, exist_ok=True)
    script = (
        "import filelock, sys, time\nwith filelock.FileLock(sys.argv[1]):\n    print(1, flush=True)\n    time.sleep(99)"
    )
    process = subprocess.Popen([sys.executable, "-c", script, folder / LOCK], stdout=subprocess.PIPE)
    try:
        assert process.stdout.readline() == b"1\n"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_a_lock_lasts_as_long_as_its_process(tmp_path):
    with another_process(tmp_path / "a"):
        with pytest.raises(Busy, match="another process works in"), alone_in(tmp_path / "a"):
            pytest.fail("two in one folder")
        with alone_in(tmp_path / "b"):
            pass
    with alone_in(tmp_path / "a"):  # the other was killed
        with pytest.raises(Busy), alone_in(tmp_path / "a"):
            pytest.fail("not even twice in one process")
    with pytest.raises(Killed), alone_in(tmp_path / "a"):
        raise Killed
    with alone_in(tmp_path / "a"):
        pass


def test_what_another_process_is_at_is_left_for_later_and_taken_over_when_it_dies(tmp_path, cache, monkeypatch):
    monkeypatch.setattr(running, "PAUSE", 0.01)
    said = []

    def say(line):
        said.append(line)
        if "encoder-decoder-object" in line:  # the last that can be done
            process.kill()
            process.wait()

    with another_process(tmp_path / "smoke" / "runs" / "no_refiner-seed0") as process:
        written = runner(tmp_path, cache, "no_refiner", "encoder-decoder", say=say)()
    assert ["no_refiner" in path.name for path in written] == [False] * 3 + [True] * 3
    assert said[0].startswith("no_refiner-seed0 is left for later: another process works in")
    assert sum("left for later" in line for line in said) == 1 and said[1].startswith("[2/2] encoder-decoder-seed0")


def test_what_another_process_has_done_meanwhile_is_not_done_again(whole, tmp_path, cache, monkeypatch):
    monkeypatch.setattr(running, "PAUSE", 0.01)
    folder = tmp_path / "smoke" / "runs" / "full-seed0"
    folder.mkdir(parents=True)
    lock = FileLock(folder / LOCK)
    lock.acquire()

    def say(line):
        assert "left for later" in line
        shutil.copytree(whole[0] / "smoke" / "results", tmp_path / "smoke" / "results")
        lock.release()

    run = runner(tmp_path, cache, "full", say=say)
    monkeypatch.setattr(run, "_trained", None)  # would fail
    assert run() == []


def test_one_process_chooses_a_learning_rate_and_the_others_read_it(tmp_path, cache, monkeypatch):
    scale = replace(SCALE, rate_factors=(0.3, 1.0, 3.0))
    first, second = runner(tmp_path, cache), runner(tmp_path, cache)
    at_it, go_on, found = threading.Event(), threading.Event(), []

    def trained(training, config, folder, resume):
        at_it.set()
        assert go_on.wait(60)
        folder.mkdir(parents=True)
        (folder / "log.jsonl").write_text(json.dumps({"val_joints_root_mean_mm": -config.learning_rate}) + "\n")
        return Nothing()

    for run in (first, second):
        run.plan = replace(run.plan, scale=scale)
    monkeypatch.setattr(first, "_trained", trained)
    monkeypatch.setattr(second, "_trained", None)  # would fail
    thread = threading.Thread(target=lambda: found.append(first._config("full")))
    thread.start()
    assert at_it.wait(60)
    with pytest.raises(Busy, match="rates/full"):
        second._config("no_shape_loss")
    go_on.set()
    thread.join()
    assert second._config("full") == found[0]
    assert found[0].learning_rate == pytest.approx(3 * scale.train.learning_rate)


def test_made_anew_is_what_is_older_than_the_start(whole, tmp_path, cache):
    """So several processes of the command with --no-resume, too, make each of them once."""
    shutil.copytree(whole[0], tmp_path, dirs_exist_ok=True)
    model = tmp_path / "smoke" / "runs" / "full-seed0" / "model.safetensors"
    before = model.stat().st_mtime_ns
    run, other = (runner(tmp_path, cache, "no_test_refinement", resume=False) for _ in range(2))
    assert len(run()) == 3 and model.stat().st_mtime_ns > before
    assert other() == [] == run()


@pytest.mark.slow
def test_two_processes_of_one_command_share_its_work(tmp_path):
    words = [sys.executable, "-m", "handlib.cli", "reproduce", "all", "--profile", "smoke", "--out", tmp_path,
             "--only", "encoder-decoder", "handsegnet"]  # fmt: skip
    processes = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    wrote = [line.split()[-1] for text in said for line in text.splitlines() if line.startswith("  wrote ")]
    assert len(wrote) == len(set(wrote)) == 6 == len(list((tmp_path / "smoke" / "results").iterdir()))


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
        assert not record["synthetic"] and "--data rhd:PATH" in record["command"].replace("'", "")
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
