"""Every model of the table: learning, gradients, maps, padding, batches, grouping, saving."""

from __future__ import annotations

import typing

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn.functional import cross_entropy

import saccade.models
from saccade.decoding import decode
from saccade.errors import RecipeError, UnknownNameError
from saccade.hypotheses import Search
from saccade.models import MODELS, create_model, data_sizes, model_sizes, output_of
from saccade.text import END_ID, pad_words
from saccade.types import Answers, AttentionMap, Captions, Groundings, Grouping, Matches, Phrases, Regions, Words

WORDS, ANSWERS, IMAGES, REGIONS, SIZE = 23, 5, 3, 7, 11
TEXTS = [[2, 3, 4, 5], [6], [7, 8, 9], [10, 11], [12, 13, 14, 15]]
IMAGE_OF = torch.tensor([2, 0, 2, 1, 0])


# Narrow enough to be quick; what is not here is the paper's.
SMALL = {
    "ban": {"glimpses": 2, "rank": 2, "embedding_size": 7, "question_mask": True},
    "ban-unitary": {"rank": 2, "embedding_size": 7, "question_mask": True},
    "ban-co": {"rank": 2, "embedding_size": 7, "question_mask": True},
    "dfaf": {"hidden_size": 12, "heads": 3, "blocks": 2, "question_size": 13, "embedding_size": 7},
    "ban-grounder": {"rank": 2, "embedding_size": 7},
    "dfaf-grounder": {"hidden_size": 12, "heads": 3, "blocks": 2, "sentence_size": 13, "embedding_size": 7},
    "lstm-q-i": {"embedding_size": 7, "lstm_size": 5},
    "san": {"embedding_size": 7, "attention_size": 5},
    "mrn": {"embedding_size": 7, "gru_size": 17},
    "sat-soft": {"embedding_size": 5, "attention_size": 7},
    "sat-hard": {"embedding_size": 5, "attention_size": 7},
    "nic": {"embedding_size": 5},
}
# SMem lets padding choose regions, as its authors' code does: what no word chose is in no word's row.
MAY_LACK_WEIGHT = ("hop 1 words",)
# What is added to all logits of a softmax alike changes nothing: the last bias before one has no gradient. BAN's has,
# from the counter, which reads the logits themselves.
UNSEEN_BY_A_SOFTMAX = {
    "r-dan": ("looks.0.logit.bias", "looks.1.logit.bias", "reads.0.logit.bias", "reads.1.logit.bias"),
    "r-dan-grounder": ("looks.0.logit.bias", "looks.1.logit.bias", "reads.0.logit.bias", "reads.1.logit.bias"),
    "m-dan": ("looks.0.logit.bias", "looks.1.logit.bias", "reads.0.logit.bias", "reads.1.logit.bias"),
    "san": ("layers.0.logit.bias", "layers.1.logit.bias"),
    "sat-soft": ("attention.logit.bias",),
    "sat-hard": ("attention.logit.bias",),
}
TEXT_ALONE = ("question-only",)
WIDER = ("hidden_size", "lstm_size", "gru_size")  # to learn in seconds


def tiny(name: str, **others) -> torch.nn.Module:
    torch.manual_seed(3)
    sizes = {"hidden_size": 13} if "hidden_size" in model_sizes(name) else {}
    sizes |= SMALL.get(name, {})
    return create(name, num_words=WORDS, region_size=SIZE, **sizes | others).double()


def create(name: str, **sizes) -> torch.nn.Module:
    return create_model(name, **dict.fromkeys(data_sizes(name), ANSWERS) | sizes)


def images() -> Regions:
    generator = torch.Generator().manual_seed(4)
    features = torch.randn(IMAGES, REGIONS, SIZE, dtype=torch.float64, generator=generator)
    corners = torch.rand(IMAGES, REGIONS, 2, dtype=torch.float64, generator=generator) / 2
    mask = torch.ones(IMAGES, REGIONS, dtype=torch.bool)
    mask[1, 5:] = False
    return Regions(features, mask, torch.cat([corners, corners + 0.3], -1))


