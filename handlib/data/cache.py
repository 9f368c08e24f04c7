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
from torch.utils.data import DataLoader, Dataset, Subset
from tqdm.auto import tqdm

from ..support.digests import digest_of, load_tensors, save_tensors
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
        cls, dataset: Dataset, workers: int = 0, folder: str | os.PathLike[str] | None = None, progress: bool = True
    ) -> "CachedHands":
        """Renders or reads all samples. Synthetic hands are read back from `folder` if they were rendered there before.

        Those of another hand or of other background pictures are not, even if the names are the same. Masks are NaN
        where only some samples have one.
        """
        path, synthetic = None, isinstance(dataset, SyntheticHands)
        if folder is not None and synthetic:
            digest = hashlib.sha256((dataset.name + _files(dataset)).encode()).hexdigest()[:12]
            path = Path(folder) / f"{dataset.split}-{dataset.size}-{len(dataset)}-{digest}.safetensors"

        def read() -> dict[str, Tensor]:
            loader = DataLoader(dataset, batch_size=8, num_workers=at_most_useful(workers), collate_fn=collate_bytes)
            what = f"rendering {dataset.split}" if synthetic else "reading"
            bar = tqdm(loader, what, unit="batch", disable=not progress)
            # Copies: each tensor from a worker holds an open file, and a process may not have thousands of them.
            return joined([{name: value.clone() for name, value in batch.items()} for batch in bar])

        return cls(made_once(path, read), *_protocol(dataset))


def _files(dataset: SyntheticHands) -> str:
    """Tells hands and backgrounds apart whose names are equal; empty for the open hand and the built-in backgrounds."""
    hand, backgrounds = dataset.hand, dataset.backgrounds
    text = "" if hand.name == "openhand" else digest_of(dict(hand.named_buffers()))
    if (path := getattr(backgrounds, "path", None)) is not None:
        for file in (Path(path, name) for name in getattr(backgrounds, "files", [""])):
            text += f" {file.resolve()} {file.stat().st_size} {file.stat().st_mtime_ns}"
    return text


def _protocol(dataset: Dataset) -> tuple[str, tuple[int, ...], str, int]:
    """Returns name, `scored`, `palm` and `passes` of a data set."""
    if isinstance(dataset, Subset):
        name, *others = _protocol(dataset.dataset)
        return f"{name}, {len(dataset)} of them", *others
    defaults = {"name": type(dataset).__name__, "scored": tuple(range(21)), "palm": "", "passes": 1}
    return tuple(getattr(dataset, name, value) for name, value in defaults.items())


def made_once(path: Path | None, make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
    """Returns what a file of a cache holds, or what `make` makes, which is then kept there.

    Warns if it cannot be kept, such as on a full disk, since it can be made again.
    """
    if path is None:
        return make()
    if path.is_file():
        try:
            return load_tensors(path, "it is made again")
        except ValueError:
            path.unlink(missing_ok=True)  # damaged
    tensors = make()
    try:
        save_tensors(path, tensors)
    except (OSError, SafetensorError) as error:
        warnings.warn(
            f"{path} cannot be written ({error}), so the next run makes it again: set HANDLIB_CACHE to another folder",
            stacklevel=3,
        )
    return tensors


def joined(batches: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Joins batches, also after `to_bytes`, by the fields that all have; masks are NaN where only some have masks.

    Empties the batches, so that most is in memory once.
    """
    if len({batch["mask"].dtype if "mask" in batch else None for batch in batches}) > 1:
        batches = [batch | {"mask": _half_mask(batch)} for batch in batches]
    names = [name for name in batches[0] if all(name in other for other in batches)]
    return {name: torch.cat([batch.pop(name) for batch in batches]) for name in names}


def _half_mask(batch: dict[str, Tensor]) -> Tensor:
    image = batch["image"]
    kind = torch.half if image.dtype == torch.uint8 else image.dtype
    return batch["mask"].to(kind) if "mask" in batch else image.new_full(image[:, 0].shape, torch.nan, dtype=kind)


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
