"""Predictor: a trained run, raw images and texts to replies, and the attention behind them."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import torch

from saccade import checkpoint
from saccade.checkpoint import LoadedRun
from saccade.data.batches import prefetch
from saccade.devices import autocast
from saccade.errors import ImageError, RecipeError, RunError, SaccadeWarning
from saccade.features.devices import find_device
from saccade.features.extract import Extractor, Loaded
from saccade.features.making import DECODERS
from saccade.features.spec import IMPORTED, NO_FILES, FeatureSpec
from saccade.hub import run_folder
from saccade.images import ImageSource, read_image
from saccade.tasks.reply import OpenedImage
from saccade.types import Grouping

if TYPE_CHECKING:
    from saccade.tasks.answering.reply import AnswerReply
    from saccade.tasks.base import Reader
    from saccade.tasks.captioning.reply import CaptionReply
    from saccade.tasks.grounding.reply import GroundReply

AT_ONCE = 32  # texts, or images where the task reads none


class Predictor:
    """A trained run, ready for raw images. Make one with `from_pretrained`; threads may share it.

    Images are paths, bytes of a file, binary files, Pillow images, NumPy arrays [height, width, 3] or tensors
    [3, height, width] of uint8 or of fractions from 0 to 1: what `images.read_image` takes.
    """

    def __init__(self, run: LoadedRun, extractor: Extractor, device: torch.device) -> None:
        self._run, self.path, self.recipe, self.task = run, run.path, run.recipe, run.task
        self.extractor, self.device = extractor, device
        self.model: Any = run.model.to(device)

    @classmethod
    def from_pretrained(
        cls,
        run: str | Path,
        *,
        weights: str | None = None,
        device: str | None = None,
        detector_weights: str | None = None,
        regions_file: str | None = None,
    ) -> Predictor:
        """Load a run directory, or a repository of the Hugging Face hub that is named as hub:OWNER/NAME.

        `weights` is the backbone's weights file where it has moved since training; `device` is by default the first
        GPU, else the CPU. Where a detector finds the regions `detector_weights` is its weights file likewise, and
        `regions_file` is the file of boxes where they come from one: that of other images than it was trained on.
        Raises RunError when the run is incomplete or altered, or when the weights are not the ones it was trained with.
        """
        files = {"weights": weights, "detector_weights": detector_weights, "regions_file": regions_file}
        return cls.of(checkpoint.load(run_folder(run)), device=device, **files)

    @classmethod
    def of(cls, loaded: LoadedRun, *, device: str | None = None, **files: str | None) -> Predictor:
        """The same of a run that is loaded already; `files` are those that `from_pretrained` names."""
        run, chosen = loaded.path, find_device(device)
        moved: dict[str, Any] = {name: file for name, file in files.items() if file is not None}
        spec = dataclasses.replace(loaded.facts.spec, **moved)
        if spec.backbone == IMPORTED:
            raise RunError(
                f"{run} was trained on features from files, whose extractor Saccade does not have, so it cannot look "
                "at another image: saccade evaluate works; a run on one of saccade list backbones can be asked"
            )
        _require_files(run, spec, moved, trained=loaded.backbone is not None)
        if loaded.backbone is not None:
            arithmetic = partial(autocast, loaded.recipe.train.precision, chosen)
            return cls(loaded, Extractor(spec, device=chosen, state=loaded.backbone, autocast=arithmetic), chosen)
        extractor = Extractor(spec, device=chosen)
        if extractor.weights_hash != loaded.facts.weights_hash:
            other = f", or those of {spec.detector} ({spec.detector_weights})," if spec.regions == "detector" else ""
            raise RunError(
                f"the weights of backbone {spec.backbone} ({spec.weights}){other} are not those that {run} was "
                "trained with; give the right file with --weights"
            )
        return cls(loaded, extractor, chosen)

    def __call__(
        self,
        images: ImageSource | Sequence[ImageSource],
        texts: str | Sequence[str] | None = None,
        *,
        on_error: Literal["raise", "skip"] = "raise",
        **options: Any,
    ) -> list[Any]:
        """What the model says: a reply for each image, or for each text about the image of its place.

        One image serves many texts, and one text many images. `options` are those of the run's task, by default as its
        recipe says (`saccade evaluate --help` lists them); what is drawn follows from the recipe's seed. Raises
        ImageError naming the image that cannot be read; with on_error="skip" its reply is None, and a SaccadeWarning
        says why. Raises DataError for a text without words, RecipeError for options that cannot be and for texts and
        images that do not pair. Replies hold their images: for more than memory does, there is `saccade predict`.
        """
        if on_error not in ("raise", "skip"):
            raise RecipeError(f"on_error: expected 'raise' or 'skip', got {on_error!r}")
        chosen = self.recipe.task.options(**options)
        self.task.check_options(self.model, chosen)
        sources: list[Any] = list(images) if isinstance(images, list | tuple) else [images]
        asked = [texts] if isinstance(texts, str) else texts if texts is None else list(texts)
        pairs = _paired(len(sources), None if asked is None else len(asked))
        generator = torch.Generator(self.device).manual_seed(self.recipe.train.seed)
        replies: list[Any] = []
        batches = [pairs[start : start + AT_ONCE] for start in range(0, len(pairs), AT_ONCE)]
        for some, opened in zip(batches, prefetch(partial(_opened, self.extractor, sources), batches), strict=True):
            failed = {image: each for image, each in opened.items() if isinstance(each, ImageError)}
            if failed and on_error == "raise":
                raise next(iter(failed.values()))
            for error in failed.values():
                warnings.warn(f"left out {error}", SaccadeWarning, stacklevel=2)
            readable = [(image, text) for image, text in some if image not in failed]
            said = iter(self._reply(opened, readable, asked, chosen, generator) if readable else ())
            replies += [None if image in failed else next(said) for image, _ in some]
        return replies

    def ask(self, image: ImageSource, question: str, *, top: int = 5) -> AnswerReply:
        """Answer a question about an image; `top` is how many answers to give."""
        self._run.require("answering")
        [reply] = self(image, question, top=top)
        answer: AnswerReply = reply
        return answer

    def caption(self, images: ImageSource | Sequence[ImageSource], **options: Any) -> list[CaptionReply]:
        """A caption of each image; options are those of `saccade caption`: beam, length_penalty, top, look and more."""
        self._run.require("captioning")
        return self(images, **options)

    def ground(
        self, image: ImageSource, sentence: str, phrases: Sequence[str] = (), *, nms: float | None = None
    ) -> GroundReply:
        """Find phrases of a sentence in an image: those given, words of the sentence, or those that are noticed in it.

        With `nms` boxes that overlap a better one with more than that IoU are left out. Raises DataError for a phrase
        that the sentence does not have, naming the nearest.
        """
        self._run.require("grounding")
        [reply] = self(image, sentence, phrase=tuple(phrases) or None, nms=nms)
        grounded: GroundReply = reply
        return grounded

    def predictions(self, examples: Sequence[Any], read: Reader, options: Any, *, seed: int) -> list[Any]:
        """The task's prediction of each example, without attention; `read` gives the regions of their images."""
        generator = torch.Generator(self.device).manual_seed(seed)
        with torch.inference_mode():
            batch = self.task.stack(examples, read).to(self.device)
            with autocast(self.recipe.train.precision, self.device):
                return self.task.predict(self.model, batch, options, attention=False, generator=generator)

    def _reply(
        self,
        opened: Mapping[int, _Opened | ImageError],
        pairs: Sequence[tuple[int, int]],
        asked: Sequence[str] | None,
        options: Any,
        generator: torch.Generator,
    ) -> list[Any]:
        """The replies of one batch; an image that comes several times is looked at once."""
        shown: list[Any] = [opened[image] for image, _ in pairs]
        rows: dict[int, int] = {}
        image_of = [rows.setdefault(id(each), len(rows)) for each in shown]
        distinct = [shown[image_of.index(row)].loaded for row in range(len(rows))]
        pictures = [each.picture for each in shown]
        texts = None if asked is None else [asked[text] for _, text in pairs]
        with torch.inference_mode():
            regions = self.extractor.regions_of(distinct).to(self.device)
            if len(rows) < len(pictures):
                places = torch.tensor(image_of, device=self.device)
                regions = regions.take(places) if texts is None else regions.grouped(Grouping.of(places))
            with autocast(self.recipe.train.precision, self.device):
                return self.task.reply(self.model, regions, pictures, texts, options, generator)


