"""MANO's files, written from the open hand in the form of the originals, and files that only look like them."""

import pickle
import sys
import types

import numpy as np
import pytest
import torch
from mano_files import (
    CH,
    CSC,
    NDARRAY,
    RECONSTRUCT,
    REQUIRED,
    SELECT,
    Call,
    Instance,
    Name,
    Python2Pickle,
    chumpy,
    columns,
    mirrored_naive,
    originals_form,
    selection,
)
from scipy import sparse

from handlib import HandModel
from handlib.hand.files import MAX_BYTES, HandFileError, read_hand


@pytest.fixture(scope="module")
def right() -> dict[str, np.ndarray]:
    return read_hand("openhand")


@pytest.fixture(scope="module")
def left(right) -> dict[str, np.ndarray]:
    return mirrored_naive(right)


@pytest.fixture
def save(tmp_path, right):
    """Writes the open hand as MANO's pickle, with some fields changed or left out (None); returns the path."""

    def write(fields=None, protocol=2, **changes):
        holds = originals_form(right if fields is None else fields) | changes
        path = tmp_path / "MANO.pkl"
        path.write_bytes(Python2Pickle(protocol).file({k: v for k, v in holds.items() if v is not None}))
        return path

    return write


@pytest.fixture
def refused(tmp_path):
    """Writes bytes to a file, or a value as a pickle, and returns what reading it complains of."""

    def message(content, protocol=2):
        path = tmp_path / "MANO_RIGHT.pkl"
        path.write_bytes(content if isinstance(content, bytes) else Python2Pickle(protocol).file(content))
        with pytest.raises(HandFileError, match="MANO_RIGHT.pkl: ") as caught:
            read_hand(path)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    return message


@pytest.fixture
def poses(hand, generator) -> tuple[torch.Tensor, torch.Tensor]:
    return 0.6 * torch.randn(8, 45, generator=generator), 2 * torch.randn(8, 10, generator=generator)


def assert_same_hand(one: HandModel, other: HandModel, poses) -> None:
    pose, shape = poses
    for a, b in zip(one(pose, shape), other(pose, shape), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-6)
    assert torch.equal(one.faces, other.faces)
    torch.testing.assert_close(one.pose_samples, other.pose_samples)


@pytest.mark.parametrize("protocol", [0, 2])
def test_right_hand(save, hand, poses, protocol):
    mano = HandModel.load(save(protocol=protocol))
    assert (mano.side, mano.name) == ("right", "MANO.pkl")
    assert_same_hand(mano, hand, poses)


def test_every_field_is_the_same_to_the_bit(save, right):
    read = read_hand(save())
    ours = {"vertex_colors", "vt", "ft", "named_poses", "pose_names"}
    assert set(read) == set(right) - {"J", "bs_style", "bs_type"} - ours
    for key in set(read) - {"kintree_table"}:
        np.testing.assert_array_equal(read[key], right[key])
        assert read[key].dtype.isnative and read[key].flags.writeable


def test_poses_and_texture_of_a_left_hand(tmp_path, hand, left):
    np.savez(tmp_path / "left.npz", **left)
    mirrored = HandModel.load(tmp_path / "left.npz")
    assert torch.equal(mirrored.uv_faces, hand.uv_faces) and torch.equal(mirrored.uv, hand.uv)
    assert mirrored.named_poses.keys() == hand.named_poses.keys()
    for name, pose in hand.named_poses.items():
        assert torch.equal(mirrored.named_poses[name], pose)


@pytest.mark.parametrize("defect", [False, True], ids=["mirrored shapedirs", "shapedirs of the right hand"])
@pytest.mark.parametrize("protocol", [0, 2])
def test_left_hand(save, hand, left, right, poses, protocol, defect):
    left = left | ({"shapedirs": right["shapedirs"]} if defect else {})
    mano = HandModel.load(save(left, protocol))
    assert mano.side == "left"
    assert_same_hand(mano, hand, poses)


@pytest.mark.parametrize("defect", [False, True])
def test_left_hand_as_npz(tmp_path, hand, left, right, poses, defect):
    path = tmp_path / "MANO_LEFT.npz"
    np.savez(path, **(left | ({"shapedirs": right["shapedirs"]} if defect else {})))
    mano = HandModel.load(path)
    assert mano.side == "left"
    assert_same_hand(mano, hand, poses)
    assert "J" not in read_hand(path)


