"""What a user does with a photograph."""

import numpy as np
import torch
from function import Function
from given import Given, each, one_of
from hypothesis import strategies as st
from loaded import photograph, predictor
from PIL import Image


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
    None, None, (20, 20, 160), [20, 20, 160], torch.tensor([20.0, 20, 160]), np.array([20, 20, 160]),
    (0, 0, float("inf")), (float("nan"), 0, 9), (0, 0, 60_000), (5000, 5000, 100), (0, 0, -5), (0, 0), "box", 7,
    (None, 1, 2), ("a", "b", "c"), (0, 0, 10**400), (1e300, 0, 10),
)  # fmt: skip
KS = one_of(
    None, None, 300, 300.0, [[300, 0, 112], [0, 300, 112], [0, 0, 1]], np.eye(3), torch.eye(3),
    torch.eye(3).double(), 0, -5.0, float("nan"), float("inf"), 1e-30, 1e30, "300", [[1, 2], [3, 4]],
    [[1], [2, 3]], torch.zeros(3, 3), torch.eye(3, device="meta"), np.full((3, 3), None), 10**400, True, {},
    torch.eye(3)[None], 3 + 4j,
)  # fmt: skip


def predicted(image, K, box, max_hands, refine, side):
    hands = predictor()(image, K, max_hands, refine, box, side)
    return [(one.vertices_cam, one.joints_px, one.confidence, one.score, one.mano()) for one in hands]


def saved(path):
    estimate = predictor()(photograph(), 300.0, 1, 0, (20, 20, 180))[0]
    return bool(estimate.save(path))


TARGETS = [
    Function(
        "predict",
        predicted,
        each(
            image=user_images(),
            K=KS,
            box=BOXES,
            max_hands=one_of(1, 2, 0, -1, 2.5, "x", None, 10**9),
            refine=one_of(None, 0, 1, -1, 2.5, "x", 10**30),
            side=one_of(None, "right", "left", "x", 3, ""),
        ),
        share=1.5,
        words=("no image", "a folder"),
    ),
    Function(
        "HandEstimate.save",
        saved,
        each(path=one_of("x.bmp", "", ".", None, 3, "/proc/x.obj", "/dev/null/x.ply", "\x00.obj")),
        words=(".bmp", "name it"),
        share=0.2,
    ),
]