def _require_files(run: Path, spec: FeatureSpec, said: Mapping[str, str], *, trained: bool) -> None:
    """Raise RunError for a file that regions are made with and that is not here, be it `said` or the run's own."""
    held = {"weights": "backbone weights", "detector_weights": "weights of a detector", "regions_file": "boxes"}
    for name, what in held.items():
        file = getattr(spec, name)
        if not file or file in NO_FILES or Path(file).is_file() or (trained and name == "weights"):
            continue
        if name in said:
            raise RunError(f"{name}: there is no file {file!r}; name the file of {what} that {run} needs")
        python = f"Predictor.from_pretrained(run, {name}=...)"
        how = "--weights" if name == "weights" else f"{python}, or --{name.replace('_', '-')} of saccade ground,"
        raise RunError(
            f"{run} was trained with {what} from {file}, which is not here; say with {how} where the file is"
        )


class _Opened(NamedTuple):
    """An image of a batch, and what the backbone takes of it."""

    picture: OpenedImage
    loaded: Loaded


def _opened(
    extractor: Extractor, sources: Sequence[Any], pairs: Sequence[tuple[int, int]]
) -> dict[int, _Opened | ImageError]:
    """The images of a batch by their places, those that are the same opened once; errors name the place or the file."""
    first: dict[Any, int] = {}
    places = {image: first.setdefault(_key(sources[image]), image) for image, _ in pairs}

    def opened(place: int) -> _Opened | ImageError:
        source = sources[place]
        name = str(source) if isinstance(source, str | Path) else ""
        try:
            image = read_image(source, name=name or f"image {place}")
            return _Opened(OpenedImage(image, name), extractor.load(image, name or f"image {place}"))
        except ImageError as error:
            return error

    with ThreadPoolExecutor(DECODERS) as pool:
        found = dict(zip(first.values(), pool.map(opened, first.values()), strict=True))
    return {image: found[place] for image, place in places.items()}


def _key(source: Any) -> Any:
    return str(source) if isinstance(source, str | Path) else id(source)


def _paired(images: int, texts: int | None) -> list[tuple[int, int]]:
    """Which image and which text belong together."""
    if texts is None or images == texts:
        return [(i, i) for i in range(images)]
    if images == 1:
        return [(0, text) for text in range(texts)]
    if texts == 1:
        return [(image, 0) for image in range(images)]
    raise RecipeError(f"expected a text for each image, or one of either, got {images} images and {texts} texts")
