"""Every public function, and what is tried on it."""

import inspect
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from given import Given, intrinsics, just, numbers, of, one_of, scalars
from hypothesis import strategies as st
from outcomes import is_clear, is_finite, is_same, where
from PIL import Image

import handlib
from handlib import (
    DHPE,
    Camera,
    DHPEConfig,
    HandModel,
    MeshParameters,
    Renderer,
    augmentation,
    camera,
    evidence,
    losses,
)
from handlib.data import SyntheticHands
from handlib.evaluation import metrics
from handlib.hand.joints import FINGERTIPS
from handlib.parameters import posed_hand, posed_skeleton
from handlib.photo.predict import Predictor
from handlib.support.arguments import as_tensor


class Function(NamedTuple):
    """passes: NaN and numbers beyond single precision come out as they went in, as torch's do; said in the docstring
    or the room's. share: of all cases."""

    name: str
    call: Callable[..., Any]
    given: st.SearchStrategy[dict[str, Given]]
    passes: bool = False
    share: float = 1.0
    words: tuple[str, ...] = ()

    def outcome(self, given: dict[str, Given]) -> tuple[str, str]:
        names = {*given, *(name.split("_")[0] for name in given), *self.words}
        try:
            answer = self.call(**{name: one.value for name, one in given.items()})
        except Exception as error:
            return ("clear error" if is_clear(error, names) else "raw error"), where(error)
        if not is_finite(answer) and not (self.passes and any(one.wild for one in given.values())):
            return "silent", "an answer with NaN or infinity"
        if any(one.strange for one in given.values()):
            return "right", ""
        expected = self.call(**{name: one.plain for name, one in given.items()})
        return ("right", "") if is_same(answer, expected) else ("silent", "another answer than to plain tensors")


@cache
def hand() -> HandModel:
    return HandModel.load()


@cache
def model(name: str = "lite") -> DHPE:
    return DHPE.from_pretrained(name)


@cache
def predictor() -> Predictor:
    return Predictor()


@cache
def photograph() -> np.ndarray:
    """A rendered hand in a picture of 224 pixels, bytes (h, w, 3)."""
    image = SyntheticHands("studio", 224, 24, crop_factor=2.0)[18].image
    return (image.movedim(0, -1) * 255).byte().numpy()


# ---- whole modules, by their annotations

MODES = {"align": metrics.ALIGNMENTS}
_SKIP = {"normalise_joints", "posed_hand", "posed_skeleton", "arrays"}


def module(of_module: Any, passes: bool = True, **known: st.SearchStrategy) -> list[Function]:
    functions = []
    for name, function in vars(of_module).items():
        if (
            not inspect.isfunction(function)
            or function.__module__ != of_module.__name__
            or name[0] == "_"
            or name in _SKIP
        ):
            continue
        if not any("Tensor" in str(p.annotation) for p in inspect.signature(function).parameters.values()):
            continue
        mine = known | ({"mode": scalars(str, *MODES[name])} if name in MODES else {})
        own = {key: value for key, value in mine.items() if key in inspect.signature(function).parameters}
        functions.append(
            Function(
                f"{of_module.__name__.split('.')[-1]}.{name}",
                function,
                of(function, **own),
                passes,
                words=("alignment",),
            )
        )
    return functions


# ---- what has objects behind it


def vertices(rng: np.random.Generator, size: int = 32) -> np.ndarray:
    mesh = hand().template - hand().template.mean(0)
    return mesh.numpy() * rng.uniform(100, 150) + size / 2


def faces(rng: np.random.Generator) -> np.ndarray:
    return hand().faces.numpy()


def corner_colors(rng: np.random.Generator) -> np.ndarray:
    return rng.uniform(0, 1, (778, 3))


def rendered(method: str, **more: st.SearchStrategy) -> Function:
    def call(gradient, backend, **arguments):
        return getattr(Renderer((32, 24), backend=backend, gradient=gradient), method)(**arguments)

    given = {"vertices_px": numbers(vertices, 4), "faces": numbers(faces, 4)} | more
    given |= {
        "gradient": just_one("antialias", "kato", *(["soft"] if method == "silhouette" else [])),
        "backend": just_one("auto", "auto", "reference"),
    }
    return Function(f"Renderer.{method}", call, st.fixed_dictionaries(given), words=("vertices", "mesh"))


