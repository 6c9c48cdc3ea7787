"""Multimodal Residual Networks (Kim, Lee, Kwak, Heo, Kim, Ha and Zhang, NeurIPS 2016).

Each block adds to a linear shortcut of the question what question and image say together:

    H_0 = the last state of a GRU over the question
    H_k = W_s H_{k-1} + tanh(W_q H_{k-1}) o tanh(W_2 tanh(W_1 v))

Follows the authors' code (jnhwkim/nips-mrn-vqa@1125ce4, `MRN` of netdef/MRN.lua): sizes, places of dropout, and the
parameters of blocks and classifier drawn from uniform(-0.08, 0.08). What differs:

- The original starts word embedding and GRU from skip-thought vectors. They are not available here, and both start at
  random.
- The original's GRU is "Bayesian": with one draw for all words of a question, though one for each gate, it drops out
  words and state. `nn.GRU` has no dropout of its state: here one draw serves the gates and acts on the words only.
- The GRU of the original resets the state before the recurrent product of the candidate and has one bias a gate;
  `nn.GRU` resets after that product, as the GRU of skip-thought does, and has two.
- The image of the original is the pooled feature of ResNet-152. Here it is the mean of the regions, which is that
  feature where the regions are the cells of the network's last map. It is L2-normalised as there.

The network has no spatial attention: beside DAN it shows what attention adds.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saccade.limits import COUNT, DEPTH, PART, WIDTH, check_limit
from saccade.nn.attention import masked_mean
from saccade.nn.text_encoders import pack_words
from saccade.types import Answers, Regions, Words


class Block(nn.Module):
    """One block of residual learning: the shortcut of the question plus the product of question and image."""

    def __init__(self, question_size: int, region_size: int, hidden_size: int, dropout: float) -> None:
        super().__init__()
        self.shortcut = nn.Linear(question_size, hidden_size)  # W_s
        self.question = nn.Linear(question_size, hidden_size)  # W_q
        self.image_1 = nn.Linear(region_size, region_size)  # W_1
        self.image_2 = nn.Linear(region_size, hidden_size)  # W_2
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, H: Float[Tensor, "texts size"], v: Float[Tensor, "images region"], regions: Regions
    ) -> Float[Tensor, "texts hidden"]:
        """H_k of each text from its H_{k-1}, where v has one vector for each image of the regions."""
        shortcut = self.shortcut(self.dropout(H))
        question = torch.tanh(self.question(self.dropout(H)))
        image = torch.tanh(self.image_2(self.dropout(torch.tanh(self.image_1(self.dropout(v))))))
        H_k: Tensor = shortcut + question * regions.per_text(image)
        return H_k


class MRN(nn.Module):
    """A question refined by the mean region over several blocks; it attends to nothing and returns no maps."""

    def __init__(
        self,
        num_words: int,
        num_answers: int,
        *,
        region_size: int = 2048,
        hidden_size: int = 1200,
        embedding_size: int = 620,
        gru_size: int = 2400,
        blocks: int = 3,
        dropout: float = 0.5,
        word_dropout: float = 0.25,
    ) -> None:
        """Words, answers and regions are the data's; the rest are its own sizes, by default the authors'.

        - `num_words`: words in the vocabulary, those for padding and unknown among them
        - `num_answers`: classes, the answers that can be given
        - `region_size`: numbers of a region
        - `hidden_size`: width of question and image in each block
        - `embedding_size`: numbers of a word
        - `gru_size`: width of the GRU that reads the question
        - `blocks`: how many times the image refines the question
        - `dropout`: share dropped in training of what blocks and classifier read
        - `word_dropout`: share of a word's numbers that is dropped in training, the same for all words of a
          question
        """
        super().__init__()
        check_limit(COUNT, num_words=num_words, num_answers=num_answers)
        check_limit(
            WIDTH, region_size=region_size, hidden_size=hidden_size, embedding_size=embedding_size, gru_size=gru_size
        )
        check_limit(DEPTH, blocks=blocks)
        check_limit(PART, dropout=dropout, word_dropout=word_dropout)
        sizes = [gru_size] + [hidden_size] * blocks
        self.embedding = nn.Embedding(num_words, embedding_size)
        self.gru = nn.GRU(embedding_size, gru_size, batch_first=True)
        self.blocks = nn.ModuleList(Block(size, region_size, hidden_size, dropout) for size in sizes[:blocks])
        self.answer = nn.Linear(sizes[-1], num_answers)
        self.dropout = nn.Dropout(dropout)
        self.word_dropout = nn.Dropout(word_dropout)
        for parameter in (*self.blocks.parameters(), *self.answer.parameters()):
            nn.init.uniform_(parameter, -0.08, 0.08)

    def forward(self, regions: Regions, words: Words, *, attention: bool = True) -> Answers:  # noqa: ARG002
        """Answer logits, without maps."""
        v = nn.functional.normalize(masked_mean(regions.features, regions.mask), dim=1)
        H = self.read(words)  # H_0
        for block in self.blocks:
            H = block(H, v, regions)
        return Answers(self.answer(self.dropout(H)), ())

    def read(self, words: Words) -> Float[Tensor, "texts size"]:
        """The state of the GRU after each text's last word."""
        embedded = self.embedding(words.ids)
        embedded = embedded * self.word_dropout(torch.ones_like(embedded[:, :1]))  # one draw for all words of a text
        packed = pack_words(embedded, words.mask)
        last: Tensor = self.gru(packed)[1][0]
        return last
