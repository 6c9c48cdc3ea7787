"""Words to word features: embedding and recurrent networks that several papers share."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from saccade.types import Words

# Texts that a CPU's recurrent network reads at once: PyTorch's gradient of packed words goes over all of them at each
# place, so that many texts of unlike length cost more than the same in portions of like length.
TEXTS_AT_ONCE = 128


def pack_words(embedded: Float[Tensor, "texts words size"], mask: Bool[Tensor, "texts words"]) -> PackedSequence:
    """The words without their padding, as PyTorch's recurrent networks take them."""
    return pack_padded_sequence(embedded, mask.sum(dim=1).cpu(), batch_first=True, enforce_sorted=False)


class BiLSTM(nn.Module):
    """Word features in context: forward and backward states added, u_t = h_f,t + h_b,t (DAN, equations 1 and 2).

    Padding is packed away: the backward pass starts at each text's last word, and padded places come back as zero.
    `dropout` acts on the embeddings.
    """

    def __init__(self, num_words: int, size: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.embedding = nn.Embedding(num_words, size, padding_idx=0)
        self.dropout = nn.Dropout(dropout)
        self.lstm = nn.LSTM(size, size, batch_first=True, bidirectional=True)

    def forward(self, words: Words) -> Float[Tensor, "texts words size"]:
        """Word features, zero at padded places."""
        embedded = self.dropout(self.embedding(words.ids))
        if embedded.device.type != "cpu" or len(embedded) <= TEXTS_AT_ONCE:
            return self._read(embedded, words.mask)
        order = words.mask.sum(dim=1).argsort()
        portions = [self._read(embedded[rows], words.mask[rows]) for rows in torch.split(order, TEXTS_AT_ONCE)]
        return torch.cat(portions)[order.argsort()]

    def _read(
        self, embedded: Float[Tensor, "texts words size"], mask: Bool[Tensor, "texts words"]
    ) -> Float[Tensor, "texts words size"]:
        packed = pack_words(embedded, mask)
        states, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True, total_length=mask.shape[1])
        forward, backward = states.chunk(2, dim=-1)
        summed: Tensor = forward + backward
        return summed


class FixedLengthGRU(nn.Module):
    """Word features of texts cut or padded to `length` words; the GRU runs on over the padding (BAN, DFAF).

    Words are looked up in `tables` tables side by side: one to learn, or GloVe's vectors and a second table made from
    them, see `load_vectors`. Padding is the zero vector. `dropout` acts on the embeddings. Texts that are not `padded`
    are cut alone, and read no further than the longest of the batch.
    """

    def __init__(
        self,
        num_words: int,
        size: int,
        *,
        length: int = 14,
        embedding_size: int = 300,
        tables: int = 1,
        dropout: float = 0.0,
        padded: bool = True,
    ) -> None:
        super().__init__()
        self.length, self.padded = length, padded
        self.tables = nn.ModuleList(nn.Embedding(num_words, embedding_size, padding_idx=0) for _ in range(tables))
        self.dropout = nn.Dropout(dropout)
        self.gru = nn.GRU(tables * embedding_size, size, batch_first=True)

    def forward(self, words: Words) -> tuple[Float[Tensor, "texts length size"], Bool[Tensor, "texts length"]]:
        """All states of the GRU, and which of the places hold words."""
        length = self.length if self.padded else min(self.length, words.ids.shape[1])
        missing = length - words.ids.shape[1]  # negative when there are words to cut
        ids, mask = (nn.functional.pad(each, (0, missing)) for each in (words.ids, words.mask))
        ids = ids.masked_fill(~mask, 0)
        embedded = self.dropout(torch.cat([table(ids) for table in self.tables], dim=-1))
        return self.gru(embedded)[0], mask

    def load_vectors(self, *vectors: Float[Tensor, "words size"]) -> None:
        """Start from known word vectors: one matrix for each table."""
        with torch.no_grad():
            for table, rows in zip(self.tables.parameters(), vectors, strict=True):
                table.copy_(rows)
                table[0] = 0


def of_words(weights: Float[Tensor, "texts length *regions"], words: Words) -> Tensor:
    """Weights over the places that were read, as weights over the words of the batch: 0 on padding and what was cut."""
    behind = weights.dim() - 2
    missing = words.ids.shape[1] - weights.shape[1]  # negative when there are places to cut
    padded = nn.functional.pad(weights, (*(0, 0) * behind, 0, missing))
    return padded.masked_fill(~words.mask.reshape(*words.mask.shape, *(1,) * behind), 0)


class BagOfWords(nn.Module):
    """Binary word presence through a bias-free linear map: each distinct word counts once (iBOWIMG)."""

    def __init__(self, num_words: int, size: int) -> None:
        super().__init__()
        self.num_words = num_words
        self.linear = nn.Linear(num_words, size, bias=False)

    def forward(self, words: Words) -> Float[Tensor, "texts size"]:
        """One vector per text."""
        presence = torch.zeros(len(words.ids), self.num_words, device=words.ids.device, dtype=self.linear.weight.dtype)
        presence.scatter_(1, words.ids, words.mask.to(presence.dtype))
        # Padding carries id 0 and may have been written over a real 0: the padding word is never present.
        presence[:, 0] = 0
        bag: Tensor = self.linear(presence)
        return bag