def per_text(regions: Regions) -> Regions:
    return pick(regions, IMAGE_OF)


def pick(regions: Regions, rows: torch.Tensor | list[int]) -> Regions:
    return Regions(regions.features[rows], regions.mask[rows], regions.boxes[rows])


Output = Answers | Captions | Matches | Groundings


def phrases_of(words: Words) -> Phrases:
    """Two phrases of a text: its first word, and all of it where it has more."""
    ends = torch.stack([torch.ones(len(words.ids), dtype=torch.int64), words.mask.sum(1)], 1)
    return Phrases(torch.stack([torch.zeros_like(ends), ends], 2), torch.stack([ends[:, 0] > 0, ends[:, 1] > 1], 1))


def look(model: torch.nn.Module, regions: Regions, words: Words, **options: bool) -> Output:
    """What the model makes of them; a grounder is asked for phrases of the text."""
    asked = [phrases_of(words)] if typing.get_type_hints(model.forward)["return"] is Groundings else []
    return model(regions, words, *asked, **options)


def rows_of(output: Output) -> tuple[torch.Tensor, ...]:
    """The tensors with a row for each text; of a matcher, those of the images beside those of the sentences.

    A grounder's have 0 for minus infinity.
    """
    if isinstance(output, Groundings):
        return (output.logits.masked_fill(output.logits.isneginf(), 0),)
    return (output.images.z, output.sentences.z) if isinstance(output, Matches) else (output.logits,)


def maps_of(output: Output) -> tuple[AttentionMap, ...]:
    """The maps; of a matcher, those of the images and of the sentences."""
    sides = (output.images, output.sentences) if isinstance(output, Matches) else (output,)
    return tuple(each for side in sides for each in side.attention)


def squares(output: Output) -> torch.Tensor:
    """A number in which every row takes part."""
    return torch.stack([rows.square().sum() for rows in rows_of(output)]).sum()


def same(a: Output, b: Output, rows: slice | int | list[int] = slice(None)) -> None:
    for ours, theirs in zip(rows_of(a), rows_of(b), strict=True):
        torch.testing.assert_close(ours, theirs[rows])
    for ours, theirs in zip(maps_of(a), maps_of(b), strict=True):
        torch.testing.assert_close(ours.weights, theirs.weights[rows])


every_model = pytest.mark.parametrize("name", MODELS)
# A matcher embeds images and sentences apart, so that it has no row for a text about an image; tests/models and
# tests/tasks have what else there is to see of it.
models_of_texts_about_images = pytest.mark.parametrize("name", [n for n in MODELS if output_of(n) is not Matches])
answerers_and_captioners = pytest.mark.parametrize("name", [n for n in MODELS if output_of(n) in (Answers, Captions)])


@every_model
def test_every_parameter_gets_a_gradient_that_is_not_zero(name: str) -> None:
    model = tiny(name).train()
    output = look(model, per_text(images()), pad_words(TEXTS))
    penalty = getattr(output, "penalty", None)
    (squares(output) + (0 if penalty is None else penalty.sum())).backward()
    largest = {k: 0.0 if p.grad is None else p.grad.abs().max().item() for k, p in model.named_parameters()}
    rounding = 1e-12 * max(largest.values())
    assert tuple(key for key, value in largest.items() if value <= rounding) == UNSEEN_BY_A_SOFTMAX.get(name, ())


