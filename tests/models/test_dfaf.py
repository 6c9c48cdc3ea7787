"""DFAF against its equations in NumPy float64 for every option, its traps one by one, and exact parameter counts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.models.reference import sigmoid, softmax, some_regions
from torch import Tensor
from torch.nn.functional import pad

from saccade.errors import RecipeError
from saccade.models.dfaf import DFAF, IntraFlow
from saccade.text import pad_words
from saccade.types import Answers, Grouping, Regions, Words

WORDS, ANSWERS, REGIONS, SIZE, HIDDEN, HEADS, QUESTION, EMBEDDING, CLASSIFIER = 19, 5, 7, 11, 26, 2, 17, 23, 29
TEXTS = [[2, 3, 4, 5, 6], [7, 8], [9, 10, 11]]
IMAGE_OF = torch.tensor([2, 0, 2, 1, 0])
TOLERANCES = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 3e-2}
SIZES = {"region_size": SIZE, "hidden_size": HIDDEN, "question_size": QUESTION, "embedding_size": EMBEDDING,
         "classifier_size": CLASSIFIER, "blocks": 2, "heads": HEADS}  # fmt: skip


def tiny(**sizes) -> DFAF:
    """A small model in double precision whose parts all matter, biases too."""
    torch.manual_seed(1)
    model = DFAF(WORDS, ANSWERS, **SIZES | sizes).double().eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.uniform_(-0.3, 0.3)
    return model


class Transcription:
    """One question at a time, no batch, no padding, a loop over heads: the equations of the paper and nothing else."""

    def __init__(self, model: DFAF, intra: str = "dynamic", order: str = "parallel", fusion: str = "multiply") -> None:
        self.p = {name: value.detach().double().numpy() for name, value in model.state_dict().items()}
        self.intra, self.order, self.fusion, self.blocks = intra, order, fusion, len(model.blocks)

    def linear(self, name: str, x: np.ndarray) -> np.ndarray:
        return x @ self.p[f"{name}.weight"].T + self.p[f"{name}.bias"]

    def maps(self, name: str, x: np.ndarray) -> list[np.ndarray]:
        return np.split(self.linear(name, x), 3, axis=1)  # queries, keys, values

    def gru(self, ids: list[int]) -> np.ndarray:
        h, states = np.zeros(QUESTION), []
        w, u = self.p["text_encoder.gru.weight_ih_l0"], self.p["text_encoder.gru.weight_hh_l0"]
        b, c = self.p["text_encoder.gru.bias_ih_l0"], self.p["text_encoder.gru.bias_hh_l0"]
        for i in ids:
            of_x = np.split(w @ self.p["text_encoder.tables.0.weight"][i] + b, 3)
            of_h = np.split(u @ h + c, 3)
            reset, update = sigmoid(of_x[0] + of_h[0]), sigmoid(of_x[1] + of_h[1])
            h = (1 - update) * np.tanh(of_x[2] + reset * of_h[2]) + update * h
            states.append(h)
        return np.array(states)

    def attend(self, Q: np.ndarray, K: np.ndarray, V: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        size = HIDDEN // HEADS
        updates, maps = [], []
        for head in range(HEADS):
            part = slice(head * size, (head + 1) * size)
            weights = np.array([softmax(q @ K[:, part].T / np.sqrt(size)) for q in Q[:, part]])
            updates.append(weights @ V[:, part])
            maps.append(weights)
        return np.concatenate(updates, axis=1), np.array(maps)

    def inter(self, b: int, R: np.ndarray, E: np.ndarray) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
        words = f"blocks.{b}.inter.words"
        (R_Q, R_K, R_V), (E_Q, E_K, E_V) = self.maps(f"blocks.{b}.inter.regions", R), self.maps(words, E)
        E_upd, from_regions = self.attend(E_Q, R_K, R_V)
        E_new = self.linear(f"blocks.{b}.inter.merge_words", np.concatenate([E, E_upd], axis=1))
        if self.order == "sequential":
            _, E_K, E_V = self.maps(words, E_new)
        R_upd, from_words = self.attend(R_Q, E_K, E_V)
        R_new = self.linear(f"blocks.{b}.inter.merge_regions", np.concatenate([R, R_upd], axis=1))
        return R_new, E_new, [from_words, from_regions]

    def within(self, name: str, X: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        Q, K, V = self.maps(f"{name}.maps", X)
        if self.intra == "dynamic":
            G = sigmoid(self.linear(f"{name}.gate", other.mean(axis=0)))
            Q, K = Q + G * Q, K + G * K
        update, weights = self.attend(Q, K, V)
        return self.linear(f"{name}.output", X + update), weights

    def __call__(self, v: np.ndarray, ids: list[int]) -> tuple[np.ndarray, list[np.ndarray]]:
        R, E, maps = self.linear("regions", v), self.linear("words", self.gru(ids)), []
        for b in range(self.blocks):
            R, E, weights = self.inter(b, R, E)
            maps += weights
            if self.intra != "none":
                new = self.within(f"blocks.{b}.intra.0", R, E), self.within(f"blocks.{b}.intra.1", E, R)
                (R, E), within = zip(*new, strict=True)
                maps += within
        r, e = R.mean(axis=0), E.mean(axis=0)
        fused = {"multiply": r * e, "add": r + e, "concatenate": np.concatenate([r, e])}[self.fusion]
        return self.linear("classifier.4", np.maximum(self.linear("classifier.1", fused), 0)), maps


def compare(output: Answers, twin: Transcription, regions: Regions, texts: list[list[int]]) -> None:
    """Logits and every map of every text are the twin's, and what lies outside the masks is zero."""
    for row, text in enumerate(texts):
        logits, maps = twin(regions.features[row][regions.mask[row]].numpy(), text)
        np.testing.assert_allclose(output.logits[row].detach().numpy(), logits, atol=1e-6)
        for ours, theirs in zip(output.attention, maps, strict=True):
            weights = ours.weights[row].detach().numpy()
            rows, columns = theirs.shape[1:]
            np.testing.assert_allclose(weights[:, :rows, :columns], theirs, atol=1e-6)
            assert not weights[:, rows:].any()
            assert not weights[:, :, columns:].any()


