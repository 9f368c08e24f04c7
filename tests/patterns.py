"""Smooth pictures that are the same to the last bit everywhere."""

import torch


def pattern(side: int) -> torch.Tensor:
    """Waves of three directions, one a channel: (1, 3, side, side) in [0, 1]."""
    at = (torch.arange(side) + 0.5) / side
    y, x = torch.meshgrid(at, at, indexing="ij")
    waves = [torch.sin(7 * x + 2 * y), torch.cos(5 * y - 3 * x), torch.sin(9 * x * y + 1)]
    return 0.5 + 0.4 * torch.stack(waves)[None]
