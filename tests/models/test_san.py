"""SAN in NumPy float64 in all its forms, exact gradients, counts, and what the logits of the code cannot do."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from tests.models.reference import gradients_are_exact, sigmoid, softmax, some_regions

from saccade.models.san import SAN
from saccade.text import pad_words
from saccade.types import Grouping, Regions

WORDS, ANSWERS, REGIONS, SIZE, HIDDEN, EMBEDDING, ATTENTION, LAYERS = 19, 5, 7, 11, 13, 3, 17, 2
TEXTS = [[2, 3, 4, 5, 6], [7, 8], [9, 10, 11]]
FORMS = ["paper", "code"]

forms = pytest.mark.parametrize(("logits", "cell"), list(itertools.product(FORMS, FORMS)))


def tiny(logits: str = "paper", cell: str = "paper", scale: float = 1.0, **sizes) -> SAN:
    """A small model whose parameters are uniform(-scale, scale), wide enough for maps that are not flat."""
    torch.manual_seed(1)
    small = {
        "region_size": SIZE,
        "hidden_size": HIDDEN,
        "embedding_size": EMBEDDING,
        "attention_size": ATTENTION,
        "layers": LAYERS,
    }
    model = SAN(WORDS, ANSWERS, logits=logits, cell=cell, **small | sizes).double().eval()
    for parameter in model.parameters():
        torch.nn.init.uniform_(parameter, -scale, scale)
    return model


class Transcription:
    """One question at a time, no batch, no padding."""

    def __init__(self, model: SAN, logits: str, cell: str) -> None:
        self.p = {name: value.detach().numpy() for name, value in model.state_dict().items()}
        self.logits, self.cell = logits, cell

    def linear(self, name: str, x: np.ndarray) -> np.ndarray:
        return self.p[f"{name}.weight"] @ x + self.p.get(f"{name}.bias", 0)

    def read(self, ids: list[int]) -> np.ndarray:
        xs = [self.p["embedding.weight"][i] for i in ids]
        h = c = np.zeros(HIDDEN)
        if self.cell == "paper":
            for x in xs:
                of_word = self.p["lstm.lstm.weight_ih_l0"] @ x + self.p["lstm.lstm.bias_ih_l0"]
                of_state = self.p["lstm.lstm.weight_hh_l0"] @ h + self.p["lstm.lstm.bias_hh_l0"]
                i, f, g, o = np.split(of_word + of_state, 4)
                c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
                h = sigmoid(o) * np.tanh(c)
        else:
            for x in reversed(xs):
                i, f, o, g = np.split(self.linear("lstm.words", x) + self.linear("lstm.state", h), 4)
                c = sigmoid(i) * np.tanh(g) + sigmoid(f) * c
                h = sigmoid(o) * c
        return h

    def attend(self, k: int, v: list[np.ndarray], u: np.ndarray) -> np.ndarray:
        of_question, logits = self.linear(f"layers.{k}.question", u), []
        for v_i in v:
            of_item = self.linear(f"layers.{k}.items", v_i)
            if self.logits == "paper":
                logits.append(self.linear(f"layers.{k}.logit", np.tanh(of_item + of_question))[0])
            else:
                combined = np.tanh(of_item) + np.tanh(of_question)
                logits.append(np.tanh(self.linear(f"layers.{k}.logit", combined))[0])
        return softmax(np.array(logits))

    def __call__(self, features: np.ndarray, ids: list[int]) -> tuple[np.ndarray, list[np.ndarray]]:
        v, u, maps = [np.tanh(self.linear("image", f)) for f in features], self.read(ids), []
        for k in range(LAYERS):
            p = self.attend(k, v, u)
            u = p @ np.array(v) + u
            maps.append(p)
        return self.linear("answer", u), maps


@forms
@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1]])
def test_forward_equals_the_equations_with_padding_in_any_order(logits: str, cell: str, order: list[int]) -> None:
    model, regions = tiny(logits, cell), some_regions(3)
    output = model(Regions(regions.features[order], regions.mask[order]), pad_words([TEXTS[i] for i in order]))
    assert [(m.name, m.axes, m.kind) for m in output.attention] == [
        ("layer 1", ("regions",), "joint"),
        ("layer 2", ("regions",), "joint"),
    ]
    for row, i in enumerate(order):
        expected, maps = Transcription(model, logits, cell)(regions.features[i][regions.mask[i]].numpy(), TEXTS[i])
        np.testing.assert_allclose(output.logits[row].detach().numpy(), expected, atol=1e-6)
        for ours, theirs in zip(output.attention, maps, strict=True):
            weights = ours.weights[row].detach().numpy()
            np.testing.assert_allclose(weights[: len(theirs)], theirs, atol=1e-6)
            assert not weights[len(theirs) :].any()


@forms
def test_gradients_are_exact(logits: str, cell: str) -> None:
    assert gradients_are_exact(tiny(logits, cell, hidden_size=3, attention_size=2), SIZE)


@forms
def test_parameter_counts_are_those_of_the_originals_sizes(logits: str, cell: str) -> None:
    vocabulary, answers = 1009, 1000
    with torch.device("meta"):
        count = sum(parameter.numel() for parameter in SAN(vocabulary, answers, logits=logits, cell=cell).parameters())
    lstm_biases, attention_biases = (2 if cell == "paper" else 1), (1 if logits == "paper" else 2)
    question = 500 * vocabulary + 4 * 1024 * (500 + 1024 + lstm_biases)
    layer = 2 * 512 * 1024 + 512 * attention_biases + (512 + 1)
    assert count == question + 1024 * (512 + 1) + 2 * layer + answers * (1024 + 1)


def test_the_codes_forget_gate_starts_open_and_no_other() -> None:
    bias = SAN(WORDS, ANSWERS, region_size=SIZE, hidden_size=HIDDEN, cell="code").lstm.state.bias
    assert bias[HIDDEN : 2 * HIDDEN].eq(1).all()
    assert bias[:HIDDEN].ne(1).all()
    assert bias[2 * HIDDEN :].ne(1).all()


def test_no_region_gets_more_than_the_bound_of_the_codes_logits() -> None:
    regions, words = some_regions(3, 196), pad_words(TEXTS)
    regions.mask[:] = True
    bound = math.exp(2) / (math.exp(2) + 195)
    assert bound == pytest.approx(0.037, abs=5e-4)
    for scale in (1.0, 3.0, 100.0):
        assert max(m.weights.max() for m in tiny("code", scale=scale)(regions, words).attention) <= bound + 1e-12
    assert min(m.weights.max() for m in tiny("paper", scale=3.0)(regions, words).attention) > 5 * bound


def test_the_bound_of_the_codes_logits_is_reached() -> None:
    model, regions = tiny("code", layers=1), some_regions(2, 196)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.image.weight[0, 0] = model.layers[0].items.weight[0, 0] = model.layers[0].logit.weight[0, 0] = 100
    regions.mask[:] = True
    regions.features[:, :, 0] = -1
    regions.features[:, 3, 0] = 1
    weights = model(regions, pad_words(TEXTS[:2])).attention[0].weights
    torch.testing.assert_close(weights[:, 3], torch.full((2,), math.exp(2) / (math.exp(2) + 195), dtype=torch.float64))


def test_only_the_papers_logits_let_the_question_choose_the_order_of_regions() -> None:
    features = some_regions(2).features[1:].expand(3, -1, -1)
    regions, words = Regions(features, torch.ones(3, REGIONS, dtype=torch.bool)), pad_words(TEXTS)
    for logits in FORMS:
        for each in tiny(logits, scale=2.0)(regions, words).attention:
            in_the_first_texts_order = each.weights[:, each.weights[0].argsort()]
            assert not torch.allclose(each.weights, each.weights[:1].expand(3, -1))
            assert (in_the_first_texts_order.diff(dim=1) < 0).any() == (logits == "paper")


@forms
def test_questions_grouped_by_image_give_the_same_results(logits: str, cell: str) -> None:
    model, regions, words = tiny(logits, cell), some_regions(2), pad_words(TEXTS)
    image_of = torch.tensor([1, 0, 1])
    grouped = model(regions.grouped(Grouping.of(image_of)), words)
    apart = model(Regions(regions.features[image_of], regions.mask[image_of]), words)
    torch.testing.assert_close(grouped.logits, apart.logits)
    for ours, theirs in zip(grouped.attention, apart.attention, strict=True):
        torch.testing.assert_close(ours.weights, theirs.weights)
        torch.testing.assert_close(ours.weights.sum(1), torch.ones(3, dtype=torch.float64))


def test_dropout_acts_before_the_classifier_only() -> None:
    model, inputs_with_zeros = tiny().train(), set()
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear | torch.nn.RNNBase):
            module.register_forward_pre_hook(
                lambda module, inputs, name=name: inputs_with_zeros.update({name} if inputs[0].data.eq(0).any() else {})
            )
    model(some_regions(3), pad_words(TEXTS))
    assert inputs_with_zeros == {"answer"}


@forms
def test_attention_off_gives_the_same_logits_and_no_maps(logits: str, cell: str) -> None:
    model, regions, words = tiny(logits, cell), some_regions(3), pad_words(TEXTS)
    silent = model(regions, words, attention=False)
    assert silent.attention == ()
    assert torch.equal(silent.logits, model(regions, words).logits)


@forms
def test_an_image_without_regions_attends_to_nothing(logits: str, cell: str) -> None:
    model, regions = tiny(logits, cell), some_regions(3)
    nothing = Regions(regions.features.requires_grad_(), torch.zeros_like(regions.mask))
    output = model(nothing, pad_words(TEXTS))
    output.logits.sum().backward()
    assert not any(m.weights.any() for m in output.attention)
    assert output.logits.isfinite().all()
    assert nothing.features.grad.eq(0).all()
