"""Feeds a training run with batches of data sets by index, from memory, from worker processes or from the device.

A `Feed` joins the data sets and the `Pool` of instances that augmentation makes during training: of N images, index i
is an image and index N + j is row j of the pool. The training loop alone decides which indices form a batch.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.utils.data import ConcatDataset, DataLoader, Dataset, Subset

from ..data import CachedHands, SyntheticHands, open_backgrounds, open_spec
from ..data.cache import LEFT_OUT, collate_bytes, from_bytes, joined, to_bytes
from ..data.sample import at_most_useful
from ..data.specs import holds_out
from ..hand import HandModel
from .processes import Processes
from .profiles import TrainConfig

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
    """Opens the data sets that a config names: "synthetic", or a spec of `handlib.data.open_spec`, such as "rhd:PATH".

    split: "train" or "val". For real data, "val" is what a spec holds out of the training split, `rhd,hold=0.05:PATH`,
    or else the test set. images, seed: of the synthetic hands. backgrounds: a spec of `handlib.data.open_backgrounds`
    for the synthetic training hands. crop_jitter: of real training hands (`Crop`).
    """
    if not specs:
        raise ValueError("no data set given: use --data synthetic, or for example --data rhd:PATH stb:PATH")
    opened: list[Dataset] = []
    for spec in specs:
        if spec == "synthetic":
            source = open_backgrounds(backgrounds) if backgrounds and split == "train" else None
            opened.append(SyntheticHands(split, size, images, seed=seed, hand=hand, backgrounds=source))
            continue
        real = open_spec(spec, "test" if split == "val" and not holds_out(spec) else split, size=size)
        if split == "train":
            real.rule = replace(real.rule, jitter=crop_jitter)
        opened.append(real)
    return opened


def in_memory(
    datasets: Sequence[Dataset], workers: int, cache: str | os.PathLike[str] | None, progress: bool
) -> CachedHands:
    """Reads all samples of some data sets into memory. cache: folder that keeps synthetic hands, if given.

    Fields that some data sets lack are left out, except masks, which are NaN where missing. Only joints that every data
    set scores are scored. Raises `ValueError` for a data set whose joint 0 is a palm point, which the hand model lacks.
    """
    check_wrists(datasets)
    parts = [CachedHands.make(dataset, workers, cache, progress) for dataset in datasets]
    tensors = joined([part.tensors for part in parts])
    scored = tuple(row for row in parts[0].scored if all(row in part.scored for part in parts))
    palms = {part.palm for part in parts}  # data sets with different palm points are compared at the wrist
    palm = palms.pop() if len(palms) == 1 else ""
    return CachedHands(tensors, " + ".join(p.name for p in parts), scored, palm, max(p.passes for p in parts))


def evenly(dataset: Dataset, n: int) -> Dataset:
    """Returns at most n samples, evenly spread over the data set."""
    if len(dataset) <= n:
        return dataset
    return Subset(dataset, torch.linspace(0, len(dataset) - 1, n).long().tolist())


def open_feed(
    config: TrainConfig, pool: "Pool", processes: Processes, cache: str | os.PathLike[str] | None, progress: bool
) -> tuple["Feed", CachedHands]:
    """Opens the training set as the config says, and the validation set in the memory of the device."""
    size, hand = config.model.size, HandModel.load(config.model.hand, config.model.fingertips)
    data = open_data(
        config.data, "train", size, hand, config.images, config.data_seed, config.backgrounds, config.crop_jitter
    )
    val = [evenly(d, config.val_images) for d in open_data(config.val_data, "val", size, hand, config.val_images)]
    with processes.main_first():  # the others then read from the cache what the first has rendered
        feed = Feed(data, config.feed, pool, processes.device, config.workers, cache, progress)
        hands = in_memory(val, config.workers, cache, progress)
    if len(feed) < 2:
        raise ValueError(f"the training set, {' + '.join(config.data)}, has fewer than two images")
    return feed, hands.each(lambda value: value.to(processes.device))


def check_wrists(datasets: Sequence[Dataset]) -> None:
    """Raises `ValueError` if joint 0 of a data set is a palm point, some 45 mm from the hand model's wrist."""
    for dataset in datasets:
        whole = dataset.dataset if isinstance(dataset, Subset) else dataset
        if getattr(whole, "joint0", "") == "palm":
            raise ValueError(
                f"{whole.name}: its joint 0 is the palm, the hand model's is the wrist: remove joint0=palm from the "
                "spec (scores compare palm with palm in any case)"
            )