@pytest.mark.parametrize("intra", ["dynamic", "naive", "none"])
@pytest.mark.parametrize("order", ["parallel", "sequential"])
@pytest.mark.parametrize("fusion", ["multiply", "add", "concatenate"])
@pytest.mark.parametrize("blocks", [1, 3])
def test_forward_equals_the_equations_for_every_option(intra: str, order: str, fusion: str, blocks: int) -> None:
    model, regions = tiny(intra=intra, order=order, fusion=fusion, blocks=blocks), some_regions(3)
    twin = Transcription(model, intra, order, fusion)
    output = model(regions, pad_words(TEXTS))
    assert np.abs(output.logits.detach().numpy()).max() > 0.05
    compare(output, twin, regions, TEXTS)
    torch.testing.assert_close(model(regions, pad_words(TEXTS), attention=False).logits, output.logits)


def test_single_precision_forward_equals_the_equations() -> None:
    model, regions = tiny(), some_regions(3)
    twin = Transcription(model)
    compare(model.float()(Regions(regions.features.float(), regions.mask), pad_words(TEXTS)), twin, regions, TEXTS)


def test_maps_are_named_by_block_and_flow_and_words_that_are_cut_off_have_weight_zero() -> None:
    model, regions = tiny(question_length=3), some_regions(3)
    output = model(regions, pad_words(TEXTS))
    compare(output, Transcription(model), regions, [text[:3] for text in TEXTS])
    flows = [("regions", "words"), ("words", "regions"), ("regions", "regions"), ("words", "words")]
    assert [(each.name, each.axes, each.kind) for each in output.attention] == [
        (f"block {k} {to}<-{source}", ("heads", to, source), "rows") for k in (1, 2) for to, source in flows
    ]
    shapes = [each.weights.shape[2:] for each in output.attention[:4]]
    assert shapes == [(REGIONS, 5), (5, REGIONS), (REGIONS, REGIONS), (5, 5)]


def some_flow(gated: bool = True) -> tuple[IntraFlow, Tensor, Tensor, Tensor]:
    """An intra-modality flow; items, their mask, and a mean of the other modality to feed it."""
    torch.manual_seed(4)
    items, other = torch.randn(3, REGIONS, HIDDEN, dtype=torch.float64), torch.randn(3, HIDDEN, dtype=torch.float64)
    flow = IntraFlow(HIDDEN, HEADS, gated=gated, dropout=0.0).double()
    return flow, items, torch.ones(3, REGIONS, dtype=torch.bool), other


