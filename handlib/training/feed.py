"""What a training run is fed with: batches of data sets by index, from memory, from workers or from the device.

A `Feed` adds to the data sets the `Pool` of instances that augmentation makes along the way: index i of N images is an
image, index N + j the pool's row j. Which indices a batch has is decided by the loop alone.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.utils.data import ConcatDataset, DataLoader, Dataset, Subset

from ..data import CachedHands, SyntheticHands, open_backgrounds, open_spec
from ..data.cache import copied
from ..data.sample import collate
from ..data.specs import holds_out
from ..hand import HandModel
from .processes import Processes
from .profiles import TrainConfig

LEFT_OUT = ("parts", "depth", "box")  # no loss or score reads them, and they are as large as the pictures
FEEDS = ("memory", "workers", "device")


def open_data(
    specs: Sequence[str],
    split: str,
    size: int,
    hand: HandModel,
    images: int | None = None,
    seed: int = 0,
    backgrounds: str = "",
    crop_jitter: float = 0.0,
) -> list[Dataset]:
    """The data sets that a config names: "synthetic", or a spec of `handlib.data.open_spec`, such as "rhd:PATH".

    split: "train" or "val"; of real data, which have no such split, the latter is what a spec holds out of the training
    split, `rhd,hold=0.05:PATH`, and without that the test set. images, seed: of the synthetic hands. backgrounds: a
    spec of `handlib.data.open_backgrounds` for those of the training set. crop_jitter: of real training hands (`Crop`).
    """
    if not specs:
        raise ValueError("no data named: --data synthetic, or for example --data rhd:PATH stb:PATH")
    opened: list[Dataset] = []
    for spec in specs:
        if spec == "synthetic":
            behind = open_backgrounds(backgrounds) if backgrounds and split == "train" else None
            opened.append(SyntheticHands(split, size, images, seed=seed, hand=hand, backgrounds=behind))
            continue
        real = open_spec(spec, "test" if split == "val" and not holds_out(spec) else split, size=size)
        if split == "train":
            real.crop = replace(real.crop, jitter=crop_jitter)
        opened.append(real)
    return opened


def in_memory(
    datasets: Sequence[Dataset], workers: int, cache: str | os.PathLike[str] | None, progress: bool
) -> CachedHands:
    """All samples of some data sets, read once; synthetic ones are kept in the folder `cache`, if it is named.

    Fields that not all have are left out, but for masks, which are NaN where a data set has none; of joints those count
    that count in every one of them. `ValueError` for a set whose joint 0 is a palm, which the hand model does not have.
    """
    check_wrists(datasets)
    parts = []
    for dataset in datasets:
        if isinstance(dataset, SyntheticHands):
            parts.append(CachedHands.make(dataset, workers, cache, progress))
        else:
            loader = DataLoader(dataset, batch_size=16, num_workers=workers, collate_fn=_collate_bytes)
            batches = with_masks([copied(batch) for batch in loader])
            tensors = {name: torch.cat([batch.pop(name) for batch in batches]) for name in common(batches)}
            parts.append(CachedHands(tensors, *_protocol(dataset)))
    rows = with_masks([part.tensors for part in parts])
    tensors = {name: torch.cat([row[name] for row in rows]) for name in common(rows)}
    scored = tuple(row for row in parts[0].scored if all(row in part.scored for part in parts))
    palms = {part.palm for part in parts}  # sets that count another point are compared where all have one: the wrist
    palm = palms.pop() if len(palms) == 1 else ""
    return CachedHands(tensors, " + ".join(p.name for p in parts), scored, palm, max(p.passes for p in parts))


def evenly(dataset: Dataset, n: int) -> Dataset:
    """At most n samples, evenly spread over the data set."""
    if len(dataset) <= n:
        return dataset
    return Subset(dataset, torch.linspace(0, len(dataset) - 1, n).long().tolist())


def training_hands(
    config: TrainConfig, cache: str | os.PathLike[str] | None, progress: bool
) -> tuple[CachedHands, CachedHands]:
    """The training and validation hands of `handlib.training.train` with this config, in memory.

    cache: folder that keeps rendered hands.
    """
    data, val = _data_sets(config)
    return in_memory(data, config.workers, cache, progress), in_memory(val, config.workers, cache, progress)


def open_feed(
    config: TrainConfig, pool: "Pool", processes: Processes, cache: str | os.PathLike[str] | None, progress: bool
) -> tuple["Feed", CachedHands]:
    """The training set as the config feeds it, and the validation set in the memory of the device."""
    with processes.main_first():  # the others then read from the cache what it has rendered
        data, val = _data_sets(config)
        feed = Feed(data, config.feed, pool, processes.device, config.workers, cache, progress)
        hands = in_memory(val, config.workers, cache, progress)
    if len(feed) < 2:
        raise ValueError(f"the training set, {' + '.join(config.data)}, has fewer than two images")
    return feed, hands.each(lambda value: value.to(processes.device))


def _data_sets(config: TrainConfig) -> tuple[list[Dataset], list[Dataset]]:
    """Those to train on, and those to validate on."""
    size, hand = config.model.size, HandModel.load(config.model.hand, config.model.fingertips)
    data = open_data(
        config.data, "train", size, hand, config.images, config.data_seed, config.backgrounds, config.crop_jitter
    )
    val = open_data(config.val_data, "val", size, hand, config.val_images)
    return data, [evenly(dataset, config.val_images) for dataset in val]


def check_wrists(datasets: Sequence[Dataset]) -> None:
    """`ValueError` where a data set has a palm in row 0: the hand model's wrist is some 45 mm from it."""
    for dataset in datasets:
        whole = dataset.dataset if isinstance(dataset, Subset) else dataset
        if getattr(whole, "joint0", "") == "palm":
            raise ValueError(
                f"{whole.name}: its joint 0 is the palm, the hand model's the wrist: leave joint0=palm out of the spec "
                "(scores compare palm with palm by themselves)"
            )


