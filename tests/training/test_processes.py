import os
import subprocess
import sys

import pytest
import torch
from torch import distributed, nn

from handlib.training.checkpoint import read_log
from handlib.training.processes import Processes, SharedBatchNorm, share_batch_norm
from handlib.training.profiles import preset
from handlib.training.train import train


@pytest.fixture
def group(tmp_path):
    """A group of one process, in which everything is sent that would be between several."""
    distributed.init_process_group("gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


@pytest.mark.parametrize("options", [{}, {"affine": False}, {"momentum": None}, {"momentum": 0.0}])
def test_shared_batch_norm_equals_torchs(group, generator, options):
    """Values, gradients and running statistics."""
    plain = nn.Sequential(nn.BatchNorm2d(3, **options)).double()
    if plain[0].affine:
        nn.init.uniform_(plain[0].weight)
        nn.init.uniform_(plain[0].bias)
    shared = nn.Sequential(nn.BatchNorm2d(3, **options)).double()
    shared.load_state_dict(plain.state_dict())
    share_batch_norm(shared)
    assert isinstance(shared[0], SharedBatchNorm) and shared.state_dict().keys() == plain.state_dict().keys()
    for _ in range(2):
        x = torch.randn(4, 3, 5, 6, generator=generator, dtype=torch.float64).mul(3).add(2)
        weight, results = torch.randn(x.shape, generator=generator, dtype=torch.float64), []
        for network in (plain, shared):
            inputs = x.clone().requires_grad_()
            network.zero_grad()
            out = network(inputs)
            (out * weight).sum().backward()
            results.append([out, inputs.grad, *(p.grad for p in network.parameters()), *network.buffers()])
        for a, b in zip(*results, strict=True):
            assert torch.allclose(a.double(), b.double(), rtol=1e-5, atol=1e-6)
    plain.eval(), shared.eval()
    assert torch.allclose(plain(x), shared(x), rtol=1e-5, atol=1e-6)


def test_shares_make_up_the_batch():
    processes, parts = Processes("cpu"), []
    for index in range(3):
        processes.index, processes.count = index, 3
        parts.append(processes.share(torch.arange(7)))
    assert [len(part) for part in parts] == [3, 2, 2] and torch.equal(torch.cat(parts), torch.arange(7))


def torchrun(count, *arguments):
    """`torchrun --nproc_per_node COUNT -m handlib.cli train …`"""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(count)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, "-m", "handlib.cli", "train", *map(str, arguments)],
        capture_output=True, text=True, env=environment, timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
def test_two_processes_equal_one(tmp_path):
    """The same losses at the same global batch, to rounding; 5 images are not shared equally."""
    options = {"images": 11, "val_images": 4, "batch_size": 6, "lifting_steps": 1, "log_steps": 1, "epochs": 2,
               "evidence_epochs": 1, "average": 0.5}  # fmt: skip
    train(preset("smoke", **options), tmp_path / "one", cache=tmp_path / "cache", progress=False)
    arguments = [part for name, value in options.items() for part in (f"--{name.replace('_', '-')}", value)]
    os.environ["HANDLIB_CACHE"] = str(tmp_path / "cache")
    try:
        said = torchrun(2, "--profile", "smoke", *arguments, "--out", tmp_path / "two")
    finally:
        del os.environ["HANDLIB_CACHE"]
    assert said.count("trained 2 epochs") == 1
    one, two = (read_log(tmp_path / name, steps=True) for name in ("one", "two"))
    assert [row.get("step") for row in one] == [row.get("step") for row in two] == [1, 2, None] * 2
    for a, b in zip(one, two, strict=True):
        for name in a.keys() - {"minutes", "images_per_second"}:
            assert a[name] == pytest.approx(b[name], rel=2e-3, abs=1e-6), name
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
