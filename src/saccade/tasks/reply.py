"""What a model says about one image."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from PIL.Image import Image

from saccade.errors import first
from saccade.explain.figure import Figure, Illustrated
from saccade.types import Without

NAMED = 12  # numbers of regions that a figure names


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


def marked(figure: Figure, without: Without, words: Sequence[str] = ()) -> Figure:
    """The figure with a line that says what was taken away of the image and of the words, if anything was."""
    return replace(figure, lines=(*figure.lines, said_without(without, words))) if without else figure


def said_without(without: Without, words: Sequence[str]) -> str:
    """What was taken away, in words.

    >>> said_without(Without((3, 4), (1, 2)), ["a", "red", "cube"]), said_without(Without((7,)), [])
    ('without regions 3, 4 and the words "red", "cube"', 'without region 7')
    """
    count, texts = len(without.regions), [f'"{words[place]}"' for place in without.words]
    total = f" ({count} in all)" if count > NAMED else ""
    regions = f"region{'s' * (count > 1)} {first(without.regions, NAMED)}{total}" if count else ""
    taken = f"the word{'s' * (len(texts) > 1)} {', '.join(texts)}" if texts else ""
    return f"without {' and '.join(filter(None, (regions, taken)))}"


def counted(number: int, what: str) -> str:
    """So many of what.

    >>> counted(1, "step"), counted(2, "step")
    ('1 step', '2 steps')
    """
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
