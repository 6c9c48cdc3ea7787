"""The first images of a run's test split, with what was asked or written about each: known by their numbers alone."""

from __future__ import annotations

import dataclasses
import logging
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from typing import Any

from PIL import Image

from saccade.corpus import limited, open_data
from saccade.data.records import Caption, Corpus, Question
from saccade.errors import SaccadeError
from saccade.recipe import Recipe
from saccade.serve.problems import RequestError

MOST = 50
SPLIT = "test"
LONGEST = 1024  # pixels of the longer side, as sent: sharp on any screen
SMALL = 256 * 256  # pixels up to which an image is sent without loss
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Example:
    """An image of the split by its id, a text about it ("" where the run reads none), and what is known to be right."""

    image: str
    text: str
    expected: tuple[str, ...]


class Examples:
    """Examples of a recipe's corpus, opened when they are first asked for; threads may share it.

    There are none where the corpus is not here.
    """

    def __init__(self, recipe: Recipe) -> None:
        limit = recipe.data.limit
        few = dataclasses.replace(recipe.data, limit=MOST if limit is None else min(limit, MOST))
        self._recipe = dataclasses.replace(recipe, data=few)
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._opened[1])

    def listed(self, count: int) -> list[dict[str, Any]]:
        """The first so many, as plain values."""
        return [
            {"number": number, "text": each.text, "expected": list(each.expected)}
            for number, each in enumerate(self._opened[1][:count])
        ]

    def image(self, number: int) -> Image.Image:
        """The image of an example; raises RequestError for a number that none has, and for an image that is gone."""
        data, found = self._opened
        if data is None or not 0 <= number < len(found):
            raise RequestError(404, f"example: expected a number below {len(found)}, got {number}")
        try:
            with self._lock:
                return data.open_image(found[number].image)
        except SaccadeError as error:
            logger.warning("example %s: %s", number, error)
            raise RequestError(
                404, f"example: the image of number {number} cannot be read: choose another one"
            ) from None

    @property
    def _opened(self) -> tuple[Corpus | None, Sequence[Example]]:
        with self._lock:
            return self._found

    @cached_property
    def _found(self) -> tuple[Corpus | None, Sequence[Example]]:
        try:
            data = open_data(self._recipe)
            records = limited(data, SPLIT, self._recipe)
        except (SaccadeError, OSError) as error:
            logger.warning("no examples of %s: %s", self._recipe.name, error)
            return None, ()
        by_image: dict[str, list[Any]] = {}
        for record in records:
            by_image.setdefault(record.image, []).append(record)
        reads = bool(self._recipe.task.task().text)
        images = list(by_image.items())[:MOST]
        return data, [_example(image, about, place, reads=reads) for place, (image, about) in enumerate(images)]


def encoded(image: Image.Image) -> tuple[bytes, str]:
    """The bytes of an image and their media type: PNG of a small one, else JPEG."""
    stream = BytesIO()
    if image.width * image.height <= SMALL:
        image.save(stream, "PNG")
        return stream.getvalue(), "image/png"
    if max(image.size) > LONGEST:
        image = image.copy()
        image.thumbnail((LONGEST, LONGEST), Image.Resampling.LANCZOS)
    image.save(stream, "JPEG", quality=90)
    return stream.getvalue(), "image/jpeg"


def _example(image: str, records: Sequence[Any], place: int, *, reads: bool) -> Example:
    """One of the texts about an image, another one of each in turn; of captions all, where the run writes them."""
    record = records[place % len(records)]
    if isinstance(record, Question):
        return Example(image, record.text, tuple(answer for answer, _ in Counter(record.answers).most_common()))
    if not reads:
        return Example(image, "", tuple(dict.fromkeys(each.text for each in records)))
    assert isinstance(record, Caption)
    return Example(image, record.text, tuple(dict.fromkeys(each.of(record.text) for each in record.phrases)))
