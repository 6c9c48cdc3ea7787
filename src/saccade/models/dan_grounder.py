"""r-DAN as a grounder: a memory for each phrase, whose last look at the image says which region the phrase names.

The paper (Nam, Ha and Kim, CVPR 2017) closes with grounding as what its networks could do next, and says not how. The
equations are those of `dan.py`; what makes them ground is decided here:

- The first memory of phrase p is m^(0) = v^(0) o (mean of u_t over the words t of p), in place of the mean over all
  words (equations 12 and 14): the phrase is what is asked. Its words were read in the context of the sentence.
- In each of K steps the memory looks at the regions (4 to 6), reads the phrase (8 to 10), and adds what it found (11).
  With `read="sentence"` it reads the whole sentence, of which the phrase is a part: then what is told of other phrases
  goes into the memory, too, and on scenes the one phrase is taken for the other. Phrases do not see each other's
  memories.
- One further look with m^(K) grounds: its logits, the inner term of equation 4 before the softmax of 5, say how well
  each region fits, and their softmax is the phrase's map. So nothing follows the last look, and with K = 0 there is
  none but that one.
- Dropout acts where it does in r-DAN.
- The map of a word is that of a phrase which is this word alone; it is made where maps are wanted.
- `spatial`, which BAN's authors have as an option, appends x1, y1, x2, y2, width and height of a region's box, in
  fractions of the image, to its features.

What depends on the image alone is computed once for all phrases of all its sentences, and what depends on the sentence
once for all its phrases.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from saccade.limits import COUNT, DEPTH, PART, WIDTH, Limit, check_limit
from saccade.models.dan import Attention
from saccade.nn.attention import masked_mean, masked_softmax, pool
from saccade.nn.boxes import BOX_NUMBERS, placed_features
from saccade.nn.phrases import existing, mean_words, only_existing
from saccade.nn.text_encoders import BiLSTM
from saccade.types import AttentionMap, Groundings, Grouping, Phrases, Regions, Words


class RDANGrounder(nn.Module):
    """r-DAN with a memory for each phrase, whose last look is the answer; grounds the phrases of a sentence."""

    def __init__(
        self,
        num_words: int,
        *,
        region_size: int = 2048,
        hidden_size: int = 512,
        steps: int = 2,
        read: Literal["phrase", "sentence"] = "phrase",
        spatial: bool = False,
        dropout: float = 0.5,
    ) -> None:
        """Sizes default to those of r-DAN.

        - `num_words`: words in the vocabulary, those for padding and unknown among them
        - `region_size`: numbers of a region
        - `hidden_size`: width of words, LSTM states, attention and memory
        - `steps`: K, how many times it looks and reads before the look that grounds
        - `read`: which words are attended to in a step. phrase: its own; sentence: all
        - `spatial`: whether a region's box is read beside its features, which the regions must then have
        - `dropout`: share of each layer's input that is dropped in training
        """
        super().__init__()
        check_limit(COUNT, num_words=num_words)
        check_limit(WIDTH, region_size=region_size, hidden_size=hidden_size)
        check_limit(Limit(least=0, most=DEPTH.most, whole=True), steps=steps)
        check_limit(PART, dropout=dropout)
        self.read, self.spatial = read, spatial
        size = region_size + BOX_NUMBERS * spatial
        self.text_encoder = BiLSTM(num_words, hidden_size, dropout=dropout)
        self.looks = nn.ModuleList(Attention(size, hidden_size) for _ in range(steps + 1))  # the last one grounds
        self.reads = nn.ModuleList(Attention(hidden_size, hidden_size) for _ in range(steps))
        self.contexts = nn.ModuleList(nn.Linear(size, hidden_size) for _ in range(steps + 1))  # P^(0) to P^(K)
        self.dropout = nn.Dropout(dropout)

    def forward(self, regions: Regions, words: Words, phrases: Phrases, *, attention: bool = True) -> Groundings:
        """Logits of all regions for each phrase, and their softmax for each phrase and for each word of the sentence.

        Raises RecipeError where a spatial model gets regions without boxes.
        """
        asked = _and_words(phrases, words) if attention else phrases
        exist = existing(asked.mask, regions.per_text(regions.mask))
        logits, weights = only_existing(self._ground(regions, words, asked), exist)
        count, maps = phrases.mask.shape[1], []
        if attention:
            maps.append(AttentionMap(weights[:, :count], ("phrases", "regions"), "phrases", "rows"))
            maps.append(AttentionMap(weights[:, count:], ("words", "regions"), "words", "rows"))
        return Groundings(logits[:, :count], tuple(maps))

    def _ground(self, regions: Regions, words: Words, phrases: Phrases) -> Tensor:
        """The logits [texts, phrases, regions], where those of phrases that do not exist are zero."""
        text, place = phrases.mask.nonzero(as_tuple=True)  # of each phrase that exists, one after the other
        image = text if regions.grouping is None else regions.grouping.image[text]
        of_image, of_text = Grouping.of(image), Grouping.of(text)
        own = phrases.over(words.mask.shape[1])[text, place]
        region_mask, word_mask = regions.mask[image], own if self.read == "phrase" else words.mask[text]

        v = placed_features(regions) if self.spatial else regions.features
        v_dropped, u = self.dropout(v), self.dropout(self.text_encoder(words))  # u: Eq. 1, 2
        v_0 = torch.tanh(self.contexts[0](self.dropout(masked_mean(v, regions.mask))))  # Eq. 13
        m = v_0[image] * mean_words(u, phrases)[text, place]  # Eq. 12, of the phrase's words

        *looks, ground = self.looks
        for see, read, P in zip(looks, self.reads, self.contexts[1:], strict=True):
            memory = self.dropout(m)
            alpha_v = masked_softmax(see(memory, v_dropped, of_image), region_mask)  # Eq. 4, 5
            v_k = torch.tanh(P(self.dropout(pool(alpha_v, v, of_image))))  # Eq. 6
            alpha_u = masked_softmax(read(memory, u, of_text), word_mask)  # Eq. 8, 9
            m = m + v_k * pool(alpha_u, u, of_text)  # Eq. 10, 11
        logits: Tensor = ground(self.dropout(m), v_dropped, of_image)  # Eq. 4
        return logits.new_zeros(*phrases.mask.shape, logits.shape[1]).index_put((text, place), logits)


def _and_words(phrases: Phrases, words: Words) -> Phrases:
    """The phrases, and behind them each word of the text as a phrase of its own."""
    first = torch.arange(words.mask.shape[1], device=words.mask.device).expand(words.mask.shape)
    alone = torch.stack([first, first + 1], 2)
    return Phrases(torch.cat([phrases.spans, alone], 1), torch.cat([phrases.mask, words.mask], 1))
