"""Dual Attention Networks: r-DAN, which reasons, and m-DAN, which matches (Nam, Ha and Kim, CVPR 2017, section 3).

Implements equations 1 to 15 and 16 to 22; the loss of m-DAN (20) is the task's. Biases are present, as the paper says
it leaves them out of its notation only. The paper leaves open, and this file decides:

- Dropout (its ratio is given, its places are not) acts on the embedded words x_t, on the word features u_t, and on the
  input of every linear layer that reads v_n or m: W_v, P, W_vm, W_um and W_ans. One draw serves all steps.
- The mean over words (equation 14) and the softmax over words (equation 9) leave padding out.
- Without steps, which the paper does not try, m-DAN is what it begins with: the same encoders without attention.
- `similarity="cosine"` is not the paper's: joint embeddings have length 1, so that the inner product is their cosine,
  and the scale that a softmax over scores wants is learnt, as in CLIP (Radford et al. 2021), from 1 / 0.07 on.
- The gradient of the scalar bias of W_vh and W_uh is zero, since softmax does not see it; it is kept because it counts.

Computation differs from the notation in one respect: W_vh (tanh(W_v v_n) o tanh(W_vm m)) is computed as the inner
product of tanh(W_v v_n), which depends on the image alone, with W_vh o tanh(W_vm m), which depends on the question.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saccade.limits import COUNT, DEPTH, PART, WIDTH, Limit, check_limit
from saccade.nn.attention import masked_mean, masked_softmax, pool, score
from saccade.nn.text_encoders import BiLSTM
from saccade.types import Answers, AttentionMap, Embeddings, Grouping, Matches, Regions, Words

FIRST_SCALE, LARGEST_SCALE = 1 / 0.07, 100.0  # of CLIP


class Attention(nn.Module):
    """One step's attention over regions (equations 4 and 5) or over words (8 and 9), before the softmax."""

    def __init__(self, item_size: int, hidden_size: int) -> None:
        super().__init__()
        self.items = nn.Linear(item_size, hidden_size)  # W_v or W_u
        self.memory = nn.Linear(hidden_size, hidden_size)  # W_vm or W_um
        self.logit = nn.Linear(hidden_size, 1)  # W_vh or W_uh

    def keys(self, items: Float[Tensor, "rows items size"]) -> Float[Tensor, "rows items hidden"]:
        """tanh(W v_n): what each item offers, whatever is asked."""
        return torch.tanh(self.items(items))

    def query(self, memory: Float[Tensor, "texts hidden"]) -> Float[Tensor, "texts hidden"]:
        """W_h o tanh(W_m m): what the memory asks of every item."""
        return self.logit.weight * torch.tanh(self.memory(memory))

    def forward(
        self,
        memory: Float[Tensor, "texts hidden"],
        items: Float[Tensor, "rows items size"],
        grouping: Grouping | None = None,
    ) -> Float[Tensor, "texts items"]:
        """The logit of every item of each text's row."""
        return score(self.query(memory), self.keys(items), grouping) + self.logit.bias


class RDAN(nn.Module):
    """r-DAN: visual and textual attention steered over K steps by one shared memory; answers a question."""

    def __init__(
        self,
        num_words: int,
        num_answers: int,
        *,
        region_size: int = 2048,
        hidden_size: int = 512,
        steps: int = 2,
        dropout: float = 0.5,
    ) -> None:
        """Sizes default to the paper's with ResNet-152 regions; VGG-19's have `region_size` 512.

        - `num_words`: words in the vocabulary, those for padding and unknown among them
        - `num_answers`: classes, the answers that can be given
        - `region_size`: numbers of a region
        - `hidden_size`: width of words, LSTM states, attention and memory
        - `steps`: K, how many times it looks and reads
        - `dropout`: share of each layer's input that is dropped in training
        """
        super().__init__()
        check_limit(COUNT, num_words=num_words, num_answers=num_answers)
        check_limit(WIDTH, region_size=region_size, hidden_size=hidden_size)
        check_limit(DEPTH, steps=steps)
        check_limit(PART, dropout=dropout)
        self.text_encoder = BiLSTM(num_words, hidden_size, dropout=dropout)
        self.looks = nn.ModuleList(Attention(region_size, hidden_size) for _ in range(steps))
        self.reads = nn.ModuleList(Attention(hidden_size, hidden_size) for _ in range(steps))
        self.contexts = nn.ModuleList(nn.Linear(region_size, hidden_size) for _ in range(steps + 1))  # P^(0) to P^(K)
        self.answer = nn.Linear(hidden_size, num_answers)  # W_ans
        self.dropout = nn.Dropout(dropout)

    def forward(self, regions: Regions, words: Words, *, attention: bool = True) -> Answers:
        """Answer logits, and per step a map over regions and a map over words."""
        v, u = regions.features, self.dropout(self.text_encoder(words))  # u: Eq. 1, 2
        v_dropped = self.dropout(v)
        region_mask = regions.per_text(regions.mask)

        v_0 = torch.tanh(self.contexts[0](self.dropout(masked_mean(v, regions.mask))))  # Eq. 13
        u_0 = masked_mean(u, words.mask)  # Eq. 14
        m = regions.per_text(v_0) * u_0  # Eq. 12

        maps = []
        for k, (see, read, P) in enumerate(zip(self.looks, self.reads, self.contexts[1:], strict=True), start=1):
            memory = self.dropout(m)
            alpha_v = masked_softmax(see(memory, v_dropped, regions.grouping), region_mask)  # Eq. 4, 5
            v_k = torch.tanh(P(self.dropout(pool(alpha_v, v, regions.grouping))))  # Eq. 6

            alpha_u = masked_softmax(read(memory, u), words.mask)  # Eq. 8, 9
            u_k = pool(alpha_u, u)  # Eq. 10

            m = m + v_k * u_k  # Eq. 11
            if attention:
                maps.append(AttentionMap(alpha_v, ("regions",), f"step {k}"))
                maps.append(AttentionMap(alpha_u, ("words",), f"step {k}"))
        return Answers(self.answer(self.dropout(m)), tuple(maps))  # Eq. 15, before its softmax


