"""Color augmentation: changes the colors of images as another camera or light would."""

import torch
from jaxtyping import Float
from torch import Tensor


def color_noise(n: int, strength: float, generator: torch.Generator) -> Float[Tensor, "{n} 2 3"]:
    """Draws a random exposure and white balance for each of n images: changes of the channels' gains and offsets."""
    return torch.randn(n, 2, 3, generator=generator).clamp(-2, 2) * strength


def jitter_colors(images: Float[Tensor, "b 3 h w"], noise: Float[Tensor, "b 2 3"]) -> Float[Tensor, "b 3 h w"]:
    """Applies `color_noise` to images in [0, 1]."""
    gain, offset = noise.to(images)[..., None, None].unbind(1)
    return (images * (1 + gain) + 0.3 * offset).clamp(0, 1)
