"""Captioning: words from training alone, batches, the loss beside a slow one, decoding, metrics, pointing."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from saccade.data.records import Caption, Phrase
from saccade.errors import DataError, RecipeError
from saccade.hypotheses import Search
from saccade.models import create_model
from saccade.recipe import TrainConfig
from saccade.tasks import CaptioningConfig, CaptioningOptions
from saccade.tasks.captioning.task import CaptionedImage, CaptioningTask, CaptionPrediction
from saccade.text import END_ID
from saccade.types import Captions, Regions

CELLS = torch.tensor([[0, 0, 0.5, 1], [0.5, 0, 1, 1]])
TEXTS = {"a": ["A dog runs.", "The dog's ball!"], "b": ["a cat sits", "a small cat sits down"]}
CAPTIONS = [Caption(f"{image}#{n}", image, text) for image, texts in TEXTS.items() for n, text in enumerate(texts)]


def build(**config) -> CaptioningTask:
    return CaptioningTask.build(CAPTIONS, CaptioningConfig(**config))


def read(images: list[str]) -> Regions:
    """Two regions an image, told apart by the image's letter."""
    features = torch.stack([torch.full((2, 3), float(ord(image[0]) - 96)) for image in images])
    return Regions(features, torch.ones(len(images), 2, dtype=torch.bool), CELLS.expand(len(images), 2, 4), (1, 2))


def model(task: CaptioningTask, name: str = "sat-soft", **sizes) -> torch.nn.Module:
    torch.manual_seed(0)
    narrow = {"hidden_size": 7, "embedding_size": 5} | ({} if name == "nic" else {"attention_size": 3})
    return create_model(name, num_words=len(task.vocabulary), region_size=3, **narrow, **sizes)


def test_words_are_the_metrics_tokens_of_the_training_captions() -> None:
    assert build().vocabulary.listed()[3:6] == ["a", "cat", "dog"]
    assert "'s" in build().vocabulary
    assert len(build(words=5).vocabulary) == 5
    assert "ball" not in build(min_word_count=2).vocabulary


def test_captions_end_with_the_end() -> None:
    task = build(min_word_count=2)
    words = task.encode(CAPTIONS[:2])
    assert words.ids.tolist() == [[3, 5, 1, END_ID, 0], [1, 5, 1, 1, END_ID]]
    assert words.mask.sum(1).tolist() == [4, 5]


def test_special_symbols_in_captions_are_words_like_others() -> None:
    texts = ["a red <unk> picture", "this <END> is red", "<pad> <pad>"]
    captions = [Caption(f"a#{n}", "a", text) for n, text in enumerate(texts)]
    task = CaptioningTask.build(captions, CaptioningConfig())
    words = task.encode(captions)
    assert sorted(set(words.ids[words.mask].tolist())) == list(range(2, len(task.vocabulary)))
    assert (words.ids == END_ID).sum(1).tolist() == [1, 1, 1]
    assert task.vocabulary.unknown("<unk> <end> <pad> <start>") == ["<start>"]


def test_long_captions_are_not_trained_on_and_empty_ones_refused() -> None:
    assert build(max_words=3).trainable(CAPTIONS) == [CAPTIONS[0], CAPTIONS[2]]
    with pytest.raises(DataError, match=r"caption 'c#0' of c: expected a caption with at least one word, got '\.\.'"):
        build().check([Caption("c#0", "c", "..")])


@pytest.mark.parametrize("batches", ["length", "padded"])
def test_batches_have_every_caption_once(batches: str) -> None:
    task, config = build(batches=batches), TrainConfig(batch_size=2, group_by_image=True)
    found = task.batches(CAPTIONS, config, 0)
    assert sorted(i for batch in found for group in batch for i in group) == [0, 1, 2, 3]
    lengths = [{len(task.encode([CAPTIONS[i]]).ids[0]) for group in batch for i in group} for batch in found]
    assert batches == "padded" or all(len(of_batch) == 1 for of_batch in lengths)


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_is_the_negative_log_likelihood_of_every_word_and_the_penalty(grouped: bool, smoothing: float) -> None:
    task = build(label_smoothing=smoothing)
    batch = task.collate(CAPTIONS, read, grouped=grouped)
    net = model(task, dropout=0.0).train()
    output = net(batch.regions, batch.words)
    slow = 0.0
    for logits, caption in zip(output.logits, CAPTIONS, strict=True):
        for row, word in zip(logits.log_softmax(1), task.encode([caption]).ids[0], strict=False):
            slow = slow - (1 - smoothing) * row[word] - smoothing * row.mean()
    torch.testing.assert_close(task.loss(net, batch, lambda rows: rows), slow + output.penalty.sum())


def test_captions_of_an_image_share_it_when_grouped() -> None:
    task = build()
    net = model(task).eval()
    apart, grouped = (task.collate(CAPTIONS, read, grouped=each) for each in (False, True))
    assert len(grouped.regions.features) == 2
    torch.testing.assert_close(net(grouped.regions, grouped.words).logits, net(apart.regions, apart.words).logits)


