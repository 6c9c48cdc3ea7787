"""BAN's grounder against the authors' code written out in NumPy float64, and what holds of every grounder."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.models import grounding_reference as shared
from tests.models.grounding_reference import SIZE, SPANS, TEXTS, WORDS, alone, batch, check_equals, pad_phrases
from tests.models.reference import sigmoid

from saccade.errors import RecipeError
from saccade.models.ban_grounder import BANGrounder
from saccade.nn.boxes import box_numbers
from saccade.text import pad_words

HIDDEN = 7
VARIANTS = [{}, {"phrase": "mean"}, {"spatial": True}, {"regress": True}, {"spatial": True, "regress": True, "rank": 1}]
of_variants = pytest.mark.parametrize("options", VARIANTS, ids=str)


def tiny(**options) -> BANGrounder:
    torch.manual_seed(1)
    sizes = {"region_size": SIZE, "hidden_size": HIDDEN, "embedding_size": 3}
    model = BANGrounder(WORDS, **sizes | options).double().eval()
    if model.regress:  # as after some training
        with torch.no_grad():
            model.attention.query = torch.randn_like(model.attention.query)
            model.attention.bias.normal_()
    return model


class Transcription:
    """One phrase and one region at a time."""

    def __init__(self, model: BANGrounder, *, mean: bool) -> None:
        self.mean = mean
        self.p = {name: value.detach().numpy() for name, value in model.state_dict().items()}
        self.model = model

    def weight(self, name: str) -> np.ndarray:
        module, _, last = name.rpartition(".")
        g, v = (self.p[f"{module}.parametrizations.{last}.original{i}"] for i in (0, 1))
        return g * v / np.sqrt((v**2).sum())

    def relu(self, name: str, x: np.ndarray) -> np.ndarray:
        return np.maximum(self.weight(f"{name}.weight") @ x + self.p[f"{name}.bias"], 0)

    def gru(self, ids: list[int]) -> list[np.ndarray]:
        p, h, states = self.p, np.zeros(HIDDEN), []
        for i in ids:
            x = p["text_encoder.tables.0.weight"][i]
            a = p["text_encoder.gru.weight_ih_l0"] @ x + p["text_encoder.gru.bias_ih_l0"]
            b = p["text_encoder.gru.weight_hh_l0"] @ h + p["text_encoder.gru.bias_hh_l0"]
            (a_r, a_z, a_n), (b_r, b_z, b_n) = np.split(a, 3), np.split(b, 3)
            z = sigmoid(a_z + b_z)
            h = (1 - z) * np.tanh(a_n + sigmoid(a_r + b_r) * b_n) + z * h
            states.append(h)
        return states

    def region(self, v: np.ndarray, box: np.ndarray) -> np.ndarray:
        x1, y1, x2, y2 = box
        return np.concatenate([v, [x1, y1, x2, y2, x2 - x1, y2 - y1]]) if self.model.spatial else v

    def logits(self, x: np.ndarray, v: np.ndarray, box: np.ndarray) -> np.ndarray:
        """Of one vector and one region: the logit, and the shifts behind it."""
        joint = self.relu("attention.words.1", x) * self.relu("attention.regions.0.1", self.region(v, box))
        return self.weight("attention.query") @ joint + self.p["attention.bias"][:, 0, 0]

    def __call__(self, v: np.ndarray, boxes: np.ndarray, text: list[int], spans: list) -> tuple[np.ndarray, np.ndarray]:
        states = self.gru(text)
        phrases = [np.mean(states[a:b], axis=0) if self.mean else states[b - 1] for a, b in spans]
        of_phrases, of_words = (
            np.array([[self.logits(x, r, box) for r, box in zip(v, boxes, strict=True)] for x in vectors])
            for vectors in (phrases, states)
        )
        return of_phrases, of_words


@of_variants
def test_forward_equals_the_authors_code(options: dict) -> None:
    model, (regions, words, phrases) = tiny(**options), batch()
    output = model(regions, words, phrases)
    [of_words] = [each.weights for each in output.attention if each.name == "words"]
    for text, (ids, spans) in enumerate(zip(TEXTS, SPANS, strict=True)):
        own = alone(text)[0]
        written = Transcription(model, mean=options.get("phrase") == "mean")
        of_phrases, of_states = written(own.features[0].numpy(), own.boxes[0].numpy(), ids, spans)
        check_equals(output, text, of_phrases[..., 0])
        e = np.exp(of_states[..., 0])
        found = of_words[text].detach().numpy()
        np.testing.assert_allclose(found[: len(ids), : e.shape[1]], e / e.sum(1, keepdims=True), atol=1e-9)
        assert not found[len(ids) :].any()
        if options.get("regress"):
            shifts = output.shifts[text].detach().numpy()
            np.testing.assert_allclose(shifts[: len(spans), : e.shape[1]], of_phrases[..., 1:], atol=1e-9)
            assert not shifts[len(spans) :].any()
    assert (output.shifts is not None) == bool(options.get("regress"))


@of_variants
def test_single_precision_forward_equals_the_authors_code(options: dict) -> None:
    model, regions = tiny(**options), [alone(text)[0] for text in range(len(TEXTS))]
    written = Transcription(model, mean=options.get("phrase") == "mean")
    expected = [
        written(own.features[0].numpy(), own.boxes[0].numpy(), ids, spans)[0]
        for own, ids, spans in zip(regions, TEXTS, SPANS, strict=True)
    ]
    whole, words, phrases = batch()
    output = model.float()(shared.single(whole), words, phrases)
    for text, of_phrases in enumerate(expected):
        check_equals(output, text, of_phrases[..., 0], atol=2e-5)


@of_variants
def test_a_phrases_boxes_do_not_depend_on_what_else_is_in_the_batch(options: dict) -> None:
    shared.check_independence(tiny(**options))


@of_variants
def test_a_padded_region_never_wins_and_gradients_are_finite(options: dict) -> None:
    shared.check_padding_never_wins(tiny(**options))


@of_variants
def test_nothing_to_look_at_and_nothing_to_look_for_leave_no_trace(options: dict) -> None:
    shared.check_nothing_there(tiny(**options))


def test_sentences_without_phrases_have_no_logits() -> None:
    shared.check_no_phrases(tiny(regress=True))


@of_variants
def test_sentences_grouped_by_image_give_the_same_results_and_gradients(options: dict) -> None:
    shared.check_grouped(tiny(**options))


@of_variants
def test_without_maps_the_logits_are_the_same(options: dict) -> None:
    shared.check_silent(tiny(**options))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_logits_are_precise_where_products_are_coarse(dtype: torch.dtype) -> None:
    shared.check_coarse(tiny(spatial=True, regress=True), dtype)


@pytest.mark.parametrize("options", [{"spatial": True}, {"phrase": "mean", "regress": True}], ids=str)
def test_eight_sentences_are_learnt_by_heart(options: dict) -> None:
    assert shared.learns_by_heart(tiny(hidden_size=24, dropout=0.0, attention_dropout=0.0, **options))


def test_gradients_are_exact() -> None:
    model = tiny(hidden_size=2, rank=2, embedding_size=1, spatial=True, regress=True)
    regions, words, phrases = alone(2)
    regions = replace(regions, features=regions.features[:, :3], mask=regions.mask[:, :3], boxes=regions.boxes[:, :3])
    parameters = dict(model.named_parameters())

    def outputs(features: torch.Tensor, *values: torch.Tensor) -> tuple[torch.Tensor, ...]:
        named = dict(zip(parameters, values, strict=True))
        found = torch.func.functional_call(model, named, (replace(regions, features=features), words, phrases))
        return found.logits, found.shifts

    features = regions.features.clone().requires_grad_()
    assert torch.autograd.gradcheck(outputs, (features, *parameters.values()), atol=1e-6, fast_mode=True)


def test_only_words_up_to_the_phrases_last_count() -> None:
    model, (regions, _, _) = tiny(), alone(0)
    read = [model(regions, pad_words([text]), pad_phrases([[(0, 2)]])).logits for text in ([2, 3, 4], [2, 3, 9, 5])]
    torch.testing.assert_close(*read)
    assert not torch.allclose(read[0], model(regions, pad_words([[5, 3]]), pad_phrases([[(0, 2)]])).logits)


@pytest.mark.parametrize("phrase", ["last", "mean"])
def test_a_sentence_is_cut_and_a_phrase_behind_the_cut_is_finite(phrase: str) -> None:
    model, (regions, _, _) = tiny(phrase=phrase, sentence_length=3), alone(0)
    spans = pad_phrases([[(0, 2), (2, 5), (4, 6)]])
    long, cut = (model(regions, pad_words([text]), spans) for text in ([2, 3, 4, 5, 6, 7], [2, 3, 4, 8, 8, 8]))
    shared.same(long, cut)
    assert long.logits.isfinite().all()
    assert not long.attention[1].weights[0, 3:].any()
    assert long.attention[1].weights.shape[1] == 6


def test_box_numbers_are_corners_width_and_height() -> None:
    numbers = box_numbers(torch.tensor([[0.1, 0.2, 0.5, 0.9]]))
    torch.testing.assert_close(numbers, torch.tensor([[0.1, 0.2, 0.5, 0.9, 0.4, 0.7]]))


def test_a_spatial_model_refuses_regions_without_boxes() -> None:
    regions, words, phrases = batch()
    with pytest.raises(RecipeError, match=r"got regions without boxes: use features .*set the size spatial to false"):
        tiny(spatial=True)(replace(regions, boxes=None), words, phrases)
    assert tiny()(replace(regions, boxes=None), words, phrases).logits.shape == (4, 3, 13)


def test_shifts_begin_at_zero_and_learn() -> None:
    torch.manual_seed(1)
    model = BANGrounder(WORDS, region_size=SIZE, hidden_size=HIDDEN, regress=True).double()
    plain = BANGrounder(WORDS, region_size=SIZE, hidden_size=HIDDEN).double()
    plain.load_state_dict(
        {name: v[:1] if len(v.shape) > 1 and len(v) == 5 else v for name, v in model.state_dict().items()}
    )
    output = model.eval()(*batch())
    assert not output.shifts.any()
    torch.testing.assert_close(output.logits, plain.eval()(*batch()).logits)
    (output.shifts - 1).square().sum().backward()
    assert model.attention.parametrizations.query.original1.grad[1:].abs().min() > 0


def test_the_parameters_are_those_of_the_authors_network() -> None:
    with torch.device("meta"):
        model = BANGrounder(18_182)
    gru = 3 * 1280 * (300 + 1280 + 2)
    attention = 3840 * (2048 + 1 + 1280 + 1) + 2 + 3840 + 1 + 1  # two gains of projections; query, its gain, bias
    assert sum(parameter.numel() for parameter in model.parameters()) == 300 * 18_182 + gru + attention
