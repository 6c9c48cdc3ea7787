"""r-DAN against equations 1 to 15 in NumPy float64, exact gradients, and the parameter counts of the paper's sizes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.models.reference import gradients_are_exact, sigmoid, softmax, some_regions

from saccade.models import create_model
from saccade.models.dan import RDAN
from saccade.text import pad_words
from saccade.types import Regions, Words

WORDS, ANSWERS, REGIONS, SIZE, HIDDEN, STEPS = 19, 5, 7, 11, 13, 2
TEXTS = [[2, 3, 4, 5, 6], [7, 8], [9, 10, 11]]


def tiny(**sizes) -> RDAN:
    torch.manual_seed(1)
    return RDAN(WORDS, ANSWERS, **{"region_size": SIZE, "hidden_size": HIDDEN, "steps": STEPS} | sizes).double().eval()


class Transcription:
    """One question at a time, no batch, no padding: the paper's equations and nothing else."""

    def __init__(self, model: RDAN) -> None:
        self.p = {name: value.detach().numpy() for name, value in model.state_dict().items()}

    def linear(self, name: str, x: np.ndarray) -> np.ndarray:
        return self.p[f"{name}.weight"] @ x + self.p[f"{name}.bias"]

    def lstm(self, xs: list[np.ndarray], suffix: str) -> list[np.ndarray]:
        h = c = np.zeros(HIDDEN)
        states = []
        for x in xs:
            z = self.p[f"text_encoder.lstm.weight_ih_l0{suffix}"] @ x + self.p[f"text_encoder.lstm.bias_ih_l0{suffix}"]
            z = (
                z
                + self.p[f"text_encoder.lstm.weight_hh_l0{suffix}"] @ h
                + self.p[f"text_encoder.lstm.bias_hh_l0{suffix}"]
            )
            i, f, g, o = np.split(z, 4)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
            states.append(h)
        return states

    def __call__(self, v: np.ndarray, ids: list[int]) -> tuple[np.ndarray, list[np.ndarray]]:
        x = [self.p["text_encoder.embedding.weight"][i] for i in ids]
        forward, backward = self.lstm(x, ""), self.lstm(x[::-1], "_reverse")[::-1]  # Eq. 1, 2
        u = [f + b for f, b in zip(forward, backward, strict=True)]
        v_0 = np.tanh(self.linear("contexts.0", sum(v) / len(v)))  # Eq. 13
        u_0 = sum(u) / len(u)  # Eq. 14
        m, maps = v_0 * u_0, []  # Eq. 12
        for k in range(STEPS):
            query = np.tanh(self.linear(f"looks.{k}.memory", m))
            h_v = [np.tanh(self.linear(f"looks.{k}.items", v_n)) * query for v_n in v]  # Eq. 4
            alpha_v = softmax(np.array([self.linear(f"looks.{k}.logit", h)[0] for h in h_v]))  # Eq. 5
            v_k = np.tanh(self.linear(f"contexts.{k + 1}", alpha_v @ v))  # Eq. 6
            query = np.tanh(self.linear(f"reads.{k}.memory", m))
            h_u = [np.tanh(self.linear(f"reads.{k}.items", u_t)) * query for u_t in u]  # Eq. 8
            alpha_u = softmax(np.array([self.linear(f"reads.{k}.logit", h)[0] for h in h_u]))  # Eq. 9
            u_k = alpha_u @ np.array(u)  # Eq. 10
            m = m + v_k * u_k  # Eq. 11
            maps += [alpha_v, alpha_u]
        return self.linear("answer", m), maps  # Eq. 15


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1]])
def test_forward_equals_the_equations_with_padding_in_any_order(order: list[int]) -> None:
    model, regions = tiny(), some_regions(3)
    output = model(Regions(regions.features[order], regions.mask[order]), pad_words([TEXTS[i] for i in order]))
    for row, i in enumerate(order):
        logits, maps = Transcription(model)(regions.features[i][regions.mask[i]].numpy(), TEXTS[i])
        np.testing.assert_allclose(output.logits[row].detach().numpy(), logits, atol=1e-6)
        for ours, theirs in zip(output.attention, maps, strict=True):
            weights = ours.weights[row].detach().numpy()
            np.testing.assert_allclose(weights[: len(theirs)], theirs, atol=1e-6)
            assert not weights[len(theirs) :].any()


def test_single_precision_forward_equals_the_equations() -> None:
    model, regions = tiny(), some_regions(3)
    expected = [
        Transcription(model)(v[m].numpy(), t)[0] for v, m, t in zip(regions.features, regions.mask, TEXTS, strict=True)
    ]
    output = model.float()(Regions(regions.features.float(), regions.mask), pad_words(TEXTS))
    np.testing.assert_allclose(output.logits.detach().numpy(), np.array(expected), atol=1e-6)


def test_gradients_are_exact() -> None:
    assert gradients_are_exact(tiny(hidden_size=3, steps=1), SIZE)


@pytest.mark.parametrize(("region_size", "expected"), [(2048, 12_047_828), (512, 8_115_668)])
def test_parameter_counts_are_the_papers(region_size: int, expected: int) -> None:
    vocabulary, extra_lstm_biases = 1009, 4096  # PyTorch's LSTM has two bias vectors a direction
    model = create_model("r-dan", num_words=vocabulary, num_answers=2000, region_size=region_size)
    count = sum(parameter.numel() for parameter in model.parameters())
    assert count == expected + 512 * vocabulary + extra_lstm_biases


def test_attention_off_gives_the_same_logits_and_no_maps() -> None:
    model, regions, words = tiny(), some_regions(3), pad_words(TEXTS)
    silent = model(regions, words, attention=False)
    assert silent.attention == ()
    assert torch.equal(silent.logits, model(regions, words).logits)


def test_a_question_without_words_and_an_image_without_regions_attend_to_nothing() -> None:
    model, regions = tiny(), some_regions(1)
    nothing = Regions(regions.features, torch.zeros_like(regions.mask))
    output = model(nothing, Words(torch.tensor([[2, 3]]), torch.tensor([[True, True]])))
    assert not output.attention[0].weights.any()
    assert output.logits.isfinite().all()
