"""SMem against equations 1 to 11 in NumPy float64, its floor and its places, exact gradients, the authors' counts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.models.reference import softmax, some_regions

from saccade.errors import RecipeError
from saccade.models.smem import SMem
from saccade.text import pad_words
from saccade.types import Answers, Grouping, Regions, Words

WORDS, ANSWERS, REGIONS, SIZE, HIDDEN, LENGTH = 19, 5, 7, 11, 13, 6
TEXTS = [[2, 3, 4, 5, 6], [7, 8], [9, 10, 11, 2, 18, 17], [12, 13, 14]]  # the third fills all places
HOPS = pytest.mark.parametrize("hops", [1, 2])


def tiny(hops: int = 2, **sizes) -> SMem:
    """In double precision, with parameters so large that attention is far from even, and biases that are not 0."""
    torch.manual_seed(1)
    sizes = {"region_size": SIZE, "num_regions": REGIONS, "hidden_size": HIDDEN, "question_length": LENGTH} | sizes
    model = SMem(WORDS, ANSWERS, hops=hops, **sizes).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.5)
        model.words.weight[0] = 0
    return model


def whole(regions: Regions) -> Regions:
    return Regions(regions.features, torch.ones_like(regions.mask))


class Transcription:
    """One question at a time over all places of a question, those of padding as rows of zeros: the equations alone."""

    def __init__(self, model: SMem) -> None:
        self.p = {name: value.detach().double().numpy() for name, value in model.state_dict().items()}

    def embed(self, name: str, S: np.ndarray) -> np.ndarray:
        return S @ self.p[f"{name}.linear.weight"].T + self.p[f"{name}.bias"][: len(S)]

    def __call__(self, S: np.ndarray, ids: list[int]) -> tuple[np.ndarray, list[np.ndarray]]:
        V = np.zeros((LENGTH, HIDDEN))
        for t, word in enumerate(ids[:LENGTH]):
            V[t] = self.p["words.weight"][word]
        A = self.embed("keys", S)  # Eq. 1
        C = V @ A.T  # Eq. 2
        w_1 = softmax(C.max(axis=0))  # Eq. 3
        E = self.embed("evidence", S)  # Eq. 4
        s_1 = sum(w_1[region] * E[region] for region in range(len(S)))  # Eq. 5
        Q = sum(self.p["place_weight"][t] * V[t] for t in range(LENGTH)) + self.p["question_bias"]  # Eq. 6
        chosen = np.zeros_like(C)
        for region, word in enumerate(C.argmax(axis=0)):
            if word < len(ids):
                chosen[word, region] = w_1[region]
        maps = [w_1, chosen[: len(ids)], C[: len(ids)]]
        o = s_1 + Q  # Eq. 8
        if "evidence_2.bias" in self.p:
            w_2 = softmax(E @ o)  # Eq. 9
            E_2 = self.embed("evidence_2", S)
            o = o + sum(w_2[region] * E_2[region] for region in range(len(S)))  # Eq. 10
            maps.append(w_2)
        return self.p["answer.weight"] @ np.maximum(o, 0) + self.p["answer.bias"], maps  # Eq. 7, 11


def within(whole_map: np.ndarray, part: np.ndarray) -> np.ndarray:
    """The map laid into one of the padded shape."""
    padded = np.zeros_like(whole_map)
    padded[tuple(slice(size) for size in part.shape)] = part
    return padded


@pytest.mark.parametrize(("start", "least", "most"), [("code", 0.0, 0.1), ("scaled", 0.2, 2.0)])
def test_a_scaled_start_lets_the_question_count_beside_the_image(start: str, least: float, most: float) -> None:
    torch.manual_seed(0)
    model = SMem(WORDS, ANSWERS, region_size=64, num_regions=REGIONS, hidden_size=256, start=start)
    evidence = model.evidence(torch.randn(8, REGIONS, 64)).std()
    Q = model.place_weight[:5] @ model.words(torch.tensor([2, 3, 4, 5, 6]))
    assert least < Q.std() / evidence < most
    assert not model.words.weight[0].any()


@HOPS
@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 0, 1], [1, 3]])
def test_forward_equals_the_equations_with_padding_in_any_order(hops: int, order: list[int]) -> None:
    model, regions = tiny(hops), some_regions(len(TEXTS))
    output = model(Regions(regions.features[order], regions.mask[order]), pad_words([TEXTS[i] for i in order]))
    for row, i in enumerate(order):
        logits, maps = Transcription(model)(regions.features[i][regions.mask[i]].numpy(), TEXTS[i])
        np.testing.assert_allclose(output.logits[row].detach().numpy(), logits, atol=1e-6)
        for ours, theirs in zip(output.attention, maps, strict=True):
            weights = ours.weights[row].detach().numpy()
            np.testing.assert_allclose(weights, within(weights, theirs), atol=1e-6)


@HOPS
def test_single_precision_forward_equals_the_equations(hops: int) -> None:
    model, regions = tiny(hops), some_regions(len(TEXTS))
    rows = zip(regions.features, regions.mask, TEXTS, strict=True)
    expected = [Transcription(model)(features[mask].numpy(), text)[0] for features, mask, text in rows]
    output = model.float()(Regions(regions.features.float(), regions.mask), pad_words(TEXTS))
    np.testing.assert_allclose(output.logits.detach().numpy(), np.array(expected), atol=1e-5, rtol=1e-5)


def test_maps_are_named_and_share_the_first_hops_weights_among_the_words() -> None:
    regions, words = some_regions(len(TEXTS)), pad_words(TEXTS)
    first, chosen, correlation, second = tiny()(regions, words).attention
    found = [(each.name, each.axes, each.kind) for each in (first, chosen, correlation, second)]
    assert found == [
        ("hop 1", ("regions",), "joint"),
        ("hop 1 words", ("words", "regions"), "joint"),
        ("hop 1 correlation", ("words", "regions"), "raw"),
        ("hop 2", ("regions",), "joint"),
    ]
    assert len(tiny(1)(regions, words).attention) == 3
    for each in (first, second):
        torch.testing.assert_close(each.weights.sum(1), torch.ones(len(TEXTS), dtype=torch.float64))
        assert not each.weights[~regions.mask].any()
    by_word = chosen.weights.sum(1)
    assert ((by_word == first.weights) | (by_word == 0)).all()
    assert (by_word[2] == first.weights[2]).all()  # every place is a word's: padding chooses nothing
    assert (by_word[:2] < first.weights[:2]).any()
    for each in (chosen, correlation):
        assert not each.weights[~words.mask].any()
        assert not each.weights.transpose(1, 2)[~regions.mask].any()


def negative_keys(model: SMem, ids: list[int]) -> None:
    """Make every word's correlation with region 3 negative."""
    with torch.no_grad():
        model.keys.linear.weight.zero_()
        model.words.weight[ids] = model.words.weight[ids].abs()
        model.keys.bias.normal_()
        model.keys.bias[3] = -1.0


