import math

import pytest
import torch

from handlib.evidence import heatmap_peaks
from handlib.teaching import NotYet, check, learning
from handlib.teaching.checking import generator


def test_peaks_are_those_of_handlib():
    (maps,) = learning._maps(generator("A4.1", 0, 0))
    assert torch.allclose(learning.peaks(maps), 8 * (heatmap_peaks(maps[:, None])[:, 0] + 1), atol=1e-3)


def test_all_layers_that_tie_are_asked_for():
    from handlib.networks.pose_machine import layers

    side, products = 256, {}
    for name, (inputs, outputs, kernel) in layers().items():
        side //= 2 if name in ("conv2_1", "conv3_1", "conv4_1") else 1
        products[name] = inputs * outputs * kernel**2 * side**2
    most = [name for name, count in products.items() if count == max(products.values())]
    check("evidence-parameters", most)
    for answer, said in ((most[0], "6 layers tie, and you name 1"), (["conv1_1"], "conv1_1"), (3, "a list of names")):
        with pytest.raises(NotYet, match=said):
            check("evidence-parameters", answer)


@pytest.mark.parametrize("turns", [-2, -1, 1])
def test_an_angle_and_whole_turns_more_are_the_same(turns):
    check("photographs-turn", lambda wrist, middle: learning.turn(wrist, middle) + turns * math.tau)
    for message, wrong in learning.turn.mistakes.items():
        with pytest.raises(NotYet, match=message):
            check("photographs-turn", lambda *points, wrong=wrong: wrong(*points) + turns * math.tau)


@pytest.mark.parametrize("angle, said", [("up", "a str"), (torch.zeros(2), "shape"), (math.inf, "infinite")])
def test_what_is_no_angle_is_refused(angle, said):
    with pytest.raises(NotYet, match=said):
        check("photographs-turn", lambda wrist, middle: angle)
    with pytest.raises(NotYet, match="degrees"):
        check("photographs-turn", lambda *points: math.degrees(learning.turn(*points)))


@pytest.mark.parametrize(
    "answer, said",
    [
        (lambda refiner: lambda x: x[:, -42:] + refiner(x), "a Linear is asked for; yours is a function"),
        (lambda refiner: 3, "a Linear is asked for; yours is a int"),
        (lambda refiner: torch.nn.Linear(refiner.in_features, 63), "176 inputs and 42 outputs.* 176 and 63"),
        (lambda refiner: torch.nn.Linear(134, 42), "176 inputs and 42 outputs.* 134 and 42"),
    ],
)
def test_a_layer_of_the_size_of_the_inputs_and_outputs_is_asked_for(answer, said):
    with pytest.raises(NotYet, match=said):
        check("regressor-offset", answer)
