r"""Captions into words as coco-caption's PTBTokenizer makes them, without Java.

That is Stanford CoreNLP 3.4.1's `PTBTokenizer -preserveLines -lowerCase`, then every token of PUNCTUATIONS left out.
The rules are written from the Penn Treebank's conventions and from the Java program's answers to probes: every
character of the basic plane, every word of up to five letters before a period, every pair of short words around an
apostrophe, random strings. As there, the rule with the longest match wins, what it looks ahead at counted in, and among
equals the first.

Habits of the original that one would not guess, kept because published numbers rest on them: brackets stay as words
("-lrb-": the list of punctuation has them in capitals); so do runs of marks ("!!", "?!"); a mixed number is one word
with a no-break space inside ("3\u00a01/2"), which BLEU and CIDEr split and ROUGE-L does not.

Known to differ:
- The original looks into the next caption: a final "no." or "p." keeps its period when that begins with a number, a
  final letter ("vitamin C.") loses it only when that begins with "A", "The" or another of SENTENCES_BEGIN. Here
  captions stand alone, and a final letter loses its period, as most captions begin with "A".
- A line separator inside a caption (U+2028, U+0085, form feed) is a space here; there it begins a new line, after which
  coco-caption gives every caption the tokens of another.
- Telephone numbers in groups between spaces, one token there, are one per group.
- File names that begin with a digit ("1.jpg"), addresses between other characters without a space, and what is glued
  to the period of a company's, a month's or a state's abbreviation ("Inc.-owned").
- Character entities other than the few in ENTITIES.
- Some 1,300 of the basic plane's 63,000 characters, of no European alphabet: vowel signs, numerals, and letters that
  Unicode got after its version 6.
"""

from __future__ import annotations

import re
from functools import lru_cache

PUNCTUATIONS = frozenset({"''", "'", "``", "`", "-LRB-", "-RRB-", "-LCB-", "-RCB-", ".", "?", "!", ",", ":", "-", "--"})
PUNCTUATIONS |= {"...", ";"}

# One token with its period wherever it stands, in any case.
ABBREVIATIONS = """
    adj adm adv al ala alex apr ariz assn assoc asst atty attys aug ave bhd bldg blvd brig bros calif capt cf
    cie cmdr co col colo comdr conn corp cos cpl ct dak dec dept det dr drs elec ens esq est etc ext feb fla fri
    ft ga gen gov govs hon inc ind insp intl invt jan jos jr jul jun kan kans ky lieut lt ltd maj mar md messrs
    mfg mich minn mlle mme mo mon mont mr mrs ms msgr mt mtg natl neb nev nov oct okla penn pfc ph plc ppte
    pptes ppty pptys pres prof profs pte ptes pty ptys pvt rd rep reps rev rt sen sens sep sept seq sfc sgt spc
    sq sr st ste supt supts sys tel tenn thu thurs treas tue tues univ va vs vt wed wis wisc wm wyo
"""
STATES = "Ark Az Del Ill La Mass Miss Ore Pa Tex Wash"  # words, but for their capital
BEFORE_NUMBERS = "art ca fig figs no nos op p pp prop"  # words, but before a number
# Before these, with a capital, the period of a single letter ends a sentence; before others it is an initial's.
SENTENCES_BEGIN = """
    a about according after an as at but he her here however if in it last many more now once one other our she since so
    some such that the their then there these they this we what when while yet you
"""
# With an apostrophe, and yet one word.
WHOLE = "cap'n c'est c'mon dunkin' e'er ev'ry li'l nat'l"
SPLIT = {"cannot": "can not", "gimme": "gim me", "gonna": "gon na", "gotta": "got ta", "lemme": "lem me"}
SPLIT |= {"wanna": "wan na"}

# To Python superscripts, fractions and numbers in circles are digits too; to the original they are symbols.
LETTER = r"(?:[^\W\d_²³¹¼-¾⁰-₉⅐-⅟①-⓿]|[\u0300-\u036f])"
LETTER_OR_DIGIT = rf"(?:{LETTER}|\d)"
WORD = rf"{LETTER_OR_DIGIT}+"
NAME = rf"{LETTER}{LETTER_OR_DIGIT}*"
ADDRESS = r"[^\s\"<>|()]*[^\s\"<>|().,!?-]"