@pytest.mark.parametrize("length", [LENGTH - 1, LENGTH])
def test_padding_floors_the_strongest_correlation_at_zero_unless_the_question_is_full(length: int) -> None:
    model, regions, ids = tiny(), whole(some_regions(1)), list(range(2, 2 + length))
    negative_keys(model, ids)
    first, chosen, correlation, _ = model(regions, pad_words([ids])).attention
    strongest = correlation.weights.amax(1)
    assert strongest[0, 3] < 0
    torch.testing.assert_close(first.weights, (strongest if length == LENGTH else strongest.clamp(min=0)).softmax(1))
    assert chosen.weights[0, :, 3].any() == (length == LENGTH)


def test_a_question_without_words_attends_evenly_to_the_regions_there_are() -> None:
    words = Words(torch.tensor([[0, 0], [5, 6]]), torch.tensor([[False, False], [False, False]]))
    first, chosen, correlation, _ = tiny()(some_regions(2), words).attention
    expected = torch.tensor([[1 / 4] * 4 + [0] * 3, [1 / 7] * 7], dtype=torch.float64)
    torch.testing.assert_close(first.weights, expected)
    assert not chosen.weights.any()
    assert not correlation.weights.any()


def test_an_image_without_regions_attends_to_nothing() -> None:
    regions = some_regions(1)
    nothing = Regions(regions.features, torch.zeros_like(regions.mask))
    output = tiny()(nothing, pad_words([[2, 3]]))
    assert not any(each.weights.any() for each in output.attention)
    assert output.logits.isfinite().all()


