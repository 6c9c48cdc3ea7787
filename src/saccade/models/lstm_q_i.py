"""Deeper LSTM Q + norm I, the reference model of VQA v1 (Antol et al., ICCV 2015; "VQA team" in DAN's table).

Follows the authors' code (GT-Vision-Lab/VQA_LSTM_CNN@15d7d4b): sizes, places of dropout, and every parameter drawn
from uniform(-0.08, 0.08). What differs:

- The image of the original is one vector, the fc7 of VGG-19, hence `region_size` 4096. Here it is the mean of the
  regions, so that the model sees what the attention models see. It is L2-normalised all the same ("norm I").
- The original aligns questions to the right and lets each enter at its own first word with a zero state; it never
  reads padding. Packing the right-padded words comes to the same.
- The word embedding of the original has a bias, which is left out: every row of the table can hold it.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saccade.limits import COUNT, PART, WIDTH, check_limit
from saccade.nn.attention import masked_mean
from saccade.nn.text_encoders import pack_words
from saccade.types import Answers, Regions, Words


class LSTMQI(nn.Module):
    """A two-layer LSTM's question times the mean region; it attends to nothing and returns no maps."""

    def __init__(
        self,
        num_words: int,
        num_answers: int,
        *,
        region_size: int = 4096,
        hidden_size: int = 1024,
        embedding_size: int = 200,
        lstm_size: int = 512,
        dropout: float = 0.5,
    ) -> None:
        """Words, answers and regions are the data's; the rest are its own sizes, by default the authors'.

        - `num_words`: words in the vocabulary, those for padding and unknown among them
        - `num_answers`: classes, the answers that can be given
        - `region_size`: numbers of a region
        - `hidden_size`: width of question and image where they are multiplied
        - `embedding_size`: numbers of a word
        - `lstm_size`: width of each of the LSTM's two layers
        - `dropout`: share dropped in training of words, between the LSTM's layers, and of what linear layers
          read
        """
        super().__init__()
        check_limit(COUNT, num_words=num_words, num_answers=num_answers)
        check_limit(
            WIDTH, region_size=region_size, hidden_size=hidden_size, embedding_size=embedding_size, lstm_size=lstm_size
        )
        check_limit(PART, dropout=dropout)
        self.embedding = nn.Embedding(num_words, embedding_size)
        self.lstm = nn.LSTM(embedding_size, lstm_size, num_layers=2, dropout=dropout, batch_first=True)
        self.question = nn.Linear(4 * lstm_size, hidden_size)
        self.image = nn.Linear(region_size, hidden_size)
        self.answer = nn.Linear(hidden_size, num_answers)
        self.dropout = nn.Dropout(dropout)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -0.08, 0.08)

    def forward(self, regions: Regions, words: Words, *, attention: bool = True) -> Answers:  # noqa: ARG002
        """Answer logits, without maps."""
        mean = nn.functional.normalize(masked_mean(regions.features, regions.mask), dim=1)  # "norm I"
        image = torch.tanh(self.image(self.dropout(mean)))
        question = torch.tanh(self.question(self.dropout(self.read(words))))
        return Answers(self.answer(self.dropout(regions.per_text(image) * question)), ())

    def read(self, words: Words) -> Float[Tensor, "texts size"]:
        """The cell and hidden states of both layers after the last word, side by side."""
        embedded = torch.tanh(self.dropout(self.embedding(words.ids)))
        packed = pack_words(embedded, words.mask)
        h, c = self.lstm(packed)[1]
        return torch.cat([c[0], h[0], c[1], h[1]], dim=1)
