import pytest
import torch

from handlib.teaching import NotYet, check, refining
from handlib.teaching.checking import generator


def test_refinement_without_a_hold_on_depth_is_not_enough(hand):
    with pytest.raises(NotYet, match="not enough.*rises for 8 of 8 hands: is depth"):
        check("A5.3", lambda hand, h, j2d, skeleton: h + 0.3)
    with pytest.raises(NotYet, match="at most 0.[0-9]+ is asked for$"):
        check("A5.3", lambda hand, h, j2d, skeleton: h)
    assert "20 %" in refining.refined.task
    assert refining.A5.exercises[-1].hidden == 1


@pytest.mark.slow
def test_without_a_pull_the_error_of_a_long_refinement_rises_again(hand):
    """As the solution in the chapter says."""
    hand, h, j2d, skeleton, joints = refining._held_out(generator("A5.3", 1, 0))

    def error_after(pull, steps):
        x = h.clone().requires_grad_()
        optimizer = torch.optim.Adam([x], 0.05)
        for _ in range(steps):
            optimizer.zero_grad()
            off = (skeleton(hand, x)[..., :2] - j2d).square().sum((1, 2))
            (off + pull * (x - h).square().sum(1)).sum().backward()
            optimizer.step()
        return float((skeleton(hand, x.detach()) - joints).norm(dim=-1).mean())

    assert error_after(0.0, 300) > 1.05 * error_after(0.0, 60)
    assert error_after(0.02, 300) < 0.8 * error_after(0.0, 300)
