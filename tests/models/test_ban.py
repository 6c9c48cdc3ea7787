"""BAN against the authors' code written out in NumPy float64, exact gradients, parameter counts, and its traps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.models.reference import sigmoid, softmax

from saccade.errors import RecipeError
from saccade.models.ban import BAN
from saccade.text import pad_words
from saccade.types import Grouping, Regions, Words

WORDS, ANSWERS, REGIONS, SIZE, HIDDEN, GLIMPSES, LENGTH = 19, 5, 13, 11, 7, 3, 5
TEXTS = [[2, 3, 4, 5, 6, 7, 8], [9, 10], [11, 12, 13]]  # the first is cut
IMAGE_OF = torch.tensor([2, 0, 2])
VARIANTS = [
    {},
    {"question_mask": True},
    {"counter": False, "tables": 1},
    {"combine": "sum"},
    {"combine": "concatenation", "question_mask": True},
    {"attend": "co"},
    {"attend": "co", "question_mask": True},
    {"attend": "unitary"},
    {"attend": "unitary", "question_mask": True},
]
of_variants = pytest.mark.parametrize("options", VARIANTS, ids=str)


def tiny(**options) -> BAN:
    torch.manual_seed(1)
    sizes = {"region_size": SIZE, "hidden_size": HIDDEN, "glimpses": GLIMPSES, "question_length": LENGTH}
    model = BAN(WORDS, ANSWERS, **sizes | {"embedding_size": 3} | options).double().eval()
    if model.counter is not None:
        torch.nn.init.uniform_(model.counter.weight[:, 1:])  # functions that are not straight
    return model


def some_regions(count: int, seed: int = 2) -> Regions:
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(count, REGIONS, SIZE, generator=generator, dtype=torch.float64)
    corners = torch.rand(count, REGIONS, 2, 2, generator=generator, dtype=torch.float64)
    mask = torch.ones(count, REGIONS, dtype=torch.bool)
    mask[0, 7:] = False  # fewer than the counter counts
    return Regions(features, mask, torch.cat([corners.amin(2), corners.amax(2)], dim=2))


class Transcription:
    """One question at a time; padding is written out, not batched."""

    def __init__(self, model: BAN) -> None:
        self.p = {name: value.detach().numpy() for name, value in model.state_dict().items()}
        self.model = model

    def weight(self, name: str) -> np.ndarray:
        module, _, last = name.rpartition(".")
        g, v = (self.p[f"{module}.parametrizations.{last}.original{i}"] for i in (0, 1))
        return g * v / np.sqrt((v**2).sum())

    def linear(self, name: str, x: np.ndarray) -> np.ndarray:
        return x @ self.weight(f"{name}.weight").T + self.p[f"{name}.bias"]

    def relu(self, name: str, x: np.ndarray) -> np.ndarray:
        return np.maximum(self.linear(name, x), 0)

    def gru(self, ids: list[int]) -> np.ndarray:
        p, h, states = self.p, np.zeros(HIDDEN), []
        for i in ids:
            x = np.concatenate([p[f"text_encoder.tables.{k}.weight"][i] for k in range(len(self.tables))])
            a = p["text_encoder.gru.weight_ih_l0"] @ x + p["text_encoder.gru.bias_ih_l0"]
            b = p["text_encoder.gru.weight_hh_l0"] @ h + p["text_encoder.gru.bias_hh_l0"]
            (a_r, a_z, a_n), (b_r, b_z, b_n) = np.split(a, 3), np.split(b, 3)
            z = sigmoid(a_z + b_z)
            h = (1 - z) * np.tanh(a_n + sigmoid(a_r + b_r) * b_n) + z * h
            states.append(h)
        return np.array(states)

    @property
    def tables(self) -> list[str]:
        return [name for name in self.p if name.startswith("text_encoder.tables")]

    def count(self, boxes: np.ndarray, logits: np.ndarray) -> np.ndarray:
        top = np.argsort(-logits)[:10]
        a, b = (np.zeros((10, *shape)) for shape in ((), (4,)))
        a[: len(top)], b[: len(top)] = sigmoid(logits[top]), boxes[top]

        def f(which: int, x: np.ndarray) -> np.ndarray:
            w = np.abs(self.p["counter.weight"][which, 1:])
            return np.interp(x, np.linspace(0, 1, 17), np.concatenate([[0], w.cumsum() / w.sum()]))

        w, h = (np.minimum.outer(b[:, i + 2], b[:, i + 2]) - np.maximum.outer(b[:, i], b[:, i]) for i in (0, 1))
        shared, area = w.clip(0) * h.clip(0), (b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1])
        distance = 1 - shared / (np.add.outer(area, area) - shared + 1e-12)
        kept = f(3, np.outer(a, a)) * f(4, distance)
        alike = np.array([[np.prod(f(2, 1 - np.abs(x - y))) for x in kept] for y in kept])
        same = (alike * f(2, 1 - np.abs(np.subtract.outer(a, a)))).sum(1)
        total = (f(0, np.outer(a, a)) * f(1, distance) / np.outer(same, same)).sum() + (f(0, a * a) / same).sum()
        one_hot = np.clip(1 - np.abs(np.sqrt(total) - np.arange(11)), 0, None)
        return one_hot * f(7, np.abs(f(5, a) - 0.5).mean() + np.abs(f(6, distance) - 0.5).mean())

    def attend(self, logits: np.ndarray, read: int) -> tuple[np.ndarray, list[np.ndarray]]:
        """The weights of all pairs, and the maps: words beyond `read` get nothing."""
        A, logits = np.zeros(logits.shape), logits[:read]
        if self.model.attend == "bilinear":
            A[:read] = softmax(logits.ravel()).reshape(logits.shape)
            return A, [A]
        listen, look = np.zeros(len(A)), softmax(logits.mean(0))
        listen[:read] = softmax(logits.mean(1)) if self.model.attend == "co" else 1 / read
        return np.outer(listen, look), [listen, look] if self.model.attend == "co" else [look]

    def __call__(self, v: np.ndarray, boxes: np.ndarray, text: list[int]) -> tuple[np.ndarray, list[np.ndarray]]:
        ids = (text + [0] * LENGTH)[:LENGTH]
        read = min(len(text), LENGTH) if self.model.question_mask else LENGTH
        x = self.gru(ids)
        U, V, p = (
            self.relu("attention.words.1", x),
            self.relu("attention.regions.0.1", v),
            self.weight("attention.query"),
        )
        outputs, maps, q = [], [], x
        for g in range(GLIMPSES):
            logits = np.array([[(p[g] * u * w).sum() for w in V] for u in U]) + self.p["attention.bias"][g, 0, 0]
            A, shown = self.attend(logits, read)
            u_g, v_g = self.relu(f"glimpses.{g}.words.1", q), self.relu(f"glimpses.{g}.regions.1", v)
            f = sum(A[t, n] * u_g[t] * v_g[n] for t in range(LENGTH) for n in range(len(v)))
            f = self.linear(f"glimpses.{g}.output.1", f)
            if self.model.counter is not None:
                f = f + self.relu(f"counts.{g}.1", self.count(boxes, logits[:read].max(0)))
            if self.model.combine == "residual":
                q = q + f
            outputs.append(f)
            maps += shown
        joint = {"residual": q[:read].sum(0), "sum": sum(outputs), "concatenation": np.concatenate(outputs)}
        return self.linear("answer.3", self.relu("answer.0", joint[self.model.combine])), maps


@of_variants
@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1]])
def test_forward_equals_the_authors_code_with_padding_in_any_order(options: dict, order: list[int]) -> None:
    model, r, texts = tiny(**options), some_regions(3), [TEXTS[i] for i in order]
    output = model(Regions(r.features[order], r.mask[order], r.boxes[order]), pad_words(texts))
    for row, i in enumerate(order):
        logits, maps = Transcription(model)(r.features[i, r.mask[i]].numpy(), r.boxes[i, r.mask[i]].numpy(), TEXTS[i])
        np.testing.assert_allclose(output.logits[row].detach().numpy(), logits, atol=1e-6)
        for ours, theirs in zip(output.attention, maps, strict=True):
            expected = np.zeros(ours.weights.shape[1:])
            words = min(len(TEXTS[i]), LENGTH) if ours.axes[0] == "words" else None  # what lies on padding is not shown
            expected[tuple(map(slice, theirs[:words].shape))] = theirs[:words]
            np.testing.assert_allclose(ours.weights[row].detach().numpy(), expected, atol=1e-6)


def test_single_precision_forward_equals_the_authors_code() -> None:
    model, r = tiny(), some_regions(3)
    expected = [
        Transcription(model)(v[m].numpy(), b[m].numpy(), t)[0]
        for v, b, m, t in zip(r.features, r.boxes, r.mask, TEXTS, strict=True)
    ]
    output = model.float()(Regions(r.features.float(), r.mask, r.boxes.float()), pad_words(TEXTS))
    np.testing.assert_allclose(output.logits.detach().numpy(), np.array(expected), atol=1e-6)


@pytest.mark.parametrize("options", [{}, {"attend": "co", "combine": "sum"}, {"attend": "unitary"}], ids=str)
def test_gradients_are_exact(options: dict) -> None:
    model = tiny(hidden_size=2, glimpses=2, rank=2, embedding_size=1, question_length=3, **options)
    words = pad_words([[2, 3, 4], [5, 6, 7]])  # the embedding of padding has no gradient
    parameters, regions = dict(model.named_parameters()), some_regions(2)

    def logits(features: torch.Tensor, *values: torch.Tensor) -> torch.Tensor:
        named = dict(zip(parameters, values, strict=True))
        shown = Regions(features, torch.ones(2, 3, dtype=torch.bool), regions.boxes[:, :3])
        return torch.func.functional_call(model, named, (shown, words)).logits

    features = regions.features[:, :3].clone().requires_grad_()
    assert torch.autograd.gradcheck(logits, (features, *parameters.values()), atol=1e-6, fast_mode=True)


ABLATION = {"hidden_size": 1024, "tables": 1, "counter": False}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, 90_618_566),
        (ABLATION | {"glimpses": 1}, 32_198_378),
        (ABLATION | {"glimpses": 4}, 44_799_734),
        (ABLATION | {"glimpses": 4, "combine": "sum"}, 44_799_734),  # the paper's: 44.8M
        (ABLATION | {"glimpses": 4, "combine": "concatenation"}, 51_091_190),  # the paper's: 51.1M
        (ABLATION | {"glimpses": 1, "attend": "co"}, 32_198_378),  # the paper's: 32.5M
        (ABLATION | {"glimpses": 1, "attend": "unitary"}, 32_198_378),  # the paper's: 31.9M
    ],
)
def test_parameter_counts_are_those_of_the_code_and_of_the_ablations(options: dict, expected: int) -> None:
    with torch.device("meta"):
        model = BAN(19_902, 3129, **options)
    assert sum(parameter.numel() for parameter in model.parameters()) == expected


@of_variants
def test_questions_grouped_by_image_give_the_same_results_and_gradients(options: dict) -> None:
    model, r, words = tiny(**options), some_regions(3), pad_words(TEXTS)
    apart = model(Regions(r.features[IMAGE_OF], r.mask[IMAGE_OF], r.boxes[IMAGE_OF]), words)
    grouped = model(r.grouped(Grouping.of(IMAGE_OF)), words)
    torch.testing.assert_close(grouped.logits, apart.logits)
    for a, b in zip(grouped.attention, apart.attention, strict=True):
        torch.testing.assert_close(a.weights, b.weights)
    gradients = [torch.autograd.grad(each.logits.sin().sum(), list(model.parameters())) for each in (grouped, apart)]
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b)


@of_variants
def test_a_batch_padded_further_and_without_maps_gives_the_same_logits(options: dict) -> None:
    model, r, words = tiny(**options), some_regions(3), pad_words(TEXTS)
    output = model(r, words)
    silent = model(r, words, attention=False)
    assert silent.attention == ()
    assert torch.equal(silent.logits, output.logits)
    pad = torch.nn.functional.pad
    longer = Words(pad(words.ids, (0, 4), value=3), pad(words.mask, (0, 4)))  # what lies on padding is not looked at
    wider = Regions(
        pad(r.features, (0, 0, 0, 2), value=5.0), pad(r.mask, (0, 2)), pad(r.boxes, (0, 0, 0, 2), value=0.5)
    )
    padded = model(wider, longer)
    torch.testing.assert_close(padded.logits, output.logits)
    shorter = model(Regions(r.features[:1], r.mask[:1], r.boxes[:1]), pad_words([TEXTS[0][:LENGTH]]))
    torch.testing.assert_close(shorter.logits, output.logits[:1])
    for more, less in zip(padded.attention, output.attention, strict=True):
        shape = less.weights.shape[1:]
        further = [{"words": 4, "regions": 2}[axis] for axis in less.axes]
        assert list(more.weights.shape[1:]) == [sum(each) for each in zip(shape, further, strict=True)]
        torch.testing.assert_close(more.weights[(slice(None), *map(slice, shape))], less.weights)


def test_padding_is_attended_to_and_summed_unless_questions_are_masked() -> None:
    r, words = some_regions(3), pad_words(TEXTS)
    for masked in (False, True):
        five, six = (tiny(question_mask=masked, question_length=n)(r, words) for n in (LENGTH, LENGTH + 1))
        assert torch.allclose(five.logits[1], six.logits[1]) == masked  # the question of two words
        mass = five.attention[0].weights.sum((1, 2))
        torch.testing.assert_close(mass[0].item(), 1.0)  # has no padding
        assert torch.allclose(mass[1:], torch.ones_like(mass[1:])) == masked
        assert (mass <= 1 + 1e-9).all()


def test_each_glimpse_is_a_distribution_over_pairs_from_the_first_question() -> None:
    model, r, words = tiny(question_mask=True), some_regions(3), pad_words(TEXTS)
    maps = model(r, words).attention
    assert [(m.name, m.axes, m.kind) for m in maps] == [
        (f"glimpse {g}", ("words", "regions"), "joint") for g in (1, 2, 3)
    ]
    for each in maps:
        torch.testing.assert_close(each.weights.sum((1, 2)), torch.ones(3, dtype=torch.float64))
        assert not each.weights.transpose(1, 2)[~r.mask].any()
        assert (each.weights.sum(1) < 1).all()
    with torch.no_grad():
        for parameter in (*model.glimpses.parameters(), *model.counts.parameters()):
            parameter.mul_(3)
    for before, after in zip(maps, model(r, words).attention, strict=True):
        assert torch.equal(before.weights, after.weights)


def test_every_weight_matrix_has_one_gain_and_the_attention_three_times_the_width() -> None:
    model = tiny()
    gains = [value for name, value in model.named_parameters() if name.endswith("original0")]
    assert [gain.numel() for gain in gains] == [1] * (3 + GLIMPSES * 4 + 2)
    assert model.attention.query.shape == (GLIMPSES, 3 * HIDDEN)
    assert model.attention.query.norm().item() == pytest.approx(model.attention.parametrizations.query.original0.item())
    assert model.glimpses[0].words[1].weight.shape == (HIDDEN, HIDDEN)


def test_attention_dropout_acts_on_the_regions_alone() -> None:
    attention = tiny(dropout=0.0, attention_dropout=0.9).train().attention
    x, y = (
        torch.randn(1, 3, n, dtype=torch.float64, generator=torch.Generator().manual_seed(4)) for n in (HIDDEN, SIZE)
    )
    assert torch.equal(attention.words(x), attention.words(x))
    assert not torch.equal(attention.regions(y), attention.regions(y))


def test_the_counter_sees_logits_that_no_softmax_saw_and_passes_their_gradient_on() -> None:
    r, words = some_regions(3), pad_words(TEXTS)
    for counts in (True, False):
        model = tiny(counter=counts)
        before = model(r, words)
        (gradient,) = torch.autograd.grad(before.logits.sin().sum(), model.attention.bias)
        assert (gradient.abs().max().item() > 1e-6) == counts
        with torch.no_grad():
            model.attention.bias += 0.7  # which the softmax does not see
        after = model(r, words)
        torch.testing.assert_close(after.attention[0].weights, before.attention[0].weights)
        assert torch.allclose(after.logits, before.logits) != counts


def test_all_parameters_get_a_gradient_but_the_eight_functions_that_the_counter_does_not_use() -> None:
    model = tiny(hidden_size=29).train()
    model(some_regions(3), pad_words(TEXTS)).logits.square().sum().backward()
    assert [name for name, each in model.named_parameters() if each.grad is None or not each.grad.any()] == []
    assert model.counter.weight.grad[:8].any(dim=1).all()
    assert not model.counter.weight.grad[8:].any()


def test_without_boxes_the_counter_says_what_to_do() -> None:
    r = some_regions(3)
    with pytest.raises(RecipeError, match=r"BAN's counter needs .* got regions without boxes: .* set the size counter"):
        tiny()(Regions(r.features, r.mask), pad_words(TEXTS))
    assert tiny(counter=False)(Regions(r.features, r.mask), pad_words(TEXTS)).logits.isfinite().all()


@of_variants
def test_an_image_without_regions_and_a_question_without_words_are_answered(options: dict) -> None:
    r = some_regions(2)
    mask = torch.tensor([[True] * 3, [False] * 3])
    words = Words(torch.tensor([[2, 3, 4], [0, 0, 0]]), mask)
    model = tiny(**options)
    output = model(Regions(r.features, r.mask & torch.tensor([[False], [True]]), r.boxes), words)
    assert all(each.isfinite().all() for each in torch.autograd.grad(output.logits.sum(), list(model.parameters())))
    assert all(not each.weights[0].any() for each in output.attention if each.axes[-1] == "regions")


def test_autocast_stays_close_and_finite() -> None:
    model, r, words = tiny().float(), some_regions(3), pad_words(TEXTS)
    regions = Regions(r.features.float(), r.mask, r.boxes.float())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = model(regions, words)
    torch.testing.assert_close(output.logits.float(), model(regions, words).logits, atol=0.05, rtol=0.05)
    assert all(each.isfinite().all() for each in torch.autograd.grad(output.logits.sum(), list(model.parameters())))
