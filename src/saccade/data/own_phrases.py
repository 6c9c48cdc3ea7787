"""The phrases in a line of own data: which words of the sentence they are, their boxes and their types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any
from unicodedata import category

from saccade.data.own_lines import read_boxes, read_strings, read_text
from saccade.data.records import Phrase
from saccade.data.texts import composed
from saccade.errors import DataError, SaccadeError, look_up, show

PHRASE = '{"words": [1, 3], "boxes": [[x1, y1, x2, y2]]}'
KEYS = {key: key for key in ("words", "phrase", "boxes", "type", "types")}
NO_BOX = "no box"  # why a phrase has none


def read_phrases(record: Mapping[str, Any], text: str) -> tuple[Phrase, ...]:
    """The phrases of a line about the sentence `text`; raises DataError naming the phrase, counted from 1."""
    value = record["phrases"]
    if not isinstance(value, list):
        raise DataError(f'expected "phrases" to be a list of objects like {PHRASE}, got {show(value)}')
    phrases: dict[tuple[int, int], Phrase] = {}
    for number, each in enumerate(value, 1):
        try:
            phrase = _read_phrase(each, text)
            if phrase.words in phrases:
                raise DataError(
                    f"expected every phrase once, got the words {list(phrase.words)} again; put all boxes into one list"
                )
        except SaccadeError as error:
            raise DataError(f"phrase {number}: {error}") from None
        phrases[phrase.words] = phrase
    return tuple(phrases.values())


def locate(phrase: str, text: str) -> tuple[int, int]:
    """Which words of the text the phrase is, which it must have once and whole, as `occurrences` tells.

    Raises DataError, naming the places of a phrase that it has twice.

    >>> locate("red cup", "A blue cup, a red cup.")
    (4, 6)
    """
    found = occurrences(phrase, text)
    if len(found) > 1:
        places = " or ".join(f'"words": {list(words)}' for words in found)
        raise DataError(
            f"expected a phrase that the sentence has once, got {show(phrase)}, which {show(text)} has "
            f"{len(found)} times: say which with {places}"
        )
    return found[0]


def occurrences(phrase: str, text: str) -> list[tuple[int, int]]:
    """Each time that the text has the phrase whole: its first word and the one behind its last.

    Upper and lower case are taken as equal, and punctuation around the words is passed over. Raises DataError, naming
    the nearest phrase of the text for one that it lacks.
    """
    wanted, words = _plain(phrase), _plain(text)
    size = len(wanted)
    found = [start for start in range(len(words) - size + 1) if size and words[start : start + size] == wanted]
    if not found:
        raise DataError(
            f"expected a phrase of the sentence, got {show(phrase)}; the nearest in {show(text)} is "
            f"{show(_nearest(wanted, text))}"
        )
    return [(start, start + size) for start in found]


def _read_phrase(value: Any, text: str) -> Phrase:
    if not isinstance(value, dict):
        raise DataError(f"expected an object like {PHRASE}, got {show(value)}")
    for key in value:
        look_up(KEYS, key, "key")
    if ("words" in value) == ("phrase" in value):
        raise DataError(
            f'expected "words" or "phrase", one of them, got {", ".join(map(repr, value)) or "no keys"}; as in {PHRASE}'
        )
    if "boxes" not in value:
        raise DataError(f'expected "boxes", an empty list where there are none, got {", ".join(map(repr, value))}')
    words = _read_words(value["words"], text) if "words" in value else locate(read_text(value, "phrase"), text)
    boxes = read_boxes(value["boxes"])
    return Phrase(words, boxes, _read_kinds(value), absent="" if boxes else NO_BOX)


def _read_words(value: Any, text: str) -> tuple[int, int]:
    count = len(text.split())
    whole = isinstance(value, list) and all(isinstance(n, int) and not isinstance(n, bool) for n in value)
    if not (whole and len(value) == 2 and 0 <= value[0] < value[1] <= count):
        raise DataError(
            'expected "words" to be the place of the first word and that behind the last, counted from 0, at most '
            f"[0, {count}] for the {count} words of {show(text)}, got {show(value)}"
        )
    return value[0], value[1]


def _read_kinds(value: Mapping[str, Any]) -> tuple[str, ...]:
    keys = [key for key in ("type", "types") if key in value]
    if len(keys) == 2:
        raise DataError('expected "type" or "types", got both: keep one of them')
    kinds = [read_strings(value, key) if isinstance(value[key], list) else (read_text(value, key),) for key in keys]
    return tuple(dict.fromkeys(composed(kind) for found in kinds for kind in found))


def _nearest(wanted: Sequence[str], text: str) -> str:
    """The phrase of the text, of about as many words, that is most like the words."""
    words = text.split()
    sizes = range(max(1, len(wanted) - 1), len(wanted) + 2)
    spans = [" ".join(words[start : start + size]) for size in sizes for start in range(len(words) - size + 1)]
    by_letters = {" ".join(_plain(span)): _bare(span) for span in spans or [text]}
    return by_letters[get_close_matches(" ".join(wanted), by_letters, n=1, cutoff=0.0)[0]]


def _plain(text: str) -> list[str]:
    """The words as they are compared."""
    return [_bare(word).casefold() for word in composed(text).split()]


def _bare(words: str) -> str:
    """The words without the punctuation around them, unless they are nothing else."""
    return words.strip("".join(each for each in words if category(each).startswith("P"))) or words
