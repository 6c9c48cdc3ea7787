"""Grounding: losses beside slow ones in NumPy, where phrases' words are, ranks, lines to beat, replies."""

from __future__ import annotations

from math import exp, log

import numpy as np
import pytest
import torch
from PIL import Image

from saccade.data.records import Box, Caption, Phrase
from saccade.errors import DataError, RecipeError, RunError, StoreError
from saccade.features.proposals import read_windows
from saccade.metrics.grounding import iou
from saccade.models import create_model
from saccade.progress import SILENT
from saccade.tasks import GroundingConfig, GroundingOptions
from saccade.tasks.grounding.finding import find_regions, phrase_text
from saccade.tasks.grounding.losses import best_overlaps, moved, shift_loss, shifts_to, sigmoid_loss, softmax_loss
from saccade.tasks.grounding.noticing import Noticer
from saccade.tasks.grounding.task import GroundingTask
from saccade.tasks.reply import OpenedImage
from saccade.text import Vocabulary
from saccade.types import Groundings, Grouping, Phrases, Regions, Words

LEFT, RIGHT, TOP, WHOLE = (0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0), (0.0, 0.0, 1.0, 0.5), (0.0, 0.0, 1.0, 1.0)
BOXES = (LEFT, RIGHT, TOP, WHOLE)
SENTENCES = [
    Caption(
        "a#0",
        "a",
        "A dog, a dog-like cat and the man's t-shirt.",
        (
            Phrase((0, 2), (LEFT,), ("animals",), "1"),
            Phrase((2, 5), (RIGHT,), ("animals", "other"), "2"),
            Phrase((6, 9), (TOP,), ("clothing",), "3"),
        ),
    ),
    Caption(
        "a#1",
        "a",
        "The dog runs outside",
        (Phrase((0, 2), (LEFT,), ("animals",), "1"), Phrase((3, 4), (), absent="scene")),
    ),
    Caption("b#0", "b", "Two cats sit on a mat", (Phrase((0, 2), (LEFT, RIGHT), ("animals",)),)),
    Caption("c#0", "c", "Nothing at all", ()),
]


def build(**config) -> GroundingTask:
    return GroundingTask.build(SENTENCES, GroundingConfig(**config))


def read(images: list[str], *, padding: int = 0, boxes: bool = True) -> Regions:
    """The four boxes for every image, told apart by the image's letter; further rows only pad."""
    features = torch.stack([torch.arange(12.0).reshape(4, 3).add(ord(image[0])).cos() for image in images])
    mask = torch.ones(len(images), 4, dtype=torch.bool)
    places = torch.tensor([BOXES] * len(images))
    pad = [
        torch.nn.functional.pad(each, (0, 0, 0, padding), value=value) for each, value in ((features, 9), (places, 0))
    ]
    mask = torch.nn.functional.pad(mask, (0, padding))
    return Regions(pad[0], mask, pad[1] if boxes else None)


def grounder(task: GroundingTask, **sizes) -> torch.nn.Module:
    torch.manual_seed(0)
    sizes = {"attention_dropout": 0.0, "dropout": 0.0, "embedding_size": 8, "hidden_size": 8, **sizes}
    return create_model("ban-grounder", num_words=len(task.vocabulary), region_size=3, **sizes)


class Fixed(torch.nn.Module):
    """A grounder that prefers the region whose number it is told, whatever it reads."""

    def __init__(self, best: int, shifts: torch.Tensor | None = None) -> None:
        super().__init__()
        self.best, self.shifts = best, shifts

    def forward(self, regions: Regions, words: Words, phrases: Phrases, *, attention: bool = True) -> Groundings:
        mask = phrases.mask.unsqueeze(2) & regions.per_text(regions.mask).unsqueeze(1)
        logits = torch.where(torch.arange(mask.shape[2]) == self.best, 2.0, 0.0).expand(mask.shape)
        shifts = None if self.shifts is None else self.shifts.expand(*mask.shape, 4)
        return Groundings(logits.masked_fill(~mask, float("-inf")), (), shifts)


# Words


def test_phrases_are_found_by_place_whatever_stands_around_their_words() -> None:
    batch = build().stack(SENTENCES, read)
    read_as = [
        [[task_word(batch.words.ids[i, k]) for k in range(*span)] for span in spans]
        for i, spans in enumerate(batch.phrases.spans.tolist())
    ]
    assert read_as[0] == [["a", "dog"], ["a", "dog-like", "cat"], ["the", "man's", "t-shirt"]]
    assert read_as[1][0] == ["the", "dog"]
    assert batch.phrases.mask.tolist() == [[True] * 3, [True, False, False], [True, False, False], [False] * 3]