class MDAN(nn.Module):
    """m-DAN: an image and a sentence, each attended to over K steps by a memory of its own; their product matches them.

    No side needs the other: a joint embedding is the concatenation of all steps, so that one inner product is S.
    """

    def __init__(
        self,
        num_words: int,
        *,
        region_size: int = 2048,
        hidden_size: int = 512,
        steps: int = 2,
        dropout: float = 0.5,
        similarity: Literal["product", "cosine"] = "product",
    ) -> None:
        """Sizes default to the paper's with ResNet-152 regions; VGG-19's have `region_size` 512.

        - `num_words`: words in the vocabulary, those for padding and unknown among them
        - `region_size`: numbers of a region
        - `hidden_size`: width of words, LSTM states, attention and memories; an embedding has steps + 1 times as many
        - `steps`: K, how many times it looks and reads
        - `dropout`: share of each layer's input that is dropped in training
        - `similarity`: of embeddings. product: as they come, the paper's; cosine: of length 1, with a learned scale
        """
        super().__init__()
        check_limit(COUNT, num_words=num_words)
        check_limit(WIDTH, region_size=region_size, hidden_size=hidden_size)
        check_limit(Limit(least=0, most=DEPTH.most, whole=True), steps=steps)
        check_limit(PART, dropout=dropout)
        self.text_encoder = BiLSTM(num_words, hidden_size, dropout=dropout)
        self.looks = nn.ModuleList(Attention(region_size, hidden_size) for _ in range(steps))
        self.reads = nn.ModuleList(Attention(hidden_size, hidden_size) for _ in range(steps))
        self.contexts = nn.ModuleList(nn.Linear(region_size, hidden_size) for _ in range(steps + 1))  # P^(0) to P^(K)
        self.dropout = nn.Dropout(dropout)
        self.log_scale = nn.Parameter(torch.tensor(math.log(FIRST_SCALE))) if similarity == "cosine" else None

    def forward(self, regions: Regions, words: Words, *, attention: bool = True) -> Matches:
        """The embeddings of the images and of the sentences, which may be different numbers of rows."""
        scale = None if self.log_scale is None else self.log_scale.clamp(max=math.log(LARGEST_SCALE)).exp()
        images = self.embed_images(regions, attention=attention)
        return Matches(images, self.embed_sentences(words, attention=attention), scale)

    def embed_images(self, regions: Regions, *, attention: bool = True) -> Embeddings:
        """z_v of each image, and per step a map over its regions."""
        v, mask = regions.features, regions.mask
        v_dropped = self.dropout(v)
        m = v_k = torch.tanh(self.contexts[0](self.dropout(masked_mean(v, mask))))  # Eq. 13, 16
        z, maps = [v_k], []
        for k, (see, P) in enumerate(zip(self.looks, self.contexts[1:], strict=True), start=1):
            alpha = masked_softmax(see(self.dropout(m), v_dropped), mask)  # Eq. 4, 5
            v_k = torch.tanh(P(self.dropout(pool(alpha, v))))  # Eq. 6
            m = m + v_k  # Eq. 16
            z.append(v_k)
            maps.append(AttentionMap(alpha, ("regions",), f"step {k}"))
        return self._joint(z, maps if attention else [])

    def embed_sentences(self, words: Words, *, attention: bool = True) -> Embeddings:
        """z_u of each sentence, and per step a map over its words."""
        u = self.dropout(self.text_encoder(words))  # Eq. 1, 2
        m = u_k = masked_mean(u, words.mask)  # Eq. 14, 17
        z, maps = [u_k], []
        for k, read in enumerate(self.reads, start=1):
            alpha = masked_softmax(read(self.dropout(m), u), words.mask)  # Eq. 8, 9
            u_k = pool(alpha, u)  # Eq. 10
            m = m + u_k  # Eq. 17
            z.append(u_k)
            maps.append(AttentionMap(alpha, ("words",), f"step {k}"))
        return self._joint(z, maps if attention else [])

    def _joint(self, steps: list[Tensor], maps: list[AttentionMap]) -> Embeddings:
        """Eq. 21 and 22; S, equations 18 and 19, is the inner product of two of these."""
        z = torch.cat(steps, dim=1)
        return Embeddings(z if self.log_scale is None else nn.functional.normalize(z, dim=1), tuple(maps))