def _protocol(dataset: Dataset) -> tuple[str, tuple[int, ...], str, int]:
    """Name, `scored`, `palm` and `passes`."""
    if isinstance(dataset, Subset):
        name, *others = _protocol(dataset.dataset)
        return f"{name}, {len(dataset)} of them", *others
    usual = {"name": type(dataset).__name__, "scored": tuple(range(21)), "palm": "", "passes": 1}
    return tuple(getattr(dataset, name, value) for name, value in usual.items())


def with_masks(rows: Sequence[dict[str, Tensor]]) -> list[dict[str, Tensor]]:
    """Rows, also as of `to_bytes`, whose masks can be put together: unknown ones where only some have any."""
    if len({row["mask"].dtype if "mask" in row else None for row in rows}) == 1:
        return list(rows)

    def masks(row: dict[str, Tensor]) -> Tensor:
        image = row["image"]
        kind = torch.half if image.dtype == torch.uint8 else image.dtype
        return row["mask"].to(kind) if "mask" in row else image.new_full(image[:, 0].shape, torch.nan, dtype=kind)

    return [row | {"mask": masks(row)} for row in rows]


def common(rows: Sequence[dict[str, Tensor]]) -> list[str]:
    """The fields that all have."""
    return [name for name in rows[0] if all(name in other for other in rows)]


def to_bytes(rows: dict[str, Tensor]) -> dict[str, Tensor]:
    """Pictures and masks in [0, 1] as bytes; masks in half precision where some are unknown, that is NaN."""
    packed = {"image": (rows["image"] * 255).round().byte()}
    if "mask" in rows:
        mask = (rows["mask"] * 255).round()
        packed["mask"] = mask.half() if mask.isnan().any() else mask.byte()
    return rows | packed


def from_bytes(rows: dict[str, Tensor]) -> dict[str, Tensor]:
    """Inverse of `to_bytes`, and what `CachedHands.batch` does."""
    return rows | {name: rows[name].float() / 255 for name in ("image", "mask") if name in rows}


def _collate_bytes(samples: list) -> dict[str, Tensor]:
    return to_bytes({name: value for name, value in collate(samples).items() if name not in LEFT_OUT})


