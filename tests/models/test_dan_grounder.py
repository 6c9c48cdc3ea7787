"""r-DAN's grounder against the equations in NumPy float64, and what holds of every grounder."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.models import grounding_reference as shared
from tests.models import test_dan as rdan
from tests.models.grounding_reference import SIZE, SPANS, TEXTS, WORDS, alone, batch, check_equals, pad_phrases
from tests.models.reference import softmax

from saccade.errors import RecipeError
from saccade.models.dan_grounder import RDANGrounder
from saccade.text import pad_words

VARIANTS = [{}, {"spatial": True}, {"steps": 0}, {"steps": 3}, {"read": "sentence"}]
of_variants = pytest.mark.parametrize("options", VARIANTS, ids=str)


def tiny(**options) -> RDANGrounder:
    torch.manual_seed(1)
    return RDANGrounder(WORDS, **{"region_size": SIZE, "hidden_size": rdan.HIDDEN} | options).double().eval()


class Transcription(rdan.Transcription):
    """One phrase at a time, no batch, no padding."""

    def hidden(self, name: str, item: np.ndarray, m: np.ndarray) -> float:
        h = np.tanh(self.linear(f"{name}.items", item)) * np.tanh(self.linear(f"{name}.memory", m))  # Eq. 4, 8
        return float(self.linear(f"{name}.logit", h)[0])

    def ground(
        self, v: np.ndarray, ids: list[int], spans: list[tuple[int, int]], steps: int, whole: bool
    ) -> np.ndarray:
        x = [self.p["text_encoder.embedding.weight"][i] for i in ids]
        forward, backward = self.lstm(x, ""), self.lstm(x[::-1], "_reverse")[::-1]  # Eq. 1, 2
        u = np.array([f + b for f, b in zip(forward, backward, strict=True)])
        rows = []
        for first, end in spans:
            m = np.tanh(self.linear("contexts.0", v.mean(0))) * u[first:end].mean(0)  # Eq. 12, 13
            for k in range(steps):
                alpha_v = softmax(np.array([self.hidden(f"looks.{k}", v_n, m) for v_n in v]))  # Eq. 5
                read = u if whole else u[first:end]
                alpha_u = softmax(np.array([self.hidden(f"reads.{k}", u_t, m) for u_t in read]))  # Eq. 9
                m = m + np.tanh(self.linear(f"contexts.{k + 1}", alpha_v @ v)) * (alpha_u @ read)  # Eq. 6, 10, 11
            rows.append([self.hidden(f"looks.{steps}", v_n, m) for v_n in v])
        return np.array(rows)


def written(model: RDANGrounder, text: int, spans: list[tuple[int, int]], options: dict) -> np.ndarray:
    regions = alone(text)[0]
    v, (x1, y1, x2, y2) = regions.features[0].numpy(), regions.boxes[0].numpy().T
    if options.get("spatial"):
        v = np.concatenate([v, np.stack([x1, y1, x2, y2, x2 - x1, y2 - y1], 1)], axis=1)
    whole = options.get("read") == "sentence"
    return Transcription(model).ground(v, TEXTS[text], spans, options.get("steps", 2), whole)


@of_variants
def test_forward_equals_the_equations(options: dict) -> None:
    model = tiny(**options)
    output = model(*batch())
    [of_words] = [each.weights for each in output.attention if each.name == "words"]
    for text, ids in enumerate(TEXTS):
        check_equals(output, text, written(model, text, SPANS[text], options))
        each = written(model, text, [(t, t + 1) for t in range(len(ids))], options)
        found = of_words[text].detach().numpy()
        expected = np.array([softmax(row) for row in each])
        np.testing.assert_allclose(found[: len(ids), : each.shape[1]], expected, atol=1e-9)
        assert not found[len(ids) :].any()


@of_variants
def test_single_precision_forward_equals_the_equations(options: dict) -> None:
    model = tiny(**options)
    expected = [written(model, text, SPANS[text], options) for text in range(len(TEXTS))]
    regions, words, phrases = batch()
    output = model.float()(shared.single(regions), words, phrases)
    for text, logits in enumerate(expected):
        check_equals(output, text, logits, atol=1e-6)


@of_variants
def test_a_phrases_boxes_do_not_depend_on_what_else_is_in_the_batch(options: dict) -> None:
    shared.check_independence(tiny(**options))


@of_variants
def test_a_padded_region_never_wins_and_gradients_are_finite(options: dict) -> None:
    shared.check_padding_never_wins(tiny(**options))


@of_variants
def test_nothing_to_look_at_and_nothing_to_look_for_leave_no_trace(options: dict) -> None:
    shared.check_nothing_there(tiny(**options))


@of_variants
def test_sentences_grouped_by_image_give_the_same_results_and_gradients(options: dict) -> None:
    shared.check_grouped(tiny(**options))


@of_variants
def test_without_maps_the_logits_are_the_same(options: dict) -> None:
    shared.check_silent(tiny(**options))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_logits_are_precise_where_products_are_coarse(dtype: torch.dtype) -> None:
    shared.check_coarse(tiny(spatial=True), dtype)


def test_eight_sentences_are_learnt_by_heart() -> None:
    assert shared.learns_by_heart(tiny(hidden_size=24, dropout=0.0, spatial=True))


def test_gradients_are_exact() -> None:
    model = tiny(hidden_size=3, steps=1, spatial=True)
    regions, words, phrases = alone(2)
    regions = replace(regions, features=regions.features[:, :3], mask=regions.mask[:, :3], boxes=regions.boxes[:, :3])
    parameters = dict(model.named_parameters())

    def logits(features: torch.Tensor, *values: torch.Tensor) -> torch.Tensor:
        named = dict(zip(parameters, values, strict=True))
        shown = replace(regions, features=features)
        return torch.func.functional_call(model, named, (shown, words, phrases), {"attention": False}).logits

    features = regions.features.clone().requires_grad_()
    assert torch.autograd.gradcheck(logits, (features, *parameters.values()), atol=1e-7, fast_mode=True)


def test_phrases_are_read_in_the_whole_sentence_and_apart_from_each_other() -> None:
    model, regions = tiny(), alone(0)[0]
    of = {
        (tuple(text), *spans): model(regions, pad_words([text]), pad_phrases([spans])).logits[0]
        for text in ([2, 3, 4], [2, 3, 9])
        for spans in ([(0, 2)], [(1, 3), (0, 2)])
    }
    torch.testing.assert_close(of[(2, 3, 4), (0, 2)][0], of[(2, 3, 4), (1, 3), (0, 2)][1])
    assert not torch.allclose(of[(2, 3, 4), (0, 2)], of[(2, 3, 9), (0, 2)])


def test_each_image_is_looked_at_once_for_all_phrases_of_its_sentences() -> None:
    model, rows = tiny(), []
    for layer in (model.contexts[0], *(look.items for look in model.looks)):
        layer.register_forward_hook(lambda _, __, out: rows.append(len(out)))
    _, words, phrases = batch()
    grouped = shared.some_regions().grouped(shared.Grouping.of(shared.IMAGE_OF))
    model(grouped, words, phrases, attention=False)
    assert rows == [3, 3, 3, 3]


def test_sentences_without_phrases_have_no_logits() -> None:
    shared.check_no_phrases(tiny())


def test_a_spatial_model_refuses_regions_without_boxes() -> None:
    regions, words, phrases = batch()
    with pytest.raises(RecipeError, match=r"got regions without boxes: use features .*set the size spatial to false"):
        tiny(spatial=True)(replace(regions, boxes=None), words, phrases)


def test_parameter_counts_are_those_of_r_dan_with_a_look_for_the_answer() -> None:
    with torch.device("meta"):
        grounder, answerer = RDANGrounder(1009), rdan.RDAN(1009, 5)
    answer = sum(p.numel() for p in answerer.answer.parameters())
    look = sum(p.numel() for p in answerer.looks[0].parameters())
    assert sum(p.numel() for p in grounder.parameters()) == (
        sum(p.numel() for p in answerer.parameters()) - answer + look
    )
