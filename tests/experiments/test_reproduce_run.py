"""Runs of tiny networks: how they are made, kept and resumed. No number here means anything."""

import json
import shutil
from dataclasses import replace
from subprocess import CompletedProcess

import numpy as np
import pytest
from PIL import Image

from handlib.cli.reproduce import RULES, _command, reproduce_command
from handlib.dhpe import DHPEConfig
from handlib.evaluation import results
from handlib.experiments.baselines import Estimate
from handlib.experiments.reproduce import read_collections
from handlib.experiments.reproduce.equipment import Equipment
from handlib.experiments.reproduce.hands import parse_data
from handlib.experiments.reproduce.run import Runner
from handlib.experiments.reproduce.scales import SCALES
from handlib.experiments.reproduce.suite import NOTHING, make_suite
from handlib.hand.files import OPENHAND
from handlib.networks.published import DIGESTS
from handlib.support.files import sha256

TINY = DHPEConfig(size=32, feature_width=2, features=8, pose_width=2, hidden=8)
_RUN = replace(SCALES["smoke"].train, images=4, val_images=2, epochs=1, augment_from=None, batch_size=4,
               lifting_steps=1, device="cpu", model=TINY)  # fmt: skip
SCALE = replace(SCALES["smoke"], train=_RUN, schedule=replace(_RUN, lifting_steps=0), test_images=2, iterations=1)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setitem(SCALES, "smoke", SCALE)


def runner(out, cache, *only, data="", given=NOTHING, scale=None):
    suite = make_suite("all", "smoke", parse_data(data), out, only, given)
    return Runner(replace(suite, scale=scale or suite.scale), cache, progress=False)


def all_of(run):
    for name in [one.name for one in run.suite.runs]:
        run(name)
    return [path for one in run.suite.runs for path in one.makes]


def without_time(path):
    record = results.read(path)
    record["metrics"] = [metric for metric in record["metrics"] if metric["name"] != "training_minutes"]
    return {key: record[key] for key in ("name", "config", "seed", "data", "metrics", "curves", "claim", "command")}


