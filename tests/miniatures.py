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
from handlib.hand.joints import C21, INTERHAND21, MANO21, RHD21, STB21, TIPS, JointOrder
from handlib.networks.pose_machine import layers

MIRROR = np.array([-1.0, 1.0, 1.0])
RHD_K = np.array([[282.9, 0, 160.0], [0, 282.9, 159.5], [0, 0, 1]])


class Hands(NamedTuple):
    """Right hands in front of a camera, meters."""

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
    """Colored squares of 4 pixels: no two pictures alike, and small as a file."""
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
    depth: np.ndarray  # (n, h, w) meters


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
    left BB camera; those in the SK color camera; pictures by name)."""
    from scipy.io import savemat

    (root / "labels").mkdir(parents=True)
    truth = {}
    for number, sequence in enumerate(STB_SEQUENCES):
        rng = np.random.default_rng(number)
        in_bb, in_color = (hands(model, n, seed + number, 0.5).left().joints for seed in (30, 60))
        for joints in (in_bb, in_color):
            joints[:, 0] = (joints[:, 0] + joints[:, C21.index("ring1")]) / 2  # a palm
        # X_depth = R X_color + t
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
    """Truth: sequence → (tips (n, 5, 3) in the color camera, NaN where missing; pictures). In the second frame one tip
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
                mask = (masks[i].astype(np.uint8) * 255)[..., None].repeat(3, -1)
                save(root / split / "mask" / f"{i:08d}.jpg", mask, quality=75)
        elif not evaluation_xyz:
            del write["xyz"], write["verts"]
        for what, array in write.items():
            (root / f"{split}_{what}.json").write_text(json.dumps(array.tolist()))
        truth[split] = (found, Ks, masks)
    return truth


# ---- HO3D

HO3D_K = np.array([[614.627, 0, 320.262], [0, 614.101, 238.469], [0, 0, 1]])
HO3D_LISTS = {  # sequences of several cameras share the beginning of their names
    "train": [("ABF10", "0000"), ("ABF11", "0000"), ("ABF10", "0007"), ("MC1", "0003")],
    "evaluation": [("SM1", "0001"), ("AP10", "0000"), ("SM1", "0000")],
}
OPENGL = np.array([1.0, -1.0, -1.0])


