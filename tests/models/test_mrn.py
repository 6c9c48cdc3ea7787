"""MRN in NumPy float64, exact gradients, and the parameter count of the original's sizes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.models.reference import gradients_are_exact, sigmoid, some_regions

from saccade.models.mrn import MRN
from saccade.text import pad_words
from saccade.types import Regions

WORDS, ANSWERS, REGIONS, SIZE, HIDDEN, EMBEDDING, GRU, BLOCKS = 19, 5, 7, 11, 13, 3, 17, 3
SMALL = {"region_size": SIZE, "hidden_size": HIDDEN, "embedding_size": EMBEDDING, "gru_size": GRU}
TEXTS = [[2, 3, 4, 5, 6], [7, 8], [9, 10, 11]]


def tiny(**sizes) -> MRN:
    """A small model whose parameters are uniform(-1, 1), wide enough to tell a tanh from nothing."""
    torch.manual_seed(1)
    model = MRN(WORDS, ANSWERS, **SMALL | sizes).double().eval()
    for parameter in model.parameters():
        torch.nn.init.uniform_(parameter, -1, 1)
    return model


class Transcription:
    """One question at a time, no batch, no padding."""

    def __init__(self, model: MRN) -> None:
        self.p = {name: value.detach().numpy() for name, value in model.state_dict().items()}
        self.blocks = len(model.blocks)

    def linear(self, name: str, x: np.ndarray) -> np.ndarray:
        return self.p[f"{name}.weight"] @ x + self.p[f"{name}.bias"]

    def gru(self, xs: list[np.ndarray]) -> np.ndarray:
        h = np.zeros(GRU)
        for x in xs:
            r, z, n = np.split(self.p["gru.weight_ih_l0"] @ x + self.p["gru.bias_ih_l0"], 3)
            r_h, z_h, n_h = np.split(self.p["gru.weight_hh_l0"] @ h + self.p["gru.bias_hh_l0"], 3)
            candidate = np.tanh(n + sigmoid(r + r_h) * n_h)
            z = sigmoid(z + z_h)
            h = (1 - z) * candidate + z * h
        return h

    def __call__(self, regions: np.ndarray, ids: list[int]) -> np.ndarray:
        mean = sum(regions) / len(regions)
        v = mean / np.sqrt(mean @ mean)
        H = self.gru([self.p["embedding.weight"][i] for i in ids])
        for k in range(self.blocks):
            inner = np.tanh(self.linear(f"blocks.{k}.image_1", v))
            image = np.tanh(self.linear(f"blocks.{k}.image_2", inner))
            question = np.tanh(self.linear(f"blocks.{k}.question", H))
            H = self.linear(f"blocks.{k}.shortcut", H) + question * image
        return self.linear("answer", H)


@pytest.mark.parametrize("blocks", [1, BLOCKS])
@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1]])
def test_forward_equals_the_transcription_with_padding_in_any_order(order: list[int], blocks: int) -> None:
    model, regions = tiny(blocks=blocks), some_regions(3)
    output = model(Regions(regions.features[order], regions.mask[order]), pad_words([TEXTS[i] for i in order]))
    assert output.attention == ()
    for row, i in enumerate(order):
        logits = Transcription(model)(regions.features[i][regions.mask[i]].numpy(), TEXTS[i])
        np.testing.assert_allclose(output.logits[row].detach().numpy(), logits, atol=1e-6)


def test_gradients_are_exact() -> None:
    assert gradients_are_exact(tiny(hidden_size=3, gru_size=2, region_size=5, blocks=2), 5)


def test_parameter_count_is_that_of_the_originals_sizes() -> None:
    vocabulary, answers = 1009, 2000
    with torch.device("meta"):
        count = sum(parameter.numel() for parameter in MRN(vocabulary, answers).parameters())
    question = 620 * vocabulary + 3 * 2400 * (620 + 2400 + 2)  # nn.GRU has 7,200 biases more than the original's
    image = 2048 * (2048 + 1) + 1200 * (2048 + 1)
    blocks = 2 * 1200 * (2400 + 1) + image + 2 * (2 * 1200 * (1200 + 1) + image)
    assert count == question + blocks + answers * (1200 + 1)


def test_blocks_and_classifier_start_within_the_originals_bounds() -> None:
    model = MRN(WORDS, ANSWERS, **SMALL)
    for parameter in (*model.blocks.parameters(), *model.answer.parameters()):
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
    linear = ("shortcut", "question", "image_1", "image_2")
    blocks = {f"blocks.{k}.{name}" for k in range(BLOCKS) for name in linear}
    assert inputs_with_zeros == {"gru", "answer"} | blocks


def test_dropout_of_words_draws_once_for_all_words_of_a_text() -> None:
    model = tiny(word_dropout=0.5).train()
    seen = []
    model.gru.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        model.embedding.weight.fill_(1)
        model.read(pad_words([[2, 3, 4, 5]] * 101))
    read = torch.nn.utils.rnn.pad_packed_sequence(seen[0], batch_first=True)[0]
    assert torch.equal(read, read[:, :1].expand_as(read))
    assert read[:, 0].unique().tolist() == [0, 2]
    assert read[:, 0].unique(dim=0).shape[0] == 2**EMBEDDING


def test_scaling_an_image_changes_nothing() -> None:
    model, regions, words = tiny(), some_regions(3), pad_words(TEXTS)
    torch.testing.assert_close(
        model(Regions(7 * regions.features, regions.mask), words).logits, model(regions, words).logits
    )
