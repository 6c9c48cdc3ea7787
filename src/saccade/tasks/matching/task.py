"""Matching images and sentences: pairs to batches, batches to a loss, embeddings to ranks.

Blind to which model embeds: anything that maps (Regions, Words) to Matches and has `embed_images` and `embed_sentences`
will do. Batches have each image once: with another of its sentences in each round of an epoch, so that no other
sentence of a batch is about the same image, or, grouped, with all of its sentences, which are not held against each
other. Processes that share a batch compare all of its pairs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Float, Float32
from torch import Tensor

from saccade.data.batches import Indices, paired_batches
from saccade.data.records import Caption, Corpus, JudgesCaptions, images_of
from saccade.errors import DataError, RecipeError
from saccade.limits import COUNT, check_limit
from saccade.metrics.retrieval import Ranks, first_images, mean_of_folds, rank_embeddings
from saccade.tasks.attending import Attended, attend_by_image
from saccade.tasks.base import Gather, Reader
from saccade.tasks.captioned import CaptionedImage, captioned_images
from saccade.tasks.intervening import left_regions, left_texts
from saccade.tasks.matching.config import SPECIAL, MatchingConfig, MatchingOptions
from saccade.tasks.matching.losses import (
    Rows,
    Table,
    all_hinge,
    hardest_hinge,
    random_hinge,
    semi_hard_hinge,
    softmax_loss,
)
from saccade.tasks.matching.reply import MatchReply
from saccade.tasks.reply import OpenedImage
from saccade.tasks.worded import TOKENIZER, WordedTask
from saccade.text import Vocabulary, texts_from_json, texts_to_json
from saccade.types import NOTHING, AttentionMap, Embeddings, Matches, Regions, Without, Words

Embedded = Float32[np.ndarray, "rows size"]

BACKGROUND = "background.json"
BACKGROUND_SENTENCES = 1_000


@dataclass(frozen=True, eq=False)
class PairBatch:
    """Images and sentences ready for a model: a row for each image, and for each of its sentences in that order."""

    regions: Regions
    words: Words
    images: tuple[CaptionedImage, ...]

    def to(self, device: torch.device | str) -> PairBatch:
        """The same batch on another device."""
        return PairBatch(self.regions.to(device), self.words.to(device), self.images)


@dataclass(frozen=True, eq=False)
class MatchPrediction:
    """The embeddings of an image, and of each of its sentences as rows."""

    image: str
    sentences: tuple[str, ...]
    of_image: npt.NDArray[np.float32]
    of_sentences: npt.NDArray[np.float32]

    def scores(self) -> list[float]:
        """How well each sentence fits the image."""
        found: list[float] = (self.of_sentences @ self.of_image).tolist()
        return found

    def said(self) -> dict[str, Any]:
        """The score of the sentence that was asked about."""
        return {"score": round(self.scores()[0], 6)}

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for predictions.jsonl."""
        scores = [round(score, 6) for score in self.scores()]
        return {"image": self.image, "sentences": list(self.sentences), "scores": scores}


