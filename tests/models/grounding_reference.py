"""What the tests of grounders share: phrases of sentences about images with boxes, and what holds of every grounder."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, pad

from saccade.text import pad_words
from saccade.types import Groundings, Grouping, Phrases, Regions, Words

WORDS, REGIONS, SIZE = 19, 13, 11
TEXTS = [[2, 3, 4, 5, 6, 7, 8], [9, 10], [11, 12, 13], [3, 14, 15, 16, 17]]
SPANS = [[(0, 2), (3, 6), (6, 7)], [(0, 1)], [(1, 3), (0, 1)], [(4, 5), (0, 5)]]
IMAGE_OF = torch.tensor([2, 0, 2, 1])


def pad_phrases(spans: list[list[tuple[int, int]]]) -> Phrases:
    """Phrases of texts side by side; what stands in for those that do not exist would be read if it were."""
    most = max(map(len, spans))
    rows = [[*each, *[(0, 1)] * (most - len(each))] for each in spans]
    return Phrases(torch.tensor(rows), torch.tensor([[p < len(each) for p in range(most)] for each in spans]))


def some_regions(count: int = 3, *, seed: int = 2) -> Regions:
    """Regions with boxes in double precision; the first image has seven."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(count, REGIONS, SIZE, generator=generator, dtype=torch.float64)
    corners = torch.rand(count, REGIONS, 2, 2, generator=generator, dtype=torch.float64)
    mask = torch.ones(count, REGIONS, dtype=torch.bool)
    mask[0, 7:] = False
    return Regions(features, mask, torch.cat([corners.amin(2), corners.amax(2)], dim=2))


def single(regions: Regions) -> Regions:
    return Regions(regions.features.float(), regions.mask, regions.boxes.float())


def batch() -> tuple[Regions, Words, Phrases]:
    """Each text with its own row of regions."""
    return some_regions().take(IMAGE_OF), pad_words(TEXTS), pad_phrases(SPANS)


def alone(text: int) -> tuple[Regions, Words, Phrases]:
    """One text without any padding."""
    regions = some_regions().row(int(IMAGE_OF[text]))
    return regions, pad_words([TEXTS[text]]), pad_phrases([SPANS[text]])


def same(a: Groundings, b: Groundings, **close: float) -> None:
    """Whether two outputs agree in logits, shifts and maps."""
    torch.testing.assert_close(a.logits, b.logits, **close)
    torch.testing.assert_close(a.shifts, b.shifts, **close)
    assert [(m.name, m.axes) for m in a.attention] == [(m.name, m.axes) for m in b.attention]
    for ours, theirs in zip(a.attention, b.attention, strict=True):
        torch.testing.assert_close(ours.weights, theirs.weights, **close)


def check_equals(output: Groundings, text: int, logits: np.ndarray, *, atol: float = 1e-9) -> None:
    """The logits of one text of `batch()` and the map made of them, which are nothing elsewhere."""
    phrases, regions = logits.shape
    of_text = output.logits[text].detach().numpy()
    np.testing.assert_allclose(of_text[:phrases, :regions], logits, atol=atol)
    assert np.isneginf(of_text[phrases:]).all()
    assert np.isneginf(of_text[:, regions:]).all()
    [weights] = [each.weights[text].detach().numpy() for each in output.attention if each.name == "phrases"]
    e = np.exp(logits - logits.max(1, keepdims=True))
    np.testing.assert_allclose(weights[:phrases, :regions], e / e.sum(1, keepdims=True), atol=atol)
    assert not weights[phrases:].any()
    assert not weights[:, regions:].any()


def check_independence(model: torch.nn.Module) -> None:
    """A text's phrases get the same alone as beside others, in any order, behind any padding, in single precision."""
    model.float().eval()
    regions, words, phrases = batch()
    whole = model(single(regions), words, phrases)
    for text, spans in enumerate(SPANS):
        own, *rest = alone(text)
        logits = model(single(own), *rest).logits[0]
        torch.testing.assert_close(logits, whole.logits[text, : len(spans), : logits.shape[1]], rtol=0, atol=1e-6)
    order = [2, 0, 3, 1]
    turned = model(
        single(regions.take(torch.tensor(order))),
        pad_words([TEXTS[i] for i in order]),
        Phrases(phrases.spans[order], phrases.mask[order]),
    )
    torch.testing.assert_close(turned.logits, whole.logits[order], rtol=0, atol=1e-6)
    further = model(*padded_further(single(regions), words, phrases))
    assert further.logits[:, 3:].isneginf().all()
    assert further.logits[:, :, REGIONS:].isneginf().all()
    torch.testing.assert_close(further.logits[:, :3, :REGIONS], whole.logits, rtol=0, atol=1e-6)


def padded_further(regions: Regions, words: Words, phrases: Phrases) -> tuple[Regions, Words, Phrases]:
    """The same with two more regions, four more words and two more phrases that do not exist, and are not zero."""
    return (
        Regions(
            pad(regions.features, (0, 0, 0, 2), value=5.0),
            pad(regions.mask, (0, 2)),
            pad(regions.boxes, (0, 0, 0, 2), value=0.5),
        ),
        Words(pad(words.ids, (0, 4), value=3), pad(words.mask, (0, 4))),
        Phrases(pad(phrases.spans, (0, 0, 0, 2), value=1), pad(phrases.mask, (0, 2))),
    )


