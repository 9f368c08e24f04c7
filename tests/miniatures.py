"""Writers of miniature data sets in the exact layouts of the originals, from hands of the hand model.

Each returns what a reader must give back: the truth in the camera that took the pictures, right or left as there.
"""

import json
import pickle
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from mano_files import Python2Pickle
from PIL import Image

from handlib.camera import quaternion_to_rotation
from handlib.hand import HandModel
from handlib.joints import C21, RHD21, STB21, TIPS, JointOrder
from handlib.pose_machine import layers

MIRROR = np.array([-1.0, 1.0, 1.0])
RHD_K = np.array([[282.9, 0, 160.0], [0, 282.9, 159.5], [0, 0, 1]])


class Hands(NamedTuple):
    """Right hands in front of a camera, metres."""

    joints: np.ndarray  # (n, 21, 3), C21
    vertices: np.ndarray  # (n, 778, 3)

    def left(self) -> "Hands":
        return Hands(self.joints * MIRROR, self.vertices * MIRROR)


def hands(model: HandModel, n: int, seed: int = 0, distance: float = 0.55) -> Hands:
    generator = torch.Generator().manual_seed(seed)
    pose, shape = model.sample(n, generator)
    rotation = quaternion_to_rotation(torch.randn(n, 4, generator=generator))
    offset = (torch.rand(n, 3, generator=generator) - 0.5) * 0.1 + torch.tensor([0, 0, distance])
    vertices = model(pose, shape, rotation).vertices
    vertices = vertices - vertices.mean(1, keepdim=True) + offset[:, None]
    return Hands(model.regress_joints(vertices).double().numpy(), vertices.double().numpy())


def reordered(joints: np.ndarray, order: JointOrder) -> np.ndarray:
    """C21 to another order, name by name."""
    return np.stack([joints[..., C21.index(name), :] for name in order.joints], -2)


def projected(points: np.ndarray, K: np.ndarray) -> np.ndarray:
    """Point by point: u = (fx x + s y)/z + cx."""
    x, y, z = points[..., 0], points[..., 1], points[..., 2]
    return np.stack([(K[0, 0] * x + K[0, 1] * y) / z + K[0, 2], K[1, 1] * y / z + K[1, 2]], -1)