class MatchingTask(WordedTask[Caption, CaptionedImage, MatchPrediction]):
    """Telling which sentences were written about which images.

    The training split's words are kept with the run, and so is a sample of its sentences, the `background`: a score
    says little until it is known how sentences about other things score.
    """

    Config, Record, Output = MatchingConfig, Caption, Matches
    noun, text, metric = "sentences", "sentence", "rsum"
    columns = ("score",)
    usage = "saccade match, or Predictor.match"
    separable = False

    def __init__(self, vocabulary: Vocabulary, background: Sequence[str], config: MatchingConfig) -> None:
        self.vocabulary, self.background, self.config = vocabulary, tuple(background), config
        self._epoch = 0

    @classmethod
    def build(cls, records: Sequence[Caption], config: MatchingConfig) -> MatchingTask:
        """The task whose words are those of the training sentences given."""
        texts = (caption.text for caption in records)
        vocabulary = Vocabulary.build(
            texts, tokeniser="ptb", min_count=config.min_word_count, max_words=config.words - SPECIAL
        )
        drawn = np.random.default_rng(0).permutation(len(records))[:BACKGROUND_SENTENCES]
        return cls(vocabulary, [records[i].text for i in drawn.tolist()], config)

    def files(self) -> dict[str, str]:
        """The words, and the sample of sentences."""
        return {**super().files(), BACKGROUND: texts_to_json(self.background)}

    @classmethod
    def from_files(cls, files: Mapping[str, str], config: MatchingConfig) -> MatchingTask:
        """The task of a run; raises RunError for a file that is not as expected."""
        return cls(Vocabulary.from_json(files[TOKENIZER]), texts_from_json(files[BACKGROUND], BACKGROUND), config)

    def trainable(self, records: Sequence[Caption]) -> list[Caption]:
        """All sentences; raises DataError where there is but one image, and so nothing to hold a pair against."""
        if len(images_of(records)) < 2:
            raise DataError("expected sentences about at least two images to hold against each other, got one image")
        return list(records)

    def begin(self, epoch: int) -> None:
        """From which epoch on pairs are held against the hardest alone."""
        self._epoch = epoch

    def batches(self, records: Sequence[Caption], config: Any, epoch: int) -> list[Indices]:
        """The indices of the sentences in each batch of an epoch: one for each image in it or, grouped, all it has."""
        if config.group_by_image:
            return super().batches(records, config, epoch)
        return paired_batches([each.image for each in records], config.batch_size, seed=config.seed, epoch=epoch)

    def collate(self, records: Sequence[Caption], read: Reader, *, grouped: bool) -> PairBatch:
        """The sentences as a batch, and the image of each; once, with all of its sentences, when grouped."""
        alone = [CaptionedImage(each.image, (each,)) for each in records]
        return self.stack(captioned_images(records) if grouped else alone, read)

    def loss(self, model: Any, batch: PairBatch, gather: Gather) -> Float[Tensor, ""]:
        """The summed loss of the pairs of all processes."""
        output: Matches = model(batch.regions, batch.words, attention=False)
        images, sentences = gather(output.images.z.float()), gather(output.sentences.z.float())
        counts = gather(torch.tensor([len(each.captions) for each in batch.images], device=images.device))
        image_of = torch.arange(len(images), device=images.device).repeat_interleave(counts)
        # The same of each process in all of them.
        draws = gather(torch.rand(len(batch.words.ids), 2, device=images.device))
        S = images @ sentences.T
        if self.config.loss == "softmax":
            return softmax_loss(S if output.scale is None else output.scale.float() * S, image_of)
        loss = self._hinge(S, image_of, draws)
        # A scale that this loss does not want takes part all the same: every process must send its gradient.
        return loss if output.scale is None else loss + 0 * output.scale

    def _hinge(self, S: Table, image_of: Rows, draws: Float[Tensor, "sentences 2"]) -> Float[Tensor, ""]:
        config = self.config
        if config.loss == "random":
            return random_hinge(S, image_of, config.margin, draws)
        if config.loss == "semi-hard":
            return semi_hard_hinge(S, image_of, config.margin)
        if config.loss == "hardest" and self._epoch >= config.warmup_epochs:
            return hardest_hinge(S, image_of, config.margin)
        return all_hinge(S, image_of, config.margin)

    def examples(self, records: Sequence[Caption]) -> list[CaptionedImage]:
        """What is embedded and ranked: each image once, with all its sentences."""
        return captioned_images(records)

    def example(self, image: str, text: str) -> CaptionedImage:
        """The image and one sentence."""
        return CaptionedImage(image, (Caption("", image, text),))

    def stack(self, examples: Sequence[CaptionedImage], read: Reader) -> PairBatch:
        """The images as a batch to embed, and all their sentences."""
        texts = [caption.text for each in examples for caption in each.captions]
        return PairBatch(read([each.image for each in examples]), self._encode(texts), tuple(examples))

    def check_options(self, model: Any, options: MatchingOptions) -> None:  # noqa: ARG002
        """Refuse numbers of folds that cannot be; whether they divide the images is known when these are."""
        check_limit(COUNT, folds=options.folds)

    def predict(
        self,
        model: Any,
        batch: PairBatch,
        options: MatchingOptions,  # noqa: ARG002
        *,
        attention: bool,  # noqa: ARG002
        generator: torch.Generator,  # noqa: ARG002
    ) -> list[MatchPrediction]:
        """The embeddings of each image and of its sentences."""
        of_images = self.embed_images(model, batch.regions)
        of_sentences = _plain(model.embed_sentences(batch.words, attention=False))
        ends = np.cumsum([len(each.captions) for each in batch.images])[:-1]
        return [
            MatchPrediction(each.image, tuple(caption.text for caption in each.captions), z_v, z_u)
            for each, z_v, z_u in zip(batch.images, of_images, np.split(of_sentences, ends), strict=True)
        ]

    def attend(self, model: Any, regions: Regions, sentences: Sequence[Caption]) -> list[Attended]:
        """Where the model looked in each image, for it reads no sentence when it does."""
        return attend_by_image(model.embed_images(regions).attention, regions, sentences)

    def embed_images(self, model: Any, regions: Regions) -> Embedded:
        """The embedding of each image."""
        return _plain(model.embed_images(regions, attention=False))

    def embed_sentences(self, model: Any, sentences: Sequence[str], device: torch.device) -> Embedded:
        """The embedding of each sentence; raises DataError for one without words."""
        return _plain(model.embed_sentences(self._encode(sentences).to(device), attention=False))

    def metrics(self, predictions: Sequence[MatchPrediction], data: Corpus | None = None) -> dict[str, float]:
        """Recalls, median and mean ranks in both directions, among all images and sentences given.

        Where the corpus can tell, also the share of sentences that are true of the image found first, which need not be
        the one that they were written about.
        """
        if not predictions:
            raise DataError("there is nothing to score: no images")
        ranks = _ranks(predictions).metrics()
        if not isinstance(data, JudgesCaptions):
            return ranks
        sentences = [sentence for each in predictions for sentence in each.sentences]
        first = first_images(*_stacked(predictions))
        true = [data.is_true(predictions[row].image, text) for row, text in zip(first, sentences, strict=True)]
        return {**ranks, "t2i_truth": sum(true) / len(true)}

    def metric_names(self, records: Sequence[Caption], data: Corpus) -> list[str]:
        """Those of one image with its first caption."""
        first, nothing = records[0], np.zeros((1, 1), np.float32)
        return list(self.metrics([MatchPrediction(first.image, (first.text,), nothing[0], nothing)], data))

    def further_metrics(self, predictions: Sequence[MatchPrediction], options: MatchingOptions) -> dict[str, float]:
        """The means over folds, where they are asked for."""
        folds = options.folds
        if folds == 1:
            return {}
        if len(predictions) % folds:
            raise RecipeError(f"folds: {len(predictions):,} images do not make {folds} equal parts")
        size = len(predictions) // folds
        parts = [_ranks(predictions[part * size : (part + 1) * size]).metrics() for part in range(folds)]
        return {f"{name}_of_{folds}_folds": value for name, value in mean_of_folds(parts).items()}

    def reply(
        self,
        model: Any,
        regions: Regions,
        pictures: Sequence[OpenedImage],
        texts: Sequence[str] | None,
        options: MatchingOptions,  # noqa: ARG002
        generator: torch.Generator,  # noqa: ARG002
        without: Sequence[Without] | None = None,
    ) -> list[MatchReply]:
        """How well each sentence fits the picture of its place; what is taken away may be all regions."""
        if texts is None:
            raise RecipeError("expected a sentence for each image, got none: this run matches images with sentences")
        for text in texts:
            self.check_text(text)
        away = without or [NOTHING] * len(texts)
        left = left_texts(self.vocabulary, texts, away, max_words=self.config.max_words)
        seen = left_regions(regions, away)
        output: Matches = model(seen, left.words.to(regions.mask.device))
        rows = range(len(texts)) if seen.grouping is None else seen.grouping.image.tolist()
        mask = regions.per_text(regions.mask)
        parts = _parts(seen.per_text(output.images.z), output.sentences.z, output.images)
        return [
            MatchReply(
                picture.name,
                text,
                picture.image,
                parts[i],
                left.shown[i],
                left.unknown[i],
                (
                    *_looks(output.images, row, mask[i]),
                    *(left.map_of(each, i, {}) for each in output.sentences.attention),
                ),
                regions.of_text(i).to("cpu"),
                away[i],
            )
            for i, (picture, text, row) in enumerate(zip(pictures, texts, rows, strict=True))
        ]

    def look(self, model: Any, regions: Regions, pictures: Sequence[OpenedImage], query: Embedded) -> list[MatchReply]:
        """How well each picture fits an embedding [1, size] of anything, and where it was looked at."""
        output: Embeddings = model.embed_images(regions)
        parts = _parts(output.z, torch.from_numpy(query).to(output.z.device), output)
        return [
            MatchReply(
                picture.name,
                "",
                picture.image,
                parts[i],
                (),
                (),
                _looks(output, i, regions.mask[i]),
                regions.row(i).to("cpu"),
            )
            for i, picture in enumerate(pictures)
        ]

    def _encode(self, texts: Sequence[str]) -> Words:
        return self.vocabulary.encode(texts, max_words=self.config.max_words)


