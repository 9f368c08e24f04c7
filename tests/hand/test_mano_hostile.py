"""Files that only look like MANO's: nothing in them is run, and each is refused in one line."""

import sys

import numpy as np
import pytest
from mano_files import Call, Name

from handlib import HandModel
from handlib.hand.files import MAX_BYTES, HandFileError, read_hand


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


def test_classes_are_fresh_for_each_file(refused, save, assert_open_hand):
    """A file that changes the classes it is given changes them for itself alone."""
    refused(b"cchumpy.ch\nCh\nN}U\x04kindU\x05arrays\x86b.")
    assert_open_hand(HandModel.load(save()))


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
