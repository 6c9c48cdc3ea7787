"""Phrases of a sentence that comes without any, noticed by what training phrases are made of.

A small rule, without a parser. A word is *inside* where at least half of the times that the training sentences have it
it stands in a phrase; *opening* where it is mostly the first word of the longer ones among these ("the", "two"); and
*linking* where it is hardly ever the last word of one ("of"). Unknown words are inside. A phrase is a longest run of
inside words, without linking words at its end. It ends at punctuation, and before an opening word, unless all words of
the run so far are opening ones ("all the children") or the last one is linking ("a group of two men"). A run of opening
words alone ("her") is none.
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
HARDLY = 0.05
ENDS = (",", ".", ";", ":", "!", "?", ")")
Span = tuple[int, int]
NAMES = ("inside", "opening", "linking")


@dataclass(frozen=True)
class Noticer:
    """Words that phrases are made of, those that they open with, and those that join parts of one."""

    inside: frozenset[str]
    opening: frozenset[str]
    linking: frozenset[str]

    @classmethod
    def of(cls, captions: Sequence[Caption], vocabulary: Vocabulary) -> Noticer:
        """By the phrases of training sentences."""
        every, inside, longer, first, last = (Counter[str]() for _ in range(5))
        for caption in captions:
            if not caption.phrases:
                continue
            words = _words(caption.text, vocabulary)
            every.update(words)
            for phrase in caption.phrases:
                own = words[slice(*phrase.words)]
                inside.update(own)
                last.update(own[-1:])
                if len(own) > 1:
                    longer.update(own)
                    first.update(own[:1])
        kept = [word for word, count in inside.items() if word and count >= SHARE * every[word]]
        return cls(
            frozenset(kept),
            frozenset(word for word in kept if first[word] > SHARE * longer[word]),
            frozenset(
                word for word in kept if last[word] < HARDLY * inside[word] and first[word] <= SHARE * longer[word]
            ),
        )

    def phrases(self, text: str, vocabulary: Vocabulary) -> list[Span]:
        """The phrases of a sentence, each as its first word and the one behind its last, as spaces separate them."""
        parts, words = text.split(), _words(text, vocabulary)
        found: list[Span] = []
        run: list[int] = []  # places

        def end() -> None:
            while run and words[run[-1]] in self.linking:
                run.pop()
            if not all(words[place] in self.opening for place in run):
                found.append((run[0], run[-1] + 1))
            run.clear()

        for place, (part, word) in enumerate(zip(parts, words, strict=True)):
            if not self._is_inside(word, vocabulary) or (word in self.opening and not self._goes_on(words, run)):
                end()
            if self._is_inside(word, vocabulary):
                run.append(place)
            if part.endswith(ENDS):
                end()
        end()
        return found

    def _is_inside(self, word: str, vocabulary: Vocabulary) -> bool:
        return bool(word) and (word in self.inside or any(each not in vocabulary for each in word.split()))

    def _goes_on(self, words: Sequence[str], run: Sequence[int]) -> bool:
        """Whether an opening word may follow a run without ending it."""
        return all(words[place] in self.opening for place in run) or words[run[-1]] in self.linking

    def to_dict(self) -> dict[str, list[str]]:
        """Plain values for JSON."""
        return {name: sorted(getattr(self, name)) for name in NAMES}


def _words(text: str, vocabulary: Vocabulary) -> list[str]:
    """What the vocabulary reads in each of the words that spaces separate; "" where that is nothing."""
    return [" ".join(vocabulary.words(part)) for part in text.split()]


def noticer_from(values: object, name: str) -> Noticer:
    """The noticer of such plain values; raises RunError, which names the file, for others."""
    try:
        assert isinstance(values, dict)
        lists = [values[each] for each in NAMES]
        assert all(isinstance(word, str) for words in lists for word in words)
    except (AssertionError, KeyError, TypeError):
        shown = json.dumps(values)[:60]
        listed = ", ".join(NAMES)
        raise RunError(f"{name}: expected lists of words, {listed}, got {shown}; restore the file") from None
    return Noticer(*map(frozenset, lists))