@HOPS
def test_places_matter_to_regions(hops: int) -> None:
    model, regions, words, order = tiny(hops), whole(some_regions(2)), pad_words(TEXTS[:2]), [4, 2, 0, 6, 1, 5, 3]
    moved = Regions(regions.features[:, order], regions.mask)
    before, after = model(regions, words), model(moved, words)
    assert not torch.isclose(before.logits, after.logits).any()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.shape[0] == REGIONS and name.endswith(".bias"):
                parameter.copy_(parameter[0].expand_as(parameter).clone())
    before, after = model(regions, words), model(moved, words)  # with biases that are alike nothing tells places apart
    torch.testing.assert_close(before.logits, after.logits)
    torch.testing.assert_close(before.attention[0].weights[:, order], after.attention[0].weights)


def test_the_order_of_words_changes_the_question_and_not_the_first_hop() -> None:
    model, regions = tiny(), whole(some_regions(1))
    before, after = (model(regions, pad_words([ids])) for ids in ([2, 3, 4, 5], [2, 4, 3, 5]))
    torch.testing.assert_close(before.attention[0].weights, after.attention[0].weights)
    assert not torch.isclose(before.attention[3].weights, after.attention[3].weights).all()
    assert not torch.isclose(before.logits, after.logits).any()


@HOPS
def test_questions_are_cut_and_their_maps_keep_the_width_of_the_batch(hops: int) -> None:
    model, regions, ids = tiny(hops), whole(some_regions(1)), [2, 3, 4, 5, 6, 7, 8, 9, 10]
    cut, long = (model(regions, pad_words([text])) for text in (ids[:LENGTH], ids))
    torch.testing.assert_close(long.logits, cut.logits, rtol=0, atol=0)
    for ours, theirs in zip(long.attention, cut.attention, strict=True):
        weights = ours.weights
        if "words" in ours.axes:
            assert weights.shape == (1, len(ids), REGIONS)
            assert not weights[:, LENGTH:].any()
            weights = weights[:, :LENGTH]
        assert torch.equal(weights, theirs.weights)


@HOPS
@pytest.mark.parametrize("width", [5, LENGTH, 9])
def test_padding_of_words_changes_nothing(hops: int, width: int) -> None:
    model, regions, texts = tiny(hops), some_regions(2), TEXTS[:2]
    words, missing = pad_words(texts), width - max(map(len, texts))
    wide = Words(*(torch.nn.functional.pad(each, (0, missing)) for each in (words.ids, words.mask)))
    narrow, padded = model(regions, words), model(regions, wide)
    torch.testing.assert_close(padded.logits, narrow.logits)
    for ours, theirs in zip(padded.attention, narrow.attention, strict=True):
        assert ours.weights.shape[1] == (width if "words" in ours.axes else REGIONS)
        torch.testing.assert_close(ours.weights[:, : theirs.weights.shape[1]], theirs.weights)


@HOPS
def test_fewer_regions_take_the_first_biases(hops: int) -> None:
    model, regions, words = tiny(hops), some_regions(1), pad_words([[2, 3]])
    short = Regions(regions.features[:, :4], regions.mask[:, :4])
    torch.testing.assert_close(model(short, words).logits, model(regions, words).logits)


def test_more_regions_than_locations_are_refused() -> None:
    features = torch.zeros(1, REGIONS + 1, SIZE, dtype=torch.float64)
    regions = Regions(features, torch.ones(1, REGIONS + 1, dtype=torch.bool))
    with pytest.raises(RecipeError, match="at most 7 regions an image, got 8: give it the features it was trained on"):
        tiny()(regions, pad_words([[2]]))


def test_another_number_of_hops_is_refused() -> None:
    with pytest.raises(RecipeError, match="hops: expected 1 or 2, got 3"):
        SMem(2, 2, hops=3)


