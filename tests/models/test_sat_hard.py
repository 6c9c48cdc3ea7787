"""Hard attention's training rule against the exact gradient by enumeration; its baseline, its coin, its looks."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from tests.models.captioning_reference import END, Parameters, Written, parameters_of, sat
from tests.models.reference import some_regions
from torch.nn.functional import cross_entropy

from saccade.decoding import decode
from saccade.hypotheses import Search
from saccade.models.sat import SAT
from saccade.models.sat_hard import LOOKS, sample
from saccade.text import pad_words
from saccade.types import Captions, Grouping, Regions, Words

WORDS, SIZE, HIDDEN, EMBEDDING, ATTENTION = 11, 3, 5, 2, 7
CAPTION = [4, END]
# The four ways to look at two regions in two steps, as [sequence, step, region].
SEQUENCES = torch.tensor(list(itertools.product([[1, 0], [0, 1]], repeat=2)), dtype=torch.float64)


def tiny(**options) -> SAT:
    """A small model that trains by samples alone unless told otherwise, with maps that are not flat."""
    torch.manual_seed(5)
    rule = {"attend": "hard", "expectation": 0.0, "reward_weight": 1.0, "entropy_weight": 0.0, "dropout": 0.0}
    sizes = {
        "region_size": SIZE,
        "hidden_size": HIDDEN,
        "embedding_size": EMBEDDING,
        "attention_size": ATTENTION,
    }
    model = SAT(WORDS, **sizes | rule | options).double().train()
    for parameter in model.parameters():
        torch.nn.init.uniform_(parameter, -1.5, 1.5)
    torch.nn.init.zeros_(model.embedding.weight[0])
    return model


def two_regions() -> torch.Tensor:
    return torch.randn(1, 2, SIZE, dtype=torch.float64, generator=torch.Generator().manual_seed(6))


def told(model: SAT, copies: int) -> tuple[Captions, torch.Tensor]:
    """What the model makes of copies of the caption, and the loss of each: its NLL and its penalty."""
    regions = Regions(two_regions(), torch.ones(1, 2, dtype=torch.bool))
    out = model(regions.grouped(Grouping.of(torch.zeros(copies, dtype=torch.long))), pad_words([CAPTION] * copies))
    targets = torch.tensor(CAPTION).expand(copies, -1)
    nll = cross_entropy(out.logits.transpose(1, 2), targets, reduction="none").sum(1)
    return out, nll + out.penalty


def written(p: Parameters, sequence: np.ndarray) -> Written:
    return sat(p, two_regions()[0].numpy(), CAPTION, look=lambda t, alpha: sequence[t])


def slopes(model: SAT, value, step: float = 1e-5) -> dict[str, np.ndarray]:
    """The gradient of a function of the parameters, by central differences; nothing for the fixed zero vector."""
    p, result = parameters_of(model), {}
    for name, parameter in model.named_parameters():
        result[name] = np.zeros(parameter.shape)
        for index in np.ndindex(*parameter.shape):
            if name == "embedding.weight" and index[0] == 0:
                continue
            kept, sides = p[name][index], []
            for sign in (1, -1):
                p[name][index] = kept + sign * step
                sides.append(value(p))
            p[name][index] = kept
            result[name][index] = (sides[0] - sides[1]) / (2 * step)
    return result


def bound(p: Parameters) -> float:
    """L_s: the sum over sequences of p(s | a) log p(y | s, a), Eq. 5."""
    looks = [written(p, sequence) for sequence in SEQUENCES.numpy()]
    return sum(np.exp(each.log_probability_of_looks()) * each.log_likelihood(CAPTION) for each in looks)


@pytest.fixture(scope="module")
def exact() -> dict[str, np.ndarray]:
    return slopes(tiny(), bound)


@pytest.fixture
def forced(monkeypatch) -> None:
    """Every four captions look in the four ways, instead of at random."""

    steps: Iterator[torch.Tensor] = itertools.cycle(SEQUENCES.unbind(1))
    monkeypatch.setitem(LOOKS, "sample", lambda alpha, _: next(steps).to(alpha).unsqueeze(1))


def estimates(model: SAT) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """p(s | a) of the four sequences, and what the estimator of the gradient is with each; needs `forced`."""
    _, losses = told(model, 4)
    p = parameters_of(model)
    probabilities = np.exp([written(p, sequence).log_probability_of_looks() for sequence in SEQUENCES.numpy()])
    names, parameters = zip(*model.named_parameters(), strict=True)
    rows = [torch.autograd.grad(-loss, parameters, retain_graph=True) for loss in losses]
    stacked = [torch.stack(each).numpy() for each in zip(*rows, strict=True)]
    return probabilities, dict(zip(names, stacked, strict=True))


def variance(probabilities: np.ndarray, each: dict[str, np.ndarray]) -> float:
    """The variance of the estimator, summed over the parameters of the attention."""
    total = 0.0
    for name, values in each.items():
        if name.startswith("attention."):
            mean = np.tensordot(probabilities, values, 1)
            total += np.tensordot(probabilities, (values - mean) ** 2, 1).sum()
    return float(total)


@pytest.mark.parametrize("baseline", [0.0, -3.7])
def test_the_estimators_expectation_is_the_gradient_of_the_bound(forced, exact, baseline: float) -> None:
    model = tiny()
    model.baseline.fill_(baseline)
    probabilities, each = estimates(model)
    assert probabilities.sum() == pytest.approx(1)
    assert probabilities.min() > 0.05
    for name, values in each.items():
        np.testing.assert_allclose(np.tensordot(probabilities, values, 1), exact[name], atol=1e-8, err_msg=name)


@pytest.mark.parametrize(("baseline", "clear"), [(0.0, 10), (-11.0, 100)])
def test_the_mean_over_many_samples_is_the_gradient_of_the_bound(
    forced, monkeypatch, exact, baseline: float, clear: float
) -> None:
    model, copies = tiny(), 20_000
    model.baseline.fill_(baseline)
    probabilities, each = estimates(model)
    monkeypatch.setitem(LOOKS, "sample", sample)  # from here on at random
    model.baseline.fill_(baseline)
    torch.manual_seed(7)
    _, losses = told(model, copies)
    means = torch.autograd.grad(-losses.mean(), list(model.parameters()))
    furthest, clearest = 0.0, 0.0
    for (name, values), mean in zip(each.items(), means, strict=True):
        spread = np.tensordot(probabilities, (values - np.tensordot(probabilities, values, 1)) ** 2, 1)
        error = np.sqrt(spread / copies) + 1e-9
        furthest = max(furthest, (np.abs(mean.numpy() - exact[name]) / error).max())
        if name.startswith("attention."):
            clearest = max(clearest, (np.abs(exact[name]) / error).max())
    print(f"furthest parameter {furthest:.2f} standard errors off; clearest of the attention {clearest:.0f} from zero")
    assert furthest < 4
    assert clearest > clear


def test_the_moving_baseline_lowers_the_variance(forced, monkeypatch) -> None:
    model = tiny()
    without = variance(*estimates(model))
    monkeypatch.setitem(LOOKS, "sample", sample)
    torch.manual_seed(8)
    for _ in range(100):
        told(model, 7)
    steps = itertools.cycle(SEQUENCES.unbind(1))
    monkeypatch.setitem(LOOKS, "sample", lambda alpha, _: next(steps).to(alpha).unsqueeze(1))
    moved = model.baseline.item()
    with_it = variance(*estimates(model))
    print(f"b = {moved:.3f}: variance {with_it:.4f} instead of {without:.4f}, {without / with_it:.1f} times lower")
    assert moved == pytest.approx(bound(parameters_of(model)), abs=0.3)
    assert with_it < without / 5


def test_the_baseline_is_the_moving_average_of_sentence_log_likelihoods(forced) -> None:
    model = tiny()
    out, _ = told(model, 4)
    log_p = out.logits.log_softmax(2)
    mean = sum(log_p[:, t, word] for t, word in enumerate(CAPTION)).mean().item()
    assert model.baseline.item() == pytest.approx(0.1 * mean)
    told(model, 4)
    assert model.baseline.item() == pytest.approx(0.9 * 0.1 * mean + 0.1 * mean)
    assert "baseline" in model.state_dict()
    model.eval()(Regions(two_regions(), torch.ones(1, 2, dtype=torch.bool)), pad_words([CAPTION]))
    assert model.baseline.item() == pytest.approx(0.19 * mean)


@pytest.mark.parametrize("reward_weight", [0.0, 0.7])
def test_the_weights_scale_reward_and_entropy(forced, reward_weight: float) -> None:
    model, entropy_weight = tiny(reward_weight=reward_weight, entropy_weight=0.3), 0.3
    model.baseline.fill_(-1.1)
    _, each = estimates(model)
    p = parameters_of(model)
    for k, sequence in enumerate(SEQUENCES.numpy()):
        advantage = written(p, sequence).log_likelihood(CAPTION) + 1.1

        def rule(p: Parameters, sequence=sequence, advantage=advantage) -> float:
            look = written(p, sequence)
            rewarded = reward_weight * advantage * look.log_probability_of_looks()
            return look.log_likelihood(CAPTION) + rewarded + entropy_weight * look.entropy()

        for name, slope in slopes(model, rule).items():
            np.testing.assert_allclose(each[name][k], slope, atol=1e-7, err_msg=name)


def test_on_its_expectation_a_caption_trains_as_soft_attention_does() -> None:
    hard, soft = tiny(expectation=1.0), tiny(attend="soft", penalty=0.0)
    (out, _), (plain, _) = told(hard, 3), told(soft, 3)
    torch.testing.assert_close(out.logits, plain.logits)
    gradients = torch.autograd.grad(out.penalty.sum(), list(hard.parameters()), allow_unused=True)
    assert not any(gradient.any() for gradient in gradients if gradient is not None)


@pytest.mark.parametrize(("coin", "shares"), [("image", (0.2, 0.4)), ("batch", (0.0, 1.0))])
def test_the_coin_falls_for_each_caption_or_for_the_batch(coin: str, shares: tuple[float, float]) -> None:
    model, found = tiny(expectation=0.3, coin=coin), []
    torch.manual_seed(9)
    for _ in range(31):
        weights = told(model, 401)[0].attention[0].weights
        expected = (weights % 1 != 0).all(2).all(1)
        sampled = (weights % 1 == 0).all(2).all(1)
        assert (expected | sampled).all()
        found.append(expected.double().mean().item())
    if coin == "image":
        assert shares[0] < min(found) <= max(found) < shares[1]
    else:
        assert set(found) == set(shares)
    assert np.mean(found) == pytest.approx(0.3, abs=0.15)


def test_samples_follow_the_weights_and_never_fall_on_absent_regions() -> None:
    alpha = torch.tensor([0.5, 0.0, 0.2, 0.3, 0.0], dtype=torch.float64)
    torch.manual_seed(10)
    drawn = sample(alpha.expand(30_011, 5))
    assert drawn.sum(1).eq(1).all()
    torch.testing.assert_close(drawn.mean(0), alpha, rtol=0, atol=0.01)
    assert not drawn[:, alpha == 0].any()
    assert not sample(torch.zeros(3, 5)).any()


def test_padding_of_words_and_regions_does_not_enter_the_rule() -> None:
    texts, regions = [[3, 4, 5, 6, END], [7, END], [9, 10, END]], some_regions(3, size=SIZE)
    words, image_less = pad_words(texts), torch.zeros_like(regions.mask)
    features = regions.features.masked_fill(~regions.mask.unsqueeze(2), 1e3)
    others = Words(words.ids.masked_fill(~words.mask, 5), words.mask)
    results = []
    for given, text in ((regions, words), (Regions(features, regions.mask), others)):
        model = tiny(entropy_weight=0.3, expectation=0.5)
        torch.manual_seed(11)
        out = model(given, text)
        loss = out.logits[words.mask].square().sum() + out.penalty.sum()
        results.append((out, model.baseline.clone(), torch.autograd.grad(loss, list(model.parameters()))))
    (ours, b, gradients), (theirs, other_b, other_gradients) = results
    torch.testing.assert_close(b, other_b)
    torch.testing.assert_close(ours.penalty, theirs.penalty)
    torch.testing.assert_close(gradients, other_gradients)
    assert not ours.attention[0].weights[~words.mask].any()
    assert not ours.attention[0].weights[0, :, 4:].any()

    out = tiny(entropy_weight=0.3)(Regions(regions.features, image_less), words)
    (out.logits.sum() + out.penalty.sum()).backward()
    assert out.logits.isfinite().all()
    assert not out.attention[0].weights.any()


def test_every_parameter_gets_a_gradient_from_samples_alone() -> None:
    model = tiny(entropy_weight=0.1)
    told(model, 3)[1].sum().backward()
    without = [name for name, parameter in model.named_parameters() if parameter.grad.abs().max() < 1e-12]
    assert without == ["attention.logit.bias"]  # which a softmax does not see


@pytest.mark.parametrize("look", ["expectation", "argmax", "sample"])
def test_it_looks_as_told_when_it_does_not_train(look: str) -> None:
    model, regions, words = tiny().eval(), some_regions(2, size=SIZE), pad_words([[3, 4, END], [5, 6, END]])
    out = model(regions, words, look=look, generator=torch.Generator().manual_seed(12))
    assert out.penalty is None
    weights = out.attention[0].weights.detach()
    state, previous = model.start(regions), torch.zeros(2, dtype=torch.long)
    generator = torch.Generator().manual_seed(12)
    for t in range(3):
        step = model.step(state, previous, look=look, generator=generator)
        torch.testing.assert_close(step.logits, out.logits[:, t], rtol=0, atol=1e-10)
        torch.testing.assert_close(step.attention[0].weights, weights[:, t].to(step.attention[0].weights))
        state, previous = step.state, words.ids[:, t]
    for row in range(2):
        count = int(regions.mask[row].sum())

        def choose(t: int, alpha: np.ndarray, row=row, count=count) -> np.ndarray:
            if look == "sample":
                return weights[row, t, :count].numpy()
            return alpha if look == "expectation" else np.eye(count)[alpha.argmax()]

        ids = words.ids[row].tolist()
        expected = sat(parameters_of(model), regions.features[row, :count].numpy(), ids, look=choose)
        np.testing.assert_allclose(out.logits[row].detach().numpy(), expected.logits, atol=1e-10)
        np.testing.assert_allclose(weights[row, :, :count], expected.looks, atol=1e-10)
    assert (weights % 1 == 0).all() == (look != "expectation")


def test_without_a_generator_it_draws_from_pytorchs_own_as_a_model_made_to_sample_does() -> None:
    model, made_to, regions = tiny().eval(), tiny(look="sample").eval(), some_regions(2, size=SIZE)
    words = pad_words([[3, 4, END], [5, 6, END]])
    torch.manual_seed(13)
    told = model(regions, words, look="sample").attention[0].weights
    torch.manual_seed(13)
    assert torch.equal(made_to(regions, words).attention[0].weights, told)
    drawn = model(regions, words, look="sample", generator=torch.Generator().manual_seed(13)).attention[0].weights
    assert torch.equal(drawn, told)


def test_threads_that_look_otherwise_do_not_disturb_each_other() -> None:
    model, regions = tiny().eval(), some_regions(3, size=SIZE)
    asked = [(look, seed) for look in ("sample", "argmax", "expectation", None) for seed in range(5)]

    def written_as(look: str | None, seed: int) -> list[tuple]:
        search = Search(3, 9, 4, n_best=3, look=look, sample=seed % 2 == 1)
        found = decode(model, regions, search, torch.Generator().manual_seed(seed))
        return [(c.ids, c.log_probability, c.attention[0].weights.tolist()) for image in found for c in image]

    alone = [written_as(*each) for each in asked]
    before = (model.look, {name: value.clone() for name, value in model.state_dict().items()}, torch.get_rng_state())
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda each: written_as(*each), 3 * asked))
    assert together == 3 * alone
    assert len({str(each) for each in alone[:5]}) == 5  # what is drawn differs from seed to seed
    assert alone[5::2] != alone[10::2]
    assert alone[10:15] == alone[15:]
    look, state, drawn = before
    assert model.look == look == "expectation"
    assert all(torch.equal(state[name], value) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), drawn)
