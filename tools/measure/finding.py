"""Measures the detection of hands: rendered crops, small hands in large images, two hands, and images without hands.

    python tools/measure/finding.py FOLDER "which photographs, from where"
    python tools/measure/finding.py --rendered

FOLDER has photographs with joints (`handlib.data.PhotoFolder`), which are pasted into larger images. A detection is
right if its points are on average less than a quarter of the hand's side from the true joints. A fifth of the rendered
crops show a second hand, mostly hidden: detecting it is neither asked for nor wrong. Photographs without hands are
those of scikit-image and scikit-learn. Writes results/finding.json, and with --rendered results/photo-rendered.json
with the errors on the whole splits diverse and studio.
"""

import sys
import time

import numpy as np
import skimage.data
import sklearn.datasets
import torch
from common import LANDMARKS, pa_mm, reliability, root_mm, share, spread, truths, write
from torch import Tensor
from tqdm import tqdm

from handlib.camera import project
from handlib.data import SyntheticHands
from handlib.data.synthetic.props import ARM_RINGS
from handlib.data.synthetic.scene import Scene, Stage
from handlib.photo.find import Detection
from handlib.photo.predict import Predictor
from handlib.photo.pyramid import Pyramid
from handlib.photo.read import read_photo

CANVAS, WIDE, BESIDE = (960, 1280), 96, 256  # pixels
RIGHT, NEAR = 0.25, 0.1  # over the hand's side: mean error of a right detection; error of a joint that is near
EMPTY = ("astronaut", "brick", "camera", "cat", "checkerboard", "clock", "coffee", "coins", "colorwheel", "grass",
         "gravel", "hubble_deep_field", "immunohistochemistry", "logo", "moon", "page", "retina", "rocket", "text",
         "horse")  # fmt: skip


class TwoHands(SyntheticHands):
    """The benchmark, and after each sample where the joints of its second hand are, if it has one."""

    second_joints: Tensor  # (21, 3) in the camera; all at one point where there is none

    def _stage(self, device: torch.device) -> Stage:
        stage = super()._stage(device)
        arm = (ARM_RINGS + 1) * len(stage.rim)

        def watched(*arguments) -> Scene:
            scene = stage(*arguments)
            second = scene.vertices[:, -arm - 778 :][:, :778]  # of all that is in a scene, the last but its forearm
            self.second_joints = self.hand.regress_joints(second)[-1]
            return scene

        for name in ("hand", "faces", "part"):
            setattr(watched, name, getattr(stage, name))
        return watched


def is_right(hand: Detection, joints: Tensor) -> bool:
    side = (joints.amax(0) - joints.amin(0)).max()
    return bool((hand.points_px - joints).norm(dim=-1).mean() < RIGHT * side)


def resized(image: Tensor, size: int) -> Tensor:
    return torch.nn.functional.interpolate(image[None].float(), (size, size), mode="bilinear", antialias=True)[0].byte()


