"""DFAF: dynamic fusion with intra- and inter-modality attention flow (Gao et al., CVPR 2019, arXiv 1812.05252).

With regions R and words E, both projected to `hidden_size`, a block implements, in this numbering,

- 2.1, inter-modality flow: R <- Linear([R, softmax(R_Q E_K^T / sqrt(d)) E_V]), and E from R in the same way;
- 2.2, dynamic intra-modality flow: R <- Linear(R + softmax(R_Q^ R_K^^T / sqrt(d)) R_V), where queries and keys, but not
  values, are multiplied by 1 + sigmoid(Linear(mean of E)), and E gated by R in the same way;
- 2.3, the answer after the last block: mean of R o mean of E, then a classifier of two layers.

There is no normalisation, no feed-forward layer and no path around a block. The authors' code was never found; the
equations are those that a published note on the paper repeats. Two versions of one re-implementation (KaihuaTang,
VQA2.0-Recent-Approachs-2018.pytorch: K0, its first commit, and K1, its last, which by its author's word stays two to
three points below the paper) are taken as hints. What the paper says on the following is not known, and decided here:

- The number of blocks. The paper compares 1, 5 and 8; which of them gave its test results is not known. The default is
  the largest, the best by 0.4 points in figures that could not be confirmed. With one block it is 66.2 % on VQA v2 val.
- Both directions of 2.1 read the block's input ("parallel"), as in the equations. With `order="sequential"`, as in K1,
  words are updated first and regions read the updated words.
- Attention has heads, and d is the size of one, as in K0 and K1.
- Padded words and regions are no keys and count in no mean, as in K0 and K1.
- Dropout acts on the input of every linear layer of the blocks and of the two projections, as in K0, not on attention
  weights. The classifier's two layers have their own rates, K1's, and K1's width.
- Weights start such that a block keeps the size of what it is given, and biases at zero. There is no path around a
  block, so with PyTorch's own start (K1) what differs between inputs shrinks to a third in each, and is lost in eight;
  with Glorot's (K0) both sides, whose product is taken, grow by more than half in each.
- Regions are taken as they come, without K0's L2 normalisation. K0's ReLUs before linear layers and K1's weight
  normalisation and sums over all stages are left out, since the equations have none of them.
- `intra` and `fusion` are the paper's ablations: without gates or without 2.2, and a sum or both means side by side.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import pad, scaled_dot_product_attention

from saccade.errors import RecipeError
from saccade.limits import COUNT, DEPTH, PART, WIDTH, check_limit
from saccade.nn.attention import masked_mean, masked_softmax
from saccade.nn.text_encoders import FixedLengthGRU
from saccade.types import Answers, AttentionMap, Regions, Words

Order = Literal["parallel", "sequential"]
Intra = Literal["dynamic", "naive", "none"]
# What a block's maps say, in order: who is updated, and from whom.
FLOWS = (("regions", "words"), ("words", "regions"), ("regions", "regions"), ("words", "words"))


def linear(inputs: int, outputs: int, *, summed: int = 1) -> nn.Linear:
    """A linear layer that starts by keeping the variance of what it reads, which may be a sum of so many parts."""
    layer = nn.Linear(inputs, outputs)
    bound = math.sqrt(3 / (inputs * summed))
    nn.init.uniform_(layer.weight, -bound, bound)
    nn.init.zeros_(layer.bias)
    return layer


def attend(
    queries: Float[Tensor, "texts rows size"],
    keys: Float[Tensor, "texts items size"],
    values: Float[Tensor, "texts items size"],
    heads: int,
    row_mask: Bool[Tensor, "texts rows"],
    item_mask: Bool[Tensor, "texts items"],
    attention: bool,
) -> tuple[Float[Tensor, "texts rows size"], Float[Tensor, "texts heads rows items"] | None]:
    """softmax(Q K^T / sqrt(size / heads)) V, head by head over the items that exist; and the weights when asked for.

    An update from no item is zero. Updates of rows that do not exist mean nothing.
    """
    Q, K, V = (each.reshape(*each.shape[:2], heads, -1).transpose(1, 2) for each in (queries, keys, values))
    weights: Tensor | None = None
    if attention:
        mask = row_mask.unsqueeze(2) & item_mask.unsqueeze(1)
        weights = masked_softmax(Q @ K.transpose(2, 3) / math.sqrt(Q.shape[-1]), mask.unsqueeze(1))
        update = weights @ V
    else:
        # What a kernel answers when nothing may be attended to is its own affair: allow all, and take zero.
        nothing = ~item_mask.any(dim=1)[:, None, None, None]
        allowed = item_mask[:, None, None, :] | nothing
        update = scaled_dot_product_attention(Q, K, V, attn_mask=allowed).masked_fill(nothing, 0.0)
    return update.transpose(1, 2).flatten(2), weights


class InterFlow(nn.Module):
    """Inter-modality attention flow: regions are updated from words, and words from regions (2.1)."""

    def __init__(self, size: int, heads: int, *, order: Order, dropout: float) -> None:
        super().__init__()
        self.heads, self.order = heads, order
        self.regions = linear(size, 3 * size)  # R_Q, R_K, R_V
        self.words = linear(size, 3 * size)  # E_Q, E_K, E_V
        self.merge_regions = linear(2 * size, size)
        self.merge_words = linear(2 * size, size)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        R: Float[Tensor, "rows regions size"],
        E: Float[Tensor, "texts words size"],
        region_mask: Bool[Tensor, "texts regions"],
        word_mask: Bool[Tensor, "texts words"],
        image: Int[Tensor, " texts"] | None,
        attention: bool,
    ) -> tuple[Float[Tensor, "texts regions size"], Float[Tensor, "texts words size"], list[Tensor | None]]:
        """The updated regions and words, and the weights of regions<-words and words<-regions."""
        R_maps = self.regions(self.dropout(R))
        if image is not None:  # the first block: so far, texts about one image had the same regions
            R, R_maps = R[image], R_maps[image]
        R_Q, R_K, R_V = R_maps.chunk(3, dim=-1)  # 2.1
        E_Q, E_K, E_V = self.words(self.dropout(E)).chunk(3, dim=-1)  # 2.1

        E_upd, from_regions = attend(E_Q, R_K, R_V, self.heads, word_mask, region_mask, attention)  # 2.1, A_{R->E} R_V
        E = self.merge_words(self.dropout(torch.cat([E, E_upd], dim=-1)))  # 2.1
        if self.order == "sequential":
            _, E_K, E_V = self.words(self.dropout(E)).chunk(3, dim=-1)
        R_upd, from_words = attend(R_Q, E_K, E_V, self.heads, region_mask, word_mask, attention)  # 2.1, A_{R<-E} E_V
        R = self.merge_regions(self.dropout(torch.cat([R, R_upd], dim=-1)))  # 2.1
        return R, E, [from_words, from_regions]


class IntraFlow(nn.Module):
    """Intra-modality attention flow of one modality, gated by the other when it is dynamic (2.2)."""

    def __init__(self, size: int, heads: int, *, gated: bool, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.maps = linear(size, 3 * size)  # R_Q, R_K, R_V or E_Q, E_K, E_V
        self.gate = linear(size, size) if gated else None
        self.output = linear(size, size, summed=2)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        items: Float[Tensor, "texts items size"],
        mask: Bool[Tensor, "texts items"],
        other: Float[Tensor, "texts size"],
        attention: bool,
    ) -> tuple[Float[Tensor, "texts items size"], Tensor | None]:
        """The updated regions or words, and the weights; `other` is the mean of the other modality."""
        Q, K, V = self.maps(self.dropout(items)).chunk(3, dim=-1)
        if self.gate is not None:
            G = torch.sigmoid(self.gate(self.dropout(other))).unsqueeze(1)  # 2.2
            Q, K = (1 + G) * Q, (1 + G) * K  # 2.2; values are not gated
        update, weights = attend(Q, K, V, self.heads, mask, mask, attention)  # 2.2, D_R R_V or D_E E_V
        return self.output(self.dropout(items + update)), weights  # 2.2


class Block(nn.Module):
    """Inter-modality flow, then intra-modality flow in either modality (2.3)."""

    def __init__(self, size: int, heads: int, *, intra: Intra, order: Order, dropout: float) -> None:
        super().__init__()
        self.inter = InterFlow(size, heads, order=order, dropout=dropout)
        self.intra = nn.ModuleList()
        if intra != "none":
            gated = intra == "dynamic"
            self.intra.extend(IntraFlow(size, heads, gated=gated, dropout=dropout) for _ in ("regions", "words"))

    def forward(
        self,
        R: Float[Tensor, "rows regions size"],
        E: Float[Tensor, "texts words size"],
        region_mask: Bool[Tensor, "texts regions"],
        word_mask: Bool[Tensor, "texts words"],
        image: Int[Tensor, " texts"] | None,
        attention: bool,
    ) -> tuple[Float[Tensor, "texts regions size"], Float[Tensor, "texts words size"], list[Tensor | None]]:
        """The updated regions and words, and the weights in the order of FLOWS."""
        R, E, weights = self.inter(R, E, region_mask, word_mask, image, attention)
        if self.intra:
            region_flow, word_flow = self.intra
            mean_R, mean_E = masked_mean(R, region_mask), masked_mean(E, word_mask)  # 2.2, AvgPool
            R, among_regions = region_flow(R, region_mask, mean_E, attention)
            E, among_words = word_flow(E, word_mask, mean_R, attention)
            weights += [among_regions, among_words]
        return R, E, weights


class DFAF(nn.Module):
    """DFAF: regions and words inform each other, then themselves, in a stack of blocks; answers a question."""

    def __init__(
        self,
        num_words: int,
        num_answers: int,
        *,
        region_size: int = 2048,
        hidden_size: int = 512,
        question_size: int = 1280,
        blocks: int = 8,
        heads: int = 8,
        embedding_size: int = 300,
        question_length: int = 14,
        classifier_size: int = 2048,
        intra: Intra = "dynamic",
        order: Order = "parallel",
        fusion: Literal["multiply", "add", "concatenate"] = "multiply",
        dropout: float = 0.1,
        embedding_dropout: float = 0.0,
        fusion_dropout: float = 0.2,
        classifier_dropout: float = 0.5,
    ) -> None:
        """Sizes default to the paper's where they are known.

        - `num_words`: words in the vocabulary, those for padding and unknown among them
        - `num_answers`: classes, the answers that can be given
        - `region_size`: numbers of a region
        - `hidden_size`: width of words and regions in the blocks, a multiple of the heads
        - `question_size`: width of the GRU that reads the question
        - `blocks`: how many blocks follow each other
        - `heads`: attention heads of each flow
        - `embedding_size`: numbers of a word
        - `question_length`: words of a question that are read
        - `classifier_size`: width of the classifier's inner layer
        - `intra`: flow within regions and within words. dynamic: gated by the other side; naive: without gates;
          none: left out
        - `order`: parallel: words and regions are updated from the same input; sequential: words first, then
          regions from them
        - `fusion`: how the means of words and regions meet before the classifier
        - `dropout`: share dropped in training of what the blocks' linear layers read
        - `embedding_dropout`: share of the words that is dropped in training before the GRU
        - `fusion_dropout`: share dropped in training before the classifier
        - `classifier_dropout`: share dropped in training within the classifier
        """
        super().__init__()
        check_limit(COUNT, num_words=num_words, num_answers=num_answers)
        check_limit(
            WIDTH,
            region_size=region_size,
            hidden_size=hidden_size,
            question_size=question_size,
            embedding_size=embedding_size,
            question_length=question_length,
            classifier_size=classifier_size,
        )
        check_limit(DEPTH, blocks=blocks, heads=heads)
        check_limit(
            PART,
            dropout=dropout,
            embedding_dropout=embedding_dropout,
            fusion_dropout=fusion_dropout,
            classifier_dropout=classifier_dropout,
        )
        if hidden_size % heads:
            raise RecipeError(f"heads: expected a divisor of hidden_size, {hidden_size}, got {heads}")
        self.fusion = fusion
        self.text_encoder = FixedLengthGRU(
            num_words, question_size, length=question_length, embedding_size=embedding_size, dropout=embedding_dropout
        )
        self.regions = linear(region_size, hidden_size)
        self.words = linear(question_size, hidden_size)
        self.blocks = nn.ModuleList(
            Block(hidden_size, heads, intra=intra, order=order, dropout=dropout) for _ in range(blocks)
        )
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Sequential(
            nn.Dropout(fusion_dropout),
            linear(2 * hidden_size if fusion == "concatenate" else hidden_size, classifier_size),
            nn.ReLU(),
            nn.Dropout(classifier_dropout),
            linear(classifier_size, num_answers),
        )

    def forward(self, regions: Regions, words: Words, *, attention: bool = True) -> Answers:
        """Answer logits; per block and head, maps of regions over words, words over regions, and each over itself."""
        states, word_mask = self.text_encoder(words)
        length = words.ids.shape[1]  # the encoder pads further, which is of no use here
        word_mask, region_mask = word_mask[:, :length], regions.per_text(regions.mask)
        R = self.regions(self.dropout(regions.features))
        E = self.words(self.dropout(states[:, :length]))

        maps = []
        image = None if regions.grouping is None else regions.grouping.image
        for k, block in enumerate(self.blocks, start=1):
            R, E, weights = block(R, E, region_mask, word_mask, image if k == 1 else None, attention)
            maps += [_map(k, *flow, of, length) for flow, of in zip(FLOWS, weights, strict=False) if of is not None]

        pooled_R, pooled_E = masked_mean(R, region_mask), masked_mean(E, word_mask)  # 2.3
        return Answers(self.classifier(self._fuse(pooled_R, pooled_E)), tuple(maps))  # 2.3

    def _fuse(self, R: Float[Tensor, "texts size"], E: Float[Tensor, "texts size"]) -> Float[Tensor, "texts fused"]:
        if self.fusion == "concatenate":
            return torch.cat([R, E], dim=-1)
        return R + E if self.fusion == "add" else R * E


def _map(block: int, to: str, source: str, weights: Tensor, length: int) -> AttentionMap:
    """One flow as a map in which words that were cut off have their places, with weight zero."""
    columns, rows = (length - weights.shape[axis] if kind == "words" else 0 for axis, kind in ((3, source), (2, to)))
    return AttentionMap(
        pad(weights, (0, columns, 0, rows)), ("heads", to, source), f"block {block} {to}<-{source}", "rows"
    )
