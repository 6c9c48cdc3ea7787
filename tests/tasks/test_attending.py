"""Maps held against boxes: which map counts, told by its axes; the regions it ranks, worked out by hand."""

from __future__ import annotations

import doctest
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from saccade.data.records import Box, Caption, Phrase, Question
from saccade.errors import RecipeError
from saccade.features.proposals import read_windows
from saccade.metrics.grounding import iou
from saccade.models import create_model
from saccade.tasks import (
    AnsweringConfig,
    CaptioningConfig,
    GroundingConfig,
    GroundingOptions,
    MatchingConfig,
    attending,
)
from saccade.tasks.answering.task import AnsweringTask
from saccade.tasks.attending import Attended, PhraseReader, choose_map, mean_of_words
from saccade.tasks.captioning.task import CaptioningTask
from saccade.tasks.grounding.task import GroundingTask
from saccade.tasks.matching.task import MatchingTask
from saccade.text import UNKNOWN_ID, Vocabulary
from saccade.types import Answers, AttentionMap, Captions, Embeddings, Regions, Words

GRID = ((0.0, 0.0, 0.5, 0.5), (0.5, 0.0, 1.0, 0.5), (0.0, 0.5, 0.5, 1.0), (0.5, 0.5, 1.0, 1.0))
WHOLE = (0.0, 0.0, 1.0, 1.0)
SENTENCES = [
    Caption(
        "a#0",
        "a",
        "A red dog, on sand",
        (Phrase((0, 3), (GRID[0],), ("animals",)), Phrase((4, 5), (GRID[3], GRID[2])), Phrase((3, 4), (), absent="no")),
    ),
    Caption("a#1", "a", "sand", (Phrase((0, 1), (GRID[1],)),)),
    Caption("b#0", "b", "dog on a - red", (Phrase((3, 4), (GRID[1],)), Phrase((4, 5), (GRID[2],)))),
]
# How strongly each word looks at each of the four cells, and at a fifth that only pads.
TABLE = {
    "a": (1, 1, 1, 1, 0),
    "red": (6, 2, 0, 0, 0),
    "dog": (0, 3, 0, 1, 0),
    "on": (0, 0, 10, 0, 0),
    "sand": (0, 0, 0, 0.1, 0),
}


def read(images: Sequence[str]) -> Regions:
    boxes = torch.tensor([[*GRID, WHOLE]] * len(images))
    mask = torch.tensor([[True] * 4 + [False]] * len(images))
    return Regions(torch.zeros(len(images), 5, 3), mask, boxes)


def table(vocabulary: Vocabulary) -> torch.Tensor:
    rows = [TABLE.get(word, (0, 0, 0, 0, 1)) for word in vocabulary.listed()]
    return torch.tensor(rows, dtype=torch.float32)


def looked(task, model, sentences: Sequence[Caption] = SENTENCES) -> list[Attended]:
    reader = PhraseReader(task)
    batch = reader.stack(sentences, read)
    with torch.inference_mode():
        return reader.predict(model, batch, None, attention=True, generator=torch.Generator())


def ranked(found: Attended) -> dict[str, tuple[tuple[Box, ...], list[float], Box | None]]:
    return {
        each.text: (each.found.boxes, [round(score, 4) for score in each.found.scores], each.blind)
        for each in found.prediction.phrases
    }


class Words2Regions(torch.nn.Module):
    """Each word looks as the table says; the same in two heads that differ, if there are heads."""

    def __init__(self, vocabulary: Vocabulary, output: type, *, heads: bool = False) -> None:
        super().__init__()
        self.table, self.output, self.heads = table(vocabulary), output, heads
        self.texts: list[list[int]] = []

    def forward(self, regions: Regions, words: Words) -> Answers | Captions:
        self.texts += [ids[mask].tolist() for ids, mask in zip(words.ids, words.mask, strict=True)]
        weights = self.table[words.ids] * words.mask.unsqueeze(2)
        names = ("words", "regions")
        wrong = AttentionMap(weights.flip(2), names, "first")
        raw = AttentionMap(weights.flip(2), names, "similarity", "raw")
        if self.heads:
            weights, names = torch.stack([1.5 * weights, 0.5 * weights], 1), ("heads", *names)
        maps = (wrong, AttentionMap(weights, names, "last"), raw, AttentionMap(weights[..., 0], names[:-1], "words"))
        return self.output(torch.zeros(*words.ids.shape[: 2 if self.output is Captions else 1], 2), maps)


def answering(**config) -> AnsweringTask:
    questions = [Question(each.id, each.image, each.text, ("yes",)) for each in SENTENCES]
    return AnsweringTask.build(questions, AnsweringConfig(**config))


