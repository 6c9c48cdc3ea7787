"""Captioning images: captions to batches, batches to a loss, decoded captions to metrics.

Blind to which model writes: anything that maps (Regions, Words) to Captions and has `start` and `step` will do. Words
are what the tokeniser of the metrics makes of a caption, so that training and scoring speak of the same ones.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from saccade.data.batches import Batch as Indices
from saccade.data.batches import length_batches, shuffled_batches
from saccade.data.records import Caption, Corpus, images_of
from saccade.decoding import decode
from saccade.errors import DataError
from saccade.hypotheses import Hypothesis, Search
from saccade.metrics.caption import caption_metrics
from saccade.metrics.ptb import tokenize
from saccade.tasks.answering import Reader
from saccade.tasks.looking import pointing_of_words
from saccade.text import END, Vocabulary
from saccade.types import Captions, Grouping, Regions, Words

if TYPE_CHECKING:
    from saccade.recipe import CaptioningConfig, TrainConfig


@dataclass(frozen=True, eq=False)
class Batch:
    """Captions ready for a model; several may share an image, as `regions` say."""

    regions: Regions
    words: Words
    captions: tuple[Caption, ...]

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on another device."""
        return Batch(self.regions.to(device), self.words.to(device), self.captions)


@dataclass(frozen=True)
class CaptionedImage:
    """An image and what people wrote about it: what a decoded caption is held against."""

    image: str
    captions: tuple[Caption, ...]


@dataclass(frozen=True, eq=False)
class Images:
    """Images ready for decoding."""

    regions: Regions
    images: tuple[CaptionedImage, ...]

    def to(self, device: torch.device | str) -> Images:
        """The same images on another device."""
        return Images(self.regions.to(device), self.images)


