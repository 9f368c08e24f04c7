"""Which backend is chosen, what is said where one is missing, and what they have in common."""

import sys

import pytest
import torch
from triangles import SHEET, H, W, triangles

from handlib import Renderer
from handlib.camera import crop_to_px
from handlib.parameters import MeshParameters, posed_hand
from handlib.renderer import backends
from handlib.renderer.backends import REFERENCE, available, check, choose


def test_unknown_backend_and_gradient():
    with pytest.raises(ValueError, match="unknown backend 'cuda': choose auto or one of reference, fast, pytorch3d"):
        Renderer(8, backend="cuda")
    with pytest.raises(ValueError, match="unknown gradient 'exact': choose one of antialias, kato, soft"):
        Renderer(8, gradient="exact")


@pytest.mark.parametrize("triton", [False, True])
def test_auto_picks_what_fits_the_device(triton, monkeypatch):
    monkeypatch.setattr(backends, "TRITON", triton)
    monkeypatch.setattr(backends, "_triton", lambda: REFERENCE._replace(name="fast"))  # needs no Triton
    assert choose("auto").name == "fast"
    assert choose("auto", "cuda").name == ("fast" if triton else "reference")
    assert choose("auto", "xpu") is REFERENCE and choose("reference", "cuda") is REFERENCE
    with pytest.raises(ValueError, match="the fast renderer runs on cpu and cuda, not on xpu"):
        choose("fast", "xpu")
    with pytest.raises(ValueError, match="needs double precision, which mps lacks"):
        choose("auto", "mps")
    if not triton:
        with pytest.raises(ModuleNotFoundError, match="needs triton 3.3, a C compiler and the headers"):
            choose("fast", "cuda")


@pytest.mark.parametrize("backend", ["fast", "reference"])
def test_a_second_derivative_is_right_or_an_error(backend, hand):
    """Compiled loops have none, and would leave it out in silence."""
    first = MeshParameters.initial(hand)[None]
    vertices = crop_to_px(posed_hand(hand, first).vertices, 24).detach().double().requires_grad_()
    image = Renderer(24, backend).silhouette(vertices, hand.faces)
    weight = torch.linspace(0, 1, 24).double()
    if backend == "fast":
        with pytest.raises(RuntimeError, match="differentiable once: choose backend='reference'"):
            torch.autograd.grad((image * weight).sum(), vertices, create_graph=True)
    else:
        (push,) = torch.autograd.grad((image * weight).sum(), vertices, create_graph=True)
        (second,) = torch.autograd.grad(push.square().sum(), vertices)
        assert second.abs().max() > 0 and torch.isfinite(second).all()


@pytest.mark.parametrize("backend", ["fast", "reference"])
@pytest.mark.parametrize("gradient", ["antialias", "kato", "soft"])
def test_half_precision_is_rendered_in_single(backend, gradient, hand):
    vertices = crop_to_px(posed_hand(hand, MeshParameters.initial(hand)[None]).vertices, 24).half()
    results = []
    for given in (vertices, vertices.float()):
        moved = given.detach().requires_grad_()
        image = Renderer(24, backend, gradient).silhouette(moved, hand.faces)
        (push,) = torch.autograd.grad(image.square().sum(), moved)
        assert push.dtype == given.dtype
        results.append(image.detach())
    assert torch.equal(*results) and results[0].dtype == torch.float32


def test_without_numba(monkeypatch):
    monkeypatch.setattr("handlib.support.jit.available", lambda: False)
    monkeypatch.setattr(backends, "TRITON", False)
    assert choose("auto") is REFERENCE
    for fails in (choose, check):
        with pytest.raises(ModuleNotFoundError, match="pip install numba"):
            fails("fast")
    monkeypatch.setattr(backends, "TRITON", True)
    Renderer(8, "fast")  # may be meant for a GPU
    with pytest.raises(ModuleNotFoundError, match="pip install numba"):
        Renderer(8, "fast").silhouette(SHEET, torch.tensor([[0, 1, 2]]))


def test_pytorch3d_as_a_backend(generator):
    """Its faces are ours but on edges; gradients of hard pictures are ours."""
    pytest.importorskip("pytorch3d", reason="an optional peer, built from source: its INSTALL.md says how")
    vertices, faces = triangles((2,), generator, faces=40, dtype=torch.float32)
    found, plain = (Renderer((H, W), backend).rasterize(vertices, faces)[0] for backend in ("pytorch3d", "reference"))
    assert float((found == plain).float().mean()) > 0.99


def test_without_pytorch3d(monkeypatch):
    monkeypatch.setitem(sys.modules, "handlib.renderer.pytorch3d", None)
    monkeypatch.delattr("handlib.renderer.pytorch3d", raising=False)
    with pytest.raises(ModuleNotFoundError, match="backend 'pytorch3d' needs pytorch3d"):
        Renderer(8, "pytorch3d")
    assert "reference" in available() and "pytorch3d" not in available()
