import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import trimesh
from miniatures import write_photos
from PIL import Image

import handlib
from handlib.cli import commands as cli
from handlib.data import SyntheticHands
from handlib.data.synthetic import digest
from handlib.evaluation import results
from handlib.evaluation.audit import verify
from handlib.training.train import read_log
from handlib.viz.plots import to_image


@pytest.fixture
def run(monkeypatch, capsys, trained):
    """Calls `handlib …` with the cache of the tests; returns its exit status and what it printed."""
    for command in ("ablate", "evaluate", "info", "train"):
        monkeypatch.setattr(f"handlib.cli.{command}.CACHE", trained.cache)

    def call(*arguments):
        monkeypatch.setattr("sys.argv", ["handlib", *map(str, arguments)])
        status = 0
        try:
            cli.main()
        except SystemExit as end:
            status = end.code or 0
        return status, *capsys.readouterr()

    return call


@pytest.fixture
def refused(run):
    """Calls that the user can mend: status 2, nothing printed, one line on stderr, which is returned."""

    def call(*arguments):
        status, out, err = run(*arguments)
        lines = [line for line in err.splitlines() if "|" not in line]  # without progress bars
        assert status == 2 and not out and len(lines) == 1 and lines[0].startswith("handlib: "), (status, out, err)
        return lines[0]

    return call


@pytest.fixture(scope="module")
def picture(batch, tmp_path_factory):
    path = tmp_path_factory.mktemp("photos") / "palm.png"
    to_image(batch["image"][1]).save(path)
    return path


@pytest.mark.parametrize("arguments", [(), ("--help",), ("-h",)])
def test_help_lists_the_commands(run, arguments):
    status, out, err = run(*arguments)
    assert status == 0 and not err
    verbs = ("data VERB", "bench NAME", "ablate STUDY", "reproduce TABLE", "results ACTION", "export SOURCE")
    for command in ("predict", "train", "evaluate", *verbs, "info"):
        assert f"\n  {command} " in out


@pytest.mark.parametrize("command, option", [("predict", "--refine"), ("evaluate", "--split"), ("train", "--epochs")])
def test_each_command_explains_itself(run, command, option):
    status, out, _ = run(command, "--help")
    assert status == 0 and option in out


def test_results_shows_and_verifies(run, refused, tmp_path):
    """A smoke run is not to be believed, wherever it lies."""
    record = results.record(
        "x", "a claim", [], profile="smoke", config={}, data={"n": 1}, hand={}, started=0.0, command="handlib x"
    )
    results.write(record, tmp_path)
    status, out, _ = run("results", "show", "--results-dir", tmp_path)
    assert status == 0 and out.splitlines()[1].split()[:2] == ["x", "smoke"]
    status, out, _ = run("results", "show", "x", "--results-dir", tmp_path)
    assert status == 0 and "x: a claim" in out
    status, out, err = run("results", "verify", "--results-dir", tmp_path)
    assert status == 2 and "error  x.json: a smoke run" in out and err == "handlib: not to be trusted: x.json\n"
    results.write({**record, "profile": "laptop", "git": {}}, tmp_path)
    status, out, _ = run("results", "verify", "--results-dir", tmp_path)
    assert status == 0 and "1 files, 0 errors, 1 doubts" in out
    assert run("results", "verify", "--strict", "--results-dir", tmp_path)[0] == 2
    assert "no folder of results at" in refused("results", "show", "--results-dir", tmp_path / "none")


def test_bench_explains_itself(run):
    for flag in ("-h", "--help"):
        status, out, _ = run("bench", flag)
        assert status == 0 and all(f" {name} " in out for name in ("hand", "renderer", "refinement"))
        assert "writes a results file" in out
    status, out, _ = run("bench", "hand", "--help")
    assert status == 0 and all(option in out for option in ("--batches", "--seconds", "--compiled", "--results-dir"))


@pytest.mark.parametrize("name, option", [("renderer", "--patience"), ("refinement", "--gradient-iterations")])
def test_each_bench_explains_itself(run, name, option):
    status, out, _ = run("bench", name, "--help")
    assert status == 0 and option in out and "--results-dir" in out


def test_bench_hand_writes_a_valid_record(run, tmp_path):
    pytest.importorskip("smplx")
    status, out, _ = run("bench", "hand", "--profile", "smoke", "--batches", 1, "--results-dir", tmp_path)
    assert status == 0 and str(tmp_path / "bench-hand-smoke.json") in out
    record = results.read(tmp_path / "bench-hand-smoke.json")
    assert record["profile"] == "smoke" and record["config"]["batches"] == [1]
    assert record["command"].startswith("handlib bench hand --profile smoke")


