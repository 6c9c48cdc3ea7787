"""A run that matches as what an index needs of it: images to embeddings, sentences to embeddings, a fingerprint."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from saccade import checkpoint
from saccade.devices import autocast
from saccade.features.devices import find_device
from saccade.hub import run_folder
from saccade.predict import Predictor
from saccade.serial import hash_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from saccade.features.extract import Loaded
    from saccade.index.engine import Vectors
    from saccade.tasks.matching.reply import MatchReply
    from saccade.tasks.matching.task import MatchingTask
    from saccade.tasks.reply import OpenedImage

SENTENCES_AT_ONCE = 128


class Embedder:
    """The two sides of a run. Its backbone is loaded when the first image comes: sentences need none.

    `run` is a run directory or hub:OWNER/NAME; `weights` and `device` are those of `Predictor.from_pretrained`. Raises
    RunError for a run that does not match images and sentences.
    """

    def __init__(self, run: str | Path, *, weights: str | None = None, device: str | None = None) -> None:
        self.name, self._weights, self._device = str(run), weights, device
        self._loaded = checkpoint.load(run_folder(run))
        self._loaded.require("matching")
        self.device = find_device(device)
        self._model = self._loaded.model.to(self.device)
        self.task: MatchingTask = self._loaded.task  # type: ignore[assignment]

    def __reduce__(self) -> tuple[Any, ...]:
        """What another process loads itself, from where the run lies."""
        return partial(Embedder, weights=self._weights, device=self._device), (self.name,)

    @cached_property
    def predictor(self) -> Predictor:
        """The run, ready for images; raises RunError for a backbone that is not here."""
        return Predictor.of(self._loaded, weights=self._weights, device=self._device)

    @cached_property
    def fingerprint(self) -> str:
        """Of the weights, which hold the hashes of all that gives them meaning, the backbone's weights among it."""
        return hash_file(self._loaded.path / checkpoint.MODEL)

    @cached_property
    def size(self) -> int:
        """Numbers of an embedding."""
        return int(self.sentences([self.task.background[0]]).shape[1])

    def images(self, loaded: Sequence[Loaded]) -> Vectors:
        """The embeddings of images that the extractor has loaded."""
        regions = self.predictor.extractor.regions_of(loaded).to(self.device)
        with self._computing():
            return self.task.embed_images(self._model, regions)

    def sentences(self, texts: Sequence[str]) -> Vectors:
        """The embeddings of sentences; raises DataError for one without words."""
        with self._computing():
            return self.task.embed_sentences(self._model, texts, self.device)

    def look(self, picture: OpenedImage, query: Vectors) -> MatchReply:
        """Where the run looks in an image, and how well it fits an embedding [1, size] of anything."""
        regions = self.predictor.extractor([picture.image], names=[picture.name]).to(self.device)
        with self._computing():
            [reply] = self.task.look(self._model, regions, [picture], query)
        return reply

    @contextmanager
    def _computing(self) -> Iterator[None]:
        """The arithmetic that the run was trained in, and no gradients."""
        with torch.inference_mode(), autocast(self._loaded.recipe.train.precision, self.device):
            yield
