"""Phrases of a sentence that comes without any, noticed by what training phrases are made of.

A small rule, without a parser. A word is *inside* where at least half of the times that the training sentences have it
it stands in a phrase, and *opening* where it is mostly the first word of these. Unknown words are inside. A phrase is a
longest run of inside words; it ends at punctuation, and before an opening word, unless all words of the run so far are
opening ones ("all the children"). A run of opening words alone ("the", "her") is none.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from saccade.data.records import Caption
from saccade.errors import RunError
from saccade.text import Vocabulary

SHARE = 0.5
ENDS = (",", ".", ";", ":", "!", "?", ")")
Span = tuple[int, int]


@dataclass(frozen=True)
class Noticer:
    """Words that phrases are made of, and words that phrases open with."""

    inside: frozenset[str]
    opening: frozenset[str]

    @classmethod
    def of(cls, captions: Sequence[Caption], vocabulary: Vocabulary) -> Noticer:
        """By the phrases of training sentences."""
        every, inside, first = Counter[str](), Counter[str](), Counter[str]()
        for caption in captions:
            if not caption.phrases:
                continue
            words = _words(caption.text, vocabulary)
            every.update(words)
            for phrase in caption.phrases:
                start, end = phrase.words
                inside.update(words[start:end])
                first.update(words[start : start + 1])
        kept = frozenset(word for word, count in inside.items() if word and count >= SHARE * every[word])
        return cls(kept, frozenset(word for word in kept if first[word] > SHARE * inside[word]))

    def phrases(self, text: str, vocabulary: Vocabulary) -> list[Span]:
        """The phrases of a sentence, each as its first word and the one behind its last, as spaces separate them."""
        found: list[Span] = []
        start, opened = None, True  # of the run, and whether all its words are opening ones
        parts = text.split()
        words = _words(text, vocabulary)
        for place, (part, word) in enumerate(zip(parts, words, strict=True)):
            inside = bool(word) and (word in self.inside or any(each not in vocabulary for each in word.split()))
            opening = word in self.opening
            if start is not None and (not inside or (opening and not opened)):
                found += [(start, place)] * (not opened)
                start = None
            if inside and start is None:
                start, opened = place, True
            opened = opened and opening
            if start is not None and part.endswith(ENDS):
                found += [(start, place + 1)] * (not opened)
                start = None
        return found + ([(start, len(parts))] if start is not None and not opened else [])

    def to_dict(self) -> dict[str, list[str]]:
        """Plain values for JSON."""
        return {"inside": sorted(self.inside), "opening": sorted(self.opening)}


def _words(text: str, vocabulary: Vocabulary) -> list[str]:
    """What the vocabulary reads in each of the words that spaces separate; "" where that is nothing."""
    return [" ".join(vocabulary.words(part)) for part in text.split()]


def noticer_from(values: object, name: str) -> Noticer:
    """The noticer of such plain values; raises RunError, which names the file, for others."""
    try:
        assert isinstance(values, dict)
        lists = [values["inside"], values["opening"]]
        assert all(isinstance(word, str) for words in lists for word in words)
    except (AssertionError, KeyError, TypeError):
        shown = json.dumps(values)[:60]
        raise RunError(f"{name}: expected lists of words, inside and opening, got {shown}; restore the file") from None
    return Noticer(*map(frozenset, lists))
