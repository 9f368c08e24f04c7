"""`CachedHands`: a data set that is rendered or read once and kept in memory as bytes, optionally also on disk."""

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
from .sample import at_most_useful, collate
from .synthetic import SyntheticHands


def _cache_folder() -> Path:
    try:
        return Path(os.environ.get("HANDLIB_CACHE") or "~/.cache/handlib").expanduser()
    except RuntimeError:  # a user without a home folder, as in some containers
        return Path(tempfile.gettempdir()) / f"handlib-{os.getuid()}"


CACHE = _cache_folder()  # the folder that the commands use
LEFT_OUT = ("parts", "depth", "box")  # as large as images, and no loss or score reads them


class CachedHands:
    """All samples of a data set as stacked tensors, images and masks as bytes; `batch(indices)` returns a batch.

    scored, palm, passes: the protocol of the data set (`RealHands`).
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
        """Returns the samples of these indices, with images and masks in [0, 1]."""
        return from_bytes({key: value[indices] for key, value in self.tensors.items()})

    def first(self, n: int) -> "CachedHands":
        return self.each(lambda value: value[:n])

    def each(self, change: Callable[[Tensor], Tensor]) -> "CachedHands":
        """Returns the same data set with `change` applied to every tensor."""
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
                    path.unlink(missing_ok=True)  # damaged; it is made again
        loader = DataLoader(dataset, batch_size=8, num_workers=at_most_useful(workers), collate_fn=collate_bytes)
        bar = tqdm(loader, f"rendering {dataset.split}", unit="batch", disable=not progress)
        parts = [copied(part) for part in bar]
        tensors = {key: torch.cat([part.pop(key) for part in parts]) for key in list(parts[0])}
        if path is not None:
            keep(tensors, path)
        return cls(tensors, dataset.name, dataset.scored)


def keep(tensors: dict[str, Tensor], path: Path) -> None:
    """Writes tensors to a cache. Warns if that fails, such as on a full disk, since they can be made again."""
    try:
        save_tensors(path, tensors)
    except (OSError, SafetensorError) as error:
        warnings.warn(
            f"{path} cannot be written ({error}), so the next run makes it again: set HANDLIB_CACHE to another folder",
            stacklevel=3,
        )


def copied(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """Copies a batch of a `DataLoader`, to keep it.

    Each tensor from a worker holds an open file, and a process may not have thousands of them.
    """
    return {key: value.clone() for key, value in batch.items()}


def collate_bytes(samples: list) -> dict[str, Tensor]:
    """Collates samples without `LEFT_OUT` and converts images and masks to bytes."""
    return to_bytes({name: value for name, value in collate(samples).items() if name not in LEFT_OUT})


def to_bytes(rows: dict[str, Tensor]) -> dict[str, Tensor]:
    """Converts images and masks in [0, 1] to bytes; masks to half precision if some are NaN (unknown)."""
    packed = {"image": (rows["image"] * 255).round().byte()}
    if "mask" in rows:
        mask = (rows["mask"] * 255).round()
        packed["mask"] = mask.half() if mask.isnan().any() else mask.byte()
    return rows | packed


def from_bytes(rows: dict[str, Tensor]) -> dict[str, Tensor]:
    """Inverts `to_bytes`."""
    return rows | {name: rows[name].float() / 255 for name in ("image", "mask") if name in rows}
