import io
import zipfile

import numpy as np
import pytest
from mano_files import REQUIRED

from handlib.hand.files import OPENHAND, HandFileError, read_hand
from handlib.support.files import atomic_path


@pytest.fixture(scope="module")
def fields() -> dict[str, np.ndarray]:
    return read_hand("openhand")


@pytest.fixture
def save(tmp_path, fields):
    """Writes the open hand with some fields changed, or left out (None); returns the path."""

    def write(**changes):
        path = tmp_path / "hand.npz"
        np.savez(path, **{k: v for k, v in (fields | changes).items() if v is not None})
        return path

    return write


def test_openhand_is_a_mano_shaped_hand(fields):
    assert fields["v_template"].shape == (778, 3)
    assert 0.15 < np.ptp(fields["v_template"], axis=0).max() < 0.25  # meters
    np.testing.assert_allclose(fields["weights"].sum(1), 1, atol=1e-5)
    np.testing.assert_allclose(fields["J_regressor"].sum(1), 1, atol=1e-4)


def test_a_written_file_reads_back(save, fields):
    read = read_hand(save())
    assert read.keys() == fields.keys()
    for key, array in fields.items():
        np.testing.assert_array_equal(read[key], array)


def test_path_may_be_a_string(save):
    assert "v_template" in read_hand(str(save()))


def test_root_without_parent_may_be_unsigned(save, fields):
    """MANO's own files hold 2³² − 1 as the parent of the wrist."""
    tree = fields["kintree_table"].astype(np.int64)
    tree[0, 0] = 2**32 - 1
    assert read_hand(save(kintree_table=tree))["kintree_table"][0, 0] == 2**32 - 1


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="no hand model at .*nothing.npz.*openhand"):
        read_hand(tmp_path / "nothing.npz")


def test_folder_is_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="no hand model"):
        read_hand(tmp_path)


def damaged() -> dict[str, bytes]:
    whole = OPENHAND.read_bytes()
    middle = bytearray(whole)
    for at in range(len(whole) // 3, len(whole) // 3 + 4000):
        middle[at] ^= 0xFF
    lying = io.BytesIO()
    with zipfile.ZipFile(lying, "w") as archive:
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (10**12, 3)})
        archive.writestr("v_template.npy", header.getvalue())
    return {
        "empty": b"",
        "text": b"404: Not Found\n",
        "half": whole[: len(whole) // 2],
        "header only": whole[:100],
        "damaged inside": bytes(middle),
        "a header that lies": lying.getvalue(),
    }


@pytest.mark.parametrize("kind", damaged())
def test_damaged_file(tmp_path, kind):
    path = tmp_path / "damaged.npz"
    path.write_bytes(damaged()[kind])
    with pytest.raises(HandFileError, match=r"damaged.npz: .*(complete|unpacks)") as caught:
        read_hand(path)
    assert "\n" not in str(caught.value)


def test_pickles_are_never_opened(tmp_path, fields):
    path = tmp_path / "pickled.npz"
    np.savez(path, **(fields | {"v_template": np.array([{"a": 1}], dtype=object)}))
    with pytest.raises(HandFileError, match="pickled.npz: the field 'v_template' cannot be read .*array of numbers"):
        read_hand(path)


def test_members_that_are_no_arrays(tmp_path, unchecked):
    path = tmp_path / "raw.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("v_template", b"not an array")
    with pytest.raises(HandFileError, match="raw.npz"):
        read_hand(path)


def test_a_file_that_unpacks_to_too_much_is_refused_unread(tmp_path):
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("v_template.npy", bytes(65 << 20))
    with pytest.raises(HandFileError, match="unpacks to 65 MB"):
        read_hand(path)


SPOILED = {
    "missing": lambda array: None,
    "scalar": lambda array: array.flat[0],
    "one row less": lambda array: array[:-1],
    "not a number": lambda array: np.full(array.shape, np.nan),
    "complex": lambda array: array.astype(complex),
    "text": lambda array: array.astype("U4"),
    "objects": lambda array: array.astype(object),
}


@pytest.mark.parametrize("how", SPOILED)
@pytest.mark.parametrize("field", REQUIRED)
def test_whatever_is_wrong_the_field_is_named(save, fields, field, how):
    with pytest.raises(HandFileError, match=f"hand.npz: the field '{field}' ") as caught:
        read_hand(save(**{field: SPOILED[how](fields[field])}))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "field, shape", [("v_template", (779, 3)), ("f", (1538, 4)), ("shapedirs", (778, 3, 9)), ("hands_mean", (48,))]
)
def test_wrong_shape_is_named(save, field, shape):
    with pytest.raises(HandFileError, match=f"the field '{field}' has shape .*, expected"):
        read_hand(save(**{field: np.zeros(shape)}))


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_numbers_must_be_finite(save, fields, value):
    template = fields["v_template"].astype(np.float64)
    template[3, 1] = value
    with pytest.raises(HandFileError, match="'v_template' must hold finite numbers"):
        read_hand(save(v_template=template))