def check_padding_never_wins(model: torch.nn.Module) -> None:
    """However strong the features in padding are, its regions are last, and the gradients are finite without them."""
    regions, words, phrases = batch()
    features = regions.features.masked_fill(~regions.mask.unsqueeze(2), 1e3).requires_grad_()
    output = model(replace(regions, features=features), words, phrases)
    exist = phrases.mask.unsqueeze(2) & regions.mask.unsqueeze(1)
    assert torch.equal(output.logits.isfinite(), exist)
    assert torch.equal(output.logits.isneginf(), ~exist)
    best = output.logits.argmax(2)
    assert regions.mask.gather(1, best)[phrases.mask].all()
    targets = torch.ones_like(output.logits)[exist]
    loss = binary_cross_entropy_with_logits(output.logits[exist], targets, reduction="sum")
    loss = (
        loss
        - output.logits.log_softmax(2)[exist].mean()
        + sum(each.weights.square().sum() for each in output.attention)
    )
    gradients = torch.autograd.grad(loss, [features, *model.parameters()])
    assert all(each.isfinite().all() for each in gradients)
    assert not gradients[0][~regions.mask].any()


def check_nothing_there(model: torch.nn.Module) -> None:
    """An image without regions and a text without phrases get no logit, no weight and no NaN."""
    regions, words, phrases = batch()
    features = regions.features.requires_grad_()
    none = replace(regions, features=features, mask=regions.mask & torch.tensor([True, True, False, False])[:, None])
    phrases.mask[1] = False
    output = model(none, words, phrases)
    assert output.logits[1:].isneginf().all()
    assert all(not each.weights[1:].any() for each in output.attention if each.name == "phrases")
    exist = phrases.mask.unsqueeze(2) & none.mask.unsqueeze(1)
    loss = output.logits[exist].square().sum() + sum(each.weights.square().sum() for each in output.attention)
    gradients = torch.autograd.grad(loss, [features, *model.parameters()])
    assert all(each.isfinite().all() for each in gradients)
    assert not gradients[0][2:].any()


def check_no_phrases(model: torch.nn.Module) -> None:
    """A batch in which no text has a phrase is answered, with nothing."""
    regions, words, _ = batch()
    none = Phrases(torch.zeros(4, 0, 2, dtype=torch.int64), torch.zeros(4, 0, dtype=torch.bool))
    for shown in (regions, some_regions().grouped(Grouping.of(IMAGE_OF))):
        assert model(shown, words, none).logits.shape == (4, 0, REGIONS)
        assert model(shown, words, none, attention=False).logits.shape == (4, 0, REGIONS)


def check_grouped(model: torch.nn.Module) -> None:
    """Texts that share a row of regions get what each gets with a row of its own, and so do the parameters."""
    regions, words, phrases = batch()
    apart = model(regions, words, phrases)
    grouped = model(some_regions().grouped(Grouping.of(IMAGE_OF)), words, phrases)
    same(grouped, apart)
    exist = apart.logits.isfinite()
    gradients = [
        torch.autograd.grad(each.logits[exist].sin().sum(), list(model.parameters()), allow_unused=True)
        for each in (grouped, apart)
    ]
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b)


def check_silent(model: torch.nn.Module) -> None:
    """Without maps the logits are the same."""
    told, silent = model(*batch()), model(*batch(), attention=False)
    assert silent.attention == ()
    torch.testing.assert_close(silent.logits, told.logits)
    torch.testing.assert_close(silent.shifts, told.shifts)


def check_coarse(model: torch.nn.Module, dtype: torch.dtype) -> None:
    """Under autocast the logits are in single precision and near those without it."""
    model.float().eval()
    regions, words, phrases = batch()
    exact = model(single(regions), words, phrases)
    with torch.autocast("cpu", dtype):
        output = model(single(regions), words, phrases)
    assert output.logits.dtype == torch.float32
    exist = exact.logits.isfinite()
    assert torch.equal(output.logits.isfinite(), exist)
    torch.testing.assert_close(output.logits[exist], exact.logits[exist], rtol=0.1, atol=0.1)
    output.logits[exist].square().sum().backward()
    assert all(each.grad is None or each.grad.isfinite().all() for each in model.parameters())


def learns_by_heart(model: torch.nn.Module, *, rate: float = 0.01, steps: int = 300) -> bool:
    """Whether eight sentences, two about each image, are learnt by the sum of binary cross-entropies."""
    generator = torch.Generator().manual_seed(4)
    texts = [[3 + k, 11, 4 + k, 12, 13][: 3 + k % 3] for k in range(8)]
    words, phrases = pad_words(texts), pad_phrases([[(0, 1), (1, 3)][: 1 + k % 2] for k in range(8)])
    shown = single(some_regions(4, seed=5)).grouped(Grouping.of(torch.arange(8) // 2))
    exist = phrases.mask.unsqueeze(2) & shown.per_text(shown.mask).unsqueeze(1)
    targets = (torch.rand(exist.shape, generator=generator) < 0.2)[exist]
    optimizer = torch.optim.Adam(model.float().parameters(), lr=rate)
    for step in range(steps):
        logits = model.train()(shown, words, phrases, attention=False).logits[exist]
        loss = binary_cross_entropy_with_logits(logits, targets.float(), reduction="sum") / 8
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 10 == 9 and torch.equal(model.eval()(shown, words, phrases).logits[exist] > 0, targets):
            return True
    return False