@answerers_and_captioners
def test_eight_examples_are_learnt_by_heart(name: str) -> None:
    """Answers need image and text: each image has two texts, each text two images. Each image has a caption.

    Grounders have tests of their own, in tests/models.
    """
    captions = output_of(name) is Captions
    if captions:
        image, texts = torch.arange(8), [[3 + k, *[12, 13][: k % 3], END_ID] for k in range(8)]
    else:
        image, texts = torch.arange(8) // 2, [[[3, 4, 5], [6, 4], [7], [8, 5, 3]][k] for k in (0, 1, 1, 2, 2, 3, 3, 0)]
    if name in TEXT_ALONE:
        texts = [[3 + k, 11] for k in range(8)]
    generator, numbers = torch.Generator().manual_seed(4), torch.arange(8)
    features = torch.randn(8, REGIONS, SIZE, generator=generator)[image]
    boxes = torch.rand(8, REGIONS, 4, generator=generator).sort(-1).values[image]
    regions, words = Regions(features, torch.ones(8, REGIONS, dtype=torch.bool), boxes), pad_words(texts)
    sizes = {size: 0.0 if "dropout" in size else 24 for size in model_sizes(name) if size in WIDER or "dropout" in size}
    model = tiny(name, **sizes, **({} if captions else {"num_answers": 8})).float()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for step in range(500):
        output = model.train()(regions, words, attention=False)
        logits, wanted = (
            (output.logits, numbers) if not captions else (output.logits[words.mask], words.ids[words.mask])
        )
        loss = cross_entropy(logits, wanted, reduction="sum") / 8
        if getattr(output, "penalty", None) is not None:
            loss = loss + output.penalty.mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 10 == 9 and all(right(model.eval(), regions, words)):
            return
    pytest.fail(f"after 500 steps right: {right(model.eval(), regions, words)}")


@torch.no_grad()
def right(model: torch.nn.Module, regions: Regions, words: Words) -> list[bool]:
    """Which texts' answers are their numbers, or which images' captions are their texts."""
    if isinstance(output := model(regions, words), Answers):
        return (output.logits.argmax(1) == torch.arange(len(words.ids))).tolist()
    found = [(*best.ids, END_ID) for best, *_ in decode(model, regions, Search(max_length=7))]
    return [each == tuple(ids[mask].tolist()) for each, ids, mask in zip(found, words.ids, words.mask, strict=True)]


@every_model
def test_maps_are_named_distributions_over_what_the_masks_allow(name: str) -> None:
    regions, words = per_text(images()), pad_words(TEXTS)
    maps = maps_of(look(tiny(name).eval(), regions, words))
    masks = {"regions": regions.mask, "words": words.mask, "phrases": phrases_of(words).mask}
    assert len({(m.name, m.axes) for m in maps}) == len(maps)
    for each in maps:
        allowed = torch.ones(len(TEXTS), dtype=torch.bool)
        for axis in each.axes:
            allowed = allowed.unsqueeze(-1) & (
                masks[axis].view(len(TEXTS), *[1] * (allowed.ndim - 1), -1)
                if axis in masks
                else torch.ones(each.weights.shape[1], dtype=torch.bool)
            )
        assert each.weights.shape == allowed.shape
        assert not each.weights[~allowed].any()
        if each.kind == "joint" and each.name not in MAY_LACK_WEIGHT:
            torch.testing.assert_close(each.weights.flatten(1).sum(1), torch.ones(len(TEXTS), dtype=torch.float64))
        if each.kind == "rows":
            torch.testing.assert_close(each.weights.sum(-1), allowed.any(-1).double())


@every_model
def test_padding_changes_nothing(name: str) -> None:
    model, regions = tiny(name).eval(), per_text(images())
    whole = look(model, regions, pad_words(TEXTS))
    for row, text in enumerate(TEXTS):
        kept = regions.mask[row]
        alone = Regions(*(each[row : row + 1, kept] for each in (regions.features, regions.mask, regions.boxes)))
        for [found], rows in zip(rows_of(look(model, alone, pad_words([text]))), rows_of(whole), strict=True):
            torch.testing.assert_close(found, rows[row][tuple(map(slice, found.shape))])


@every_model
def test_what_lies_in_the_padding_changes_nothing(name: str) -> None:
    model, regions, words = tiny(name).eval(), per_text(images()), pad_words(TEXTS)
    features = regions.features.masked_fill(~regions.mask.unsqueeze(2), 1e3)
    ids = words.ids.masked_fill(~words.mask, 4)
    same(
        look(model, Regions(features, regions.mask, regions.boxes), Words(ids, words.mask)), look(model, regions, words)
    )