def captioning() -> CaptioningTask:
    return CaptioningTask.build(SENTENCES, CaptioningConfig(min_word_count=1, beam=1))


@pytest.mark.parametrize("heads", [False, True])
@pytest.mark.parametrize("task", [answering(), captioning()], ids=["answerer", "captioner"])
def test_a_phrase_has_the_mean_of_its_words_each_scaled_to_one(task, heads: bool) -> None:
    model = Words2Regions(task.vocabulary, Answers if isinstance(task, AnsweringTask) else Captions, heads=heads)
    first, alone, last = looked(task, model)
    assert {each.map for each in (first, alone, last)} == {f"last ({'heads, ' if heads else ''}words, regions)"}
    # a: 1/4 of each; red: 3/4, 1/4; dog: 3/4 of the second, 1/4 of the fourth
    shares = [(0.25 + 0.75 + 0) / 3, (0.25 + 0.25 + 0.75) / 3, 0.25 / 3, (0.25 + 0 + 0.25) / 3]
    boxes, scores, blind = ranked(first)["A red dog"]
    assert boxes == (GRID[1], GRID[0], GRID[3], GRID[2])
    assert scores == [round(shares[i], 4) for i in (1, 0, 3, 2)]
    assert first.prediction.phrases[0].found.point == (0.75, 0.25)
    # Of the others, "on" and "sand", each looks at one cell: equally strong, the first is the best.
    assert blind == GRID[2]
    assert ranked(first)["sand"][:2] == ((GRID[3], GRID[0], GRID[1], GRID[2]), [1.0, 0.0, 0.0, 0.0])
    assert list(ranked(first)) == ["A red dog", "sand"]  # "on" has no box
    assert ranked(alone)["sand"][0][0] == GRID[3]
    assert np.allclose(first.prediction.proposals, GRID)
    # "sand" looks at the last quarter of the image alone: the window nearest to that.
    windows = read_windows()
    nearest = windows[iou(windows, np.array([GRID[3]]))[:, 0].argmax()]
    assert first.windows[1] == pytest.approx(tuple(nearest))


def test_a_captioner_is_told_the_end_of_the_sentence_too() -> None:
    task = captioning()
    model = Words2Regions(task.vocabulary, Captions)
    looked(task, model, SENTENCES[:1])
    end = task.encode(SENTENCES[:1]).ids[0].tolist()[-1]
    assert all(ids[-1] == end for ids in model.texts)
    assert [task.vocabulary.listed()[i] for i in model.texts[0][:-1]] == ["a", "red", "dog", "on", "sand"]


def test_the_rest_of_a_sentence_is_read_as_if_it_were_the_phrase() -> None:
    task = answering()
    model = Words2Regions(task.vocabulary, Answers)
    looked(task, model, SENTENCES[:2])
    listed = task.vocabulary.listed()
    texts = [" ".join(listed[i] for i in ids) for ids in model.texts]
    assert texts[2:] == ["on sand", "a red dog on", listed[UNKNOWN_ID]]


def test_phrases_without_a_word_or_beyond_what_is_read_are_left_out() -> None:
    task = answering(max_words=3)
    first, alone, last = looked(task, Words2Regions(task.vocabulary, Answers))
    assert list(ranked(first)) == ["A red dog"]
    assert list(ranked(alone)) == ["sand"]
    assert list(ranked(last)) == []
    assert looked(task, Words2Regions(task.vocabulary, Answers), SENTENCES[2:])[0].prediction.phrases == ()


def test_sentences_that_the_tokeniser_sees_otherwise_are_left_out(monkeypatch) -> None:
    task, places = answering(), Vocabulary.places
    monkeypatch.setattr(Vocabulary, "places", lambda self, text: None if "," in text else places(self, text))
    first, alone, last = looked(task, Words2Regions(task.vocabulary, Answers))
    assert [len(each.prediction.phrases) for each in (first, alone, last)] == [0, 1, 1]