def picture(rng: np.random.Generator, width: int, height: int, channels: int = 3) -> np.ndarray:
    """Coloured squares of 4 pixels: no two pictures alike, and small as a file."""
    squares = rng.integers(0, 256, (-(-height // 4), -(-width // 4), channels), np.uint8)
    return squares.repeat(4, 0).repeat(4, 1)[:height, :width]


def save(path: Path, array: np.ndarray, **options) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)


# ---- RHD


class RHDTruth(NamedTuple):
    left: np.ndarray  # (n, 21, 3) C21
    right: np.ndarray
    visible: np.ndarray  # (n, 2, 21) C21, left and right
    images: np.ndarray
    masks: np.ndarray
    depth: np.ndarray  # (n, h, w) metres


def rhd_labels(left: np.ndarray, right: np.ndarray, visible: np.ndarray, K: np.ndarray = RHD_K) -> dict:
    """The dict of the pickle; visible (n, 2, 21) in C21."""
    labels = {}
    for i in range(len(left)):
        xyz = np.concatenate([reordered(left[i], RHD21), reordered(right[i], RHD21)])
        seen = np.concatenate([reordered(visible[i, hand][:, None].astype(float), RHD21) for hand in (0, 1)])
        labels[i] = {"xyz": xyz, "uv_vis": np.concatenate([projected(xyz, K), seen], 1), "K": K}
    return labels


def write_rhd(
    root: Path, model: HandModel, splits=("training", "evaluation"), n: int = 3, size: int = 320, protocol: str = "2"
) -> dict[str, RHDTruth]:
    """protocol: "2": Python 2's; "py3-2", "py3-4": Python 3's own."""
    truths = {}
    for number, split in enumerate(splits):
        rng = np.random.default_rng(number)
        left, right = hands(model, n, 10 + number).left().joints, hands(model, n, 20 + number).joints
        visible = rng.random((n, 2, 21)) < 0.8
        images = np.stack([picture(rng, size, size) for _ in range(n)])
        # Codes of everything, with more of the left hand in picture 0, more of the right in 1, equal in 2.
        masks = np.zeros((n, size, size), np.uint8)
        masks[:, :, :40] = 1
        for i in range(n):
            for code in range(2, 34):
                more = {0: code < 18, 1: code >= 18}.get(i, False)
                masks[i, 8 * code : 8 * code + (6 if more else 4), 100:140] = code
        codes = rng.integers(0, 65536, (n, size, size))
        depth_files = np.stack([codes // 256, codes % 256, np.zeros_like(codes)], -1).astype(np.uint8)
        for i in range(n):
            save(root / split / "color" / f"{i:05d}.png", images[i])
            save(root / split / "mask" / f"{i:05d}.png", masks[i])
            save(root / split / "depth" / f"{i:05d}.png", depth_files[i])
        labels = rhd_labels(left, right, visible)
        if protocol == "2":
            content = Python2Pickle(2).file(labels)
        else:
            content = pickle.dumps(labels, protocol=int(protocol[-1]))
        (root / split / f"anno_{split}.pickle").write_bytes(content)
        truths[split] = RHDTruth(left, right, visible, images, masks, codes / 65535 * 5)
    return truths


# ---- STB

STB_SEQUENCES = [f"B{i}{what}" for i in range(1, 7) for what in ("Counting", "Random")]
SK_TURN = np.array([0.00531, -0.01196, 0.00301])
SK_MOVE = np.array([-0.0240381, -0.0004563, -0.0012326])


def rodrigues(turn: np.ndarray) -> np.ndarray:
    angle = np.linalg.norm(turn)
    x, y, z = turn / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def write_stb(root: Path, model: HandModel, n: int = 2, images: bool = True, pictures=("B1Counting", "B1Random")):
    """Labels of all sequences; pictures of some. Truth: sequence → (joints with the palm in row 0 in the frame of the
    left BB camera; those in the SK colour camera; pictures by name)."""
    from scipy.io import savemat

    (root / "labels").mkdir(parents=True)
    truth = {}
    for number, sequence in enumerate(STB_SEQUENCES):
        rng = np.random.default_rng(number)
        in_bb, in_color = (hands(model, n, seed + number, 0.5).left().joints for seed in (30, 60))
        for joints in (in_bb, in_color):
            joints[:, 0] = (joints[:, 0] + joints[:, C21.index("ring1")]) / 2  # a palm
        # X_depth = R X_colour + t
        in_depth = in_color @ rodrigues(SK_TURN).T + SK_MOVE
        for kind, joints in (("BB", in_bb), ("SK", in_depth)):
            para = reordered(joints, STB21).transpose(2, 1, 0) * 1000
            savemat(root / "labels" / f"{sequence}_{kind}.mat", {"handPara": para})
        files = {}
        if sequence in pictures:
            folder = root / "images" / sequence if images else root / sequence
            for stem in ("BB_left", "BB_right", "SK_color", "SK_depth"):
                for i in range(n):
                    files[f"{stem}_{i}"] = picture(rng, 640, 480)
                    save(folder / f"{stem}_{i}.png", files[f"{stem}_{i}"], compress_level=1)
        truth[sequence] = (in_bb, in_color, files)
    return truth


# ---- Dexter+Object

DO_SEQUENCES = ("Grasp1", "Grasp2", "Occlusion", "Rigid", "Pinch", "Rotate")
DO_TURN = np.array([[0.9999, 0.0034, 0.0161], [-0.0033, 1.0, -0.0079], [-0.0162, 0.0079, 0.9998]])
DO_MOVE = np.array([0.0190473, -0.0018514, -0.0047501])
DO_DEPTH_K = np.array([[224.502, 0, 160], [0, 230.494, 120], [0, 0, 1]])


def write_do(root: Path, model: HandModel, n: int = 3):
    """Truth: sequence → (tips (n, 5, 3) in the colour camera, NaN where missing; pictures). In the second frame one tip
    is missing, in the third four."""
    truth = {}
    for number, sequence in enumerate(DO_SEQUENCES):
        rng = np.random.default_rng(100 + number)
        tips = hands(model, n, 90 + number, 0.5).left().joints[:, list(TIPS)]  # in the depth camera
        missing = np.zeros((n, 5), bool)
        missing[1, 2] = True
        missing[2, 1:] = True
        tips_px = projected(tips, DO_DEPTH_K)
        lines_2d, lines_3d = [], []
        for i in range(n):
            lines_2d.append(";".join(f"{u:.4f}, {v:.4f}" for u, v in tips_px[i]))
            entries = [
                "0, 0, 32001" if gone else f"{-x * 1000:.4f}, {-y * 1000:.4f}, {z * 1000:.4f}"
                for (x, y, z), gone in zip(tips[i], missing[i], strict=True)
            ]
            lines_3d.append(";".join(entries) + (";" if number % 2 else ""))
        folder = root / "data" / sequence
        (folder / "annotations").mkdir(parents=True)
        (folder / "annotations" / f"{sequence}2D.txt").write_text("\n".join(lines_2d) + "\n")
        (folder / "annotations" / f"{sequence}3D.txt").write_text("\r\n".join(lines_3d) + "\r\n\r\n")
        pictures = [picture(rng, 640, 480) for _ in range(n)]
        for i in range(n):
            save(folder / "color" / f"Color_{i + 1:04d}.bmp", pictures[i])
        in_color = tips @ DO_TURN.T + DO_MOVE
        in_color[missing] = np.nan
        truth[sequence] = (in_color, pictures)
    return truth


# ---- FreiHAND


def write_freihand(root: Path, model: HandModel, n: int = 3, versions: int = 4, evaluation_xyz: bool = True):
    """Truth: split → (hands, Ks (n, 3, 3), masks (n, 224, 224) bool)."""
    truth = {}
    for number, split in enumerate(("training", "evaluation")):
        rng = np.random.default_rng(200 + number)
        found = hands(model, n, 120 + number, 0.6)
        Ks = np.tile(np.array([[480.0, 0, 112], [0, 481.0, 112], [0, 0, 1]]), (n, 1, 1))
        Ks[:, 0, 2] += np.arange(n)
        masks = np.zeros((n, 224, 224), bool)
        for i in range(n):
            masks[i, 48:160, 32 + 16 * i : 144] = True
        for i in range(n * (versions if split == "training" else 1)):
            save(root / split / "rgb" / f"{i:08d}.jpg", picture(rng, 224, 224), quality=90)
        write = {"K": Ks, "xyz": found.joints, "verts": found.vertices, "scale": np.full(n, 0.03)}
        if split == "training":
            for i in range(n):
                save(root / split / "mask" / f"{i:08d}.jpg", masks[i].astype(np.uint8) * 255, quality=75)
        elif not evaluation_xyz:
            del write["xyz"], write["verts"]
        for what, array in write.items():
            (root / f"{split}_{what}.json").write_text(json.dumps(array.tolist()))
        truth[split] = (found, Ks, masks)
    return truth


# ---- NYU Depth


def write_nyu(path: Path, n: int = 3, **options) -> list[np.ndarray]:
    """Truth: the pictures (480, 640, 3) as MATLAB shows them."""
    import h5py

    rng = np.random.default_rng(300)
    pictures = [picture(rng, 640, 480) for _ in range(n)]
    with h5py.File(path, "w") as file:
        file.create_dataset("images", data=np.stack([image.transpose(2, 1, 0) for image in pictures]), **options)
    return pictures


# ---- a folder of photographs


def write_photos(folder: Path, model: HandModel, n: int = 4):
    """Truth: joints (n, 21, 3) with NaN where null, K, pictures. Odd ones show a left hand."""
    rng = np.random.default_rng(400)
    found, K = hands(model, n, 150, 0.5), np.array([[500.0, 1.5, 150], [0, 505.0, 110], [0, 0, 1]])
    joints = np.stack([found.left().joints[i] if i % 2 else found.joints[i] for i in range(n)])
    joints[0, 3] = np.nan
    if n > 2:
        joints[2] = np.nan
    entries, pictures = [], []
    for i in range(n):
        pictures.append(picture(rng, 300, 220))
        save(folder / "images" / f"{i}.png", pictures[i])
        xyz = [None if np.isnan(row).any() else row.tolist() for row in joints[i]]
        side = "left" if i % 2 else "right"
        entries.append(
            {"image": f"images/{i}.png", "side": side, "K": K.tolist(), "xyz": xyz if i != 2 else None, "source": "x"}
        )
    (folder / "annotations.json").write_text(json.dumps(entries))
    return joints, K, pictures


# ---- the published weights of J2D, at their full size


def posenet_arrays() -> dict[str, np.ndarray]:
    """The published dict: TensorFlow's names, kernels as (height, width, inputs, outputs), and another network's."""
    random = np.random.default_rng(0)
    published = {"PosePrior/fc_xyz/weights": np.zeros((512, 63), np.float32)}
    for layer, (inputs, outputs, kernel) in layers().items():
        shape = (kernel, kernel, inputs, outputs)
        scale = np.float32(1.4 / (inputs * kernel**2) ** 0.5)  # at which 31 layers neither die nor explode
        published[f"PoseNet2D/{layer}/weights"] = scale * random.standard_normal(shape, np.float32)
        published[f"PoseNet2D/{layer}/biases"] = np.float32(0.1) * random.standard_normal(outputs, np.float32)
    return published
