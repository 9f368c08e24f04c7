import os
import resource
from dataclasses import replace

import pytest
import torch
from torch.utils.data import Dataset

from handlib.data import CachedHands, SyntheticHands
from handlib.data.sample import collate
from handlib.training.feed import LEFT_OUT, Feed, Pool, evenly, from_bytes, in_memory, open_data, to_bytes


class Listed(Dataset):
    """A data set that is neither synthetic nor in memory, as those of real pictures are."""

    name = "listed"

    def __init__(self, n, seed):
        data = SyntheticHands("val", 32, n, seed=seed)
        self.samples = [data[i] for i in range(n)]

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, index):
        return self.samples[index]


class Rendered(Listed):
    """One that makes whole batches on a device."""

    def batch(self, indices, device="cpu"):
        return {name: value.to(device) for name, value in collate([self.samples[i] for i in indices]).items()}


class Repeated(Listed):
    def __init__(self, n):
        super().__init__(1, seed=0)
        self.samples *= n


@pytest.fixture(scope="module")
def listed():
    return Rendered(5, seed=0)


@pytest.mark.parametrize("kind", ["synthetic", "read"])
def test_workers_leave_no_files_open(kind):
    """What a worker sends is an open file to the process that gets it; many systems allow 256, or 1,024."""
    data = SyntheticHands("val", 8, 80) if kind == "synthetic" else Repeated(160)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/dev/fd")) + 40, hard))
    try:
        assert len(in_memory([data], 1, None, progress=False)) == len(data)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def plan():
    return [torch.tensor([4, 0]), torch.tensor([1, 2, 3])]


def needed(samples):
    return {name: value for name, value in collate(samples).items() if name not in LEFT_OUT}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("kind", ["memory", "workers", "device"])
def test_batches_are_those_of_the_plan(listed, plan, kind):
    feed = Feed([listed], kind, Pool(0), progress=False)
    found = list(feed.batches(plan))
    assert len(feed) == 5
    wanted = [needed([listed[int(i)] for i in indices]) for indices in plan]
    assert all(same(a, b) for a, b in zip(found, wanted, strict=True))  # pictures have whole gray levels


@pytest.mark.parametrize("kind", ["memory", "workers"])
def test_several_data_sets_are_one_after_the_other(listed, kind):
    other = Listed(3, seed=1)
    feed = Feed([listed, other], kind, Pool(0), progress=False)
    batch = next(feed.batches([torch.tensor([1, 5, 7])]))
    assert len(feed) == 8 and same(batch, needed([listed[1], other[0], other[2]]))


def test_rows_of_the_pool_follow_the_images(listed):
    pool = Pool(10)
    pool.add(needed([listed[3], listed[2]]))
    feed = Feed([listed], "workers", pool, progress=False)
    plan = [torch.tensor([0, 6]), torch.tensor([5, 6]), torch.tensor([4])]
    wanted = [[0, 2], [3, 2], [4]]
    for batch, indices in zip(feed.batches(plan), wanted, strict=True):
        assert same(batch, needed([listed[i] for i in indices]))


def test_only_common_fields_are_batched(listed):
    pool = Pool(10)
    rows = needed([listed[0]])
    del rows["vertices_cam"]
    pool.add(rows)
    batch = next(Feed([listed], "memory", pool, progress=False).batches([torch.tensor([0, 5])]))
    assert "vertices_cam" not in batch and len(batch["image"]) == 2


def test_synthetic_hands_come_from_the_cache(tmp_path, monkeypatch):
    data = SyntheticHands("train", 32, 3)
    first = in_memory([data], 0, tmp_path, progress=False)
    monkeypatch.setattr(SyntheticHands, "__getitem__", None)  # would fail
    again = in_memory([data], 0, tmp_path, progress=False)
    assert same(first.tensors, again.tensors) and again.name == data.name


def test_pool_takes_no_more_than_its_cap_and_changes_nothing():
    pool = Pool(5)
    for n in range(4):
        value = torch.full((2, 3, 2, 2), n / 255)
        pool.add({"image": value, "mask": value[:, 0], "K": torch.full((2,), float(n))})
        assert len(pool) == min(2 * (n + 1), 5) and pool.full == (n >= 2)
    batch = pool.batch(torch.arange(5))
    assert batch["K"].tolist() == [0, 0, 1, 1, 2]
    assert torch.allclose(batch["image"][:, 0, 0, 0] * 255, batch["K"])


def test_pool_without_new_rows_stays_empty(listed):
    pool = Pool(5)
    pool.add({name: value[:0] for name, value in collate([listed[0]]).items()})
    assert len(pool) == 0 and pool.unsaved() is None


