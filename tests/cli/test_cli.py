"""What all commands have in common: help, one line for each error, exit codes; `info` and `results`."""

import os
import subprocess
import sys

import pytest

import handlib
from handlib.evaluation import results


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


def test_info(run, trained):
    status, out, _ = run("info")
    assert status == 0
    words = ("handlib", "torch", "python", "device", "renderer", "reference", "lite.", "photo.", str(trained.cache))
    for word in words:
        assert word in out


def test_unknown_command(refused):
    known = "train, ablate, data, bench, predict, export, evaluate, reproduce, results, info"
    for arguments in (("fit",), ("fit", "--traceback")):  # there is nothing to trace
        assert f"unknown command 'fit': choose one of {known}" in refused(*arguments)
    assert "'rhd' names no data set: write KIND:PATH" in refused("data", "check", "rhd")


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
