"""Reads checkpoints: safetensors files of weights with the config and notes as text.

A file may come from anywhere, so its size is checked before it is read, and every field of its config is checked by
name and type.
"""

import os
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..support.files import check_file

SHIPPED = {name: Path(__file__).parent / "weights" / f"{name}.safetensors" for name in ("lite", "photo")}
MAX_BYTES = 1 << 30
Config = TypeVar("Config")


def checkpoint_path(name_or_path: str | os.PathLike[str]) -> Path:
    """Returns the file that `DHPE.from_pretrained` reads."""
    return SHIPPED.get(str(name_or_path)) or Path(name_or_path).expanduser()


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Reads weights and metadata. The digest in the file reveals damage; older files have none.

    Raises `FileNotFoundError`, and `ValueError` for a file that is too large, damaged, or not a safetensors file.
    """
    missing = f"no checkpoint at {path}: give 'lite', 'photo', or a file written by `handlib train`"
    check_file(path, MAX_BYTES, missing)
    try:
        with safe_open(path, framework="pt") as file:
            weights = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            metadata = file.metadata() or {}
    except SafetensorError as error:
        raise ValueError(f"{path}: not a safetensors checkpoint ({error}); is the file complete?") from error
    from ..support.digests import digest_of  # late: only files need it

    digest = metadata.pop("digest", None)
    if digest is not None and digest != digest_of([weights, metadata]):
        raise ValueError(f"{path}: the file is damaged (its digest differs): copy or train it again")
    return weights, metadata


def read_config(kind: type[Config], metadata: dict[str, str], path: Path) -> Config:
    """Makes the config, a dataclass of numbers and strings, from the metadata of a checkpoint.

    Raises `ValueError` for missing or unknown fields, and for values of the wrong type or out of range.
    """
    if "config" not in metadata:
        raise ValueError(f"{path}: holds no DHPE config, so it was not written by `DHPE.save`")
    from ..support.json_text import parse_json  # late: only files of weights need it

    config: Any = parse_json(metadata["config"], f"{path}: its config", "it was not written by `DHPE.save`")
    if not isinstance(config, dict):
        raise ValueError(f"{path}: its config is not a JSON object, so it was not written by `DHPE.save`")
    types = {field.name: field.type for field in fields(kind)}
    for name, value in config.items():
        if name not in types:
            raise ValueError(f"{path}: unknown config field '{name}'; update handlib to read it")
        if type(value) is not types[name] or (types[name] is int and not 0 <= value <= 1 << 16):
            raise ValueError(f"{path}: the config field '{name}' must be {types[name].__name__}, not {value!r}")
    try:
        return kind(**config)
    except ValueError as error:
        raise ValueError(f"{path}: invalid config: {error}") from error
