"""Measures the photo model on photographs of signed digits: whether the right fingers are straight, and their length.

    python tools/measure/digits.py FOLDER "which photographs, from where" [FIRST_NUMBER]

FOLDER/0 … FOLDER/9 hold photographs IMG_NUMBER of hands in front of a light wall (Sign Language Digits Dataset,
Apache-2.0); the folder is the digit. Only photographs from FIRST_NUMBER on are measured: photographs of one person have
consecutive numbers, so the model may have been trained on people before it. A finger is straight if the distance from
its MCP to its tip is over 0.88 of the length of its chain. A photograph is right if all four fingers are as in its
digit. Reach is how far the mesh ends beyond the end of a straight finger in the photograph, along the finger, over the
side of the hand. Writes results/digits.json.
"""

import re
import sys
import time
from pathlib import Path

import torch
from common import share, spread, write
from torch import Tensor
from tqdm import tqdm

from handlib.evaluation.results import Metric
from handlib.hand import HandModel
from handlib.hand.joints import C21, FINGERS, MANO16
from handlib.photo.estimate import HandEstimate
from handlib.photo.predict import Predictor
from handlib.photo.read import read_photo

STRAIGHT = 0.88
DIGITS = {1: "1000", 2: "1100", 3: "1100", 4: "1111", 5: "1111", 6: "1110", 7: "1101", 8: "1011", 9: "0111"}
STEP, FARTHEST = 0.25, 25.0  # pixels along a ray from a finger's last joint


def main(folder: str, description: str, first: int) -> None:
    started, predictor = time.perf_counter(), Predictor("photo")
    files = [path for path in sorted(Path(folder).glob("[0-9]/*")) if int(re.findall(r"\d+", path.stem)[-1]) >= first]
    missed, right, reach = 0, {digit: [] for digit in DIGITS}, {finger: [] for finger in FINGERS[1:]}
    for path in tqdm(files, "digits"):
        photo, digit = read_photo(path), int(path.parent.name)
        hands = predictor(photo, max_hands=1)
        missed += not hands
        if not hands or digit == 0:
            continue
        shown = [character == "1" for character in DIGITS[digit]]
        straight = straightness(hands[0].joints_cam) > STRAIGHT
        right[digit].append(straight.tolist() == shown)
        for n, finger in enumerate(FINGERS[1:]):
            if shown[n] and straight[n]:
                over = overreach(photo.image(), hands[0], finger)
                reach[finger] += [] if over is None else [over]
    answers = [answer for each in right.values() for answer in each]
    metrics = [
        share("missed", missed, len(files), "no hand found"),
        share("digits_right", sum(answers), len(answers), "the four fingers of digits 1 to 9 straight as shown"),
    ]
    metrics += [
        share(f"digit_{digit}_right", sum(each), len(each), "as above") for digit, each in right.items() if each
    ]
    everything = [value for each in reach.values() for value in each]
    for name, values in {**reach, "all": everything}.items():
        metrics += spread(f"reach_{name}", values, "ratio", "of the hand's side")
    quarter = torch.tensor(everything).quantile(torch.tensor([0.25, 0.75]))
    metrics += [
        Metric(f"reach_all_quartile_{n}", float(q), "ratio", "of the hand's side", "none", len(everything))
        for n, q in zip((1, 3), quarter, strict=True)
    ]
    data = {"name": f"{description}, from number {first} on", "n": len(files)}
    claim, command = "straight fingers and reach on photographs of digits", f'digits.py FOLDER "{description}" {first}'
    write("digits", claim, metrics, predictor.model, data, started, command, synthetic=False)


def straightness(joints: Tensor) -> Tensor:
    """Returns, for the four fingers, the distance from MCP to tip over the length of the chain."""
    chains = torch.stack([joints[[C21.index(f"{finger}{n}") for n in (1, 2, 3, 4)]] for finger in FINGERS[1:]])
    return (chains[:, 3] - chains[:, 0]).norm(dim=-1) / (chains[:, 1:] - chains[:, :-1]).norm(dim=-1).sum(1)


def overreach(image: Tensor, hand: HandEstimate, finger: str) -> float | None:
    """Returns how far the mesh of a finger ends beyond the finger in the photograph, over the side of the hand.

    None if the end of the finger is not visible.
    """
    joints = hand.joints_px
    last, tip = joints[C21.index(f"{finger}3")], joints[C21.index(f"{finger}4")]
    direction = (tip - last) / (tip - last).norm()
    blue = image[2]  # low on skin, high on a light wall
    threshold = otsu(blue)
    steps = torch.arange(0, FARTHEST, STEP)
    inside = sampled(blue, last + steps[:, None] * direction) < threshold
    if not inside[0] or inside.all():
        return None
    end = float(steps[int((~inside).int().argmax())])
    own = finger_vertices(hand.hand, finger)
    mesh = float(((hand.vertices_px[own, :2] - last) @ direction).max())
    return (mesh - end) / float((joints.amax(0) - joints.amin(0)).max())


def finger_vertices(hand: HandModel, finger: str) -> Tensor:
    return (hand.weights[:, MANO16.index(f"{finger}3")] > 0.5).nonzero()[:, 0]


def sampled(image: Tensor, px: Tensor) -> Tensor:
    """Samples an image bilinearly; pixel centers are at +0.5."""
    grid = px / px.new_tensor(image.shape[::-1]) * 2 - 1
    return torch.nn.functional.grid_sample(
        image[None, None], grid[None, None], padding_mode="border", align_corners=False
    )[0, 0, 0]


def otsu(values: Tensor) -> float:
    """Returns the threshold with the least variance on its two sides (Otsu's method)."""
    count, edges = torch.histogram(values.flatten(), 64)
    middle = (edges[1:] + edges[:-1]) / 2
    below, mass = count.cumsum(0), (count * middle).cumsum(0)
    above, rest = below[-1] - below, mass[-1] - mass
    between = below * above * (mass / below.clamp(min=1) - rest / above.clamp(min=1)).square()
    return float(edges[1:][between.argmax()])


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) == 4 else 0)
