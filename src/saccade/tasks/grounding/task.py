"""Grounding phrases: sentences with phrases to batches, batches to a loss, ranked regions to recalls.

Blind to which model grounds: anything that maps (Regions, Words, Phrases) to Groundings will do. Only phrases that have
boxes are learnt and scored; those without, and why, are counted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from saccade.data.captioned import count_phrases
from saccade.data.own_phrases import occurrences
from saccade.data.records import Box, Caption, Corpus, Phrase, images_of
from saccade.errors import DataError, RecipeError, RunError
from saccade.metrics.grounding import GroundedPhrase, grounding_metrics, type_keys
from saccade.metrics.units import percentage
from saccade.progress import Report
from saccade.tasks.attending import Attended
from saccade.tasks.base import BoxReader, Gather, Reader
from saccade.tasks.glove import check_glove, start_from_glove
from saccade.tasks.grounding.batch import PhraseBatch, boxes_of, check_left, grouping_of, make_batch, possible, rests
from saccade.tasks.grounding.config import SPECIAL, GroundingConfig, GroundingOptions, check_options
from saccade.tasks.grounding.finding import Found, find_regions, phrase_text
from saccade.tasks.grounding.lines import Lines
from saccade.tasks.grounding.losses import best_overlaps, shift_loss, sigmoid_loss, softmax_loss
from saccade.tasks.grounding.noticing import Noticer, noticer_from
from saccade.tasks.grounding.prediction import GroundingPrediction, PhrasePrediction
from saccade.tasks.grounding.reply import GroundReply, PhraseReply
from saccade.tasks.intervening import left_before, left_regions, left_texts
from saccade.tasks.reading import read_regions
from saccade.tasks.reply import OpenedImage
from saccade.tasks.worded import TOKENIZER, WordedTask
from saccade.text import Vocabulary
from saccade.types import NOTHING, Groundings, Regions, Without

PHRASES = "phrases.json"


class GroundingTask(WordedTask[Caption, Caption, GroundingPrediction]):
    """Finding the regions that phrases name, with the words of the training split."""

    Config, Record, Output = GroundingConfig, Caption, Groundings
    noun, text, metric = "sentences", "sentence", "recall_1"
    columns = ("phrases",)
    usage = "saccade ground, or Predictor.ground"

    def __init__(self, vocabulary: Vocabulary, noticer: Noticer, lines: Lines, config: GroundingConfig) -> None:
        self.vocabulary, self.noticer, self.lines, self.config = vocabulary, noticer, lines, config

    @classmethod
    def build(cls, records: Sequence[Caption], config: GroundingConfig) -> GroundingTask:
        """The task whose words, and what phrases are made of, are those of the training sentences given."""
        vocabulary = Vocabulary.build(
            (caption.text for caption in records),
            min_count=config.min_word_count,
            max_words=config.words - SPECIAL,
        )
        return cls(vocabulary, Noticer.of(records, vocabulary), Lines.of(records), config)

    def files(self) -> dict[str, str]:
        """The words, what phrases are made of, and where they usually are."""
        values = {**self.noticer.to_dict(), "usual": self.lines.to_dict()}
        return {**super().files(), PHRASES: json.dumps(values, indent=2, ensure_ascii=False) + "\n"}

    @classmethod
    def from_files(cls, files: Mapping[str, str], config: GroundingConfig) -> GroundingTask:
        """The task of a run; raises RunError for a file that is not as expected."""
        vocabulary = Vocabulary.from_json(files[TOKENIZER])
        try:
            values = json.loads(files[PHRASES])
        except json.JSONDecodeError as error:
            raise RunError(f"{PHRASES} is not valid JSON ({error}): it was altered or cut short") from None
        noticer = noticer_from(values, PHRASES)
        return cls(vocabulary, noticer, Lines.from_dict(values.get("usual"), PHRASES), config)

    def ready(self, model: nn.Module) -> None:
        """Refuse word vectors that are not there, or that the model does not take."""
        if self.config.glove:
            check_glove(model, self.config.glove)

    def prepare(self, model: nn.Module, records: Sequence[Caption], report: Report) -> None:
        """Let the model's word embeddings start from the GloVe file that the recipe names, if it names one."""
        if self.config.glove:
            texts = [record.text for record in records]
            start_from_glove(model, self.config.glove, self.vocabulary, texts, report, weighted=True)

    def trainable(self, records: Sequence[Caption]) -> list[Caption]:
        """The sentences with a phrase that has a box; raises DataError when none has."""
        found = [record for record in records if any(phrase.boxes for phrase in record.phrases)]
        if not found:
            raise DataError(
                "expected sentences with phrases that have boxes, got none: name flickr30k-entities, scenes-phrases, "
                'or own lines like {"image": "a.jpg", "sentence": "a red cup", "phrases": [{"words": [0, 3], "boxes": '
                "[[0.1, 0.2, 0.5, 0.9]]}]}"
            )
        return found

    @classmethod
    def counts(cls, records: Sequence[Caption]) -> dict[str, int]:
        """How many sentences and images, and phrases with boxes by type and without by reason."""
        return {cls.noun: len(records), "images": len(images_of(records)), **count_phrases(records)}

    @classmethod
    def scorable(cls, records: Sequence[Caption]) -> bool:
        """Whether there are phrases with boxes."""
        return any(phrase.boxes for record in records for phrase in record.phrases)

    def remarks_on_regions(self, records: Sequence[Caption], boxes: BoxReader) -> list[str]:
        """The share of phrases that have a region that fits, by type: no model does better with these regions."""
        boxed = [record for record in records if any(phrase.boxes for phrase in record.phrases)]
        images = images_of(boxed)
        places = dict(zip(images, boxes(images), strict=True))
        phrases = [
            GroundedPhrase((), phrase.boxes, phrase.kinds, places[record.image])
            for record in boxed
            for phrase in record.phrases
            if phrase.boxes
        ]
        if not phrases:
            return []
        found = grounding_metrics(phrases)
        bound, merged = found["upper_bound"], found["upper_bound_merged"]
        kinds = type_keys(kind for phrase in phrases for kind in phrase.kinds)
        by_type = ", ".join(f"{kind} {percentage(found[f'upper_bound_{key}'])}" for kind, key in kinds.items())
        return [
            f"upper bound: {percentage(bound)} of {len(phrases):,} phrases have a region that overlaps one of their "
            f"boxes with an IoU of 0.5 or more, {percentage(merged)} one that so overlaps the box around all of them",
            *([f"upper bound by type: {by_type}"] if by_type else []),
        ]

    def collate(self, records: Sequence[Caption], read: Reader, *, grouped: bool) -> PhraseBatch:
        """The sentences and their phrases with boxes as a batch, their images' regions once an image when grouped."""
        boxed = [tuple(phrase for phrase in each.phrases if phrase.boxes) for each in records]
        return self._batch(records, boxed, read_regions(records, read, grouped=grouped))

    def loss(self, model: Any, batch: PhraseBatch, gather: Gather) -> Float[Tensor, ""]:  # noqa: ARG002
        """The summed loss of the batch's phrases."""
        output: Groundings = model(batch.regions, batch.words, batch.phrases, attention=False)
        exist, config = batch.phrases.mask, self.config
        text = exist.nonzero()[:, 0]
        boxes = batch.regions.per_text(boxes_of(batch.regions))[text].float()
        overlaps, nearest = best_overlaps(boxes, batch.truth[exist], batch.meant[exist])
        loss_of = sigmoid_loss if config.loss == "sigmoid" else softmax_loss
        loss: Tensor = loss_of(output.logits[exist].float(), overlaps, config.overlap)
        if output.shifts is None:
            return loss
        moves = shift_loss(output.shifts[exist].float(), boxes, nearest, overlaps, config.overlap)
        both: Tensor = loss + config.shift_weight * moves
        return both

    def examples(self, records: Sequence[Caption]) -> list[Caption]:
        """What is predicted and scored: every sentence, for those without a box are counted."""
        return list(records)

    def example(self, image: str, text: str) -> Caption:
        """The sentence with the phrases that are noticed in it."""
        return Caption(f"{image}#0", image, text, self.notice(text))

    def notice(self, text: str) -> tuple[Phrase, ...]:
        """The phrases of a sentence that comes without any."""
        return tuple(Phrase(words, ()) for words in self.noticer.phrases(text, self.vocabulary))

    def check_options(self, model: Any, options: GroundingOptions) -> None:  # noqa: ARG002
        """Refuse an overlap that is no share."""
        check_options(options)

    def stack(self, examples: Sequence[Caption], read: Reader) -> PhraseBatch:
        """The sentences as a batch to predict, with all phrases that there may be a box for."""
        return self._batch(examples, possible(examples), read_regions(examples, read, grouped=True))

    def predict(
        self,
        model: Any,
        batch: PhraseBatch,
        options: GroundingOptions,
        *,
        attention: bool,
        generator: torch.Generator,  # noqa: ARG002
    ) -> list[GroundingPrediction]:
        """Where each phrase is; with `attention` also where it would be by the rest of its sentence alone."""
        output: Groundings = model(batch.regions, batch.words, batch.phrases, attention=False)
        found = self._find(output, batch.regions, list(map(len, batch.asked)), options)
        blind = self._blind(model, batch, options) if attention else {}
        places = [boxes_of(batch.regions.of_text(i))[0].double().cpu().numpy() for i in range(len(batch.sentences))]
        return [
            GroundingPrediction(
                sentence,
                tuple(
                    PhrasePrediction(phrase, phrase_text(sentence.text, phrase.words), found[i][j], blind.get((i, j)))
                    for j, phrase in enumerate(batch.asked[i])
                ),
                places[i],
            )
            for i, sentence in enumerate(batch.sentences)
        ]

    def attend(self, model: Any, regions: Regions, sentences: Sequence[Caption]) -> list[Attended]:
        """What the model predicts of each sentence."""
        batch = self._batch(sentences, possible(sentences), regions).to(regions.mask.device)
        found = self.predict(model, batch, GroundingOptions(), attention=True, generator=torch.Generator())
        return [Attended("phrases (phrases, regions)", each) for each in found]

    def metrics(
        self,
        predictions: Sequence[GroundingPrediction],
        data: Corpus | None = None,  # noqa: ARG002
    ) -> dict[str, float]:
        """Recalls, bounds, overlap and pointing, over all phrases and by type, and the lines to beat beside them.

        Phrases without a box are counted by why they have none.
        """
        grounded = [each for prediction in predictions for each in prediction.grounded()]
        if not grounded:
            raise DataError("there is nothing to score: no phrases with boxes")
        blind = [each.blind for prediction in predictions for each in prediction.phrases if each.phrase.boxes]
        counts = count_phrases(prediction.sentence for prediction in predictions)
        without = {name: count for name, count in counts.items() if name.startswith("phrases_without_box")}
        return {**without, **grounding_metrics(grounded), **self.lines.metrics(grounded, blind)}

    def metric_names(self, records: Sequence[Caption], data: Corpus) -> list[str]:
        """Those of predictions of nothing."""
        nothing = Found((), (), (0.5, 0.5))
        predictions = [
            GroundingPrediction(
                record, tuple(PhrasePrediction(p, "", nothing) for p in record.phrases if p.boxes), np.zeros((1, 4))
            )
            for record in records
        ]
        return list(self.metrics(predictions, data))

    def exports(self, predictions: Sequence[GroundingPrediction], data: Corpus) -> dict[str, Any]:  # noqa: ARG002
        """The boxes of each sentence's phrases as `saccade score grounding` takes them."""
        return {"results.json": [each.result() for each in predictions if each.grounded()]}

    def reply(
        self,
        model: Any,
        regions: Regions,
        pictures: Sequence[OpenedImage],
        texts: Sequence[str] | None,
        options: GroundingOptions,
        generator: torch.Generator,  # noqa: ARG002
        without: Sequence[Without] | None = None,
    ) -> list[GroundReply]:
        """Where the phrases of each sentence are in the picture of its place, among the regions that are left.

        The phrases are those of the sentence as it is written; of those that are noticed, the ones of which a word is
        left. Raises DataError for an image without a region left, and for a phrase without a word left.
        """
        if texts is None:
            raise RecipeError("expected a sentence for each image, got none: this run finds phrases of sentences")
        away = without or [NOTHING] * len(texts)
        sentences = [Caption("", picture.name, text) for picture, text in zip(pictures, texts, strict=True)]
        asked = [self._asked(text, each, options) for text, each in zip(texts, away, strict=True)]
        left = left_texts(self.vocabulary, texts, away, max_words=self.config.max_words)
        places = [left_before(self._places(text), each) for text, each in zip(texts, away, strict=True)]
        seen = left_regions(regions, away)
        check_left(seen, away)
        grouped = seen.grouped(grouping_of(seen, len(texts)))
        batch = make_batch(sentences, asked, grouped, left.words, places).to(regions.mask.device)
        output: Groundings = model(batch.regions, batch.words, batch.phrases)
        found = self._find(output, batch.regions, list(map(len, batch.asked)), options)
        mask = regions.per_text(regions.mask)
        return [
            GroundReply(
                picture.name,
                sentence.text,
                picture.image,
                tuple(
                    PhraseReply(phrase_text(sentence.text, phrase.words), phrase.words, found[i][j])
                    for j, phrase in enumerate(batch.asked[i])
                ),
                output.logits[i, : len(batch.asked[i])][:, mask[i]].float().softmax(1).cpu(),
                left.shown[i],
                left.unknown[i],
                tuple(
                    left.map_of(each, i, {"regions": mask[i], "phrases": batch.phrases.mask[i]})
                    for each in output.attention
                ),
                regions.of_text(i).to("cpu"),
                away[i],
            )
            for i, (picture, sentence) in enumerate(zip(pictures, batch.sentences, strict=True))
        ]

    def _asked(self, text: str, without: Without, options: GroundingOptions) -> tuple[Phrase, ...]:
        self.check_text(text)
        if options.phrase:
            found = tuple(Phrase(words, ()) for phrase in options.phrase for words in occurrences(phrase, text))
        elif not (found := self.notice(text)):
            raise DataError(f"no phrase was noticed in {text!r}: say which words to find, as in --phrase WORDS")
        places = self._places(text)
        after = left_before(places, without)
        lost = [each for each in found if _size(places, each) and not _size(after, each)]
        if lost and (options.phrase or len(lost) == len(found)):
            said = phrase_text(text, lost[0].words)
            raise DataError(f"without words: expected a word left of {said!r}, got all taken away; leave one of them")
        return tuple(each for each in found if each not in lost)

    def _places(self, text: str) -> list[int]:
        places = self.vocabulary.places(text)
        assert places is not None, "this tokeniser reads words one by one"
        return places

    def _batch(
        self, sentences: Sequence[Caption], asked: Sequence[tuple[Phrase, ...]], regions: Regions
    ) -> PhraseBatch:
        texts = [each.text for each in sentences]
        words = self.vocabulary.encode(texts, max_words=self.config.max_words)
        return make_batch(sentences, asked, regions, words, list(map(self._places, texts)))

    def _find(
        self, output: Groundings, regions: Regions, counts: Sequence[int], options: GroundingOptions
    ) -> list[list[Found]]:
        """Where the so many phrases of each text are."""
        vote = self.config.vote if options.vote is None else options.vote
        seen, boxes = (regions.per_text(of) for of in (regions.mask, boxes_of(regions)))
        found = []
        for i, count in enumerate(counts):
            here = seen[i]
            shifts = None if output.shifts is None else output.shifts[i, :count][:, here].float()
            logits = output.logits[i, :count][:, here].float()
            found.append(find_regions(logits, boxes[i][here].float(), shifts, nms=options.nms, vote=vote))
        return found

    def _blind(self, model: Any, batch: PhraseBatch, options: GroundingOptions) -> dict[tuple[int, int], Box]:
        """The best box of each phrase by the rest of its sentence, as if that were the phrase."""
        pairs = [(i, j) for i, phrases in enumerate(batch.asked) for j in range(len(phrases))]
        if not pairs:
            return {}
        regions, words, phrases = rests(batch, pairs)
        output: Groundings = model(regions, words, phrases, attention=False)
        found = self._find(output, regions, [1] * len(pairs), options)
        return {pair: place.boxes[0] for pair, [place] in zip(pairs, found, strict=True)}


def _size(places: Sequence[int], phrase: Phrase) -> int:
    """How many words a phrase has, which are counted by the places."""
    return places[phrase.words[1]] - places[phrase.words[0]]
