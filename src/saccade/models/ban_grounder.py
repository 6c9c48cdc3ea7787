"""BAN as a grounder (Kim, Jun and Zhang, NeurIPS 2018, section 5.2): its attention says which region a phrase names.

X_e is the GRU's state at the last word of phrase e, Y the N regions of the image, and the attention of `ban.py`, with
one glimpse, is all there is of the model:

    logit[e, n] = p . (U^T X_e o V^T Y_n) + c                                     how well region n fits phrase e

Followed is the authors' code (jnhwkim/ban-vqa@ef4cc36, BanModel_flickr): one table of word vectors, a GRU that reads
the sentence up to the phrase, so that no word behind it counts, rank 3 with a ReLU on either side, weights normalised
by one gain for a whole matrix, no softmax: the loss is of the logits, and a ranking of regions is the same by either.
The bias c is the same for all pairs and changes no ranking. Departures:

- A phrase or region that does not exist has logit minus infinity, there -99: its loss is left out, not made small.
- Phrases are found by their words' places. There they are counted in another tokenisation than the one that is read,
  and point one word too late behind each comma; that is not repeated.
- A sentence is cut at 82 words, as there, but padded no further than the batch, which no state before can see. Of a
  phrase that is cut off, the last state that was read is taken.

Options that are not the paper's: `phrase="mean"` takes the mean of the states of the phrase's words. `spatial`, an
option of theirs, appends x1, y1, x2, y2, width and height of a region's box, in fractions of the image, to its
features. `regress` adds four glimpses whose logits shift each region's box for the phrase, as DDPN does (Yu et al.,
IJCAI 2018) after R-CNN; they begin at zero.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from saccade.limits import COUNT, DEPTH, PART, WIDTH, check_limit
from saccade.models.ban import BilinearAttention
from saccade.nn.attention import masked_softmax
from saccade.nn.boxes import BOX_NUMBERS, placed_features
from saccade.nn.phrases import existing, last_words, mean_words, only_existing
from saccade.nn.text_encoders import FixedLengthGRU, of_words
from saccade.types import AttentionMap, Groundings, Phrases, Regions, Words

SHIFTS = 4


class BANGrounder(nn.Module):
    """BAN's bilinear attention between phrases and regions; grounds the phrases of a sentence."""

    def __init__(
        self,
        num_words: int,
        *,
        region_size: int = 2048,
        hidden_size: int = 1280,
        rank: int = 3,
        embedding_size: int = 300,
        sentence_length: int = 82,
        phrase: Literal["last", "mean"] = "last",
        spatial: bool = False,
        regress: bool = False,
        attention_dropout: float = 0.5,
        dropout: float = 0.2,
    ) -> None:
        """Sizes default to the authors'.

        - `num_words`: words in the vocabulary, those for padding and unknown among them
        - `region_size`: numbers of a region
        - `hidden_size`: width of the GRU
        - `rank`: how many times wider the attention's projections are than the GRU
        - `embedding_size`: numbers of a word
        - `sentence_length`: words of a sentence that are read
        - `phrase`: what stands for a phrase. last: the GRU's state at its last word; mean: the mean over its words
        - `spatial`: whether a region's box is read beside its features, which the regions must then have
        - `regress`: whether it also says how each region's box would have to move for the phrase
        - `attention_dropout`: share of the regions' projection that is dropped in training where pairs are
          weighed
        - `dropout`: share dropped in training of what the projections read
        """
        super().__init__()
        check_limit(COUNT, num_words=num_words)
        check_limit(
            WIDTH,
            region_size=region_size,
            hidden_size=hidden_size,
            embedding_size=embedding_size,
            sentence_length=sentence_length,
        )
        check_limit(DEPTH, rank=rank)
        check_limit(PART, attention_dropout=attention_dropout, dropout=dropout)
        self.of_phrases = last_words if phrase == "last" else mean_words
        self.spatial, self.regress = spatial, regress
        self.text_encoder = FixedLengthGRU(
            num_words, hidden_size, length=sentence_length, embedding_size=embedding_size, padded=False
        )
        self.attention = BilinearAttention(
            hidden_size,
            region_size + BOX_NUMBERS * spatial,
            rank * hidden_size,
            1 + SHIFTS * regress,
            dropout=dropout,
            attention_dropout=attention_dropout,
        )
        if regress:
            self._start_without_shifts()

    def forward(self, regions: Regions, words: Words, phrases: Phrases, *, attention: bool = True) -> Groundings:
        """Logits of all regions for each phrase, and their softmax for each phrase and for each word of the sentence.

        Raises RecipeError where a spatial model gets regions without boxes.
        """
        features = placed_features(regions) if self.spatial else regions.features
        states, read = self.text_encoder(words)
        x, seen = self.of_phrases(states, phrases), regions.per_text(regions.mask)
        count = x.shape[1]
        logits = self.attention(torch.cat([x, states], 1) if attention else x, features, regions.grouping)

        exist = existing(phrases.mask, seen)
        of_phrases, weights = only_existing(logits[:, 0, :count], exist)
        maps = []
        if attention:
            of_all_words = masked_softmax(logits[:, 0, count:].to(weights.dtype), existing(read, seen))
            maps.append(AttentionMap(weights, ("phrases", "regions"), "phrases", "rows"))
            maps.append(AttentionMap(of_words(of_all_words, words), ("words", "regions"), "words", "rows"))
        shifts = self._shifts(logits[:, 1:, :count], exist) if self.regress else None
        return Groundings(of_phrases, tuple(maps), shifts)

    def _start_without_shifts(self) -> None:
        with torch.no_grad():
            self.attention.bias[1:] = 0
            query = self.attention.query.clone()
            query[1:] = 0
            self.attention.query = query  # type: ignore[assignment]  # sets direction and gain

    def _shifts(
        self,
        logits: Float[Tensor, "texts 4 phrases regions"],
        exist: Bool[Tensor, "texts phrases regions"],
    ) -> Float[Tensor, "texts phrases regions 4"]:
        """The further glimpses' logits as shifts, which are zero of what does not exist."""
        precise = logits.to(torch.promote_types(logits.dtype, torch.float32))
        return precise.permute(0, 2, 3, 1).masked_fill(~exist.unsqueeze(3), 0)
