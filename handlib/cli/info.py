"""`handlib info`: what is installed and what would be used."""

import torch

from ..data.cache import CACHE
from ..evaluation import results
from ..networks.checkpoint import checkpoint_path
from ..renderer.backends import BACKENDS, available, choose
from ..support import jit


def info_command() -> None:
    """Shows what is installed and what would be used: versions, device, renderer, hand model, cache."""
    for key, text in results.versions().items():
        print(f"{key:12} {text}")
    print(f"{'device':12} {results.device_name('cpu')}")
    cuda = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none"
    print(f"{'CUDA':12} {cuda}")
    there = available()
    missing = [name for name in BACKENDS if name not in there]
    also = f"; not installed: {', '.join(missing)}" if missing else ""
    picked = ", ".join(f"{choose('auto', device).name} on {device}" for device in ("cpu", "cuda"))
    print(f"{'renderer':12} auto = {picked} (available: {', '.join(there)}{also})")
    print(f"{'hand model':12} {'compiled loops on the CPU' if jit.available() else 'plain torch (without numba)'}")
    for name in ("photo", "lite"):
        file = checkpoint_path(name)
        print(f"{name:12} {file if file.is_file() else 'not shipped with this version'}")
    print(f"{'cache':12} {CACHE}")
