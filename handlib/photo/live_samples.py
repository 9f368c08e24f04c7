"""Pictures for the live page's readers without a camera: rendered hands before plain colors, nobody's photograph."""

from functools import lru_cache
from typing import NamedTuple

import torch
from jaxtyping import UInt8
from PIL import Image, ImageOps
from torch import Tensor

from ..data import SyntheticHands
from ..viz.packing import encoded
from ..viz.stills import to_image

SIZE = 448  # pixels of a picture's side
MARGIN = 2.0  # of the picture over the hand's box
QUALITY = 82
ROWS = (12, 18, 3)  # of the studio's: pointing, four fingers up, fist


class Sample(NamedTuple):
    alt: str
    picture: Image.Image

    def packed(self) -> dict[str, str]:
        return {"alt": self.alt, "jpeg": encoded(self.picture, "jpeg", QUALITY)}


class Gradient:
    """Backgrounds without photographs: from light blue-gray above to a darker one below."""

    name = "gradient"

    def __len__(self) -> int:
        return 1

    def photograph(self, index: int) -> UInt8[Tensor, "3 h w"]:
        shade = torch.linspace(215, 120, 64)[:, None].expand(64, 64)
        return torch.stack([shade * 0.92, shade * 0.97, shade]).to(torch.uint8)


@lru_cache(maxsize=1)
def samples() -> tuple[Sample, ...]:
    """Right, left, upside down, and two hands at once."""
    data = SyntheticHands("studio", SIZE, 600, backgrounds=Gradient(), crop_factor=MARGIN)
    pointing, open_, fist = (to_image(data[row].image) for row in ROWS)
    both = Image.new("RGB", (2 * SIZE, SIZE))
    both.paste(ImageOps.mirror(open_), (0, 0))
    both.paste(open_, (SIZE, 0))
    return (
        Sample("a rendered right hand with four fingers up", open_),
        Sample("a rendered left hand that points up", ImageOps.mirror(pointing)),
        Sample("a rendered right hand, upside down", ImageOps.flip(ImageOps.mirror(fist))),
        Sample("two rendered hands", both),
    )
