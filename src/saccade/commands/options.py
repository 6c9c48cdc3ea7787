"""The options of every task as flags of a command; which of them a run has, its task says when it is used."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Annotated, Any, TypeVar

import tyro

from saccade.console import FLAGS
from saccade.tasks import TASKS

C = TypeVar("C")


def parse_with_options(command: type[C], arguments: Sequence[str], prog: str, *, scoring: bool = True) -> C:
    """The command of those arguments, its own flags beside the options of every task.

    Without `scoring` those options are left out that are of use only where predictions are scored.
    """
    options = [config.Options for config in TASKS.values()]
    hidden = [
        (field.name, Annotated[Any, tyro.conf.Suppress], dataclasses.field(default=field.default, kw_only=True))
        for option in options
        for field in dataclasses.fields(option)
        if field.metadata.get("scoring") and not scoring
    ]
    whole = dataclasses.make_dataclass(command.__name__, hidden, bases=(*options, command), frozen=True)
    whole.__doc__ = command.__doc__
    return tyro.cli(whole, args=arguments, prog=prog, config=FLAGS)


def said_options(parsed: Any, command: type[Any]) -> dict[str, Any]:
    """Those of the tasks' options that were said."""
    own = {field.name for field in dataclasses.fields(command)}
    return {
        field.name: getattr(parsed, field.name)
        for field in dataclasses.fields(parsed)
        if field.name not in own and getattr(parsed, field.name) != field.default
    }
