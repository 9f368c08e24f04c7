import errno
import io
import json
import os
import pickle
import shutil

import pytest
import torch
from safetensors.torch import load_file

from handlib.support import digests
from handlib.training.checkpoint import STATE, RunFolder, read_log

CONFIG = {"epochs": 2, "workers": 0}


def state(**changes):
    values = {dict: {}, int: 0, float: 0.0}
    return {name: values[kind] for name, kind in STATE.items()} | changes


def rows(n, first=0):
    return {"image": torch.arange(first, first + n, dtype=torch.uint8)[:, None]}


@pytest.fixture
def folder(tmp_path):
    found = RunFolder(tmp_path / "run")
    assert found.open(CONFIG, resume=True) is None
    return found


def test_a_state_comes_back(folder):
    folder.save(state(model={"w": torch.ones(2)}, epoch=1, seconds=2.5))
    found = folder.open(CONFIG, resume=True)
    assert torch.equal(found["model"]["w"], torch.ones(2)) and found["epoch"] == 1 and found["seconds"] == 2.5


def test_anew_leaves_nothing_of_the_old_run(folder):
    folder.save(state(rows=2), rows(2))
    folder.log({"epoch": 1})
    assert folder.open(CONFIG, resume=False) is None
    assert {path.name for path in folder.path.iterdir()} == {"config.json", "log.jsonl"}
    assert read_log(folder.path) == []


def test_another_config_is_refused(folder):
    folder.save(state())
    with pytest.raises(ValueError, match="holds a run of another config: choose another folder, or --no-resume"):
        folder.open(CONFIG | {"epochs": 3}, resume=True)
    assert folder.open(CONFIG | {"workers": 2}, resume=True) is not None  # changes no result


def test_a_write_that_was_killed_leaves_the_last_state(folder, monkeypatch):
    folder.save(state(epoch=1))

    def killed(_, file):
        file.write(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", killed)
        with pytest.raises(KeyboardInterrupt):
            folder.save(state(epoch=2))
    (folder.path / ".state.pt.1.part").write_bytes(b"of a process that could not even tidy up")
    assert folder.open(CONFIG, resume=True)["epoch"] == 1
    assert not list(folder.path.glob(".*.part"))


class Evil:
    def __init__(self, trap):
        self.trap = trap

    def __reduce__(self):
        return os.mkdir, (str(self.trap),)


@pytest.mark.parametrize("how", ["torch", "pickle"])
def test_a_hostile_state_is_refused_and_not_run(folder, tmp_path, how):
    path, trap = folder.path / "state.pt", tmp_path / "trap"
    if how == "torch":
        torch.save(state(model=Evil(trap)), path)
    else:
        path.write_bytes(pickle.dumps(Evil(trap)))
    with pytest.raises(ValueError, match=r"state\.pt: missing or damaged.*--no-resume"):
        folder.open(CONFIG, resume=True)
    assert not trap.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "missing or damaged"),
        ({"epoch": 1}, "not the state of a run"),
        (state(epoch="1"), "not the state of a run"),
        (state(model=torch.ones(1)), "not the state of a run"),
    ],
)
def test_what_is_no_state_is_refused(folder, content, message):
    torch.save(content, folder.path / "state.pt")
    with pytest.raises(ValueError, match=rf"state\.pt: {message}; choose another folder, or --no-resume"):
        folder.open(CONFIG, resume=True)


def test_a_state_too_large_is_refused_unread(folder, monkeypatch):
    folder.save(state())
    monkeypatch.setattr("handlib.support.digests.MAX_BYTES", 10)
    monkeypatch.setattr(torch, "load", None)  # would fail in another way
    with pytest.raises(ValueError, match=r"state\.pt: missing or damaged"):
        folder.open(CONFIG, resume=True)


def test_log_is_trimmed_to_the_state(folder):
    written = [
        {"epoch": 1, "step": 1}, {"epoch": 1, "step": 2}, {"epoch": 1},
        {"epoch": 2, "step": 1}, {"epoch": 2, "step": 2}, {"epoch": 2},
    ]  # fmt: skip
    for row in written:
        folder.log(row)
    with open(folder.path / "log.jsonl", "a") as log:
        log.write('{"epoch": 3, "st')  # the run was killed here
    assert read_log(folder.path, steps=True) == written and read_log(folder.path) == [written[2], written[5]]
    folder.save(state(epoch=1, step=1))
    folder.open(CONFIG, resume=True)
    assert read_log(folder.path, steps=True) == written[:4]
    folder.save(state(epoch=1, step=0))
    folder.open(CONFIG, resume=True)
    assert read_log(folder.path, steps=True) == written[:3]
    assert (folder.path / "log.jsonl").read_text().endswith("\n")