def task_word(number: torch.Tensor) -> str:
    return build().vocabulary.listed()[int(number)]


def test_a_phrase_without_a_word_is_read_by_the_one_before_it() -> None:
    captions = [Caption("a#0", "a", "a dog & - cat", (Phrase((2, 4), (LEFT,)), Phrase((0, 1), (TOP,))))]
    task = GroundingTask.build(captions, GroundingConfig())
    assert task.stack(captions, read).phrases.spans.tolist() == [[[1, 2], [0, 1]]]


def test_phrase_text_is_without_the_punctuation_around_it() -> None:
    assert phrase_text("A dog, a dog-like cat.", (2, 5)) == "a dog-like cat"


def test_phrases_are_noticed_by_what_training_phrases_are_made_of() -> None:
    captions = [
        Caption(text, text, text, tuple(Phrase(words, ()) for words in phrases))
        for text, *phrases in (
            ("a man holds all the children", (0, 2), (3, 6)),
            ("the woman near her dog, a cat", (0, 2), (3, 5), (5, 7)),
            ("the group of two men by a pile of rocks near rocks", (0, 5), (6, 10), (11, 12)),
        )
    ]
    vocabulary = Vocabulary.build(caption.text for caption in captions)
    noticer = Noticer.of(captions, vocabulary)
    assert noticer.opening == {"a", "her", "all", "the"}
    text = "The man a dog near all the zebras, woman, - holds her"
    found = [text.split()[start:end] for start, end in noticer.phrases(text, vocabulary)]
    assert found == [["The", "man"], ["a", "dog"], ["all", "the", "zebras,"], ["woman,"]]
    assert noticer.linking == {"of", "group", "two", "pile"}  # and so, of so few, are words that only never end one
    for text, *phrases in (
        ("two men", (0, 2)),
        ("near a pile of a man", (1, 6)),
        ("a pile of two dogs of", (0, 5)),
        ("of",),
        ("",),
    ):
        assert noticer.phrases(text, vocabulary) == phrases


# Losses


def losses_of(logits: np.ndarray, overlaps: np.ndarray) -> tuple[float, float]:
    """The two losses, pair by pair."""
    separate = together = 0.0
    for row, fits in zip(logits.tolist(), overlaps.tolist(), strict=True):
        exist = [n for n, logit in enumerate(row) if logit > -np.inf]
        for n in exist:
            p = 1 / (1 + exp(-row[n]))
            separate -= log(p) if fits[n] >= 0.5 else log(1 - p)
        weights = {n: fits[n] for n in exist if fits[n] >= 0.5}
        total = sum(exp(row[n]) for n in exist)
        together -= sum(w / sum(weights.values()) * log(exp(row[n]) / total) for n, w in weights.items())
    return separate, together


def test_losses_equal_their_definitions_and_leave_out_what_does_not_exist() -> None:
    draws = np.random.default_rng(0)
    logits, overlaps = draws.normal(size=(5, 6)), draws.random((5, 6))
    overlaps[1] = 0.3  # a phrase of which no region is right
    logits[:, 5], overlaps[:, 5] = -np.inf, 0.0
    separate, together = losses_of(logits, overlaps)
    inputs = torch.tensor(logits, requires_grad=True), torch.tensor(overlaps)
    assert sigmoid_loss(*inputs, 0.5).item() == pytest.approx(separate)
    assert softmax_loss(*inputs, 0.5).item() == pytest.approx(together)
    (sigmoid_loss(*inputs, 0.5) + softmax_loss(*inputs, 0.5)).backward()
    assert inputs[0].grad is not None
    assert inputs[0].grad.isfinite().all()
    assert (inputs[0].grad[:, 5] == 0).all()


def test_the_overlap_is_that_with_the_box_that_fits_best() -> None:
    draws = np.random.default_rng(1)
    corners = np.sort(draws.random((2, 9, 2, 2)), axis=2).reshape(2, 9, 4)
    boxes, truth = torch.tensor(corners[:, :6]), torch.tensor(corners[:, 6:])
    exist = torch.tensor([[True, True, False], [True, True, True]])
    overlaps, nearest = best_overlaps(boxes, truth, exist)
    for phrase, count in enumerate((2, 3)):
        table = iou(corners[phrase, :6], corners[phrase, 6 : 6 + count])
        assert overlaps[phrase].numpy() == pytest.approx(table.max(1))
        assert nearest[phrase].numpy() == pytest.approx(corners[phrase, 6:][table.argmax(1)])


