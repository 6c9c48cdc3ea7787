"""What a model says about one image."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from PIL.Image import Image

from saccade.explain.figure import Illustrated


@dataclass(frozen=True, eq=False)
class OpenedImage:
    """An opened image, upright and RGB, and the name of its file ("" where it came without one)."""

    image: Image
    name: str = ""


class Reply(Illustrated, ABC):
    """What a model says about one image; `figure` is what is drawn, and a notebook shows it."""

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, attention included."""


def counted(number: int, what: str) -> str:
    """So many of what.

    >>> counted(1, "step"), counted(2, "step")
    ('1 step', '2 steps')
    """
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
