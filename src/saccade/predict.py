"""Predictor: a trained run, raw images and texts to replies, and the attention behind them."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import torch

from saccade import checkpoint
from saccade.checkpoint import LoadedRun
from saccade.data.batches import prefetch
from saccade.devices import autocast
from saccade.errors import ImageError, RecipeError, RunError, SaccadeWarning
from saccade.explain.figure_json import shrunk
from saccade.features.devices import find_device
from saccade.features.extract import Extractor, Loaded
from saccade.features.making import DECODERS
from saccade.features.spec import IMPORTED, NO_FILES, FeatureSpec
from saccade.hub import run_folder
from saccade.images import ImageSource, read_image
from saccade.tasks.reply import OpenedImage
from saccade.types import NOTHING, Grouping, Without

if TYPE_CHECKING:
    from saccade.tasks.answering.reply import AnswerReply
    from saccade.tasks.base import Reader
    from saccade.tasks.captioning.reply import CaptionReply
    from saccade.tasks.grounding.reply import GroundReply
    from saccade.tasks.matching.reply import MatchReply

AT_ONCE = 32  # texts, or images where the task reads none


@dataclass(frozen=True, eq=False)
class Prepared:
    """An image that `Predictor.prepare` opened: the picture for figures, and what the backbone takes of it.

    ``spec`` says how it becomes regions. It is an image for any run whose features are made alike.
    """

    picture: OpenedImage
    loaded: Loaded
    spec: FeatureSpec


Source = ImageSource | Prepared


class _Request(NamedTuple):
    """The place of an image, the text about it where the task reads texts, and what is taken away from both."""

    image: int
    text: str | None
    without: Without


class Predictor:
    """A trained run, ready for raw images. Make one with `from_pretrained`; threads may share it.

    Images are paths, bytes of a file, binary files, Pillow images, NumPy arrays [height, width, 3] or tensors
    [3, height, width] of uint8 or of fractions from 0 to 1: what `images.read_image` takes; or what `prepare` made of
    one of these, for an image that is asked about again and again.
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
        images: Source | Sequence[Source],
        texts: str | Sequence[str] | None = None,
        *,
        without: Without | Sequence[Without] | None = None,
        on_error: Literal["raise", "skip"] = "raise",
        **options: Any,
    ) -> list[Any]:
        """What the model says: a reply for each image, or for each text about the image of its place.

        One image serves many texts, and one text many images. `options` are those of the run's task, by default as its
        recipe says (`saccade evaluate --help` lists them); what is drawn follows from the recipe's seed. `without` is
        what is taken away from every image and its text, or one for each reply. Raises ImageError naming the image that
        cannot be read; with on_error="skip" its reply is None, and a SaccadeWarning says why. Raises DataError for a
        text without words and for what cannot be taken away, RecipeError for options that cannot be and for texts and
        images that do not pair. Replies hold their images: for more than memory does, there is `saccade predict`.
        """
        if on_error not in ("raise", "skip"):
            raise RecipeError(f"on_error: expected 'raise' or 'skip', got {on_error!r}")
        chosen = self.recipe.task.options(**options)
        self.task.check_options(self.model, chosen)
        sources: list[Any] = list(images) if isinstance(images, list | tuple) else [images]
        _check_prepared(sources, self.extractor.spec)
        asked = [texts] if isinstance(texts, str) else texts if texts is None else list(texts)
        requests = _requests(len(sources), asked, without)
        generator = torch.Generator(self.device).manual_seed(self.recipe.train.seed)
        replies: list[Any] = []
        batches = [requests[start : start + AT_ONCE] for start in range(0, len(requests), AT_ONCE)]
        opening = partial(_opened, self.extractor, sources)
        ahead = prefetch(opening, batches) if len(batches) > 1 else map(opening, batches)
        for some, opened in zip(batches, ahead, strict=True):
            failed = {image: each for image, each in opened.items() if isinstance(each, ImageError)}
            if failed and on_error == "raise":
                raise next(iter(failed.values()))
            for error in failed.values():
                warnings.warn(f"left out {error}", SaccadeWarning, stacklevel=2)
            readable = [each for each in some if each.image not in failed]
            said = iter(self._reply(opened, readable, chosen, generator) if readable else ())
            replies += [None if each.image in failed else next(said) for each in some]
        return replies

    def require(self, task: str) -> None:
        """Raise RunError, which says how the run is used, where it is not for that task."""
        self._run.require(task)

    def prepare(self, source: ImageSource, name: str = "") -> Prepared:
        """The image opened and made ready, for all methods to take as often as they like without opening it again.

        Its picture, of which figures are made, is shrunk to what they show: many may wait in memory. Replies are those
        of the image itself but for the size of theirs. Raises ImageError for an image that cannot be read.
        """
        prepared = _prepare(self.extractor, source, name, "image")
        picture = dataclasses.replace(prepared.picture, image=shrunk(prepared.picture.image))
        return dataclasses.replace(prepared, picture=picture)

    def ask(self, image: Source, question: str, *, top: int = 5, without: Without | None = None) -> AnswerReply:
        """Answer a question about an image; `top` is how many answers to give."""
        self.require("answering")
        [reply] = self(image, question, without=without, top=top)
        answer: AnswerReply = reply
        return answer

    def caption(
        self, images: Source | Sequence[Source], *, without: Without | Sequence[Without] | None = None, **options: Any
    ) -> list[CaptionReply]:
        """A caption of each image; options are those of `saccade caption`: beam, length_penalty, top, look and more."""
        self.require("captioning")
        return self(images, without=without, **options)

    def match(self, image: Source, sentence: str, *, without: Without | None = None) -> MatchReply:
        """How well a sentence fits an image: a score, which is high or low beside those of other pairs alone."""
        self.require("matching")
        [reply] = self(image, sentence, without=without)
        matched: MatchReply = reply
        return matched

    def ground(
        self,
        image: Source,
        sentence: str,
        phrases: Sequence[str] = (),
        *,
        nms: float | None = None,
        without: Without | None = None,
    ) -> GroundReply:
        """Find phrases of a sentence in an image: those given, words of the sentence, or those that are noticed in it.

        With `nms` boxes that overlap a better one with more than that IoU are left out. Raises DataError for a phrase
        that the sentence does not have, naming the nearest.
        """
        self.require("grounding")
        [reply] = self(image, sentence, without=without, phrase=tuple(phrases) or None, nms=nms)
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
        opened: Mapping[int, Prepared | ImageError],
        requests: Sequence[_Request],
        options: Any,
        generator: torch.Generator,
    ) -> list[Any]:
        """The replies of one batch; an image that comes several times is looked at once."""
        shown: list[Any] = [opened[each.image] for each in requests]
        rows: dict[int, int] = {}
        image_of = [rows.setdefault(id(each), len(rows)) for each in shown]
        distinct = [shown[image_of.index(row)].loaded for row in range(len(rows))]
        pictures, without = [each.picture for each in shown], [each.without for each in requests]
        texts = [each.text for each in requests if each.text is not None] or None
        with torch.inference_mode():
            regions = self.extractor.regions_of(distinct).to(self.device)
            if len(rows) < len(pictures):
                places = torch.tensor(image_of, device=self.device)
                regions = regions.take(places) if texts is None else regions.grouped(Grouping.of(places))
            with autocast(self.recipe.train.precision, self.device):
                return self.task.reply(self.model, regions, pictures, texts, options, generator, without)


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


