from __future__ import annotations

import collections
import io
import os
import pickle
import pickletools
import struct

import numpy as np
import pytest

from saccade.errors import DataError
from saccade.features.restricted import load_array, load_pickle

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
GENERATOR = np.random.default_rng(0)
ARRAYS = [
    GENERATOR.standard_normal((3, 5)).astype(np.float32),
    np.asfortranarray(GENERATOR.standard_normal((2, 3, 5))),
    GENERATOR.standard_normal((5, 7)).astype(np.float16)[::2, ::3],
    GENERATOR.standard_normal((2, 3, 5))[:, ::-1].transpose(2, 0, 1),
    np.arange(7, dtype=">i4"),
    np.arange(3, dtype=np.uint8).reshape(3, 1),
    np.array([True, False]),
    np.array(["a", "brown", ""]),
    np.array([b"ab", b"c"]),
    np.array(3.5),
    np.empty((0, 4), np.float32),
    np.array([1 + 2j]),
]


class Called:
    """Pickled, it asks for a call of any function when it is loaded."""

    def __init__(self, function, *arguments) -> None:
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: f"{array.dtype}-{array.ndim}")
def test_arrays_are_what_pickle_reads(array, protocol):
    data = pickle.dumps(array, protocol)
    ours, theirs = load_pickle(data), pickle.loads(data)
    assert (ours.dtype.kind, ours.dtype.itemsize) == (theirs.dtype.kind, theirs.dtype.itemsize)
    assert ours.shape == theirs.shape
    assert np.array_equal(ours, theirs)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_plain_values_are_what_pickle_reads(protocol):
    shared = [1, 2]
    value = {
        "image_id": 391895,
        "big": 2**80,
        9: (3, -1.5, None, True, b"bytes", bytearray(b"more"), "text", ""),
        "scalars": [np.float32(2.5), np.int64(7), np.bool_(True), np.str_("x")],
        "sets": [{1, 2}, frozenset("ab")],
        "ordered": collections.OrderedDict(b=1, a=2),
        "complex": 1 + 2j,
        "shared": (shared, shared),
    }
    found = load_pickle(pickle.dumps(value, protocol))
    assert found == value
    assert found["shared"][0] is found["shared"][1]
    assert type(found["scalars"][0]) is float


def test_arrays_deep_inside_are_found_and_objects_are_put_in():
    deep = {"a": [({"b": ARRAYS[0]},)], "o": np.array([{"bbox": ARRAYS[1]}, None, "x"], object)}
    found = load_pickle(pickle.dumps(deep))
    assert np.array_equal(found["a"][0][0]["b"], ARRAYS[0])
    assert np.array_equal(found["o"][0]["bbox"], ARRAYS[1])
    assert found["o"][1:].tolist() == [None, "x"]


def test_python_2_pickles():
    # pickle.dumps({9: 0, "a": numpy.array([1.5, 2], "f4")}) under Python 2 with protocol 2.
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tU\x01btR(K\x01(K\x02tcnumpy\ndtype\n"
        b"(U\x02f4K\x00K\x01tR(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x08"
        + struct.pack("<2f", 1.5, 2)
        + b"tb"
    )
    found = load_pickle(b"\x80\x02}(K\x09K\x00U\x01a" + array + b"u.")
    assert found[9] == 0
    assert found["a"].tolist() == [1.5, 2]
    assert load_pickle(b"(dp1\nI391895\nI0\nsI9\nI1\ns.") == {391895: 0, 9: 1}  # protocol 0, cPickle's default


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_pickle_that_runs_a_command_is_refused_and_not_run(tmp_path, protocol):
    mark = tmp_path / "mark"
    data = pickle.dumps({"features": Called(os.system, f"touch {mark}")}, protocol)
    with pytest.raises(DataError, match=r"the pickle asks for (posix|nt)\.system, which is refused"):
        load_pickle(data)
    assert not mark.exists()
    pickle.loads(data)  # what it would have done
    assert mark.exists()


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (Called(eval, "1"), r"(builtins|__builtin__)\.eval"),
        (Called(getattr, "", "join"), r"(builtins|__builtin__)\.getattr"),
        (Called(np.load, "x"), r"numpy.*\.load"),
        (Called(np.frombuffer, b""), r"numpy.*\.frombuffer"),
        (np.random.default_rng, r"numpy.*\.default_rng"),
        (Called, r"\.Called"),
        (print, r"(builtins|__builtin__)\.print"),
    ],
)
def test_anything_but_plain_values_is_refused_by_name(value, name):
    with pytest.raises(DataError, match=f"the pickle asks for .*{name}, which is refused"):
        load_pickle(pickle.dumps(value))


