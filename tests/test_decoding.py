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

from saccade.decoding import beam_search, decode, greedy, sample
from saccade.errors import RecipeError, RunError
from saccade.hypotheses import Hypothesis, Search
from saccade.text import END_ID
from saccade.types import Grouping

searches = st.builds(
    lambda beam, n, low, more, penalty: Search(beam, low + more, low, penalty, min(n, beam)),
    st.integers(1, 13),
    st.integers(1, 13),
    st.integers(0, 3),
    st.integers(1, 4),
    st.sampled_from([0.0, 0.7, 1.0, 2.5, -0.5]),
)
seeds, ends = st.integers(0, 10**6), st.sampled_from([-4.0, 0.0, 2.0])


@settings(max_examples=40, deadline=None)
@given(seeds, ends, searches)
def test_the_beam_is_the_authors_search_of_one_image_on_lists(seed: int, end: float, search: Search) -> None:
    model = toy(seed, end=end)
    for image, captions in enumerate(beam_search(model, EVERY_IMAGE, search, wider=True)):
        assert plain_beam(model, image, search) == flat(captions)
        assert [score(each, search) for each in captions if each.finished] == sorted(
            (score(each, search) for each in captions if each.finished), reverse=True
        )
        assert len({each.ids for each in captions}) == len(captions)


@settings(max_examples=25, deadline=None)
@given(seeds, ends, searches)
def test_a_beam_of_one_is_greedy_search(seed: int, end: float, search: Search) -> None:
    model, search = toy(seed, end=end), replace(search, beam=1, n_best=1)
    narrow, ours = beam_search(model, EVERY_IMAGE, search), greedy(model, EVERY_IMAGE, search)
    for image in range(IMAGES):
        assert [plain_greedy(model, image, search)] == flat(narrow[image]) == flat(ours[image])
        assert narrow[image][0].log_probability == ours[image][0].log_probability
        same_maps(narrow[image][0], ours[image][0])


@settings(max_examples=25, deadline=None)
@given(
    seeds, ends, st.sampled_from([0.0, 0.5, 1.0, 3.0, -1.0]), st.sampled_from([(0, 2), (1, 3), (2, 3), (3, 3), (1, 4)])
)
def test_a_beam_of_full_width_is_exhaustive(seed: int, end: float, penalty: float, lengths: tuple[int, int]) -> None:
    low, high = lengths
    model = toy(seed, end=end)
    search = Search(4 ** (high + 1) + 3**high, high, low, penalty, n_best=7)
    for image, captions in enumerate(beam_search(model, EVERY_IMAGE, search, wider=True)):
        best = everything(model, image, search)[:7]
        assert [ids for _, ids in best] == [each.ids for each in captions]
        assert [value for value, _ in best] == pytest.approx([score(each, search) for each in captions], abs=1e-9)


@settings(max_examples=25, deadline=None)
@given(seeds, ends, searches, st.lists(st.integers(0, IMAGES - 1), min_size=1, max_size=17))
def test_images_together_give_what_each_gives_alone(seed: int, end: float, search: Search, numbers: list[int]) -> None:
    model = toy(seed, end=end)
    together = beam_search(model, some_images(*numbers), search, wider=True)
    alone = {number: beam_search(model, some_images(number), search, wider=True)[0] for number in set(numbers)}
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
        model, search = toy(seed, end=end), Search(3, 6, 1, 0.5, 3)
        if kind == "sample":
            found = sample(model, EVERY_IMAGE, search, torch.Generator().manual_seed(seed))
        else:
            found = (greedy if kind == "greedy" else beam_search)(model, EVERY_IMAGE, search)
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
    plain, permuted = (beam_search(toy(4), regions, search) for regions in (EVERY_IMAGE, some_images(*order)))
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
        for captions in beam_search(toy(seed, end=-1), EVERY_IMAGE, Search(3, 4, n_best=3)):
            finished = [each.finished for each in captions]
            assert finished == sorted(finished, reverse=True)
            kinds.add(sum(finished))
        for (best,) in beam_search(toy(seed, end=-1), EVERY_IMAGE, Search(3, 4, n_best=1)):
            kinds.add(best.finished)
    assert kinds == {0, 1, 2, 3}