@dataclass(frozen=True)
class Prediction:
    """The caption a model wrote, and for each object word of the references with boxes whether it looked there."""

    image: str
    caption: str
    log_probability: float
    references: tuple[str, ...]
    alternatives: tuple[tuple[str, float], ...] = ()
    pointing: tuple[float, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for predictions.jsonl."""
        return {
            "image": self.image,
            "caption": self.caption,
            "log_probability": round(self.log_probability, 6),
            "alternatives": [
                {"caption": text, "log_probability": round(score, 6)} for text, score in self.alternatives
            ],
            "references": list(self.references),
        }


class CaptioningTask:
    """Writing captions with the words of the training split; the words are kept with the run."""

    def __init__(self, vocabulary: Vocabulary, config: CaptioningConfig, search: Search | None = None) -> None:
        self.vocabulary, self.config = vocabulary, config
        self.search = search or Search(
            beam=config.beam,
            max_length=config.max_length,
            min_length=config.min_length,
            length_penalty=config.length_penalty,
        )
        self.search.check(len(vocabulary))
        self._words = vocabulary.listed()

    def searching(self, **changes: Any) -> Search:
        """The search with the changes that are not None; raises RecipeError for one that cannot be."""
        search = dataclasses.replace(
            self.search, **{name: value for name, value in changes.items() if value is not None}
        )
        search.check(len(self.vocabulary))
        return search

    @staticmethod
    def texts(data: Corpus, split: str) -> Sequence[Caption]:
        """The captions of a split; raises DataError for a data set without any."""
        return data.records(Caption, split)

    @classmethod
    def build(cls, captions: Sequence[Caption], config: CaptioningConfig) -> CaptioningTask:
        """The task whose words are those of the training captions given."""
        texts = (_named_tokens(caption) for caption in captions)
        vocabulary = Vocabulary.build(texts, min_count=config.min_word_count, max_words=config.words - 3, tokens=True)
        return cls(vocabulary, config)

    @property
    def num_answers(self) -> None:
        """A captioner chooses among words alone."""
        return None

    def trainable(self, captions: Sequence[Caption]) -> list[Caption]:
        """The captions that are short enough."""
        return [caption for caption in captions if _length(caption) <= self.config.max_words]

    def check(self, captions: Sequence[Caption]) -> None:
        """Refuse, with DataError, a caption without words."""
        for caption in captions:
            _named_tokens(caption)

    def batches(self, captions: Sequence[Caption], config: TrainConfig, epoch: int) -> list[Indices]:
        """The indices of the captions in each batch of an epoch."""
        if self.config.batches == "length":
            return length_batches(
                [_length(caption) for caption in captions], config.batch_size, seed=config.seed, epoch=epoch
            )
        images = [caption.image for caption in captions]
        return shuffled_batches(images, config.batch_size, seed=config.seed, epoch=epoch, grouped=config.group_by_image)

    def collate(self, captions: Sequence[Caption], read: Reader, *, grouped: bool) -> Batch:
        """The captions as a batch, their images' regions read from the store: once an image when grouped."""
        return Batch(regions_of(captions, read, grouped), self.encode(captions), tuple(captions))

    def encode(self, captions: Sequence[Caption]) -> Words:
        """The captions' words and the end of each, right-padded."""
        return self.vocabulary.encode([f"{tokens_of(caption.text)} {END}" for caption in captions])

    def loss(self, output: Captions, batch: Batch) -> Float[Tensor, ""]:
        """The summed loss of the batch: the negative log-likelihood of each caption, and what its paper adds."""
        said = batch.words.mask
        loss = F.cross_entropy(
            output.logits[said].float(),
            batch.words.ids[said],
            reduction="sum",
            label_smoothing=self.config.label_smoothing if output.logits.requires_grad else 0.0,
        )
        return loss if output.penalty is None else loss + output.penalty.sum()

    @staticmethod
    def examples(captions: Sequence[Caption]) -> list[CaptionedImage]:
        """What is decoded and scored: each image once, with all its captions."""
        by_image: dict[str, list[Caption]] = {}
        for caption in captions:
            by_image.setdefault(caption.image, []).append(caption)
        return [CaptionedImage(image, tuple(found)) for image, found in by_image.items()]

    @staticmethod
    def counts(captions: Sequence[Caption]) -> dict[str, int]:
        """How many there are of what."""
        return {"captions": len(captions), "images": len(images_of(captions))}

    def gather(self, images: Sequence[CaptionedImage], read: Reader) -> Images:
        """The images as a batch to decode."""
        return Images(read([each.image for each in images]), tuple(images))

    def predict(self, model: Any, batch: Images, *, attention: bool) -> list[Prediction]:
        """The caption of each image; with `attention` also whether the references' object words look at their boxes."""
        found = decode(model, batch.regions, self.search, attention=False)
        pointing = self._pointing(model, batch) if attention else [()] * len(batch.images)
        return [
            Prediction(
                each.image,
                self.caption(best[0]),
                best[0].log_probability,
                tuple(caption.text for caption in each.captions),
                tuple((self.caption(other), other.log_probability) for other in best[1:]),
                pointed,
            )
            for each, best, pointed in zip(batch.images, found, pointing, strict=True)
        ]

    def caption(self, hypothesis: Hypothesis) -> str:
        """The words of a hypothesis, separated by spaces."""
        return " ".join(self.words(hypothesis))

    def words(self, hypothesis: Hypothesis) -> tuple[str, ...]:
        """The words of a hypothesis, without the end."""
        return tuple(self._words[i] for i in hypothesis.ids)

    @staticmethod
    def known(images: Sequence[CaptionedImage]) -> bool:
        """Whether there are references, so that there are metrics: always."""
        return bool(images)

    def metrics(self, predictions: Sequence[Prediction], *, further: bool = True) -> dict[str, float]:
        """The captions' metrics, and the share of object words that look at their boxes, where boxes are known."""
        if not predictions:
            raise DataError("there is nothing to score: no captions")
        results = {prediction.image: prediction.caption for prediction in predictions}
        references = {prediction.image: prediction.references for prediction in predictions}
        found = dict(caption_metrics(results, references))
        pointing = [hit for prediction in predictions for hit in prediction.pointing]
        if further and pointing:
            found |= {"pointing_accuracy": sum(pointing) / len(pointing), "object_words": len(pointing)}
        return found

    def _pointing(self, model: nn.Module, batch: Images) -> list[tuple[float, ...]]:
        """Of each image, whether each object word of its references points at one of its boxes, told the words."""
        rows = [(i, c) for i, each in enumerate(batch.images) for c in each.captions if c.phrases]
        pointing: list[list[float]] = [[] for _ in batch.images]
        if rows:
            captions = [caption for _, caption in rows]
            grouping = Grouping.of(torch.tensor([i for i, _ in rows], device=batch.regions.mask.device))
            regions = batch.regions.grouped(grouping)
            output = model(regions, self.encode(captions).to(batch.regions.mask.device))
            targets = [object_words(caption) for caption in captions]
            for (i, _), hits in zip(rows, pointing_of_words(output.attention, regions, targets), strict=True):
                pointing[i] += hits
        return [tuple(hits) for hits in pointing]


def regions_of(captions: Sequence[Caption], read: Reader, grouped: bool) -> Regions:
    """The regions of the captions' images, read once an image when grouped."""
    if not grouped:
        return read([caption.image for caption in captions])
    rows = {image: row for row, image in enumerate(images_of(captions))}
    return read(list(rows)).grouped(Grouping.of(torch.tensor([rows[caption.image] for caption in captions])))


def object_words(caption: Caption) -> list[tuple[int, Sequence[Any]]]:
    """The last word of each phrase, as its place among the caption's tokens, with the phrase's boxes."""
    places = [0]
    for word in caption.text.split():
        places.append(places[-1] + len(tokenize(word).split()))
    if places[-1] != len(tokens_of(caption.text).split()):  # the tokeniser saw more than the words by themselves
        return []
    ends = [(places[phrase.words[1]] - 1, phrase) for phrase in caption.phrases]
    return [(place, phrase.boxes) for place, phrase in ends if place >= places[phrase.words[0]]]


@lru_cache(maxsize=1_000_000)
def tokens_of(text: str) -> str:
    """The caption's tokens, separated by spaces; raises DataError for a caption without any."""
    tokens = tokenize(text)
    if not tokens:
        raise DataError(f"expected a caption with at least one word, got {text!r}")
    return tokens


def _named_tokens(caption: Caption) -> str:
    """The caption's tokens; an error names the caption."""
    try:
        return tokens_of(caption.text)
    except DataError as error:
        raise DataError(f"caption {caption.id!r} of {caption.image}: {error}") from None


def _length(caption: Caption) -> int:
    return tokens_of(caption.text).count(" ") + 1


def coco_results(predictions: Sequence[Prediction]) -> list[dict[str, str]]:
    """The captions in COCO's result format."""
    return [{"image_id": prediction.image, "caption": prediction.caption} for prediction in predictions]


def coco_references(predictions: Sequence[Prediction]) -> dict[str, Any]:
    """What the captions were held against, as COCO's annotation files have it."""
    references = [(prediction.image, text) for prediction in predictions for text in prediction.references]
    return {
        "images": [{"id": prediction.image} for prediction in predictions],
        "annotations": [
            {"id": number, "image_id": image, "caption": text} for number, (image, text) in enumerate(references)
        ],
    }
