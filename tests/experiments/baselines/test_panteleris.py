import torch

from handlib.experiments.baselines import measure, view_of
from handlib.experiments.baselines.panteleris import Panteleris
from handlib.hand.joints import MIDDLE_MCP


def test_panteleris_finds_the_hand_behind_true_joints(detector, four):
    found = measure(Panteleris(detector, starts=8, iterations=8), four, progress=False)
    assert found["joints_procrustes_mean_mm"] < 12 and found["mean_iou"] > 0.75


def test_panteleris_stands_at_the_true_depth(detector, few):
    """Moving it there leaves its picture as it was."""
    view = view_of(few.batch(torch.arange(2)))
    method = Panteleris(detector, starts=2, iterations=2)
    near, far = (method.predict(view._replace(root_depth=view.root_depth * k)) for k in (1.0, 2.0))
    torch.testing.assert_close(near.joints_cam[:, MIDDLE_MCP, 2], view.root_depth, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(far.vertices_cam, 2 * near.vertices_cam, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(far.mask, near.mask, atol=1e-3, rtol=0)
