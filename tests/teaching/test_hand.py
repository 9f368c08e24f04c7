import torch

from handlib.hand.files import PARENTS
from handlib.teaching import hand as hands
from handlib.teaching.checking import generator


def test_skin_is_that_of_the_hand_model_without_correctives(hand):
    rest, joints, weights, rotations, parents = hands._skeleton(generator("A1.1", 0, 0))
    assert parents == list(PARENTS)
    still = hands.skin(rest, joints, weights, torch.eye(3).expand(16, 3, 3), parents)
    assert torch.allclose(still, rest, atol=1e-6)
