"""The reduced skeleton against the model and against automatic derivatives."""

import torch

from handlib.fitting.skeleton import Skeleton


def test_joints_are_those_of_the_model(hand, lead):
    pose, shape = (
        (x.view(*lead, -1) for x in hand.sample(2, torch.Generator().manual_seed(1)))
        if lead
        else (x[0] for x in hand.sample(1, torch.Generator().manual_seed(1)))
    )
    joints = Skeleton(hand, pose)(pose, shape)
    torch.testing.assert_close(joints, hand(pose, shape).joints, atol=1e-6, rtol=0)


def test_derivatives_match_automatic_ones(hand):
    pose, shape = (x.double() for x in hand.sample(2, torch.Generator().manual_seed(2)))
    pose[1, :3] = 0  # a joint at rest has a derivative too
    skeleton = Skeleton(hand, pose)
    joints, by_pose, by_shape = skeleton.with_jacobian(pose, shape)
    torch.testing.assert_close(joints, skeleton(pose, shape))
    for i in range(2):
        expected = torch.autograd.functional.jacobian(skeleton, (pose[i], shape[i]))
        torch.testing.assert_close(by_pose[i], expected[0], atol=1e-8, rtol=0)
        torch.testing.assert_close(by_shape[i], expected[1], atol=1e-12, rtol=0)
