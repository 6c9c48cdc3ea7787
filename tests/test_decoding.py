"""Decoding beside slow twins: enumeration, a search of plain lists, the path walked again, one image at a time."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.toy_captioner import (
    EVERY_IMAGE,
    IMAGES,
    VOCABULARY,
    Toy,
    everything,
    flat,
    log_p,
    log_p_of,
    plain_beam,
    plain_greedy,
    score,
    some_images,
    toy,
    walk,
)

from saccade.decoding import decode
from saccade.errors import RecipeError, RunError, UnknownNameError
from saccade.hypotheses import Hypothesis, Search
from saccade.text import END_ID
from saccade.types import Grouping

begins = st.lists(st.integers(END_ID + 1, VOCABULARY - 1), max_size=3).map(tuple)
searches = st.builds(
    lambda beam, n, low, more, penalty, begin: Search(
        beam, low + more, low, penalty, min(n, beam), begin=begin[: low + more]
    ),
    st.integers(1, 13),
    st.integers(1, 13),
    st.integers(0, 3),
    st.integers(1, 4),
    st.sampled_from([0.0, 0.7, 1.0, 2.5, -0.5]),
    st.just(()) | begins,
)
seeds, ends = st.integers(0, 10**6), st.sampled_from([-4.0, 0.0, 2.0])


@settings(max_examples=40, deadline=None)
@given(seeds, ends, searches)
def test_the_beam_is_the_authors_search_of_one_image_on_lists(seed: int, end: float, search: Search) -> None:
    model = toy(seed, end=end)
    for image, captions in enumerate(decode(model, EVERY_IMAGE, search)):
        # Of captions that are equally likely rounding decides which comes first, and which is the last to be given.
        found, every = flat(captions), plain_beam(model, image, replace(search, n_best=search.beam))
        assert [each[1:] for each in every[: search.n_best]] == [each[1:] for each in found]
        assert all(each in found for each in every if each[0] in {ids for ids, *_ in found})
        assert {ids for ids, *_ in found} <= {ids for ids, *_ in every}
        assert [score(each, search) for each in captions if each.finished] == sorted(
            (score(each, search) for each in captions if each.finished), reverse=True
        )
        assert len({each.ids for each in captions}) == len(captions)


@settings(max_examples=25, deadline=None)
@given(seeds, ends, searches)
def test_a_beam_of_one_is_greedy_search(seed: int, end: float, search: Search) -> None:
    model, search = toy(seed, end=end), replace(search, beam=1, n_best=1)
    for image, captions in enumerate(decode(model, EVERY_IMAGE, search)):
        assert [plain_greedy(model, image, search)] == flat(captions)


@settings(max_examples=25, deadline=None)
@given(
    seeds,
    ends,
    st.sampled_from([0.0, 0.5, 1.0, 3.0, -1.0]),
    st.sampled_from([(0, 2), (1, 3), (2, 3), (3, 3), (1, 4)]),
    st.just(()) | begins,
)
def test_a_beam_of_full_width_is_exhaustive(
    seed: int, end: float, penalty: float, lengths: tuple[int, int], begin: tuple[int, ...]
) -> None:
    low, high = lengths
    model = toy(seed, end=end)
    search = Search(4 ** (high + 1) + 3**high, high, low, penalty, n_best=7, begin=begin[:high])
    for image, captions in enumerate(decode(model, EVERY_IMAGE, search)):
        best = everything(model, image, search)[:7]
        assert [ids for _, ids in best] == [each.ids for each in captions]
        assert [value for value, _ in best] == pytest.approx([score(each, search) for each in captions], abs=1e-9)


@settings(max_examples=25, deadline=None)
@given(seeds, ends, searches, st.lists(st.integers(0, IMAGES - 1), min_size=1, max_size=17))
def test_images_together_give_what_each_gives_alone(seed: int, end: float, search: Search, numbers: list[int]) -> None:
    model = toy(seed, end=end)
    together = decode(model, some_images(*numbers), search)
    alone = {number: decode(model, some_images(number), search)[0] for number in set(numbers)}
    for number, captions in zip(numbers, together, strict=True):
        assert [(each.ids, each.log_probability, each.finished) for each in captions] == [
            (each.ids, each.log_probability, each.finished) for each in alone[number]
        ]
        for ours, theirs in zip(captions, alone[number], strict=True):
            same_maps(ours, theirs)


def same_maps(ours: Hypothesis, theirs: Hypothesis) -> None:
    assert len(ours.attention) == len(theirs.attention) == 2
    for one, other in zip(ours.attention, theirs.attention, strict=True):
        assert torch.equal(one.weights, other.weights)


@pytest.mark.parametrize("kind", ["beam", "greedy", "sample"])
def test_each_caption_carries_the_maps_of_its_own_path(kind: str) -> None:
    seen = 0
    for seed, end in itertools.product(range(7), (-3.0, 1.0)):
        model, beam = toy(seed, end=end), 1 if kind == "greedy" else 3
        search = Search(beam, 6, 1, 0.5, beam, sample=kind == "sample")
        found = decode(model, EVERY_IMAGE, search, torch.Generator().manual_seed(seed))
        for image, captions in enumerate(found):
            for each in captions:
                attention, beta = each.attention
                assert (attention.axes, attention.name, attention.kind) == (("words", "regions"), "attention", "rows")
                assert (beta.axes, beta.name, beta.kind) == (("words",), "beta", "raw")
                rows, gates = walk(model, image, each.ids)
                assert torch.equal(attention.weights, rows)
                assert torch.equal(beta.weights, gates)
                seen += 1
    assert seen == 7 * 2 * IMAGES * (1 if kind == "greedy" else 3)


def test_without_attention_the_captions_are_the_same() -> None:
    search = Search(3, 5, n_best=3)
    for one, other in zip(
        decode(toy(), EVERY_IMAGE, search), decode(toy(), EVERY_IMAGE, search, attention=False), strict=True
    ):
        assert [each.ids for each in one] == [each.ids for each in other]
        assert all(each.attention == () for each in other)


def test_permuted_images_give_permuted_captions() -> None:
    search, order = Search(3, 6, 1, 1.0, 2), [3, 0, 4, 2, 1]
    plain, permuted = (decode(toy(4), regions, search) for regions in (EVERY_IMAGE, some_images(*order)))
    assert [flat(plain[i]) for i in order] == [[(e.ids, e.log_probability, e.finished) for e in p] for p in permuted]


@pytest.mark.parametrize("how", [Search(), Search(3), Search(n_best=53, sample=True)])
def test_unknown_and_padding_are_never_written_however_likely(how: Search) -> None:
    model = toy(1)
    model.logits[..., :2] += 9
    for image, captions in enumerate(decode(model, EVERY_IMAGE, how, torch.Generator().manual_seed(0))):
        for each in captions:
            assert min(each.ids) > END_ID
            # The model's own probability, which the likely unknown word lowers.
            expected = log_p_of(model, image, each.ids, each.finished)
            assert each.log_probability == pytest.approx(expected, abs=1e-9)
            assert each.log_probability < -4 * (len(each.ids) + 1)


@pytest.mark.parametrize("how", [Search(), Search(3, n_best=3), Search(n_best=29, sample=True)])
@pytest.mark.parametrize(("low", "high"), [(0, 1), (1, 1), (2, 3), (5, 5), (4, 11)])
@pytest.mark.parametrize("end", [-6.0, 0.0, 6.0])
def test_lengths_stay_within_bounds(how: Search, low: int, high: int, end: float) -> None:
    how = replace(how, min_length=low, max_length=high)
    for captions in decode(toy(2, end=end), EVERY_IMAGE, how, torch.Generator().manual_seed(0)):
        assert len(captions) <= how.n_best
        for each in captions:
            assert low <= len(each.ids) <= high
            assert each.finished or len(each.ids) == high
            assert all(len(m.weights[0]) == len(each.ids) for m in each.attention)


def test_unfinished_captions_come_only_where_too_few_are_finished_and_then_last() -> None:
    kinds = set()
    for seed in range(23):
        for captions in decode(toy(seed, end=-1), EVERY_IMAGE, Search(3, 4, n_best=3)):
            finished = [each.finished for each in captions]
            assert finished == sorted(finished, reverse=True)
            kinds.add(sum(finished))
        for (best,) in decode(toy(seed, end=-1), EVERY_IMAGE, Search(3, 4, n_best=1)):
            kinds.add(best.finished)
    assert kinds == {0, 1, 2, 3}


@settings(max_examples=25, deadline=None)
@given(seeds, searches, st.integers(1, 3))
def test_equally_likely_continuations_are_chosen_alike_in_any_company(seed: int, search: Search, levels: int) -> None:
    """Logits of few values, so that ties are everywhere."""
    model = toy(seed, vocabulary=11)
    model.logits = (levels * model.logits).round().clamp(-levels, levels)
    together = decode(model, some_images(3, 0, 3, 1), search)
    again, alone = decode(model, some_images(3, 0, 3, 1), search), decode(model, some_images(3), search)
    assert together[0] != []
    for first, second in ((together[0], together[2]), (together[0], alone[0]), *zip(together, again, strict=True)):
        assert [(c.ids, c.log_probability, c.finished) for c in first] == [
            (c.ids, c.log_probability, c.finished) for c in second
        ]
    for image, captions in zip((3, 0, 3, 1), together, strict=True):
        for each in captions:
            assert each.log_probability == pytest.approx(log_p_of(model, image, each.ids, each.finished), abs=1e-9)


def test_a_search_stops_when_nothing_alive_can_win() -> None:
    model = toy(3, end=3.0)
    decode(model, EVERY_IMAGE, Search(3, 200))
    assert model.steps < 12
    beside = toy(3, end=3.0)
    decode(beside, EVERY_IMAGE, Search(3, 200, n_best=3))
    assert model.steps <= beside.steps < 40


def test_a_search_goes_on_while_a_longer_caption_can_still_win() -> None:
    vocabulary, likely, chain = 11, 3, (4, 5, 6, 7, 8)
    logits = torch.full((1, vocabulary, vocabulary, vocabulary), -30.0, dtype=torch.float64)
    logits[0, 0, 0, likely], logits[0, 0, 0, chain[0]] = 0.0, -2.0
    logits[0, :, likely, END_ID] = 0.0
    for word, following in itertools.pairwise((*chain, END_ID)):
        logits[0, :, word, following] = 0.0
    ((short,), (long,)) = (
        decode(Toy(logits), some_images(0), Search(2, 5, length_penalty=penalty))[0] for penalty in (0.0, 3.0)
    )
    assert short.ids == (likely,)
    assert long.ids == chain


def test_samples_are_drawn_as_often_as_they_are_likely() -> None:
    count, search = 20011, Search(max_length=2, min_length=1, n_best=20011, sample=True, temperature=0.7)
    model = toy(6)
    (captions,) = decode(model, some_images(2), search, torch.Generator().manual_seed(1), attention=False)
    assert len(captions) == count
    for first in range(END_ID + 1, VOCABULARY):
        allowed = torch.softmax(log_p(model, 2, ())[END_ID + 1 :] / search.temperature, 0)
        share = sum(each.ids[0] == first for each in captions) / count
        assert share == pytest.approx(allowed[first - END_ID - 1].item(), abs=0.015)
        after = [each for each in captions if each.ids[0] == first]
        p_end = torch.softmax(log_p(model, 2, (first,))[END_ID:] / search.temperature, 0)[0].item()
        assert sum(len(each.ids) == 1 for each in after) / len(after) == pytest.approx(p_end, abs=0.04)
    for each in captions[:97]:
        assert each.log_probability == pytest.approx(log_p_of(model, 2, each.ids, each.finished), abs=1e-9)


@settings(max_examples=25, deadline=None)
@given(seeds, ends, searches)
def test_begun_as_the_best_caption_begins_a_search_finds_it_again(seed: int, end: float, search: Search) -> None:
    """Greedy search and an exhaustive one; a beam in between has more room for what begins so, and may find better."""
    for width in (1, 4 ** (search.max_length + 1)):
        how = replace(search, beam=width, n_best=1, max_length=min(search.max_length, 4), min_length=0, begin=())
        model = toy(seed, end=end)
        for image, (best,) in enumerate(decode(model, EVERY_IMAGE, how)):
            for count in range(len(best.ids) + 1):
                begun = replace(how, begin=best.ids[:count])
                assert flat(decode(model, some_images(image), begun)[0]) == [
                    (best.ids, best.log_probability, best.finished)
                ]


def test_samples_that_are_begun_go_on_as_others_that_begin_so() -> None:
    count, model, begin = 9001, toy(6), (4, 3)
    search = Search(max_length=3, n_best=count, sample=True, begin=begin)
    (captions,) = decode(model, some_images(2), search, torch.Generator().manual_seed(1))
    assert {each.ids[:2] for each in captions} == {begin}
    likely = torch.softmax(log_p(model, 2, begin)[END_ID:], 0).tolist()
    for word, p in enumerate(likely, start=END_ID):
        follows = [each for each in captions if each.ids[2:] == (() if word == END_ID else (word,))]
        assert len(follows) / count == pytest.approx(p, abs=0.02)
    for each in captions[:97]:
        assert each.log_probability == pytest.approx(log_p_of(model, 2, each.ids, each.finished), abs=1e-9)
        rows, _ = walk(model, 2, each.ids)
        assert torch.equal(each.attention[0].weights, rows)


def test_samples_follow_the_generator_and_cold_ones_are_greedy() -> None:
    search = Search(max_length=7, n_best=11, sample=True)
    draws = [decode(toy(), EVERY_IMAGE, search, torch.Generator().manual_seed(seed)) for seed in (5, 5, 6)]
    ids = [[[each.ids for each in captions] for captions in found] for found in draws]
    assert ids[0] == ids[1] != ids[2]
    cold = decode(toy(), EVERY_IMAGE, replace(search, temperature=1e-4), torch.Generator().manual_seed(0))
    for captions, (best,) in zip(cold, decode(toy(), EVERY_IMAGE, Search(max_length=7)), strict=True):
        assert {each.ids for each in captions} == {best.ids}


def test_no_images_have_no_captions_and_sampling_needs_a_generator() -> None:
    assert decode(toy(), some_images(), Search()) == []
    with pytest.raises(RecipeError, match=r"sampling needs a torch.Generator .* pass one"):
        decode(toy(), EVERY_IMAGE, Search(sample=True))


def test_only_hard_attention_is_told_how_to_look() -> None:
    with pytest.raises(RecipeError, match="only a model of hard attention can be told how to look"):
        decode(toy(), EVERY_IMAGE, Search(look="argmax"))
    with pytest.raises(UnknownNameError, match="no look named 'argmaxx'; did you mean 'argmax'"):
        Search(look="argmaxx")


def test_half_precision_and_inference_mode() -> None:
    model = toy()
    model.logits = model.logits.bfloat16()  # coarse enough for ties
    with torch.inference_mode():
        found = decode(model, EVERY_IMAGE, Search(3, 5, n_best=3))
    alone = [decode(model, some_images(image), Search(3, 5, n_best=3))[0] for image in range(IMAGES)]
    assert [flat(each) for each in found] == [[(c.ids, c.log_probability, c.finished) for c in e] for e in alone]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"beam": 0}, r"expected beam >= 1, got 0: raise it"),
        ({"max_length": 0, "min_length": 0}, r"expected max_length >= 1, got 0"),
        ({"min_length": -1}, r"expected min_length >= 0, got -1"),
        ({"max_length": 3, "min_length": 5}, r"expected max_length >= min_length, got 3 < 5"),
        ({"beam": 3, "n_best": 5}, r"a beam of 3 finds no more captions than that, n_best=5: widen it"),
        ({"temperature": 0.0}, r"expected temperature > 0, got 0.0"),
        ({"temperature": math.nan}, r"expected temperature > 0, got nan"),
        ({"length_penalty": math.inf}, r"expected a finite length_penalty, got inf"),
        (
            {"max_length": 2, "begin": (3, 4, 5)},
            r"begin: expected at most 2 words, as many as .* got 3: leave some out",
        ),
        ({"begin": (3, END_ID)}, r"begin: expected ids of words, above 2, got 2"),
    ],
)
def test_impossible_searches(settings: dict, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        Search(**settings)


def test_a_beam_wider_than_the_vocabulary() -> None:
    Search(3).check(VOCABULARY)
    with pytest.raises(RecipeError, match=r"expected beam <= 3, the vocabulary's words, got 4: narrow the beam"):
        Search(4).check(VOCABULARY)
    with pytest.raises(RecipeError, match=r"begin: expected ids below 6, got 6"):
        Search(begin=(3, 6)).check(VOCABULARY)


def test_grouped_regions_and_logits_that_are_no_numbers() -> None:
    grouped = EVERY_IMAGE.grouped(Grouping.of(torch.tensor([0, 0, 1])))
    with pytest.raises(RecipeError, match="got grouped ones: ungroup them"):
        decode(toy(), grouped, Search())
    broken = toy()
    broken.logits[3] = math.nan
    for how in (Search(), Search(3), Search(sample=True, n_best=2)):
        with pytest.raises(RunError, match="got none for image 3"):
            decode(broken, EVERY_IMAGE, how, torch.Generator())


@pytest.mark.gpu
def test_the_same_captions_on_a_gpu() -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    search = Search(3, 7, 1, 0.7, 3)
    model, there = toy(8), toy(8)
    there.logits = there.logits.cuda()
    for one, other in zip(
        decode(model, EVERY_IMAGE, search), decode(there, EVERY_IMAGE.to("cuda"), search), strict=True
    ):
        assert flat(one) == [(each.ids, each.log_probability, each.finished) for each in other]
        assert all(map_.weights.is_cuda for each in other for map_ in each.attention)
