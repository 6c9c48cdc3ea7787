"""Scoring result files by themselves, without a model: the metrics that the official evaluations print."""

from __future__ import annotations

from saccade.score.captions import score_captions
from saccade.score.grounding import score_grounding
from saccade.score.retrieval import score_retrieval
from saccade.score.vqa import score_vqa

__all__ = ["score_captions", "score_grounding", "score_retrieval", "score_vqa"]
