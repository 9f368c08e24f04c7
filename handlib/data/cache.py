"""A data set rendered once and kept: in memory as bytes, and on disk if a folder is named."""

import hashlib
import os
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from ..support.digests import load_tensors, save_tensors
from .sample import collate
from .synthetic import SyntheticHands


def _cache_folder() -> Path:
    try:
        return Path(os.environ.get("HANDLIB_CACHE") or "~/.cache/handlib").expanduser()
    except RuntimeError:  # a user, such as a container's, whom the system does not know
        return Path(tempfile.gettempdir()) / f"handlib-{os.getuid()}"


CACHE = _cache_folder()  # where the commands keep theirs
_BYTES = ("image", "mask")  # kept as uint8: a quarter of the memory. A data set may have no masks
_LEFT_OUT = ("parts", "depth", "box")  # no loss or score reads them, and they are as large as the pictures


class CachedHands:
    """All samples of a data set as stacked tensors; `batch(indices)` gives of them what training and scores need.

    scored, palm, passes: how an estimate is compared with it, as of the data set itself (`RealHands`).
    """

    def __init__(
        self,
        tensors: dict[str, Tensor],
        name: str,
        scored: tuple[int, ...] = tuple(range(21)),
        palm: str = "",
        passes: int = 1,
    ):
        self.tensors, self.name = tensors, name
        self.scored, self.palm, self.passes = tuple(scored), palm, passes

    def __len__(self) -> int:
        return len(self.tensors["image"])

    def batch(self, indices: Tensor) -> dict[str, Tensor]:
        rows = {key: value[indices] for key, value in self.tensors.items()}
        return rows | {key: rows[key].float() / 255 for key in _BYTES if key in rows}

    def first(self, n: int) -> "CachedHands":
        """Its first n samples."""
        return self.each(lambda value: value[:n])

    def each(self, change: Callable[[Tensor], Tensor]) -> "CachedHands":
        """The same data set with every tensor changed."""
        tensors = {key: change(value) for key, value in self.tensors.items()}
        return CachedHands(tensors, self.name, self.scored, self.palm, self.passes)

    @classmethod
    def make(
        cls,
        dataset: SyntheticHands,
        workers: int = 0,
        folder: str | os.PathLike[str] | None = None,
        progress: bool = True,
    ) -> "CachedHands":
        """Renders a data set, or reads it back from `folder` if it was rendered there before."""
        path = None
        if folder is not None:
            digest = hashlib.sha256(dataset.name.encode()).hexdigest()[:12]
            path = Path(folder) / f"{dataset.split}-{dataset.size}-{len(dataset)}-{digest}.safetensors"
            if path.is_file():
                try:
                    return cls(load_tensors(path, "it is made again"), dataset.name, dataset.scored)
                except ValueError:
                    path.unlink(missing_ok=True)  # ours, damaged, and can be made again
        loader = DataLoader(dataset, batch_size=8, num_workers=workers, collate_fn=_collate_bytes)
        bar = tqdm(loader, f"rendering {dataset.split}", unit="batch", disable=not progress)
        parts = [copied(part) for part in bar]
        tensors = {key: torch.cat([part.pop(key) for part in parts]) for key in list(parts[0])}
        if path is not None:
            keep(tensors, path)
        return cls(tensors, dataset.name, dataset.scored)


def keep(tensors: dict[str, Tensor], path: Path) -> None:
    """Writes what can be made again. Where that fails, on a full disk for example, says so and goes on."""
    try:
        save_tensors(path, tensors)
    except (OSError, SafetensorError) as error:
        warnings.warn(
            f"not kept for the next run, since {path} cannot be written ({error}): set HANDLIB_CACHE to another folder",
            stacklevel=3,
        )


def copied(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """A batch of a `DataLoader` that is to be kept.

    Each tensor that comes from a worker holds an open file, and thousands of them are more than a process may have.
    """
    return {key: value.clone() for key, value in batch.items()}


def _collate_bytes(samples: list) -> dict[str, Tensor]:
    batch = {key: value for key, value in collate(samples).items() if key not in _LEFT_OUT}
    return batch | {key: (batch[key] * 255).round().byte() for key in _BYTES}