def test_text_is_no_number(save):
    with pytest.raises(HandFileError, match="'hands_mean' must hold finite numbers"):
        read_hand(save(hands_mean=np.array(["x"] * 45)))


@pytest.mark.parametrize("vertex", [-1, 778, 0.5])
def test_faces_must_name_vertices(save, fields, vertex):
    faces = fields["f"].astype(type(vertex))
    faces[0, 0] = vertex
    with pytest.raises(HandFileError, match="'f' names vertices outside 0 … 777"):
        read_hand(save(f=faces))


@pytest.mark.parametrize("parent", [0, -1, 2**32, 4.5])
def test_another_tree_is_refused(save, fields, parent):
    tree = fields["kintree_table"].astype(type(parent))
    tree[0, 5] = parent
    with pytest.raises(HandFileError, match="'kintree_table' is not MANO's tree"):
        read_hand(save(kintree_table=tree))


@pytest.mark.parametrize("factor", [1000, 39.37, 0], ids=["millimeters", "inches", "a point"])
def test_the_unit_is_meters(save, fields, factor):
    with pytest.raises(HandFileError, match="'v_template' is a hand .* m long; convert it to meters"):
        read_hand(save(v_template=factor * fields["v_template"]))


def test_weights_must_sum_to_one(save, fields):
    with pytest.raises(HandFileError, match="'weights' has rows that do not sum to 1"):
        read_hand(save(weights=fields["weights"] * 0.5))


@pytest.mark.parametrize(
    "field, shape",
    [
        ("hands_coeffs", (7, 44)),
        ("vertex_colors", (777, 3)),
        ("vt", (5, 3)),
        ("ft", (1537, 3)),
        ("named_poses", (2, 44)),
    ],
)
def test_optional_fields_are_checked_too(save, field, shape):
    with pytest.raises(HandFileError, match=f"the field '{field}'"):
        read_hand(save(**{field: np.zeros(shape)}))


def test_texture_corners_must_exist(save, fields):
    with pytest.raises(HandFileError, match="'ft' names rows that 'vt' does not have"):
        read_hand(save(vt=fields["vt"][:-1]))


@pytest.mark.parametrize("names", [np.array(["fist"]), np.arange(18), np.array([b"fist"] * 18)])
def test_every_named_pose_has_one_name(save, names):
    with pytest.raises(HandFileError, match="'pose_names' must hold one string per row of 'named_poses'"):
        read_hand(save(pose_names=names))


def test_atomic_paths_differ(tmp_path):
    """Containers that share a disk may have processes of one number."""
    with atomic_path(tmp_path / "a") as one, atomic_path(tmp_path / "a") as other:
        one.write_text("1")
        other.write_text("2")
    assert one != other and [path.name for path in tmp_path.iterdir()] == ["a"]


def test_atomic_path_replaces_when_all_is_well(tmp_path):
    path = tmp_path / "new" / "file.txt"
    for text in ("first", "second"):
        with atomic_path(path) as temporary:
            temporary.write_text(text)
            assert temporary.parent == path.parent and temporary != path
        assert path.read_text() == text
    assert [p.name for p in path.parent.iterdir()] == ["file.txt"]


def test_atomic_path_leaves_the_old_file_when_interrupted(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), atomic_path(path) as temporary:
        temporary.write_text("half of the n")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["file.txt"]