def test_a_box_moved_by_its_shift_is_the_other_box() -> None:
    boxes, targets = (
        torch.tensor([LEFT, (0.2, 0.2, 0.4, 0.6)]),
        torch.tensor([(0.1, 0.1, 0.6, 0.9), (0.1, 0.3, 0.5, 0.7)]),
    )
    shifts = shifts_to(boxes, targets)
    assert torch.allclose(moved(boxes, shifts), targets)
    assert shifts[1].tolist() == pytest.approx([0.0, 0.25, log(2), 0.0], abs=1e-6)
    right = torch.tensor([[0.6, 0.1]])
    assert shift_loss(shifts[None], boxes[None], targets[None], right, 0.5).item() == 0
    off = shift_loss(shifts[None] + 2.0, boxes[None], targets[None], right, 0.5)
    assert off.item() == pytest.approx(4 * 1.5)  # the smooth L1 of 2, of the right box alone


def test_a_batch_has_the_loss_of_its_sentences_alone() -> None:
    task = build(loss="softmax")
    model = grounder(task, spatial=True, regress=True)
    records = task.trainable(SENTENCES)
    assert [each.id for each in records] == ["a#0", "a#1", "b#0"]
    together = task.loss(model, task.collate(records, read, grouped=True), lambda rows: rows)
    alone = [
        task.loss(model, task.collate([each], lambda i: read(i, padding=2), grouped=False), lambda rows: rows)
        for each in records
    ]
    assert together.item() == pytest.approx(sum(each.item() for each in alone), rel=1e-5)
    together.backward()
    assert all(each.grad is None or each.grad.isfinite().all() for each in model.parameters())


@pytest.mark.parametrize("loss", ["sigmoid", "softmax"])
def test_phrases_are_learnt_by_heart(loss: str) -> None:
    task = build(loss=loss)
    model = grounder(task, hidden_size=32, phrase="mean")
    batch = task.collate(task.trainable(SENTENCES), read, grouped=True)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        task.loss(model, batch, lambda rows: rows).backward()
        optimizer.step()
    found = task.metrics(predict(task, model.eval()))
    assert found["recall_1"] == 1


def test_words_start_from_the_vectors_of_a_file(tmp_path) -> None:
    (tmp_path / "glove.txt").write_text("dog 1 2 3 4 5 6 7 8\ncat 0 0 0 0 0 0 0 1\n")
    task = build(glove=str(tmp_path / "glove.txt"))
    model = grounder(task)
    task.ready(model)
    task.prepare(model, SENTENCES, SILENT)
    assert model.text_encoder.tables[0].weight[task.vocabulary.listed().index("dog")].tolist() == list(range(1, 9))
    with pytest.raises(RecipeError, match="expected vectors of 4 numbers"):
        task.ready(grounder(task, embedding_size=4))
    with pytest.raises(RecipeError, match="starts from no word vectors"):
        task.ready(create_model("r-dan-grounder", num_words=9, region_size=3, hidden_size=4))
    assert task.config.smoke().glove == ""


# Predictions


def predict(task: GroundingTask, model: torch.nn.Module, options: GroundingOptions | None = None, **how):
    with torch.no_grad():
        batch = task.stack(SENTENCES, read)
        return task.predict(
            model, batch, options or GroundingOptions(), **{"attention": False, **how}, generator=torch.Generator()
        )


def test_what_is_scored_is_phrases_with_boxes_and_those_without_are_counted() -> None:
    task = build()
    found = task.metrics(predict(task, Fixed(0), attention=True))
    assert (found["phrases_without_box"], found["phrases_without_box_scene"]) == (1, 1)
    assert (found["phrases"], found["phrases_animals"], found["phrases_clothing"]) == (5, 4, 1)
    assert found["recall_1"] == 3 / 5
    assert found["recall_1_animals"] == 3 / 4
    assert found["recall_5"] == found["upper_bound"] == 1
    assert found["recall_1_merged"] == 3 / 5  # the two cats' boxes together are the whole image, half of it fits
    assert found["recall_1_of_whole_image"] == 1  # halves of it overlap it by just a half
    assert found["mean_iou_of_whole_image"] == 0.5
    assert found["recall_1_of_sentence_without_phrase"] == found["recall_1"]
    assert task.counts(SENTENCES) == {
        "sentences": 4,
        "images": 3,
        "phrases": 6,
        "phrases_with_box": 5,
        "phrases_with_box_animals": 4,
        "phrases_with_box_clothing": 1,
        "phrases_with_box_other": 1,
        "phrases_without_box": 1,
        "phrases_without_box_scene": 1,
    }
    assert not {*task.metric_names(SENTENCES, None), *found} - {*found, *task.metric_names(SENTENCES, None)}
    assert "recall_1_animals" in task.metric_names(SENTENCES, None)
    with pytest.raises(DataError, match="no phrases with boxes"):
        task.metrics(predict(task, Fixed(0))[3:])


