"""A digest of the contents of a file of tensors. It is stored in the file itself, so that damage is noticed."""

import hashlib
from typing import Any

import torch
from torch import Tensor


def digest_of(content: Any) -> str:
    """Returns the SHA-256 of tensors, numbers and texts in dicts, lists and tuples, whatever the order of dict keys."""
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
