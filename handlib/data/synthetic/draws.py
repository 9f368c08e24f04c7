"""Random numbers for batches of samples; each is a hash of a key, the index of the sample and a column.

With an ordinary generator, sample 7 would depend on how samples 0 … 6 were made, and a batch on its size. Here a sample
is the same alone and in any batch, on the CPU and on a GPU.
"""

import math
import zlib

import torch
from torch import Tensor

_BLOCK = 256  # columns that are hashed together
_MASK = 0xFFFFFFFF


class Draws:
    """The random numbers of the samples `indices` under `key`.

    Every method uses the next columns, so the order of calls matters. Results have one leading dimension, the samples.
    """

    def __init__(self, key: str, indices: Tensor):
        self.device = indices.device
        self._row = mix(mix(indices.long() ^ zlib.crc32(key.encode())) + zlib.adler32(key.encode()))
        self._columns = torch.empty(len(indices), 0, device=self.device)
        self._next = 0

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """Draws uniformly from [low, high)."""
        count = math.prod(shape)
        while self._columns.shape[1] < self._next + count:
            counter = torch.arange(_BLOCK, device=self.device) + self._columns.shape[1]
            numbers = mix(self._row[:, None] + mix(counter * 0x9E3779B1))
            self._columns = torch.cat([self._columns, (numbers >> 8).float() * 2**-24], 1)
        numbers = self._columns[:, self._next : self._next + count]
        self._next += count
        return (low + (high - low) * numbers).view(-1, *shape)

    def normal(self, *shape: int) -> Tensor:
        """Draws from the standard normal distribution by the Box–Muller method."""
        radius, angle = self.uniform(2, *shape).unbind(1)
        return (-2 * torch.log1p(-radius)).sqrt() * torch.cos(2 * math.pi * angle)

    def integer(self, high: int, *shape: int) -> Tensor:
        """Draws integers 0 … high − 1."""
        return (self.uniform(*shape) * high).long().clamp(max=high - 1)

    def chance(self, probability: float) -> Tensor:
        """Draws True with this probability."""
        return self.uniform() < probability


def mix(x: Tensor) -> Tensor:
    """Hashes 32-bit integers to random-looking ones by two multiplications and three shifts (after C. Wellons)."""
    x = x & _MASK
    x = ((x ^ (x >> 16)) * 0x7FEB352D) & _MASK
    x = ((x ^ (x >> 15)) * 0x846CA68B) & _MASK
    return x ^ (x >> 16)
