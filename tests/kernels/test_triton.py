"""The kernels for CUDA (renderer/triton) against the plain torch that they stand for.

On a GPU where there is one; else in Triton's interpreter, which runs them on CPU tensors, operation by operation and
slowly, so scenes are tiny (conftest.py switches it on).
"""

import json
import os
import subprocess
import sys

import pytest
import torch

from handlib import Renderer
from handlib.camera import crop_to_px
from handlib.parameters import MeshParameters, posed_hand
from handlib.renderer import edges, kato, rasterize, soft
from handlib.renderer.backends import choose

pytest.importorskip("triton", reason="torch's builds for CUDA bring Triton; on a CPU: pip install triton")
GPU = torch.cuda.is_available()
if not GPU and os.environ.get("TRITON_INTERPRET") != "1":
    pytest.skip("without a GPU this needs TRITON_INTERPRET=1", allow_module_level=True)

from handlib.renderer.triton import edges as cuda_edges  # noqa: E402
from handlib.renderer.triton import jit as cuda_jit  # noqa: E402
from handlib.renderer.triton import kato as cuda_kato  # noqa: E402
from handlib.renderer.triton import rasterize as cuda  # noqa: E402
from handlib.renderer.triton import soft as cuda_soft  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning:triton")  # lanes that are masked out may overflow
DEVICE = "cuda" if GPU else "cpu"
H, W = 9, 12


@pytest.fixture(autouse=True)
def few_steps(monkeypatch):
    """All pixels of a face or of a line at once, since the interpreter takes equally long for one lane and for many."""
    if not GPU:
        for module in (cuda, cuda_jit, cuda_soft):
            monkeypatch.setattr(module, "LANES", 128)


@pytest.fixture(params=[(torch.float32, 2), (torch.float64, 1)], ids=["single, own faces", "double, shared faces"])
def kind(request) -> tuple[torch.dtype, int]:
    """Precision, and for how many meshes there are faces."""
    return request.param


@pytest.fixture
def dtype(kind) -> torch.dtype:
    return kind[0]


@pytest.fixture
def scene(kind, generator):
    """Two meshes of three triangles that overlap and reach beyond the picture; the first two share an edge."""
    dtype, sets = kind
    xy = torch.rand(2, 9, 2, generator=generator, dtype=torch.float64) * torch.tensor([W + 6.0, H + 6.0]) - 3
    vertices = torch.cat([xy, torch.randn(2, 9, 1, generator=generator, dtype=torch.float64)], -1)
    faces = torch.stack([torch.randperm(9, generator=generator).view(3, 3) for _ in range(sets)])
    faces[:, 1, :2] = faces[:, 0, :2]
    return vertices.to(DEVICE, dtype), faces.to(DEVICE)


@pytest.fixture
def pictures(generator, dtype):
    return torch.randn(2, 2, H, W, 2, generator=generator, dtype=torch.float64).to(DEVICE, dtype)


def assert_same_push(found, wanted, single=1e-4):
    scale = float(wanted.abs().max())
    assert scale > 0.1 and found.dtype == wanted.dtype
    tolerance = 1e-10 if found.dtype == torch.float64 else single
    torch.testing.assert_close(found, wanted, atol=tolerance * scale, rtol=0)


# ---- which face a pixel sees


def test_same_faces(scene):
    vertices, faces = scene
    wanted = rasterize.rasterize(vertices, faces, H, W)
    assert 0.2 < (wanted >= 0).float().mean() < 0.95
    found = cuda.rasterize(vertices, faces, H, W)
    assert found.dtype == torch.int32 and torch.equal(found, wanted)


@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_every_pixel_belongs_to_one_face(shift):
    """A fan of triangles whose edges run through pixel centers (shift ½) or corners: each is drawn alone, and all share
    out the square between them."""
    rim = torch.tensor([[0.0, 0], [4, 0], [6, 0], [6, 6], [2, 6], [0, 6]])
    points = torch.cat([torch.tensor([[3.0, 2]]), rim]) + shift
    vertices = torch.cat([points, torch.ones(7, 1)], 1).to(DEVICE)
    first = torch.arange(6)
    faces = torch.stack([torch.zeros_like(first), 1 + first, 1 + (first + 1) % 6], 1)
    faces[::2] = faces[::2].flip(1)  # of either winding
    faces = faces.to(DEVICE)
    alone = cuda.rasterize(vertices.expand(6, -1, -1), faces[:, None], 8, 8) >= 0
    square = torch.zeros(8, 8, dtype=torch.int64, device=DEVICE)
    square[:6, :6] = 1  # with the centers on its left and top sides, without those on the others
    assert torch.equal(alone.sum(0), square)
    assert torch.equal(
        cuda.rasterize(vertices[None], faces[None], 8, 8), rasterize.rasterize(vertices[None], faces[None], 8, 8)
    )


