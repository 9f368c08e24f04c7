"""Images in other colors, as another camera or another light would give them."""

import torch
from jaxtyping import Float
from torch import Tensor


def color_noise(n: int, strength: float, generator: torch.Generator) -> Float[Tensor, "{n} 2 3"]:
    """Another exposure and white balance for each of n images: what its channels' gains and offsets differ by."""
    return torch.randn(n, 2, 3, generator=generator).clamp(-2, 2) * strength


def jitter_colors(images: Float[Tensor, "b 3 h w"], noise: Float[Tensor, "b 2 3"]) -> Float[Tensor, "b 3 h w"]:
    """The images in other colors (`color_noise`)."""
    gain, offset = noise.to(images)[..., None, None].unbind(1)
    return (images * (1 + gain) + 0.3 * offset).clamp(0, 1)
