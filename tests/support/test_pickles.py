"""Pickles that are read and never run. What mano.py makes of them is in test_mano_hostile.py."""

import pickle
import tracemalloc

import numpy as np
import pytest

from handlib.support.pickles import ARRAYS, BYTES, Stub, array_of, read_pickle


def read(content: bytes, kinds=ARRAYS | BYTES, steps=1000) -> dict:
    return read_pickle(content, kinds, steps, "test file", "nowhere")


@pytest.mark.parametrize("protocol", range(5))
@pytest.mark.parametrize(
    "array",
    [
        np.arange(6.0).reshape(2, 3),
        np.asfortranarray(np.ones((3, 2), np.float32)),
        np.arange(4, dtype=">i2"),
        np.zeros(0),
    ],
    ids=str,
)
def test_arrays_of_every_protocol(protocol, array):
    found = array_of(read(pickle.dumps({0: array}, protocol=protocol))[0])
    np.testing.assert_array_equal(found, array)
    assert found.dtype == array.dtype.newbyteorder("=")


def test_numbers_and_texts_are_themselves():
    content = {"a": 1, 2: [0.5, "text", None, True], "deep": {"b": (1, 2)}}
    assert read(pickle.dumps(content, protocol=2)) == content


class Evil:
    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", range(6))
def test_nothing_is_called(protocol):
    called = []
    for evil in (Evil(eval, "1/0"), Evil(print, "x"), Evil(np.load, "x"), Evil(called.append, 1)):
        with pytest.raises(ValueError, match="refused: .*; this is not a test file as downloaded from nowhere"):
            read(pickle.dumps({"field": evil}, protocol=protocol))
    assert not called


def test_admitted_names_are_not_called_either():
    """`_codecs.encode` with a codec that would do something: it stays a description."""
    found = read(b"\x80\x02}U\x01ac_codecs\nencode\nU\x02xyU\x03hex\x86Rs.")["a"]
    assert isinstance(found, Stub) and found.args == ("xy", "hex")
    with pytest.raises(ValueError, match="must be an array of numbers, not of the type encoded"):
        array_of(found)


@pytest.mark.parametrize(
    "program",
    [
        b"\x80\x05\x96\xff\xff\xff\x7f\x00\x00\x00\x00.",  # a byte array of 2 GB
        b"\x80\x02T\xff\xff\xff\x7f.",  # a string of 2 GB
        b"\x80\x04\x8d\xff\xff\xff\x7f\x00\x00\x00\x00.",  # a text of 2 GB
        b"\x80\x02}r\xff\xff\xff\x7f.",  # memo 2 billion
        b"\x80\x02\x82\x01.",  # an extension's code
    ],
)
def test_no_memory_is_reserved_for_what_is_not_there(program):
    tracemalloc.start()
    try:
        read(program)
    except ValueError:
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


def test_a_program_that_is_too_long():
    content = pickle.dumps({i: i for i in range(1000)}, protocol=2)
    with pytest.raises(ValueError, match="refused: the pickle takes more than 1000 steps; this is not a test file"):
        read(content)
    assert len(read(content, steps=3000)) == 1000


def test_what_is_not_a_dict():
    with pytest.raises(ValueError, match="the pickle is not a dict of fields; this is not a test file"):
        read(pickle.dumps([1, 2]))
    with pytest.raises(ValueError, match="not a readable pickle"):
        read(b"")