def test_a_gate_of_zero_input_multiplies_queries_and_keys_by_one_and_a_half_and_leaves_values() -> None:
    (gated, items, mask, other), naive = some_flow(), some_flow(gated=False)[0]
    naive.load_state_dict(gated.state_dict(), strict=False)
    with torch.no_grad():
        naive.maps.weight[: 2 * HIDDEN] *= 1.5
    for ours, theirs in zip(gated(items, mask, 0 * other, True), naive(items, mask, other, True), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_a_gate_moves_attention_and_never_values() -> None:
    flow, items, mask, other = some_flow()
    assert (flow(items, mask, other, True)[1] - flow(items, mask, -other, True)[1]).abs().max() > 1e-3
    mask[:, 1:] = False  # with one item all weight is on it, so the update is its value
    torch.testing.assert_close(flow(items, mask, other, True)[0], flow(items, mask, -other, True)[0])


@pytest.mark.parametrize("intra", ["dynamic", "naive"])
def test_words_change_how_regions_attend_to_regions_by_the_gate_alone(intra: str) -> None:
    model, regions = tiny(intra=intra, blocks=1), some_regions(3)
    with torch.no_grad():
        model.blocks[0].inter.merge_regions.weight[:, HIDDEN:] = 0  # regions learn nothing from words
    maps = [model(regions, pad_words(texts)).attention[2].weights for texts in (TEXTS, [[12, 13], [14], [15, 16, 17]])]
    assert ((maps[0] - maps[1]).abs().max() > 1e-3) == (intra == "dynamic")


@pytest.mark.parametrize("order", ["parallel", "sequential"])
def test_in_parallel_order_regions_read_the_words_from_before_the_block(order: str) -> None:
    model, regions, words = tiny(order=order, intra="none", blocks=1), some_regions(3), pad_words(TEXTS)
    before = model(regions, words).attention
    with torch.no_grad():
        model.blocks[0].inter.merge_words.weight *= -1
    after = model(regions, words).attention
    torch.testing.assert_close(before[1].weights, after[1].weights)
    assert torch.allclose(before[0].weights, after[0].weights) == (order == "parallel")


def test_blocks_have_their_own_parameters() -> None:
    model, regions, words = tiny(), some_regions(3), pad_words(TEXTS)
    before = model(regions, words)
    with torch.no_grad():
        for parameter in model.blocks[1].parameters():
            parameter.mul_(1.5)
    after = model(regions, words)
    changed = [not torch.equal(a.weights, b.weights) for a, b in zip(before.attention, after.attention, strict=True)]
    assert changed == [False] * 4 + [True] * 4


@pytest.mark.parametrize("attention", [True, False])
def test_gradients_are_exact(attention: bool) -> None:
    sizes = {"hidden_size": 4, "question_size": 3, "embedding_size": 2, "classifier_size": 3, "region_size": 2}
    model, words = tiny(**sizes, question_length=3), pad_words([[2, 3, 4], [5]])
    parameters, mask = dict(model.named_parameters()), torch.tensor([[True, True, True], [True, True, False]])

    def logits(features: Tensor, *values: Tensor) -> Tensor:
        inputs, named = (Regions(features, mask), words), dict(zip(parameters, values, strict=True))
        return torch.func.functional_call(model, named, inputs, {"attention": attention}).logits

    features = torch.randn(2, 3, 2, dtype=torch.float64, requires_grad=True)
    # Fast mode compares random projections of the Jacobian: all of it would take a minute.
    assert torch.autograd.gradcheck(logits, (features, *parameters.values()), atol=1e-7, fast_mode=True)


def test_parameter_counts_are_the_papers() -> None:
    model = DFAF(1009, 3129, blocks=2)
    assert [sum(p.numel() for p in block.parameters()) for block in model.blocks] == [5_252_096, 5_252_096]
    assert sum(p.numel() for p in model.blocks[0].inter.parameters()) == 2_625_536
    assert sum(p.numel() for p in model.blocks[0].intra.parameters()) == 2_626_560
    assert [sum(p.numel() for p in each.parameters()) for each in (model.regions, model.words)] == [1_049_088, 655_872]
    table, gru, classifier = 1009 * 300, 3 * 1280 * (300 + 1280 + 2), 513 * 2048 + 2049 * 3129
    assert sum(p.numel() for p in model.parameters()) == 2 * 5_252_096 + 1_704_960 + table + gru + classifier


@pytest.mark.parametrize("blocks", [1, 8])
def test_a_new_model_lets_what_differs_between_inputs_through_any_number_of_blocks(blocks: int) -> None:
    torch.manual_seed(5)
    model = DFAF(WORDS, ANSWERS, **SIZES | {"blocks": blocks, "hidden_size": 64}).eval()
    regions = Regions(torch.randn(3, REGIONS, SIZE), torch.ones(3, REGIONS, dtype=torch.bool))
    spread = model(regions, pad_words(TEXTS)).logits.std(dim=0).mean()
    assert 0.01 < spread < 0.1  # eight blocks: below 1e-6 with the start of nn.Linear, 40 with Glorot's


def test_padding_and_what_lies_under_it_change_nothing() -> None:
    model, regions, words = tiny(), some_regions(3), pad_words(TEXTS)
    features = torch.cat([regions.features, torch.full((3, 2, SIZE), 9.0, dtype=torch.float64)], dim=1)
    features[~pad(regions.mask, (0, 2))] *= 7
    wider = Regions(features, pad(regions.mask, (0, 2)))
    longer = Words(pad(words.ids, (0, 4), value=3), pad(words.mask, (0, 4)))
    padded, output = model(wider, longer), model(regions, words)
    torch.testing.assert_close(padded.logits, output.logits)
    torch.testing.assert_close(model(wider, longer, attention=False).logits, output.logits)
    for ours, theirs in zip(padded.attention, output.attention, strict=True):
        rows, columns = theirs.weights.shape[2:]
        torch.testing.assert_close(ours.weights[:, :, :rows, :columns], theirs.weights)
        torch.testing.assert_close(ours.weights.sum(), theirs.weights.sum())


@pytest.mark.parametrize("order", ["parallel", "sequential"])
@pytest.mark.parametrize("attention", [True, False])
def test_grouped_questions_project_each_image_once_and_change_nothing(order: str, attention: bool) -> None:
    model, images, words = tiny(order=order), some_regions(3), pad_words([*TEXTS, [12], [13, 14]])
    images.features.requires_grad_()
    rows: list[int] = []
    for layer in (model.regions, model.blocks[0].inter.regions, model.blocks[1].inter.regions):
        layer.register_forward_hook(lambda _, __, out: rows.append(len(out)))
    batches = Regions(images.features[IMAGE_OF], images.mask[IMAGE_OF]), images.grouped(Grouping.of(IMAGE_OF))
    outputs = [model(regions, words, attention=attention) for regions in batches]
    assert rows == [5, 5, 5, 3, 3, 5]
    torch.testing.assert_close(outputs[0].logits, outputs[1].logits)
    for apart, grouped in zip(outputs[0].attention, outputs[1].attention, strict=True):
        torch.testing.assert_close(apart.weights, grouped.weights)
    inputs = [images.features, *model.parameters()]
    gradients = [torch.autograd.grad(output.logits.square().sum(), inputs) for output in outputs]
    for apart, grouped in zip(*gradients, strict=True):
        torch.testing.assert_close(apart, grouped)


def test_regions_in_another_order_give_permuted_maps_and_the_same_logits() -> None:
    model, regions, words = tiny(), some_regions(3), pad_words(TEXTS)
    order = torch.tensor([5, 2, 6, 0, 1, 4, 3])
    output = model(regions, words)
    permuted = model(Regions(regions.features[:, order], regions.mask[:, order]), words)
    torch.testing.assert_close(permuted.logits, output.logits)
    for ours, theirs in zip(permuted.attention, output.attention, strict=True):
        weights = theirs.weights
        for axis, kind in enumerate(theirs.axes, start=1):
            weights = weights.index_select(axis, order) if kind == "regions" else weights
        torch.testing.assert_close(ours.weights, weights)


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("training", [True, False])
def test_attention_off_gives_the_same_logits_and_no_maps(dtype: torch.dtype, training: bool) -> None:
    model, regions, words = tiny(dropout=0.3, embedding_dropout=0.2), some_regions(3), pad_words(TEXTS)
    tolerance = TOLERANCES[dtype]
    model.to(dtype).train(training)
    regions = Regions(regions.features.to(dtype), regions.mask)
    outputs = []
    for attention in (True, False):
        torch.manual_seed(6)
        outputs.append(model(regions, words, attention=attention))
    assert outputs[1].attention == ()
    torch.testing.assert_close(outputs[0].logits, outputs[1].logits, atol=tolerance, rtol=tolerance)
    if training:
        torch.manual_seed(7)
        assert not torch.allclose(model(regions, words).logits, outputs[0].logits, atol=tolerance)


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize(("some_words", "some_places"), [(False, True), (True, False), (False, False)])
def test_a_text_without_words_and_an_image_without_regions_attend_to_nothing(
    dtype: torch.dtype, some_words: bool, some_places: bool
) -> None:
    model, regions, words = tiny(fusion="add").to(dtype), some_regions(3), pad_words(TEXTS)
    regions = Regions(regions.features.to(dtype), regions.mask.clone())
    regions.mask[0], words.mask[0] = some_places, some_words
    outputs = [model(regions, words, attention=attention) for attention in (True, False)]
    torch.testing.assert_close(outputs[0].logits, outputs[1].logits, atol=TOLERANCES[dtype], rtol=TOLERANCES[dtype])
    for each in outputs[0].attention:
        empty = (not some_words and "words" in each.axes) or (not some_places and "regions" in each.axes)
        assert bool(each.weights[0].any()) != empty
    for output in outputs:
        assert output.logits.isfinite().all()
        gradients = torch.autograd.grad(output.logits.sum(), list(model.parameters()))
        assert all(gradient.isfinite().all() for gradient in gradients)


def test_sizes_that_cannot_be_are_refused() -> None:
    with pytest.raises(RecipeError, match="heads: expected a divisor of hidden_size, 26, got 8"):
        tiny(heads=8)
    for size in ("heads", "blocks"):
        with pytest.raises(RecipeError, match=f"{size}: expected a whole number from 1 to 1,000, got 0"):
            tiny(**{size: 0})