@pytest.fixture(scope="module")
def whole(tmp_path_factory, cache):
    """Two experiments that share a training."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SCALES, "smoke", SCALE)
        out = tmp_path_factory.mktemp("whole")
        return out, all_of(runner(out, cache, "full", "no_test_refinement"))


def test_a_results_file_for_each_test_set(whole):
    out, made = whole
    names = {f"reproduce-smoke-{e}-{t}-seed0.json" for e in ("full", "no_test_refinement")
             for t in ("diverse", "studio", "object")}  # fmt: skip
    assert {path.name for path in made} == names and all(path.is_file() for path in made)
    full, plain = (results.read(out / "smoke" / "results" / f"reproduce-smoke-{e}-object-seed0.json")
                   for e in ("full", "no_test_refinement"))  # fmt: skip
    assert full["profile"] == "smoke" and full["synthetic"] and full["data"]["n"] == 2
    metrics = {m["name"]: m for m in full["metrics"]}
    assert {"joints_root_auc_20_50_mm", "mean_iou", "vertices_procrustes_mean_mm", "dexter_object_auc_20_50_mm",
            "freihand_vertices_f_5_mm", "refinement_error_rose_fraction"} <= metrics.keys()  # fmt: skip
    assert full["curves"]["joint"]["n"].count(0) == 16  # the tips alone count
    assert "refinement" not in plain["curves"]
    assert plain["config"]["refine"] == {"iterations": 0} and full["config"]["refine"]["iterations"] == 1
    assert [path.name for path in (out / "smoke" / "runs").iterdir()] == ["full-seed0"]  # one training for both


def test_the_errors_of_hands_are_kept_beside(whole):
    """Their mean is the metric, but for half precision."""
    from safetensors.numpy import load_file

    path = next(path for path in whole[1] if "-full-studio" in path.name)
    record, errors = results.read(path), load_file(path.with_suffix(".safetensors"))
    assert record["errors"] == sha256(path.with_suffix(".safetensors"))
    assert errors.keys() == {"auc", "root_mm", "half_mm", "procrustes_mm", "vertices_mm", "iou"}
    assert all(len(values) == 2 for values in errors.values())
    for name, metric in (("auc", "joints_root_auc_20_50_mm"), ("root_mm", "joints_root_mean_mm"),
                         ("vertices_mm", "vertices_procrustes_mean_mm")):  # fmt: skip
        assert errors[name].mean(dtype=float) == pytest.approx(results.value(record, metric), rel=2e-3, abs=1e-3)


def test_what_is_there_is_not_made_again(whole, cache, tmp_path):
    out, made = whole
    shutil.copytree(out, tmp_path, dirs_exist_ok=True)
    again = [tmp_path / path.relative_to(out) for path in made]
    lost, kept = again[0], again[1]
    lost.unlink()
    before = kept.stat().st_mtime_ns, (tmp_path / "smoke/runs/full-seed0/model.safetensors").stat().st_mtime_ns
    all_of(runner(tmp_path, cache, "full", "no_test_refinement"))
    after = kept.stat().st_mtime_ns, (tmp_path / "smoke/runs/full-seed0/model.safetensors").stat().st_mtime_ns
    assert after == before and without_time(lost) == without_time(made[0])


def test_smoke_is_never_shown(whole, capsys):
    assert read_collections(whole[0]) == {}
    reproduce_command("show", out=whole[0])
    assert "smoke runs are none" in capsys.readouterr().out


def test_fitting_segmentation_and_schedule(whole, cache):
    """Model fitting takes the full method's J2D, which is not trained again."""
    model = whole[0] / "smoke" / "runs" / "full-seed0" / "model.safetensors"
    before = model.stat().st_mtime_ns
    made = all_of(runner(whole[0], cache, "pso", "encoder-decoder", "schedule"))
    assert model.stat().st_mtime_ns == before
    records = {path.stem.removeprefix("reproduce-smoke-"): results.read(path) for path in made}
    assert len(records) == 7
    assert {m["name"] for m in records["encoder-decoder-diverse-seed0"]["metrics"]} == {
        "pixel_accuracy", "mean_accuracy", "mean_iou", "frequency_weighted_iou", "training_minutes"
    }  # fmt: skip
    assert "pck_root" in records["pso-studio-seed0"]["curves"]
    schedule = records["schedule-val-seed0"]
    assert schedule["curves"].keys() == {"scheduled", "constant"} and schedule["config"]["experiment"] == "schedule"


def test_ablations_leave_out_their_part(tmp_path, cache):
    scale = replace(SCALE, train=replace(SCALE.train, augment_from=0))
    run = runner(tmp_path, cache, scale=scale)
    full, no_refiner, no_shape = (run._config(name) for name in ("full", "no_refiner", "no_shape_loss"))
    assert full.model.pose_refiner and not no_refiner.model.pose_refiner
    assert full.loss.shape and not no_shape.loss.shape and no_shape.model == full.model
    assert full.augment_from == 0 and run._config("no_augmentation").augment_from is None


class Nothing:
    """A method without an answer."""

    def predict(self, view):
        return Estimate()


@pytest.mark.parametrize("data, tried_on", [("", ("synthetic",)), ("stb:S", ("stb,hold=0.05:S",))])
def test_learning_rates_are_chosen_on_hands_held_out(tmp_path, cache, monkeypatch, data, tried_on):
    """The factor whose run ends best; ablations take the full method's. Runs that count train on all hands."""
    hands = parse_data(data)
    scale = replace(SCALE, rate_factors=(0.3, 1.0, 3.0), train=hands.config(SCALE.train))
    run, tried = runner(tmp_path, cache, data=data, scale=scale), []

    def trained(training, config, folder):
        factor = config.learning_rate / scale.train.learning_rate
        tried.append((training, round(factor, 3), config.epochs, config.data))
        folder.mkdir(parents=True)
        log = {"epoch": 1, "val_joints_root_mean_mm": abs(factor - 3)}
        (folder / "log.jsonl").write_text(json.dumps(log) + "\n")
        return Nothing()

    monkeypatch.setattr(run, "_trained", trained)
    run("rate-full")
    assert tried == [("full", factor, scale.rate_epochs, tried_on) for factor in (0.3, 1.0, 3.0)]
    config = run._config("no_shape_loss")
    assert config.learning_rate == pytest.approx(3 * scale.train.learning_rate)
    assert config.data == (hands.specs or ("synthetic",))
    run.suite.run("rate-full").makes[0].write_text("{}")
    with pytest.raises(ValueError, match="is damaged: delete it"):
        run._config("full")


