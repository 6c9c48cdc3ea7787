"""The tasks by name: what a recipe decides about each, from which follow its options and the task itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from saccade.errors import RunError, look_up
from saccade.serial import from_dict
from saccade.tasks.answering.config import AnsweringConfig, AnsweringOptions
from saccade.tasks.base import Task, TaskConfig
from saccade.tasks.captioning.config import CaptioningConfig, CaptioningOptions
from saccade.tasks.grounding.config import GroundingConfig, GroundingOptions
from saccade.tasks.matching.config import MatchingConfig, MatchingOptions

TASKS: Mapping[str, type[TaskConfig]] = {
    "answering": AnsweringConfig,
    "captioning": CaptioningConfig,
    "matching": MatchingConfig,
    "grounding": GroundingConfig,
}


def task_config(values: Mapping[str, Any], *, where: str = "task") -> TaskConfig:
    """The config of those values, by their `kind`; of values written before there was one, by their fields."""
    kind = values.get("kind") or ("captioning" if "beam" in values else "answering")
    if not isinstance(kind, str):
        raise RunError(f"{where}.kind: expected the name of a task, got {kind!r}")
    return from_dict(look_up(TASKS, kind, "task"), values, where=where)


__all__ = [
    "TASKS",
    "AnsweringConfig",
    "AnsweringOptions",
    "CaptioningConfig",
    "CaptioningOptions",
    "GroundingConfig",
    "GroundingOptions",
    "MatchingConfig",
    "MatchingOptions",
    "Task",
    "TaskConfig",
    "task_config",
]
