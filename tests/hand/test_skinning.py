"""The compiled loops of numba/skinning.py against the plain torch that they stand for, and when which is used."""

import pytest
import torch

from handlib import HandModel
from handlib.hand.rotations import rotvec_to_rotmat
from handlib.hand.skinning import skin
from handlib.support import jit

needs_numba = pytest.mark.skipif(not jit.available(), reason="numba is not installed: pip install numba")


def hands(n, dtype):
    generator = torch.Generator().manual_seed(0)
    pose, shape, turn = (0.7 * torch.randn(n, k, generator=generator, dtype=dtype) for k in (45, 10, 3))
    return [x.requires_grad_() for x in (pose, shape, turn)]


@needs_numba
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["single", "double"])
@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("turned, placed", [(True, True), (True, False), (False, True), (False, False)])
def test_same_vertices_and_gradients(n, dtype, turned, placed):
    found = []
    for backend in ("auto", "reference"):
        hand = HandModel.load("openhand", backend=backend).to(dtype)
        inputs = hands(n, dtype)
        inputs.append(torch.randn(n, 3, 4, generator=torch.Generator().manual_seed(3), dtype=dtype).requires_grad_())
        rotation, placement = rotvec_to_rotmat(inputs[2]) if turned else None, inputs[3] if placed else None
        out = hand(*inputs[:2], rotation, placement)
        pull = torch.randn(out.vertices.shape, generator=torch.Generator().manual_seed(1), dtype=dtype)
        loss = (out.vertices * pull).sum() + out.joints.square().sum()
        found.append(
            [
                out.vertices,
                out.joints,
                *torch.autograd.grad(loss, inputs[:2] + inputs[2:3] * turned + inputs[3:] * placed),
            ]
        )
    tolerance = 1e-12 if dtype == torch.float64 else 2e-6
    for fast, plain in zip(*found, strict=True):
        torch.testing.assert_close(fast, plain, atol=tolerance * max(1.0, float(plain.detach().abs().max())), rtol=0)


@needs_numba
@pytest.mark.parametrize("turned, placed", [(True, True), (False, False)])
def test_many_hands_without_derivatives(turned, placed):
    """They are computed a few at a time, the last of them fewer."""
    from handlib.hand.numba.skinning import CHUNK

    n = 2 * CHUNK * torch.get_num_threads() + 5
    pose, shape, turn = (x.detach() for x in hands(n, torch.float32))
    placement = torch.randn(n, 3, 4, generator=torch.Generator().manual_seed(3)) if placed else None
    rotation = rotvec_to_rotmat(turn) if turned else None
    fast, plain = (HandModel(backend=name)(pose, shape, rotation, placement) for name in ("auto", "reference"))
    for one, other in zip(fast, plain, strict=True):
        assert one.is_contiguous() and len(one) == n
        torch.testing.assert_close(one, other, atol=1e-5, rtol=0)


def test_placement_is_of_every_point(hand):
    pose, shape, _ = hands(3, torch.float32)
    placement = torch.randn(3, 3, 4, generator=torch.Generator().manual_seed(4))
    for backend in ("auto", "reference"):
        hand = HandModel.load("openhand", backend=backend)
        plain, placed = hand(pose, shape), hand(pose, shape, placement=placement)
        for before, after in zip(plain, placed, strict=True):
            wanted = before @ placement[..., :3].mT + placement[:, None, :, 3]
            torch.testing.assert_close(after, wanted, atol=1e-5, rtol=0)
        torch.testing.assert_close(hand.skeleton(pose, shape, placement=placement), placed.joints, atol=1e-5, rtol=0)


@needs_numba
@pytest.mark.parametrize("size", [0.0, 1e-9, 1e-3, 9.99e-3, 1.01e-2, 0.3, 3.1, 6.2])
def test_gradients_at_every_angle(size):
    """At zero, in the series, on both sides of where it ends, and near half and full turns."""
    pose = torch.randn(1, 15, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    pose = (size * pose / pose.norm(dim=-1, keepdim=True)).flatten(1)
    found = []
    for backend in ("auto", "reference"):
        leaf = pose.clone().requires_grad_()
        vertices = HandModel.load("openhand", backend=backend).double()(leaf, leaf.new_zeros(1, 10)).vertices
        found.append((vertices, *torch.autograd.grad((vertices**2).sum(), leaf)))
    for fast, plain in zip(*found, strict=True):
        torch.testing.assert_close(fast, plain, atol=1e-9, rtol=1e-9)


@needs_numba
def test_skeleton_takes_the_fast_path_as_well(monkeypatch):
    hand, (pose, shape, _) = HandModel.load(), hands(4, torch.float32)
    fast = hand.skeleton(pose, shape)
    monkeypatch.setattr(jit, "available", lambda: False)
    torch.testing.assert_close(fast, hand.skeleton(pose, shape), atol=1e-6, rtol=0)


@needs_numba
def test_threads_change_nothing(hand):
    """But a last bit, where the machine's matrix products are cut up otherwise."""
    pose, shape, _ = hands(5, torch.float32)
    wanted = hand(pose, shape).vertices
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        torch.testing.assert_close(hand(pose, shape).vertices, wanted, rtol=0, atol=1e-7)
    finally:
        torch.set_num_threads(before)


def test_plain_torch_where_loops_cannot_serve(hand):
    """Second derivatives by the backend's name; transforms, other precisions and learned shapes by themselves."""
    pose, shape, _ = hands(1, torch.float32)
    rig = hand._rig()
    learned = rig._replace(template=rig.template.clone().requires_grad_())
    half = [x.detach().bfloat16() for x in (pose, shape)]
    for case in ((learned, pose, shape), (rig, *half)):
        assert hand._skinning(*case) is skin
    plain = HandModel.load("openhand", backend="reference")
    assert plain._skinning(rig, pose, shape) is skin
    jacobian = torch.func.jacrev(lambda p: plain.skeleton(p, shape[0].detach()))(pose[0].detach())
    found = torch.func.jacrev(lambda p: hand.skeleton(p, shape[0].detach()))(pose[0].detach())
    torch.testing.assert_close(found, jacobian)
    many = torch.func.vmap(lambda p: hand(p, shape[0].detach()).joints)(torch.stack([pose[0], 2 * pose[0]]).detach())
    torch.testing.assert_close(many[0], plain(pose[0], shape[0]).joints)


@needs_numba
def test_second_derivatives_are_refused_and_not_wrong(hand):
    pose, shape, _ = hands(1, torch.float32)
    (first,) = torch.autograd.grad(hand(pose, shape).joints.square().sum(), pose, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()


def test_unknown_backend():
    with pytest.raises(ValueError, match="unknown backend 'fats': choose auto or reference"):
        HandModel.load("openhand", backend="fats")