def test_info(run, trained):
    status, out, _ = run("info")
    assert status == 0
    for word in ("handlib", "torch", "python", "device", "renderer", "reference", str(trained.cache)):
        assert word in out


BOX = ("--box", 0, 0, 64)  # all of the picture


def test_predict_writes_numbers_a_mesh_an_overlay_and_a_page(run, picture, tmp_path):
    status, out, _ = run("predict", picture, *BOX, "--side", "right", "--out", tmp_path)
    assert status == 0 and "right hand" in out
    names = ["palm.obj", "palm.json", "palm_overlay.jpg", "index.html"]
    assert {p.name for p in tmp_path.iterdir()} == set(names) and all(name in out for name in names)
    mesh = trimesh.load(tmp_path / "palm.obj", process=False)
    assert mesh.vertices.shape == (778, 3) and mesh.faces.shape == (1538, 3)
    assert 0.1 < np.ptp(mesh.vertices, axis=0).max() < 0.3  # meters
    written = json.loads((tmp_path / "palm.json").read_text())
    assert written["image_size"] == [64, 64] and written["camera"]["assumed"] is True
    (hand,) = written["hands"]
    assert hand["side"] == "right" and 0 <= hand["score"] <= 1 and len(hand["confidence"]) == 21
    assert np.shape(hand["joints_cam_m"]) == (21, 3) and np.shape(hand["joints_px"]) == (21, 2)
    assert len(hand["mano"]["hand_pose"]) == 45 and hand["mano"]["is_rhand"] is True and len(hand["h"]) == 63


def test_predict_left_is_the_mirror_image(run, picture, batch, tmp_path):
    flipped = tmp_path / "flipped.png"
    to_image(batch["image"][1].flip(-1)).save(flipped)
    common = (*BOX, "--out", tmp_path / "out", "--no-page")
    assert run("predict", picture, "--side", "right", *common)[0] == 0
    assert run("predict", flipped, "--side", "left", *common)[0] == 0
    a, b = (trimesh.load(tmp_path / "out" / f"{name}.obj", process=False) for name in ("palm", "flipped"))
    size = np.ptp(a.vertices, axis=0).max()
    assert np.linalg.norm(b.vertices - a.vertices * [-1, 1, 1], axis=1).mean() < 0.3 * size  # seen by another crop


def test_predict_with_another_model_and_several_pictures(run, trained, picture, tmp_path):
    other = tmp_path / "other.png"
    shutil.copy(picture, other)
    options = ("--checkpoint", trained.checkpoint, "--out", tmp_path / "out", "--refine", 0, "--mesh", "ply")
    assert run("predict", picture, other, "--box", 4, 4, 56, *options)[0] == 0
    names = {f"{stem}{end}" for stem in ("palm", "other") for end in (".ply", ".json", "_overlay.jpg")}
    assert {path.name for path in (tmp_path / "out").iterdir()} == names | {"index.html"}


def test_predict_says_when_there_is_no_hand(run, tmp_path):
    gray = tmp_path / "gray.png"
    Image.new("RGB", (300, 200), "gray").save(gray)
    status, out, _ = run("predict", gray, "--out", tmp_path / "out")
    assert status == 0 and "no hand found" in out
    assert json.loads((tmp_path / "out" / "gray.json").read_text())["hands"] == []
    status, _, errors = run("predict", gray, "--out", tmp_path / "out", "--require-hand")
    assert status == 3 and "gray.png" in errors


def test_predict_of_a_folder_of_frames(run, tmp_path):
    folder = tmp_path / "frames"
    folder.mkdir()
    for number in range(3):
        Image.new("RGB", (128, 96), "gray").save(folder / f"{number}.png")
    status, out, _ = run("predict", folder, "--out", tmp_path / "out")
    assert status == 0 and "0 tracked hands in 3 frames" in out
    assert {"frames.npz", "frames.json"} <= {path.name for path in (tmp_path / "out").iterdir()}