def predictions(
    task: CaptioningTask, net: torch.nn.Module, captions=CAPTIONS, *, attention=True
) -> list[CaptionPrediction]:
    return task.predict(
        net.eval(),
        task.stack(task.examples(captions), read),
        CaptioningOptions(),
        attention=attention,
        generator=torch.Generator(),
    )


@pytest.mark.parametrize("name", ["sat-soft", "sat-hard", "nic"])
def test_every_image_gets_one_caption_held_against_its_own(name: str) -> None:
    task = build(beam=3, max_length=4)
    found = predictions(task, model(task, name))
    assert [p.image for p in found] == ["a", "b"]
    assert [list(p.references) for p in found] == list(TEXTS.values())
    assert all(1 <= len(p.caption.split()) <= 4 and p.log_probability < 0 for p in found)
    assert not {"<unk>", "<pad>", "<end>"} & {word for p in found for word in p.caption.split()}
    metrics = task.metrics(found)
    assert {"bleu_4", "bleu_4_no_bp", "rouge_l", "cider", "cider_d", "distinct_captions"} <= metrics.keys()


def test_perfect_captions_score_one() -> None:
    found = [CaptionPrediction(image, " ".join(texts[0].split()), 0.0, tuple(texts)) for image, texts in TEXTS.items()]
    metrics = build().metrics(found)
    assert metrics["bleu_1"] == pytest.approx(1)
    assert metrics["distinct_captions"] == 1
    same = build().metrics([dataclasses.replace(p, caption="a dog") for p in found])
    assert same["distinct_captions"] == 0.5


def test_object_words_are_the_last_words_of_phrases_among_the_tokens() -> None:
    box = ((0.0, 0.0, 0.5, 1.0),)
    text = "A dog , running , sees the man's cat ."
    caption = Caption("a#0", "a", text, (Phrase((0, 2), box), Phrase((6, 9), box)))
    task = build()
    tokens = ["a", "dog", "running", "sees", "the", "man", "'s", "cat"]
    assert [tokens[place] for place, _ in task.object_words(caption)] == ["dog", "cat"]


class Looking(torch.nn.Module):
    """A captioner that looks at the left region with even words and at the right one with odd ones."""

    def __init__(self, inner: torch.nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.start, self.step = inner.start, inner.step

    def forward(self, regions, words) -> Captions:
        output = self.inner(regions, words)
        weights = torch.zeros_like(output.attention[0].weights)
        weights[:, 0::2, 0] = 1
        weights[:, 1::2, 1] = 1
        return Captions(output.logits, (dataclasses.replace(output.attention[0], weights=weights),))


def test_object_words_point_at_their_boxes() -> None:
    left, right = ((0.0, 0.0, 0.5, 1.0),), ((0.5, 0.0, 1.0, 1.0),)
    captions = [
        Caption("a#0", "a", "a dog and a cat", (Phrase((0, 2), right), Phrase((3, 5), right))),
        Caption("b#0", "b", "a dog", ()),
    ]
    task = build(max_length=4)
    found = predictions(task, Looking(model(task)), captions)
    assert [p.pointing for p in found] == [(1.0, 0.0), ()]
    assert task.metrics(found)["pointing_accuracy"] == 0.5
    assert task.metrics(found)["object_words"] == 2
    assert "pointing_accuracy" not in task.metrics(predictions(task, model(task, "nic"), captions))
    boxless = (Phrase((0, 2), (), absent="scene"), Phrase((1, 2), (), absent="no box"))
    more = [dataclasses.replace(c, phrases=(*boxless[: len(c.text.split()) - 1], *c.phrases)) for c in captions]
    assert [p.pointing for p in predictions(task, Looking(model(task)), more)] == [(1.0, 0.0), ()]
    captions[0] = dataclasses.replace(captions[0], phrases=(Phrase((0, 2), left),))
    assert task.metrics(predictions(task, Looking(model(task)), captions))["pointing_accuracy"] == 0


def test_a_search_may_be_changed_and_a_wrong_one_is_refused() -> None:
    task = build(beam=3)
    assert task.search(CaptioningOptions(length_penalty=1.0)) == Search(beam=3, length_penalty=1.0)
    with pytest.raises(RecipeError, match="beam"):
        task.search(CaptioningOptions(beam=0))


def test_there_is_nothing_to_score_without_captions() -> None:
    with pytest.raises(DataError, match="nothing to score"):
        build().metrics([])
    assert build().examples(CAPTIONS)[0] == CaptionedImage("a", tuple(CAPTIONS[:2]))


def test_a_beam_wider_than_the_vocabulary_is_refused_before_any_image_is_read() -> None:
    with pytest.raises(RecipeError, match=r"expected beam <= 10, .* got 11: narrow the beam"):
        build(beam=11)
    with pytest.raises(RecipeError, match="narrow the beam"):
        build().search(CaptioningOptions(beam=11))