@every_model
def test_an_image_without_regions_gets_an_answer_and_no_gradient(name: str) -> None:
    model, regions = tiny(name).eval(), per_text(images())
    features = regions.features.clone().requires_grad_()
    nothing = Regions(features, torch.zeros_like(regions.mask), regions.boxes)
    output = look(model, nothing, pad_words(TEXTS), attention=False)
    squares(output).backward()
    assert all(rows.isfinite().all() for rows in rows_of(output))
    assert features.grad is None or not features.grad.any()


@every_model
def test_a_batch_in_another_order_gives_the_same_rows(name: str) -> None:
    model, regions, order = tiny(name).eval(), per_text(images()), [3, 1, 4, 0, 2]
    same(
        look(model, pick(regions, order), pad_words([TEXTS[i] for i in order])),
        look(model, regions, pad_words(TEXTS)),
        order,
    )


@models_of_texts_about_images
def test_questions_grouped_by_image_give_the_same_results_and_gradients(name: str) -> None:
    model, regions, words = tiny(name).eval(), images(), pad_words(TEXTS)
    apart, grouped = look(model, per_text(regions), words), look(model, regions.grouped(Grouping.of(IMAGE_OF)), words)
    same(grouped, apart)
    apart_gradients, grouped_gradients = (
        torch.autograd.grad(squares(output), list(model.parameters())) for output in (apart, grouped)
    )
    for a, b in zip(apart_gradients, grouped_gradients, strict=True):
        torch.testing.assert_close(a, b)


@every_model
def test_saved_and_loaded_weights_give_the_same_rows(name: str, tmp_path) -> None:
    model, regions, words = tiny(name).eval(), per_text(images()), pad_words(TEXTS)
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    torch.manual_seed(99)
    other = tiny(name).eval()
    other.load_state_dict(load_file(tmp_path / "model.safetensors"))
    assert all(map(torch.equal, rows_of(look(other, regions, words)), rows_of(look(model, regions, words))))


@every_model
def test_attention_off_gives_the_same_rows(name: str) -> None:
    model, regions, words = tiny(name).eval(), per_text(images()), pad_words(TEXTS)
    torch.testing.assert_close(
        rows_of(look(model, regions, words, attention=False)), rows_of(look(model, regions, words))
    )


@every_model
def test_an_unknown_size_and_a_wrong_one_are_refused(name: str) -> None:
    size = next(iter(model_sizes(name)))
    with pytest.raises(UnknownNameError, match=rf"no size of {name} named '{size}s'; did you mean '{size}'"):
        create(name, num_words=2, region_size=2, **{f"{size}s": 1})
    with pytest.raises(RecipeError, match="expected a number"):
        create(name, num_words=2, region_size=2, **{size: "wide"})


@every_model
def test_unknown_model_names_the_nearest(name: str) -> None:
    with pytest.raises(UnknownNameError, match=f"did you mean '{name}'"):
        saccade.models.create_model(f"{name}x", num_words=2, num_answers=2, region_size=2)


@every_model
def test_a_size_that_only_the_data_can_tell_must_be_told(name: str) -> None:
    needed = data_sizes(name)
    assert needed == (("num_words", "num_answers") if output_of(name) is Answers else ("num_words",))
    for size in needed:
        rest = dict.fromkeys(set(needed) - {size}, 2)
        with pytest.raises(RecipeError, match=f"{name} needs to know {size} of its data: give a number"):
            create_model(name, region_size=2, **rest)
    others = {"num_phrases": 2} if output_of(name) is Answers else {"num_answers": 2}
    with pytest.raises(UnknownNameError, match=f"no size of {name} named '{next(iter(others))}'"):
        create_model(name, region_size=2, **dict.fromkeys(needed, 2), **others)


@every_model
def test_a_models_output_is_what_its_forward_says(name: str) -> None:
    output = look(tiny(name), per_text(images()), pad_words(TEXTS))
    assert type(output) is output_of(name)
