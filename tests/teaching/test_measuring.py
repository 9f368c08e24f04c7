import pytest
import torch

from handlib.camera import project
from handlib.data.crop import mirror_cam, mirror_intrinsics
from handlib.data.real.palm import wrist_to_palm
from handlib.evaluation.metrics import auc, segmentation_scores
from handlib.hand.joints import C21, RHD21, convert
from handlib.teaching import measuring
from handlib.teaching.checking import generator


def test_measures_are_those_of_handlib():
    rows = generator("A3", 0, 0)
    joints = measuring.skeleton_cam(rows)
    assert torch.equal(measuring.to_c21(convert(joints, C21, RHD21)), joints)
    image, joints, K = measuring._sample(rows)
    flipped = measuring.flip(image, joints, K)
    assert torch.equal(flipped[1], mirror_cam(joints)) and torch.allclose(flipped[2], mirror_intrinsics(K, 64))
    assert torch.allclose(project(flipped[1], flipped[2])[:, 0], 64 - project(joints, K)[:, 0], atol=1e-3)
    errors, visible, low, high = measuring._errors(rows)
    assert abs(float(measuring.area_under_pck(errors, visible, low, high)) - auc(errors, visible=visible)) < 1e-5
    predicted, truth = measuring._masks(rows)
    assert [float(s) for s in measuring.mask_scores(predicted, truth)] == pytest.approx(
        list(segmentation_scores(predicted, truth).values())
    )
    palm = wrist_to_palm(joints[None], "half")[:, 0]
    assert float(measuring.palm_gap_mm(joints[None])) == pytest.approx(1000 * float((palm - joints[:1]).norm()))
