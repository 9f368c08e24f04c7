import pytest
import torch

from handlib import Camera, MeshParameters
from handlib.camera import FLIP
from handlib.hand.joints import C21
from handlib.parameters import SIZE, SIZES, posed_hand, posed_skeleton


def test_order_of_h():
    assert SIZE == 63
    h = MeshParameters.split(torch.arange(63.0))
    assert h.pose.tolist() == list(range(45))
    assert h.shape.tolist() == list(range(45, 55))
    assert h.quaternion.tolist() == list(range(55, 59))
    assert h.scale.tolist() == [59]
    assert h.translation.tolist() == [60, 61, 62]


def test_split_and_join_are_inverse(lead, generator):
    h = torch.randn(*lead, SIZE, generator=generator)
    parts = MeshParameters.split(h)
    assert {name: getattr(parts, name).shape for name in SIZES} == {name: (*lead, n) for name, n in SIZES.items()}
    assert torch.equal(parts.join(), h)


@pytest.mark.parametrize("length", [62, 64])
def test_wrong_length(unchecked, length):
    with pytest.raises(ValueError, match=rf"h must have the shape \(…, 63\), got \(2, {length}\)"):
        MeshParameters.split(torch.zeros(2, length))


def test_initial_is_the_mean_hand_upright_in_the_crop(hand):
    h = MeshParameters.initial(hand)
    parts = MeshParameters.split(h)
    assert torch.equal(parts.pose, hand.mean_pose)
    assert not parts.shape.any() and not parts.translation.any()
    assert float(parts.quaternion.norm()) == pytest.approx(1)
    mesh = posed_hand(hand, h)
    assert mesh.vertices[:, :2].abs().max() < 1.0
    assert mesh.vertices[:, 1].max() - mesh.vertices[:, 1].min() > 0.8  # it fills a good part of the crop
    joints = dict(zip(C21.joints, mesh.joints, strict=True))
    assert joints["middle4"][1] < joints["middle1"][1] < joints["wrist"][1]  # fingers up, y pointing down


def test_initial_shows_the_palm(hand):
    """Palm to the viewer, fingers up: a right hand then has its thumb at the right."""
    parts = MeshParameters.split(MeshParameters.initial(hand))
    palm = parts.camera.rotation() @ torch.tensor([0.0, -1.0, 0.0])
    torch.testing.assert_close(palm, torch.tensor([0.0, 0.0, -1.0]), rtol=0, atol=1e-6)
    fingers = parts.camera.rotation() @ torch.tensor([-1.0, 0.0, 0.0])
    torch.testing.assert_close(fingers, torch.tensor([0.0, -1.0, 0.0]), rtol=0, atol=1e-6)


def test_posed_hand_equals_its_formula(hand, lead, generator):
    """crop = σ·10·FLIP·R(q)·x + t for each hand, each vertex and each joint."""
    h = MeshParameters.initial(hand) + 0.2 * torch.randn(*lead, SIZE, generator=generator)
    found = posed_hand(hand, h)
    assert found.vertices.shape == (*lead, 778, 3) and found.joints.shape == (*lead, 21, 3)
    flat = found.vertices.reshape(-1, 778, 3), found.joints.reshape(-1, 21, 3)
    for i, one in enumerate(h.reshape(-1, SIZE)):
        p = MeshParameters.split(one)
        meters = hand(p.pose, p.shape)
        w, x, y, z = (p.quaternion / p.quaternion.norm()).double().tolist()
        for points, crop in ((meters.vertices, flat[0][i]), (meters.joints, flat[1][i])):
            vector = torch.tensor([x, y, z]).expand(len(points), 3)
            twice = 2 * torch.linalg.cross(vector, points)  # q x q* without a matrix
            turned = points + w * twice + torch.linalg.cross(vector, twice)
            wanted = 10 * p.scale * turned * torch.tensor(FLIP) + p.translation
            torch.testing.assert_close(crop, wanted, rtol=0, atol=1e-5)


def test_posed_skeleton_is_that_of_the_mesh(lead, generator):
    from handlib import HandModel

    hand = HandModel.load().double()
    h = MeshParameters.initial(hand) + 0.2 * torch.randn(*lead, SIZE, generator=generator, dtype=torch.float64)
    h.requires_grad_()
    pull = torch.randn(21, 3, generator=generator, dtype=torch.float64)
    fast, slow = posed_skeleton(hand, h), posed_hand(hand, h).joints
    torch.testing.assert_close(fast, slow, rtol=0, atol=1e-6)
    a, b = (torch.autograd.grad((joints * pull).sum(), h)[0] for joints in (fast, slow))
    torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


def test_posed_hand_gradient(hand, generator):
    from handlib import HandModel

    hand64 = HandModel.load().double()
    h = (MeshParameters.initial(hand64) + 0.1 * torch.randn(SIZE, generator=generator)).requires_grad_()
    pull = torch.randn(21, 3, generator=generator, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda h: (posed_hand(hand64, h).joints * pull).sum(), h)


def test_camera_part(generator):
    parts = MeshParameters.split(torch.randn(2, SIZE, generator=generator))
    assert isinstance(parts.camera, Camera)
    assert [part is other for part, other in zip(parts.camera, parts[2:], strict=True)] == [True] * 3
