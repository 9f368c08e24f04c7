"""Calibrates handlib/photo/confidence.py: prints HAND and JOINT to copy there, and how well they are calibrated.

    python tools/calibrate_confidence.py [HANDS]

It uses hands of the training split that no model was trained on, and crops of background photographs without hands.
Every detection is a row, including those that are rejected later.
"""

import sys

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from tqdm import tqdm

from handlib.data import BuiltinBackgrounds, SyntheticHands
from handlib.networks.turned_crop import TurnedCrop
from handlib.photo import confidence as constants
from handlib.photo import find as module
from handlib.photo.find import Detection
from handlib.photo.predict import Predictor
from handlib.photo.pyramid import Pyramid
from handlib.photo.read import read_photo

FIRST = 36_000  # first sample that no model was trained on
EMPTY = 100  # crops without a hand
RIGHT, NEAR = 0.25, 0.1  # of the hand's side


class Recorder:
    """Records the inputs of every hand score."""

    def __init__(self):
        self.rows = []

    def __call__(self, *inputs):
        self.rows.append(inputs)
        return constants.hand_score(*inputs)


def candidates(predictor: Predictor, pyramid: Pyramid) -> list[tuple[list[float], Detection]]:
    """Returns every hand that the finder would check, with the features of its score."""
    recorder, finder, kept = Recorder(), predictor.finder, []
    module.hand_score, before = recorder, module.hand_score
    try:
        crops = []
        for view in module.views(pyramid.height, pyramid.width):
            crops += finder.palm_crops(pyramid, view)
        square = TurnedCrop.upright(torch.tensor([[0.0, 0, max(pyramid.height, pyramid.width)]]))
        with torch.no_grad():
            turns = finder.look(pyramid, square.turned([i * np.pi / 4 for i in range(8)]))
            turns = sorted(turns, key=lambda hand: -hand.presence)[: module.TRIED]
            crops += [TurnedCrop.around_points(hand.points_px[None]) for hand in turns]
            for crop in crops:
                count = len(recorder.rows)
                hand = finder.settled(pyramid, crop)
                if len(recorder.rows) > count:
                    a, b, c, d = recorder.rows[-1]
                    features = [constants.logit(a), constants.logit(b), torch.log(c + 0.01), torch.log(d + 0.01)]
                    kept.append(([float(f) for f in features], hand))
    finally:
        module.hand_score = before
    return kept


def main(count: int) -> None:
    predictor, data = Predictor("photo"), SyntheticHands("train", 224, FIRST + count)
    rows, right, joint_rows, joints, joint_near = [], [], [], [], []
    for i in tqdm(range(FIRST, FIRST + count), "hands"):
        sample = data[i]
        photo = read_photo((255 * sample.image).round().byte())
        pyramid, truth = Pyramid(photo.pixels), sample.joints_px
        side = float((truth.amax(0) - truth.amin(0)).max())
        for features, hand in candidates(predictor, pyramid):
            good = float((hand.points_px - truth).norm(dim=-1).mean()) < RIGHT * side
            rows.append(features)
            right.append(good)
            joint_rows.append((hand, photo, pyramid, truth, side, features))
    photographs, generator = BuiltinBackgrounds("train"), np.random.default_rng(0)
    for i in tqdm(range(EMPTY), "no hands"):
        image = torch.as_tensor(photographs.photograph(i % len(photographs)))
        image = image if image.shape[0] == 3 else image.movedim(-1, 0)
        size = int(min(image.shape[1:]) * generator.uniform(0.3, 1))
        y, x = (int(generator.integers(0, n - size + 1)) for n in image.shape[1:])
        for features, _ in candidates(predictor, Pyramid(image[:, y : y + size, x : x + size].contiguous())):
            rows.append(features)
            right.append(False)
    hand_model = LogisticRegression(C=10).fit(rows, right)
    weights = (float(hand_model.intercept_[0]), *map(float, hand_model.coef_[0]))
    print("HAND =", tuple(round(w, 3) for w in weights), f" {len(rows)} detections, {np.mean(right):.2f} right")
    report(hand_model.predict_proba(rows)[:, 1], np.array(right))

    constants.HAND = weights
    for hand, photo, pyramid, truth, side, features in tqdm(joint_rows[::2], "joints"):
        score = constants._logistic(weights, *map(torch.tensor, features))
        hand = hand._replace(score=float(score))
        (estimate,) = predictor.estimate(photo, pyramid, [hand], side="right")
        near = (estimate.joints_px - truth).norm(dim=-1) < NEAR * side
        residual = predictor.lifted.residual[0].float()
        for j in range(21):
            joint_near.append(bool(near[j]))
            features = (constants.logit(score), torch.log(hand.spread[j] + 0.01), torch.log(residual[j] + 0.1))
            joints.append([float(f) for f in features])
    joint_model = LogisticRegression(C=10).fit(joints, joint_near)
    weights = (float(joint_model.intercept_[0]), *map(float, joint_model.coef_[0]))
    print("JOINT =", tuple(round(w, 3) for w in weights), f" {len(joint_near)} joints, {np.mean(joint_near):.2f} near")
    report(joint_model.predict_proba(joints)[:, 1], np.array(joint_near))


def report(predicted: np.ndarray, true: np.ndarray) -> None:
    """Prints how often predictions are true, by ranges of the predicted probability."""
    for low, high in ((0, 0.1), (0.1, 0.3), (0.3, 0.5), (0.5, 0.7), (0.7, 0.9), (0.9, 0.97), (0.97, 1.01)):
        some = (predicted >= low) & (predicted < high)
        if some.any():
            print(f"  predicted {low:.2f} to {min(high, 1):.2f}: {true[some].mean():.2f} of {some.sum()} true")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