@HOPS
def test_gradients_are_exact(hops: int) -> None:
    model, words = tiny(hops, hidden_size=3, num_regions=3), pad_words([[2, 3, 4], [5], [6, 7, 8, 9, 10, 11]])
    others = {name: value for name, value in model.named_parameters() if name != "words.weight"}
    padding, table = model.words.weight.detach()[:1], model.words.weight.detach()[1:].requires_grad_()

    def logits(features: torch.Tensor, table: torch.Tensor, *values: torch.Tensor) -> torch.Tensor:
        regions = Regions(features, torch.ones(3, 3, dtype=torch.bool))
        named = dict(zip(others, values, strict=True)) | {"words.weight": torch.cat([padding, table])}
        return torch.func.functional_call(model, named, (regions, words)).logits

    features = torch.randn(3, 3, SIZE, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(logits, (features, table, *others.values()), atol=1e-7)


@pytest.mark.parametrize(("hops", "expected"), [(1, 10_656_056), (2, 11_729_056)])
def test_parameter_counts_are_the_authors(hops: int, expected: int) -> None:
    model = SMem(7477, 1031, hops=hops)
    assert sum(parameter.numel() for parameter in model.parameters()) == expected


def test_initial_weights_are_the_authors() -> None:
    model = SMem(WORDS, ANSWERS, region_size=SIZE, hidden_size=HIDDEN)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            assert not parameter.any(), name
        else:
            assert 0.06 < parameter.abs().max() <= 0.08, name
    assert not model.words.weight[0].any()


def per_text(regions: Regions, image_of: torch.Tensor) -> Regions:
    return Regions(regions.features[image_of], regions.mask[image_of])


def same(a: Answers, b: Answers) -> None:
    torch.testing.assert_close(a.logits, b.logits)
    for ours, theirs in zip(a.attention, b.attention, strict=True):
        torch.testing.assert_close(ours.weights, theirs.weights)


@HOPS
def test_questions_grouped_by_image_give_the_same_results_and_gradients(hops: int) -> None:
    model, regions, words, image_of = tiny(hops), some_regions(3), pad_words(TEXTS), torch.tensor([2, 0, 2, 1])
    apart = model(per_text(regions, image_of), words)
    grouped = model(regions.grouped(Grouping.of(image_of)), words)
    same(grouped, apart)
    apart_gradients, grouped_gradients = (
        torch.autograd.grad(output.logits.square().sum(), list(model.parameters())) for output in (apart, grouped)
    )
    for a, b in zip(apart_gradients, grouped_gradients, strict=True):
        torch.testing.assert_close(a, b)


@HOPS
def test_attention_off_gives_the_same_logits_and_no_maps(hops: int) -> None:
    model, regions, words = tiny(hops), some_regions(len(TEXTS)), pad_words(TEXTS)
    silent = model(regions, words, attention=False)
    assert silent.attention == ()
    assert torch.equal(silent.logits, model(regions, words).logits)


@HOPS
def test_dropout_acts_on_regions_and_behind_the_rectifier(hops: int) -> None:
    model, regions, words = tiny(hops).train(), whole(some_regions(1)), pad_words([[2, 3]])
    model.dropout.p = 1.0
    torch.testing.assert_close(model(regions, words).logits[0], model.answer.bias)
    kept = []
    model.dropout.register_forward_hook(lambda _module, inputs, _output: kept.append(inputs[0].shape))
    model(regions, words)
    assert kept == [(1, REGIONS, SIZE), (1, HIDDEN)]


@HOPS
def test_half_precision_runs_and_maps_are_distributions(hops: int) -> None:
    model, regions = tiny(hops).float(), some_regions(len(TEXTS))
    with torch.autocast("cpu", torch.bfloat16):
        output = model(Regions(regions.features.float(), regions.mask), pad_words(TEXTS))
    torch.testing.assert_close(output.attention[0].weights.float().sum(1), torch.ones(len(TEXTS)), atol=0.01, rtol=0)
    assert output.logits.isfinite().all()
