"""Joint angles, their limits and the pose prior."""

import torch

from handlib.hand.anatomy import PosePrior, joint_angles, joint_axes, joint_limits, limit_excess
from handlib.hand.joints import MANO16


def _pose(**degrees: tuple[float, float, float]):
    """Angles (twist, flexion, abduction) of some joints."""
    angles = torch.zeros(15, 3)
    for name, triple in degrees.items():
        angles[MANO16.index(name) - 1] = torch.deg2rad(torch.tensor(triple))
    return angles


def test_axes_are_rotations_and_angles_are_read_back(hand):
    axes = joint_axes(hand)
    torch.testing.assert_close(axes @ axes.mT, torch.eye(3).expand(15, 3, 3), atol=1e-5, rtol=0)
    torch.testing.assert_close(torch.linalg.det(axes), torch.ones(15), atol=1e-5, rtol=0)
    angles = _pose(index1=(5, 40, -10), thumb2=(0, 30, 0))
    pose = (angles[:, None] @ axes).flatten()
    torch.testing.assert_close(joint_angles(pose, axes), angles, atol=1e-6, rtol=0)


def test_signs_of_the_angles(hand):
    axes, flat = joint_axes(hand), hand(torch.zeros(45), torch.zeros(10)).joints

    def tip(finger, **degrees):
        pose = (_pose(**degrees)[:, None] @ axes).flatten()
        row = hand.names.index(f"{finger}4")
        return hand(pose, torch.zeros(10)).joints[row] - flat[row]

    assert tip("index", index2=(0, 60, 0))[1] < -0.02  # flexion: towards the palm, −y
    assert tip("little", little1=(0, 0, 20))[2] > 0.01  # abduction: towards the thumb, +z
    assert tip("thumb", thumb3=(0, 60, 0))[2] < -0.01  # the thumb flexes across the palm


def test_no_penalty_inside_the_limits_and_a_gradient_outside(hand):
    axes, limits = joint_axes(hand), joint_limits()
    mean = (hand.pose_samples, torch.zeros(3, 45), hand.mean_pose.expand(2, 1, 45))
    excess = [limit_excess(pose, axes, limits) for pose in mean]
    assert (excess[0] == 0).float().mean() > 0.999  # the samples are plausible, the limits rarely disagree
    assert all((e == 0).all() for e in excess[1:])

    for angles, sign in (
        (_pose(index2=(0, -30, 0)), -1),  # hyper-extended PIP
        (_pose(ring2=(0, 40, 20)), 1),  # PIP bent sideways
        (_pose(middle1=(0, 120, 0)), 1),
        (_pose(thumb3=(0, -60, 0)), -1),
    ):
        pose = (angles[:, None] @ axes).flatten().requires_grad_()
        excess = limit_excess(pose, axes, limits)
        assert (excess != 0).sum() == 1
        assert torch.sign(excess.sum()) == sign
        excess.square().sum().backward()
        less = pose.detach() - 0.1 * pose.grad
        assert limit_excess(less, axes, limits).abs().sum() < excess.abs().sum()


def test_prior_is_white_on_the_samples_and_inverts(hand):
    prior = PosePrior.of(hand)
    z = prior.whiten(hand.pose_samples)
    torch.testing.assert_close(prior.pose(z), hand.pose_samples, atol=1e-5, rtol=0)
    torch.testing.assert_close(z.mean(0), torch.zeros(z.shape[1]), atol=1e-4, rtol=0)
    assert z.std(0).max() < 1.01  # floored directions vary less
    covariance = z[:, :10].T.cov()
    torch.testing.assert_close(covariance, torch.eye(10), atol=5e-3, rtol=0)
