"""What travels between the parts: how it is shown."""

from __future__ import annotations

import torch

import saccade
from saccade.types import Answers, AttentionMap, DecoderState, Grouping, Regions, Words


def test_tensors_are_shown_by_their_shapes() -> None:
    regions = Regions(torch.zeros(2, 7, 5), torch.ones(2, 7, dtype=torch.bool), grid=(1, 7))
    assert repr(regions) == "Regions(features=float32[2, 7, 5], mask=bool[2, 7], grid=(1, 7))"
    words = Words(torch.zeros(3, 4, dtype=torch.long), torch.ones(3, 4, dtype=torch.bool))
    assert repr(words) == "Words(ids=int64[3, 4], mask=bool[3, 4])"
    looked = AttentionMap(torch.zeros(2, 7), ("regions",), "step 1")
    shown = "AttentionMap(weights=float32[2, 7], axes=('regions',), name='step 1', kind='joint')"
    assert repr(looked) == shown
    assert repr(Answers(torch.zeros(2, 3), (looked,))) == f"Answers(logits=float32[2, 3], attention=({shown},))"
    assert repr(DecoderState((torch.zeros(2, 3),), ())) == "DecoderState(images=(float32[2, 3],), rows=())"
    assert repr(Grouping.of(torch.tensor([0, 0]))) == "Grouping(image=int64[2], slot=int64[2], width=2)"


def test_they_are_public_names() -> None:
    assert (saccade.Regions, saccade.Words, saccade.AttentionMap) == (Regions, Words, AttentionMap)
