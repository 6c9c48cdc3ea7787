"""Text as pictures: fonts that know the characters, lines that fit their width."""

from __future__ import annotations

import math
import unicodedata
from bisect import bisect_right
from functools import cache
from typing import Literal

from PIL import Image, ImageDraw, ImageFont

from saccade.explain.colors import INK, PAPER, RGB

Font = ImageFont.FreeTypeFont

# Pillow's own font knows little beyond ASCII; these are looked for on the machine when a text needs more.
SYSTEM_FONTS = ("DejaVuSans.ttf", "NotoSans-Regular.ttf", "NotoSansCJK-Regular.ttc", "Arial Unicode.ttf", "arial.ttf")
LINE = 1.35
# A Unicode noncharacter: every font draws it as its sign for a missing character.
MISSING = "\uffff"


def fitting(text: str, size: int) -> tuple[str, Font]:
    """The text as it can be drawn, and the font that knows most of it.

    Where none knows all, accents are dropped; what is still unknown is drawn as the font's sign for that.
    """
    text = " ".join(text.split())
    best = min(_fonts(size), key=lambda font: _unknown(font, text))
    if not _unknown(best, text):
        return text, best
    plain = "".join(char for char in unicodedata.normalize("NFKD", text) if not unicodedata.combining(char))
    return plain, min(_fonts(size), key=lambda font: _unknown(font, plain))


def length(text: str, size: int) -> int:
    """The text's width in pixels."""
    text, font = fitting(text, size)
    return math.ceil(font.getlength(text))


def shortened(text: str, size: int, width: int) -> str:
    """The text, or its beginning and three dots where all of it is wider than `width`."""
    if length(text, size) <= width:
        return text
    ends = range(len(text) - 1, 0, -1)
    return next((short for end in ends if length(short := f"{text[:end]}...", size) <= width), text[:1])


def wrapped(text: str, size: int, width: int) -> list[str]:
    """The text in lines no wider than `width`, broken between words; a word wider than a line is broken inside."""
    lines: list[str] = []
    for word in text.split():
        joined = f"{lines[-1]} {word}" if lines else word
        if lines and length(joined, size) <= width:
            lines[-1] = joined
        else:
            lines += _broken(word, size, width)
    return lines


def _broken(word: str, size: int, width: int) -> list[str]:
    """The word in pieces that fit the width."""
    pieces: list[str] = []
    while length(word, size) > width and (end := _break(word, size, width)) < len(word):
        pieces.append(word[:end])
        word = word[end:]
    return [*pieces, word]


def _break(word: str, size: int, width: int) -> int:
    """Where to break a word that is too wide: no letter loses its accents, and one alone may be too wide."""
    end = bisect_right(range(1, len(word)), width, key=lambda end: length(word[:end], size))
    # Longer beginnings may be narrower, where another font knows them better.
    while end > 1 and (length(word[:end], size) > width or unicodedata.combining(word[end])):
        end -= 1
    return next((i for i in range(max(1, end), len(word)) if not unicodedata.combining(word[i])), len(word))


def right_to_left(text: str) -> bool:
    """Whether the text's first letter is of a script that is written from right to left."""
    kinds = (unicodedata.bidirectional(char) for char in text)
    return next((kind for kind in kinds if kind in ("L", "R", "AL")), "L") != "L"


def write(
    draw: ImageDraw.ImageDraw, at: tuple[int, int], text: str, size: int, *, color: RGB = INK, anchor: str = "ls"
) -> None:
    """Draw one line of text at its anchor, by default the left end of its baseline."""
    text, font = fitting(text, size)
    draw.text(at, text, fill=color, font=font, anchor=anchor)


def paragraph(
    text: str, size: int, width: int, *, color: RGB = INK, align: Literal["left", "center"] = "left"
) -> Image.Image:
    """A picture of the text, as wide as asked and as high as its lines need."""
    lines = wrapped(text, size, width)
    step = round(LINE * size)
    picture = Image.new("RGB", (width, max(1, step * len(lines))), PAPER)
    draw = ImageDraw.Draw(picture)
    at, anchor = (0, "ls") if align == "left" else (width // 2, "ms")
    for i, line in enumerate(lines):
        write(draw, (at, i * step + size), line, size, color=color, anchor=anchor)
    return picture


@cache
def _fonts(size: int) -> tuple[Font, ...]:
    """The fonts of this machine at a size, in order of preference; Pillow's own is the first."""
    own = ImageFont.load_default(size)
    assert isinstance(own, Font), "Pillow is built without FreeType"
    found = [own]
    for name in SYSTEM_FONTS:
        try:
            found.append(ImageFont.truetype(name, size))
        except OSError:
            continue
    return tuple(found)


def _unknown(font: Font, text: str) -> int:
    """How many of the text's characters the font lacks."""
    missing = _drawn(font, MISSING)
    return sum(not char.isspace() and _drawn(font, char) == missing for char in text)


@cache
def _drawn(font: Font, char: str) -> tuple[tuple[int, int], bytes]:
    mask = font.getmask(char)
    return mask.size, bytes(mask)