class Pool:
    """Training instances that are added while training, on the CPU, at most `cap`: those beyond it are not taken.

    So a row never changes, and what a state saves is the rows that are new since the last one.
    """

    def __init__(self, cap: int):
        self.cap, self.count, self.saved = cap, 0, 0
        self.rows: dict[str, Tensor] = {}  # of the first `count` rows; there may be room for more

    def __len__(self) -> int:
        return self.count

    @property
    def full(self) -> bool:
        return self.count >= self.cap

    def add(self, new: dict[str, Tensor]) -> None:
        """new: with pictures and masks in [0, 1], or already as bytes; with the fields of the first ones at least."""
        n = min(len(new["image"]), self.cap - self.count)
        if n == 0:
            return
        new = new if new["image"].dtype == torch.uint8 else to_bytes(new)
        if not self.rows:
            self.rows = {name: value[:0].cpu() for name, value in new.items()}
        end = self.count + n
        room = min(self.cap, 2 * end)
        for name, column in self.rows.items():
            if len(column) < end:
                grown = column.new_empty(room, *column.shape[1:])
                grown[: self.count] = column[: self.count]
                self.rows[name] = column = grown
            column[self.count : end] = new[name][:n]
        self.count = end

    def batch(self, indices: Tensor) -> dict[str, Tensor]:
        return from_bytes({name: value[indices] for name, value in self.rows.items()})

    def unsaved(self) -> dict[str, Tensor] | None:
        """The rows added since this was last called."""
        first, self.saved = self.saved, self.count
        if first == self.count:
            return None
        return {name: value[first : self.count].clone() for name, value in self.rows.items()}

    def restore(self, parts: Sequence[dict[str, Tensor]]) -> None:
        """Takes back what was saved."""
        for part in parts:
            self.add(part)
        self.saved = self.count


class Feed:
    """Batches of data sets and of a pool, on `device`.

    kind: "memory": everything is read before the first batch and kept as bytes, or is so already (`CachedHands`).
    "workers": read or rendered anew for every batch, in `workers` other processes. "device": rendered there, batch by
    batch (`SyntheticHands.batch`).
    """

    def __init__(
        self,
        datasets: Sequence[Dataset] | CachedHands,
        kind: str,
        pool: Pool,
        device: torch.device | str = "cpu",
        workers: int = 0,
        cache: str | os.PathLike[str] | None = None,
        progress: bool = True,
    ):
        if kind not in FEEDS:
            raise ValueError(f"unknown feed '{kind}': choose one of {', '.join(FEEDS)}")
        if kind == "device" and not (len(datasets) == 1 and hasattr(datasets[0], "batch")):
            raise ValueError("only one data set of synthetic hands is rendered on the device: choose --feed workers")
        self.kind, self.pool, self.device, self.workers = kind, pool, torch.device(device), workers
        if kind == "memory" and isinstance(datasets, CachedHands):
            self.data = datasets
        elif kind == "memory":
            self.data = in_memory(datasets, workers, cache, progress)
        else:
            check_wrists(datasets)
            self.data = datasets[0] if len(datasets) == 1 else ConcatDataset(datasets)

    def __len__(self) -> int:
        return len(self.data)

    def batches(self, plan: Sequence[Tensor]) -> Iterator[dict[str, Tensor]]:
        """The batches of these indices, in this order; within a batch images come before rows of the pool."""
        n = len(self)
        images = self._images([chosen for indices in plan if len(chosen := indices[indices < n])])
        for indices in plan:
            parts = [next(images)] if (indices < n).any() else []
            if len(added := indices[indices >= n]):
                parts.append(self._move(self.pool.batch(added - n)))
            parts = with_masks(parts)
            yield {name: torch.cat([part[name] for part in parts]) for name in common(parts)}

    def _images(self, plan: Sequence[Tensor]) -> Iterator[dict[str, Tensor]]:
        if self.kind == "memory":
            return (self._move(self.data.batch(indices)) for indices in plan)
        if self.kind == "device":
            return (self._move(self.data.batch(indices, self.device)) for indices in plan)
        loader = DataLoader(
            self.data,
            batch_sampler=[indices.tolist() for indices in plan],
            num_workers=self.workers,
            collate_fn=_collate_bytes,  # through shared memory, of which a container may have little
            pin_memory=self.device.type == "cuda",
        )
        return (from_bytes(self._move(batch)) for batch in loader)

    def _move(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        kept = {name: value for name, value in batch.items() if name not in LEFT_OUT}
        return {name: value.to(self.device, non_blocking=True) for name, value in kept.items()}
