"""Predictor: a trained run and a raw image to an answer or a caption, and the attention behind it."""

from __future__ import annotations

import dataclasses
import logging
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from saccade import checkpoint
from saccade.checkpoint import LoadedRun
from saccade.decoding import decode
from saccade.errors import DataError, RecipeError, RunError
from saccade.explain.caption import CaptionExplanation
from saccade.explain.explanation import Explanation, steps_of
from saccade.features.extract import Extractor
from saccade.features.spec import IMPORTED
from saccade.hypotheses import Search
from saccade.images import open_image, to_rgb
from saccade.tasks import AnsweringTask, CaptioningTask
from saccade.types import AttentionMap, Regions

CAPTIONED_AT_ONCE = 32  # images


@dataclass(frozen=True, eq=False)
class Reply:
    """An answer to a question about an image.

    ``answers`` are the most probable with their probabilities, best first; ``unknown_words`` were never seen in
    training and say nothing to the model; ``attention`` are this one question's maps, over ``regions`` and ``words``.
    """

    question: str
    image: Image.Image
    answers: tuple[tuple[str, float], ...]
    words: tuple[str, ...]
    unknown_words: tuple[str, ...]
    attention: tuple[AttentionMap, ...]
    regions: Regions

    @property
    def answer(self) -> str:
        """The most probable answer."""
        return self.answers[0][0]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; the attention as nested lists under its step's name and axes."""
        return {
            "question": self.question,
            "answer": self.answer,
            "answers": [{"answer": answer, "probability": probability} for answer, probability in self.answers],
            "words": list(self.words),
            "unknown_words": list(self.unknown_words),
            "grid": self.regions.grid,
            "attention": [_plain(m) for m in self.attention],
        }

    def explanation(self, note: str = "") -> Explanation:
        """What `saccade.explain` draws: the image, the words, and each step's weights."""
        boxes = None if self.regions.boxes is None else self.regions.boxes[0]
        steps = steps_of(self.attention, boxes, self.regions.grid)
        return Explanation(self.image, self.question, self.words, self.answers, steps, note)


@dataclass(frozen=True, eq=False)
class CaptionReply:
    """A caption of an image.

    ``log_probability`` sums over the words and the end, in nats; ``alternatives`` are further captions with theirs,
    best first. ``attention`` are this one caption's maps, a row for each word, over ``regions``.
    """

    name: str
    image: Image.Image
    words: tuple[str, ...]
    log_probability: float
    alternatives: tuple[tuple[str, float], ...]
    attention: tuple[AttentionMap, ...]
    regions: Regions

    @property
    def caption(self) -> str:
        """The caption's words, separated by spaces."""
        return " ".join(self.words)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; the attention as nested lists under its name and axes."""
        return {
            "image": self.name,
            "caption": self.caption,
            "log_probability": self.log_probability,
            "probability": math.exp(self.log_probability),
            "words": list(self.words),
            "alternatives": [{"caption": text, "log_probability": score} for text, score in self.alternatives],
            "grid": self.regions.grid,
            "attention": [_plain(m) for m in self.attention],
        }

    def explanation(self, note: str = "") -> CaptionExplanation:
        """What `saccade.explain` draws: the image with each word's map, and the gate."""
        maps = next((m for m in self.attention if m.axes == ("words", "regions")), None)
        gate = next((m for m in self.attention if m.axes == ("words",)), None)
        return CaptionExplanation(
            self.image,
            self.caption,
            self.words,
            self.log_probability,
            None if maps is None else maps.weights[0].numpy(),
            None if gate is None else gate.weights[0].numpy(),
            None if self.regions.boxes is None else self.regions.boxes[0].numpy(),
            self.regions.grid,
            self.alternatives,
            note,
        )


