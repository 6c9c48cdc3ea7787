"""DFAF as a grounder: after its blocks, in which regions and words inform each other, the region that fits a phrase.

The paper (Gao et al., CVPR 2019) answers questions; the equations of a block are those of `dfaf.py`. With R and E the
regions and the sentence's words after the last block, and E_p the mean of E over the words of phrase p,

    logit[p, n] = w . (R_n o E_p) + c

which is decided here: 2.3 multiplies the means of both sides, and what a grounder asks is one region and one phrase, so
that each stands in the place of its side's mean. In place of the classifier's two layers there is one linear map, as
there is one number to tell. The product is dropped in part as in 2.3; all regions of a phrase share a draw, so that
dropping E_p does it. Otherwise:

- All phrases of a sentence are read off the same blocks, which know no phrases. A sentence is cut at 82 words and
  padded no further than the batch; a phrase that is cut off has E_p = 0.
- The map of a phrase is the softmax of its logits; that of a word is the last block's flow to it from the regions
  (2.1), the mean over the heads.
- `spatial`, which BAN's authors have as an option, appends x1, y1, x2, y2, width and height of a region's box, in
  fractions of the image, to its features.
"""

from __future__ import annotations

from torch import Tensor, nn

from saccade.errors import RecipeError
from saccade.limits import COUNT, DEPTH, PART, WIDTH, check_limit
from saccade.models.dfaf import Block, Intra, Order, linear
from saccade.nn.attention import score
from saccade.nn.boxes import BOX_NUMBERS, placed_features
from saccade.nn.phrases import existing, mean_words, only_existing
from saccade.nn.text_encoders import FixedLengthGRU, of_words
from saccade.types import AttentionMap, Groundings, Phrases, Regions, Words

TO_WORDS = 1  # of dfaf.FLOWS: words, updated from regions


class DFAFGrounder(nn.Module):
    """DFAF's blocks, and behind them a product of a region and a phrase; grounds the phrases of a sentence."""

    def __init__(
        self,
        num_words: int,
        *,
        region_size: int = 2048,
        hidden_size: int = 512,
        sentence_size: int = 1280,
        blocks: int = 8,
        heads: int = 8,
        embedding_size: int = 300,
        sentence_length: int = 82,
        intra: Intra = "dynamic",
        order: Order = "parallel",
        spatial: bool = False,
        dropout: float = 0.1,
        embedding_dropout: float = 0.0,
        fusion_dropout: float = 0.2,
    ) -> None:
        """Sizes default to those of DFAF, the sentence's length to BAN's.

        - `num_words`: words in the vocabulary, those for padding and unknown among them
        - `region_size`: numbers of a region
        - `hidden_size`: width of words and regions in the blocks, a multiple of the heads
        - `sentence_size`: width of the GRU that reads the sentence
        - `blocks`: how many blocks follow each other
        - `heads`: attention heads of each flow
        - `embedding_size`: numbers of a word
        - `sentence_length`: words of a sentence that are read
        - `intra`: flow within regions and within words. dynamic: gated by the other side; naive: without gates;
          none: left out
        - `order`: parallel: words and regions are updated from the same input; sequential: words first, then
          regions from them
        - `spatial`: whether a region's box is read beside its features, which the regions must then have
        - `dropout`: share dropped in training of what the blocks' linear layers read
        - `embedding_dropout`: share of the words that is dropped in training before the GRU
        - `fusion_dropout`: share dropped in training of the product of a region and a phrase
        """
        super().__init__()
        check_limit(COUNT, num_words=num_words)
        check_limit(
            WIDTH,
            region_size=region_size,
            hidden_size=hidden_size,
            sentence_size=sentence_size,
            embedding_size=embedding_size,
            sentence_length=sentence_length,
        )
        check_limit(DEPTH, blocks=blocks, heads=heads)
        check_limit(PART, dropout=dropout, embedding_dropout=embedding_dropout, fusion_dropout=fusion_dropout)
        if hidden_size % heads:
            raise RecipeError(f"heads: expected a divisor of hidden_size, {hidden_size}, got {heads}")
        self.spatial = spatial
        self.text_encoder = FixedLengthGRU(
            num_words,
            sentence_size,
            length=sentence_length,
            embedding_size=embedding_size,
            dropout=embedding_dropout,
            padded=False,
        )
        self.regions = linear(region_size + BOX_NUMBERS * spatial, hidden_size)
        self.words = linear(sentence_size, hidden_size)
        self.blocks = nn.ModuleList(
            Block(hidden_size, heads, intra=intra, order=order, dropout=dropout) for _ in range(blocks)
        )
        self.dropout, self.fusion_dropout = nn.Dropout(dropout), nn.Dropout(fusion_dropout)
        self.logit = linear(hidden_size, 1)  # w and c

    def forward(self, regions: Regions, words: Words, phrases: Phrases, *, attention: bool = True) -> Groundings:
        """Logits of all regions for each phrase, their softmax, and the last flow from regions to words.

        Raises RecipeError where a spatial model gets regions without boxes.
        """
        features = placed_features(regions) if self.spatial else regions.features
        states, word_mask = self.text_encoder(words)
        R, E = self.regions(self.dropout(features)), self.words(self.dropout(states))
        region_mask, image = regions.per_text(regions.mask), None
        if regions.grouping is not None:
            image = regions.grouping.image

        flows: list[Tensor | None] = []
        for k, block in enumerate(self.blocks, start=1):
            shown = attention and k == len(self.blocks)
            R, E, flows = block(R, E, region_mask, word_mask, image if k == 1 else None, shown)

        E_p = self.fusion_dropout(mean_words(E, phrases))
        logits = score(self.logit.weight * E_p, R) + self.logit.bias
        logits, weights = only_existing(logits, existing(phrases.mask, region_mask))
        maps = []
        if attention and (to_words := flows[TO_WORDS]) is not None:
            maps.append(AttentionMap(weights, ("phrases", "regions"), "phrases", "rows"))
            maps.append(AttentionMap(of_words(to_words.mean(1), words), ("words", "regions"), "words", "rows"))
        return Groundings(logits, tuple(maps))