def _parts(
    images: Float[Tensor, "rows size"], others: Float[Tensor, "rows size"], embeddings: Embeddings
) -> list[tuple[float, ...]]:
    """What each step, from 0 on, adds to the inner product of two embeddings."""
    steps = len(embeddings.attention) + 1
    products = images.float() * others.float()
    return [tuple(row) for row in products.view(len(products), steps, -1).sum(2).tolist()]


def _looks(images: Embeddings, row: int, mask: Bool[Tensor, " regions"]) -> tuple[AttentionMap, ...]:
    """The maps of one image's row, over the regions that it has."""
    return tuple(each.of(row, {"regions": mask}) for each in images.attention)


def _plain(embeddings: Embeddings) -> Embedded:
    rows: Embedded = embeddings.z.float().cpu().numpy()
    return rows


def _stacked(predictions: Sequence[MatchPrediction]) -> tuple[Tensor, Tensor]:
    """The embeddings of the images, and those of all their sentences."""
    images = np.stack([each.of_image for each in predictions])
    return torch.from_numpy(images), torch.from_numpy(np.concatenate([each.of_sentences for each in predictions]))


def _ranks(predictions: Sequence[MatchPrediction]) -> Ranks:
    image_of = np.repeat(np.arange(len(predictions)), [len(each.sentences) for each in predictions])
    return rank_embeddings(*_stacked(predictions), image_of)