def write_ho3d(root: Path, model: HandModel, version: int = 3, truth: bool = True, protocol: int = 2):
    """Truth: split → (hands, pictures, masks, depth in codes, boxes). truth: the evaluation's joints and vertices."""
    found = {}
    suffix, options = {2: (".png", {}), 3: (".jpg", {"quality": 95, "subsampling": 0})}[version]
    for number, (split, frames) in enumerate(HO3D_LISTS.items()):
        rng = np.random.default_rng(500 + number)
        right = hands(model, len(frames), 160 + number, 0.5)
        theirs = reordered(right.joints, MANO21) * OPENGL
        pictures = np.stack([picture(rng, 640, 480) for _ in frames])
        masks = rng.random((len(frames), 24, 32)) < 0.5  # v3's is smaller than the picture
        codes = rng.integers(0, 10_000, (len(frames), 480, 640))
        boxes = np.array([[200.0 + i, 150, 380, 300 + i] for i in range(len(frames))])
        for i, (sequence, frame) in enumerate(frames):
            folder = root / split / sequence
            save(folder / "rgb" / f"{frame}{suffix}", pictures[i], **options)
            depth = np.stack([codes[i] % 256, codes[i] // 256, np.zeros_like(codes[i])], -1).astype(np.uint8)
            save(folder / "depth" / f"{frame}.png", depth, compress_level=1)
            if version == 3:
                seg = np.zeros((24, 32, 3), np.uint8)
                seg[masks[i], 2] = seg[~masks[i], 1] = 255
                save(folder / "seg" / f"{frame}.png", seg)
            meta = {"camMat": HO3D_K, "objName": "021_bleach_cleanser", "objLabel": 12, "objTrans": np.zeros(3)}
            if split == "train":
                meta |= {"handJoints3D": theirs[i], "handPose": np.zeros(48), "handBeta": np.zeros(10)}
                meta |= {"handTrans": np.zeros(3)}
            else:
                meta |= {"handJoints3D": theirs[i, 0], "handBoundingBox": boxes[i].astype(int).tolist()}
            (folder / "meta").mkdir(parents=True, exist_ok=True)
            (folder / "meta" / f"{frame}.pkl").write_bytes(pickle.dumps(meta, protocol=protocol))
        (root / f"{split}.txt").write_text("".join(f"{sequence}/{frame}\n" for sequence, frame in frames))
        if split == "evaluation" and truth:
            (root / "evaluation_xyz.json").write_text(json.dumps(theirs.tolist()))
            (root / "evaluation_verts.json").write_text(json.dumps((right.vertices * OPENGL).tolist()))
        found[split] = (right, pictures, masks.repeat(20, 1).repeat(20, 2), codes, boxes)
    return found


# ---- InterHand2.6M

INTERHAND_CAMERAS = {"400002": ([30.0, -40, 20], [0.1, -0.05, 0.2]), "410003": ([-20.0, 10, -60], [-0.15, 0.1, 0.05])}


def interhand_camera(number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """R, position in millimeters, focal and center of a camera."""
    position, turn = list(INTERHAND_CAMERAS.values())[number]
    return rodrigues(np.array(turn)), np.array(position), np.array([1261.5, 1262.5]), np.array([156.0 + number, 258.5])


def write_interhand(root: Path, model: HandModel, n: int = 3, folder: str = "", splits=("train", "val", "test")):
    """Truth: split → (right (n, 21, 3) and left (n, 21, 3) meters in the world, pictures by (frame, camera)).

    Frame 0 has a right hand, 1 a left one, 2 both; of the third, the tip of the right thumb is not in the picture and
    that of the left little finger is not known at all. All are seen by two cameras.
    """
    truth = {}
    for number, split in enumerate(splits):
        rng = np.random.default_rng(600 + number)
        right, left = hands(model, n, 170 + number, 1.05).joints, hands(model, n, 180 + number, 1.05).left().joints
        right, left = right - [0.04, 0, 0], left + [0.04, 0, 0]
        images, annotations, files, joints_3d = [], [], {}, {}
        for i in range(n):
            type_ = ("right", "left", "interacting")[i % 3]
            world = np.concatenate([reordered(hand[i], INTERHAND21) for hand in (right, left)]) * 1000
            valid = np.repeat([type_ != "left", type_ != "right"], 21)
            valid[21 + 16] &= type_ != "interacting"
            world[~valid] = 1.0
            frame = 100 + 10 * i
            joints_3d[str(frame)] = {
                "world_coord": world.tolist(),
                "joint_valid": valid[:, None].tolist(),
                "hand_type": type_,
                "hand_type_valid": True,
            }
            for camera in INTERHAND_CAMERAS:
                inside = valid.copy()
                inside[0] &= type_ != "interacting"
                name = f"Capture{number}/0001_fist/cam{camera}/image{frame}.jpg"
                files[i, camera] = picture(rng, 334, 512)
                save(root / "images" / split / name, files[i, camera], quality=95, subsampling=0)
                entry = {"id": len(images) + 7, "file_name": name, "width": 334, "height": 512, "subject": 3}
                entry |= {"capture": number, "seq_name": "0001_fist", "camera": camera, "frame_idx": frame}
                label = {"id": len(images) + 50, "image_id": entry["id"], "bbox": [10.5, 20, 200, 210]}
                label |= {"joint_valid": inside[:, None].astype(int).tolist()}
                images.append(entry)
                annotations.append(label | {"hand_type": type_, "hand_type_valid": 1})
        cameras: dict[str, dict] = {name: {} for name in ("campos", "camrot", "focal", "princpt")}
        for k, camera in enumerate(INTERHAND_CAMERAS):
            rotation, position, focal, center = interhand_camera(k)
            for name, value in zip(cameras, (position, rotation, focal, center), strict=True):
                cameras[name][camera] = value.tolist()
        labels = root / "annotations" / (folder or split)
        labels.mkdir(parents=True, exist_ok=True)
        content = {"data": {"images": images, "annotations": annotations}}
        content |= {"camera": {str(number): cameras}, "joint_3d": {str(number): joints_3d}}
        for what, value in content.items():
            (labels / f"InterHand2.6M_{split}_{what}.json").write_text(json.dumps(value, indent=number or None))
        truth[split] = (right, left, files)
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
