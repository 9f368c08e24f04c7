"""The effects of a camera on a scene: blur, exposure, color cast, noise, JPEG compression. Batches.

Every step is continuous in its inputs, so that rounding differences between machines stay small.
"""

import math
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from .appearance import to_picture
from .draws import Draws

PSF = 7  # side of the blur's kernel in pixels
_TILE = 512
# The tables of Annex K of the JPEG standard (ITU-T T.81), for quality 50.
_LUMA = (
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56,
    14, 17, 22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
)  # fmt: skip
_YCC = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))  # of JFIF
_CHROMA = (17, 18, 24, 47, 18, 21, 26, 66, 24, 26, 56, 99, 47, 66, 99, 99)  # the upper left quarter; 99 elsewhere


def photograph(scene: Float[Tensor, "b 3 h w"], draws: Draws) -> Float[Tensor, "b 3 h w"]:
    """Converts linear light to an image in [0, 1] with 256 levels."""
    size = scene.shape[-1]
    motion = draws.uniform(low=0, high=6) * (size / 224) * draws.chance(0.3)
    defocus = draws.uniform(low=0.3, high=1.4) * (size / 224)
    scene = blur(scene, motion, draws.uniform(high=math.pi), defocus)

    # The exposure compensates only half of the brightness, so dark scenes stay darker.
    luma = scene.mean((1, 2, 3)).clamp(min=1e-3)
    gain = (0.22 / luma).sqrt() * draws.uniform(low=0.75, high=1.3)
    cast = gain[:, None] * draws.uniform(3, low=0.9, high=1.1)
    picture = to_picture(scene.mul_(cast[..., None, None]))
    # Shot noise is proportional to the square root of the light, so it is uniform in the image values.
    sigma = draws.uniform(low=0.002, high=0.03)
    picture = noise(draws, *scene.shape[-2:]).mul_(sigma[:, None, None, None]).add_(picture)
    picture = jpeg(picture.clamp_(0, 1), draws.uniform(low=35, high=97))
    return picture.mul_(255).round_().div_(255)


def blur(
    scene: Float[Tensor, "b 3 h w"],
    length: Float[Tensor, " b"],
    angle: Float[Tensor, " b"],
    sigma: Float[Tensor, " b"],
) -> Float[Tensor, "b 3 h w"]:
    """Blurs by a straight motion of `length` pixels during the exposure and by a Gaussian of `sigma` pixels."""
    b = len(scene)
    offset = torch.arange(PSF, device=scene.device) - PSF // 2
    time = torch.linspace(-0.5, 0.5, PSF, device=scene.device)
    x = offset - (length * angle.cos())[:, None, None] * time[:, None]  # (b, time, PSF)
    y = offset - (length * angle.sin())[:, None, None] * time[:, None]
    spread = 2 * sigma.clamp(min=0.25).square()[:, None, None]
    kernel = torch.einsum("bti,btj->bij", (-y.square() / spread).exp(), (-x.square() / spread).exp())
    kernel = kernel / kernel.sum((1, 2), keepdim=True)
    weights = kernel[:, None, None].expand(b, 3, 1, PSF, PSF).reshape(b * 3, 1, PSF, PSF)
    padded = functional.pad(scene.flatten(0, 1)[None], [PSF // 2] * 4, "replicate")
    return functional.conv2d(padded, weights, groups=b * 3).view_as(scene)


def noise(draws: Draws, height: int, width: int) -> Float[Tensor, "b 3 h w"]:
    """Returns standard normal noise: random windows of one large sheet, which repeats."""
    corners = draws.integer(_TILE, 2).tolist()
    sheet = _sheet(str(draws.device), max(height, width))
    return torch.stack([sheet[:, row : row + height, column : column + width] for row, column in corners])


@lru_cache
def _sheet(device: str, size: int) -> Float[Tensor, "3 s s"]:
    """Makes a sheet in which windows of `size` fit at every corner in the first tile."""
    tile = torch.randn(3, _TILE, _TILE, generator=torch.Generator().manual_seed(1))
    offset = torch.arange(_TILE + size) % _TILE
    return tile[:, offset[:, None], offset].to(device)


def jpeg(picture: Float[Tensor, "b 3 h w"], quality: Float[Tensor, " b"]) -> Float[Tensor, "b 3 h w"]:
    """Imitates JPEG at a quality in (0, 100] on an image in [0, 1], with color at half the resolution.

    The rounding is replaced by steep but continuous steps, since a rounding difference between two machines would
    otherwise change a whole block.
    """
    b, _, h, w = picture.shape
    rows, columns = -h % 16, -w % 16
    padded = functional.pad(picture, (0, columns, 0, rows), "replicate") if rows or columns else picture
    to_ycc = 255 * picture.new_tensor(_YCC)
    ycc = (to_ycc @ padded.flatten(2)).view(padded.shape)
    scale = torch.where(quality < 50, 50 / quality, 2 - quality / 50)[:, None, None, None]
    luma_table, chroma_table = ((table * scale).round().clamp(min=1) for table in _tables(str(picture.device)))
    luma = _blocks(ycc[:, :1] - 128, luma_table).add_(128)
    chroma = _blocks(functional.avg_pool2d(ycc[:, 1:], 2), chroma_table)
    chroma = functional.interpolate(chroma, scale_factor=2, mode="bilinear")
    back = torch.linalg.inv(to_ycc)  # its first column, of gray, is the same for all three colors
    gray = luma.flatten(2) * back[0, 0]
    rgb = torch.baddbmm(gray.expand(-1, 3, -1), back[:, 1:].expand(b, 3, 2), chroma.flatten(2))
    return rgb.view(padded.shape)[..., :h, :w].clamp(0, 1)


def _blocks(plane: Float[Tensor, "b c h w"], table: Float[Tensor, "b 1 8 8"]) -> Float[Tensor, "b c h w"]:
    """Applies the discrete cosine transform to blocks of 8 by 8, quantizes by a table, and transforms back."""
    b, c, h, w = plane.shape
    dct = _dct(str(plane.device))
    x = (dct @ plane.view(-1, 8, w)).view(-1, 8) @ dct.T
    steps = table.view(b, 1, 8, 1, 8)
    x = _staircase(x.view(b, -1, 8, w // 8, 8) / steps) * steps
    x = (x.view(-1, 8) @ dct).view(-1, 8, w)
    return (dct.T @ x).view(b, c, h, w)


def _staircase(x: Tensor) -> Tensor:
    """Approximates rounding by a continuous function."""
    for _ in range(2):
        x = torch.sub(x, torch.sin(2 * math.pi * x), alpha=1 / (2 * math.pi))
    return x


@lru_cache
def _dct(device: str) -> Float[Tensor, "8 8"]:
    """Returns the orthonormal DCT matrix, one cosine per row."""
    k, n = torch.arange(8.0)[:, None], torch.arange(8.0)
    rows = torch.cos(math.pi * (n + 0.5) * k / 8) / 2
    return torch.cat([rows[:1] / math.sqrt(2), rows[1:]]).to(device)


@lru_cache
def _tables(device: str) -> Float[Tensor, "2 1 8 8"]:
    chroma = torch.full((8, 8), 99.0)
    chroma[:4, :4] = torch.tensor(_CHROMA).view(4, 4)
    return torch.stack([torch.tensor(_LUMA).float().view(8, 8), chroma])[:, None].to(device)