SHEET = torch.tensor([[-9.0, -9], [99, -9], [-9, 99]])


@pytest.mark.parametrize("shift", [0.0, -5.0, -1e4])
def test_nearest_wins_at_any_depth(shift):
    vertices = torch.cat([torch.cat([SHEET, torch.full((3, 1), z + shift)], 1) for z in (0.5, -2.0, 3.0)])
    faces = torch.arange(9, device=DEVICE).view(1, 3, 3)
    assert (cuda.rasterize(vertices[None].to(DEVICE), faces, 4, 4) == 1).all()


@pytest.mark.parametrize("z", [0.0, -0.0, 1.5, -1.5])
def test_lowest_face_wins_a_tie(z):
    vertices = torch.cat([SHEET, torch.full((3, 1), z)], 1)[None].to(DEVICE)
    faces = torch.tensor([[[0, 0, 1], [0, 1, 2], [1, 2, 0], [0, 2, 1]]], device=DEVICE)
    assert (cuda.rasterize(vertices, faces, 4, 4) == 1).all()


# ---- gradients


def test_same_edge_push(scene, pictures):
    face = rasterize.rasterize(*scene, H, W)
    found = cuda_edges.edge_push(*pictures, *scene, face)
    assert_same_push(found, edges.edge_push(*pictures, *scene, face))


def test_a_surface_that_goes_on_is_not_pushed(pictures, dtype):
    """A roof and a triangle floating before it: only the latter has an outline inside the picture."""
    roof = torch.tensor([[-9.0, -9, 5], [20, -9, 5], [-9, 5, 2], [20, 5, 2], [-9, 20, 6], [20, 20, 6]])
    front = torch.tensor([[3.2, 2.1, 1.0], [9.3, 4.2, 1.5], [4.1, 7.4, 1.2]])
    vertices = torch.cat([roof, front]).expand(2, -1, -1).to(DEVICE, dtype)
    faces = torch.tensor([[[0, 1, 2], [1, 3, 2], [2, 3, 4], [3, 5, 4], [6, 7, 8]]], device=DEVICE)
    face = rasterize.rasterize(vertices, faces, H, W)
    found = cuda_edges.edge_push(*pictures, vertices, faces, face)
    assert not found[:, :6].any() and found[:, 6:, :2].any()
    assert_same_push(found, edges.edge_push(*pictures, vertices, faces, face))


def test_infinite_backgrounds_push_nothing(scene, pictures):
    """As in a depth image: its outlines against the background have no gradient."""
    face = rasterize.rasterize(*scene, H, W)
    image = torch.where((face >= 0)[..., None], pictures[0], torch.inf)
    found = cuda_edges.edge_push(image, pictures[1], *scene, face)
    assert_same_push(found, edges.edge_push(image, pictures[1], *scene, face))


def test_same_kato_push(scene, pictures):
    face = rasterize.rasterize(*scene, H, W)
    found = cuda_kato.kato_push(*pictures, *scene, face)
    assert_same_push(found, kato.kato_push(*pictures, *scene, face), single=2e-2)  # as on the CPU: test_fast.py


def test_same_soft_silhouette(scene, pictures):
    moved = [scene[0].clone().requires_grad_() for _ in range(2)]
    found, wanted = (
        module.soft_silhouette(vertices, scene[1], H, W, 3e-3)
        for module, vertices in zip((cuda_soft, soft), moved, strict=True)
    )
    assert found.dtype == scene[0].dtype and 0.1 < float(wanted.detach().mean()) < 0.9
    torch.testing.assert_close(found, wanted, atol=1e-9 if found.dtype == torch.float64 else 1e-5, rtol=0)
    pushes = [
        torch.autograd.grad((i * pictures[0, ..., 0]).sum(), v)[0] for i, v in zip((found, wanted), moved, strict=True)
    ]
    torch.testing.assert_close(pushes[0], pushes[1], atol=1e-6 if found.dtype == torch.float64 else 1e-3, rtol=1e-3)