class Pool:
    """Training instances that are added during training, on the CPU; at most `cap`, further ones are dropped.

    A row therefore never changes, and a state saves only the rows that are new since the last one.
    """

    def __init__(self, cap: int):
        self.cap, self.count, self.saved = cap, 0, 0
        self.rows: dict[str, Tensor] = {}  # the first `count` rows are used, the others are spare capacity

    def __len__(self) -> int:
        return self.count

    @property
    def full(self) -> bool:
        return self.count >= self.cap

    def add(self, new: dict[str, Tensor]) -> None:
        """Adds instances with images and masks in [0, 1] or as bytes, with at least the fields of the first ones."""
        n = min(len(new["image"]), self.cap - self.count)
        if n == 0:
            return
        new = new if new["image"].dtype == torch.uint8 else to_bytes(new)
        if not self.rows:
            self.rows = {name: value[:0].cpu() for name, value in new.items()}
        end = self.count + n
        capacity = min(self.cap, 2 * end)
        for name, column in self.rows.items():
            if len(column) < end:
                grown = column.new_empty(capacity, *column.shape[1:])
                grown[: self.count] = column[: self.count]
                self.rows[name] = column = grown
            column[self.count : end] = new[name][:n]
        self.count = end

    def batch(self, indices: Tensor) -> dict[str, Tensor]:
        return from_bytes({name: value[indices] for name, value in self.rows.items()})

    def unsaved(self) -> dict[str, Tensor] | None:
        """Returns the rows added since the last call, or None if there are none."""
        first, self.saved = self.saved, self.count
        if first == self.count:
            return None
        return {name: value[first : self.count].clone() for name, value in self.rows.items()}

    def restore(self, parts: Sequence[dict[str, Tensor]]) -> None:
        for part in parts:
            self.add(part)
        self.saved = self.count


class Feed:
    """Batches of data sets and of a pool, on `device`.

    kind: "memory" reads everything before the first batch and keeps it as bytes (`CachedHands`). "workers" reads or
    renders every batch again, in `workers` other processes. "device" renders every batch on the device
    (`SyntheticHands.batch`).
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
            raise ValueError("the device feed needs exactly one data set of synthetic hands: choose --feed workers")
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
        """Yields the batches of these indices in order; within a batch, images come before rows of the pool."""
        n = len(self)
        images = self._images([chosen for indices in plan if len(chosen := indices[indices < n])])
        for indices in plan:
            parts = [next(images)] if (indices < n).any() else []
            if len(added := indices[indices >= n]):
                parts.append(self._move(self.pool.batch(added - n)))
            yield joined(parts)

    def _images(self, plan: Sequence[Tensor]) -> Iterator[dict[str, Tensor]]:
        if self.kind == "memory":
            return (self._move(self.data.batch(indices)) for indices in plan)
        if self.kind == "device":
            return (self._move(self.data.batch(indices, self.device)) for indices in plan)
        loader = DataLoader(
            self.data,
            batch_sampler=[indices.tolist() for indices in plan],
            num_workers=at_most_useful(self.workers),
            collate_fn=collate_bytes,  # bytes, since a container may have little shared memory
            pin_memory=self.device.type == "cuda",
        )
        return (from_bytes(self._move(batch)) for batch in loader)

    def _move(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        kept = {name: value for name, value in batch.items() if name not in LEFT_OUT}
        return {name: value.to(self.device, non_blocking=True) for name, value in kept.items()}
