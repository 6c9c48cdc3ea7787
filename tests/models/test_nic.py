"""NIC against NumPy float64: image first, sharing, padding, stepping, start, count."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.models.captioning_reference import END, nic, parameters_of
from tests.models.reference import some_regions

from saccade.models.nic import NIC
from saccade.text import pad_words
from saccade.types import Grouping, Regions, Words

WORDS, SIZE, HIDDEN, EMBEDDING = 19, 11, 13, 5
TEXTS = [[3, 4, 5, 6, END], [7, END], [9, 10, 11, END]]


def tiny(**sizes) -> NIC:
    torch.manual_seed(1)
    small = {"region_size": SIZE, "hidden_size": HIDDEN, "embedding_size": EMBEDDING}
    model = NIC(WORDS, **small | sizes).double().eval()
    for parameter in model.parameters():
        torch.nn.init.uniform_(parameter, -1, 1)
    return model


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1]])
def test_forward_equals_the_equations_with_padding_in_any_order(order: list[int]) -> None:
    model, regions = tiny(), some_regions(3)
    out = model(Regions(regions.features[order], regions.mask[order]), pad_words([TEXTS[i] for i in order]))
    assert out.attention == ()
    assert out.penalty is None
    for row, i in enumerate(order):
        expected = nic(parameters_of(model), regions.features[i][regions.mask[i]].numpy(), TEXTS[i])
        np.testing.assert_allclose(out.logits[row, : len(expected)].detach().numpy(), expected, atol=1e-10)


def test_a_caption_written_step_by_step_has_the_logits_of_one_that_is_told() -> None:
    model, regions, words = tiny(), some_regions(2), pad_words([TEXTS[i % 3] for i in range(6)])
    image_of = torch.arange(2).repeat_interleave(3)
    told = model(regions.grouped(Grouping.of(image_of)), words).logits
    state, previous = model.start(regions).gather(image_of), torch.zeros(6, dtype=torch.long)
    for t in range(words.ids.shape[1]):
        step = model.step(state, previous)
        assert step.attention == ()
        here = words.mask[:, t]
        torch.testing.assert_close(step.logits[here], told[here, t], rtol=0, atol=1e-10)
        state, previous = step.state, words.ids[:, t]


def test_captions_grouped_by_image_give_the_same_logits() -> None:
    model, regions, words, image_of = tiny(), some_regions(2), pad_words(TEXTS), torch.tensor([1, 0, 1])
    apart = model(Regions(regions.features[image_of], regions.mask[image_of]), words)
    torch.testing.assert_close(model(regions.grouped(Grouping.of(image_of)), words).logits, apart.logits)


def test_what_lies_in_padding_changes_nothing() -> None:
    model, regions, words = tiny(), some_regions(3), pad_words(TEXTS)
    garbage = Regions(regions.features.masked_fill(~regions.mask.unsqueeze(2), 1e3), regions.mask)
    others = Words(words.ids.masked_fill(~words.mask, 5), words.mask)
    torch.testing.assert_close(model(garbage, others).logits, model(regions, words).logits)


def test_the_start_has_a_vector_that_learns() -> None:
    model = tiny()
    model(some_regions(3), pad_words(TEXTS)).logits.square().sum().backward()
    assert model.embedding.weight.grad[0].any()
    assert all(parameter.grad.any() for parameter in model.parameters())


def test_dropout_acts_on_what_enters_and_leaves_the_lstm() -> None:
    model, with_zeros = tiny(dropout=0.5).train(), {}
    for name in ("image", "lstm", "output"):
        getattr(model, name).register_forward_pre_hook(
            lambda module, inputs, name=name: with_zeros.update({name: inputs[0].eq(0)})
        )
    model(some_regions(3), pad_words(TEXTS))
    assert not with_zeros["image"].any()
    assert with_zeros["lstm"][:, 0].any()  # the image
    assert with_zeros["lstm"][:, 1:].any()
    assert with_zeros["output"].any()


def test_it_starts_uniform_with_open_forget_gates() -> None:
    model = NIC(WORDS, region_size=SIZE, hidden_size=HIDDEN, embedding_size=EMBEDDING)
    biases = {name: p for name, p in model.named_parameters() if "bias" in name}
    assert biases["lstm.bias_ih_l0"][HIDDEN : 2 * HIDDEN].eq(1).all()
    assert sum(bias.sum() for bias in biases.values()) == HIDDEN
    weights = torch.cat([p.flatten() for name, p in model.named_parameters() if name not in biases])
    assert 0.079 < weights.abs().max() <= 0.08
    assert weights.std().item() == pytest.approx(0.08 / 3**0.5, rel=0.05)


def test_parameter_count_at_the_originals_sizes() -> None:
    with torch.device("meta"):
        count = sum(parameter.numel() for parameter in NIC(12_000).parameters())
    assert count == 512 * 2048 + 512 * 12_000 + 4 * 512 * (512 + 512 + 2) + 12_000 * (512 + 1)
