"""Bilinear Attention Networks (Kim, Jun and Zhang, NeurIPS 2018): attention to pairs of a word and a region.

X are the T words of a question, Y the N regions of an image, o the elementwise product, g a glimpse of G:

    A_g = softmax over all pairs of  p_g . (U^T X_t o V^T Y_n)                    which pairs matter
    f_g = P_g^T sum over t, n of  A_g[t, n] (U_g^T X^g_t o V_g^T Y_n)             the joint feature of a glimpse
    X^1 = X,  X^{g+1} = X^g + f_g 1^T                                             residual learning
    answer from the sum of the columns of X^{G+1}

All A_g come from X. The file follows the authors' code (jnhwkim/ban-vqa@ef4cc36), which adds to the paper:

- U and V are `rank` times as wide as the rest, a ReLU follows each of U, V, U_g, V_g, and all maps have biases, the
  attention one per glimpse. Weights are normalised by one gain for a whole matrix (`weight_norm` with dim=None).
- Questions have 14 words and no mask: the GRU runs on over the padding, padding takes part in the softmax, and in the
  sum of the columns, to which f_g is therefore added 14 times. `question_mask=True` leaves padding out of both, and out
  of what is counted. Maps show real words only, so they sum to less than 1 where padding is attended to.
- The counter of Zhang et al. sees, for each region, its highest logit over the words; the count is added to f_g.
- Words are looked up in two tables, of GloVe's vectors and of those of related words: as the authors meant them, where
  their code slips, which `saccade.word_vectors` tells and offers.

How the paper's ablations were made we do not know, only parameter counts and accuracies, second-hand. Chosen here:
`combine="sum"` adds up, "concatenation" lines up, the f_g of the initial X, and the answer comes from them without X,
which gives the counts at 4 glimpses (44.8M, 51.1M). `attend="co"` has the product of a softmax over words, of the
pairs' logits averaged over the regions, and a softmax over regions, of those averaged over the words; "unitary" has the
latter and all words alike. All three then have the same parameters (32.2M with one glimpse; the paper's 32.2M, 32.5M
and 31.9M), and differ only in whether pairs are attended to, or words and regions each on their own.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from saccade.errors import RecipeError
from saccade.limits import COUNT, DEPTH, PART, WIDTH, check_limit
from saccade.nn.attention import masked_softmax, pool
from saccade.nn.bilinear import bilinear_logits
from saccade.nn.counting import Counter
from saccade.nn.text_encoders import FixedLengthGRU, of_words
from saccade.types import Answers, AttentionMap, Grouping, Regions, Words


class BilinearAttention(nn.Module):
    """The logit of every pair of a word and a region, for each glimpse."""

    def __init__(
        self, word_size: int, region_size: int, size: int, glimpses: int, *, dropout: float, attention_dropout: float
    ) -> None:
        super().__init__()
        self.words = _projection(word_size, size, dropout)  # U
        self.regions = nn.Sequential(_projection(region_size, size, dropout), nn.Dropout(attention_dropout))  # V
        self.query = nn.Parameter(torch.randn(glimpses, size))  # p
        self.bias = nn.Parameter(torch.randn(glimpses, 1, 1))
        _normalised(self, "query")

    def forward(
        self,
        words: Float[Tensor, "texts words word_size"],
        regions: Float[Tensor, "rows regions region_size"],
        grouping: Grouping | None = None,
    ) -> Float[Tensor, "texts glimpses words regions"]:
        """p_g . (U^T X_t o V^T Y_n) of each text's words and its row's regions."""
        return bilinear_logits(self.query, self.words(words), self.regions(regions), grouping) + self.bias


class Glimpse(nn.Module):
    """What one glimpse makes of the pairs that it attends to."""

    def __init__(self, region_size: int, hidden_size: int, *, dropout: float) -> None:
        super().__init__()
        self.words = _projection(hidden_size, hidden_size, dropout)  # U_g
        self.regions = _projection(region_size, hidden_size, dropout)  # V_g
        self.output = nn.Sequential(nn.Dropout(dropout), _linear(hidden_size, hidden_size))  # P_g

    def forward(
        self,
        weights: Float[Tensor, "texts words regions"],
        words: Float[Tensor, "texts words hidden"],
        regions: Float[Tensor, "rows regions region_size"],
        grouping: Grouping | None = None,
    ) -> Float[Tensor, "texts hidden"]:
        """f_g, with the regions summed up for each word first, as there are fewer words."""
        joint: Tensor = self.words(words) * pool(weights, self.regions(regions), grouping)
        output: Tensor = self.output(joint.sum(1))
        return output


class BAN(nn.Module):
    """BAN: bilinear attention in several glimpses, each added to the question; answers a question."""

    def __init__(
        self,
        num_words: int,
        num_answers: int,
        *,
        region_size: int = 2048,
        hidden_size: int = 1280,
        glimpses: int = 8,
        rank: int = 3,
        counter: bool = True,
        tables: int = 2,
        embedding_size: int = 300,
        question_length: int = 14,
        question_mask: bool = False,
        attend: Literal["bilinear", "co", "unitary"] = "bilinear",
        combine: Literal["residual", "sum", "concatenation"] = "residual",
        attention_dropout: float = 0.5,
        dropout: float = 0.2,
        classifier_dropout: float = 0.5,
    ) -> None:
        """Sizes default to the authors' best single model, BAN-8 with the counter.

        - `num_words`: words in the vocabulary, those for padding and unknown among them
        - `num_answers`: classes, the answers that can be given
        - `region_size`: numbers of a region
        - `hidden_size`: width of the GRU and of all joint features
        - `glimpses`: G, how many maps of pairs it makes
        - `rank`: how many times wider the attention's projections are than the rest
        - `counter`: whether it counts things by their boxes, which the regions must then have
        - `tables`: 1 or 2 tables of word vectors: GloVe's, and those of related words
        - `embedding_size`: numbers of a word in each table
        - `question_length`: words of a question that are read
        - `question_mask`: whether padding is left out of attention and sums; the authors' code takes it in
        - `attend`: what is attended to. bilinear: pairs; co: words and regions each on their own; unitary:
          regions alone
        - `combine`: how glimpses are put together. residual: each is added to the question; sum: to each other;
          concatenation: they stand side by side
        - `attention_dropout`: share of the regions' projection that is dropped in training where pairs are
          weighed
        - `dropout`: share dropped in training of what all other projections read
        - `classifier_dropout`: share dropped in training within the classifier
        """
        super().__init__()
        check_limit(COUNT, num_words=num_words, num_answers=num_answers)
        check_limit(
            WIDTH,
            region_size=region_size,
            hidden_size=hidden_size,
            embedding_size=embedding_size,
            question_length=question_length,
        )
        check_limit(DEPTH, glimpses=glimpses, rank=rank, tables=tables)
        check_limit(PART, attention_dropout=attention_dropout, dropout=dropout, classifier_dropout=classifier_dropout)
        self.question_mask, self.attend, self.combine = question_mask, attend, combine
        self.text_encoder = FixedLengthGRU(
            num_words, hidden_size, length=question_length, embedding_size=embedding_size, tables=tables
        )
        self.attention = BilinearAttention(
            hidden_size,
            region_size,
            rank * hidden_size,
            glimpses,
            dropout=dropout,
            attention_dropout=attention_dropout,
        )
        self.glimpses = nn.ModuleList(Glimpse(region_size, hidden_size, dropout=dropout) for _ in range(glimpses))
        self.counter = Counter() if counter else None
        if self.counter is not None:
            counts = self.counter.objects + 1
            self.counts = nn.ModuleList(_projection(counts, hidden_size, 0.0) for _ in range(glimpses))
        self.answer = nn.Sequential(
            _linear(hidden_size * (glimpses if combine == "concatenation" else 1), 2 * hidden_size),
            nn.ReLU(),
            nn.Dropout(classifier_dropout),
            _linear(2 * hidden_size, num_answers),
        )

    def forward(self, regions: Regions, words: Words, *, attention: bool = True) -> Answers:
        """Answer logits, and per glimpse a map over words and regions.

        Raises RecipeError where the counter gets regions without boxes.
        """
        x, mask = self.text_encoder(words)  # X^1
        read, seen = mask if self.question_mask else torch.ones_like(mask), regions.per_text(regions.mask)
        logits = self.attention(x, regions.features, regions.grouping)
        pairs, shown = self._attend(logits, read, seen)
        counts = self._count(logits, read, regions)

        outputs = []
        for g, glimpse in enumerate(self.glimpses):
            f_g = glimpse(pairs[:, g], x, regions.features, regions.grouping)
            if counts is not None:
                f_g = f_g + self.counts[g](counts[:, g])
            if self.combine == "residual":
                x = x + f_g.unsqueeze(1)  # X^{g+1}
            outputs.append(f_g)

        if self.combine == "residual":
            joint = x.masked_fill(~read.unsqueeze(2), 0).sum(1)
        else:
            joint = torch.stack(outputs).sum(0) if self.combine == "sum" else torch.cat(outputs, dim=1)
        maps = (
            AttentionMap(of_words(each[:, g], words) if axes[0] == "words" else each[:, g], axes, f"glimpse {g + 1}")
            for g in range(len(self.glimpses) if attention else 0)
            for axes, each in shown.items()
        )
        return Answers(self.answer(joint), tuple(maps))

    def _attend(
        self,
        logits: Float[Tensor, "texts glimpses words regions"],
        read: Bool[Tensor, "texts words"],
        seen: Bool[Tensor, "texts regions"],
    ) -> tuple[Float[Tensor, "texts glimpses words regions"], dict[tuple[str, ...], Tensor]]:
        """A_g, and the distributions it is made of by their axes."""
        if self.attend == "bilinear":
            weights = masked_softmax(logits.flatten(2), _pairs(read, seen).flatten(2)).reshape(logits.shape)
            return weights, {("words", "regions"): weights}
        any_word, any_region = (each.to(logits.dtype) / each.sum(1, keepdim=True).clamp(min=1) for each in (read, seen))
        over_regions = masked_softmax(torch.einsum("bgtn,bt->bgn", logits, any_word), seen.unsqueeze(1))
        if self.attend == "unitary":
            return any_word[:, None, :, None] * over_regions.unsqueeze(2), {("regions",): over_regions}
        over_words = masked_softmax(torch.einsum("bgtn,bn->bgt", logits, any_region), read.unsqueeze(1))
        pairs = over_words.unsqueeze(3) * over_regions.unsqueeze(2)
        return pairs, {("words",): over_words, ("regions",): over_regions}

    def _count(
        self,
        logits: Float[Tensor, "texts glimpses words regions"],
        read: Bool[Tensor, "texts words"],
        regions: Regions,
    ) -> Float[Tensor, "texts glimpses counts"] | None:
        """What each glimpse counts, by the logits themselves and not their softmax; None without a counter."""
        if self.counter is None:
            return None
        if regions.boxes is None:
            raise RecipeError(
                "BAN's counter needs to know where the regions lie, got regions without boxes: "
                "use features that have boxes, or set the size counter to false"
            )
        allowed = _pairs(read, regions.per_text(regions.mask))
        highest = logits.masked_fill(~allowed, float("-inf")).amax(2)
        counts: Tensor = self.counter(regions.per_text(regions.boxes), highest)
        return counts


def _linear(inputs: int, outputs: int) -> nn.Module:
    return _normalised(nn.Linear(inputs, outputs), "weight")


def _normalised(module: nn.Module, name: str) -> nn.Module:
    """Weight normalisation with one gain for the whole matrix; PyTorch's default is one for each row."""
    normalised: nn.Module = weight_norm(module, name, dim=None)  # type: ignore[arg-type]
    return normalised


def _projection(inputs: int, outputs: int, dropout: float) -> nn.Module:
    return nn.Sequential(nn.Dropout(dropout), _linear(inputs, outputs), nn.ReLU())


def _pairs(
    read: Bool[Tensor, "texts words"], seen: Bool[Tensor, "texts regions"]
) -> Bool[Tensor, "texts 1 words regions"]:
    """Which pairs may be attended to."""
    return read[:, None, :, None] & seen[:, None, None, :]