def test_pool_is_saved_in_parts_and_what_is_newer_than_the_state_dropped(folder):
    folder.save(state(rows=2), rows(2))
    folder.save(state(rows=2))
    folder.save(state(rows=5), rows(3, first=2))
    newest = folder.path / "pool-00000005.safetensors"
    shutil.copy(folder.path / "pool-00000002.safetensors", newest)  # written, but then the run was killed
    parts = folder.rows(5)
    assert torch.cat([part["image"] for part in parts])[:, 0].tolist() == [0, 1, 2, 3, 4]
    assert not newest.exists()


def test_a_pool_with_a_gap_is_refused(folder):
    folder.save(state(rows=2), rows(2))
    folder.save(state(rows=5), rows(3, first=2))
    (folder.path / "pool-00000000.safetensors").unlink()
    with pytest.raises(ValueError, match="the pool has 3 of its 5 instances.*--no-resume"):
        folder.rows(5)
    (folder.path / "pool-00000002.safetensors").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"pool-00000002\.safetensors: missing or damaged"):
        folder.rows(5)


def test_a_bad_batch_is_kept(folder):
    path = folder.save_batch({"image": torch.full((2, 3), torch.nan), "visible": torch.tensor([True, False])}, 0)
    found = load_file(path)
    assert found["image"].isnan().all() and found["visible"].tolist() == [True, False]
    assert folder.save_batch({"image": torch.ones(1)}, 1) != path


def test_config_is_readable(folder):
    assert json.loads((folder.path / "config.json").read_text()) == CONFIG


def test_flipped_bits_of_a_state_are_noticed(folder):
    """In the middle of each tensor's bytes, where torch reads without a look."""
    saved = state(model={"w": torch.arange(500.0), "n": torch.tensor(3)}, average={"w": torch.ones(300)}, epoch=1)
    folder.save(saved)
    path = folder.path / "state.pt"
    whole = path.read_bytes()
    for content in (torch.arange(500.0), torch.ones(300)):
        at = whole.index(content.numpy().tobytes()) + 401
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
        with pytest.raises(ValueError, match="state.pt: missing or damaged; choose another folder"):
            folder.state()
    path.write_bytes(whole)
    assert folder.state().keys() == saved.keys()


class _Disk(io.FileIO):
    """A file on a disk with so many bytes left."""

    left = 0

    def write(self, content):
        self.left -= len(content)
        if self.left < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(content)


@pytest.mark.parametrize("left", [0, 700, 5000])  # the whole has more: full at once, in the first tensor, in the last
def test_a_full_disk_is_one_line_with_the_path(folder, monkeypatch, left):
    monkeypatch.setattr(_Disk, "left", left)
    monkeypatch.setattr(digests, "open", _Disk, raising=False)
    with pytest.raises(OSError, match="the disk is full.*free some space.*state.pt"):
        folder.save(state(model={"w": torch.ones(500), "n": torch.ones(500)}))
    assert not list(folder.path.glob(".*.part"))
    (folder.path / "log.jsonl").unlink()
    (folder.path / "log.jsonl").symlink_to("/dev/full")
    with pytest.raises(OSError, match="the disk is full.*log.jsonl"):
        folder.log({"epoch": 1})


@pytest.mark.parametrize("name", ["init", "init_pose"])
@pytest.mark.parametrize("resume", [True, False])
def test_a_run_that_would_overwrite_its_start_is_refused(folder, name, resume):
    path = folder.path / "model.safetensors"
    path.write_bytes(b"a model")
    config = CONFIG | {name: str(folder.path / ".." / "run" / "model.safetensors")}
    option = name.replace("_", "-")
    with pytest.raises(ValueError, match=f"--{option} is the result in .*would overwrite: choose another --out"):
        folder.open(config, resume)
    assert path.read_bytes() == b"a model"


def test_killed_while_overwriting_leaves_no_old_state(folder, monkeypatch):
    """The next run would go on with it under the new config."""
    folder.save(state(epoch=1))
    monkeypatch.setattr("handlib.training.checkpoint.write_json", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        folder.open(CONFIG | {"epochs": 3}, resume=False)
    assert not (folder.path / "state.pt").exists()