def just_one(*values: Any) -> st.SearchStrategy[Given]:
    return st.sampled_from(values).map(lambda value: Given(value, value))


def pushed(vertices_px, faces, vertex_colors, gradient):
    """The gradient of a picture: what the compiled loops backwards say."""
    points = as_tensor("vertices_px", vertices_px).detach().float().requires_grad_()
    Renderer(24, gradient=gradient).rgb(points, faces, vertex_colors).square().sum().backward()
    return points.grad


def of_camera(quaternion, scale, translation, points):
    made = Camera(quaternion, scale, translation)
    return made.matrix(), made.rotation() if np.ndim(quaternion) else None, made.to_crop(points)


def joined(pose, shape, quaternion, scale, translation):
    return MeshParameters(pose, shape, quaternion, scale, translation).join()


def drawn(*shape: int) -> st.SearchStrategy[Given]:
    return numbers(lambda rng: rng.normal(0, 0.4, shape), 5)


def fitted(**arguments):
    output = handlib.fit(**arguments, starts=4, iterations=3, progress=False, hand=hand())
    return replace(output, joint_residual_px=output.joint_residual_px.nan_to_num())  # NaN where a joint is not visible


def joints_2d(rng: np.random.Generator) -> np.ndarray:
    sample = hand().skeleton(hand().mean_pose, torch.zeros(10)).numpy()
    return (sample - sample.mean(0))[:, :2] * rng.uniform(600, 900) + 112


def joints_3d(rng: np.random.Generator) -> np.ndarray:
    return hand().skeleton(hand().mean_pose, torch.zeros(10)).numpy() + rng.normal(0, 0.002, (21, 3))


def picture(rng: np.random.Generator) -> np.ndarray:
    return photograph().astype(np.float64) / 255


def crops(rng: np.random.Generator) -> np.ndarray:
    return picture(rng).transpose(2, 0, 1)[None]


@st.composite
def user_images(draw) -> Given:
    """A photograph in all forms in memory, good and bad."""
    pixels = photograph()
    forms = {
        "bytes": pixels,
        "Pillow": Image.fromarray(pixels),
        "real": pixels / 255,
        "single": np.float32(pixels / 255),
        "tensor": torch.from_numpy(pixels).movedim(-1, 0),
        "half": torch.from_numpy(pixels / 255).half().movedim(-1, 0),
        "view": pixels[::-1, ::-1],
        "gray": Image.fromarray(pixels).convert("L"),
        "16 bits": Image.new("I;16", (64, 64)),
        "palette": Image.fromarray(pixels).convert("P"),
        "CMYK": Image.fromarray(pixels).convert("CMYK"),
        "float gray": Image.new("F", (64, 64), 2.0),
        "255 times": pixels.astype(np.float64),
        "NaN": np.full((64, 64, 3), np.nan),
        "whole": pixels.astype(np.int64),
        "negative": pixels / 255 - 1,
        "empty": pixels[:0],
        "wide": np.zeros((1, 50_000, 3), np.uint8),
        "gray array": pixels[..., 0],
        "RGBA": np.zeros((64, 64, 4), np.uint8),
        "batch": pixels[None],
        "text": "no such file.png",
        "nothing": None,
        "number": 3,
        "list": pixels[:4, :4].tolist(),
        "complex": pixels * 1j,
        "objects": np.full((8, 8, 3), None),
        "meta": torch.zeros(3, 64, 64, device="meta"),
        "tiny": pixels[:3, :3],
        "bfloat16": torch.zeros(3, 64, 64, dtype=torch.bfloat16),
        "bytes object": b"photo",
        "sparse": torch.zeros(3, 32, 32).to_sparse(),
        "with gradient": torch.zeros(3, 64, 64, requires_grad=True),
    }
    name = draw(st.sampled_from(sorted(forms)))
    return Given(forms[name], None, name, strange=True)