class Whole(torch.nn.Module):
    """Looks at the regions as the mean of a text's words does, in its second step; the first is turned around."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        super().__init__()
        self.table = table(vocabulary)

    def forward(self, regions: Regions, words: Words) -> Answers:
        weights = (self.table[words.ids] * words.mask.unsqueeze(2)).sum(1)
        of_words = AttentionMap(self.table[words.ids].flip(2), ("words", "regions"), "hop 1 words")
        steps = (AttentionMap(weights.flip(1), ("regions",), "step 1"), AttentionMap(weights, ("regions",), "step 2"))
        return Answers(torch.zeros(len(words.ids), 2), (*steps, of_words))


def test_of_a_model_with_maps_over_regions_alone_the_phrase_is_the_whole_text() -> None:
    task = answering()
    first, alone, last = looked(task, Whole(task.vocabulary))
    assert first.map == "step 2 (regions)"
    # a + red + dog: 7, 6, 1, 2
    boxes, scores, blind = ranked(first)["A red dog"]
    assert boxes == (GRID[0], GRID[1], GRID[3], GRID[2])
    assert scores == [round(each / 16, 4) for each in (7, 6, 2, 1)]
    assert blind == GRID[2]  # on + sand
    assert ranked(first)["sand"][2] == GRID[2]  # a + red + dog + on: 7, 6, 11, 2
    assert ranked(last)["red"][0][0] == GRID[0]
    assert alone.prediction.phrases[0].blind is None  # nothing is left, and the unknown word looks at the padding


class Matcher(torch.nn.Module):
    """Looks at the second cell of the first image and at the third of the second, in its last step."""

    def embed_images(self, regions: Regions) -> Embeddings:
        weights = torch.eye(5)[1 : 1 + len(regions.features)] * 0.5 + 0.1
        maps = [AttentionMap(each, ("regions",), f"step {k}") for k, each in enumerate((weights.flip(1), weights), 1)]
        return Embeddings(torch.zeros(len(weights), 2), tuple(maps))


def test_a_matcher_has_the_image_s_own_map_for_every_phrase() -> None:
    task = MatchingTask.build(SENTENCES, MatchingConfig(min_word_count=1))
    first, alone, last = looked(task, Matcher())
    assert first.map == "step 2 (regions)"
    for found, best in ((first, GRID[1]), (alone, GRID[1]), (last, GRID[2])):
        assert {boxes[0] for boxes, _, _ in ranked(found).values()} == {best}
        assert {blind for _, _, blind in ranked(found).values()} == {best}
    assert list(ranked(last)) == ["-", "red"]


def test_a_grounder_is_measured_as_it_evaluates_itself() -> None:
    task = GroundingTask.build(SENTENCES, GroundingConfig())
    torch.manual_seed(0)
    model = create_model(
        "ban-grounder", num_words=len(task.vocabulary), region_size=3, embedding_size=8, hidden_size=8
    ).eval()

    def varied(images: Sequence[str]) -> Regions:
        regions = read(images)
        return replace(regions, features=torch.arange(regions.features.numel()).view_as(regions.features).cos())

    generator = torch.Generator()
    batch = PhraseReader(task).stack(SENTENCES, varied)
    with torch.inference_mode():
        found = PhraseReader(task).predict(model, batch, None, attention=True, generator=generator)
        own = task.predict(
            model, task.stack(SENTENCES, varied), GroundingOptions(), attention=True, generator=generator
        )
    assert task.metrics([each.prediction for each in found]) == task.metrics(own)
    assert [each.prediction.to_dict() for each in found] == [each.to_dict() for each in own]
    assert {each.map for each in found} == {"phrases (phrases, regions)"}


# Which map


def test_the_last_map_over_regions_counts_and_else_the_last_from_words() -> None:
    def map_(name: str, *axes: str, kind: str = "joint") -> AttentionMap:
        return AttentionMap(torch.zeros((1,) * (1 + len(axes))), axes, name, kind)

    regions, words = map_("step 1", "regions"), map_("words 1", "words", "regions")
    assert choose_map([regions, map_("step 2", "regions"), words]).name == "step 2"
    assert (
        choose_map([words, map_("2", "heads", "words", "regions"), map_("3", "heads", "regions", "words")]).name == "2"
    )
    assert choose_map([words, map_("2", "words", "regions", kind="raw")]).name == "words 1"


def test_a_model_without_a_map_is_refused_with_those_it_has() -> None:
    with pytest.raises(RecipeError, match=r"over regions, or from words to regions, got one without: it has none"):
        choose_map([])
    words = AttentionMap(torch.zeros(1, 2), ("words",), "step 1")
    with pytest.raises(RecipeError, match=r"got one without: its maps are step 1 \(words\)\. Those of r-dan"):
        choose_map([words])
    task = captioning()
    with pytest.raises(RecipeError, match="it has none"):
        looked(task, lambda regions, words: Captions(torch.zeros(1, 1, 1), ()))


def test_words_that_do_not_look_count_for_nothing() -> None:
    weights = torch.tensor([[[2.0, 2.0], [0.0, 0.0], [0.0, 3.0]]])
    assert mean_of_words(weights, [(0, 3)]).tolist() == [[0.25, 0.75]]
    assert mean_of_words(weights, [(1, 2)]).tolist() == [[0.0, 0.0]]


def test_the_examples_in_docstrings_hold() -> None:
    failed, attempted = doctest.testmod(attending)
    assert failed == 0
    assert attempted >= 2
