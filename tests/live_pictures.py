"""The ten pictures on which the live page must equal Python, and what Python says about them.

Each is NAME.rgba, its bytes as a browser's ImageData holds them, and NAME.json.
"""

import json
from pathlib import Path

import torch
from scenes import Hands
from torch import Tensor
from torch.nn import functional

from handlib.photo.estimate import HandEstimate
from handlib.photo.predict import Predictor
from handlib.photo.read import read_photo
from handlib.photo.track import Tracker

RIGHT, LEFT = (0, 200, 100, 256, 0, False), (1, 350, 120, 256, 0, True)


def pictures(rendered: dict[str, Tensor]) -> dict[str, Tensor]:
    """Images (3, h, w) of bytes by name: sides, turns, sizes, one hand, two and none."""
    hands = Hands(rendered)
    scenes = {
        "one": hands.scene(480, 640, RIGHT).image,
        "left": hands.scene(480, 640, LEFT).image,
        "both": hands.scene(480, 640, (0, 40, 100, 256, 0, False), LEFT).image,
        "large": hands.scene(480, 640, (1, 0, 40, 440, 0, True)).image,
        "on its side": hands.scene(480, 640, (1, 200, 100, 256, 1, False)).image,
        "upside down": hands.scene(481, 643, (2, 200, 100, 256, 2, False)).image,
        "small": hands.scene(960, 1280, (1, 900, 300, 96, 0, False), (2, 200, 700, 96, 0, False)).image,
        "crop": rendered["image"][0],
        "none": functional.interpolate(rendered["image"][:1, :, :40, :40], (375, 500), mode="bilinear")[0],
        "12 megapixels": hands.scene(3000, 4000, (0, 900, 700, 1900, 0, False)).image,
    }
    return {name: (image.clamp(0, 1) * 255).round().to(torch.uint8) for name, image in scenes.items()}


def write_goldens(
    folder: Path, predictor: Predictor, rendered: dict[str, Tensor], names: list[str] | None = None
) -> list[str]:
    """Of all pictures, or of some; returns their names."""
    made = {name: image for name, image in pictures(rendered).items() if names is None or name in names}
    for name, image in made.items():
        write_picture(folder, name, image)
        hands = predictor(read_photo(image))
        (folder / f"{name}.json").write_text(json.dumps(_described(image, hands)))
    return list(made)


def write_video_goldens(folder: Path, predictor: Predictor, rendered: dict[str, Tensor]) -> int:
    """A video in which two hands move and go, as NAME-N.rgba and one NAME.json; returns its number of frames."""
    hands, tracker, frames = Hands(rendered), Tracker(predictor), []
    for n in range(10):
        right, left = (0, 40 + 4 * n, 100 + 2 * n, 256, 0, False), (1, 350 + 2 * n, 120, 256 - n, 0, True)
        placed = [left] if n == 4 else [] if n > 7 else [right, left]
        image = (hands.scene(480, 640, *placed).image.clamp(0, 1) * 255).round().to(torch.uint8)
        write_picture(folder, f"video-{n}", image)
        frames.append([described_hand(hand) for hand in tracker(read_photo(image))])
    (folder / "video.json").write_text(json.dumps({"width": 640, "height": 480, "frames": frames}))
    return len(frames)


def write_picture(folder: Path, name: str, image: Tensor) -> None:
    opaque = torch.full_like(image[:1], 255)
    (folder / f"{name}.rgba").write_bytes(torch.cat([image, opaque]).permute(1, 2, 0).contiguous().numpy().tobytes())


def _described(image: Tensor, hands: list[HandEstimate]) -> dict:
    height, width = image.shape[-2:]
    return {"width": width, "height": height, "hands": [described_hand(hand) for hand in hands]}


def described_hand(hand: HandEstimate) -> dict:
    numbers = ("confidence", "vertices_cam", "joints_cam", "joints_px", "h", "K")
    rotation, translation = hand.placement
    return {
        "side": hand.side,
        "score": hand.score,
        "assumed": hand.K_assumed,
        "track": hand.track,
        "rotation": rotation.flatten().tolist(),
        "translation": translation.tolist(),
        **{name: getattr(hand, name).flatten().tolist() for name in numbers},
    }