def _prepare(extractor: Extractor, source: ImageSource, name: str, otherwise: str) -> Prepared:
    """The image as it is opened; it has the name of its file unless another is given, in errors that `otherwise` says.

    Raises ImageError for one that cannot be read.
    """
    name = name or (str(source) if isinstance(source, str | Path) else "")
    image = read_image(source, name=name or otherwise)
    return Prepared(OpenedImage(image, name), extractor.load(image, name or otherwise), extractor.spec)


def _opened(
    extractor: Extractor, sources: Sequence[Any], requests: Sequence[_Request]
) -> dict[int, Prepared | ImageError]:
    """The images of a batch by their places, those that are the same opened once; errors name the place or the file."""
    first: dict[Any, int] = {}
    places = {image: first.setdefault(_key(sources[image]), image) for image, *_ in requests}

    def opened(place: int) -> Prepared | ImageError:
        try:
            return _prepare(extractor, sources[place], "", f"image {place}")
        except ImageError as error:
            return error

    found = {place: sources[place] for place in first.values() if isinstance(sources[place], Prepared)}
    if closed := [place for place in first.values() if place not in found]:  # threads take time to start
        with ThreadPoolExecutor(DECODERS) as pool:
            found |= zip(closed, pool.map(opened, closed), strict=True)
    return {image: found[place] for image, place in places.items()}


def _requests(images: int, texts: Sequence[str] | None, without: Without | Sequence[Without] | None) -> list[_Request]:
    """Which image and which text belong together, and what is taken away from both: one for all, or one for each."""
    pairs = _paired(images, None if texts is None else len(texts))
    each = [without or NOTHING] * len(pairs) if without is None or isinstance(without, Without) else list(without)
    if wrong := [one for one in each if not isinstance(one, Without)]:
        raise RecipeError(f"without: expected saccade.types.Without(regions, words), got {wrong[0]!r}")
    if len(each) != len(pairs):
        raise RecipeError(f"without: expected one for all, or one for each of {len(pairs)} replies, got {len(each)}")
    return [
        _Request(image, None if texts is None else texts[text], one)
        for (image, text), one in zip(pairs, each, strict=True)
    ]


def _check_prepared(sources: Sequence[Any], spec: FeatureSpec) -> None:
    """Raise RecipeError for an image that was prepared for features that are made otherwise."""
    for place, source in enumerate(sources):
        if isinstance(source, Prepared) and source.spec != spec:
            raise RecipeError(
                f"{source.picture.name or f'image {place}'}: prepared by a run on {source.spec.backbone} whose "
                f"features are made otherwise than this one's, on {spec.backbone}: prepare it with this run's Predictor"
            )


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
