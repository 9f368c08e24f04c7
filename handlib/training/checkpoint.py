"""The folder of a training run, from which a run that was killed at any moment resumes to the same result.

`config.json`; `log.jsonl`, a row per epoch and per `log_steps` steps; `state.pt`, everything needed to resume;
`pool-*.safetensors`, the instances made by augmentation; `model.safetensors`, the result.
"""

import json
import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..networks.checkpoint import checkpoint_path
from ..support.digests import load_state, load_tensors, save_state, save_tensors
from ..support.files import naming_full_disk, write_file, write_json
from ..support.json_text import parse_json, read_json

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

        Raises `ValueError` if the folder holds a run of another config, a file that cannot be read, or, as its result,
        the checkpoint that the run starts from.
        """
        for name in ("init", "init_pose"):
            start = config.get(name)
            if start and checkpoint_path(start).resolve() == (self.path / "model.safetensors").resolve():
                option = name.replace("_", "-")
                raise ValueError(
                    f"--{option} is the result in {self.path}, which this run would overwrite: choose another --out"
                )
        self.path.mkdir(parents=True, exist_ok=True)
        config = json.loads(json.dumps(config))  # tuples are lists, as in the file
        for leftover in self.path.glob(".*.part"):
            leftover.unlink()  # left by a write that was killed
        if resume and (self.path / "state.pt").is_file():
            before = read_json(self.path / "config.json", _MEND)
            if _essence(before) != _essence(config):
                raise ValueError(
                    f"{self.path} holds a run of another config: choose another folder, or --no-resume to overwrite it"
                )
            state = self.state()
            self._trim_log(state["epoch"], state["step"])
            return state
        for old in ("state.pt", "model.safetensors"):  # first: an old state must not be resumed under the new config
            (self.path / old).unlink(missing_ok=True)
        write_json(self.path / "config.json", config)
        self.drop_rows(0)
        (self.path / "log.jsonl").write_text("")
        return None

    def state(self) -> dict[str, Any] | None:
        """Returns the state (`STATE`), or None if there is none."""
        path = self.path / "state.pt"
        return load_state(path, STATE, _MEND) if path.is_file() else None

    def save(self, state: dict[str, Any], rows: dict[str, Tensor] | None = None) -> None:
        """Writes the rows of the pool that are new since the last state, then the state."""
        if rows:
            first = state["rows"] - len(next(iter(rows.values())))
            save_tensors(self.path / f"pool-{first:08d}.safetensors", rows)
        save_state(self.path / "state.pt", state)

    def rows(self, count: int) -> list[dict[str, Tensor]]:
        """Returns the first `count` rows of the pool in parts; deletes later ones, since the run makes them again."""
        self.drop_rows(count)
        parts = [load_tensors(path, _MEND) for path in sorted(self.path.glob("pool-*.safetensors"))]
        saved = sum(len(part["image"]) for part in parts)
        if saved != count:
            raise ValueError(f"{self.path}: the pool has {saved} of its {count} instances; {_MEND}")
        return parts

    def drop_rows(self, count: int) -> None:
        """Deletes what was saved of the pool after its first `count` rows."""
        for path in self.path.glob("pool-*.safetensors"):
            if int(path.stem.split("-")[1]) >= count:
                path.unlink()

    def holds(self, model: nn.Module) -> bool:
        """Returns whether model.safetensors is whole and has the weights of this model."""
        try:
            kept = type(model).from_pretrained(self.path / "model.safetensors").state_dict()
        except (OSError, ValueError):
            return False
        own = model.state_dict()
        return kept.keys() == own.keys() and all(torch.equal(kept[name], value.cpu()) for name, value in own.items())

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
        write_file(self.path / "log.jsonl", "".join(json.dumps(row) + "\n" for row in rows))

    def save_batch(self, batch: dict[str, Tensor], process: int) -> Path:
        """Saves the batch at which a run diverged; returns the path."""
        path = self.path / (f"bad-batch-{process}.safetensors" if process else "bad-batch.safetensors")
        save_tensors(path, batch)
        return path


def read_log(out: str | os.PathLike[str], steps: bool = False) -> list[dict[str, float]]:
    """Returns the rows of the log of a run, one per epoch; with `steps` also those within epochs, which have a "step".

    An incomplete last line, of a run that was killed or is writing it now, is left out.
    """
    rows = []
    path = Path(out) / "log.jsonl"
    if not path.is_file():
        raise FileNotFoundError(f"no log at {path}: name the folder of a run of `handlib train`")
    for number, line in enumerate(path.read_bytes().split(b"\n")[:-1], 1):
        row = parse_json(line, f"{path}: line {number}", _MEND)
        if not isinstance(row, dict) or not all(isinstance(value, int | float) for value in row.values()):
            raise ValueError(f"{path}: line {number} must be an object of numbers; {_MEND}")
        if type(row.get("epoch")) is not int:
            raise ValueError(f"{path}: line {number} lacks the field 'epoch'; {_MEND}")
        if steps or "step" not in row:
            rows.append(row)
    return rows


def _essence(config: Any) -> Any:
    """Returns a config without the fields that may change when a run is resumed."""
    return {k: v for k, v in config.items() if k not in MACHINE} if isinstance(config, dict) else config
