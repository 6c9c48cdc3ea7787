"""Captioning images: captions to batches, batches to a loss, decoded captions to metrics.

Blind to which model writes: anything that maps (Regions, Words) to Captions and has `start` and `step` will do. Words
are what the tokeniser of the metrics makes of a caption, so that training and scoring speak of the same ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from saccade.data.batches import Indices, length_batches
from saccade.data.records import Box, Caption, Corpus, JudgesCaptions
from saccade.decoding import check_search, decode
from saccade.errors import DataError, RecipeError, UnknownNameError
from saccade.hypotheses import Hypothesis, Search
from saccade.metrics.caption import caption_metrics
from saccade.metrics.java import check_java, java_metrics
from saccade.tasks.attending import Attended, attend_by_text
from saccade.tasks.base import Gather, Reader
from saccade.tasks.captioned import CaptionedImage, captioned_images
from saccade.tasks.captioning.coco import coco_files
from saccade.tasks.captioning.config import SPECIAL, CaptioningConfig, CaptioningOptions
from saccade.tasks.captioning.reply import CaptionReply
from saccade.tasks.intervening import left_regions, refuse_words
from saccade.tasks.pointing import pointing_of_words
from saccade.tasks.reading import read_regions
from saccade.tasks.reply import OpenedImage
from saccade.tasks.worded import TOKENIZER, WordedTask
from saccade.text import END_ID, Vocabulary
from saccade.types import NOTHING, Captions, Grouping, Regions, Without, Words


@dataclass(frozen=True, eq=False)
class CaptionBatch:
    """Captions ready for a model; several may share an image, as `regions` say."""

    regions: Regions
    words: Words

    def to(self, device: torch.device | str) -> CaptionBatch:
        """The same batch on another device."""
        return CaptionBatch(self.regions.to(device), self.words.to(device))


@dataclass(frozen=True, eq=False)
class ImageBatch:
    """Images ready for decoding."""

    regions: Regions
    images: tuple[CaptionedImage, ...]

    def to(self, device: torch.device | str) -> ImageBatch:
        """The same images on another device."""
        return ImageBatch(self.regions.to(device), self.images)


@dataclass(frozen=True)
class CaptionPrediction:
    """The caption a model wrote, and for each object word of the references with boxes whether it looked there."""

    image: str
    caption: str
    log_probability: float
    references: tuple[str, ...]
    alternatives: tuple[tuple[str, float], ...] = ()
    pointing: tuple[float, ...] = ()

    def said(self) -> dict[str, Any]:
        """The caption, and further ones where more than one was asked for."""
        captions = ((self.caption, self.log_probability), *self.alternatives)
        (best, *others) = [{"caption": text, "log_probability": round(score, 6)} for text, score in captions]
        return {**best, "alternatives": others} if others else best

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for predictions.jsonl."""
        said = self.said()
        return {
            "image": self.image,
            **said,
            "alternatives": said.get("alternatives", []),
            "references": list(self.references),
        }


