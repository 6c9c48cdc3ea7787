"""Pickles and .npy files of arrays, numbers, text and plain containers, read without running what they ask for.

A pickle is a program that may call anything. Files of features from elsewhere are pickles: the index of an HDF5 file,
the values of an LMDB, an .npy file that holds a dict. Here a pickle may name the few things that NumPy arrays and plain
containers are made of, and what it gets for these names are stand-ins: not even NumPy parses its data types (a
structured one could say that bytes are pointers). Anything else is refused by name, before it is called.
"""

from __future__ import annotations

import io
import pickle
import re
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from saccade.errors import DataError

# Booleans, integers, floats, complex numbers, text, bytes and (as O) lists of any admitted things.
PLAIN_TYPE = re.compile(r"[<>=|]?(?:b1|[iu][1248]|f[248]|c8|c16|[SU]\d{1,6}|O8?)")
LATIN = ("latin1", "latin-1", "iso-8859-1")
# What reading something that is no pickle, or the wrong one, ends in.
BROKEN = (
    pickle.UnpicklingError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    OverflowError,
    RecursionError,
    TypeError,
    ValueError,
)

Array = npt.NDArray[Any]


def load_pickle(data: bytes) -> Any:
    """The value of a pickle, of Python 2 too: numbers, text, bytes, containers and NumPy arrays.

    Raises DataError when it names anything else, or is none.
    """
    try:
        return _finished(_Unpickler(data).load(), {})
    except BROKEN as error:
        how = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"expected a pickle, got what cannot be read as one ({how})") from None


def load_array(data: bytes) -> Array:
    """The array of an .npy file, an array of objects by `load_pickle`; raises DataError when it is none."""
    stream = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(stream)
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        _, _, dtype = header(stream)
        if not dtype.hasobject:
            stream.seek(0)
            array: Array = np.lib.format.read_array(stream, allow_pickle=False)
            return array
    except (ValueError, EOFError) as error:
        raise DataError(f"expected an .npy file, got what cannot be read as one ({error})") from None
    value = load_pickle(stream.read())
    if not isinstance(value, np.ndarray):
        raise DataError(f"expected an .npy file of an array, got one of {type(value).__name__}")
    return value


class _Unpickler(pickle.Unpickler):
    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data), encoding="latin1")  # in which Python 2 pickled arrays can be read

    def find_class(self, module: str, name: str) -> Any:
        # NumPy 2 renamed numpy.core, and Python 3 __builtin__.
        place = module.replace("numpy._core", "numpy.core").replace("__builtin__", "builtins")
        make = ADMITTED.get(f"{place}.{name}")
        if make is None:
            raise DataError(
                f"the pickle asks for {module}.{name}, which is refused: expected arrays, numbers, text and plain "
                "containers; save it as such"
            )

        def called(*arguments: Any) -> Any:
            return make(*arguments)

        return called  # a new one each time: whatever a pickle does to it ends with the pickle


class _Type:
    """Stands for a NumPy data type; `dtype` is the type once its byte order is known."""

    def __init__(self, code: str, *_: object) -> None:
        if not (isinstance(code, str) and PLAIN_TYPE.fullmatch(code)):
            raise DataError(f"the pickle has an array of the type {code!r}: expected plain numbers, text or objects")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _version, order, *structure = state[:5]
        if any(part is not None for part in structure):
            raise DataError("the pickle has an array of a structured type: expected plain numbers, text or objects")
        self.dtype = self.dtype.newbyteorder(order)


class _Array:
    """Stands for an array whose contents come after it; `_finished` puts the array in its place."""

    def __init__(self, *_: object) -> None:
        self.parts: tuple[Any, ...] = ()

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.parts = tuple(state)

    def array(self, done: dict[int, Any]) -> Array:
        _version, shape, kind, fortran, data = self.parts
        if not isinstance(data, list):
            return _array(_bytes(data), kind, shape, "F" if fortran else "C")
        objects = np.empty(len(data), object)
        for i, item in enumerate(data):
            objects[i] = _finished(item, done)
        return objects.reshape(shape, order="F" if fortran else "C")


def _array(data: Any, kind: _Type, shape: tuple[int, ...], order: Any, axes: tuple[int, ...] | None = None) -> Array:
    flat: Array = np.frombuffer(data, kind.dtype)
    if order == "K":
        return flat.reshape(shape).transpose(axes)
    return flat.reshape(shape, order=order)


def _number(kind: _Type, data: str | bytes) -> Any:
    [number] = np.frombuffer(_bytes(data), kind.dtype).tolist()
    return number


def _bytes(data: Any = b"", encoding: str = "latin1") -> bytes:
    """Bytes, which older pickles write as text with one character each."""
    if isinstance(data, str) and encoding in LATIN:
        return data.encode("latin1")
    if isinstance(data, bytes | bytearray):
        return bytes(data)
    raise DataError(f"the pickle makes bytes of {type(data).__name__}, which is refused")


def _finished(value: Any, done: dict[int, Any]) -> Any:
    """The value with arrays in place of what stands for them; `done` are the parts seen, as a part may be shared."""
    if isinstance(value, _Array | dict | list | tuple) and id(value) not in done:
        if isinstance(value, _Array):
            finished: Any = value.array(done)
        elif isinstance(value, dict):
            finished = {_finished(key, done): _finished(item, done) for key, item in value.items()}
        else:
            finished = [_finished(item, done) for item in value]
        done[id(value)] = tuple(finished) if isinstance(value, tuple) else finished
    if isinstance(value, _Type) or callable(value):
        raise DataError("the pickle holds a type or a function: expected nothing but arrays, numbers, text, containers")
    return done.get(id(value), value)


ADMITTED: dict[str, Callable[..., Any]] = {
    "numpy.core.multiarray._reconstruct": _Array,
    "numpy.core.multiarray.scalar": _number,
    "numpy.core.numeric._frombuffer": _array,
    "numpy.dtype": _Type,
    "numpy.ndarray": _Array,
    "_codecs.encode": _bytes,
    "builtins.bytearray": _bytes,
    "builtins.bytes": _bytes,
    "builtins.set": set,
    "builtins.frozenset": frozenset,
    "builtins.complex": complex,
    "collections.OrderedDict": OrderedDict,
}
