import time

import numpy as np
import pytest
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from handlib.support.arguments import as_path, as_tensor, at_least, checked, common_lead, unified

pytestmark = pytest.mark.usefixtures("unchecked")


@checked
def scaled(points: Float[Tensor, "*batch n 3"], weights: Float[Tensor, "*#batch n"] | None = None, factor: float = 1.0):
    return points * factor if weights is None else points * weights[..., None] * factor


@checked
def picked(faces: Int[Tensor, "f 3"], kept: Bool[Tensor, " f"]):
    return faces[kept]


@checked
def counted(n: int):
    return n


@pytest.mark.parametrize(
    "make", [torch.tensor, np.array, list, lambda x: np.array(x)[::-1][::-1], lambda x: np.float32(x)]
)
def test_numbers_come_in_any_form(make):
    points = [[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]]
    answer = scaled(make(points), make([0.5, 1.0]))
    assert answer.dtype is torch.float32 and answer.tolist() == [[[0.5, 1, 1.5], [4, 5, 6]]]


def test_one_precision_for_all_and_gradients_go_through():
    points = torch.ones(2, 3, dtype=torch.float64, requires_grad=True)
    answer = scaled(points, torch.ones(2))
    answer.sum().backward()
    assert answer.dtype is torch.float64 and points.grad.tolist() == [[1, 1, 1]] * 2
    assert scaled(torch.ones(2, 3).half(), torch.ones(2)).dtype is torch.float32
    assert scaled(torch.ones(2, 3, dtype=torch.int64)).dtype is torch.float32


@pytest.mark.parametrize(
    "arguments, text",
    [
        ((torch.ones(2, 4),), r"points must have the shape \(…, n, 3\), got \(2, 4\)"),
        ((torch.ones(3),), "points must have the shape"),
        ((torch.ones(2, 3), torch.ones(5)), r"weights must have the shape \(…, 2\), got \(5,\)"),
        ((torch.ones(2, 3), torch.ones(7, 2)), "weights must have the shape"),
        (("text",), "points must be a tensor, an array or a list of numbers"),
        (([[1.0], [1.0, 2.0]],), "points must be a tensor, an array or a list whose rows"),
        (([10**400],), "points must be"),
        ((torch.ones(2, 3, device="meta"),), "points must be a dense tensor"),
        ((torch.ones(2, 3).to_sparse(),), "points must be a dense tensor"),
        ((torch.ones(2, 3) * 1j,), "points must hold numbers, not complex64"),
        ((None,), "points must be"),
        ((torch.ones(2, 3), None, "x"), "factor must be a number, not 'x'"),
        ((torch.ones(2, 3), None, float("nan")), "factor must be a number"),
        ((torch.ones(2, 3), None, -1e300), "factor must be a number of single precision, at most 3.4e.38"),
    ],
)
def test_what_does_not_fit_is_named(arguments, text):
    with pytest.raises((TypeError, ValueError), match=text):
        scaled(*arguments)


def test_python_names_what_is_missing_or_too_much():
    for call in (scaled, lambda: scaled(torch.ones(2, 3), None, 1.0, 2), lambda: scaled(torch.ones(2, 3), dots=1)):
        with pytest.raises(TypeError):
            call()


def test_whole_numbers_and_true_or_false():
    assert picked([[0, 1, 2], [3, 4, 5]], [0, 1]).tolist() == [[3, 4, 5]]
    with pytest.raises(TypeError, match="faces must hold whole numbers, not float32"):
        picked(torch.zeros(1, 3), [True])
    with pytest.raises(TypeError, match="kept must hold true and false"):
        picked([[0, 1, 2]], [0.5])
    assert type(counted(np.int64(3))) is int  # what torch's generator takes


def test_the_rest():
    assert [t.dtype for t in unified({"a": [1], "b": torch.ones(1).double()})] == [torch.float64] * 2
    assert common_lead("a and b", torch.Size([2, 1]), torch.Size([5])) == (2, 5)
    with pytest.raises(ValueError, match="a and b do not fit together"):
        common_lead("a and b", torch.Size([2]), torch.Size([5]))
    with pytest.raises(ValueError, match="size must be at least 1, not 0"):
        at_least(1, n=None, size=0)
    for path in (None, 3, b"x", "\0"):
        with pytest.raises((TypeError, ValueError), match="where must be a path"):
            as_path("where", path)
    assert as_tensor("x", np.float64(3)).dtype is torch.float32


def test_what_was_accepted_before_is_checked_where_it_differs():
    """The fast path is for the same forms only: numbers, texts and other forms are looked at again."""
    points, weights = torch.ones(2, 3), torch.ones(2)
    for _ in range(3):
        assert scaled(points, weights).tolist() == [[1] * 3] * 2
        assert scaled(points, None, 2.0).tolist() == [[2] * 3] * 2
        assert scaled(points, [0.5, 0.5]).tolist() == [[0.5] * 3] * 2
        assert scaled(points.double(), weights).dtype is torch.float64
        for wrong in ((points, weights[:1].expand(5)), (points, None, "x"), (points, weights.to("meta")), ("x", None)):
            with pytest.raises((TypeError, ValueError), match="must"):
                scaled(*wrong)


def test_the_check_costs_microseconds():
    points, weights = torch.ones(8, 21, 3), torch.ones(8, 21)

    def fastest(call):
        times = []
        for _ in range(200):
            started = time.perf_counter()
            call()
            times.append(time.perf_counter() - started)
        return min(times)

    bare = scaled.__wrapped__
    assert fastest(lambda: scaled(points, weights)) < fastest(lambda: bare(points, weights)) + 100e-6
