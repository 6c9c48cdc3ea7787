"""SMem, the Spatial Memory Network (Xu and Saenko, "Ask, Attend and Answer", ECCV 2016; arXiv 1511.05234).

Implements its equations, numbered here 1 to 11 in the order the network runs, as the authors' Caffe code computes them
(VisionLearningGroup/Ask_Attend_and_Answer@45b1d36). One hop ends with equation 7. Followed from that code:

- The biases of the visual embeddings belong to locations, not to channels: they tell the model where a region lies.
- Padded words are zero vectors that nothing masks: a region's strongest correlation is at least 0, unless the question
  fills all `question_length` places. Questions are cut there; W_Q is indexed by absolute place.
- The second hop compares with E, the evidence of the first; only what it gathers is embedded anew.
- Dropout acts on the regions (one draw serves A, E and E_2) and behind the rectifier.
- Weights start uniform between -0.08 and 0.08, biases at 0. The question's share of what is answered from, Q, then is
  about a hundredth of the image's, and what they have in common is hardly seen. With `start="scaled"`, which is not the
  code's, every place counts as 1 and words start Gaussian (0.25), so that Q is of the order of the evidence, while W_A
  is so much smaller that the first hop begins nearly even.

Departures: the code fine-tunes GoogLeNet along with the model, while this file takes regions as they come, so that on
extracted features it is the frozen-feature variant. Word 0 is padding and 1 unknown, where the code has -1 and 0.
Left open, and decided here: an image of fewer regions than locations has the first ones' biases, absent regions get no
weight, and questions that share an image share its dropout. The code holds two hops only; one hop is the same without
the second. The paper's alternative first hop, guided by the whole question, is left out.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from saccade.errors import RecipeError
from saccade.limits import COUNT, PART, WIDTH, check_limit
from saccade.nn.attention import masked_softmax, pool, score
from saccade.types import Answers, AttentionMap, Regions, Words

INITIAL_WEIGHTS, SCALED_WORDS = 0.08, 0.25


class VisualEmbedding(nn.Module):
    """S W + b, with a row of b for each location."""

    def __init__(self, region_size: int, hidden_size: int, num_regions: int) -> None:
        super().__init__()
        self.linear = nn.Linear(region_size, hidden_size, bias=False)
        self.bias = nn.Parameter(torch.zeros(num_regions, hidden_size))

    def forward(self, S: Float[Tensor, "images regions size"]) -> Float[Tensor, "images regions hidden"]:
        """The embedded regions."""
        embedded: Tensor = self.linear(S) + self.bias[: S.shape[1]]
        return embedded


class SMem(nn.Module):
    """SMem: words choose regions in the first hop, the question with what they found in the second; answers it."""

    def __init__(
        self,
        num_words: int,
        num_answers: int,
        *,
        region_size: int = 1024,
        num_regions: int = 49,
        hidden_size: int = 1000,
        question_length: int = 25,
        hops: int = 2,
        dropout: float = 0.4,
        start: Literal["code", "scaled"] = "code",
    ) -> None:
        """Sizes default to the authors' with the 7 x 7 regions of GoogLeNet.

        - `num_words`: words in the vocabulary, those for padding and unknown among them
        - `num_answers`: classes, the answers that can be given
        - `region_size`: numbers of a region
        - `num_regions`: locations, which is the most regions that an image may have
        - `hidden_size`: width that words and regions are embedded in
        - `question_length`: words of a question that are read
        - `hops`: 1 or 2, how many times it looks
        - `dropout`: share dropped in training of the regions, and of what the answer is read from
        - `start`: "code", the authors' initial weights; "scaled", with which the question counts from the first step
        """
        super().__init__()
        check_limit(COUNT, num_words=num_words, num_answers=num_answers, num_regions=num_regions)
        check_limit(WIDTH, region_size=region_size, hidden_size=hidden_size, question_length=question_length)
        check_limit(PART, dropout=dropout)
        if hops not in (1, 2):
            raise RecipeError(f"hops: expected 1 or 2, got {hops}")
        self.words = nn.Embedding(num_words, hidden_size, padding_idx=0)
        self.place_weight = nn.Parameter(torch.zeros(question_length))  # W_Q
        self.question_bias = nn.Parameter(torch.zeros(hidden_size))  # b_Q
        self.keys = VisualEmbedding(region_size, hidden_size, num_regions)  # W_A, b_A
        self.evidence = VisualEmbedding(region_size, hidden_size, num_regions)  # W_E, b_E
        self.evidence_2 = VisualEmbedding(region_size, hidden_size, num_regions) if hops == 2 else None  # W_E2, b_E2
        self.answer = nn.Linear(hidden_size, num_answers)  # W_P, b_P
        self.dropout = nn.Dropout(dropout)
        self._reset()
        if start == "scaled":
            nn.init.ones_(self.place_weight)
            nn.init.normal_(self.words.weight[1:], std=SCALED_WORDS)
            with torch.no_grad():
                self.keys.linear.weight.div_(hidden_size**0.5)

    def forward(self, regions: Regions, words: Words, *, attention: bool = True) -> Answers:
        """Answer logits; the first hop's map over regions, the words that chose them, and the correlations behind it.

        With two hops also the second's map over regions. Raises RecipeError for more regions than there are locations.
        """
        count, locations = regions.features.shape[1], len(self.keys.bias)
        if count > locations:
            raise RecipeError(
                f"this SMem was made for at most {locations} regions an image, got {count}: "
                "give it the features it was trained on, or make it with a larger num_regions"
            )
        mask, grouping = regions.per_text(regions.mask), regions.grouping
        S = self.dropout(regions.features)
        V = self._embed(words)
        length = V.shape[1]

        A = self.keys(S)  # Eq. 1
        C = score(V, A, grouping)  # Eq. 2
        strongest = C.amax(dim=1)
        if length < len(self.place_weight):
            strongest = strongest.clamp(min=0)  # the zero rows with which V goes on to the question's full length
        w_1 = masked_softmax(strongest, mask)  # Eq. 3
        E = self.evidence(S)  # Eq. 4
        s_1 = pool(w_1, E, grouping)  # Eq. 5
        Q = self.place_weight[:length] @ V + self.question_bias  # Eq. 6
        o = s_1 + Q  # Eq. 8
        maps = self._first_hop_maps(w_1, C, words.mask, mask) if attention else ()

        if self.evidence_2 is not None:
            w_2 = masked_softmax(score(o, E, grouping), mask)  # Eq. 9
            o = o + pool(w_2, self.evidence_2(S), grouping)  # Eq. 10
            maps = (*maps, AttentionMap(w_2, ("regions",), "hop 2")) if attention else ()
        return Answers(self.answer(self.dropout(torch.relu(o))), maps)  # Eq. 7 or 11, before its softmax

    def _embed(self, words: Words) -> Float[Tensor, "texts length hidden"]:
        """V: the rows of the words, as far as questions go; zero for padding."""
        cut = len(self.place_weight)
        V: Tensor = self.words(words.ids.masked_fill(~words.mask, 0)[:, :cut])
        return V

    def _first_hop_maps(
        self,
        w_1: Float[Tensor, "texts regions"],
        C: Float[Tensor, "texts length regions"],
        words: Bool[Tensor, "texts words"],
        regions: Bool[Tensor, "texts regions"],
    ) -> tuple[AttentionMap, ...]:
        """What equations 2 and 3 attended to; words that were cut have rows of zeros."""
        places, length = len(self.place_weight), C.shape[1]
        mask = words[:, :length, None]
        best, chosen = C.masked_fill(~mask, -torch.inf).max(dim=1, keepdim=True)
        # A region that every word has a negative correlation with was chosen by padding, unless words fill all places.
        by_word = (best >= 0) | (words.sum(dim=1)[:, None, None] >= places)
        choices = w_1.new_zeros(C.shape).scatter(1, chosen, w_1[:, None] * by_word)
        correlations = C * (mask & regions[:, None])
        cut = (0, 0, 0, words.shape[1] - length)
        return (
            AttentionMap(w_1, ("regions",), "hop 1"),
            AttentionMap(nn.functional.pad(choices, cut), ("words", "regions"), "hop 1 words"),
            AttentionMap(nn.functional.pad(correlations, cut), ("words", "regions"), "hop 1 correlation", "raw"),
        )

    @torch.no_grad()
    def _reset(self) -> None:
        linears = [module for module in self.modules() if isinstance(module, nn.Linear)]
        for weight in (self.words.weight, self.place_weight, *(linear.weight for linear in linears)):
            weight.uniform_(-INITIAL_WEIGHTS, INITIAL_WEIGHTS)
        self.answer.bias.zero_()
        self.words.weight[0] = 0
