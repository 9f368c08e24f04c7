"""A digest of what a file of tensors holds, to be kept inside of it: a bit that flipped on a disk is noticed."""

import hashlib
from typing import Any

import torch
from torch import Tensor


def digest_of(content: Any) -> str:
    """SHA-256 of tensors, numbers and texts in dicts, lists and tuples; the order of a dict's keys does not count."""
    digest = hashlib.sha256()
    _add(digest, content)
    return digest.hexdigest()


def _add(digest: "hashlib._Hash", content: Any) -> None:
    if isinstance(content, Tensor):
        digest.update(f"{content.dtype} {tuple(content.shape)} ".encode())
        digest.update(content.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    elif isinstance(content, dict):
        digest.update(f"dict {len(content)} ".encode())
        for key in sorted(content, key=repr):
            digest.update(repr(key).encode())
            _add(digest, content[key])
    elif isinstance(content, (list, tuple)):
        digest.update(f"list {len(content)} ".encode())
        for value in content:
            _add(digest, value)
    else:
        digest.update(f"{content!r} ".encode())