BOXES = one_of(
    None,
    None,
    (20, 20, 160),
    [20, 20, 160],
    torch.tensor([20.0, 20, 160]),
    np.array([20, 20, 160]),
    (0, 0, float("inf")),
    (float("nan"), 0, 9),
    (0, 0, 60_000),
    (5000, 5000, 100),
    (0, 0, -5),
    (0, 0),
    "box",
    7,
    (None, 1, 2),
    ("a", "b", "c"),
    (0, 0, 10**400),
    (1e300, 0, 10),
)
KS = one_of(
    None,
    None,
    300,
    300.0,
    [[300, 0, 112], [0, 300, 112], [0, 0, 1]],
    np.eye(3),
    torch.eye(3),
    torch.eye(3).double(),
    0,
    -5.0,
    float("nan"),
    float("inf"),
    1e-30,
    1e30,
    "300",
    [[1, 2], [3, 4]],
    [[1], [2, 3]],
    torch.zeros(3, 3),
    torch.eye(3, device="meta"),
    np.full((3, 3), None),
    10**400,
    True,
    {},
    torch.eye(3)[None],
    3 + 4j,
)


def predicted(image, K, box, max_hands, refine, side):
    hands = predictor()(image, K, max_hands, refine, box, side)
    return [(one.vertices_cam, one.joints_px, one.confidence, one.score, one.mano()) for one in hands]


def refined(images, iterations):
    lite, good = model(), torch.from_numpy(crops(None)).float()
    return handlib.refine(lite, images, lite(good), iterations)


def in_camera_of(K, root_depth):
    with torch.no_grad():
        output = model()(torch.from_numpy(crops(None)).float())
    return output.in_camera(K, root_depth)


def generated(images):
    class Gray:
        def __len__(self):
            return 1

        def photograph(self, index):
            return torch.full((3, 64, 64), 128, dtype=torch.uint8)

    batch = {
        key: value[None]
        for key, value in vars(SyntheticHands("val", 64, 1)[0]).items()
        if isinstance(value, torch.Tensor)
    }
    output = model()(batch["image"]).map(torch.Tensor.detach)
    generator = torch.Generator().manual_seed(0)
    config = augmentation.AugmentationConfig(per_seed=1, masked=False, threshold_px=1e9)
    return augmentation.augment(model(), output, images, batch, generator, Gray(), config)


def rendered_hands(split, size, n, seed, crop_factor, index):
    data = SyntheticHands(split, size, n, seed, crop_factor=crop_factor)
    sample = data[index]
    return sample.image, sample.joints_cam, sample.K


def saved(path):
    estimate = predictor()(photograph(), 300.0, 1, 0, (20, 20, 180))[0]
    return bool(estimate.save(path))


CONFIGS = {
    name: one_of(*values)
    for name, values in {
        "trunk": ("lite", "paper", "photo", "x", None, 3),
        "size": (64, 8, 4096, 0, -1, 10**30, "64", None, 2.5, float("nan")),
        "features": (256, 2048, 1152, 0, 10**9, "x"),
        "hidden": (0, 64, 65_536, -1, float("inf"), None),
        "iterations": (1, 3, 0, 10**6, True, "3"),
        "gradient": ("antialias", "kato", "x", None),
        "principal": (0, 8, 2000, -1, "x"),
        "pose_size": (0, 64, 65, -8, None),
        "evidence_2d": (True, False, None),
        "pose_refiner": (True, False),
    }.items()
}

