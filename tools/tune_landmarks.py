"""Tunes the landmark network of the trunk `photo` on rendered hands and writes
handlib/networks/weights/hand_landmarks.safetensors.

    python tools/convert_landmarks.py WHEEL   # the published network, in runs/published
    python tools/tune_landmarks.py HANDS SCENES

The published network fails on many hands that hold things or are seen from the side. Rendered hands of the training
split show it such hands with their true points: those where its own points lie on the mesh (hand/landmark_sets.py). Its
presence learns there to say whether its points are right, through crops that may be far from the hand. What it knows of
photographs must stay: on HANDS, a folder of photographs of hands, and on SCENES, a folder of other photographs, the
answers of the published network are the truth. The weights that ship are an average over the last tenth of the steps,
in half precision. All is kept in runs/landmarks, and an interrupted run continues there.

The weights that ship were tuned on the photographs of the Sign Language Digits Dataset with numbers below 4909, and on
samples/data of OpenCV 4.9.0.80. Both are published under Apache-2.0.
"""

import copy
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import tyro
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from handlib.camera import project
from handlib.data import SyntheticHands
from handlib.hand.landmark_sets import landmark_set
from handlib.networks.landmarks import LandmarkNetwork
from handlib.networks.published import WEIGHTS, palm_network
from handlib.networks.turned_crop import HandEvidence, TurnedCrop
from handlib.photo.find import Finder, View
from handlib.photo.pyramid import Pyramid
from handlib.photo.read import image_files, read_photo
from handlib.support.digests import load_state, load_tensors, save_state, save_tensors
from handlib.support.files import atomic_path
from handlib.training.evidence_rows import CROP_FACTOR, SIZE
from handlib.training.skeletons import centered, seen_without_error

FIRST = 16_000  # sample of the training split: those before it teach E3D
RENDERED, HANDS, SCENES = 22, 6, 4  # pictures of each kind in a batch
LEARN = 4909  # photographs of hands with this number and above are of the people that are measured
LARGEST, CANDIDATE = 768, 0.02  # longer side of a scene, pixels; least score of a palm in it that is looked at
NEAR, FAR = 0.15, 0.25  # mean error over the hand's side of points that are right, and of points that are wrong
WILD = 0.3  # share of crops that are anywhere near the hand, of any size and turn
IMAGE, SPACE = landmark_set("image").regressor, landmark_set("space").regressor
NOTE = {
    "source": "mediapipe 0.10.21, Google LLC",
    "license": "Apache-2.0",
    "changes": "stored as torch arrays; tuned on rendered hands by tools/tune_landmarks.py of handlib",
}


@dataclass(frozen=True)
class Settings:
    hands: tyro.conf.Positional[Path]  # photographs of hands; numbers in their names tell people apart
    scenes: tyro.conf.Positional[Path]  # photographs of anything else
    published: Path = Path("runs/published/hand_landmarks.safetensors")
    out: Path = Path("runs/landmarks")
    rendered: int = 20_000  # hands
    steps: int = 1_500
    rate: float = 7e-5  # highest of one cycle


class Answers(NamedTuple):
    """What the network should say of a batch of pictures."""

    points: Tensor  # (b, 21, 3); crop coordinates and depth
    points_3d: Tensor  # (b, 21, 3); meters
    presence: Tensor  # (b,)
    right: Tensor  # (b,)
    weight: Tensor  # (b,); of the points
    rendered: Tensor  # (b,); whether presence is to say that the points are right


class Rendered:
    """Hands of the training split, drawn once."""

    def __init__(self, folder: Path, n: int):
        folder.mkdir(parents=True, exist_ok=True)
        labels, pictures = folder / "rendered.safetensors", folder / "rendered.npy"
        if not labels.is_file():
            self._draw(labels, pictures, n)
        self.pictures = np.load(pictures, mmap_mode="r")
        self.label = load_tensors(labels, "delete it")
        if len(self.pictures) != n:
            raise SystemExit(f"{pictures}: of {len(self.pictures)} hands, not {n}; delete it")

    @staticmethod
    def _draw(labels: Path, pictures: Path, n: int) -> None:
        data, parts = SyntheticHands("train", SIZE, FIRST + n, crop_factor=CROP_FACTOR), []
        with atomic_path(pictures) as path:
            array = np.lib.format.open_memmap(path, "w+", "uint8", (n, 3, SIZE, SIZE))
            for index in tqdm(torch.arange(n).split(16), "rendered hands"):
                batch = data.batch(FIRST + index)
                array[index.numpy()] = (255 * batch["image"]).round().byte().numpy()
                parts.append([batch[name] for name in ("K", "joints_cam", "vertices_cam")])
            array.flush()
        K, joints, vertices = (torch.cat(part) for part in zip(*parts, strict=True))
        save_tensors(labels, {"K": K, "joints": joints, "image": IMAGE @ vertices, "space": SPACE @ vertices})

    def looks(self, n: int, generator: torch.Generator) -> tuple[Tensor, Answers]:
        index = torch.randint(len(self.pictures), (n,), generator=generator)
        label = {name: value[index] for name, value in self.label.items()}
        true = TurnedCrop.around_points(project(label["image"], label["K"]))
        crop = disturbed(true, WILD, generator)
        images = torch.from_numpy(self.pictures[index.numpy()]).float() / 255
        seen = seen_without_error(label["image"], label["space"], label["joints"], label["K"], crop)
        ones = torch.ones(n)
        points = torch.cat([seen.points, seen.depths[..., None]], -1)
        answers = Answers(points, seen.points_3d, ones, ones, is_fair(crop, true), ones > 0)
        return crop.sample(images, LandmarkNetwork.SIZE), answers