@pytest.mark.parametrize(
    ("array", "how"),
    [
        (np.zeros(2, [("a", "f4"), ("b", "O")]), "the type 'V12'"),
        (np.array(["2020-01-01"], "M8[D]"), "the type 'M8'"),
    ],
)
def test_structured_arrays_are_refused(array, how):
    with pytest.raises(DataError, match=f"an array of {how}"):
        load_pickle(pickle.dumps(array, 2))


def test_a_plain_type_cannot_be_given_a_structure():
    plain = pickle.dumps(np.zeros(2, np.float32), 2)
    inside = b"NNNJ\xff\xff\xff\xff"  # no subarray, names, or fields
    assert plain.count(inside) == 1
    with pytest.raises(DataError, match="of a structured type"):
        load_pickle(plain.replace(inside, b"N)}J\xff\xff\xff\xff"))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not a pickle",
        b"\x80\x04.",
        pickle.dumps({"a": np.zeros((3, 5))})[:-20],
        pickle.dumps(np.zeros((3, 5), np.float32), 2).replace(b"K\x03K\x05", b"K\x03K\x07"),  # a wrong shape
        b"cnumpy.core.multiarray\n_reconstruct\n)R.",  # an array that nothing was said of
        b"]q\x00h\x00a.",  # a list that holds itself
        b"\x80\x02\x82\x01.",  # an extension code
        b"P1\n.",  # a persistent id
    ],
)
def test_what_is_no_pickle_is_said_to_be_none(data):
    with pytest.raises(DataError, match=r"expected a pickle, got what cannot be read as one \(.+\)"):
        load_pickle(data)


@pytest.mark.parametrize("name", [b"cnumpy\nndarray\n.", b"cnumpy\ndtype\n.", b"cnumpy\ndtype\n(U\x02f4tR."])
def test_types_and_functions_do_not_come_out(name):
    with pytest.raises(DataError, match="the pickle holds a type or a function"):
        load_pickle(name)


def test_what_a_pickle_does_to_a_function_ends_with_it():
    # BUILD with (None, {"__kwdefaults__": {"encoding": "x"}, "mark": 1}) on the stand-in of _codecs.encode.
    load = b"c_codecs\nencode\nq\x00(N}(U\x04markK\x01utb0h\x00(U\x01atR."
    pickletools.dis(load, io.StringIO())
    assert load_pickle(load) == b"a"
    assert load_pickle(pickle.dumps(b"b", 2)) == b"b"


def test_shared_parts_are_visited_once():
    value: list = []
    for _ in range(60):  # 2 ** 60 lists to one who forgets
        value = [value, value]
    found = load_pickle(pickle.dumps(value))
    depth = 0
    while found:
        assert found[0] is found[1]
        found, depth = found[0], depth + 1
    assert depth == 60


@pytest.mark.parametrize("array", [*ARRAYS, np.array({"bbox": ARRAYS[0], "n": 3}, object)], ids=lambda a: f"{a.dtype}")
def test_npy_files(array):
    stream = io.BytesIO()
    np.save(stream, array)
    found = load_array(stream.getvalue())
    assert found.dtype == array.dtype
    assert found.shape == array.shape
    if array.dtype.hasobject:
        assert found.item()["n"] == 3
        assert np.array_equal(found.item()["bbox"], ARRAYS[0])
    else:
        assert np.array_equal(found, array)


def test_npy_files_that_are_none_or_run_a_command(tmp_path):
    for data in (b"", b"PK\x03\x04", b"\x93NUMPY\x01\x00v\x00{'descr': '<f4'"):
        with pytest.raises(DataError, match=r"expected an \.npy file"):
            load_array(data)
    stream = io.BytesIO()
    np.save(stream, np.array(Called(os.system, f"touch {tmp_path / 'mark'}"), object))
    with pytest.raises(DataError, match=r"system, which is refused"):
        load_array(stream.getvalue())
    assert not (tmp_path / "mark").exists()
    stream = io.BytesIO()
    np.save(stream, np.array(None, object))
    header = stream.getvalue()[: 10 + struct.unpack("<H", stream.getvalue()[8:10])[0]]
    with pytest.raises(DataError, match=r"expected an \.npy file of an array, got one of dict"):
        load_array(header + pickle.dumps({}))
