"""Writes the benchmark to disk for programs without handlib, as plain files or as shards in WebDataset's format.

    plain     images/NAME.png  masks/NAME.png  parts/NAME.png  depth/NAME.png  vertices/NAME.npy  annotations.json
    shards    00000.tar, …: NAME.png NAME.mask.png NAME.parts.png NAME.depth.png NAME.vertices.npy NAME.json

Masks are 0 and 255; parts are codes of `sample.PARTS`; depth is in tenths of a millimeter, 0 in the background;
vertices are in meters in the camera frame. annotations.json, which `PhotoFolder` reads, and the .json files have side,
K, joints and other labels, with pixel centers at whole numbers. card.json describes the data set.
"""

import io
import itertools
import json
import os
import tarfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from ...support.files import atomic_path, write_file
from ..sample import PARTS, HandSample, at_most_useful
from .hands import SyntheticHands, digest

DEPTH_UNIT = 1e-4  # meters; 16 bits reach 6.5 m
_FOLDERS = {
    "png": "images",
    "mask.png": "masks",
    "parts.png": "parts",
    "depth.png": "depth",
    "vertices.npy": "vertices",
}


def render(
    data: SyntheticHands,
    out: str | os.PathLike[str],
    shard_size: int = 0,
    workers: int = 0,
    progress: bool = True,
) -> Path:
    """Writes a data set to the folder `out` and returns the folder. shard_size: samples per shard; 0: plain files.

    Samples that exist are not made again, so an interrupted run can be repeated. Raises `ValueError` if the folder
    holds another data set.
    """
    out = Path(out).expanduser()
    card = json.dumps(describe(data, shard_size), indent=1, ensure_ascii=False) + "\n"
    path = out / "card.json"
    if path.is_file() and path.read_text(encoding="utf-8") != card:
        raise ValueError(f"{path} describes another data set: choose another folder for {data.name}")
    write_file(path, card)
    todo = [i for i in range(len(data)) if not _done(data, out, shard_size, i)]
    bar = tqdm(_samples(data, todo, workers), f"rendering {data.split}", len(todo), disable=not progress, unit="image")
    if shard_size:
        _write_shards(iter(bar), todo, shard_size, out)
    else:
        for sample in bar:
            files = encode(sample)
            description = files.pop("json")  # written last: it marks a complete sample
            for kind, content in files.items():
                write_file(out / _FOLDERS[kind] / f"{sample.name}.{kind.split('.')[-1]}", content)
            write_file(out / "samples" / f"{sample.name}.json", description)
        _write_annotations(data, out)
    return out


def describe(data: SyntheticHands, shard_size: int = 0) -> dict[str, Any]:
    """Returns the contents of the card of a data set."""
    return {
        "name": data.name,
        "n": len(data),
        "setting": asdict(data.setting),
        "shard_size": shard_size,
        "parts": list(PARTS),
        "depth_unit_m": DEPTH_UNIT,
        "digest": digest(data),
        "license": "CC0 1.0, but for the photographs behind the hands, which keep their own",
    }


def encode(sample: HandSample) -> dict[str, bytes]:
    """Returns the contents of the files of a sample by suffix."""
    depth = (sample.depth / DEPTH_UNIT).round().clamp(0, 65535).numpy().astype(np.uint16)
    vertices = io.BytesIO()
    np.save(vertices, sample.vertices_cam.numpy())
    shift = torch.tensor([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]])
    description = {
        "name": sample.name,
        "image": f"images/{sample.name}.png",
        # The stored crop is mirrored if it was a left hand.
        "side": "right",
        "original_side": sample.side,
        "K": (sample.K - shift).tolist(),
        "xyz": sample.joints_cam.tolist(),
        "uv": (sample.joints_px - 0.5).tolist(),
        "visible": sample.visible.tolist(),
        "box": sample.box.tolist(),
        "tone": float(sample.tone),
    }
    return {
        "png": _png((sample.image.movedim(0, -1) * 255).round().byte().numpy()),
        "mask.png": _png((sample.mask * 255).byte().numpy()),
        "parts.png": _png(sample.parts.byte().numpy()),
        "depth.png": _png(depth),
        "vertices.npy": vertices.getvalue(),
        "json": json.dumps(description).encode(),
    }


def _png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def _samples(data: SyntheticHands, indices: list[int], workers: int) -> Iterator[HandSample]:
    loader = DataLoader(data, batch_size=8, sampler=indices, num_workers=at_most_useful(workers), collate_fn=list)
    for batch in loader:
        yield from batch


def _done(data: SyntheticHands, out: Path, shard_size: int, index: int) -> bool:
    if shard_size:
        return (out / f"{index // shard_size:05d}.tar").is_file()
    return (out / "samples" / f"{data.sample_name(index)}.json").is_file()


def _write_shards(samples: Iterator[HandSample], indices: list[int], shard_size: int, out: Path) -> None:
    for shard, members in itertools.groupby(indices, lambda index: index // shard_size):
        with atomic_path(out / f"{shard:05d}.tar") as temporary, tarfile.open(temporary, "w") as tar:
            for sample in itertools.islice(samples, len(list(members))):
                for kind, content in encode(sample).items():
                    entry = tarfile.TarInfo(f"{sample.name}.{kind}")
                    entry.size = len(content)
                    tar.addfile(entry, io.BytesIO(content))


def _write_annotations(data: SyntheticHands, out: Path) -> None:
    rows = [
        json.loads((out / "samples" / f"{data.sample_name(i)}.json").read_text(encoding="utf-8"))
        for i in range(len(data))
    ]
    write_file(out / "annotations.json", json.dumps(rows).encode())
