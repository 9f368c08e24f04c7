"""The mask's term of a fit: what is compared, and that it pulls an outline back."""

import torch

from handlib.fitting.describe import mesh_cam
from handlib.fitting.mask import SIZE, _crop, match_mask
from handlib.fitting.posterior import Anatomy, Noise, Observation, Posterior, State, to_px
from handlib.renderer import Renderer

K = torch.tensor([[[480.0, 0, 112], [0, 480, 112], [0, 0, 1]]], dtype=torch.float64)


def test_crop_is_the_box_of_the_mask():
    mask = torch.zeros(100, 160)
    mask[20:60, 30:90] = 1
    seen, beyond = _crop(mask.expand(2, -1, -1), torch.tensor([[10.0, 0.0, 112.0], [500.0, 0.0, 50.0]]))
    assert seen.shape == (SIZE, SIZE)
    expected = torch.zeros(SIZE, SIZE)
    expected[20:60, 20:80] = 1
    torch.testing.assert_close(seen, expected, atol=1e-4, rtol=0)
    assert beyond.sum() == 0


def test_a_shifted_hand_comes_back_to_its_mask(hand):
    """Where the joints, which are off as well, hardly count."""
    anatomy = Anatomy.of(hand, K)
    rotation = torch.diag(torch.tensor([1.0, -1, -1])).double()[None]
    place = torch.tensor([[112.0, 112.0, 6.3]]).double()
    truth = State(torch.zeros(1, len(anatomy.prior.basis)).double(), torch.zeros(1, 10).double(), rotation, place)
    off = truth._replace(place=place + torch.tensor([4.0, -3.0, 0.0]))

    def drawn(state):
        points = mesh_cam(anatomy, hand, state)
        px = torch.cat([to_px(points, state.place, K), points[..., 2:]], -1)
        return Renderer(224).silhouette(px.float(), hand.faces)[0].double()

    joints = hand.joint_regressor.double() @ mesh_cam(anatomy, hand, off)
    joints_px = to_px(joints, off.place, K)
    posterior = Posterior(anatomy, Observation(joints_px, torch.full((1, 21), 0.02).double(), K), Noise())
    mask = drawn(truth)
    found = match_mask(posterior, hand, off, mask[None])
    # Fingers bend for a part of the way.
    assert (found.place - place)[0, :2].norm() < 3
    assert (drawn(found) - mask).square().sum() < 0.6 * (drawn(off) - mask).square().sum()
