"""DFAF's grounder against its equations in NumPy float64, and what holds of every grounder."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.models import grounding_reference as shared
from tests.models import test_dfaf as dfaf
from tests.models.grounding_reference import SIZE, SPANS, TEXTS, WORDS, alone, batch, check_equals, pad_phrases

from saccade.errors import RecipeError
from saccade.models.dfaf_grounder import DFAFGrounder
from saccade.text import pad_words

SIZES = {"region_size": SIZE, "hidden_size": dfaf.HIDDEN, "sentence_size": dfaf.QUESTION, "blocks": 2,
         "embedding_size": dfaf.EMBEDDING, "heads": dfaf.HEADS}  # fmt: skip
VARIANTS = [{}, {"spatial": True}, {"intra": "none"}, {"order": "sequential", "blocks": 3}]
of_variants = pytest.mark.parametrize("options", VARIANTS, ids=str)


def tiny(**options) -> DFAFGrounder:
    """A small model in double precision whose parts all matter, biases too."""
    torch.manual_seed(1)
    model = DFAFGrounder(WORDS, **SIZES | options).double().eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.uniform_(-0.3, 0.3)
    return model


class Transcription(dfaf.Transcription):
    """One sentence at a time, its phrases and regions one by one, behind the blocks as they are written out of DFAF."""

    def ground(self, v: np.ndarray, ids: list[int], spans: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
        R, E = self.linear("regions", v), self.linear("words", self.gru(ids))
        for b in range(self.blocks):
            R, E, (_, to_words) = self.inter(b, R, E)
            if self.intra != "none":
                new = self.within(f"blocks.{b}.intra.0", R, E), self.within(f"blocks.{b}.intra.1", E, R)
                (R, E), _ = zip(*new, strict=True)
        phrases = [sum(E[a:b]) / (b - a) for a, b in spans]
        return np.array([[self.linear("logit", r * e)[0] for r in R] for e in phrases]), sum(to_words) / dfaf.HEADS


def written(model: DFAFGrounder, text: int, **options) -> tuple[np.ndarray, np.ndarray]:
    """The logits of a text's phrases and the map of its words."""
    regions = alone(text)[0]
    v, (x1, y1, x2, y2) = regions.features[0].numpy(), regions.boxes[0].numpy().T
    if options.get("spatial"):
        v = np.concatenate([v, np.stack([x1, y1, x2, y2, x2 - x1, y2 - y1], 1)], axis=1)
    twin = Transcription.__new__(Transcription)
    twin.p = {name: value.detach().double().numpy() for name, value in model.state_dict().items()}
    twin.intra, twin.order = options.get("intra", "dynamic"), options.get("order", "parallel")
    twin.blocks = options.get("blocks", 2)
    return twin.ground(v, TEXTS[text], SPANS[text])


@of_variants
def test_forward_equals_the_equations(options: dict) -> None:
    model = tiny(**options)
    output = model(*batch())
    [of_words] = [each.weights for each in output.attention if each.name == "words"]
    for text in range(len(TEXTS)):
        logits, to_words = written(model, text, **options)
        check_equals(output, text, logits)
        found, (words, regions) = of_words[text].detach().numpy(), to_words.shape
        np.testing.assert_allclose(found[:words, :regions], to_words, atol=1e-9)
        assert not found[words:].any()


@of_variants
def test_single_precision_forward_equals_the_equations(options: dict) -> None:
    model = tiny(**options)
    expected = [written(model, text, **options)[0] for text in range(len(TEXTS))]
    regions, words, phrases = batch()
    output = model.float()(shared.single(regions), words, phrases)
    for text, logits in enumerate(expected):
        check_equals(output, text, logits, atol=2e-6)


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
    shared.check_no_phrases(tiny())


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
    assert shared.learns_by_heart(tiny(dropout=0.0, fusion_dropout=0.0, spatial=True), rate=0.003)


def test_the_product_is_dropped_alike_for_all_regions_of_a_phrase() -> None:
    model = tiny(dropout=0.0, fusion_dropout=0.5)
    with torch.no_grad():
        model.blocks[-1].intra[0].output.weight.zero_()  # all regions end alike
    torch.manual_seed(3)
    logits = model.train()(*alone(0)).logits[0]
    assert torch.allclose(logits, logits[:, :1])
    assert not torch.allclose(logits, model.eval()(*alone(0)).logits[0])


def test_phrases_are_read_in_the_whole_sentence() -> None:
    model, regions = tiny(), alone(0)[0]
    a, b = (model(regions, pad_words([text]), pad_phrases([[(0, 2)]])).logits for text in ([2, 3, 4], [2, 3, 9]))
    assert not torch.allclose(a, b)


def test_a_sentence_is_cut_and_a_phrase_behind_the_cut_is_finite() -> None:
    model, regions, spans = tiny(sentence_length=3), alone(0)[0], pad_phrases([[(0, 2), (2, 5), (4, 6)]])
    long, cut = (model(regions, pad_words([text]), spans) for text in ([2, 3, 4, 5, 6, 7], [2, 3, 4, 8, 8, 8]))
    shared.same(long, cut)
    assert long.logits.isfinite().all()
    torch.testing.assert_close(long.logits[0, 2], model.logit.bias.expand(13))
    assert not long.attention[1].weights[0, 3:].any()


def test_a_spatial_model_refuses_regions_without_boxes_and_heads_must_divide() -> None:
    regions, words, phrases = batch()
    with pytest.raises(RecipeError, match=r"got regions without boxes: use features .*set the size spatial to false"):
        tiny(spatial=True)(replace(regions, boxes=None), words, phrases)
    with pytest.raises(RecipeError, match="heads: expected a divisor of hidden_size, 26, got 3"):
        tiny(heads=3)


def test_parameter_counts_are_those_of_dfaf_without_its_classifier() -> None:
    with torch.device("meta"):
        grounder, answerer = DFAFGrounder(1009), dfaf.DFAF(1009, 5)
    classifier = sum(p.numel() for p in answerer.classifier.parameters())
    assert sum(p.numel() for p in grounder.parameters()) - 513 == (
        sum(p.numel() for p in answerer.parameters()) - classifier
    )
