"""Text to word ids: one vocabulary, kept as a Hugging Face `tokenizers` file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer
from tokenizers.models import WordLevel
from tokenizers.normalizers import NFC, Lowercase
from tokenizers.normalizers import Sequence as NormalizerSequence
from tokenizers.pre_tokenizers import Split, WhitespaceSplit

from saccade.errors import DataError, RunError
from saccade.types import Words

PADDING, UNKNOWN, END = "<pad>", "<unk>", "<end>"
PADDING_ID, UNKNOWN_ID, END_ID = range(3)
# A word: letters and digits, joined inside by an apostrophe, hyphen or underscore. Punctuation is dropped.
WORD = r"\w+(?:['’\-]\w+)*"


class Vocabulary:
    """Words and their ids: lower case, id 0 for padding and 1 for unknown words.

    Punctuation is dropped, except from a vocabulary of `tokens`: that one takes what spaces separate for its words, as
    a tokeniser leaves them, and has id 2 for the end of a text.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer

    @classmethod
    def build(
        cls, texts: Iterable[str], *, min_count: int = 1, max_words: int | None = None, tokens: bool = False
    ) -> Vocabulary:
        """The vocabulary of the texts: words seen at least `min_count` times, the most frequent `max_words` of them.

        Ordered by falling count, then alphabetically, so that the same texts in any order give the same ids.
        """
        special = [PADDING, UNKNOWN, *([END] if tokens else [])]
        splitter = cls(_tokenizer(special, tokens))
        counts = Counter(word for text in texts for word in splitter.words(text))
        kept = sorted((word for word, n in counts.items() if n >= min_count), key=lambda word: (-counts[word], word))
        return cls(_tokenizer([*special, *kept[:max_words]], tokens))

    def __len__(self) -> int:
        return self._tokenizer.get_vocab_size()

    def __contains__(self, word: str) -> bool:
        return self._tokenizer.token_to_id(word) is not None

    def listed(self) -> list[str]:
        """The words in the order of their ids, padding and unknown first."""
        ids: dict[str, int] = self._tokenizer.get_vocab()
        return sorted(ids, key=ids.__getitem__)

    def words(self, text: str) -> list[str]:
        """The text's words as they are looked up, unknown ones included."""
        normalized = self._tokenizer.normalizer.normalize_str(text)
        return [word for word, _ in self._tokenizer.pre_tokenizer.pre_tokenize_str(normalized)]

    def unknown(self, text: str) -> list[str]:
        """Those words of the text that the vocabulary lacks."""
        return [word for word in self.words(text) if word not in self]

    def encode(self, texts: Sequence[str], *, max_words: int | None = None) -> Words:
        """Right-padded ids of the texts, each cut after `max_words` words; raises DataError on a text without words."""
        rows = [encoding.ids[:max_words] for encoding in self._tokenizer.encode_batch_fast(list(texts))]
        empty = next((text for text, row in zip(texts, rows, strict=True) if not row), None)
        if empty is not None:
            raise DataError(f"expected a text with at least one word, got {empty!r}: write a question")
        return pad_words(rows)

    def save(self, path: Path) -> None:
        """Write the vocabulary as a `tokenizer.json`."""
        path.write_text(self._tokenizer.to_str(pretty=True) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Vocabulary:
        """Read a `tokenizer.json`; raises RunError when it is missing or no such file."""
        try:
            return cls(Tokenizer.from_str(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            raise RunError(f"{path} is missing: the run directory is incomplete, train it again") from None
        except Exception as error:  # tokenizers raises bare Exception
            raise RunError(f"{path} is not a tokenizer file ({error}): restore it or train again") from None


def pad_words(rows: Sequence[Sequence[int]]) -> Words:
    """Rows of word ids as one right-padded batch."""
    ids = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.long)
    mask = torch.zeros(ids.shape, dtype=torch.bool)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row)
        mask[i, : len(row)] = True
    return Words(ids, mask)


def _tokenizer(words: Sequence[str], tokens: bool) -> Tokenizer:
    tokenizer = Tokenizer(WordLevel({word: i for i, word in enumerate(words)}, unk_token=UNKNOWN))
    tokenizer.normalizer = NormalizerSequence([NFC(), Lowercase()])
    # Keep the matches and drop what lies between them.
    by_pattern = Split(Regex(WORD), behavior="removed", invert=True)
    tokenizer.pre_tokenizer = WhitespaceSplit() if tokens else by_pattern
    return tokenizer
