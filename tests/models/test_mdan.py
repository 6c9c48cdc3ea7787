"""m-DAN against equations 16 to 22 in NumPy float64, exact gradients, counts, and that no row depends on others."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.models import test_dan as rdan
from tests.models.reference import softmax, some_regions

from saccade.models import create_model
from saccade.models.dan import MDAN
from saccade.text import pad_words
from saccade.types import Regions, Words

WORDS, SIZE, HIDDEN, TEXTS = rdan.WORDS, rdan.SIZE, rdan.HIDDEN, rdan.TEXTS
STEPS = pytest.mark.parametrize("steps", [0, 1, 2, 3])


def tiny(steps: int = 2, **sizes) -> MDAN:
    torch.manual_seed(1)
    return MDAN(WORDS, **{"region_size": SIZE, "hidden_size": HIDDEN, "steps": steps} | sizes).double().eval()


class Transcription(rdan.Transcription):
    """One image and one sentence at a time: the paper's equations and nothing else."""

    def attend(self, name: str, k: int, items: list[np.ndarray], m: np.ndarray) -> np.ndarray:
        query = np.tanh(self.linear(f"{name}.{k}.memory", m))
        h = [np.tanh(self.linear(f"{name}.{k}.items", item)) * query for item in items]  # Eq. 4, 8
        return softmax(np.array([self.linear(f"{name}.{k}.logit", each)[0] for each in h]))  # Eq. 5, 9

    def image(self, v: np.ndarray, steps: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
        m = np.tanh(self.linear("contexts.0", sum(v) / len(v)))  # Eq. 13
        contexts, maps = [m], []
        for k in range(steps):
            alpha = self.attend("looks", k, list(v), m)
            contexts.append(np.tanh(self.linear(f"contexts.{k + 1}", alpha @ v)))  # Eq. 6
            m = m + contexts[-1]  # Eq. 16
            maps.append(alpha)
        return contexts, maps

    def sentence(self, ids: list[int], steps: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
        x = [self.p["text_encoder.embedding.weight"][i] for i in ids]
        forward, backward = self.lstm(x, ""), self.lstm(x[::-1], "_reverse")[::-1]  # Eq. 1, 2
        u = [f + b for f, b in zip(forward, backward, strict=True)]
        m = sum(u) / len(u)  # Eq. 14
        contexts, maps = [m], []
        for k in range(steps):
            alpha = self.attend("reads", k, u, m)
            contexts.append(alpha @ np.array(u))  # Eq. 10
            m = m + contexts[-1]  # Eq. 17
            maps.append(alpha)
        return contexts, maps


@STEPS
def test_embeddings_maps_and_s_equal_the_equations(steps: int) -> None:
    model, regions = tiny(steps), some_regions(2)
    images, sentences = model.embed_images(regions), model.embed_sentences(pad_words(TEXTS))
    written = Transcription(model)
    of_images = [written.image(v[mask].numpy(), steps) for v, mask in zip(regions.features, regions.mask, strict=True)]
    of_sentences = [written.sentence(ids, steps) for ids in TEXTS]
    for ours, theirs in ((images, of_images), (sentences, of_sentences)):
        assert [each.name for each in ours.attention] == [f"step {k}" for k in range(1, steps + 1)]
        for row, (contexts, maps) in enumerate(theirs):
            np.testing.assert_allclose(ours.z[row].detach().numpy(), np.concatenate(contexts), atol=1e-9)  # Eq. 21, 22
            for each, alpha in zip(ours.attention, maps, strict=True):
                weights = each.weights[row].detach().numpy()
                np.testing.assert_allclose(weights[: len(alpha)], alpha, atol=1e-9)
                assert not weights[len(alpha) :].any()
    S = (images.z @ sentences.z.T).detach().numpy()
    for i, (v, _) in enumerate(of_images):
        for t, (u, _) in enumerate(of_sentences):
            summed = sum(v_k @ u_k for v_k, u_k in zip(v, u, strict=True))  # Eq. 18, 19
            np.testing.assert_allclose(S[i, t], summed, atol=1e-9)


@STEPS
@pytest.mark.parametrize("similarity", ["product", "cosine"])
def test_no_row_depends_on_what_else_is_in_the_batch(steps: int, similarity: str) -> None:
    model, regions, words = tiny(steps, similarity=similarity), some_regions(3), pad_words(TEXTS)
    whole = model(regions, words)
    for i in range(3):
        alone = Regions(regions.features[i : i + 1], regions.mask[i : i + 1])
        assert torch.allclose(model.embed_images(alone).z[0], whole.images.z[i], atol=1e-12)
        assert torch.allclose(model.embed_sentences(pad_words(TEXTS[i : i + 1])).z[0], whole.sentences.z[i], atol=1e-12)


def test_a_cosine_is_of_embeddings_of_length_1_and_learns_its_scale() -> None:
    plain, cosine = tiny(), tiny(similarity="cosine")
    regions, words = some_regions(3), pad_words(TEXTS)
    ours, theirs = cosine(regions, words), plain(regions, words)
    assert plain.log_scale is theirs.scale is None
    assert torch.allclose(ours.images.z, torch.nn.functional.normalize(theirs.images.z, dim=1))
    assert torch.allclose(ours.sentences.z.norm(dim=1), torch.ones(3, dtype=torch.float64))
    assert ours.scale.item() == pytest.approx(1 / 0.07)
    with torch.no_grad():
        cosine.log_scale.fill_(9.0)
    assert cosine(regions, words).scale.item() == pytest.approx(100)


def test_gradients_are_exact() -> None:
    model, words = tiny(1, hidden_size=3, similarity="cosine"), pad_words([[2, 3, 4], [5]])
    parameters = dict(model.named_parameters())

    def embeddings(features: torch.Tensor, *values: torch.Tensor) -> tuple[torch.Tensor, ...]:
        regions = Regions(features, torch.ones(2, 3, dtype=torch.bool))
        named = dict(zip(parameters, values, strict=True))
        found = torch.func.functional_call(model, named, (regions, words))
        return found.images.z, found.sentences.z, found.scale

    features = torch.randn(2, 3, SIZE, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(embeddings, (features, *parameters.values()), atol=1e-7)


@pytest.mark.parametrize(("name", "steps"), [("m-dan", 2), ("vse", 0)])
@pytest.mark.parametrize("region_size", [2048, 512])
def test_parameter_counts_are_those_of_the_papers_sizes(name: str, steps: int, region_size: int) -> None:
    vocabulary, hidden = 1009, 512
    lstm = 2 * 4 * (hidden * 2 * hidden + 2 * hidden)  # PyTorch's has two bias vectors a direction
    attention = (region_size + hidden) * hidden + 2 * hidden + hidden + 1, 2 * (hidden * hidden + hidden) + hidden + 1
    contexts = (steps + 1) * (region_size * hidden + hidden)
    model = create_model(name, num_words=vocabulary, region_size=region_size)
    count = sum(parameter.numel() for parameter in model.parameters())
    assert count == hidden * vocabulary + lstm + steps * sum(attention) + contexts
    if (name, region_size) == ("m-dan", 2048):  # r-DAN's, whose classifier this has not
        assert count - 4096 - hidden * vocabulary == 12_047_828 - (hidden * 2000 + 2000)


def test_attention_off_gives_the_same_embeddings_and_no_maps() -> None:
    model, regions, words = tiny(), some_regions(3), pad_words(TEXTS)
    silent, told = model(regions, words, attention=False), model(regions, words)
    assert silent.images.attention == silent.sentences.attention == ()
    assert torch.equal(silent.images.z, told.images.z)
    assert torch.equal(silent.sentences.z, told.sentences.z)


def test_a_sentence_without_words_and_an_image_without_regions_attend_to_nothing() -> None:
    model, regions = tiny(similarity="cosine"), some_regions(1)
    images = model.embed_images(Regions(regions.features, torch.zeros_like(regions.mask)))
    assert not images.attention[0].weights.any()
    assert images.z.isfinite().all()
    nothing = Words(torch.zeros(2, 2, dtype=torch.int64), torch.tensor([[True, True], [True, False]]))
    assert model.embed_sentences(nothing).z.isfinite().all()