def test_sums_at_vertices(generator):
    """Each mesh with its own faces; vertex 3 is in none, and vertex 0 is thrice in one."""
    faces = torch.tensor([[[0, 1, 2], [2, 1, 4]], [[0, 0, 0], [4, 0, 1]]], device=DEVICE)
    pulls = torch.randn(2, 2, 3, 2, generator=generator, dtype=torch.float64).to(DEVICE)
    wanted = torch.zeros(2, 5, 3, dtype=torch.float64, device=DEVICE)
    for image in range(2):
        wanted[image, :, :2].index_add_(0, faces[image].flatten(), pulls[image].flatten(0, 1))
    torch.testing.assert_close(cuda_jit.at_vertices(pulls, faces, 5), wanted)
    shared = cuda_jit.at_vertices(pulls, faces[:1], 5)
    torch.testing.assert_close(shared[0], wanted[0])


# ---- what must do no harm


def test_faces_that_no_pixel_sees(pictures):
    lost = [
        [[3.5, 3.5, 0]] * 3,  # a point, on a pixel's center
        [[1.5, 1.5, 0], [6.5, 6.5, 0], [3.5, 3.5, 0]],  # a line through centers
        [[-50, -50, 0], [-40, -50, 0], [-50, -40, 0]],  # off the picture
        [[1e9, 1e9, 0], [2e9, 1e9, 0], [1e9, 2e9, 0]],  # far off
        [[3.6, 3.6, 0], [3.9, 3.6, 0], [3.6, 3.9, 0]],  # between the centers
    ]
    vertices = torch.tensor(lost).view(1, 15, 3).to(DEVICE)
    faces = torch.arange(15, device=DEVICE).view(1, 5, 3)
    face = cuda.rasterize(vertices, faces, H, W)
    assert (face == -1).all()
    picture, pull = pictures[:, :1].to(vertices)
    assert not cuda_edges.edge_push(picture, pull, vertices, faces, face).any()
    assert not cuda_kato.kato_push(picture, pull, vertices, faces, face).any()
    moved = vertices.clone().requires_grad_()
    image = cuda_soft.soft_silhouette(moved, faces, H, W, 1e-3)
    assert float(image.detach().max()) < 0.9
    assert torch.isfinite(torch.autograd.grad(image.sum(), moved)[0]).all()


@pytest.mark.parametrize("b, f", [(0, 2), (1, 0)])
def test_no_meshes_and_no_faces(b, f):
    vertices = torch.rand(b, 6, 3, device=DEVICE, requires_grad=True)
    faces = torch.zeros(1, f, 3, dtype=torch.int64, device=DEVICE)
    face = cuda.rasterize(vertices, faces, H, W)
    assert face.shape == (b, H, W) and (face == -1).all()
    picture = torch.rand(b, H, W, 1, device=DEVICE)
    for push in (cuda_edges.edge_push, cuda_kato.kato_push):
        assert not push(picture, picture, vertices, faces, face).any()
    image = cuda_soft.soft_silhouette(vertices, faces, H, W, 1e-3)
    assert image.shape == (b, H, W) and not image.any()
    assert not torch.autograd.grad(image.sum(), vertices)[0].any()


# ---- as a backend