TARGETS: list[Function] = [
    *module(camera),
    *module(losses, evidence=one_of([torch.zeros(2, 21, 2)] * 2, [np.zeros((2, 21, 2))], [[1.0]], [], 3, "x")),
    *module(metrics, thresholds_mm=one_of((5.0, 15.0), (), ("x",), 5, (float("nan"),))),
    *module(evidence),
    Function(
        "Camera",
        of_camera,
        st.fixed_dictionaries(
            {"quaternion": drawn(2, 4), "scale": drawn(2, 1), "translation": drawn(2, 3), "points": drawn(2, 7, 3)}
        ),
        passes=True,
        words=("camera",),
    ),
    Function("MeshParameters.split", MeshParameters.split, of(MeshParameters.split), passes=True),
    Function(
        "MeshParameters.join",
        joined,
        st.fixed_dictionaries(
            {
                "pose": drawn(2, 45),
                "shape": drawn(2, 10),
                "quaternion": drawn(2, 4),
                "scale": drawn(2, 1),
                "translation": drawn(2, 3),
            }
        ),
        passes=True,
        words=("parts",),
    ),
    Function(
        "posed_hand",
        posed_hand,
        st.fixed_dictionaries({"hand": st.builds(lambda: Given(hand(), hand())), "h": drawn(2, 63)}),
        passes=True,
    ),
    Function(
        "posed_skeleton",
        posed_skeleton,
        st.fixed_dictionaries({"hand": st.builds(lambda: Given(hand(), hand())), "h": drawn(63)}),
        passes=True,
    ),
    Function(
        "HandModel",
        lambda **given: tuple(hand()(**given)),
        st.fixed_dictionaries(
            {},
            optional={"pose": drawn(2, 45), "shape": drawn(10), "rotation": drawn(3, 3), "placement": drawn(2, 3, 4)},
        ),
        passes=True,
        share=2,
    ),
    Function(
        "HandModel.skeleton",
        lambda **given: hand().skeleton(**given),
        st.fixed_dictionaries({"pose": drawn(2, 45), "shape": drawn(2, 10)}),
        passes=True,
    ),
    Function(
        "HandModel.regress_joints",
        lambda vertices: hand().regress_joints(vertices),
        st.fixed_dictionaries({"vertices": drawn(2, 778, 3)}),
        passes=True,
    ),
    Function("HandModel.sample", lambda n: hand().sample(n), st.fixed_dictionaries({"n": scalars(int, 3)}), share=0.2),
    Function(
        "HandModel()",
        lambda model, fingertips, backend: HandModel(model, fingertips, backend).template,
        st.fixed_dictionaries(
            {
                "model": one_of(
                    "openhand", "openhand", "nowhere.pkl", "", ".", None, 3, {}, {"f": 3}, b"x", Path("nowhere.npz")
                ),
                "fingertips": one_of("smplx", *FINGERTIPS, "x", None, 3),
                "backend": one_of("auto", "reference", "x", None),
            }
        ),
        share=0.5,
        words=("hand model", "fingertip"),
    ),
    Function(
        "Renderer()",
        lambda **given: Renderer(**given).silhouette(torch.rand(1, 4, 3) * 20, torch.tensor([[0, 1, 2]])),
        st.fixed_dictionaries(
            {
                "size": one_of(
                    8,
                    24,
                    (8, 9),
                    [8, 9],
                    0,
                    -1,
                    2**14 + 1,
                    (8,),
                    (1, 2, 3),
                    "x",
                    None,
                    2.5,
                    float("nan"),
                    np.int64(8),
                    True,
                    10**30,
                )
            },
            optional={
                "backend": one_of("auto", "reference", "x", None),
                "gradient": one_of("antialias", "kato", "soft", "x", None, 3),
                "supersampling": one_of(None, 1, 2, 0, -1, 2.5, "x", 10**9),
                "sigma": scalars(float, 1e-4),
                "near": scalars(float, 0.0),
            },
        ),
    ),
    rendered("silhouette"),
    rendered("depth", background=one_of(1.0, 0.0, 5)),
    rendered("rasterize"),
    rendered(
        "rgb",
        vertex_colors=numbers(corner_colors, 4),
        background=numbers(lambda rng: rng.uniform(0, 1, (3, 32, 24)), 5),
    ),
    rendered("normals", vertex_normals=numbers(corner_colors, 4)),
    rendered(
        "textured",
        texture=numbers(lambda rng: rng.uniform(0, 1, (3, 8, 8)), 4),
        uv=numbers(lambda rng: rng.uniform(0, 1, (900, 2)), 4),
        uv_faces=numbers(faces, 4),
    ),
    Function(
        "Renderer's gradients",
        pushed,
        st.fixed_dictionaries(
            {
                "vertices_px": numbers(lambda rng: vertices(rng, 24), 10**6),
                "faces": numbers(faces, 3),
                "vertex_colors": numbers(corner_colors, 3),
                "gradient": just_one("antialias", "kato"),
            }
        ),
        passes=True,
    ),
    Function(
        "DHPEConfig",
        lambda **given: len(vars(DHPEConfig(**given))),
        st.fixed_dictionaries({}, optional=CONFIGS),
        words=("evidence", "trunk", "features", "size"),
    ),
    Function(
        "DHPE.from_pretrained",
        DHPE.from_pretrained,
        st.fixed_dictionaries({"name_or_path": one_of("lite", "x", "", ".", None, 3, b"x", "/dev/zero")}),
        share=0.3,
        words=("checkpoint",),
    ),
    Function(
        "DHPE",
        lambda images: vars(model()(images))["vertices"],
        st.fixed_dictionaries({"images": numbers(crops, 2)}),
        share=0.7,
    ),
    Function(
        "DHPEOutput.in_camera",
        in_camera_of,
        st.fixed_dictionaries(
            {
                "K": numbers(lambda rng: intrinsics(rng, (1,)), 3),
                "root_depth": numbers(lambda rng: rng.uniform(0.3, 1, (1,)), 3),
            }
        ),
        passes=True,
        share=0.7,
    ),
    Function(
        "refine",
        refined,
        st.fixed_dictionaries({"images": numbers(crops, 2), "iterations": one_of(1, 2, 0, -1, 2.5, "x", None)}),
        share=0.3,
    ),
    Function(
        "augment",
        generated,
        st.fixed_dictionaries({"images": numbers(lambda rng: rng.uniform(0, 1, (1, 3, 64, 64)), 2)}),
        share=0.3,
    ),
    Function(
        "fit",
        fitted,
        st.fixed_dictionaries(
            {"joints_2d": numbers(joints_2d, 3)},
            optional={
                "K": numbers(lambda rng: intrinsics(rng, ()), 3),
                "visible": numbers(lambda rng: rng.random(21) < 0.9, 3),
                "joints_3d": numbers(joints_3d, 3),
                "side": one_of("right", "left", "x", None, 3),
                "noise": scalars(float, 0.02),
                "seed": scalars(int, 0),
            },
        ),
        share=1.5,
    ),
    Function(
        "fit with a mask",
        fitted,
        st.fixed_dictionaries(
            {
                "joints_2d": just(torch.from_numpy(joints_2d(np.random.default_rng(0))).float()),
                "mask": numbers(lambda rng: np.float64(photograph()[..., 0] > 90), 2),
            }
        ),
        share=0.15,
    ),
    Function(
        "predict",
        predicted,
        st.fixed_dictionaries(
            {
                "image": user_images(),
                "K": KS,
                "box": BOXES,
                "max_hands": one_of(1, 2, 0, -1, 2.5, "x", None, 10**9),
                "refine": one_of(None, 0, 1, -1, 2.5, "x", 10**30),
                "side": one_of(None, "right", "left", "x", 3, ""),
            }
        ),
        share=1.5,
        words=("no image", "a folder"),
    ),
    Function(
        "SyntheticHands",
        rendered_hands,
        st.fixed_dictionaries(
            {
                "split": one_of("val", "studio", "object", "x", None),
                "size": one_of(16, 32, 0, -1, 2.5, "x", 10**9, None),
                "n": one_of(2, 1, 0, -1, "x", 10**12),
                "seed": one_of(0, 5, -1, "x", 2**70, None),
                "crop_factor": one_of(1.5, 2, 0, -1, float("nan"), "x", 1e30),
                "index": one_of(0, -1, 5, 10**12, "x", None, 0.5),
            }
        ),
        share=0.5,
        words=("sample",),
    ),
    Function(
        "HandEstimate.save",
        saved,
        st.fixed_dictionaries({"path": one_of("x.bmp", "", ".", None, 3, "/proc/x.obj", "/dev/null/x.ply", "\0.obj")}),
        words=(".bmp", "name it"),
        share=0.2,
    ),
]