class Photographs:
    """Pictures and the crops to look at them through."""

    def __init__(self):
        self.pictures: list[Tensor] = []
        self.crops: list[tuple[int, TurnedCrop]] = []  # number of the picture; one row

    def add(self, picture: Tensor, crops: list[TurnedCrop]) -> None:
        self.crops += [(len(self.pictures), crop) for crop in crops]
        self.pictures.append(picture)

    def looks(self, n: int, generator: torch.Generator) -> Tensor:
        looks = []
        for i in torch.randint(len(self.crops), (n,), generator=generator).tolist():
            number, crop = self.crops[i]
            crop = disturbed(crop, 0.0, generator)
            looks.append(Pyramid(self.pictures[number]).sample(crop, LandmarkNetwork.SIZE))
        return torch.cat(looks)


def photographs_of_hands(folder: Path, finder: Finder) -> Photographs:
    result = Photographs()
    files = [path for path in sorted(folder.rglob("*.jpg")) if int(re.findall(r"\d+", path.stem)[-1]) < LEARN]
    for path in tqdm(files, "photographs of hands"):
        picture = read_photo(path).pixels
        hands = finder.find(Pyramid(picture), 1)
        result.add(picture, [TurnedCrop.around_points(hand.points_px[None]) for hand in hands])
    return result


def photographs_of_scenes(folder: Path, finder: Finder) -> Photographs:
    """With crops where the palm detector is least wrong to see a palm, in four turns, and as many anywhere."""
    result, generator = Photographs(), torch.Generator().manual_seed(0)
    for path in tqdm(image_files(folder), "photographs of scenes"):
        picture = read_photo(path).pixels
        step = math.ceil(max(picture.shape) / LARGEST)
        picture = picture[:, ::step, ::step]
        pyramid, crops = Pyramid(picture), []
        size = torch.tensor([[float(pyramid.width), pyramid.height]])
        for turn in range(4):
            for zoom in (1.0, 0.5):
                whole = TurnedCrop(size / 2, size.amax(1), torch.zeros(1)).turned(turn * math.pi / 2, zoom)
                crops += finder.palm_crops(pyramid, View("scene", whole, "border", palm=CANDIDATE))[:6]
        for _ in range(max(8, len(crops))):
            u = torch.rand(4, generator=generator)
            crops.append(TurnedCrop(size * u[:2], size.amin(1) * (0.15 + 0.85 * u[2]), 2 * math.pi * u[3:]))
        result.add(picture, crops)
    return result


def disturbed(crop: TurnedCrop, wild_share: float, generator: torch.Generator) -> TurnedCrop:
    """As a finder places crops, and a share of them far off."""
    n = len(crop.side)
    wild = torch.rand(n, generator=generator) < wild_share

    def normal(usual: float, far: float, *shape: int) -> Tensor:
        scale = torch.where(wild, far, usual).view(-1, *[1] * len(shape))
        return scale * torch.randn(n, *shape, generator=generator)

    center = crop.center + crop.side[:, None] * normal(0.04, 0.4, 2)
    return TurnedCrop(center, crop.side * torch.exp(normal(0.08, 0.35)), crop.angle + normal(0.2, 1.3))


def is_fair(crop: TurnedCrop, true: TurnedCrop) -> Tensor:
    """1 where the network can be asked for the hand's points, 0 where the crop is too far from the hand's."""
    turn = torch.remainder(crop.angle - true.angle + math.pi, 2 * math.pi) - math.pi
    shift = (crop.center - true.center).norm(dim=-1) / true.side
    return ((turn.abs() < 0.9) & (shift < 0.35) & ((crop.side / true.side).log().abs() < 0.5)).float()


def recolored(images: Tensor, generator: torch.Generator) -> Tensor:
    """With other light, contrast and noise."""

    def uniform(low: float, high: float, channels: int = 1) -> Tensor:
        return low + (high - low) * torch.rand(len(images), channels, 1, 1, generator=generator)

    images = (images * uniform(0.75, 1.25, 3) + uniform(-0.1, 0.1)).clamp(0, 1) ** uniform(0.7, 1.4)
    noise = torch.randn(images.shape, generator=generator)
    return (images + uniform(0, 0.04) * noise).clamp(0, 1)


