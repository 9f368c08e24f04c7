import itertools

import pytest
import torch

from handlib.hand.joints import (
    BONES,
    C21,
    FINGERTIPS,
    MANO16,
    MANO21,
    MIDDLE_MCP,
    ORDERS,
    RHD21,
    STB21,
    TIPS,
    JointOrder,
    chirality,
    convert,
)

FULL = [C21, MANO21, RHD21, STB21]


def rotations(n: int, generator: torch.Generator) -> torch.Tensor:
    q, _ = torch.linalg.qr(torch.randn(n, 3, 3, generator=generator))
    return q * torch.det(q).sign()[:, None, None]


@pytest.mark.parametrize(
    "source, rows",  # tables that are in wide use: rows of the source that give C21
    [
        (MANO21, [0, 13, 14, 15, 16, 1, 2, 3, 17, 4, 5, 6, 18, 10, 11, 12, 19, 7, 8, 9, 20]),
        (RHD21, [0, 4, 3, 2, 1, 8, 7, 6, 5, 12, 11, 10, 9, 16, 15, 14, 13, 20, 19, 18, 17]),
        (STB21, [0, 17, 18, 19, 20, 13, 14, 15, 16, 9, 10, 11, 12, 5, 6, 7, 8, 1, 2, 3, 4]),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_orders_are_those_of_the_field(source, rows):
    joints = torch.arange(21.0)[:, None].expand(21, 3)
    assert convert(joints, source, C21)[:, 0].tolist() == rows


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
def test_orders_name_each_joint_once(order):
    assert len(set(order.joints)) == len(order)
    assert set(order.joints) <= set(C21.joints)
    assert [order.index(name) for name in order.joints] == list(range(len(order)))


@pytest.mark.parametrize("source, target", list(itertools.product(FULL, FULL)), ids=lambda order: order.name)
def test_convert_equals_lookup_by_name(source, target, lead, generator):
    joints = torch.randn(*lead, 21, 3, generator=generator)
    found = convert(joints, source, target)
    for row, name in enumerate(target.joints):
        for other, wanted in enumerate(source.joints):
            if wanted == name:
                assert torch.equal(found[..., row, :], joints[..., other, :])
    assert torch.equal(convert(found, target, source), joints)


def test_convert_to_fewer_joints():
    joints = torch.arange(21.0)[:, None]
    assert convert(joints, MANO21, MANO16)[:, 0].tolist() == list(range(16))


def test_convert_refuses_the_wrong_number_of_rows():
    with pytest.raises(ValueError, match="RHD21 has 21 joints, the array has 16 rows"):
        convert(torch.zeros(16, 3), RHD21, C21)


def test_convert_names_missing_joints():
    with pytest.raises(ValueError, match="MANO16 has no joints thumb4, index4, .* which C21 needs"):
        convert(torch.zeros(16, 3), MANO16, C21)


def test_convert_with_an_order_of_ones_own():
    pair = JointOrder("pair", ("index4", "wrist"))
    assert convert(torch.arange(21.0)[:, None], C21, pair)[:, 0].tolist() == [8, 0]


def test_bones_make_a_tree():
    assert len(BONES) == 20
    assert sorted(child for _, child in BONES) == list(range(1, 21))
    for parent, child in BONES:
        name, above = C21.joints[child], C21.joints[parent]
        assert above == ("wrist" if name.endswith("1") else f"{name[:-1]}{int(name[-1]) - 1}")


def test_named_rows():
    assert [C21.joints[row] for row in TIPS] == ["thumb4", "index4", "middle4", "ring4", "little4"]
    assert C21.joints[MIDDLE_MCP] == "middle1"


@pytest.mark.parametrize("tips", FINGERTIPS.values(), ids=FINGERTIPS)
def test_fingertip_sets_lie_on_the_ends_of_their_digits(tips, hand):
    """Each vertex belongs to the last bone of its digit, within 8 mm of what the other sets name."""
    for digit, vertex in zip(("thumb", "index", "middle", "ring", "little"), tips.vertices, strict=True):
        assert MANO16.joints[int(hand.weights[vertex].argmax())] == f"{digit}3"
    others = torch.stack([hand.template[list(other.vertices)] for other in FINGERTIPS.values()])
    assert (others - hand.template[list(tips.vertices)]).norm(dim=-1).max() < 8e-3


def test_chirality_of_sampled_hands(hand, generator):
    pose, shape = hand.sample(40, generator)
    joints = hand(pose, shape).joints
    mirrored = joints * torch.tensor([1.0, 1.0, -1.0])
    assert (chirality(joints) == 1).all()
    assert (chirality(mirrored) == -1).all()


def test_chirality_ignores_rotation_scale_and_place(hand, lead, generator):
    pose, shape = hand.sample(1, generator)
    joints = hand(pose[0], shape[0]).joints
    turned = joints @ rotations(8, generator).mT * 3 + torch.randn(8, 1, 3, generator=generator)
    assert (chirality(turned) == 1).all()
    side = chirality(joints.expand(*lead, 21, 3))
    assert side.shape == lead and (side == 1).all()