def test_the_rest_of_the_sentence_is_read_without_the_phrase() -> None:
    task = build()
    seen: list[list[int]] = []

    class Listening(Fixed):
        def forward(self, regions: Regions, words: Words, phrases: Phrases, *, attention: bool = True) -> Groundings:
            seen.extend(row[mask].tolist() for row, mask in zip(words.ids, words.mask, strict=True))
            return super().forward(regions, words, phrases, attention=attention)

    predict(task, Listening(0), attention=True)
    words = task.vocabulary.listed()
    rest = [" ".join(words[number] for number in row) for row in seen[len(SENTENCES) :]]
    assert rest == [
        "a dog-like cat and the man's t-shirt",
        "a dog and the man's t-shirt",
        "a dog a dog-like cat and",
        "runs outside",
        "sit on a mat",
    ]


def test_regions_are_ranked_moved_and_thinned_out() -> None:
    logits, boxes = torch.tensor([[1.0, 3.0, 2.0, 2.5]]), torch.tensor([LEFT, RIGHT, TOP, (0.5, 0.0, 1.0, 0.9)])
    [found] = find_regions(logits, boxes)
    assert found.boxes[0] == RIGHT
    assert found.scores == pytest.approx(sorted(logits.softmax(1)[0].tolist(), reverse=True))
    assert found.point[0] > 0.5
    [thinned] = find_regions(logits, boxes, nms=0.5)
    assert thinned.boxes == (RIGHT, TOP, LEFT)
    [shifted] = find_regions(logits, boxes, torch.tensor([-0.5, 0.0, 0.0, 0.0]).expand(1, 4, 4))
    assert shifted.boxes[0] == (0.25, 0.0, 0.75, 1.0)
    assert shifted.point == found.point
    [best] = find_regions(logits, boxes, vote=1.0)
    assert best == found
    [mean] = find_regions(logits, boxes, vote=0.5)
    squares = logits.softmax(1)[0].square()
    near = [1, 3]  # the right half and most of it
    expected = sum(squares[n] * boxes[n] for n in near) / squares[near].sum()
    assert mean.boxes[0] == pytest.approx(expected.tolist())
    assert mean.boxes[1:] == found.boxes
    assert mean.scores[:2] == pytest.approx([found.scores[0]] * 2)
    many = torch.rand(1, 40), torch.tensor([[x / 50, 0, 1, 1] for x in range(40)])
    assert len(find_regions(*many)[0].boxes) == len(find_regions(*many, vote=0.3)[0].boxes) == 10


def test_a_sentence_is_grounded_the_same_in_any_batch() -> None:
    task = build()
    model = grounder(task, spatial=True).eval()
    together = predict(task, model)
    for sentence, before in zip(SENTENCES, together, strict=True):
        with torch.no_grad():
            batch = task.stack([sentence], lambda images: read(images, padding=3))
            [alone] = task.predict(model, batch, GroundingOptions(), attention=False, generator=torch.Generator())
        for one, other in zip(alone.phrases, before.phrases, strict=True):
            assert one.found.boxes == other.found.boxes
            assert one.found.scores == pytest.approx(other.found.scores, abs=1e-6)


def test_result_files_have_the_format_of_score() -> None:
    task = build()
    [*results] = task.exports(predict(task, Fixed(1)), None)["results.json"]
    assert [(each["image_id"], each["sentence_id"], len(each["boxes"])) for each in results] == [
        ("a", 0, 3),
        ("a", 1, 1),
        ("b", 0, 1),
    ]
    assert results[0]["boxes"][0][0] == list(RIGHT)


