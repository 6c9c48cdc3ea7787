"""Frozen, typed dataclasses to and from plain JSON values; files that are never half written; one writer a folder."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import secrets
import types
from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from saccade.errors import RecipeError, RunError, UnknownNameError

T = TypeVar("T")


def to_dict(value: Any) -> dict[str, Any]:
    """The fields of a dataclass as JSON values, nested dataclasses as objects, tuples as lists."""
    plain = json.loads(json.dumps(dataclasses.asdict(value)))
    assert isinstance(plain, dict)
    return plain


def from_dict(cls: type[T], data: Mapping[str, Any], *, where: str = "") -> T:
    """The dataclass of those fields, those left out at their defaults.

    Raises UnknownNameError for a field it does not have, RecipeError for a value of another type; `where` is the
    dotted name of the object inside a larger one.
    """
    hints = _hints(cast("Hashable", cls))
    unknown = next((name for name in data if name not in hints), None)
    if unknown is not None:
        raise UnknownNameError(f"field of {where or cls.__name__}", unknown, hints)
    fields = {name: _value(hints[name], value, f"{where}.{name}".lstrip(".")) for name, value in data.items()}
    try:
        return cls(**fields)
    except TypeError as error:
        raise RecipeError(f"{where or cls.__name__}: {error}") from None


def check_types(value: Any, *, where: str = "") -> None:
    """Raise RecipeError for the first field of a dataclass that holds a value of another type than it says."""
    hints = _hints(cast("Hashable", type(value)))
    for field in dataclasses.fields(value):
        _value(hints[field.name], getattr(value, field.name), f"{where}.{field.name}".lstrip("."))


@cache
def _hints(cls: Hashable) -> dict[str, Any]:
    return get_type_hints(cls)


def _value(hint: Any, value: Any, where: str) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type) and isinstance(value, Mapping):
        return from_dict(hint, value, where=where)
    if origin in (Union, types.UnionType):
        absent = value is None and types.NoneType in arguments
        return _value(next(a for a in arguments if (a is types.NoneType) == absent), value, where)
    if hint is types.NoneType and value is None:
        return None
    if origin is Literal and value in arguments:
        return value
    if origin is tuple and isinstance(value, list | tuple):
        hints = [arguments[0]] * len(value) if arguments[-1] is Ellipsis else arguments
        if len(hints) == len(value):
            return tuple(_value(h, v, f"{where}[{i}]") for i, (h, v) in enumerate(zip(hints, value, strict=True)))
    if origin in (dict, Mapping) and isinstance(value, Mapping):
        return dict(value)
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if hint is Any or (
        isinstance(hint, type) and isinstance(value, hint) and (hint is bool) == isinstance(value, bool)
    ):
        return value
    expected = " or ".join(map(repr, arguments)) if origin is Literal else getattr(hint, "__name__", str(hint))
    raise RecipeError(f"{where}: expected {expected}, got {value!r}")


@contextmanager
def locked(folder: Path, busy: Exception) -> Iterator[None]:
    """Hold the folder's lock, which ends with the process at the latest; raises `busy` where another one holds it.

    All that write to the folder should do so under its lock: temporary files that are there when it is taken are
    left-overs of processes that were killed, and removed. Systems and file systems without locks refuse nobody. The
    lock is the folder's, not its name's: one that is deleted and made anew must be locked anew.
    """
    with held(folder, busy):
        remove_left_overs(folder)
        yield


def remove_left_overs(folder: Path) -> None:
    """Remove the temporary files in a folder; for who holds its lock, and when nobody writes on its behalf."""
    for left_over in folder.glob(".*.tmp"):
        with suppress(OSError):  # a folder, or open elsewhere on Windows
            left_over.unlink()


@contextmanager
def held(path: Path, busy: Exception) -> Iterator[None]:
    """Hold the lock of a file or folder as `locked` does, which looks for left-overs too."""
    descriptor = _lock(path, busy)
    try:
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _lock(path: Path, busy: Exception) -> int | None:
    """The locked file or folder, to be closed; None where the system has no such locks."""
    try:
        import fcntl  # noqa: PLC0415  (not on Windows)
    except ImportError:
        return None
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise busy from None
    except OSError:
        return descriptor  # a file system without locks
    return descriptor


def temporary_name(path: Path) -> Path:
    """A hidden name beside a file that no other process or thread writes under, for `locked` to find if it is left."""
    return path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")


def write_text(path: Path, text: str) -> None:
    """Write a file under a temporary name, then rename it: a reader sees the old file or the whole new one."""
    temporary = temporary_name(path)
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_json(path: Path, value: Any) -> None:
    """Write a value as indented JSON, whole or not at all."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """The value of a JSON file; raises RunError when it is missing or no JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunError(f"{path} is missing: the folder is incomplete") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise RunError(f"{path} is not valid JSON ({error}): it was altered or cut short") from None


def hash_file(path: Path) -> str:
    """The SHA-256 of a file, as `sha256sum` prints it."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