def test_a_left_hand_written_again_stays_left(tmp_path, save, left):
    first = read_hand(save(left))
    path = tmp_path / "again.npz"
    np.savez(path, **first)
    again = read_hand(path)
    assert again["side"] == "left" and HandModel.load(path).side == "left"
    for key, array in first.items():
        np.testing.assert_array_equal(again[key], array)


def test_mirroring_is_the_mirror_image_of_the_posed_hand(left, hand, poses):
    """right(mirrored pose, shape) = M left(pose, shape), the left hand posed as it stands in its file."""
    pose, shape = poses
    as_filed = HandModel(left, hand.fingertips)
    mirrored_pose = pose.unflatten(-1, (15, 3)) * torch.tensor([1.0, -1, -1])
    expected = as_filed(mirrored_pose.flatten(-2), shape).vertices * torch.tensor([-1.0, 1, 1])
    torch.testing.assert_close(hand(pose, shape).vertices, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("defect", [False, True])
def test_defect_is_seen_in_any_basis_of_the_shapes(save, left, right, defect, seed):
    """Principal components have no sign, and a basis turned at random spans the same population."""
    turn = np.linalg.qr(np.random.default_rng(seed).normal(size=(10, 10)))[0]
    shapes = right["shapedirs"] if defect else left["shapedirs"]
    read = read_hand(save(left | {"shapedirs": shapes @ turn}))
    np.testing.assert_allclose(read["shapedirs"], right["shapedirs"] @ turn, atol=1e-12)


def test_faces_of_a_left_hand_turn_outwards_even_if_they_were_not_flipped(save, left, right):
    np.testing.assert_array_equal(read_hand(save(left | {"f": right["f"]}))["f"], right["f"])


@pytest.mark.parametrize("turn", [[-1, 1, -1], [1, -1, -1]])
def test_a_turned_hand_is_not_taken_for_a_left_one(save, right, turn):
    with pytest.raises(HandFileError, match="'v_template' is not in MANO's frame"):
        read_hand(save(right | {"v_template": right["v_template"] * np.array(turn)}))


@pytest.mark.parametrize("side", ["Left", 3])
def test_side_is_left_or_right(tmp_path, right, side):
    np.savez(tmp_path / "hand.npz", side=np.array(side), **right)
    with pytest.raises(HandFileError, match="'side' must be 'right' or 'left'"):
        read_hand(tmp_path / "hand.npz")


@pytest.fixture
def modern(right, monkeypatch):
    """The same dict of real objects, for the pickle of today: scipy's, numpy's, and made-up classes for chumpy's."""
    monkeypatch.setitem(sys.modules, "chumpy", types.ModuleType("chumpy"))
    for module, name in (CH, SELECT):
        fake = types.ModuleType(module)
        setattr(fake, name, type(name, (), {"__module__": module}))
        monkeypatch.setitem(sys.modules, module, fake)

    def real(value):
        if not isinstance(value, Instance):
            return value
        if value.of == CSC:
            return sparse.csc_matrix((value.state["data"], value.state["indices"], value.state["indptr"]), (16, 778))
        instance = getattr(sys.modules[value.of.module], value.of.name)()
        instance.__dict__.update({k: real(v) for k, v in value.state.items()})
        return instance

    return {k: real(v) for k, v in originals_form(right).items()}


@pytest.mark.parametrize("protocol", [3, 4])
def test_pickles_that_python_3_wrote_anew(tmp_path, hand, modern, poses, protocol):
    path = tmp_path / "MANO_RIGHT.PKL"
    path.write_bytes(pickle.dumps(modern, protocol))
    assert_same_hand(HandModel.load(path), hand, poses)


def test_forms_of_arrays(save, right):
    """Column by column, big-endian, half precision and single bytes; chumpy's arrays nested and without a shape."""
    wide = right["weights"].astype(">f8")
    state = (1, wide.shape, Call(Name("numpy", "dtype"), ("f8", 0, 1), (3, ">", None)), False, wide.tobytes())
    flat = selection(right["hands_mean"].reshape(-1, 1)).state
    flat.pop("preferred_shape")
    read = read_hand(
        save(
            posedirs=np.asfortranarray(right["posedirs"]),
            weights=Call(RECONSTRUCT, (NDARRAY, (0,), b"b"), state),
            kintree_table=np.array([[0, *right["kintree_table"][0, 1:]], range(16)], np.uint8),
            v_template=Instance(CH, chumpy(x=Instance(CH, chumpy(x=right["v_template"])))),
            shapedirs=selection(right["shapedirs"], (778, 3, 10)),
            hands_mean=Instance(SELECT, flat),
        )
    )
    for key in ("posedirs", "weights", "v_template", "shapedirs", "hands_mean"):
        np.testing.assert_array_equal(read[key], right[key])


def test_entries_of_a_sparse_matrix_that_occur_twice_are_summed(save, right):
    parts = columns(right["J_regressor"].astype(np.float64))
    parts["data"], parts["indices"] = np.repeat(parts["data"] / 2, 2), np.repeat(parts["indices"], 2)
    parts["indptr"] = parts["indptr"] * 2
    read = read_hand(save(J_regressor=Instance(CSC, parts)))
    np.testing.assert_allclose(read["J_regressor"], right["J_regressor"], rtol=1e-12)


@pytest.fixture
def traps(monkeypatch) -> list:
    """Everything that hostile files call is replaced by something that only notes the call."""
    called = []
    for module, name in HOSTILE:
        if module in sys.modules and hasattr(sys.modules[module], name):
            monkeypatch.setattr(sys.modules[module], name, lambda *args, name=name: called.append(name))
    return called


HOSTILE = [
    Name("os", "system"),
    Name("posix", "system"),
    Name("subprocess", "Popen"),
    Name("shutil", "rmtree"),
    Name("webbrowser", "open"),
    Name("numpy", "load"),
    Name("numpy", "memmap"),
    Name("numpy.core.multiarray", "scalar"),
    Name("numpy._core.multiarray", "fromfile"),
    Name("chumpy.ch", "ChLambda"),
    Name("scipy.sparse", "os"),
    Name("torch.storage", "_load_from_bytes"),
    Name("_codecs", "encode"),
]


@pytest.mark.parametrize("protocol", [0, 2])
@pytest.mark.parametrize("name", HOSTILE, ids=".".join)
def test_nothing_else_is_admitted(refused, traps, name, protocol):
    message = refused({"v_template": Call(name, ("true",))}, protocol)
    assert f"refused: {name.module}.{name.name}; this is not a MANO file" in message
    assert not traps


@pytest.mark.parametrize("builtin", ["eval", "exec", "getattr", "__import__", "open", "type", "bytearray"])
@pytest.mark.parametrize("module", ["__builtin__", "builtins"])
def test_builtins_are_refused(refused, tmp_path, module, builtin):
    there = tmp_path / "executed"
    message = refused({"f": Call(Name(module, builtin), (f"open({str(there)!r}, 'w')",))})
    assert f"refused: {module}.{builtin};" in message
    assert not there.exists()


def stack_global(module: str, name: str) -> bytes:
    def short(text):
        return b"\x8c" + bytes([len(text.encode())]) + text.encode()

    return b"\x80\x04" + short(module) + short(name) + b"\x93)R."


@pytest.mark.parametrize(
    "module, name",
    [
        ("numpy", "ndarray.__reduce__"),
        ("numpy", "core.multiarray._reconstruct"),
        ("numpy", "dtype.__class__.__base__.__subclasses__"),
        ("os", "system"),
        ("chumpy.ch", "Ch.__init__.__globals__"),
        ("", "numpy.ndarray"),
        ("a\nb" * 50, "c"),
    ],
)
def test_nested_names_are_refused(refused, module, name):
    assert "refused: " in refused(stack_global(module, name))


@pytest.mark.parametrize(
    "program",
    {
        "state of a class": b"cchumpy.ch\nCh\n}U\x01xK\x01sb.",
        "attributes of a class": b"cchumpy.ch\nCh\nN}U\x04kindU\x05arrays\x86b.",
        "attributes of a list": b"]N}U\x06appendNs\x86b.",
        "call of a dict": b"}(K\x01tR.",
        "call of a stub": b"cchumpy.ch\nCh\n)R)R.",
        "instance of an instance": b"cchumpy.ch\nCh\n)\x81)\x81.",
        "instance of a number": b"K\x05)\x81.",
        "named arguments": b"\x80\x04cchumpy.ch\nCh\n)}U\x01xNs\x92.",
        "old instance": b"(ios\nsystem\n.",
        "old call": b"(cos\nsystem\nU\x04trueo.",
        "persistent name": b"Psomething\n.",
        "registered extension": b"\x82\x01.",
        "buffer of a terabyte": b"\x80\x05\x96" + (1 << 40).to_bytes(8, "little") + b"x.",
        "bytes of a terabyte": b"\x80\x04\x8e" + (1 << 40).to_bytes(8, "little") + b"x.",
        "memo of gigabytes": b"\x80\x02Nr\xff\xff\xff\x7f.",
        "frame of a terabyte": b"\x80\x04\x95" + (1 << 40).to_bytes(8, "little") + b"}.",
        "out-of-band buffer": b"\x80\x05\x97.",
        "protocol of the future": b"\x80\xff}.",
        "list for a key": b"}]Ns.",
        "a million dicts": b"}" * 1_000_000 + b".",
        "a million brackets": b"(" * 1_000_000 + b"t" * 1_000_000 + b".",
        "no dict": b"]N.",
        "nothing on the stack": b".",
    }.items(),
    ids=lambda item: item[0],
)
def test_programs_that_go_astray(refused, program, unchecked):
    message = refused(program[1])
    assert "this is not a MANO file" in message or "not a readable pickle" in message


def test_classes_are_fresh_for_each_file(refused, save, hand, poses):
    """A file that changes the classes it is given changes them for itself alone."""
    refused(b"cchumpy.ch\nCh\nN}U\x04kindU\x05arrays\x86b.")
    assert_same_hand(HandModel.load(save()), hand, poses)


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


def test_an_array_made_of_itself(refused):
    assert "the field 'f' contains itself" in refused(b"}U\x01fcchumpy.ch\nCh\n)\x81q\x01}U\x01xh\x01sbs.")


@pytest.mark.parametrize("protocol", [0, 2])
def test_truncated_anywhere(save, refused, protocol):
    whole = save(protocol=protocol).read_bytes()
    for length in [*range(1, 40), *np.linspace(40, len(whole) - 1, 20).astype(int)]:
        assert "not a readable pickle" in (message := refused(whole[:length]))
        assert "is the download complete?" in message


def test_damaged_anywhere(save, tmp_path):
    """Bytes changed at random: read all the same, or refused; never another error."""
    whole = save(hands_coeffs=np.zeros((2, 45)), posedirs=None).read_bytes()
    rng = np.random.default_rng(0)
    path = tmp_path / "damaged.pkl"
    for _ in range(40):
        damaged = bytearray(whole)
        for at in rng.integers(0, len(whole), 3):
            damaged[at] = rng.integers(256)
        damaged[rng.integers(300)] = rng.integers(256)
        path.write_bytes(damaged)
        with pytest.raises(HandFileError, match="damaged.pkl"):
            read_hand(path)


@pytest.mark.parametrize(
    "content, complaint",
    [
        (b"", "the file is empty; is the download complete"),
        (b"\n\n  <!DOCTYPE html>\n<html><title>Sign in</title>", "a web page.*register at https://mano.is.tue.mpg.de"),
        (b"404: Not Found\n", "not a readable pickle"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "not a readable pickle"),
        (bytes(1000), "not a readable pickle"),
        (b"PK\x03\x04mano_v1_2.zip", "a zip archive.*unpack it"),
        (b"]q\x00.", "is not a dict"),
        (b"}.", "'v_template' is missing"),
    ],
    ids=["empty", "login", "text", "pointer", "zeros", "zip", "list", "empty dict"],
)
def test_other_files(tmp_path, content, complaint):
    path = tmp_path / "MANO_RIGHT.pkl"
    path.write_bytes(content)
    with pytest.raises(HandFileError, match=f"MANO_RIGHT.pkl: .*{complaint}"):
        read_hand(path)


def test_a_large_file_is_refused_unread(tmp_path):
    path = tmp_path / "MANO_RIGHT.pkl"
    with open(path, "wb") as file:
        file.truncate(MAX_BYTES + (1 << 20))
    with pytest.raises(HandFileError, match="65 MB is too large"):
        read_hand(path)


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="no hand model at .*MANO_RIGHT.pkl"):
        HandModel.load(tmp_path / "MANO_RIGHT.pkl")


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