def test_lines_to_beat_are_of_the_training_split_and_kept_with_the_run() -> None:
    task, windows = build(), read_windows()
    animal: Box = task.lines.usual["animals"]
    assert any(np.allclose(animal, window) for window in windows)
    assert iou(np.array([animal]), np.array([LEFT]))[0, 0] >= 0.5
    again = GroundingTask.from_files(task.files(), task.config)
    assert again.files() == task.files()
    for broken, message in (("{", "not valid JSON"), ('{"inside": 1}', "lists of words"), ("[]", "lists of words")):
        with pytest.raises(RunError, match=message):
            GroundingTask.from_files({**task.files(), "phrases.json": broken}, task.config)
    with pytest.raises(RunError, match="usual box"):
        GroundingTask.from_files(
            {**task.files(), "phrases.json": '{"inside": [], "opening": [], "linking": []}'}, task.config
        )


def test_the_bound_of_the_regions_is_told_before_training() -> None:
    told = build().remarks_on_regions(SENTENCES, lambda images: [np.array([LEFT, TOP], np.float32)] * len(images))
    assert told[0].startswith("upper bound: 80.00 % of 5 phrases")
    assert told[1] == "upper bound by type: animals 75.00 %, clothing 100.00 %, other 0.00 %"
    assert build().remarks_on_regions(SENTENCES[3:], lambda images: [np.zeros((1, 4))] * len(images)) == []


# Replies


def reply(sentence: str, *phrases: str, task: GroundingTask | None = None, model: torch.nn.Module | None = None):
    task = task or build()
    picture = OpenedImage(Image.new("RGB", (40, 20)), "a.png")
    with torch.no_grad():
        return task.reply(
            (model or grounder(task)).eval(),
            read(["a"]),
            [picture],
            [sentence],
            GroundingOptions(phrase=phrases),
            torch.Generator(),
        )[0]


def test_a_reply_has_the_phrases_that_are_noticed_or_named() -> None:
    noticed = reply("The dog runs")
    assert [(each.text, each.words) for each in noticed.phrases] == [("The dog", (0, 2))]
    named = reply("A dog, a dog-like cat", "dog-like cat", "A DOG")
    assert [(each.text, each.words) for each in named.phrases] == [("dog-like cat", (3, 5)), ("A dog", (0, 2))]
    twice = reply("a dog sees a dog", "a dog")
    assert [each.words for each in twice.phrases] == [(0, 2), (3, 5)]
    plain = named.to_dict()
    assert plain["phrases"][0]["phrase"] == "dog-like cat"
    assert {tuple(each["axes"]) for each in plain["attention"]} == {("phrases", "regions"), ("words", "regions")}
    assert len(plain["attention"][0]["weights"]) == 2
    figure = named.figure()
    assert [panel.title for panel in figure.panels] == ["image", "dog-like cat", "A dog"]
    words = figure.panels[0].words
    assert words is not None
    assert words.colors == (1, 1, None, 0, 0)
    assert figure.from_dict(figure.to_dict()).to_dict() == figure.to_dict()


def test_several_sentences_about_one_picture() -> None:
    task = build()
    picture = OpenedImage(Image.new("RGB", (40, 20)), "a.png")
    texts = ["the dog runs", "two cats sit on a mat"]
    regions = read(["a"]).grouped(Grouping.of(torch.tensor([0, 0])))
    model = grounder(task).eval()
    with torch.no_grad():
        both = task.reply(model, regions, [picture] * 2, texts, GroundingOptions(), torch.Generator())
    for text, each in zip(texts, both, strict=True):
        alone = reply(text, task=task, model=model)
        assert [p.found.boxes for p in each.phrases] == [p.found.boxes for p in alone.phrases]


def test_what_cannot_be_grounded_is_refused() -> None:
    with pytest.raises(DataError, match='the nearest in "The dog runs" is "The dog"'):
        reply("The dog runs", "tha dog")
    with pytest.raises(DataError, match=r"no phrase was noticed in 'runs': say which words to find, as in --phrase"):
        reply("runs")
    with pytest.raises(DataError, match="at least one word"):
        reply("...")
    with pytest.raises(DataError, match="phrases that have boxes, got none"):
        build().trainable(SENTENCES[3:])
    with pytest.raises(RecipeError, match="nms"):
        build().check_options(None, GroundingOptions(nms=1.5))
    with pytest.raises(RecipeError, match="vote"):
        build(vote=0.0)
    with pytest.raises(RecipeError, match="expected a sentence for each image"):
        build().reply(None, read(["a"]), [], None, GroundingOptions(), torch.Generator())
    task = build()
    with pytest.raises(StoreError, match="regions have no boxes"):
        task.loss(Fixed(0), task.collate(SENTENCES[:1], lambda i: read(i, boxes=False), grouped=False), lambda r: r)
