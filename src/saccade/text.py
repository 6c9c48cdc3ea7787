"""Text to word ids: one vocabulary, which owns its tokeniser and is kept as a file.

The file is that of Hugging Face's `tokenizers` with one entry more: "saccade" names the tokeniser and the ids of the
special symbols. What the file says is what is done to raw text wherever the vocabulary is used.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from tokenizers import Encoding, Regex, Tokenizer
from tokenizers.models import WordLevel
from tokenizers.normalizers import NFC, Lowercase, Replace
from tokenizers.normalizers import Sequence as NormalizerSequence
from tokenizers.pre_tokenizers import Split, WhitespaceSplit

from saccade.errors import DataError, RunError, look_up
from saccade.metrics.ptb import tokenize
from saccade.types import Words

PADDING_ID, UNKNOWN_ID, END_ID = range(3)
# Every tokeniser splits at spaces, so that no text has a word of such a name.
SPECIAL = {"padding": "<no word>", "unknown": "<unknown word>", "end": "<end of text>"}
OLD_NAMES = ("<pad>", "<unk>", "<end>")  # in files without the entry
ENTRY = "saccade"
# A word: letters and digits with their combining marks and joiners, joined inside by an apostrophe, hyphen or
# underscore. Punctuation is dropped, and marks that stand on no letter, as behind an emoji.
PART = r"(?!\p{M})\w(?:\w|[\u200c\u200d])*"
WORD = rf"{PART}(?:['’\-]{PART})*"


@lru_cache(maxsize=1_000_000)
def _ptb(text: str) -> str:
    return tokenize(text)


@dataclass(frozen=True)
class Tokeniser:
    """How a raw text becomes words: first by a function here, if any, then in lower case and NFC by `tokenizers`.

    `changes` are texts to replace, in order; a word is what the `pattern` matches, or else what stands between spaces.
    """

    pattern: str | None = None
    changes: tuple[tuple[str, str], ...] = ()
    first: Callable[[str], str] | None = None


TOKENISERS = {
    "words": Tokeniser(WORD),
    # coco-caption's, so that captions are learnt in the words that they are scored by.
    "ptb": Tokeniser(first=_ptb),
    # jnhwkim/ban-vqa@ef4cc36, dataset.py, `Dictionary.tokenize`.
    "ban": Tokeniser(changes=((",", ""), ("?", ""), ("'s", " 's"))),
    # VisionLearningGroup/Ask_Attend_and_Answer@45b1d36: a question mark and a comma are words.
    "smem": Tokeniser(rf"{WORD}|[?,]"),
}


class Vocabulary:
    """Words and their ids, which begin behind those of the special symbols: padding, unknown words and the end.

    Make one with `build` or `from_json`. One built without an end has no id for it.
    """

    def __init__(self, tokenizer: Tokenizer, tokeniser: str, *, end: bool) -> None:
        self.tokeniser, self.end = tokeniser, end
        self._tokenizer, self._first = tokenizer, look_up(TOKENISERS, tokeniser, "tokeniser").first

    @classmethod
    def build(
        cls,
        texts: Iterable[str],
        *,
        tokeniser: str = "words",
        end: bool = False,
        min_count: int = 1,
        max_words: int | None = None,
    ) -> Vocabulary:
        """The vocabulary of raw texts: words seen at least `min_count` times, the most frequent `max_words` of them.

        `tokeniser` is one of TOKENISERS. Ordered by falling count, then alphabetically, so that the same texts in any
        order give the same ids. Raises DataError when no word is that frequent.
        """
        if max_words is not None and max_words < 1:
            raise DataError(f"expected room for at least one word, got room for {max_words}: raise --task.words")
        special = list(_special(end).values())
        splitter = cls(_tokenizer(special, tokeniser), tokeniser, end=end)
        counts = Counter(word for text in texts for word in splitter.words(text))
        kept = sorted((word for word, n in counts.items() if n >= min_count), key=lambda word: (-counts[word], word))
        if not kept:
            most = max(counts.values(), default=0)
            raise DataError(
                f"expected words that the training texts have at least {min_count} times, but none is there more than "
                f"{most} times: lower --task.min-word-count"
                if most
                else "expected training texts with words, got none with a word"
            )
        return cls(_tokenizer([*special, *kept[:max_words]], tokeniser), tokeniser, end=end)

    def __len__(self) -> int:
        return self._tokenizer.get_vocab_size()

    def __contains__(self, word: str) -> bool:
        number = self._tokenizer.token_to_id(word)
        return number is not None and number >= (3 if self.end else 2)

    def listed(self) -> list[str]:
        """The words in the order of their ids, the names of the special symbols first."""
        ids: dict[str, int] = self._tokenizer.get_vocab()
        return sorted(ids, key=ids.__getitem__)

    def known_words(self) -> list[str]:
        """The words in the order of their ids, without the special symbols."""
        return self.listed()[len(_special(self.end)) :]

    def words(self, text: str) -> list[str]:
        """A raw text's words as they are looked up, unknown ones included."""
        normalized = self._tokenizer.normalizer.normalize_str(text if self._first is None else self._first(text))
        return [word for word, _ in self._tokenizer.pre_tokenizer.pre_tokenize_str(normalized)]

    def unknown(self, text: str) -> list[str]:
        """Those words of a raw text that the vocabulary lacks."""
        return [word for word in self.words(text) if word not in self]

    def places(self, text: str) -> list[int] | None:
        """How many words stand before each of the words that spaces separate in a text, and then how many in all.

        None where the tokeniser sees other words in the text than in its parts, as "ptb" may.
        """
        places = [0]
        for part in text.split():
            places.append(places[-1] + len(self.words(part)))
        return places if places[-1] == len(self.words(text)) else None

    def lengths(self, texts: Sequence[str]) -> list[int]:
        """How many words each raw text has, the end not counted."""
        return [len(encoding) for encoding in self._encoded(texts)]

    def encode(self, texts: Sequence[str], *, max_words: int | None = None, end: bool = False) -> Words:
        """Right-padded ids of raw texts, each cut after `max_words` words, then with the id of the `end` if asked for.

        Raises DataError on a text without words, RunError for the end where the vocabulary has none.
        """
        if end and not self.end:
            raise RunError("the vocabulary has no symbol for the end of a text: it was not made for captions")
        rows = [encoding.ids[:max_words] for encoding in self._encoded(texts)]
        wordless = next((text for text, row in zip(texts, rows, strict=True) if not row), None)
        if wordless is not None:
            raise DataError(f"expected a text with at least one word, got {wordless!r}")
        return pad_words([[*row, END_ID] for row in rows] if end else rows)

    def to_json(self) -> str:
        """The contents of a `tokenizer.json`."""
        special = {kind: number for number, kind in enumerate(_special(self.end))}
        data = {ENTRY: {"tokeniser": self.tokeniser, "special": special}, **json.loads(self._tokenizer.to_str())}
        return json.dumps(data, indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Vocabulary:
        """The vocabulary of a `tokenizer.json`; raises RunError when that is no such file."""
        try:
            data = json.loads(text)
            entry = data.pop(ENTRY) if ENTRY in data else _old(data)
            end = "end" in entry["special"]
            vocabulary = cls(Tokenizer.from_str(json.dumps(data)), entry["tokeniser"], end=end)
            for (kind, name), number in zip(_special(end).items(), range(3), strict=False):
                if entry["special"][kind] != number or vocabulary._tokenizer.token_to_id(name) != number:
                    raise ValueError(f"the symbol for {kind} has another id than {number}")
        except Exception as error:  # tokenizers raises bare Exception
            raise RunError(f"tokenizer.json is not a tokenizer file ({error}): restore it or train again") from None
        return vocabulary

    def _encoded(self, texts: Sequence[str]) -> list[Encoding]:
        first = self._first
        return self._tokenizer.encode_batch_fast(list(texts) if first is None else [first(text) for text in texts])


def texts_to_json(texts: Sequence[str]) -> str:
    """The contents of a file of texts, a line each."""
    return json.dumps(list(texts), indent=2, ensure_ascii=False) + "\n"


def texts_from_json(text: str, name: str) -> tuple[str, ...]:
    """The texts of such a file; raises RunError, which names it, when it is none."""
    try:
        texts = json.loads(text)
    except json.JSONDecodeError as error:
        raise RunError(f"{name} is not valid JSON ({error}): it was altered or cut short") from None
    if not isinstance(texts, list) or not all(isinstance(each, str) for each in texts):
        raise RunError(f"{name}: expected a list of texts; restore the file or train again")
    return tuple(texts)


def pad_words(rows: Sequence[Sequence[int]]) -> Words:
    """Rows of word ids as one right-padded batch."""
    ids = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.long)
    mask = torch.zeros(ids.shape, dtype=torch.bool)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row)
        mask[i, : len(row)] = True
    return Words(ids, mask)


