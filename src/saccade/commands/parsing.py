"""What can be typed behind a command: its flags by its dataclass. A wrong one is answered with the nearest."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import math
import textwrap
import types
import typing
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from types import MappingProxyType
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

import tyro

from saccade.errors import UnknownNameError
from saccade.tasks import TASKS

T = TypeVar("T")

PLAIN = (tyro.conf.FlagCreatePairsOff,)  # a flag is said or not


@dataclass(frozen=True)
class Flag:
    """A flag or a positional argument: `takes` is how many words follow, None any number of them."""

    name: str
    about: str
    metavar: str
    choices: tuple[str, ...]
    takes: int | None
    positional: bool = False


def parse(command: type[T], arguments: Sequence[str], *, prog: str) -> T:
    """The command as typed; exits with 2 where it cannot be, raises UnknownNameError for a name that there is not."""
    refuse_unknown(arguments, flags_of(command), "option")
    describe(command)
    return tyro.cli(command, args=arguments, prog=prog, config=PLAIN)


def flags_behind(command: Any, words: Sequence[str]) -> list[Flag]:
    """The flags of a command, some of which have others behind some words: of a recipe, of a model."""
    found: list[Flag] = command.flags(words) if hasattr(command, "flags") else flags_of(command)
    return found


def refuse_unknown(arguments: Sequence[str], flags: Sequence[Flag], kind: str) -> None:
    """Raise UnknownNameError for the first flag, or choice of one, that there is not; unless help was asked for."""
    if {"-h", "--help"} & set(arguments):
        return
    known = [flag.name for flag in flags if not flag.positional]
    for argument in arguments:
        name = argument.partition("=")[0]
        if name.replace("_", "-") not in known and name[:1] == "-" and name.lstrip("-")[:1].isalpha():
            raise UnknownNameError(kind, name, ["--help", *known])
    for flag, value in values(arguments, flags):
        if flag.choices and value not in (*flag.choices, "None"):
            raise UnknownNameError(f"{flag.metavar or flag.name}", value, flag.choices)


def values(arguments: Iterable[str], flags: Iterable[Flag]) -> Iterator[tuple[Flag, str]]:
    """Each value that was typed, with the flag or the positional argument that it is of."""
    named = {flag.name: flag for flag in flags if not flag.positional}
    places, flag, left = [flag for flag in flags if flag.positional], None, 0.0
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if (found := named.get(name.replace("_", "-"))) is not None:
            flag, left = found, 0 if equals else math.inf if found.takes is None else found.takes
            if equals:
                yield found, value
        elif flag is not None and left:
            left -= 1
            yield flag, argument
        elif places:
            yield places[0], argument
            if places[0].takes is not None:
                places.pop(0)


def flags_of(command: Any, *, pairs: bool = False, prefix: str = "") -> list[Flag]:
    """The flags of a dataclass, or of an object of one, whose values then say what is nested; `pairs`: also --no-X."""
    cls = command if isinstance(command, type) else type(command)
    hints, about, found = typing.get_type_hints(cls, include_extras=True), field_docs(cls), []
    for field in dataclasses.fields(cls):
        hint, marks = _unwrap(hints[field.name])
        if tyro.conf.Suppress in marks or not field.init:
            continue
        inner = _inner(command, field.name, hint)
        said = [mark for mark in marks if hasattr(mark, "metavar")]
        name = next((mark.name for mark in said if mark.name is not None), field.name.replace("_", "-"))
        if dataclasses.is_dataclass(inner):
            nested = prefix if not name or tyro.conf.OmitArgPrefixes in marks else f"{prefix}{name}."
            found += flags_of(inner, pairs=pairs, prefix=nested)
            continue
        metavar = next((mark.metavar for mark in said if mark.metavar), "")
        choices, takes = _values(hint)
        text = field.metadata.get("help") or about.get(field.name, "")
        if tyro.conf.Positional in marks:
            found.append(Flag(name, text, metavar, choices, takes, positional=True))
            continue
        found.append(Flag(f"--{prefix}{name}", text, metavar, choices, takes))
        if pairs and takes == 0:
            found.append(Flag(f"--{prefix}no-{name}", text, metavar, choices, takes))
    return found


def describe(command: Any) -> None:
    """Hand tyro the docstrings of the fields in one line each; by itself it breaks them where the source does."""
    cls = command if isinstance(command, type) else type(command)
    hints, about = typing.get_type_hints(cls), field_docs(cls)
    for field in dataclasses.fields(cls):
        if field.name in about and "help" not in field.metadata:
            field.metadata = MappingProxyType({**field.metadata, "help": about[field.name]})
        if dataclasses.is_dataclass(inner := _inner(command, field.name, hints[field.name])):
            describe(inner)


@cache
def field_docs(cls: type) -> dict[str, str]:
    """The docstring below each field of a dataclass and of its bases, in one line."""
    found = {}
    for base in reversed(cls.__mro__):
        try:
            [tree] = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        except (OSError, TypeError):  # built in, or made while running
            continue
        assert isinstance(tree, ast.ClassDef)
        for field, below in pairwise(tree.body):
            if (
                isinstance(field, ast.AnnAssign)
                and isinstance(below, ast.Expr)
                and isinstance(below.value, ast.Constant)
            ):
                found[ast.unparse(field.target)] = " ".join(str(below.value.value).split())
    return found


def with_task_options(command: type[T], *, scoring: bool = True) -> type[T]:
    """The command with the options of every task, in groups by task; what several tasks have stands among its own.

    Without `scoring` those options are left out that are of use only where predictions are scored.
    """
    named = [field.name for config in TASKS.values() for field in dataclasses.fields(config.Options)]
    groups: list[tuple[str, Any, Any]] = []
    for kind, config in TASKS.items():
        hints, about = typing.get_type_hints(config.Options), field_docs(config.Options)
        fields = [
            (
                field.name,
                hints[field.name],
                dataclasses.field(default=field.default, metadata={"help": about.get(field.name, "")}),
            )
            for field in dataclasses.fields(config.Options)
            if scoring or not field.metadata.get("scoring")
        ]
        shared = [field for field in fields if named.count(field[0]) > 1]
        groups += [field for field in shared if field[0] not in [name for name, *_ in groups]]
        if own := [field for field in fields if field not in shared]:
            group = dataclasses.make_dataclass(kind, own, frozen=True)
            group.__doc__ = config.Options.__doc__
            hint = Annotated[group, tyro.conf.OmitArgPrefixes]  # type: ignore[valid-type]
            groups.append((kind, hint, dataclasses.field(default_factory=group)))
    whole = dataclasses.make_dataclass(command.__name__, groups, bases=(command,), frozen=True)
    whole.__doc__ = command.__doc__
    return whole


def task_options(parsed: Any, command: type) -> dict[str, Any]:
    """Of a command that was made with the tasks' options, those that were said."""
    own = {field.name for field in dataclasses.fields(command)}
    options = [(parsed, field) for field in dataclasses.fields(parsed) if field.name not in own]
    groups = [getattr(parsed, field.name) for _, field in options if field.name in TASKS]
    options += [(group, field) for group in groups for field in dataclasses.fields(group)]
    said = {field.name: (getattr(of, field.name), field.default) for of, field in options if field.name not in TASKS}
    return {name: value for name, (value, default) in said.items() if value != default}


def _inner(command: Any, name: str, hint: Any) -> Any:
    """What is nested under that name, in an object itself, in a class its type."""
    value = None if isinstance(command, type) else getattr(command, name)
    return value if dataclasses.is_dataclass(value) else hint


def _unwrap(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    """A type without what tyro is told about it, and that."""
    if get_origin(hint) is Annotated:
        return hint.__origin__, hint.__metadata__
    return hint, ()


def _values(hint: Any) -> tuple[tuple[str, ...], int | None]:
    """The choices of a type, none where there are too many, and how many words a value has."""
    if hint is bool:
        return (), 0
    if get_origin(hint) is Literal:
        return tuple(map(str, get_args(hint))), 1
    if get_origin(hint) in (types.UnionType, typing.Union):
        parts = [_values(part) for part in get_args(hint) if part is not types.NoneType]
        return tuple(choice for choices, _ in parts for choice in choices), parts[0][1]
    if get_origin(hint) is tuple:
        return (), None if Ellipsis in get_args(hint) else len(get_args(hint))
    return (), 1
