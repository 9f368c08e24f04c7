"""The renderer: its pictures and their gradients."""

from typing import Any

import numpy as np
import torch
from function import Function
from given import Given, each, numbers, one_of, scalars
from hypothesis import strategies as st
from loaded import hand

from handlib import Renderer
from handlib.support.arguments import as_tensor


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
    return Function(f"Renderer.{method}", call, each(**given), words=("vertices", "mesh"))


def just_one(*values: Any) -> st.SearchStrategy[Given]:
    return st.sampled_from(values).map(lambda value: Given(value, value))


def pushed(vertices_px, faces, vertex_colors, gradient):
    """The gradient of a picture: what the compiled loops backwards say."""
    points = as_tensor("vertices_px", vertices_px).detach().float().requires_grad_()
    Renderer(24, gradient=gradient).rgb(points, faces, vertex_colors).square().sum().backward()
    return points.grad


SIZES = one_of(
    8, 24, (8, 9), [8, 9], 0, -1, 2**14 + 1, (8,), (1, 2, 3),
    "x", None, 2.5, float("nan"), np.int64(8), True, 10**30,
)  # fmt: skip
TARGETS = [
    Function(
        "Renderer()",
        lambda **given: Renderer(**given).silhouette(torch.rand(1, 4, 3) * 20, torch.tensor([[0, 1, 2]])),
        each(
            size=SIZES,
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
        each(
            vertices_px=numbers(lambda rng: vertices(rng, 24), 10**6),
            faces=numbers(faces, 3),
            vertex_colors=numbers(corner_colors, 3),
            gradient=just_one("antialias", "kato"),
        ),
        passes=True,
    ),
]