def _special(end: bool) -> dict[str, str]:
    """The names of the special symbols in the order of their ids."""
    return {kind: name for kind, name in SPECIAL.items() if end or kind != "end"}


def _tokenizer(words: Sequence[str], tokeniser: str) -> Tokenizer:
    rules = look_up(TOKENISERS, tokeniser, "tokeniser")
    tokenizer = Tokenizer(WordLevel({word: i for i, word in enumerate(words)}, unk_token=SPECIAL["unknown"]))
    changes = [Replace(before, after) for before, after in rules.changes]
    tokenizer.normalizer = NormalizerSequence([NFC(), Lowercase(), *changes])
    # Keep the matches and drop what lies between them.
    pattern = rules.pattern and Split(Regex(rules.pattern), behavior="removed", invert=True)
    tokenizer.pre_tokenizer = pattern or WhitespaceSplit()
    return tokenizer


def _old(data: dict[str, Any]) -> dict[str, Any]:
    """The entry of a file that has none yet. Its special symbols, whose names a text may hold, are renamed."""
    end = data["pre_tokenizer"]["type"] == "WhitespaceSplit"
    special = _special(end)
    names = dict(zip(OLD_NAMES, special.values(), strict=False))
    data["model"]["vocab"] = {names.get(word, word): number for word, number in data["model"]["vocab"].items()}
    data["model"]["unk_token"] = SPECIAL["unknown"]
    return {"tokeniser": "ptb" if end else "words", "special": {kind: i for i, kind in enumerate(special)}}
