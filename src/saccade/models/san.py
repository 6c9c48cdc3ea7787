"""Stacked Attention Networks, with the LSTM question model (Yang, He, Gao, Deng and Smola, CVPR 2016).

    v_i = tanh(W f_i + b)                                     f_i the feature of region i
    u_0 = the last state of an LSTM over the question
    h_i = tanh(W_I v_i + W_Q u_{k-1} + b)                     layer k, each with parameters of its own
    p = softmax_i(w h_i + b)
    u_k = sum_i p_i v_i + u_{k-1}
    answer: linear in u_K

The layers have the paper's form. The authors' code (zcyang/imageqa-san@14a8841, the two-layer model with an LSTM)
departs from it twice; each departure is an option:

- `logits="code"`: h_i = tanh(W_I v_i + b) + tanh(W_Q u + b'), and the logit is tanh(w h_i + b''). One of N regions then
  gets at most e^2 / (e^2 + N - 1) of the weight, 3.7 % of 196, and no question changes the order in which a layer
  ranks the regions: w h_i is a number of the region plus a number of the question, and tanh keeps order.
- `cell="code"`: the LSTM reads the last word first, its state is h = o * c without a tanh, and it has one bias a gate,
  which starts at 1 for the forget gate.

Sizes and the only dropout, before the classifier, are the code's. In the code padding is a zero vector, and the state
is copied past it; here it is packed away or masked, which comes to the same. Parameters start as PyTorch draws them:
from the code's start, weights in uniform(-0.01, 0.01), the attention stayed flat under Adam in a small test.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from saccade.limits import COUNT, DEPTH, PART, WIDTH, check_limit
from saccade.nn.attention import masked_softmax, pool
from saccade.nn.text_encoders import pack_words
from saccade.types import Answers, AttentionMap, Regions, Words


class PaperLSTM(nn.Module):
    """The last state of a standard LSTM, first word first."""

    def __init__(self, embedding_size: int, size: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(embedding_size, size, batch_first=True)

    def forward(
        self, embedded: Float[Tensor, "texts words embedding"], mask: Bool[Tensor, "texts words"]
    ) -> Float[Tensor, "texts size"]:
        """u_0: the state after each text's last word."""
        packed = pack_words(embedded, mask)
        last: Tensor = self.lstm(packed)[1][0][0]
        return last


class CodeLSTM(nn.Module):
    """The last state of the authors' cell, last word first: h = o * c, without a tanh on the cell."""

    def __init__(self, embedding_size: int, size: int) -> None:
        super().__init__()
        self.words = nn.Linear(embedding_size, 4 * size, bias=False)
        self.state = nn.Linear(size, 4 * size)
        nn.init.ones_(self.state.bias[size : 2 * size])

    def forward(
        self, embedded: Float[Tensor, "texts words embedding"], mask: Bool[Tensor, "texts words"]
    ) -> Float[Tensor, "texts size"]:
        """u_0: the state after each text's first word."""
        of_words: Tensor = self.words(embedded)
        h = c = of_words.new_zeros(len(embedded), self.state.in_features)
        for t in reversed(range(embedded.shape[1])):
            i, f, o, g = (of_words[:, t] + self.state(h)).chunk(4, dim=1)
            next_c = torch.sigmoid(i) * torch.tanh(g) + torch.sigmoid(f) * c
            here = mask[:, t, None]
            h = torch.where(here, torch.sigmoid(o) * next_c, h)
            c = torch.where(here, next_c, c)
        return h


class Attention(nn.Module):
    """One layer's attention over regions, before the softmax."""

    def __init__(self, hidden_size: int, attention_size: int, logits: Literal["paper", "code"]) -> None:
        super().__init__()
        self.form = logits
        self.items = nn.Linear(hidden_size, attention_size, bias=logits == "code")  # W_I
        self.question = nn.Linear(hidden_size, attention_size)  # W_Q
        self.logit = nn.Linear(attention_size, 1)  # w

    def forward(
        self, u: Float[Tensor, "texts hidden"], v: Float[Tensor, "images regions hidden"], regions: Regions
    ) -> Float[Tensor, "texts regions"]:
        """The logit of every region of each text's image."""
        if self.form == "code":
            # w (a + b) = w a + w b: of each region one number reaches the texts, not its vector.
            of_items = regions.per_text(self.logit(torch.tanh(self.items(v))).squeeze(2))
            of_question = torch.tanh(self.question(u)) @ self.logit.weight.T
            return torch.tanh(of_items + of_question)
        h = torch.tanh(regions.per_text(self.items(v)) + self.question(u).unsqueeze(1))
        logits: Tensor = self.logit(h).squeeze(2)
        return logits


class SAN(nn.Module):
    """SAN: a question that attends to the image layer by layer, each time adding what it saw; answers it."""

    def __init__(
        self,
        num_words: int,
        num_answers: int,
        *,
        region_size: int = 512,
        hidden_size: int = 1024,
        embedding_size: int = 500,
        attention_size: int = 512,
        layers: int = 2,
        dropout: float = 0.5,
        logits: Literal["paper", "code"] = "paper",
        cell: Literal["paper", "code"] = "paper",
    ) -> None:
        """Sizes default to those for VQA with the 14 x 14 regions of VGG-19.

        - `num_words`: words in the vocabulary, those for padding and unknown among them
        - `num_answers`: classes, the answers that can be given
        - `region_size`: numbers of a region
        - `hidden_size`: width of the LSTM, and of the regions beside it
        - `embedding_size`: numbers of a word
        - `attention_size`: width in which question and regions meet
        - `layers`: how many times it looks
        - `dropout`: share dropped in training of what the answer is read from
        - `logits`: form of the attention, as in the paper or as in the authors' code: see the top of the file
        - `cell`: LSTM, the standard one of the paper or that of the authors' code: see the top of the file
        """
        super().__init__()
        check_limit(COUNT, num_words=num_words, num_answers=num_answers)
        check_limit(
            WIDTH,
            region_size=region_size,
            hidden_size=hidden_size,
            embedding_size=embedding_size,
            attention_size=attention_size,
        )
        check_limit(DEPTH, layers=layers)
        check_limit(PART, dropout=dropout)
        self.embedding = nn.Embedding(num_words, embedding_size)
        self.lstm = (PaperLSTM if cell == "paper" else CodeLSTM)(embedding_size, hidden_size)
        self.image = nn.Linear(region_size, hidden_size)
        self.layers = nn.ModuleList(Attention(hidden_size, attention_size, logits) for _ in range(layers))
        self.answer = nn.Linear(hidden_size, num_answers)
        self.dropout = nn.Dropout(dropout)

    def forward(self, regions: Regions, words: Words, *, attention: bool = True) -> Answers:
        """Answer logits, and per layer a map over regions."""
        v = torch.tanh(self.image(regions.features))
        u = self.lstm(self.embedding(words.ids), words.mask)
        region_mask = regions.per_text(regions.mask)

        maps = []
        for k, layer in enumerate(self.layers, start=1):
            p = masked_softmax(layer(u, v, regions), region_mask)
            u = pool(p, v, regions.grouping) + u
            if attention:
                maps.append(AttentionMap(p, ("regions",), f"layer {k}"))
        return Answers(self.answer(self.dropout(u)), tuple(maps))