def main(folder: str, description: str) -> None:
    started, predictor = time.perf_counter(), Predictor("photo")
    find, photographs = predictor.finder.find, []
    for path, K, joints, _ in truths(folder):
        pixels = read_photo(path).pixels
        photographs.append((pixels, project(joints, K) / pixels.shape[-1]))  # in widths of the picture
    metrics = []
    for split in ("diverse", "val"):
        data, counts = TwoHands(split, 224, 60), [0, 0, 0]
        for i in tqdm(range(len(data)), f"finding {split}"):
            sample = data[i]
            hands = find(Pyramid((255 * sample.image).round().byte()), 2)
            right = [is_right(hand, sample.joints_px) for hand in hands]
            second = [is_right(hand, project(data.second_joints, sample.K)) for hand in hands]
            counts[0] += any(right)
            counts[1] += sum(not a and not b for a, b in zip(right, second, strict=True))
            counts[2] += any(b and not a for a, b in zip(right, second, strict=True))
        for name, count in zip(("right", "wrong", "second_hand"), counts, strict=True):
            metrics += [share(f"{split}_{name}", count, 60, "rendered crops, up to two hands")]
    counts, n = [0, 0], len(photographs)
    for i, (pixels, joints) in enumerate(tqdm(photographs, "small")):
        generator = torch.Generator().manual_seed(i)
        tone, noise = torch.rand(3, 1, 1, generator=generator), torch.randn(3, *CANVAS, generator=generator)
        canvas = (20 + 200 * tone + 8 * noise).clamp(0, 255).byte()
        y, x = (int(torch.randint(0, side - WIDE, (), generator=generator)) for side in CANVAS)
        canvas[:, y : y + WIDE, x : x + WIDE] = resized(pixels, WIDE)
        for hand in find(Pyramid(canvas), 1):
            counts[not is_right(hand, joints * WIDE + torch.tensor([x, y]))] += 1
    metrics += [share("small_right", counts[0], n, f"{WIDE} px wide in {CANVAS[1]}×{CANVAS[0]}")]
    metrics += [share("small_wrong", counts[1], n, f"{WIDE} px wide in {CANVAS[1]}×{CANVAS[0]}")]
    both = 0
    for (left, joints_left), (right, joints_right) in tqdm(
        list(zip(photographs[::2], photographs[1::2], strict=False)), "pairs"
    ):
        hands = find(Pyramid(torch.cat([resized(left, BESIDE), resized(right, BESIDE)], -1)), 2)
        truth = (joints_left * BESIDE, joints_right * BESIDE + torch.tensor([float(BESIDE), 0]))
        both += all(any(is_right(hand, joints) for hand in hands) for joints in truth)
    metrics += [share("pairs_both", both, n // 2, "two photographs side by side")]
    count, empty = 0, list(pictures_without_hands())
    for image in tqdm(empty, "no hands"):
        count += len(find(Pyramid(image), 2))
    metrics += [share("false_hands", count, len(empty), "photographs without hands")]
    command = f'finding.py FOLDER "{description}"'
    data = {"name": description, "n": n}
    write("finding", "how hands are found", metrics, predictor.model, data, started, command, synthetic=False)


def rendered() -> None:
    """Measures errors on the benchmark's crops, without their rotation: the model alone, and with refinement."""
    started, predictor, metrics = time.perf_counter(), Predictor("photo"), []
    for split in ("diverse", "studio"):
        data, rows = SyntheticHands(split, 224), {"e3d": [], "refined": []}
        confidence, near = [], []
        for i in tqdm(range(len(data)), f"rendered {split}"):
            sample = data[i]
            photo = read_photo((255 * sample.image).round().byte())
            pyramid = Pyramid(photo.pixels)
            detections = [predictor.in_box(photo, pyramid, (0, 0, 224))]
            for name, steps in (("e3d", 0), ("refined", None)):
                (hand,) = predictor.estimate(photo, pyramid, detections, sample.K, steps, "right")
                vertices = hand.vertices_cam
                if steps is None:
                    truth = sample.joints_px
                    reach = (truth.amax(0) - truth.amin(0)).max()
                    confidence.append(hand.confidence)
                    near.append((hand.joints_px - truth).norm(dim=-1) < NEAR * reach)
                rows[name].append(
                    (hand.joints_cam, sample.joints_cam, LANDMARKS @ vertices, LANDMARKS @ sample.vertices_cam)
                )
        metrics += reliability(f"{split}_joint_within_a_tenth", torch.cat(confidence), torch.cat(near))
        for name, each in rows.items():
            joints, truth, points, true_points = map(torch.stack, zip(*each, strict=True))
            metrics += spread(f"{split}_{name}_joints_procrustes_mm", pa_mm(joints, truth), "mm", "procrustes")
            metrics += spread(f"{split}_{name}_landmarks_procrustes_mm", pa_mm(points, true_points), "mm", "procrustes")
            metrics += spread(f"{split}_{name}_joints_root_mm", root_mm(joints, truth), "mm", "root")
    command = "finding.py --rendered"
    data = {"name": "SyntheticHands 1.0, splits diverse and studio", "n": 1100}
    write("photo-rendered", "the photo model on rendered hands", metrics, predictor.model, data, started, command)


def pictures_without_hands():
    """Yields bytes (3, h, w); images that are not installed are left out."""
    for name in EMPTY:
        try:
            yield as_bytes(getattr(skimage.data, name)())
        except Exception:  # an image that is not in this wheel and cannot be downloaded
            continue
    for name in ("china.jpg", "flower.jpg"):
        yield as_bytes(sklearn.datasets.load_sample_image(name))


def as_bytes(array: np.ndarray) -> Tensor:
    array = array if array.dtype == np.uint8 else (255 * array.astype(float)).round().astype(np.uint8)
    array = array if array.ndim == 3 else np.stack([array] * 3, -1)
    return torch.from_numpy(array[..., :3].copy()).movedim(-1, 0)


if __name__ == "__main__":
    if sys.argv[1:] == ["--rendered"]:
        rendered()
    elif len(sys.argv) == 3:
        main(sys.argv[1], sys.argv[2])
    else:
        sys.exit(__doc__)
