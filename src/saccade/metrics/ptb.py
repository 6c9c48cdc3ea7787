r"""Captions into words as coco-caption's PTBTokenizer makes them, without Java.

That is Stanford CoreNLP 3.4.1's `PTBTokenizer -preserveLines -lowerCase`, then every token of PUNCTUATIONS left out.
What a token is stands in `ptb_rules.py`, what a character is in `ptb_characters.py`; both are what the Java program
answered to probes: every character of the basic plane in thirteen places, every word of up to five letters before a
period, every pair of short words around an apostrophe, random strings.

Habits of the original that one would not guess, kept because published numbers rest on them: brackets stay as words
("-lrb-": the list of punctuation has them in capitals); so do runs of marks ("!!", "?!"), two curly quotation marks
side by side ("``''") and five hyphens; a mixed number and a telephone number in groups are one word with a no-break
space inside ("3\u00a01/2"), which BLEU and CIDEr split and ROUGE-L does not. The vowel signs of Burmese, Khmer and
Sinhala part words, and letters beyond the basic plane are no words at all.

Known to differ:
- The original looks into the next caption: a final "no." or "p." keeps its period when that begins with a number, a
  final letter ("vitamin C.") loses it only when that begins with "A", "The" or another of SENTENCES_BEGIN. Here
  captions stand alone, and a final letter loses its period, as most captions begin with "A".
- A line separator inside a caption (U+2028, U+0085, form feed) is a space here; there it begins a new line, after which
  coco-caption gives every caption the tokens of another.
- Eleven of 100,000 lines of `tests/metrics/odd_lines.py`: soft hyphens in addresses, `&APOS;` in capitals.
"""

from __future__ import annotations

import re
from functools import lru_cache

from saccade.metrics.ptb_characters import SYMBOLS
from saccade.metrics.ptb_rules import LETTER_OR_DIGIT, QUOTE, QUOTES, RULES

PUNCTUATIONS = frozenset({"''", "'", "``", "`", "-LRB-", "-RRB-", "-LCB-", "-RCB-", ".", "?", "!", ",", ":", "-", "--"})
PUNCTUATIONS |= {"...", ";"}

SPLIT = {"cannot": "can not", "gimme": "gim me", "gonna": "gon na", "gotta": "got ta", "lemme": "lem me"}
SPLIT |= {"wanna": "wan na"}
SYMBOL = re.compile(f"[!#-&(-/:-@\\[-_{{-~\\x80\xa2-\xa4¼-¾₠€⅓⅔{SYMBOLS}]")
NAMES = {"(": "-lrb-", ")": "-rrb-", "[": "-lsb-", "]": "-rsb-", "{": "-lcb-", "}": "-rcb-", "¢": "cents", "£": "#"}
NAMES |= {"¼": "1/4", "½": "1/2", "¾": "3/4", "⅓": "1/3", "⅔": "2/3", "¤": "$", "₠": "$", "€": "$", "\x80": "$"}
NAMES |= {"&lt;": "<", "&gt;": ">", "&amp;": "&", "&quot;": "''", "&apos;": "'", "&nbsp;": ""}
NAMES |= dict.fromkeys(("&md;", "&mdash;", "&ndash;"), "--")
ONLY_SMALL = ("&quot;", "&apos;")  # not known in capitals
QUOTED = dict.fromkeys("‘‛‹\x91", "`") | dict.fromkeys("’›\x92", "'")
QUOTED |= dict.fromkeys("“«\x93", "``") | dict.fromkeys("”»\x94", "''")
CONTRACTED = re.compile(rf"(?:[’\x92]|&apos;)(?:[msd]|re|ve|ll)|n{QUOTE}t", re.IGNORECASE)
SIGMA = re.compile(r"Σ(?=[-'’]\w)")  # to Java the word goes on
ADDRESSED = re.compile("[@#/]")  # what has one of these stays as it is