def test_pool_is_restored_from_its_parts(listed):
    pool, parts = Pool(9), []
    for i in range(3):
        pool.add(needed([listed[i], listed[i + 1]]))
        parts.append(pool.unsaved())
    assert pool.unsaved() is None and [len(part["image"]) for part in parts] == [2, 2, 2]
    again = Pool(9)
    again.restore(parts)
    assert same(pool.batch(torch.arange(6)), again.batch(torch.arange(6))) and again.unsaved() is None


def test_bytes_and_back(listed):
    batch = needed([listed[0], listed[1]])
    held = to_bytes(batch)
    assert held["image"].dtype == held["mask"].dtype == torch.uint8
    assert same(from_bytes(held), batch)


def test_an_unknown_mask_stays_unknown(listed):
    batch = needed([listed[0], listed[1]])
    unknown = batch | {"mask": batch["mask"].clone()}
    unknown["mask"][1] = torch.nan
    held = [to_bytes(batch), to_bytes(unknown)]
    both = CachedHands({name: torch.cat([part[name] for part in held]) for name in batch}, "both")
    found = both.batch(torch.tensor([0, 2, 3]))["mask"]
    assert torch.equal(found[0], batch["mask"][0]) and torch.equal(found[1], batch["mask"][0])
    assert found[2].isnan().all() and found.dtype == torch.float32


def test_hands_without_masks_are_held_too(listed):
    class Maskless(Listed):
        name, scored = "maskless", (4, 8)

        def __init__(self):
            self.samples = [replace(sample, mask=None) for sample in listed.samples]

    data = Maskless()
    held = in_memory([data], 0, None, progress=False)
    assert held.name == "maskless" and held.scored == (4, 8) and "mask" not in held.batch(torch.tensor([1]))
    part = in_memory([evenly(data, 3)], 0, None, progress=False)
    assert part.name == "maskless, 3 of them" and part.scored == (4, 8)
    both, rows = in_memory([data, listed], 0, None, progress=False), torch.arange(5)
    assert len(both) == 10 and both.scored == (4, 8)
    masks = both.batch(torch.arange(10))["mask"]  # those that there are stay, the others are unknown
    assert masks[:5].isnan().all() and torch.equal(masks[5:], in_memory([listed], 0, None, False).batch(rows)["mask"])
    assert torch.equal(part.tensors["image"], held.tensors["image"][[0, 2, 4]])


def test_evenly_takes_all_of_what_is_small(listed):
    assert evenly(listed, 5) is listed and len(evenly(listed, 1)) == 1


def test_scored_joints_are_kept(tmp_path):
    data = SyntheticHands("object", 32, 2)
    for _ in range(2):  # rendered, then read back
        held = in_memory([data], 0, tmp_path, progress=False)
        assert held.scored == data.scored == held.first(1).scored and len(held.first(1)) == 1


def test_open_data(hand):
    (data,) = open_data(("synthetic",), "train", 32, hand, images=3, seed=7)
    assert len(data) == 3 and "seed=7" in data.name and data.hand is hand
    with pytest.raises(ValueError, match="no data set given: use --data synthetic"):
        open_data((), "train", 32, hand)
    with pytest.raises(ValueError, match="nonsense"):
        open_data(("nonsense",), "train", 32, hand)


def test_what_cannot_be_rendered_on_the_device(listed):
    with pytest.raises(ValueError, match="choose --feed workers"):
        Feed([Listed(2, 0)], "device", Pool(0))
    with pytest.raises(ValueError, match="choose --feed workers"):
        Feed([listed, listed], "device", Pool(0))
    with pytest.raises(ValueError, match="unknown feed 'disk': choose one of memory, workers, device"):
        Feed([listed], "disk", Pool(0))


def test_memory_is_cached_hands(listed):
    assert isinstance(Feed([listed], "memory", Pool(0), progress=False).data, CachedHands)


def test_training_hands_before_backgrounds_of_ones_own(hand, tmp_path):
    from PIL import Image

    Image.new("RGB", (40, 30), "red").save(tmp_path / "red.png")
    spec = f"pictures:{tmp_path}"
    (train,), (val,) = (open_data(["synthetic"], split, 32, hand, 2, backgrounds=spec) for split in ("train", "val"))
    assert len(train.backgrounds) == 1 and "ImageFolderBackgrounds" in train.name
    assert val.backgrounds.name == "builtin/val"


def test_rows_of_the_pool_keep_their_masks_beside_images_that_have_none(listed):
    pool = Pool(2)
    rows = {name: value for name, value in collate(listed.samples[:2]).items() if name not in LEFT_OUT}
    pool.add(rows)
    for sample in (unmasked := Listed(3, 1)).samples:
        object.__setattr__(sample, "mask", None)
    for kind in ("memory", "workers"):
        (batch,) = Feed([unmasked], kind, pool, progress=False).batches([torch.tensor([0, 1, 3])])
        assert batch["mask"].dtype == torch.float32 and batch["mask"][:2].isnan().all()
        assert (batch["mask"][2] - rows["mask"][0]).abs().max() < 1 / 255
