"""The question-only baseline: what the wording of a question gives away, without the image.

The "LSTM Q" of Antol et al. (ICCV 2015) in the terms of this library: r-DAN's own text encoder, the mean of its word
features, and a linear classifier. Whatever a model with an image gets above it, it got from the image.
"""

from __future__ import annotations

from torch import nn

from saccade.limits import COUNT, PART, WIDTH, check_limit
from saccade.nn.attention import masked_mean
from saccade.nn.text_encoders import BiLSTM
from saccade.types import Answers, Regions, Words


class QuestionOnly(nn.Module):
    """A classifier of the question alone; it takes regions, reads none, and returns no maps."""

    def __init__(
        self,
        num_words: int,
        num_answers: int,
        *,
        region_size: int = 2048,  # noqa: ARG002
        hidden_size: int = 512,
        dropout: float = 0.5,
    ) -> None:
        """Words, answers and regions are the data's; the rest are its own sizes.

        - `num_words`: words in the vocabulary, those for padding and unknown among them
        - `num_answers`: classes, the answers that can be given
        - `region_size`: numbers of a region, none of which is read
        - `hidden_size`: width of words and LSTM states
        - `dropout`: share of words and of their features that is dropped in training
        """
        super().__init__()
        check_limit(COUNT, num_words=num_words, num_answers=num_answers)
        check_limit(WIDTH, hidden_size=hidden_size)
        check_limit(PART, dropout=dropout)
        self.text_encoder = BiLSTM(num_words, hidden_size, dropout=dropout)
        self.dropout = nn.Dropout(dropout)
        self.answer = nn.Linear(hidden_size, num_answers)

    def forward(self, regions: Regions, words: Words, *, attention: bool = True) -> Answers:  # noqa: ARG002
        """Answer logits, without maps."""
        return Answers(self.answer(self.dropout(masked_mean(self.text_encoder(words), words.mask))), ())