# Accented letters spelled out, which stay so: while rules are matched one character stands for each.
STAND_INS = {
    f"&{letter}{accent};": chr(0xFDD0 + 3 * i + j)
    for i, letter in enumerate("aeiou")
    for j, accent in enumerate(("acute", "grave", "uml"))
}
ENTITIES = {stand_in: entity for entity, stand_in in STAND_INS.items()}
ENTITY, STAND_IN = re.compile("|".join(STAND_INS), re.IGNORECASE), re.compile("[\ufdd0-\ufdde]")

# Where a token reaches over a space: tags, mixed and telephone numbers, three dots.
ACROSS = re.compile(r"<[/!?]?[A-Za-z-][^>]*>|[\d)] \d|\. \. \.")
# Where coco-caption would begin a new line it is a space; the no-break space and others stay inside a piece.
LINES = re.compile("[ \t\n\v\f\r\x85\u2028\u2029]")


def tokenize(caption: str) -> str:
    """The caption's words with a space between them: lower case, without punctuation; "" where nothing is left.

    Equal to coco-caption's `PTBTokenizer().tokenize`.

    >>> tokenize("Two dogs (not cats) don't run: they 'fly' at 5 p.m.!!")
    "two dogs -lrb- not cats -rrb- do n't run they fly at 5 p.m. !!"
    """
    if not caption.isprintable():
        caption = LINES.sub(" ", caption)
    if ACROSS.search(caption):
        return _words(caption)
    pieces = caption.split(" ")
    if ". " not in caption:
        return " ".join(filter(None, map(_words, pieces)))
    pieces = [piece for piece in pieces if piece]
    behind = [after if piece[-1] == "." else "" for piece, after in zip(pieces, [*pieces[1:], ""], strict=False)]
    return " ".join(filter(None, map(_words, pieces, behind)))


# Hundreds of thousands of captions have some ten thousand different chunks.
@lru_cache(maxsize=1 << 16)
def _words(text: str, behind: str = "") -> str:
    """The words of a piece of a caption that no token reaches out of; `behind` is what a rule may look at."""
    if "&" in text or not text.isascii():
        text = ENTITY.sub(lambda entity: STAND_INS[entity[0].lower()], STAND_IN.sub(" ", text))
    if text.isascii() and text.isalpha() and text.lower() not in SPLIT:
        return text.lower()
    words: list[str] = []
    at, end = 0, len(text)
    text += f" {behind} "
    while at < end:
        matches = [match for rule in RULES if (match := rule.match(text, at))]
        if not matches:  # a space
            at += 1
            continue
        longest = max(matches, key=re.Match.end)
        token = longest[longest.lastindex or 0]
        at += len(token)
        # A word that ends where its rule looks on is not taken apart: "gonna's".
        words += _spelled(token, whole=at == longest.end())
    return " ".join(word for word in words if word and word not in PUNCTUATIONS)


def _spelled(token: str, *, whole: bool) -> list[str]:
    """The words of a token as the original writes them; none for a character that it deletes, or a quotation mark."""
    word = SIGMA.sub("σ", token).lower()
    if whole and word in SPLIT:
        return SPLIT[word].split()
    if re.fullmatch(f"[{QUOTES}]+", token):
        return ["".join(QUOTED.get(quote, quote) for quote in token)]
    if len(token) == 1:
        known = SYMBOL.match(token) or re.match(LETTER_OR_DIGIT, token)
        word = NAMES.get(word, word) if known else ""
    elif re.fullmatch(r"-{2,4}|\.[ .]+", token):
        return ["--" if token[0] == "-" else "..."]
    if CONTRACTED.fullmatch(token):
        return [re.sub("&apos;|.", lambda part: NAMES.get(part[0], QUOTED.get(part[0], part[0])), token).lower()]
    if word in NAMES and (token == word or word not in ONLY_SMALL):
        return [NAMES[word]]
    word = STAND_IN.sub(lambda letter: ENTITIES[letter[0]], word)
    if not ADDRESSED.search(word):
        word = word.replace("\u00ad", "").replace("&amp;", "&")
    if not re.match("<[!?]", word):
        word = word.replace("(", "-lrb-").replace(")", "-rrb-")
    return [word.replace(" ", "\u00a0")]
