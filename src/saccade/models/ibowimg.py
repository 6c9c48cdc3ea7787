"""iBOWIMG, the bag-of-words baseline (Zhou, Tian, Sukhbaatar, Szlam and Fergus, "Simple Baseline for VQA", 2015).

Follows the authors' code (metalbubble/VQAbaseline@62fa128): binary word presence, bias-free linear layers and no
hidden non-linearity. The image is one vector; here it is the mean of the regions, so that it sees what the attention
models see.
"""

from __future__ import annotations

import torch
from torch import nn

from saccade.limits import COUNT, WIDTH, check_limit
from saccade.nn.attention import masked_mean
from saccade.nn.text_encoders import BagOfWords
from saccade.types import Answers, Regions, Words


class IBOWIMG(nn.Module):
    """A linear classifier of the question's words beside the mean region; it attends to nothing and returns no maps."""

    def __init__(self, num_words: int, num_answers: int, *, region_size: int = 1024, hidden_size: int = 1024) -> None:
        """Words, answers and regions are the data's; the rest are its own sizes, by default the authors'.

        - `num_words`: words in the vocabulary, those for padding and unknown among them
        - `num_answers`: classes, the answers that can be given
        - `region_size`: numbers of a region
        - `hidden_size`: width of the question's bag of words
        """
        super().__init__()
        check_limit(COUNT, num_words=num_words, num_answers=num_answers)
        check_limit(WIDTH, region_size=region_size, hidden_size=hidden_size)
        self.words = BagOfWords(num_words, hidden_size)
        self.answer = nn.Linear(hidden_size + region_size, num_answers, bias=False)

    def forward(self, regions: Regions, words: Words, *, attention: bool = True) -> Answers:  # noqa: ARG002
        """Answer logits, without maps."""
        image = regions.per_text(masked_mean(regions.features, regions.mask))
        return Answers(self.answer(torch.cat([self.words(words), image], dim=1)), ())
