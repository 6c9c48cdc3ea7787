"""Predictor: a trained run, raw images and texts to replies, and the attention behind them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from saccade import checkpoint
from saccade.checkpoint import LoadedRun
from saccade.devices import autocast
from saccade.errors import RecipeError, RunError
from saccade.features.devices import find_device
from saccade.features.extract import Extractor
from saccade.features.spec import IMPORTED
from saccade.hub import run_folder
from saccade.images import ImageSource, read_image
from saccade.tasks.reply import OpenedImage
from saccade.types import Grouping

if TYPE_CHECKING:
    from saccade.tasks.answering.reply import AnswerReply
    from saccade.tasks.captioning.reply import CaptionReply

AT_ONCE = 32  # texts, or images where the task reads none


class Predictor:
    """A trained run, ready for raw images. Make one with `from_pretrained`; threads may share it.

    Images are paths, Pillow images, bytes, file objects or NumPy arrays [height, width, 3] of whole numbers to 255.
    """

    def __init__(self, run: LoadedRun, extractor: Extractor, device: torch.device) -> None:
        self.recipe, self.task = run.recipe, run.task
        self._extractor, self._device = extractor, device
        self._model: Any = run.model.to(device)

    @classmethod
    def from_pretrained(cls, run: str | Path, *, weights: str | None = None, device: str | None = None) -> Predictor:
        """Load a run directory, or a repository of the Hugging Face hub that is named as hub:OWNER/NAME.

        `weights` is the backbone's weights file where it has moved since training; `device` is by default the first
        GPU, else the CPU. Raises RunError when the run is incomplete or altered, or when the backbone's weights are not
        the ones it was trained with.
        """
        loaded = checkpoint.load(run_folder(run))
        chosen = find_device(device)
        spec = loaded.facts.spec
        if spec.backbone == IMPORTED:
            raise RunError(
                f"{run} was trained on features from files, whose extractor Saccade does not have, so it cannot look "
                "at another image: saccade evaluate works; a run on one of saccade list backbones can be asked"
            )
        if loaded.backbone is not None:
            arithmetic = partial(autocast, loaded.recipe.train.precision, chosen)
            return cls(loaded, Extractor(spec, device=chosen, state=loaded.backbone, autocast=arithmetic), chosen)
        if weights is None and spec.weights not in ("pretrained", "random") and not Path(spec.weights).is_file():
            raise RunError(
                f"{run} was trained with backbone weights from {spec.weights}, which is not here; say with --weights "
                "where the file is"
            )
        extractor = Extractor(spec if weights is None else dataclasses.replace(spec, weights=weights), device=chosen)
        if extractor.weights_hash != loaded.facts.weights_hash:
            raise RunError(
                f"the weights of backbone {spec.backbone} ({weights or spec.weights}) are not those that {run} was "
                "trained with; give the right file with --weights"
            )
        return cls(loaded, extractor, chosen)

    def __call__(
        self,
        images: ImageSource | Sequence[ImageSource],
        texts: str | Sequence[str] | None = None,
        **options: Any,
    ) -> list[Any]:
        """What the model says: a reply for each image, or for each text about the image of its place.

        One image serves many texts, and one text many images. `options` are those of the run's task, by default as its
        recipe says (`saccade evaluate --help` lists them); what is drawn follows from the recipe's seed. Raises
        ImageError for an image that cannot be read, DataError for a text without words, RecipeError for options that
        cannot be and for texts and images that do not pair.
        """
        chosen = self.recipe.task.options(**options)
        self.task.check_options(self._model, chosen)
        sources: list[Any] = list(images) if isinstance(images, list | tuple) else [images]
        asked = [texts] if isinstance(texts, str) else texts if texts is None else list(texts)
        pairs = _paired(len(sources), None if asked is None else len(asked))
        generator = torch.Generator(self._device).manual_seed(self.recipe.train.seed)
        replies: list[Any] = []
        for start in range(0, len(pairs), AT_ONCE):
            some = pairs[start : start + AT_ONCE]
            said = None if asked is None else [asked[text] for _, text in some]
            replies += self._reply([sources[image] for image, _ in some], said, chosen, generator)
        return replies

    def ask(self, image: ImageSource, question: str, *, top: int = 5) -> AnswerReply:
        """Answer a question about an image; `top` is how many answers to give."""
        self._require("answering")
        [reply] = self(image, question, top=top)
        answer: AnswerReply = reply
        return answer

    def caption(self, images: ImageSource | Sequence[ImageSource], **options: Any) -> list[CaptionReply]:
        """A caption of each image; options are those of `saccade caption`: beam, length_penalty, top, look and more."""
        self._require("captioning")
        return self(images, **options)

    def _reply(
        self, sources: Sequence[ImageSource], texts: Sequence[str] | None, options: Any, generator: torch.Generator
    ) -> list[Any]:
        """The replies of one batch; an image that several texts are about is looked at once."""
        rows: dict[int, int] = {}
        image_of = [rows.setdefault(id(source), len(rows)) for source in sources]
        distinct = [sources[image_of.index(row)] for row in range(len(rows))]
        names = [str(source) if isinstance(source, str | Path) else "" for source in distinct]
        opened = [OpenedImage(read_image(source), name) for source, name in zip(distinct, names, strict=True)]
        with torch.inference_mode():
            regions = self._extractor([picture.image for picture in opened]).to(self._device)
            if len(rows) < len(sources):
                regions = regions.grouped(Grouping.of(torch.tensor(image_of, device=self._device)))
            pictures = [opened[row] for row in image_of]
            with autocast(self.recipe.train.precision, self._device):
                return self.task.reply(self._model, regions, pictures, texts, options, generator)

    def _require(self, kind: str) -> None:
        """Raise RunError, saying how the run is used, where its task is another."""
        if self.recipe.task.kind != kind:
            raise RunError(
                f"this run of {self.recipe.name} is for {self.recipe.task.kind}, not for {kind}: use {self.task.usage}"
            )


def _paired(images: int, texts: int | None) -> list[tuple[int, int]]:
    """Which image and which text belong together."""
    if texts is None or images == texts:
        return [(i, i) for i in range(images)]
    if images == 1:
        return [(0, text) for text in range(texts)]
    if texts == 1:
        return [(image, 0) for image in range(images)]
    raise RecipeError(f"expected a text for each image, or one of either, got {images} images and {texts} texts")
