"""What holds of the texts that a corpus takes in: letters composed, characters whole, a word in each, words apart."""

from __future__ import annotations

import re
import unicodedata
import warnings
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from saccade.errors import DataError, SaccadeWarning, show

HALF = re.compile("[\ud800-\udfff]")
# Scripts written without spaces, as the names of their letters begin, and so many letters that are more than a word.
UNSPACED = {"CJK": 4, "HIRAGANA": 4, "KATAKANA": 4, "THAI": 8, "LAO": 8, "KHMER": 8, "MYANMAR": 8}


def composed(text: str) -> str:
    """The text in Unicode's normal form C: letters that are the same to a reader are the same characters."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def refuse_half_characters(value: Any) -> None:
    """Raises DataError for a string in a JSON value that has half of a surrogate pair: no file could hold it."""
    broken = next((text for text in _strings(value) if HALF.search(text)), None)
    if broken is not None:
        raise DataError(
            f"expected whole characters, got half of one in {show(broken)}; write the character itself, or both "
            r'halves of it, as in "\ud83d\ude00"'
        )


def refuse_wordless(text: str, what: str, *, symbols: bool) -> None:
    """Raises DataError for a text without a letter or digit, or a symbol where they count: no tokeniser finds a word.

    Marks and punctuation alone are no word. `what` names the text in the error.
    """
    categories = "LNS" if symbols else "LN"
    if not any(unicodedata.category(character)[0] in categories for character in text):
        kinds = "a letter, a digit or a symbol" if symbols else "a letter or a digit"
        raise DataError(f"expected {what} to have a word in it, at least {kinds}, got {show(text)}")


def warn_of_unspaced(texts: Sequence[str], noun: str, path: Path | str) -> None:
    """A SaccadeWarning where texts in a script written without spaces have none: how many they are, and one of them."""
    if unspaced := [text for text in texts if is_unspaced(text)]:
        warnings.warn(
            f"{path}: {len(unspaced):,} of {len(texts):,} {noun} are in a script written without spaces and have none "
            f"between their words, as in {show(unspaced[0])}: each is taken for a single word; separate words by "
            "spaces",
            SaccadeWarning,
            stacklevel=2,
        )


def is_unspaced(text: str) -> bool:
    """Whether what stands between the text's spaces is, on average, longer than words of its script are.

    >>> is_unspaced("一只红色的杯子"), is_unspaced("一只 红色 的 杯子"), is_unspaced("a red cup")
    (True, False, False)
    """
    if text.isascii():
        return False
    words = [sum(map(_share_of_a_word, piece)) for piece in text.split()]
    lengths = [length for length in words if length]
    return bool(lengths) and sum(lengths) >= len(lengths)


@cache
def _share_of_a_word(character: str) -> float:
    if character.isascii() or unicodedata.category(character)[0] != "L":
        return 0.0
    script = re.split("[ -]", unicodedata.name(character, ""), maxsplit=1)[0]
    return 1 / UNSPACED[script] if script in UNSPACED else 0.0


def _strings(value: Any) -> Iterator[str]:
    """Every string in a value of JSON, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from (text for pair in value.items() for item in pair for text in _strings(item))
    elif isinstance(value, Sequence):
        yield from (text for item in value for text in _strings(item))
