import os
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from torch import nn

from handlib.training.checkpoint import read_log
from handlib.training.processes import Processes
from handlib.training.profiles import preset
from handlib.training.train import train


def test_shares_make_up_the_batch():
    processes, parts = Processes("cpu"), []
    for index in range(3):
        processes.index, processes.count = index, 3
        parts.append(processes.share(torch.arange(7)))
    assert [len(part) for part in parts] == [3, 2, 2] and torch.equal(torch.cat(parts), torch.arange(7))


FROZEN = """
from torch import nn

def forward(self, x):
    return nn.functional.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias)

nn.BatchNorm2d.forward = forward
"""


def torchrun(count, script, *arguments):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(count)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [*command, str(script), "train", *map(str, arguments)],
        capture_output=True, text=True, env=environment, timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
def test_two_processes_equal_one(tmp_path, monkeypatch):
    """The same losses at the same global batch, to rounding; 5 images are not shared equally.

    Batch norms are frozen, and Eq. 2 is not taken over the variance of F, since on CPUs each process has those of its
    own images.
    """
    monkeypatch.setattr(nn.BatchNorm2d, "forward", nn.BatchNorm2d.forward)  # restored at the end
    exec(FROZEN, {})
    script = tmp_path / "frozen.py"
    script.write_text(FROZEN + "from handlib.cli import main\nmain()\n")
    options = {"images": 11, "val_images": 4, "batch_size": 6, "lifting_steps": 1, "log_steps": 1, "epochs": 2,
               "evidence_epochs": 1, "average": 0.5}  # fmt: skip
    plain = replace(preset("smoke").loss, feature_scaled=False)
    train(preset("smoke", **options, loss=plain), tmp_path / "one", cache=tmp_path / "cache", progress=False)
    arguments = [part for name, value in options.items() for part in (f"--{name.replace('_', '-')}", value)]
    os.environ["HANDLIB_CACHE"] = str(tmp_path / "cache")
    try:
        said = torchrun(2, script, "--profile", "smoke", "--no-feature-scaled", *arguments, "--out", tmp_path / "two")
    finally:
        del os.environ["HANDLIB_CACHE"]
    assert said.count("trained 2 epochs") == 1
    one, two = (read_log(tmp_path / name, steps=True) for name in ("one", "two"))
    assert [row.get("step") for row in one] == [row.get("step") for row in two] == [1, 2, None] * 2
    for a, b in zip(one, two, strict=True):
        for name in a.keys() - {"minutes", "images_per_second"}:
            rounding = 1e-4 if name.endswith("_mm") else 1e-6  # of errors of 80 mm, and of the difference of two
            assert a[name] == pytest.approx(b[name], rel=2e-3, abs=rounding), name
    assert {path.name for path in (tmp_path / "one").iterdir()} == {path.name for path in (tmp_path / "two").iterdir()}


def test_without_accelerate_one_process_trains(monkeypatch, trained, tmp_path):
    monkeypatch.setitem(sys.modules, "accelerate", None)
    assert Processes("cpu").count == 1
    found = train(preset("smoke"), tmp_path, cache=trained.cache, progress=False)
    mine, theirs = found.state_dict(), trained.model.state_dict()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_without_accelerate_nothing_more_is_promised(monkeypatch):
    monkeypatch.setitem(sys.modules, "accelerate", None)
    with pytest.raises(ModuleNotFoundError, match=r"mixed precision needs accelerate.*pip install 'handlib\[dist"):
        Processes("cpu", "bf16")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ModuleNotFoundError, match="several processes needs accelerate"):
        Processes("cpu")


def test_half_precision_is_what_was_asked_for():
    network, inputs = nn.Conv2d(2, 2, 3), torch.rand(1, 2, 8, 8)
    for precision, dtype in (("bf16", torch.bfloat16), ("no", torch.float32)):
        with Processes("cpu", precision).autocast():
            assert network(inputs).dtype == dtype


def test_fp16_needs_a_gpu():
    with pytest.raises(ValueError, match="fp16 needs a GPU: choose bf16 or no"):
        Processes("cpu", "fp16")
    Processes("cpu", "no")
