"""Word features: many texts at once beside one after the other."""

from __future__ import annotations

import torch

from saccade.nn.text_encoders import TEXTS_AT_ONCE, BiLSTM
from saccade.text import pad_words


def test_many_texts_at_once_are_read_as_each_alone() -> None:
    torch.manual_seed(0)
    encoder, count = BiLSTM(17, 5), 2 * TEXTS_AT_ONCE + 3
    words = pad_words([torch.randint(2, 17, (1 + (7 * i) % 11,)).tolist() for i in range(count)])
    together = encoder(words)
    for text, (ids, mask) in enumerate(zip(words.ids, words.mask, strict=True)):
        alone = encoder(pad_words([ids[mask].tolist()]))[0]
        torch.testing.assert_close(together[text, : len(alone)], alone)
        assert not together[text, len(alone) :].any()


def test_gradients_of_many_texts_are_the_sum_of_their_own() -> None:
    torch.manual_seed(0)
    encoder, texts = BiLSTM(17, 5), [[2 + i % 15] * (1 + i % 7) for i in range(TEXTS_AT_ONCE + 9)]
    gradients = []
    for portions in ([texts], [[text] for text in texts]):
        encoder.zero_grad()
        for portion in portions:
            encoder(pad_words(portion)).square().sum().backward()
        gradients.append([parameter.grad.clone() for parameter in encoder.parameters()])
    for together, apart in zip(*gradients, strict=True):
        torch.testing.assert_close(together, apart, rtol=1e-4, atol=1e-5)
