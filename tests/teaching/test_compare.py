"""What is said of mistakes that no table knows."""

import pytest
import torch

from handlib.teaching import NotYet, check, measuring, rendering


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda g: -g, "right size and the wrong sign"),
        (lambda g: 2 * g, "factor of ½ missing"),
        (lambda g: 1000 * g, "millimeters"),
        (lambda g: g * torch.nan, "NaN"),
        (lambda g: 0 * g, "zero"),
        (lambda g: g[None], r"has shape \(1,\), where a number is asked for"),
        (lambda g: "right", "a str"),
        (lambda g: 1.1 * g, "1.1 times"),
    ],
)
def test_a_wrong_gradient_is_described(change, said):
    with pytest.raises(NotYet, match=said):
        check("A2.2", lambda mask, gradient: change(rendering.push_right(mask, gradient)))


def test_rows_and_coordinates_that_are_exchanged_are_described():
    with pytest.raises(NotYet, match="wrong order, along axis 0"):
        check("A3.1", lambda joints: measuring.to_c21(joints)[[*range(13), 17, 18, 19, 20, 13, 14, 15, 16]])
    with pytest.raises(NotYet, match="wrong sign in coordinate 1"):
        check("A3.1", lambda joints: measuring.to_c21(joints) * torch.tensor([1.0, -1, 1]))


@pytest.mark.parametrize("name, answer", [("A1.2", "pose"), ("A2.3", "h"), ("A5.3", "h")])
def test_a_tuple_in_the_place_of_a_tensor_is_told(name, answer):
    with pytest.raises(NotYet, match="yours is a tuple"):
        check(name, lambda hand, start, *others: (start, start))