class Predictor:
    """A trained run, ready for raw images. Make one with `from_pretrained`."""

    def __init__(self, run: LoadedRun, extractor: Extractor, device: torch.device) -> None:
        self.recipe, self._task, self._extractor, self._device = run.recipe, run.task, extractor, device
        self._model: Any = run.model.to(device)

    @classmethod
    def from_pretrained(cls, run: str | Path, *, weights: str | None = None, device: str | None = None) -> Predictor:
        """Load a run directory, or a repository of that name on the Hugging Face hub.

        `weights` is the backbone's weights file where it has moved since training; `device` is the first GPU, else the
        CPU. Raises RunError when the run is incomplete or altered, or when the backbone's weights are not the ones it
        was trained with.
        """
        loaded = checkpoint.load(_local(run))
        chosen = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        spec = loaded.facts.spec
        if spec.backbone == IMPORTED:
            raise RunError(
                f"{run} was trained on features from files, whose extractor Saccade does not have, so it cannot look "
                "at another image: saccade evaluate works; a run on one of saccade list backbones can be asked"
            )
        if loaded.backbone is not None:
            return cls(loaded, Extractor(spec, device=chosen, state=loaded.backbone), chosen)
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

    def ask(self, image: str | Path | Image.Image, question: str, *, top: int = 5) -> Reply:
        """Answer a question about an image, given as a file or as a Pillow image.

        Raises ImageError for an image that cannot be read, DataError for a question without words, RecipeError for a
        `top` below 1.
        """
        task = self._task
        if not isinstance(task, AnsweringTask):
            raise RunError(f"this run of {self.recipe.name} writes captions: use saccade caption, or Predictor.caption")
        if top < 1:
            raise RecipeError(f"top: expected at least 1 answer, got {top}")
        picture = to_rgb(image) if isinstance(image, Image.Image) else open_image(image)
        vocabulary = task.vocabulary
        if not vocabulary.words(question):
            raise DataError(f"expected a question with at least one word, got {question!r}")
        words = vocabulary.encode([question], max_words=task.config.max_words)
        with torch.inference_mode():
            regions = self._extractor([picture]).to(self._device)
            output = self._model(regions, words.to(self._device))
        return Reply(
            question,
            picture,
            task.top(output.logits, top)[0],
            tuple(vocabulary.words(question)[: words.ids.shape[1]]),
            tuple(vocabulary.unknown(question)),
            _on_cpu(output.attention),
            regions.to("cpu"),
        )

    def search(self, **changes: Any) -> Search:
        """How captions were searched for when validating, with the changes that are not None.

        Raises RunError for a run that answers questions, RecipeError for a search that cannot be.
        """
        return self._captioning().searching(**changes)

    def _captioning(self) -> CaptioningTask:
        if not isinstance(self._task, CaptioningTask):
            raise RunError(f"this run of {self.recipe.name} answers questions: use saccade ask, or Predictor.ask")
        return self._task

    def caption(
        self, images: Sequence[str | Path | Image.Image], *, search: Search | None = None, look: str | None = None
    ) -> list[CaptionReply]:
        """A caption of each image, given as files or as Pillow images; by default searched for as when validating.

        `look` is how a model of hard attention decodes: "expectation", "argmax" or "sample". What is drawn follows from
        the recipe's seed. Raises ImageError for an image that cannot be read, RecipeError for a search that cannot be,
        RunError for a run that answers questions.
        """
        task, model = self._captioning(), self._model
        search = search or task.search
        if look is not None:
            search = dataclasses.replace(search, look=look)
        pictures = [to_rgb(image) if isinstance(image, Image.Image) else open_image(image) for image in images]
        replies = []
        for start in range(0, len(pictures), CAPTIONED_AT_ONCE):
            batch = pictures[start : start + CAPTIONED_AT_ONCE]
            with torch.inference_mode():
                generator = torch.Generator(self._device).manual_seed(self.recipe.train.seed)
                regions = self._extractor(batch).to(self._device)
                found = decode(model, regions, search, generator)
            on_cpu = regions.to("cpu")
            for i, (picture, best) in enumerate(zip(batch, found, strict=True)):
                source = images[start + i]
                replies.append(
                    CaptionReply(
                        "" if isinstance(source, Image.Image) else str(source),
                        picture,
                        task.words(best[0]),
                        best[0].log_probability,
                        tuple((task.caption(other), other.log_probability) for other in best[1:]),
                        _existing(_on_cpu(best[0].attention), on_cpu.mask[i]),
                        on_cpu.row(i),
                    )
                )
        return replies


def _plain(attention: AttentionMap) -> dict[str, Any]:
    return {"name": attention.name, "axes": list(attention.axes), "weights": attention.weights[0].tolist()}


def _existing(attention: tuple[AttentionMap, ...], mask: Tensor) -> tuple[AttentionMap, ...]:
    """The maps of one image over the regions that it has, without those that pad the batch."""
    over_regions = (m.axes[-1] == "regions" for m in attention)
    return tuple(
        dataclasses.replace(m, weights=m.weights[..., mask]) if over else m
        for m, over in zip(attention, over_regions, strict=True)
    )


def _on_cpu(attention: Sequence[AttentionMap]) -> tuple[AttentionMap, ...]:
    return tuple(dataclasses.replace(each, weights=each.weights.float().cpu()) for each in attention)


def _local(run: str | Path) -> Path:
    """The run's folder: as named, or fetched from the hub when the name is OWNER/NAME and there is no folder OWNER."""
    path, name = Path(run), str(run)
    if path.parent.exists() or not re.fullmatch(r"[\w-]+/[\w.-]+", name):
        return path
    from huggingface_hub import snapshot_download  # noqa: PLC0415 - only here is the hub needed
    from huggingface_hub.errors import RepositoryNotFoundError  # noqa: PLC0415

    wanted = [*checkpoint.COMPANIONS, checkpoint.MODEL, checkpoint.METRICS]
    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    logger.setLevel(logging.ERROR)  # its warnings of retries and of missing accounts say less than our error
    try:
        folder = Path(snapshot_download(name, allow_patterns=wanted))
        if (folder / checkpoint.MODEL).exists():
            return folder
        reason = f"its repository lacks {checkpoint.MODEL}"
    except RepositoryNotFoundError:
        reason = "it has none, or it is private"
    except Exception as error:  # the hub's client raises what its HTTP library raises
        reason = str(error).partition("\n")[0] or type(error).__name__
    finally:
        logger.setLevel(level)
    raise RunError(f"{name}: no such run directory here, and the hub gave none of that name ({reason})")