class CaptioningTask(WordedTask[Caption, CaptionedImage, CaptionPrediction]):
    """Writing captions with the words of the training split; the words are kept with the run."""

    Config, Record, Output = CaptioningConfig, Caption, Captions
    noun, metric = Caption.noun, "cider"
    columns = ("caption", "log_probability", "alternatives")
    usage = "saccade caption, or Predictor.caption"

    def __init__(self, vocabulary: Vocabulary, config: CaptioningConfig) -> None:
        self.vocabulary, self.config = vocabulary, config
        self._words = vocabulary.listed()
        self.search(CaptioningOptions())

    @classmethod
    def build(cls, records: Sequence[Caption], config: CaptioningConfig) -> CaptioningTask:
        """The task whose words are those of the training captions given."""
        vocabulary = Vocabulary.build(
            (caption.text for caption in records),
            tokeniser="ptb",
            end=True,
            min_count=config.min_word_count,
            max_words=config.words - SPECIAL,
        )
        return cls(vocabulary, config)

    @classmethod
    def from_files(cls, files: Mapping[str, str], config: CaptioningConfig) -> CaptioningTask:
        """The task of a run; raises RunError for a file that is not as expected."""
        return cls(Vocabulary.from_json(files[TOKENIZER]), config)

    def search(self, options: CaptioningOptions) -> Search:
        """How captions are searched for; raises RecipeError for a search that cannot be."""
        config = self.config
        search = Search(
            beam=config.beam if options.beam is None else options.beam,
            max_length=config.max_length,
            min_length=config.min_length,
            length_penalty=config.length_penalty if options.length_penalty is None else options.length_penalty,
            n_best=1 if options.top is None else options.top,
            sample=options.sample,
            temperature=options.temperature,
            look=options.look,
            begin=() if options.begin is None else self._begin(options.begin),
        )
        search.check(len(self.vocabulary))
        return search

    def _begin(self, text: str) -> tuple[int, ...]:
        """The ids of the words that captions are to begin with; raises UnknownNameError for one that is not known."""
        words = self.vocabulary.words(text)
        if not words:
            raise RecipeError(f"begin: expected at least one word, got {text!r}: leave it out, or say words")
        if unknown := self.vocabulary.unknown(text):
            raise UnknownNameError("word of this run's captions", unknown[0], self.vocabulary.known_words())
        ids: list[int] = self.vocabulary.encode([text]).ids[0].tolist()
        return tuple(ids)

    def trainable(self, records: Sequence[Caption]) -> list[Caption]:
        """The captions that are short enough; raises DataError when none is."""
        pairs = zip(records, self.lengths(records), strict=True)
        short = [caption for caption, length in pairs if length <= self.config.max_words]
        if not short:
            raise DataError("no training caption is short enough: raise --task.max-words")
        return short

    def batches(self, records: Sequence[Caption], config: Any, epoch: int) -> list[Indices]:
        """The indices of the captions in each batch of an epoch."""
        if self.config.batches == "padded":
            return super().batches(records, config, epoch)
        return length_batches(self.lengths(records), config.batch_size, seed=config.seed, epoch=epoch)

    def collate(self, records: Sequence[Caption], read: Reader, *, grouped: bool) -> CaptionBatch:
        """The captions as a batch, their images' regions read from the store: once an image when grouped."""
        return CaptionBatch(read_regions(records, read, grouped=grouped), self.encode(records))

    def encode(self, records: Sequence[Caption]) -> Words:
        """The captions' words and the end of each, right-padded."""
        return self.vocabulary.encode([caption.text for caption in records], end=True)

    def loss(self, model: Any, batch: CaptionBatch, gather: Gather) -> Float[Tensor, ""]:  # noqa: ARG002
        """The summed loss of the batch: the negative log-likelihood of each caption, and what its paper adds."""
        output, said = model(batch.regions, batch.words, attention=False), batch.words.mask
        loss = F.cross_entropy(
            output.logits[said].float(),
            batch.words.ids[said],
            reduction="sum",
            label_smoothing=self.config.label_smoothing if output.logits.requires_grad else 0.0,
        )
        return loss if output.penalty is None else loss + output.penalty.sum()

    def examples(self, records: Sequence[Caption]) -> list[CaptionedImage]:
        """What is decoded and scored: each image once, with all its captions."""
        return captioned_images(records)

    def example(self, image: str, text: str) -> CaptionedImage:  # noqa: ARG002
        """The image, without captions."""
        return CaptionedImage(image, ())

    def stack(self, examples: Sequence[CaptionedImage], read: Reader) -> ImageBatch:
        """The images as a batch to decode."""
        return ImageBatch(read([each.image for each in examples]), tuple(examples))

    def predict(
        self,
        model: Any,
        batch: ImageBatch,
        options: CaptioningOptions,
        *,
        attention: bool,
        generator: torch.Generator,
    ) -> list[CaptionPrediction]:
        """The caption of each image; with `attention` also whether the references' object words look at their boxes."""
        found = self._decode(model, batch.regions, options, generator, attention=False)
        pointing = self._pointing(model, batch, options, generator) if attention else [()] * len(batch.images)
        return [
            CaptionPrediction(
                each.image,
                self.caption(best[0]),
                best[0].log_probability,
                tuple(caption.text for caption in each.captions),
                tuple((self.caption(other), other.log_probability) for other in best[1:]),
                pointed,
            )
            for each, best, pointed in zip(batch.images, found, pointing, strict=True)
        ]

    def attend(self, model: Any, regions: Regions, sentences: Sequence[Caption]) -> list[Attended]:
        """Where the model looked for the words of each phrase, told the sentence."""
        return attend_by_text(
            lambda of, words: model(of, words).attention, regions, sentences, self.vocabulary, end=[END_ID]
        )

    def caption(self, hypothesis: Hypothesis) -> str:
        """The words of a hypothesis, without the end, separated by spaces."""
        return " ".join(self._words[i] for i in hypothesis.ids)

    def metrics(self, predictions: Sequence[CaptionPrediction], data: Corpus | None = None) -> dict[str, float]:
        """The captions' metrics, how many are true where the corpus can tell, and what looks at its boxes if known."""
        if not predictions:
            raise DataError("there is nothing to score: no captions")
        results, references = _by_image(predictions)
        found = dict(caption_metrics(results, references))
        pointing = [hit for prediction in predictions for hit in prediction.pointing]
        if pointing:
            found |= {"pointing_accuracy": sum(pointing) / len(pointing), "object_words": len(pointing)}
        if isinstance(data, JudgesCaptions):
            found["truth"] = sum(data.is_true(p.image, p.caption) for p in predictions) / len(predictions)
        return found

    def metric_names(self, records: Sequence[Caption], data: Corpus) -> list[str]:
        """Those of one image with its first caption for the model's."""
        first = next(iter(self.examples(records)))
        texts = tuple(caption.text for caption in first.captions)
        return list(self.metrics([CaptionPrediction(first.image, texts[0], 0.0, texts)], data))

    def further_metrics(self, predictions: Sequence[CaptionPrediction], options: CaptioningOptions) -> dict[str, float]:
        """METEOR and SPICE, where they are asked for."""
        return java_metrics(*_by_image(predictions)) if options.java else {}

    def exports(self, predictions: Sequence[CaptionPrediction], data: Corpus) -> dict[str, Any]:  # noqa: ARG002
        """Results and references in COCO's formats."""
        return coco_files(*_by_image(predictions))

    def check_options(self, model: Any, options: CaptioningOptions) -> None:
        """Refuse now what would fail after the work: a look without hard attention, METEOR without Java."""
        check_search(model, self.search(options))
        if options.java:
            check_java()

    def reply(
        self,
        model: Any,
        regions: Regions,
        pictures: Sequence[OpenedImage],
        texts: Sequence[str] | None,
        options: CaptioningOptions,
        generator: torch.Generator,
        without: Sequence[Without] | None = None,
    ) -> list[CaptionReply]:
        """The caption of each picture; what is taken away may be all regions."""
        if texts is not None:
            raise RecipeError(f"expected images alone, got {len(texts)} texts: this run writes captions")
        away = without or [NOTHING] * len(pictures)
        begin = "" if options.begin is None else " ".join(self.vocabulary.words(options.begin))
        refuse_words(away, "this run writes captions")
        found = self._decode(model, left_regions(regions, away), options, generator, attention=True)
        mask = regions.mask
        return [
            CaptionReply(
                picture.name,
                picture.image,
                tuple(self._words[word] for word in best[0].ids),
                best[0].log_probability,
                tuple((self.caption(other), other.log_probability) for other in best[1:]),
                tuple(each.of(0, {"regions": mask[i]}) for each in best[0].attention),
                regions.of_text(i).to("cpu"),
                away[i],
                begin,
            )
            for i, (picture, best) in enumerate(zip(pictures, found, strict=True))
        ]

    def _decode(
        self, model: Any, regions: Regions, options: CaptioningOptions, generator: torch.Generator, *, attention: bool
    ) -> list[list[Hypothesis]]:
        return decode(model, regions, self.search(options), generator, attention=attention)

    def _pointing(
        self, model: Any, batch: ImageBatch, options: CaptioningOptions, generator: torch.Generator
    ) -> list[tuple[float, ...]]:
        """Of each image, whether each object word of its references points at one of its boxes, told the words."""
        rows = [(i, c) for i, each in enumerate(batch.images) for c in each.captions if any(p.boxes for p in c.phrases)]
        pointing: list[list[float]] = [[] for _ in batch.images]
        if rows:
            captions, device = [caption for _, caption in rows], batch.regions.mask.device
            regions = batch.regions.grouped(Grouping.of(torch.tensor([i for i, _ in rows], device=device)))
            looking = {} if options.look is None else {"look": options.look, "generator": generator}
            output = model(regions, self.encode(captions).to(device), **looking)
            targets = [self.object_words(caption) for caption in captions]
            for (i, _), hits in zip(rows, pointing_of_words(output.attention, regions, targets), strict=True):
                pointing[i] += hits
        return [tuple(hits) for hits in pointing]

    def object_words(self, caption: Caption) -> list[tuple[int, Sequence[Box]]]:
        """The last word of each phrase that has boxes, as its place among the caption's words, with the boxes."""
        places = self.vocabulary.places(caption.text)
        if places is None:
            return []
        ends = [(places[phrase.words[1]] - 1, phrase) for phrase in caption.phrases if phrase.boxes]
        return [(place, phrase.boxes) for place, phrase in ends if place >= places[phrase.words[0]]]


def _by_image(predictions: Sequence[CaptionPrediction]) -> tuple[dict[str, str], dict[str, Sequence[str]]]:
    """Captions and references, by image."""
    return {p.image: p.caption for p in predictions}, {p.image: p.references for p in predictions}