def test_options_are_used_and_named_without_their_folders(tmp_path, cache):
    """A hand and backgrounds of one's own, through DHPE's training, a network's own loop and the study of Eq. 12."""
    shutil.copy(OPENHAND, tmp_path / "MINE.npz")
    (tmp_path / "photos").mkdir()
    Image.fromarray(np.full((40, 60, 3), 90, np.uint8)).save(tmp_path / "photos" / "gray.png")
    given = Equipment("", str(tmp_path / "MINE.npz"), "paper", f"pictures:{tmp_path / 'photos'}")
    made = all_of(runner(tmp_path / "out", cache, "no_refiner", "encoder-decoder", "schedule", given=given))
    assert len(made) == 7
    for path in made:
        assert str(tmp_path) not in path.read_text()
        record = results.read(path)
        assert record["hand"] == {"name": "MINE", "fingertips": "paper"}
        assert record["command"].endswith("--hand MINE.npz --fingertips paper --backgrounds pictures:photos")
        assert record["config"]["train"]["backgrounds"] == "pictures:photos"
        assert record["config"]["files"] == {"hand": sha256(given.hand), "landmarks": DIGESTS["hand_landmarks"]}


@pytest.mark.parametrize("missing", ["hand", "backgrounds", "data", "photographs"])
def test_missing_files_are_an_error_before_anything_is_trained(tmp_path, missing):
    given = {
        "hand": {"hand": str(tmp_path / "NO.pkl")},
        "backgrounds": {"backgrounds": f"pictures:{tmp_path / 'NO'}"},
        "data": {"data": f"do:{tmp_path / 'NO'}"},
        "photographs": {"photographs": str(tmp_path / "NO")},
    }[missing]
    pytest.importorskip("snakemake")
    with pytest.raises(FileNotFoundError, match="NO"):
        reproduce_command("all", profile="smoke", out=tmp_path / "out", **given)
    assert not (tmp_path / "out").exists()


def test_cores_bound_the_runs_at_once(tmp_path):
    """By a resource of the rules, since some versions of Snakemake start more than --cores allows."""
    assert "runs=1" in RULES.read_text()
    assert _command(tmp_path, 3, False, "")[-2:] == ["--resources", "runs=3"]
    assert "--resources" not in _command(tmp_path, 3, False, "--executor slurm --jobs 20")  # the cluster's business


def test_a_plan_that_fails_says_so_and_claims_no_folder(tmp_path, monkeypatch):
    pytest.importorskip("snakemake")
    monkeypatch.setattr("handlib.cli.reproduce.subprocess.run", lambda *_, **__: CompletedProcess((), 1))
    with pytest.raises(SystemExit, match="1"):
        reproduce_command("all", profile="smoke", out=tmp_path, dry_run=True)
    assert not (tmp_path / "smoke" / "suite.json").exists()


def test_snakemake_plans_does_and_goes_on(tmp_path, capfd):
    """By the command, in processes of their own, at the size of smoke."""
    pytest.importorskip("snakemake")
    out = tmp_path / "my runs"

    def reproduce(**more):
        reproduce_command("segmentation", profile="smoke", only=("encoder-decoder",), out=out, **more)
        return capfd.readouterr()

    said = reproduce(dry_run=True)
    assert "encoder-decoder-seed0" in said.out + said.err and not list(out.glob("smoke/results/*"))
    reproduce()
    made = sorted((out / "smoke" / "results").glob("*.json"))
    assert len(made) == 3
    times = [path.stat().st_mtime_ns for path in made]
    reproduce()
    assert [path.stat().st_mtime_ns for path in made] == times
    made[0].unlink()
    reproduce()
    assert made[0].is_file() and results.read(made[0])["profile"] == "smoke"