@pytest.mark.parametrize("kind", [(torch.float64, 1)], ids=["double"])
@pytest.mark.parametrize("gradient", ["antialias", "soft"])
def test_renderer_on_the_kernels(scene, monkeypatch, gradient):
    """From the front door, with any leading dimensions."""
    vertices, faces = scene
    backend = choose("fast", "cuda")
    assert backend.rasterize.__wrapped__ is cuda.rasterize and choose("auto", "cuda") == backend
    monkeypatch.setattr(
        "handlib.renderer.renderer.choose", lambda name, _: choose(name, "cuda" if name == "fast" else "cpu")
    )
    pull, results = torch.randn(H, W, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(DEVICE), []
    for name in ("fast", "reference"):
        moved = vertices[None].clone().requires_grad_()
        image = Renderer((H, W), name, gradient, supersampling=1, sigma=3e-3).silhouette(moved, faces[0])
        results.append((image.detach(), torch.autograd.grad((image * pull).sum(), moved)[0]))
    (image, push), (wanted, wanted_push) = results
    torch.testing.assert_close(image, wanted, atol=1e-9, rtol=0)
    torch.testing.assert_close(push, wanted_push, atol=1e-6, rtol=0)


# The kernels with the types of their tensors (R: a real number's) and their constants. A number among the types is one
# that Triton compiles a kernel of its own for: there being faces for every mesh, or one channel, is such a 1.
FACES = ["*R", "*R", "*i32", "*R", "*i64", "*R", "i32", "i32"]
COMPILED = [
    ("rasterize._draw", ["*R", "*i64", "*i64", *["i32"] * 5], [1e-9, 32]),
    ("rasterize._draw", ["*R", "*i64", "*i64", "i32", "i32", 1, "i32", "i32"], [1e-9, 32]),
    ("edges._push_face", [*FACES, *["i32"] * 4], [32]),
    ("edges._push_face", [*FACES, 1, "i32", "i32", 1], [32]),
    ("kato._pull_face", [*FACES, *["i32"] * 4], [0.01, 32]),
    ("kato._pull_face", [*FACES, 1, "i32", "i32", 1], [0.01, 32]),
    ("soft._clear", ["*R", "*i64", "*R", "*R", *["i32"] * 5], [0.8, 9.2, 32, 16]),
    ("soft._pull_face", ["*R", "*i64", "*R", "*R", "*R", *["i32"] * 5], [0.8, 9.2, 32]),
    ("jit._gather", ["*R", "*i64", "*i64", "*R", *["i32"] * 3], [64]),
]
COMPILE = """
import importlib, json, sys
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
for name, types, constants in json.loads(sys.argv[1]):
    module, kernel = name.split(".")
    kernel = getattr(importlib.import_module("handlib.renderer.triton." + module), kernel)
    given = [*types, *constants]
    fixed = [n >= len(types) or isinstance(value, int) for n, value in enumerate(given)]
    signature = ["constexpr" if known else value.replace("R", "fp32") for known, value in zip(fixed, given)]
    constexprs = {(n,): value for n, (known, value) in enumerate(zip(fixed, given)) if known}
    source = ASTSource(kernel, dict(zip(kernel.arg_names, signature)), constexprs)
    options = dict(num_warps=1, enable_fp_fusion=False)
    code = triton.compile(source, target=GPUTarget("cuda", 75, 32), options=options)
    fused = "fma.rn.f64" in code.asm["ptx"] or "fma.rn.f32" in code.asm["ptx"]
    assert code.asm["cubin"] and not (fused and kernel.__name__ in ("_draw", "_push_face")), name
    print(name)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="Triton's wheels bring NVIDIA's assembler for Linux")
def test_kernels_compile_for_a_gpu():
    """To machine code, which needs no GPU: the interpreter is more patient with types than the compiler."""
    environment = os.environ | {"TRITON_INTERPRET": "0"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", COMPILE, json.dumps(COMPILED)],
        env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split() == [name for name, *_ in COMPILED]


# ---- on a GPU

on_a_gpu = pytest.mark.skipif(not GPU, reason="needs a GPU: whole hands are too much for the interpreter")


@pytest.fixture
def hands(hand):
    """Three posed hands in pixels of a picture of 224², and the faces."""
    pose, shape = hand.sample(3, torch.Generator().manual_seed(5))
    first = MeshParameters.split(MeshParameters.initial(hand).expand(3, -1))
    vertices = crop_to_px(posed_hand(hand, first._replace(pose=pose, shape=shape).join()).vertices, 224)
    return vertices.to(DEVICE), hand.faces.to(DEVICE)


@on_a_gpu
@pytest.mark.parametrize("gradient", ["antialias", "kato", "soft"])
def test_whole_hands(hands, gradient):
    vertices, faces = hands
    pull = torch.randn(3, 224, 224, generator=torch.Generator().manual_seed(2)).to(DEVICE)
    results = []
    for backend in ("fast", "fast", "reference"):
        moved = vertices.clone().requires_grad_()
        image = Renderer(224, backend, gradient).silhouette(moved, faces)
        results.append((image.detach(), torch.autograd.grad((image * pull).sum(), moved)[0]))
    for one, two in zip(*results[:2], strict=True):
        assert torch.equal(one, two)  # the same to the last bit
    (image, push), _, (wanted, wanted_push) = results
    torch.testing.assert_close(image, wanted, atol=1e-5, rtol=0)
    torch.testing.assert_close(push, wanted_push, atol=2e-2 * float(wanted_push.abs().max()), rtol=0)


@on_a_gpu
def test_whole_hands_show_the_same_faces(hands):
    vertices, faces = hands
    for size in (224, 448):
        scaled = vertices * vertices.new_tensor([size / 224, size / 224, 1])
        fast, plain = (Renderer(size, backend).rasterize(scaled, faces)[0] for backend in ("fast", "reference"))
        assert torch.equal(fast, plain)
