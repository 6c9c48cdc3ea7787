"""A query of words, of an image, or of both, to what an index has that fits it, and to why it fits."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from saccade.data.pictures import Pictures
from saccade.errors import DataError, ImageError, RecipeError, SaccadeWarning
from saccade.explain.figure import Figure
from saccade.images import ImageSource
from saccade.index.background import Background
from saccade.index.building import refuse_other_run
from saccade.index.embedder import Embedder
from saccade.index.engine import IndexingError, Vectors
from saccade.index.index import Index
from saccade.limits import COUNT, NOT_NEGATIVE, check_limit
from saccade.tasks.reply import OpenedImage

NOTHING = "Nothing here is likely to be what was asked for: these come nearest."
BY_CHANCE = 3.0  # see docs/search.md for how it was chosen


@dataclass(frozen=True)
class Query:
    """What is looked for: a sentence, an image, or both with weights."""

    text: str = ""
    image: ImageSource | None = None
    text_weight: float = 1.0
    image_weight: float = 1.0

    def __post_init__(self) -> None:
        check_limit(NOT_NEGATIVE, text_weight=self.text_weight, image_weight=self.image_weight)
        if not self.text.strip() and self.image is None:
            raise DataError("expected words or an image to look for, got neither")

    @property
    def title(self) -> str:
        """The query as people read it."""
        name = str(self.image) if isinstance(self.image, str | Path) else "an image"
        said = [f"like {name}"] if self.image is not None else []
        return " ".join([self.text.strip()] * bool(self.text.strip()) + said)


@dataclass(frozen=True)
class Hit:
    """Something that an index has: its id, the file where it is a photograph, and how well it fits.

    ``expected`` is how many of the index score as high for a sentence about something else, on average, and ``share``
    the share of them that scores lower; both are None where the query is no sentence. ``unlikely`` is a hit of which
    more are expected than was asked for.
    """

    id: str
    file: Path | None
    score: float
    expected: float | None
    share: float | None
    unlikely: bool

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "id": self.id,
            "file": None if self.file is None else str(self.file),
            "score": self.score,
            "expected": self.expected,
            "share": self.share,
            "unlikely": self.unlikely,
        }


class Searcher:
    """An index, and the run that it was made with, to be asked again and again. A context manager.

    `run` names the run where it has moved since the index was made, `weights` its backbone's weights. Raises
    IndexingError for a run that the index was not made with.
    """

    def __init__(
        self,
        index: Path | str,
        *,
        run: str | Path | None = None,
        weights: str | None = None,
        device: str | None = None,
    ) -> None:
        self.index = Index.open(index)
        try:
            self.embedder = Embedder(run or self.index.facts.run, weights=weights, device=device)
            refuse_other_run(self.index.path, self.index.facts, self.embedder)
            self.index.compute_on(str(self.embedder.device))
            self._background = Background.read(self.index.path)
            self._pictures = Pictures(self.index.facts.source)
        except BaseException:
            self.index.close()
            raise

    def search(self, query: Query, *, top: int = 10, by_chance: float = BY_CHANCE) -> list[Hit]:
        """What fits the query best, at most `top`; hits of which more than `by_chance` are expected are unlikely.

        Raises DataError for a sentence of words that were never seen in training, or of none; ImageError for an image
        that cannot be read.
        """
        check_limit(COUNT, top=top)
        check_limit(NOT_NEGATIVE, by_chance=by_chance)
        if not len(self.index):
            raise IndexingError(f"{self.index.path} holds no {self.index.facts.holds}: run saccade index again")
        [found] = self.index.search(self.embed(query), top)
        known = self._background if query.image is None and self.index.facts.holds == "images" else None
        hits = []
        for each in found:
            expected = None if known is None else known.expected(each.score)
            share = None if expected is None else 1 - expected / len(self.index)
            unlikely = expected is not None and expected > by_chance
            hits.append(Hit(each.id, self._file(each.id), each.score, expected, share, unlikely))
        return hits

    def unread(self, query: Query) -> list[str]:
        """The words of the query that were never seen in training and say nothing."""
        return self.embedder.task.unread(query.text)

    def embed(self, query: Query) -> Vectors:
        """The embedding [1, size] of a query; that of both words and an image is their weighted sum."""
        parts = []
        if query.text.strip():
            parts.append(query.text_weight * self.embedder.sentences([self._known(query.text)]))
        if query.image is not None:
            loaded = self.embedder.predictor.extractor.load(query.image)
            parts.append(query.image_weight * self.embedder.images([loaded]))
        whole = query.text_weight + query.image_weight if len(parts) == 2 else 1.0
        summed: Vectors = (sum(parts) / max(whole, 1e-9)).astype(np.float32)  # type: ignore[union-attr]
        if not summed.any():
            raise RecipeError("text_weight, image_weight: expected one above 0 of what is looked for")
        return summed

    def figure(self, query: Query, hits: Sequence[Hit]) -> Figure:
        """The hits one below the other, each with its maps by step and its shaded words; photographs link to the files.

        Raises IndexingError where there is no image to draw.
        """
        parts = [
            replace(reply.figure(_note(query, hit)), title=hit.id, link="" if hit.file is None else _link(hit.file))
            for hit, reply in zip(hits, self._replies(query, hits), strict=True)
            if reply is not None
        ]
        if not parts:
            raise IndexingError("there is no image of a hit to draw: run saccade index again to see what has changed")
        unlikely = sum(hit.unlikely for hit in hits)
        lines = (f"{len(hits)} of {len(self.index):,} {self.index.facts.holds}", *([NOTHING] * (unlikely == len(hits))))
        return Figure(query.title, lines, parts=tuple(parts))

    def _replies(self, query: Query, hits: Sequence[Hit]) -> list[Any]:
        """What the run says of each hit and the query, None for a photograph that cannot be read any more."""
        predictor = self.embedder.predictor
        if self.index.facts.holds == "sentences":
            return [None] * len(hits) if query.image is None else predictor(query.image, [hit.id for hit in hits])
        text, z = query.text.strip(), None if query.text.strip() else self.embed(query)
        replies: list[Any] = []
        for hit in hits:
            try:
                picture = OpenedImage(self._pictures.open(hit.id), hit.id)
            except ImageError as error:
                warnings.warn(f"left out {error}", SaccadeWarning, stacklevel=2)
                replies.append(None)
                continue
            replies.append(predictor(picture.image, text)[0] if z is None else self.embedder.look(picture, z))
        return replies

    def _known(self, text: str) -> str:
        """The sentence; raises DataError where the run has seen none of its words."""
        text, task = text.strip(), self.embedder.task
        task.check_text(text)
        unknown = set(task.vocabulary.unknown(text))
        if unknown.issuperset(task.vocabulary.words(text)):
            raise DataError(
                f"none of the words was seen in training ({', '.join(sorted(unknown))}): say it in other words"
            )
        return text

    def _file(self, name: str) -> Path | None:
        return self._pictures.file(name) if self.index.facts.holds == "images" else None

    def close(self) -> None:
        """Let go of the index."""
        self.index.close()

    def __enter__(self) -> Searcher:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _note(query: Query, hit: Hit) -> str:
    said = [f"score with the image {hit.score:.4g}"] if query.text.strip() and query.image is not None else []
    if hit.expected is not None:
        said.append(f"{hit.expected:.2g} as good expected by chance" + (", unlikely" if hit.unlikely else ""))
    return "; ".join(said)


def _link(file: Path) -> str:
    return file.resolve().as_uri()