def test_ties_go_to_the_lower_id_and_the_earlier_hypothesis() -> None:
    vocabulary = 401
    model = Toy(torch.zeros(1, 1, 1, 1, dtype=torch.float64).expand(1, vocabulary, vocabulary, vocabulary))
    captions = beam_search(model, some_images(0, 0), Search(7, 2, 1, n_best=7))
    assert captions[0] == pytest.approx(captions[0])
    for each in captions:
        # Seven words tie, then the ends and words of the first of them; the end has the lowest id.
        assert [c.ids for c in each][:1] == [(3,)]
        assert [c.ids for c in each][1:] == [(3, word) for word in range(3, 9)]


def test_a_search_stops_when_nothing_alive_can_win() -> None:
    model = toy(3, end=3.0)
    beam_search(model, EVERY_IMAGE, Search(3, 200))
    assert model.steps < 12
    beside = toy(3, end=3.0)
    beam_search(beside, EVERY_IMAGE, Search(3, 200, n_best=3))
    assert model.steps <= beside.steps < 40
    assert beside.rows < beside.steps * 3 * IMAGES  # images that are done have left


def test_a_search_goes_on_while_a_longer_caption_can_still_win() -> None:
    vocabulary, likely, chain = 11, 3, (4, 5, 6, 7, 8)
    logits = torch.full((1, vocabulary, vocabulary, vocabulary), -30.0, dtype=torch.float64)
    logits[0, 0, 0, likely], logits[0, 0, 0, chain[0]] = 0.0, -2.0
    logits[0, :, likely, END_ID] = 0.0
    for word, following in itertools.pairwise((*chain, END_ID)):
        logits[0, :, word, following] = 0.0
    ((short,), (long,)) = (
        beam_search(Toy(logits), some_images(0), Search(2, 5, length_penalty=penalty))[0] for penalty in (0.0, 3.0)
    )
    assert short.ids == (likely,)
    assert long.ids == chain


def test_samples_are_drawn_as_often_as_they_are_likely() -> None:
    count, search = 20011, Search(max_length=2, min_length=1, n_best=20011, sample=True, temperature=0.7)
    model = toy(6)
    (captions,) = sample(model, some_images(2), search, torch.Generator().manual_seed(1), attention=False)
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


def test_samples_follow_the_generator_and_cold_ones_are_greedy() -> None:
    search = Search(max_length=7, n_best=11, sample=True)
    draws = [sample(toy(), EVERY_IMAGE, search, torch.Generator().manual_seed(seed)) for seed in (5, 5, 6)]
    ids = [[[each.ids for each in captions] for captions in found] for found in draws]
    assert ids[0] == ids[1] != ids[2]
    cold = sample(toy(), EVERY_IMAGE, replace(search, temperature=1e-4), torch.Generator().manual_seed(0))
    for captions, (best,) in zip(cold, greedy(toy(), EVERY_IMAGE, search), strict=True):
        assert {each.ids for each in captions} == {best.ids}


def test_decode_takes_the_search_it_is_told_and_needs_a_generator_to_sample() -> None:
    ids = [[c.ids for c in each] for each in decode(toy(), EVERY_IMAGE, Search(3, n_best=2))]
    assert ids == [[c.ids for c in each] for each in beam_search(toy(), EVERY_IMAGE, Search(3, n_best=2))]
    assert decode(toy(), some_images(), Search()) == []
    with pytest.raises(RecipeError, match=r"sampling needs a torch.Generator .* pass one"):
        decode(toy(), EVERY_IMAGE, Search(sample=True))


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
    ],
)
def test_impossible_searches(settings: dict, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        Search(**settings)


def test_a_beam_wider_than_the_vocabulary() -> None:
    with pytest.raises(RecipeError, match=r"expected beam <= 3, the vocabulary's words, got 4: narrow the beam"):
        decode(toy(), EVERY_IMAGE, Search(4))
    assert len(decode(toy(), EVERY_IMAGE, Search(3))) == IMAGES


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
