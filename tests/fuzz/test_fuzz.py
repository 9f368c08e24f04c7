"""The short form of `make fuzz`: the same cases each time. In a program of its own, without the tests' check of shapes,
as users run handlib."""

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def tried(*options: str) -> subprocess.CompletedProcess:
    folders = [str(HERE.parents[1]), str(HERE.parent), str(HERE)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(folders), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, HERE / "run.py", *options]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def test_no_argument_file_or_option_ends_badly():
    done = tried("--cases", "200", "--only", "^(?!train|ablate|fit with|augment|bench|predict lite)")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("0 raw error, 0 silent, 0 crash\n")


def test_what_ends_badly_is_seen():
    done = tried("--cases", "10", "--tables", "badly")
    assert done.returncode == 1
    assert done.stdout.endswith("2 right, 1 clear error, 1 raw error, 1 silent, 1 crash\n"), done.stdout + done.stderr
    assert "KeyError" in done.stdout and "the process ended with -6" in done.stdout