def mirrored(images: Tensor, answers: Answers, mirror: Tensor) -> tuple[Tensor, Answers]:
    """Left hands of right ones, where mirror is set."""
    sign = torch.where(mirror[:, None, None], torch.tensor([-1.0, 1, 1]), torch.ones(3))
    images = torch.where(mirror[:, None, None, None], images.flip(-1), images)
    right = torch.where(mirror, 1 - answers.right, answers.right)
    return images, answers._replace(points=sign * answers.points, points_3d=sign * answers.points_3d, right=right)


@torch.no_grad()
def own_answers(network: LandmarkNetwork, images: Tensor) -> Answers:
    said = network(channels_last(images))
    return Answers(
        said.points, centered(said.points_3d), said.presence, said.right, said.presence, torch.zeros(len(images)) > 0
    )


def channels_last(images: Tensor) -> Tensor:
    return images.contiguous(memory_format=torch.channels_last)


def loss_of(said: HandEvidence, answers: Answers) -> Tensor:
    flat = answers.points[..., :2]
    side = (flat.amax(1) - flat.amin(1)).amax(-1).clamp_min(0.2)
    errors = (said.points - answers.points) / side[:, None, None]
    in_space = (centered(said.points_3d) - answers.points_3d) / 0.1
    points = smooth(errors[..., :2]) + 0.5 * smooth(errors[..., 2:]) + 0.4 * smooth(in_space)
    weight = answers.weight * torch.where(answers.rendered, 1.0, 4.0)  # rendered hands outnumber photographs

    off = errors[..., :2].detach().norm(dim=-1).mean(1)
    presence = torch.where(answers.rendered, (off < (NEAR + FAR) / 2).float(), answers.presence)
    decided = ~answers.rendered | (off < NEAR) | (off > FAR)
    is_there = cross_entropy(said.presence, presence) * decided
    is_right = cross_entropy(said.right, answers.right) * answers.presence
    return (weight * points + 0.1 * is_there + 0.02 * is_right).mean()


def smooth(errors: Tensor) -> Tensor:
    zero = torch.zeros_like(errors)
    return functional.smooth_l1_loss(errors, zero, beta=0.02, reduction="none").sum(-1).mean(1)


def cross_entropy(probability: Tensor, target: Tensor) -> Tensor:
    return functional.binary_cross_entropy(probability.clamp(1e-6, 1 - 1e-6), target, reduction="none")


def tuned(settings: Settings, published: LandmarkNetwork) -> nn.Module:
    """Trains; returns the average over the last tenth of the steps."""
    finder = Finder(palm_network(), published)
    hands, scenes = photographs_of_hands(settings.hands, finder), photographs_of_scenes(settings.scenes, finder)
    print(f"crops: {len(hands.crops)} of hands, {len(scenes.crops)} of scenes")
    rendered = Rendered(settings.out, settings.rendered)
    network, average = (copy.deepcopy(published).requires_grad_(train) for train in (True, False))
    optimizer = torch.optim.AdamW(network.parameters(), settings.rate, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings.rate, settings.steps + 1, pct_start=0.1)
    parts = {"network": network, "average": average, "optimizer": optimizer, "schedule": schedule}
    checkpoint, first = settings.out / "state.pt", 0
    if checkpoint.is_file():
        state = load_state(checkpoint, {"step": int} | dict.fromkeys(parts, dict), "delete it")
        first = state["step"]
        for name, part in parts.items():
            part.load_state_dict(state[name])
    progress = tqdm(range(first, settings.steps), "tuning", initial=first, total=settings.steps)
    for step in progress:
        generator = torch.Generator().manual_seed(step)
        images, answers = rendered.looks(RENDERED, generator)
        mirror = torch.rand(RENDERED, generator=generator) < 0.5
        images, answers = mirrored(images, answers, mirror)
        real = torch.cat([hands.looks(HANDS, generator), scenes.looks(SCENES, generator)])
        real = torch.where(torch.rand(len(real), 1, 1, 1, generator=generator) < 0.5, real.flip(-1), real)
        own = own_answers(published, real)
        answers = Answers(*(torch.cat(pair) for pair in zip(answers, own, strict=True)))
        loss = loss_of(network(channels_last(recolored(torch.cat([images, real]), generator))), answers)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        keep = min(1 - 10 / settings.steps, (1 + step) / (10 + step))
        for mean, value in zip(average.parameters(), network.parameters(), strict=True):
            mean.lerp_(value.detach(), 1 - keep)
        progress.set_postfix(loss=f"{float(loss):.3f}")
        if (step + 1) % 100 == 0 or step + 1 == settings.steps:
            save_state(checkpoint, {name: part.state_dict() for name, part in parts.items()} | {"step": step + 1})
    return average


def main(settings: Settings) -> None:
    if not settings.published.is_file():
        raise SystemExit(f"no published network at {settings.published}: run tools/convert_landmarks.py first")
    published = LandmarkNetwork()
    published.load_state_dict(load_file(settings.published))
    published.to(memory_format=torch.channels_last).eval().requires_grad_(False)
    state = {name: value.half().contiguous() for name, value in tuned(settings, published).state_dict().items()}
    with atomic_path(WEIGHTS / "hand_landmarks.safetensors") as path:
        save_file(state, path, NOTE)


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
