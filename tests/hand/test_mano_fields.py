"""Fields of MANO's pickle that cannot be what they say: each is named."""

import numpy as np
import pytest
from mano_files import CH, CSC, NDARRAY, RECONSTRUCT, REQUIRED, SELECT, Call, Instance, Name, selection

from handlib.hand.files import HandFileError, read_hand


def array_of(shape, content=b"", dtype="f8", order=False) -> Call:
    state = (1, shape, Call(Name("numpy", "dtype"), (dtype, 0, 1), (3, "<", None)), order, content)
    return Call(RECONSTRUCT, (NDARRAY, (0,), b"b"), state)


IMPOSSIBLE = {
    "objects": (array_of((2,), [None, None], "O8"), "holds Python objects instead of numbers; refused"),
    "void": (array_of((2,), b"ab", "V1"), "instead of numbers"),
    "text": (array_of((2,), b"ab", "S1"), "instead of numbers"),
    "complex": (array_of((1,), bytes(16), "c16"), "instead of numbers"),
    "no dtype": (Call(RECONSTRUCT, (), (1, (1,), None, False, b"")), "instead of numbers"),
    "a dtype of no name": (Call(RECONSTRUCT, (), (1, (1,), Call(Name("numpy", "dtype"), ()), 0, b"")), "of numbers"),
    "huge": (array_of((10**9, 10**9), bytes(8)), "declares the shape (1000000000, 1000000000) of float64 and holds 8"),
    "beyond lengths": (array_of((1 << 30, -1), bytes(8)), "entries that are not lengths"),
    "too many axes": (array_of((1,) * 100, bytes(8)), "declares no shape"),
    "too few bytes": (array_of((778, 3), bytes(80)), "declares the shape (778, 3) of float64 and holds 80 bytes"),
    "a list of numbers": (array_of((2,), [1, 2]), "holds no bytes"),
    "no state": (Call(RECONSTRUCT, (NDARRAY, (0,), b"b")), "is an array without contents"),
    "short state": (Call(RECONSTRUCT, (), (1, (1,))), "is an array without contents"),
    "a list": ([1, 2], "must be an array of numbers, not of the type list"),
    "a number": (5, "not of the type int"),
    "nothing": (Call(Name("__builtin__", "set"), ([1],)), "not of the type set"),
    "a bare instance": (Call(Name("copy_reg", "_reconstructor"), ()), "not of the type instance"),
    "chumpy without x": (Instance(CH, {"y": 1}), "lacks the attribute 'x'"),
    "chumpy without state": (Instance(CH, None), "lacks the attribute 'x'"),
    "index beyond": (Instance(SELECT, {"a": np.zeros(3), "idxs": np.array([3])}), "indices outside 0 … 2"),
    "index below": (Instance(SELECT, {"a": np.zeros(3), "idxs": np.array([-1])}), "indices outside 0 … 2"),
    "index in between": (Instance(SELECT, {"a": np.zeros(3), "idxs": np.array([0.5])}), "that are not integers"),
    "selection of another shape": (
        Instance(SELECT, {"a": np.zeros(3), "idxs": np.array([0, 1]), "preferred_shape": (3,)}),
        "declares the shape (3,) and holds 2 numbers",
    ),
    "sparse and huge": (Instance(CSC, {"_shape": (1 << 20, 1 << 20)}), "declares a sparse matrix of the shape"),
    "sparse without shape": (Instance(CSC, {}), "lacks the attribute '_shape'"),
}


@pytest.mark.parametrize("protocol", [0, 2])
@pytest.mark.parametrize("kind", IMPOSSIBLE)
def test_impossible_arrays(save, kind, protocol):
    value, complaint = IMPOSSIBLE[kind]
    with pytest.raises(HandFileError) as caught:
        read_hand(save(protocol=protocol, posedirs=value))
    assert "MANO.pkl: the field 'posedirs' " in str(caught.value) and complaint in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"indices": np.array([16])},
        {"indices": np.array([-1])},
        {"indices": np.array([0, 1])},
        {"indices": np.array([0.0])},
        {"indptr": np.zeros(3, int)},
        {"indptr": np.zeros(779, int)},
        {"indptr": np.array([0] * 700 + [2] * 79)},
        {"indptr": np.array([0, 1] + [0] * 776 + [1])},
        {"indptr": np.array([], int)},
        {"data": np.ones((1, 1))},
        {"_shape": (16,)},
    ],
    ids=lambda changes: " ".join(f"{k} {v!s:.12}" for k, v in changes.items()),
)
def test_sparse_matrix_whose_parts_do_not_fit(save, changes):
    parts = {"data": np.ones(1), "indices": np.array([3]), "indptr": np.array([0] * 778 + [1]), "_shape": (16, 778)}
    with pytest.raises(HandFileError, match="'J_regressor' (holds indices|declares|is a sparse matrix whose parts)"):
        read_hand(save(J_regressor=Instance(CSC, parts | changes)))


def test_a_body_is_no_hand(save):
    body = {"v_template": np.zeros((6890, 3)), "shapedirs": selection(np.zeros((6890, 3, 10)))}
    absent = dict.fromkeys(["hands_components", "hands_mean", "hands_coeffs"])
    with pytest.raises(HandFileError, match=r"'v_template' has shape \(6890, 3\), expected \(778, 3\); .*SMPL"):
        read_hand(save(**body, **absent))


@pytest.mark.parametrize("field", [*REQUIRED, "hands_coeffs"])
def test_whatever_is_wrong_the_field_is_named(save, right, field):
    for value in (right[field][:-1].T, np.full(right[field].shape, np.nan), "text", 3, [1], {"x": 1}):
        with pytest.raises(HandFileError, match=f"MANO.pkl: the field '{field}' "):
            read_hand(save(**{field: value}))
    if field in REQUIRED:
        with pytest.raises(HandFileError, match=f"the field '{field}' is missing"):
            read_hand(save(**{field: None}))


@pytest.mark.parametrize("field, shape", [("posedirs", (778, 3, 207)), ("hands_mean", (48,)), ("weights", (778, 24))])
def test_wrong_shape_is_named(save, field, shape):
    with pytest.raises(HandFileError, match=f"the field '{field}' has shape .*, expected"):
        read_hand(save(**{field: np.zeros(shape)}))


def test_numbers_must_be_finite(save, right):
    with pytest.raises(HandFileError, match="'shapedirs' must hold finite numbers"):
        read_hand(save(shapedirs=selection(right["shapedirs"] * np.nan)))