def test_evaluate_writes_a_valid_record(run, trained, tmp_path):
    options = ("--split", "val", "--n", 4, "--refine", 1, "--results-dir", tmp_path)
    status, out, _ = run("evaluate", "--checkpoint", trained.checkpoint, *options)
    assert status == 0
    (path,) = tmp_path.iterdir()
    assert path.name == "run-val-refined1-n4.json" and str(path) in out  # named after the run's folder
    record = results.read(path)
    assert record["profile"] == "smoke" and record["synthetic"] is True
    assert record["data"]["n"] == 4 and "val" in record["data"]["name"]
    assert record["config"]["model"]["size"] == 64 and record["config"]["train"]["epochs"] == 2
    assert record["hand"] == {"name": "openhand", "fingertips": "smplx"}
    assert record["data"]["digest"] == digest(SyntheticHands("val", 64, 4))
    assert all(metric["n"] == 4 for metric in record["metrics"])
    error = results.value(record, "joints_root_mean_mm")
    assert 5 < error < 300 and f"{error:.3f}" in out
    assert len(record["curves"]["pck_root"]["pck"]) == len(record["curves"]["joint"]["n"]) + 30 == 51
    assert sum(record["curves"]["tone"]["n"]) == 4
    refined = record["curves"]["refinement"]
    assert refined["iteration"] == [0, 1] and refined["joints_root_mean_mm"][1] == pytest.approx(error, abs=1e-3)
    assert results.value(record, "refinement_objective_end") <= results.value(record, "refinement_objective_start")
    assert not [f for f in verify(tmp_path) if f.level == "error" and "smoke run" not in f.text]


def test_evaluate_counts_the_tips_of_handled_things(run, trained, tmp_path):
    options = ("--split", "object", "--n", 2, "--results-dir", tmp_path)
    assert run("evaluate", "--checkpoint", trained.checkpoint, *options)[0] == 0
    record = results.read(tmp_path / "run-object-n2.json")
    assert record["config"]["scored"] == [4, 8, 12, 16, 20]
    joints = record["curves"]["joint"]
    assert [n for n, name in zip(joints["n"], joints["joint"], strict=True) if not name.endswith("4")] == [0] * 16
    assert "refinement" not in record["curves"]


def test_evaluate_real_hands(run, trained, hand, tmp_path):
    photos = tmp_path / "secret" / "album"
    photos.mkdir(parents=True)
    write_photos(photos, hand)
    options = ("--data", f"photos:{photos}", "--n", 3, "--refine", 1, "--results-dir", tmp_path)
    status, _, err = run("evaluate", "--checkpoint", trained.checkpoint, *options)
    assert status == 0, err
    record = results.read(tmp_path / "run-photos-refined1-n3.json")
    assert record["synthetic"] is False and "secret" not in json.dumps(record) and "photos:album" in record["command"]
    assert record["data"]["n"] == 3 and "PhotoFolder album" in record["data"]["name"] and "digest" not in record["data"]
    names = {metric["name"] for metric in record["metrics"]}
    assert "joints_root_mean_mm" in names and "mean_iou" not in names and "tone" not in record["curves"]
    assert results.value(record, "joints_procrustes_mean_mm") > 0


def test_what_cannot_be_evaluated(refused, trained):
    checkpoint = ("--checkpoint", trained.checkpoint)
    assert "'rhd' names no data set: write KIND:PATH" in refused("evaluate", *checkpoint, "--data", "rhd")
    assert "no folder at nowhere" in refused("evaluate", *checkpoint, "--data", "rhd:nowhere")
    assert "--n must be at least 1, not 0" in refused("evaluate", "--n", 0)
    assert "--refine must be at least 0, not -1" in refused("evaluate", "--refine", -1)


def test_train_then_predict(run, picture, tmp_path):
    options = ("--epochs", 1, "--images", 4, "--val-images", 2, "--batch-size", 2, "--lifting-steps", 1)
    status, out, _ = run("train", "--profile", "smoke", *options, "--out", tmp_path / "run")
    assert status == 0 and "trained 1 epochs" in out and "model.safetensors" in out
    assert len(read_log(tmp_path / "run")) == 1
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["profile"] == "smoke" and config["images"] == 4 and config["model"]["size"] == 64
    checkpoint = tmp_path / "run" / "model.safetensors"
    assert run("predict", picture, *BOX, "--checkpoint", checkpoint, "--out", tmp_path, "--refine", 0)[0] == 0


# ---- what the user can mend


def test_unknown_command(refused):
    known = "train, ablate, data, bench, predict, export, evaluate, reproduce, results, info"
    for arguments in (("fit",), ("fit", "--traceback")):  # there is nothing to trace
        assert f"unknown command 'fit': choose one of {known}" in refused(*arguments)
    assert "'rhd' names no data set: write KIND:PATH" in refused("data", "check", "rhd")


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


