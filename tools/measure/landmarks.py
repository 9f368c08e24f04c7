"""Measures what tuning did to the landmark network: the published one beside the one that ships.

    python tools/measure/landmarks.py FOLDER "which photographs, from where"

The published network is tools/convert_landmarks.py's, in runs/published. On rendered hands of the split `val`: errors
of the points in the true crop, and, through crops that may be anywhere near the hand, how often a hand whose points are
right has a higher presence than one whose points are wrong. On the photographs of FOLDER, with joints
(`handlib.data.PhotoFolder`): errors of the points in space. Writes results/landmarks-rendered.json and
results/landmarks-photographs.json.
"""

import sys
import time

import torch
from common import pa_mm, spread, truths, write
from safetensors.torch import load_file
from torch import Tensor
from tqdm import tqdm

from handlib.camera import project
from handlib.data import SyntheticHands
from handlib.evaluation.results import Metric
from handlib.hand.landmark_sets import landmark_set
from handlib.networks.landmarks import LandmarkNetwork
from handlib.networks.turned_crop import TurnedCrop
from handlib.photo.predict import Predictor
from handlib.photo.pyramid import Pyramid
from handlib.photo.read import read_photo
from handlib.training.evidence_rows import CROP_FACTOR, SIZE

PUBLISHED = "runs/published/hand_landmarks.safetensors"
HANDS = 400
NEAR, FAR = 0.15, 0.25  # mean error over the hand's side of points that are right, and of points that are wrong
IMAGE, SPACE = landmark_set("image").regressor, landmark_set("space").regressor


def main(folder: str, description: str) -> None:
    started, predictor = time.perf_counter(), Predictor("photo")
    published = LandmarkNetwork().eval().requires_grad_(False)
    published.load_state_dict(load_file(PUBLISHED))
    networks = {"published": published, "tuned": predictor.finder.landmarks}
    for name, metrics, data, synthetic in (
        ("rendered", on_rendered(networks), {"name": "SyntheticHands 1.0, split val", "n": HANDS}, True),
        ("photographs", on_photographs(networks, folder), {"name": description, "n": len(list(truths(folder)))}, False),
    ):
        command = f'landmarks.py FOLDER "{description}"'
        claim = "the landmark network before and after tuning"
        write(f"landmarks-{name}", claim, metrics, predictor.model, data, started, command, synthetic=synthetic)


@torch.no_grad()
def on_rendered(networks: dict[str, LandmarkNetwork]) -> list[Metric]:
    data, generator = SyntheticHands("val", SIZE, HANDS, crop_factor=CROP_FACTOR), torch.Generator().manual_seed(0)
    in_image, in_space, presence, off = ({name: [] for name in networks} for _ in range(4))
    for index in tqdm(torch.arange(HANDS).split(20), "rendered hands"):
        batch = data.batch(index)
        truth = project(IMAGE @ batch["vertices_cam"], batch["K"])
        crop = TurnedCrop.around_points(truth)
        n, side = len(index), (truth.amax(1) - truth.amin(1)).amax(-1)
        anywhere = TurnedCrop(
            crop.center + 0.4 * crop.side[:, None] * torch.randn(n, 2, generator=generator),
            crop.side * torch.exp(0.35 * torch.randn(n, generator=generator)),
            crop.angle + 1.3 * torch.randn(n, generator=generator),
        )
        for name, network in networks.items():
            said, error = look(network, crop, batch["image"], truth, side)
            in_image[name].append(error)
            in_space[name].append(pa_mm(said.points_3d, SPACE @ batch["vertices_cam"]))
            said, error = look(network, anywhere, batch["image"], truth, side)
            presence[name].append(said.presence)
            off[name].append(error)
    metrics = []
    for name in networks:
        errors, said = torch.cat(off[name]), torch.cat(presence[name])
        right, wrong = said[errors < NEAR], said[errors > FAR]
        metrics += spread(f"{name}_points", torch.cat(in_image[name]), "ratio", "of the hand's side")
        metrics += spread(f"{name}_points_3d_procrustes_mm", torch.cat(in_space[name]), "mm", "procrustes")
        above = float((right[:, None] > wrong).double().mean())
        rule = f"pairs of {len(right)} right and {len(wrong)} wrong"
        metrics.append(Metric(f"{name}_presence_tells", above, "fraction", rule, "none", len(errors)))
    return metrics


def look(network: LandmarkNetwork, crop: TurnedCrop, images: Tensor, truth: Tensor, side: Tensor):
    """What a network says through a crop, and the mean error of its points over the hand's side."""
    said = network(crop.sample(images, network.SIZE))
    return said, (crop.to_px(said.points[..., :2]) - truth).norm(dim=-1).mean(1) / side


@torch.no_grad()
def on_photographs(networks: dict[str, LandmarkNetwork], folder: str) -> list[Metric]:
    """Each network settles on its own crop, from the one around the true joints."""
    errors = {name: [] for name in networks}
    for path, K, joints, _ in tqdm(list(truths(folder)), "photographs"):
        pyramid = Pyramid(read_photo(path).pixels)
        for name, network in networks.items():
            crop = TurnedCrop.around_points(project(joints, K)[None])
            for _ in range(2):
                said = network(pyramid.sample(crop, network.SIZE))
                crop = TurnedCrop.around_points(crop.to_px(said.points[..., :2]))
            errors[name].append(pa_mm(said.points_3d, joints[None]))
    return [
        m
        for name in networks
        for m in spread(f"{name}_points_3d_procrustes_mm", torch.cat(errors[name]), "mm", "procrustes")
    ]


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2])
