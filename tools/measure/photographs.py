"""Measures the photo model on your photographs with known 3D joints, which are never part of this repository.

    python tools/measure/photographs.py FOLDER "which photographs, from where"

FOLDER/annotations.json describes them (`handlib.data.PhotoFolder`). Every variant gets only the photographs; those
"with K" also get the camera. Writes results/photographs.json.
"""

import sys
import time

import torch
from common import LANDMARKS, pa_mm, reliability, root_mm, share, spread, truths, write
from torch import Tensor
from tqdm import tqdm

from handlib.camera import project
from handlib.fitting.describe import describe
from handlib.fitting.fit import best_of
from handlib.fitting.lift import ITERATIONS, NOISE, Guess, Lifter
from handlib.fitting.posterior import Observation, Posterior
from handlib.fitting.starts import starts_from_2d
from handlib.networks.turned_crop import HandEvidence, TurnedCrop
from handlib.photo.predict import Predictor, camera_of, in_camera, mirrored_K
from handlib.photo.pyramid import Pyramid
from handlib.photo.read import read_photo

FLIP = torch.tensor([-1.0, 1, 1])
NEAR = 0.1  # of the hand's side


def main(folder: str, description: str) -> None:
    started = time.perf_counter()
    predictor, lite = Predictor("photo"), Predictor("lite")
    confidence, near = [], []
    rows, missed, sides, milliseconds, lites = [], 0, 0, [], {"lite": [], "lite_refined50": []}
    every = list(truths(folder))
    predictor(every[0][0])  # compiles code before the timing starts
    for path, K, joints, side in tqdm(every, "photographs"):
        began = time.process_time()
        photo = read_photo(path)
        pyramid = Pyramid(photo.pixels)
        detections = predictor.finder.find(pyramid, 1)
        if not detections:
            missed += 1
            continue
        (estimate,) = predictor.estimate(photo, pyramid, detections)
        milliseconds.append(1000 * (time.process_time() - began))
        true_px = project(joints, K)
        reach = (true_px.amax(0) - true_px.amin(0)).max()
        confidence.append(estimate.confidence)
        near.append((estimate.joints_px - true_px).norm(dim=-1) < NEAR * reach)
        sides += ("left" if float(detections[0].evidence.right) < 0.5 else "right") == side
        left, width = torch.tensor([side == "left"]), float(photo.size[0])
        with torch.no_grad():
            crop, evidence = predictor.last_look(pyramid, detections[0].points_px[None], left)
        assumed = camera_of(photo, None, crop)[0]
        rows.append((crop, evidence, mirrored_K(K, left, width), mirrored_K(assumed, left, width),
                     joints * FLIP if side == "left" else joints))  # fmt: skip
        for name, steps in (("lite", 0), ("lite_refined50", 50)):
            (hand,) = lite.estimate(photo, pyramid, detections, K, steps, side)
            lites[name].append((hand.joints_cam, joints))
    crops, evidences, own, assumed, truth = zip(*rows, strict=True)
    crop = TurnedCrop(*map(torch.cat, zip(*crops, strict=True)))
    evidence = HandEvidence(*map(torch.cat, zip(*evidences, strict=True)))
    K, assumed, truth = torch.cat(own), torch.cat(assumed), torch.stack(truth)
    metrics = [share("missed", missed, missed + len(rows), "no hand found")]
    metrics += [share("side", sides, len(rows), "the right side")]
    metrics += reliability("joint_within_a_tenth", torch.cat(confidence), torch.cat(near))
    metrics += spread("cpu", milliseconds, "ms", "one photograph, warm: detection to mesh")
    for name, vertices in variants(predictor, crop, evidence, K, assumed).items():
        joints = predictor.model.hand.regress_joints(vertices)
        metrics += spread(f"{name}_joints_procrustes_mm", pa_mm(joints, truth), "mm", "procrustes")
        metrics += spread(f"{name}_landmarks_procrustes_mm", pa_mm(LANDMARKS @ vertices, truth), "mm", "procrustes")
        metrics += spread(f"{name}_joints_root_mm", root_mm(joints, truth), "mm", "root")
    metrics += spread("points_3d_procrustes_mm", pa_mm(evidence.points_3d, truth), "mm", "procrustes")
    for name, pairs in lites.items():
        joints, true_joints = map(torch.stack, zip(*pairs, strict=True))
        metrics += spread(f"{name}_joints_procrustes_mm", pa_mm(joints, true_joints), "mm", "procrustes")
        metrics += spread(f"{name}_joints_root_mm", root_mm(joints, true_joints), "mm", "root")
    command = f'photographs.py FOLDER "{description}"'
    claim = "the photo model, its parts, and lite on photographs of real hands"
    data = {"name": description, "n": len(rows)}
    write("photographs", claim, metrics, predictor.model, data, started, command, synthetic=False)


@torch.no_grad()
def variants(
    predictor: Predictor, crop: TurnedCrop, evidence: HandEvidence, K: Tensor, assumed: Tensor
) -> dict[str, Tensor]:
    """Computes vertices in the camera frame by each variant of the method, all from the same evidence."""
    model, lifter = predictor.model, predictor.lifter
    first = model.estimate_upright(evidence)
    silent = model.estimate_upright(evidence._replace(features=model.feature_extractor.mean.expand(len(K), -1)))
    turn, points = crop.rotation_3d().mT, crop.to_px(evidence.points[..., :2])

    def refined(estimate, camera: Tensor) -> Tensor:
        return cam(lifter(points, lifter.guess(crop, evidence, estimate), camera).output)

    network = evidence.points_3d - evidence.points_3d.mean(1, keepdim=True)
    return {
        "refined_with_k": refined(first, K),
        "refined": refined(first, assumed),
        "e3d": in_camera(first, crop, assumed),
        "e3d_without_features": in_camera(silent, crop, assumed),
        "refined_without_features": refined(silent, assumed),
        "fit_to_points_2d_and_3d_with_k": cam(lifter(points, Guess.of(network @ turn), K).output),
        "fit_to_points_2d_with_k": fit_2d(lifter, points, K),
    }


def fit_2d(lifter: Lifter, points: Tensor, K: Tensor, count: int = 24) -> Tensor:
    """Fits a hand to 2D points alone, from many starts."""
    weight = lifter.weight.expand(len(points), 21)
    posterior = Posterior(lifter.anatomy, Observation(points.double(), weight, K.double()), NOISE)
    state = starts_from_2d(posterior, lifter.samples, count, torch.Generator().manual_seed(0))
    state, _ = best_of(posterior, state, 2 * ITERATIONS)
    return cam(describe(posterior, lifter.hand, state))


def cam(output) -> Tensor:
    return output.vertices + output.root_cam[:, None]


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2])