def _one_of(words: str) -> str:
    return "|".join(words.split()).replace("'", "['’]")


# A rule's token is its group where it has one; the rest of the match is what it looks ahead at.
RULES = tuple(
    re.compile(rule)
    for rule in (
        # Letters and digits, joined by hyphens and underscores, by slashes, by periods and other marks.
        rf"{WORD}(?:[-_‐‑]{WORD})*",
        r"[A-Za-z0-9]+(?:-[A-Za-z]+){0,2}(?:/[A-Za-z0-9]+(?:-[A-Za-z]+){0,2}){1,2}",
        rf"{NAME}(?:[.!?]{NAME})+",
        rf"{LETTER_OR_DIGIT}(?:{LETTER_OR_DIGIT}|[.,])*(?:-{WORD})+",
        # Apostrophes inside a word (d'art, O'Brien, ma'am, Hawai'i) or behind what another word follows (y'all).
        rf"({WORD})'(?i:[msd]|re|ve|ll)(?![A-Za-z])",
        rf"[dolDOL]['’]{LETTER_OR_DIGIT}{{2,}}(?:-{WORD})*|[nA-HJ-XZ]['’]{LETTER}{{2,}}",
        rf"{LETTER}+[aeiouyAEIOUY]['’][aeiouA-Z]{LETTER}*",
        r"(?i:(?:[djl]|ol)['’](?!d|m|s|ll|re|ve))",
        rf"([yY]['’])(?!(?i:d|m|s|ll|re|ve)){LETTER}",
        rf"(?i:{_one_of(WHOLE)})",
        r"(?i:['’](?:n['’]|em|till?)|'cause|'t(?=is|was)|’n|'n(?!\S))",
        r"['’](?:[2-9]0s|\d\d(?!\S))",
        # Contractions, and the word in front of one.
        rf"({LETTER}+)(?i:n['’`]t)",
        r"(?i:n['’`]t)",
        r"('(?i:[msd]|re|ve|ll))(?![A-Za-z])",
        r"’(?i:[msd]|re|ve|ll)",
        # Periods that belong to the word.
        rf"(?i:{_one_of(ABBREVIATIONS)})\.",
        rf"(?:{_one_of(STATES)}|{_one_of(STATES.upper())})\.",
        rf"((?i:{_one_of(BEFORE_NUMBERS)})\.)\s*\d",
        rf"((?:[dolDOL]['’])?{WORD}(?:[-_.]{WORD})*\.)[,;:]",
        r"[A-Za-z](?:\.[A-Za-z])+\.|Ph\.D\.",
        rf"[A-Za-z]\.(?!\s*$|\s+(?=[A-Z])(?i:(?:{_one_of(SENTENCES_BEGIN)})\s|m[rs]\.)|\s+</?[A-Za-z])",
        r"(?i:-[lr][rcs]b-)",
        # Numbers, times, fractions, money; AT&T and C++.
        r"[+-]?(?:\d*(?:[.:,]\d+)+|\d+)",
        r"(?:\d{1,4}[- ])?\d{1,4}/\d{1,4}|\d{1,2}[-/]\d{1,2}[-/]\d{2,4}",
        r"[A-Z]{1,3}\$",
        r"[A-Z]+(?:[&+][A-Z]+)+|[cC]\+\+|[cCfF]#",
        # Addresses of pages and people, handles, tags.
        rf"https?://[^\s\"<>|().]+\.{ADDRESS}",
        rf"www\.(?:[\w-]+\.)+[A-Za-z]{{2,4}}(?:/[\w~]{ADDRESS})?|{NAME}\.(?:com|net|org|edu)/[\w~]{ADDRESS}",
        r"<?[A-Za-z0-9][^\s\"<>|(){}@¡-\uffff]*@[^\s\"<>|(){}.]+(?:\.[^\s\"<>|(){}.]+)*>?",
        rf"@[A-Za-z_][A-Za-z_0-9]*|#{LETTER}+",
        r"</?[A-Za-z!][^>\r\n]*>",
        # Faces; runs of one mark; any other character.
        r"[<>]?[:;=][-o*']?[()DPdpO\\{@|\[\]](?![A-Za-z0-9])",
        r"[-^x=~<>']_[-^x=~<>']|[\^x=~<>]\.[\^x=~<>]",
        r"-{2,}|\.{3,}|[!?]+|\*+|#+|_+|@+|<<|>>|''|``",
        r"\S",
    )
)

