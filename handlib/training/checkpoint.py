"""The folder of a training run, from which a run that was killed at any moment resumes to the same result.

`config.json`; `log.jsonl`, a row per epoch and per `log_steps` steps; `state.pt`, everything needed to resume;
`pool-*.safetensors`, the instances made by augmentation; `model.safetensors`, the result.
"""

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..support.digests import digest_of
from ..support.files import atomic_path, naming_full_disk

MAX_BYTES = 16 << 30  # of a state; more than three times the parameters of any model here
STATE = {"model": dict, "optimizer": dict, "average": dict, "sums": dict, "epoch": int, "step": int, "updates": int,
         "rows": int, "pool_at_start": int, "seconds": float}  # fmt: skip
MACHINE = ("device", "workers", "save_minutes", "log_steps")  # fields of a config that do not change the result
_MEND = "choose another folder, or --no-resume to start again"


class RunFolder:
    """Reads and writes the folder of one run."""

    def __init__(self, path: str | os.PathLike[str]):
        self.path = Path(path)

    def open(self, config: dict[str, Any], resume: bool) -> dict[str, Any] | None:
        """Makes the folder for a run of `config`; returns the state (`STATE`) to resume from, or None.

        Raises `ValueError` if the folder holds a run of another config or a file that cannot be read.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        config = json.loads(json.dumps(config))  # tuples are lists, as in the file
        for leftover in self.path.glob(".*.part"):
            leftover.unlink()  # left by a write that was killed
        if resume and (self.path / "state.pt").is_file():
            before = _read(self.path / "config.json", lambda path: json.loads(path.read_text()))
            if _essence(before) != _essence(config):
                raise ValueError(
                    f"{self.path} holds a run of another config: choose another folder, or --no-resume to overwrite it"
                )
            state = self.state()
            self._trim_log(state["epoch"], state["step"])
            return state
        with atomic_path(self.path / "config.json") as temporary:
            temporary.write_text(json.dumps(config, indent=1))
        for old in ("state.pt", "model.safetensors"):
            (self.path / old).unlink(missing_ok=True)
        self.drop_rows(0)
        (self.path / "log.jsonl").write_text("")
        return None

    def state(self) -> dict[str, Any] | None:
        """Returns the state (`STATE`), or None if there is none."""
        path = self.path / "state.pt"
        return _read(path, _read_state) if path.is_file() else None

    def save(self, state: dict[str, Any], rows: dict[str, Tensor] | None = None) -> None:
        """Writes the rows of the pool that are new since the last state, then the state."""
        if rows:
            first = state["rows"] - len(next(iter(rows.values())))
            with atomic_path(self.path / f"pool-{first:08d}.safetensors") as temporary:
                save_file(rows, temporary)
        with atomic_path(self.path / "state.pt") as temporary:
            torch.save(state | {"digest": digest_of(state)}, temporary)

    def rows(self, count: int) -> list[dict[str, Tensor]]:
        """Returns the first `count` rows of the pool in parts; deletes later ones, since the run makes them again."""
        self.drop_rows(count)
        parts = [_read(path, load_file) for path in sorted(self.path.glob("pool-*.safetensors"))]
        saved = sum(len(part["image"]) for part in parts)
        if saved != count:
            raise ValueError(f"{self.path}: the pool has {saved} of its {count} instances; {_MEND}")
        return parts

    def drop_rows(self, count: int) -> None:
        """Deletes what was saved of the pool after its first `count` rows."""
        for path in self.path.glob("pool-*.safetensors"):
            if int(path.stem.split("-")[1]) >= count:
                path.unlink()

    def log(self, row: dict[str, float]) -> None:
        path = self.path / "log.jsonl"
        with naming_full_disk(path), open(path, "a") as log:
            log.write(json.dumps(row) + "\n")

    def _trim_log(self, epoch: int, step: int) -> None:
        """Deletes the rows written after the last state, since the run makes them again."""

        def kept(row: dict) -> bool:
            done = row["epoch"] <= epoch
            return done or (row["epoch"] == epoch + 1 and row.get("step", step + 1) <= step)

        rows = [row for row in read_log(self.path, steps=True) if kept(row)]
        with atomic_path(self.path / "log.jsonl") as temporary:
            temporary.write_text("".join(json.dumps(row) + "\n" for row in rows))

    def save_batch(self, batch: dict[str, Tensor], process: int) -> Path:
        """Saves the batch at which a run diverged; returns the path."""
        path = self.path / (f"bad-batch-{process}.safetensors" if process else "bad-batch.safetensors")
        with atomic_path(path) as temporary:
            save_file({name: value.detach().cpu().contiguous() for name, value in batch.items()}, temporary)
        return path


def read_log(out: str | os.PathLike[str], steps: bool = False) -> list[dict[str, float]]:
    """Returns the rows of the log of a run, one per epoch; with `steps` also those within epochs, which have a "step".

    An incomplete last line, of a run that was killed or is writing it now, is left out.
    """
    rows = []
    for line in (Path(out) / "log.jsonl").read_text().split("\n")[:-1]:
        row = json.loads(line)
        if steps or "step" not in row:
            rows.append(row)
    return rows


def _essence(config: Any) -> Any:
    """Returns a config without the fields that may change when a run is resumed."""
    return {k: v for k, v in config.items() if k not in MACHINE} if isinstance(config, dict) else config


def _read_state(path: Path) -> dict[str, Any]:
    if path.stat().st_size > MAX_BYTES:
        raise ValueError("too large")
    state = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(state, dict) or any(not isinstance(state.get(key), kind) for key, kind in STATE.items()):
        raise ValueError("not the state of a run")
    digest = state.pop("digest", None)  # states of older versions have none
    if digest is not None and digest != digest_of(state):
        raise ValueError("its digest differs")
    return state


def _read(path: Path, reader: Callable[[Path], Any]) -> Any:
    try:
        return reader(path)
    except (OSError, RuntimeError, ValueError, EOFError, SafetensorError, pickle.UnpicklingError) as error:
        raise ValueError(f"{path}: missing or damaged; {_MEND}") from error
