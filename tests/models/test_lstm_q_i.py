"""Deeper LSTM Q + norm I in NumPy float64, exact gradients, and the parameter count of the original's sizes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.models.reference import gradients_are_exact, sigmoid, some_regions

from saccade.models.lstm_q_i import LSTMQI
from saccade.text import pad_words
from saccade.types import Regions

WORDS, ANSWERS, REGIONS, SIZE, HIDDEN, EMBEDDING, LSTM = 19, 5, 7, 11, 13, 3, 17
SMALL = {"region_size": SIZE, "hidden_size": HIDDEN, "embedding_size": EMBEDDING, "lstm_size": LSTM}
TEXTS = [[2, 3, 4, 5, 6], [7, 8], [9, 10, 11]]


def tiny(**sizes) -> LSTMQI:
    """A small model whose parameters are uniform(-1, 1), wide enough to tell a tanh from nothing."""
    torch.manual_seed(1)
    model = LSTMQI(WORDS, ANSWERS, **SMALL | sizes).double().eval()
    for parameter in model.parameters():
        torch.nn.init.uniform_(parameter, -1, 1)
    return model


class Transcription:
    """One question at a time, no batch, no padding."""

    def __init__(self, model: LSTMQI) -> None:
        self.p = {name: value.detach().numpy() for name, value in model.state_dict().items()}

    def linear(self, name: str, x: np.ndarray) -> np.ndarray:
        return self.p[f"{name}.weight"] @ x + self.p[f"{name}.bias"]

    def lstm(self, xs: list[np.ndarray], layer: int) -> tuple[list[np.ndarray], np.ndarray]:
        of_input, of_state = (
            (self.p[f"lstm.weight_{part}_l{layer}"], self.p[f"lstm.bias_{part}_l{layer}"]) for part in ("ih", "hh")
        )
        h = c = np.zeros(LSTM)
        states = []
        for x in xs:
            i, f, g, o = np.split(of_input[0] @ x + of_input[1] + of_state[0] @ h + of_state[1], 4)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
            states.append(h)
        return states, c

    def __call__(self, v: np.ndarray, ids: list[int]) -> np.ndarray:
        h_1, c_1 = self.lstm([np.tanh(self.p["embedding.weight"][i]) for i in ids], 0)
        h_2, c_2 = self.lstm(h_1, 1)
        question = np.tanh(self.linear("question", np.concatenate([c_1, h_1[-1], c_2, h_2[-1]])))
        mean = sum(v) / len(v)
        image = np.tanh(self.linear("image", mean / np.sqrt(mean @ mean)))
        return self.linear("answer", question * image)


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1]])
def test_forward_equals_the_transcription_with_padding_in_any_order(order: list[int]) -> None:
    model, regions = tiny(), some_regions(3)
    output = model(Regions(regions.features[order], regions.mask[order]), pad_words([TEXTS[i] for i in order]))
    assert output.attention == ()
    for row, i in enumerate(order):
        logits = Transcription(model)(regions.features[i][regions.mask[i]].numpy(), TEXTS[i])
        np.testing.assert_allclose(output.logits[row].detach().numpy(), logits, atol=1e-6)


def test_gradients_are_exact() -> None:
    assert gradients_are_exact(tiny(hidden_size=3, lstm_size=2), SIZE)


def test_parameter_count_is_that_of_the_originals_sizes() -> None:
    vocabulary, answers = 1009, 1000
    with torch.device("meta"):
        count = sum(parameter.numel() for parameter in LSTMQI(vocabulary, answers).parameters())
    embedding = 200 * vocabulary  # the original has 200 more, a bias
    lstm = 4 * 512 * (200 + 512 + 2) + 4 * 512 * (512 + 512 + 2)
    joint = 1024 * (2048 + 1) + 1024 * (4096 + 1) + answers * (1024 + 1)
    assert count == embedding + lstm + joint


def test_every_parameter_starts_within_the_originals_bounds() -> None:
    for parameter in LSTMQI(WORDS, ANSWERS, **SMALL).parameters():
        assert parameter.abs().max() <= 0.08
        assert parameter.unique().numel() == parameter.numel()


def test_dropout_acts_where_the_original_has_it() -> None:
    model, inputs_with_zeros = tiny().train(), set()
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear | torch.nn.RNNBase):
            module.register_forward_pre_hook(
                lambda module, inputs, name=name: inputs_with_zeros.update({name} if inputs[0].data.eq(0).any() else {})
            )
    model(some_regions(3), pad_words(TEXTS))
    assert inputs_with_zeros == {"lstm", "question", "image", "answer"}
    assert model.lstm.dropout == 0.5  # between its layers


def test_scaling_an_image_changes_nothing() -> None:
    model, regions, words = tiny(), some_regions(3), pad_words(TEXTS)
    torch.testing.assert_close(
        model(Regions(7 * regions.features, regions.mask), words).logits, model(regions, words).logits
    )