SYMBOL = re.compile(r"[!#-&(-/:-@\[-_{-~¡-©¬®-´¶-¹¼-¿×÷;·‖‗‚„-•‰-‸※‾-⁄⁰-₎₠₤€℀-⅏⅐-⅟←-⯿、。〒・！-／\x80]")
NAMES = {"(": "-lrb-", ")": "-rrb-", "[": "-lsb-", "]": "-rsb-", "{": "-lcb-", "}": "-rcb-", "¢": "cents", "£": "#"}
NAMES |= {"¼": "1/4", "½": "1/2", "¾": "3/4", "⅓": "1/3", "⅔": "2/3", "¤": "$", "₠": "$", "€": "$", "\x80": "$"}
ENTITIES = {"&amp;": "&", "&lt;": "<", "&gt;": ">", "&quot;": '"', "&apos;": "'", "&nbsp;": " ", "\u00ad": ""}
# Where a token reaches over a space: tags, mixed numbers, and what decides about a period.
ACROSS = re.compile(r"</?[A-Za-z!][^>]*>|\d \d+/\d|\.\s+\d|\b[A-Za-z]\.(?:\s|$)")


def tokenize(caption: str) -> str:
    """The caption's words with a space between them: lower case, without punctuation; "" where nothing is left.

    Equal to coco-caption's `PTBTokenizer().tokenize`.

    >>> tokenize("Two dogs (not cats) don't run: they 'fly' at 5 p.m.!!")
    "two dogs -lrb- not cats -rrb- do n't run they fly at 5 p.m. !!"
    """
    chunks = [caption] if ACROSS.search(caption) else caption.split()
    return " ".join(filter(None, map(_words, chunks)))


# Hundreds of thousands of captions have some ten thousand different chunks.
@lru_cache(maxsize=1 << 16)
def _words(text: str) -> str:
    """The words of a piece of a caption that no token reaches out of."""
    if text.isascii() and text.isalpha() and text.lower() not in SPLIT:
        return text.lower()
    for entity, character in ENTITIES.items():
        text = text.replace(entity, character)
    words: list[str] = []
    at = 0
    while at < len(text):
        matches = [match for rule in RULES if (match := rule.match(text, at))]
        if not matches:  # a space
            at += 1
            continue
        longest = max(matches, key=re.Match.end)
        token = longest[longest.lastindex or 0]
        at += len(token)
        # A word that ends where its rule looks on is not taken apart: "gonna's".
        words += _spelled(token, whole=at == longest.end())
    return " ".join(word for word in words if word not in PUNCTUATIONS)


def _spelled(token: str, *, whole: bool) -> list[str]:
    """The words of a token as the original writes them; none for a character that it deletes, or a quotation mark."""
    word = token.lower()
    if whole and word in SPLIT:
        return SPLIT[word].split()
    if len(token) == 1:
        known = SYMBOL.match(token) or re.match(WORD, token)
        return [NAMES.get(word, word)] if known else []
    if re.fullmatch(r"-+|\.+", token):
        return [token[:2] if token[0] == "-" else "..."]
    if re.fullmatch(r"’(?:[msd]|re|ve|ll)|n’t", word):
        return [word.replace("’", "'")]
    return [word.replace("(", "-lrb-").replace(")", "-rrb-").replace(" ", "\u00a0")]
