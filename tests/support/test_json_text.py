import pytest

from handlib.support.json_text import parse_json, read_json


def test_what_is_right_comes_back(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{"µ": [1, -2.5, true, null, 9223372036854775807]}', encoding="utf-8")
    assert read_json(path) == {"µ": [1, -2.5, True, None, 2**63 - 1]}


@pytest.mark.parametrize(
    "text, reason",
    [
        (b'{"a": 1', "Expecting"),
        (b"", "Expecting"),
        (b"\xff\xfe", "decode"),
        (b"[" * 100_000, "nested too deeply"),
        (b"1" * 400, "a number of 400 digits"),
        (b"1" * 5000, "a number of 5000 digits"),
        (b"[1e999]", "no finite number"),
        (b"[NaN]", "no finite number"),
        (b"[-Infinity]", "no finite number"),
    ],
)
def test_damage_is_one_line_with_the_path_and_the_mend(tmp_path, text, reason):
    path = tmp_path / "a.json"
    path.write_bytes(text)
    with pytest.raises(ValueError, match=rf"a\.json: not JSON \(.*{reason}.*\); write it again"):
        read_json(path, "write it again")


def test_no_file_and_a_large_one(tmp_path):
    with pytest.raises(FileNotFoundError, match="no file at"):
        read_json(tmp_path / "none.json")
    path = tmp_path / "a.json"
    path.write_text("[1, 2, 3]")
    with pytest.raises(ValueError, match="refused unread"):
        read_json(path, most=4)


def test_a_place_in_a_file_is_named():
    with pytest.raises(ValueError, match="log.jsonl: line 3: not JSON"):
        parse_json("{", "log.jsonl: line 3")
