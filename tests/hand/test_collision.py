import itertools
import math

import pytest
import torch

from handlib.hand.collision import SPHERES, bone_radii, penetration_depth
from handlib.hand.joints import BONES, C21, MANO16

FINGERS = ["index", "middle", "ring", "little"]


def may_collide_naive(first: tuple[str, str], second: tuple[str, str]) -> bool:
    """The rule in words, for two bones given by the names of their ends."""
    (a, b), (c, d) = first, second
    palm = [bone for bone in (first, second) if bone[0] == "wrist"]
    if palm:  # only the thumb, beyond its MCP, against the fingers' metacarpals
        other = second if palm[0] == first else first
        return len(palm) == 1 and palm[0][1] != "thumb1" and other[0] in ("thumb2", "thumb3")
    if ("thumb1", "thumb2") in (first, second) or b[:-1] == d[:-1]:
        return False
    if a.endswith("1") and c.endswith("1") and a != "thumb1" and c != "thumb1":
        return abs(FINGERS.index(a[:-1]) - FINGERS.index(c[:-1])) > 1  # neighbors share a web
    return True


def depth_naive(joints, radii):
    deepest = -1.0
    named = [(C21.joints[a], C21.joints[b]) for a, b in BONES]
    for i, j in itertools.combinations(range(20), 2):
        if not may_collide_naive(named[i], named[j]):
            continue
        for s, t in itertools.product(range(SPHERES), repeat=2):
            centers = []
            for bone, step in ((i, s), (j, t)):
                parent, child = joints[BONES[bone][0]].tolist(), joints[BONES[bone][1]].tolist()
                share = step / (SPHERES - 1)
                centers.append([p + share * (c - p) for p, c in zip(parent, child, strict=True)])
            deepest = max(deepest, float(radii[i]) + float(radii[j]) - math.dist(*centers))
    return deepest


def test_equals_the_rule_in_words(hand, generator):
    """Random poses, most of them impossible."""
    pose = 0.7 * torch.randn(4, 45, generator=generator)
    joints = hand(pose, torch.zeros(10)).joints
    found = penetration_depth(joints, hand.bone_radii)
    for i in range(4):
        assert float(found[i]) == pytest.approx(depth_naive(joints[i], hand.bone_radii), abs=1e-5)
    assert found.max() > 5e-3


def test_flat_hand_touches_nothing(hand):
    assert penetration_depth(hand.regress_joints(hand.template), hand.bone_radii) <= 0


def test_crossed_fingers_overlap(hand):
    joints = hand.regress_joints(hand.template).clone()
    joints[C21.index("middle4")] = joints[C21.index("index4")]
    radii = dict(zip(BONES, hand.bone_radii.tolist(), strict=True))
    tips = [radii[C21.index(f"{f}3"), C21.index(f"{f}4")] for f in ("index", "middle")]
    assert float(penetration_depth(joints, hand.bone_radii)) >= sum(tips) - 1e-6


def test_thumb_in_the_palm_overlaps(hand):
    joints = hand.regress_joints(hand.template).clone()
    joints[C21.index("thumb4")] = joints[[0, C21.index("middle1")]].mean(0)
    assert penetration_depth(joints, hand.bone_radii) > 5e-3


def test_depth_is_a_length(hand, generator):
    joints = hand(0.7 * torch.randn(45, generator=generator), torch.zeros(10)).joints
    once, twice = penetration_depth(joints, hand.bone_radii), penetration_depth(2 * joints, 2 * hand.bone_radii)
    assert once > 0
    torch.testing.assert_close(twice, 2 * once, rtol=1e-4, atol=1e-6)


def test_leading_shapes(hand, lead, generator):
    joints = hand(0.5 * torch.randn(*lead, 45, generator=generator), torch.zeros(10)).joints
    found = penetration_depth(joints, hand.bone_radii)
    assert found.shape == lead
    flat = torch.stack([penetration_depth(j, hand.bone_radii) for j in joints.reshape(-1, 21, 3)])
    torch.testing.assert_close(found.reshape(-1), flat, rtol=0, atol=1e-6)


def test_radii_equal_a_loop(hand):
    joints = hand.regress_joints(hand.template)
    owner = hand.weights.argmax(1).tolist()
    for n, (parent, child) in enumerate(BONES):
        bone = 0 if parent == 0 else MANO16.index(C21.joints[parent])
        a, b, distances = joints[parent], joints[child], []
        for v in range(778):
            if owner[v] == bone:
                share = float((hand.template[v] - a) @ (b - a) / ((b - a) @ (b - a)))
                distances.append(float((hand.template[v] - a - min(max(share, 0), 1) * (b - a)).norm()))
        wanted = torch.tensor(distances).quantile(0.1 if parent == 0 else 0.5)
        assert float(hand.bone_radii[n]) == pytest.approx(float(wanted), abs=1e-5)


def test_radii_of_a_tube():
    """Skin at 8 mm around the middle finger's last bone; every other bone has one vertex on its axis."""
    joints = torch.zeros(21, 3)
    joints[:, 0] = torch.arange(21) * 0.01
    joints[:, 1] = torch.arange(21) % 2 * 0.01
    weights, vertices = torch.zeros(778, 16), torch.zeros(778, 3)
    bone = MANO16.index("middle3")
    a, b = joints[C21.index("middle3")], joints[C21.index("middle4")]
    along = (b - a) / (b - a).norm()
    across = torch.linalg.cross(along, torch.tensor([0.0, 0, 1]))
    for v in range(778):
        weights[v, bone if v >= 16 else v] = 1
        angle = 2 * math.pi * v / 762
        ring = 8e-3 * (math.cos(angle) * across + math.sin(angle) * torch.tensor([0.0, 0, 1]))
        vertices[v] = (a + b) / 2 + ring
    radii = bone_radii(vertices, weights, joints)
    assert float(radii[BONES.index((C21.index("middle3"), C21.index("middle4")))]) == pytest.approx(8e-3, abs=1e-6)
