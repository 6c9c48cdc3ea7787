"""Soft Show, Attend and Tell against NumPy float64 in all its forms: sharing, padding, stepping, penalties, counts."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from tests.models.captioning_reference import END, doubly_stochastic, parameters_of, sat
from tests.models.reference import some_regions

from saccade.errors import RecipeError
from saccade.models.sat import SAT
from saccade.text import pad_words
from saccade.types import Captions, Grouping, Regions, Words

WORDS, REGIONS, SIZE, HIDDEN, EMBEDDING, ATTENTION = 19, 7, 11, 13, 3, 5
TEXTS = [[3, 4, 5, 6, END], [7, END], [9, 10, 11, END]]
OUTPUTS, GATES = ["paper", "code"], [True, False]

forms = pytest.mark.parametrize(("output", "gate"), list(itertools.product(OUTPUTS, GATES)))


def tiny(scale: float = 1.0, **options) -> SAT:
    """A small model whose parameters are uniform(-scale, scale), wide enough for maps that are not flat."""
    torch.manual_seed(1)
    sizes = {
        "region_size": SIZE,
        "hidden_size": HIDDEN,
        "embedding_size": EMBEDDING,
        "attention_size": ATTENTION,
        "dropout": 0.0,
    }
    model = SAT(WORDS, **sizes | options).double().eval()
    for parameter in model.parameters():
        torch.nn.init.uniform_(parameter, -scale, scale)
    torch.nn.init.zeros_(model.embedding.weight[0])
    return model


def same(ours: Captions, theirs: Captions, words: Words) -> None:
    torch.testing.assert_close(ours.logits[words.mask], theirs.logits[words.mask], rtol=0, atol=1e-10)
    for a, b in zip(ours.attention, theirs.attention, strict=True):
        torch.testing.assert_close(a.weights, b.weights, rtol=0, atol=1e-10)


@forms
@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1]])
def test_forward_equals_the_equations_with_padding_in_any_order(output: str, gate: bool, order: list[int]) -> None:
    model, regions = tiny(output=output, gate=gate).train(), some_regions(3)
    written = model(Regions(regions.features[order], regions.mask[order]), pad_words([TEXTS[i] for i in order]))
    names = [("attention", ("words", "regions"), "rows"), ("beta", ("words",), "raw")]
    assert [(m.name, m.axes, m.kind) for m in written.attention] == names[: 1 + gate]
    for row, i in enumerate(order):
        n, count = len(TEXTS[i]), int(regions.mask[i].sum())
        expected = sat(parameters_of(model), regions.features[i, :count].numpy(), TEXTS[i], output=output)
        np.testing.assert_allclose(written.logits[row, :n].detach().numpy(), expected.logits, atol=1e-10)
        maps = [m.weights[row].detach().numpy() for m in written.attention]
        np.testing.assert_allclose(maps[0][:n, :count], expected.alphas, atol=1e-10)
        np.testing.assert_allclose(maps[0].sum(), n)
        if gate:
            np.testing.assert_allclose(maps[1][:n], expected.betas, atol=1e-10)
            assert not maps[1][n:].any()
        penalty = doubly_stochastic(expected.alphas)
        np.testing.assert_allclose(written.penalty[row].item(), penalty, atol=1e-10)


@forms
def test_a_caption_written_step_by_step_has_the_logits_of_one_that_is_told(output: str, gate: bool) -> None:
    model, regions, hypotheses = tiny(output=output, gate=gate), some_regions(2), 3
    texts = [TEXTS[i % 3] for i in range(2 * hypotheses)]
    words = pad_words(texts)
    image_of = torch.arange(2).repeat_interleave(hypotheses)
    told = model(regions.grouped(Grouping.of(image_of)), words)
    state = model.start(regions).gather(image_of)
    previous = torch.zeros(2 * hypotheses, dtype=torch.long)
    for t in range(words.ids.shape[1]):
        step = model.step(state, previous)
        here = words.mask[:, t]
        torch.testing.assert_close(step.logits[here], told.logits[here, t], rtol=0, atol=1e-10)
        assert [(m.name, m.axes, m.kind) for m in step.attention] == [
            ("attention", ("regions",), "joint"),
            ("beta", (), "raw"),
        ][: 1 + gate]
        for ours, theirs in zip(step.attention, told.attention, strict=True):
            torch.testing.assert_close(ours.weights[here], theirs.weights[here, t], rtol=0, atol=1e-10)
        state, previous = step.state, words.ids[:, t]


def test_chosen_rows_of_the_state_write_on_as_they_would_have() -> None:
    model, regions = tiny(), some_regions(3)
    first = model.step(model.start(regions), torch.zeros(3, dtype=torch.long))
    whole = model.step(first.state, torch.tensor([3, 4, 5])).logits
    twice = first.state.gather(torch.tensor([0, 0, 1, 1, 2, 2]))
    torch.testing.assert_close(model.step(twice, torch.tensor([3, 3, 4, 4, 5, 5])).logits, whole[[0, 0, 1, 1, 2, 2]])


def test_regions_are_projected_once_for_all_captions_and_words() -> None:
    model, rows = tiny(), []
    project = model.attention.project
    model.attention.project = lambda a: rows.append(len(a)) or project(a)
    model(some_regions(2).grouped(Grouping.of(torch.tensor([1, 0, 1]))), pad_words(TEXTS))
    assert rows == [2]


def test_captions_grouped_by_image_give_the_same_results_and_gradients() -> None:
    model, regions, words, image_of = tiny().train(), some_regions(2), pad_words(TEXTS), torch.tensor([1, 0, 1])
    grouped = model(regions.grouped(Grouping.of(image_of)), words)
    apart = model(Regions(regions.features[image_of], regions.mask[image_of]), words)
    same(grouped, apart, words)
    gradients = [
        torch.autograd.grad(out.logits[words.mask].square().sum() + out.penalty.sum(), list(model.parameters()))
        for out in (grouped, apart)
    ]
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b)


def test_permuted_regions_permute_the_maps_and_change_nothing_else() -> None:
    model, regions, words, order = tiny().train(), some_regions(3), pad_words(TEXTS), [4, 2, 6, 0, 1, 5, 3]
    plain, permuted = (
        model(Regions(r.features, r.mask), words)
        for r in (regions, Regions(*(x[:, order] for x in (regions.features, regions.mask))))
    )
    torch.testing.assert_close(permuted.logits, plain.logits, rtol=0, atol=1e-10)
    torch.testing.assert_close(permuted.penalty, plain.penalty)
    torch.testing.assert_close(permuted.attention[0].weights, plain.attention[0].weights[:, :, order])
    torch.testing.assert_close(permuted.attention[1].weights, plain.attention[1].weights)


def test_what_lies_in_padding_changes_neither_results_nor_gradients() -> None:
    model, regions, words = tiny().train(), some_regions(3), pad_words(TEXTS)
    features = regions.features.masked_fill(~regions.mask.unsqueeze(2), 1e3)
    others = Words(words.ids.masked_fill(~words.mask, 5), words.mask)
    results = [model(regions, words), model(Regions(features, regions.mask), others)]
    same(*results, words)
    gradients = [
        torch.autograd.grad(out.logits[words.mask].square().sum() + out.penalty.sum(), list(model.parameters()))
        for out in results
    ]
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b)


@forms
@pytest.mark.parametrize("penalty_scale", ["paper", "code"])
def test_gradients_of_logits_and_penalty_are_exact(output: str, gate: bool, penalty_scale: str) -> None:
    options = {"hidden_size": 2, "embedding_size": 3, "attention_size": 2, "region_size": 5}
    model = tiny(output=output, gate=gate, penalty_scale=penalty_scale, **options).train()
    words, parameters = pad_words([[3, 4, END], [END]]), dict(model.named_parameters())

    def run(features: torch.Tensor, *values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        regions = Regions(features, torch.tensor([[True, True, True], [True, True, False]]))
        out = torch.func.functional_call(model, dict(zip(parameters, values, strict=True)), (regions, words))
        return out.logits[words.mask], out.penalty

    # The zero vector before the first word is no parameter, and has no gradient: leave its row to the next test.
    values = [v.detach().requires_grad_(name != "embedding.weight") for name, v in parameters.items()]
    features = torch.randn(2, 3, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(run, (features, *values), atol=1e-7, fast_mode=True)


def test_the_word_before_the_first_is_a_zero_vector_that_stays_zero() -> None:
    model = SAT(
        WORDS, region_size=SIZE, hidden_size=HIDDEN, embedding_size=EMBEDDING, attention_size=ATTENTION
    ).double()
    model(some_regions(3), pad_words(TEXTS)).logits.square().sum().backward()
    assert not model.embedding.weight[0].any()
    assert not model.embedding.weight.grad[0].any()
    assert model.embedding.weight.grad[3].any()


def test_the_codes_penalty_is_the_papers_times_captions_over_regions() -> None:
    regions, words = some_regions(3), pad_words(TEXTS)
    paper = tiny().train()(regions, words).penalty
    code = tiny(penalty_scale="code").train()(regions, words).penalty
    torch.testing.assert_close(code, paper * 3 / regions.mask.sum(1))
    # The code's own words: the mean over regions of the sum over captions, where the loss is the mean over captions.
    whole = Regions(regions.features[1:], regions.mask[1:])
    out = tiny(penalty_scale="code").train()(whole, pad_words(TEXTS[1:]))
    by_hand = (1 - out.attention[0].weights.sum(1)).square().sum(0).mean()
    torch.testing.assert_close(out.penalty.mean(), by_hand)


def test_lambda_scales_the_penalty_and_only_training_has_one() -> None:
    regions, words = some_regions(3), pad_words(TEXTS)
    one, three = (tiny(penalty=weight).train()(regions, words).penalty for weight in (1.0, 3.0))
    torch.testing.assert_close(three, 3 * one)
    assert tiny()(regions, words).penalty is None


def test_a_closed_gate_hides_the_image_but_for_the_first_state() -> None:
    model, regions, words = tiny(), some_regions(3), pad_words(TEXTS)
    torch.nn.init.zeros_(model.beta.weight)
    torch.nn.init.constant_(model.beta.bias, -1e4)
    closed = model(regions, words)
    torch.nn.init.uniform_(model.attention.logit.weight, -5, 5)
    elsewhere = model(regions, words)
    assert not torch.allclose(closed.attention[0].weights, elsewhere.attention[0].weights)
    assert torch.equal(closed.logits, elsewhere.logits)


def test_attention_off_gives_the_same_logits_and_penalty_and_no_maps() -> None:
    model, regions, words = tiny().train(), some_regions(3), pad_words(TEXTS)
    silent, loud = model(regions, words, attention=False), model(regions, words)
    assert silent.attention == ()
    assert torch.equal(silent.logits, loud.logits)
    assert torch.equal(silent.penalty, loud.penalty)


def test_an_image_without_regions_gets_a_caption_and_no_gradient() -> None:
    model, regions, words = tiny().train(), some_regions(3), pad_words(TEXTS)
    nothing = Regions(regions.features.requires_grad_(), torch.zeros_like(regions.mask))
    out = model(nothing, words)
    (out.logits.sum() + out.penalty.sum()).backward()
    assert out.logits.isfinite().all()
    assert not out.attention[0].weights.any()
    assert not out.penalty.any()
    assert not regions.features.grad.any()


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("attend", ["soft", "hard"])
def test_the_defaults_have_the_parameters_of_the_authors_configuration(output: str, attend: str) -> None:
    with torch.device("meta"):
        model = SAT(10_000, output=output, attend=attend)
    assert sum(parameter.numel() for parameter in model.parameters()) == 35_333_450


def test_square_weights_start_orthogonal_but_w_1_and_others_narrow() -> None:
    torch.manual_seed(2)
    model = SAT(61, region_size=59, attention_size=59, embedding_size=59, hidden_size=41)
    identity = torch.eye(59)
    for linear in (model.attention.second, model.initial, model.output_context):
        torch.testing.assert_close(linear.weight @ linear.weight.T, identity)
    for block in model.gates_state.weight.chunk(4):
        torch.testing.assert_close(block @ block.T, torch.eye(41))
    narrow = [model.attention.first, model.gates_word, model.gates_context, model.embedding]
    for module in narrow:
        assert module.weight.std().item() == pytest.approx(0.01, rel=0.1)
    assert not any(p.any() for name, p in model.named_parameters() if name.endswith("bias"))


@pytest.mark.parametrize("dropout", [0.0, 0.5, 0.8])
def test_what_reads_dropped_out_states_starts_as_the_code_has_it(dropout: float) -> None:
    """The code masks in training and scales by 1 - dropout in testing, `nn.Dropout` scales up in training alone."""
    sizes = {"region_size": 59, "attention_size": 47, "embedding_size": 53, "hidden_size": 41}

    def started(dropout: float, start: str = "code") -> SAT:
        torch.manual_seed(2)
        return SAT(61, **sizes, dropout=dropout, start=start)

    ours, codes = started(dropout), started(0.0)  # the same draws; without dropout the code's own parameters
    halved = ("initial_h", "initial_c", "output_state", "output_word")
    for name, value in codes.named_parameters():
        kept = 1 - dropout if name in [f"{each}.weight" for each in halved] else 1
        torch.testing.assert_close(ours.get_parameter(name), kept * value)
    mask, x = torch.rand(7, 41) >= dropout, torch.randn(7, 41)
    doubled = x * mask / (1 - dropout)
    torch.testing.assert_close(ours.output_state(doubled), codes.output_state(x * mask))  # training
    torch.testing.assert_close(ours.output_state(x), codes.output_state(x * (1 - dropout)))  # testing
    for name in halved:
        std = getattr(ours, name).weight.std().item()
        assert std == pytest.approx(0.01 * (1 - dropout), rel=0.1)
    for one, other in zip(started(dropout, "scaled").parameters(), started(0.0, "scaled").parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_scaled_start_draws_each_map_by_the_size_of_what_it_reads() -> None:
    torch.manual_seed(2)
    model = SAT(61, region_size=59, attention_size=59, embedding_size=59, hidden_size=41, start="scaled")
    for linear in (model.attention.first, model.attention.state, model.gates_context, model.output_word):
        assert linear.weight.std().item() == pytest.approx((3 * linear.in_features) ** -0.5, rel=0.1)
    assert model.embedding.weight[1:].std().item() == pytest.approx(0.1, rel=0.1)
    assert not model.embedding.weight[0].any()


def test_dropout_acts_on_x_and_before_both_maps_of_the_output() -> None:
    model, with_zeros = tiny(dropout=0.5, output="code").train(), set()
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear) and name != "gates_word":  # which reads the zero vector
            module.register_forward_pre_hook(
                lambda module, inputs, name=name: with_zeros.update({name} if inputs[0].data.eq(0).any() else {})
            )
    torch.nn.init.constant_(model.initial.bias, 100)  # so that the rectifier makes no zeros of its own
    model(some_regions(3), pad_words(TEXTS))
    assert with_zeros == {"initial_h", "initial_c", "output_state", "output_word"}


@pytest.mark.parametrize("option", ["embedding_dropout", "region_dropout"])
def test_dropout_for_small_data_acts_in_training_alone(option: str) -> None:
    regions, words, model = some_regions(3), pad_words(TEXTS), tiny(**{option: 0.5})
    torch.testing.assert_close(model(regions, words).logits, tiny()(regions, words).logits)
    assert not torch.allclose(model.train()(regions, words).logits, model(regions, words).logits)


def test_soft_attention_knows_no_other_look() -> None:
    model, regions = tiny(), some_regions(3)
    for tell in (
        lambda: SAT(WORDS, look="argmax"),
        lambda: model(regions, pad_words(TEXTS), look="argmax"),
        lambda: model.step(model.start(regions), torch.zeros(3, dtype=torch.long), look="argmax"),
    ):
        with pytest.raises(RecipeError, match="soft attention knows the expectation alone, got 'argmax'"):
            tell()


@pytest.mark.parametrize("attend", ["soft", "hard"])
def test_half_precision_stays_near(attend: str) -> None:
    model, regions, words = tiny(attend=attend).float(), some_regions(3), pad_words(TEXTS)
    regions = Regions(regions.features.float(), regions.mask)
    exact = model(regions, words).logits
    with torch.autocast("cpu", torch.bfloat16):
        rough = model(regions, words).logits
        step = model.step(model.start(regions), torch.zeros(3, dtype=torch.long)).logits
        out = model.train()(regions, words)
        (out.logits.float().square().sum() + out.penalty.sum()).backward()
    assert out.penalty.dtype == out.attention[0].weights.dtype == torch.float32
    torch.testing.assert_close(rough.float(), exact, rtol=0, atol=0.1)
    torch.testing.assert_close(step.float(), exact[:, 0], rtol=0, atol=0.1)
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())