def test_unknown_benchmark(run, refused):
    status, out, err = run("bench", "foot")
    names = "checks, data, hand, renderer, predict, refinement, training"
    said = " ".join(err.replace("│", " ").split())  # without the frame, and where lines break in it
    assert status == 2 and not out and "foot" in said and names in said
    assert "unknown profile 'gpu': choose one of smoke, laptop" in refused("bench", "hand", "--profile", "gpu")
    assert "unknown profile 'huge': choose one of smoke, laptop" in refused("bench", "hand", "--profile", "huge")


def test_bench_without_smplx(refused, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "smplx", None)
    line = refused("bench", "hand", "--profile", "smoke", "--results-dir", tmp_path)
    assert "smplx, which is not installed: pip install smplx" in line and not list(tmp_path.iterdir())


def test_missing_checkpoint(refused, picture, tmp_path):
    line = refused("predict", picture, "--checkpoint", tmp_path / "none.safetensors")
    assert "no checkpoint at" in line and "handlib train" in line


def test_corrupted_checkpoint(refused, picture, trained, tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(trained.checkpoint.read_bytes()[:1000])
    assert "not a safetensors checkpoint" in refused("predict", picture, "--checkpoint", path)
    assert "not a safetensors checkpoint" in refused("evaluate", "--checkpoint", path)


@pytest.mark.parametrize("content", [None, b"", b"no picture"], ids=["missing", "empty", "text"])
def test_unreadable_image(refused, trained, tmp_path, content):
    path = tmp_path / "a.png"
    if content is not None:
        path.write_bytes(content)
    line = refused("predict", path, "--checkpoint", trained.checkpoint, "--out", tmp_path / "out")
    assert "a.png" in line and not (tmp_path / "out").exists()


def test_nothing_is_written_when_one_image_is_bad(refused, trained, picture, tmp_path):
    refused("predict", picture, tmp_path / "none.png", "--checkpoint", trained.checkpoint, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_images_of_the_same_name(refused, trained, picture, tmp_path):
    other = tmp_path / "palm.jpg"
    line = refused("predict", picture, other, "--checkpoint", trained.checkpoint)
    assert "two of the images have the same name" in line


def test_no_image(refused):
    assert "no image given" in refused("predict")


def test_a_box_too_small(refused, trained, picture):
    assert "too small" in refused("predict", picture, "--box", 0, 0, 3, "--checkpoint", trained.checkpoint)


def test_another_config_in_the_same_folder(refused, trained, tmp_path):
    folder = shutil.copytree(trained.folder, tmp_path / "run")
    line = refused("train", "--profile", "smoke", "--epochs", 9, "--out", folder)
    assert "another config" in line and "--no-resume" in line


def test_ctrl_c_is_no_traceback(run, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("handlib.cli.train.train", interrupt)
    status, _, err = run("train", "--profile", "smoke")
    assert status == 130 and "Traceback" not in err


def test_what_is_left_over_is_one_line(run, monkeypatch):
    def broken(*_, **__):
        raise KeyError("a defect")

    monkeypatch.setattr("handlib.cli.train.train", broken)
    status, _, err = run("train", "--profile", "smoke")
    assert status == 1 and err.count("\n") == 1 and "--traceback" in err and "a defect" in err
    with pytest.raises(KeyError):
        run("train", "--profile", "smoke", "--traceback")


def test_too_little_memory_is_one_line(run, monkeypatch):
    def large(*_, **__):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 17179869184 bytes")

    monkeypatch.setattr("handlib.cli.train.train", large)
    status, _, err = run("train", "--profile", "smoke")
    assert status == 2 and err.startswith("handlib: not enough memory") and err.count("\n") == 1


def test_wrong_options_are_refused(run):
    wrong = ("evaluate --n many", "data chek", "predict --side both", "train --epoch-count 3")
    for arguments in map(str.split, wrong):
        status, _, err = run(*arguments)
        assert status == 2 and "Traceback" not in err


def test_version(run):
    assert run("--version")[1].strip() == handlib.__version__


def test_help_loads_no_torch():
    code = "import sys; sys.argv[1:] = []; from handlib.cli import main; main(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"


def test_letters_that_the_terminal_lacks():
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        [sys.executable, "-m", "handlib.cli", "train", "--help"], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0 and "--joint-learning-rate" in done.stdout


@pytest.mark.skipif(os.name == "nt", reason="pipes of Windows end without SIGPIPE")
def test_a_pipe_that_is_closed_early_is_no_error():
    command = [sys.executable, "-m", "handlib.cli", "reproduce", "--help"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()
        assert process.stderr.read() == "" and process.wait() == 141
