"""The rules by which coco-caption's tokeniser takes a text apart: words, numbers, addresses, and what is none of these.

Written from the Penn Treebank's conventions and from the Java program's answers to probes. The rule with the longest
match wins, what it looks ahead at counted in, and among equals the first.
"""

from __future__ import annotations

import re

from saccade.metrics.ptb_characters import DIGITS, LETTERS
from saccade.metrics.ptb_characters import MARKS as MARKS_ALONE

# One token with its period wherever it stands, in any case.
ABBREVIATIONS = """
    adj adm adv alex assoc asst atty attys ave brig capt cf cie cmdr col comdr cpl dept det dr drs elec ens ft gen gov
    govs hon insp invt jos lieut lt maj messrs mfg mlle mme mr mrs ms msgr mt mtg natl pfc ph pres prof profs pvt rep
    reps rev sen sens sfc sgt spc st ste supt supts treas vs wm
"""
# The same, for those that may end a sentence: companies, months, days, states.
OF_ENDINGS = """
    al ala apr ariz assn aug bhd bldg blvd bros calif co colo conn corp cos ct dak dec esq est etc ext feb fla fri ga
    inc ind intl jan jr jul jun kan kans ky ltd mar md mich minn mo mon mont neb nev nov oct okla penn plc ppte pptes
    ppty pptys pte ptes pty ptys rd rt sep sept seq sq sr sys tel tenn thu thurs tue tues univ va vt wed wis wisc wyo
"""
STATES = "Ark Az Del Ill La Mass Miss Ore Pa Tex Wash"  # words, but for their capital
BEFORE_NUMBERS = "art ca fig figs no nos op p pp prop"  # words, but before a number
# Before these, with a capital, the period of a single letter ends a sentence; before others it is an initial's.
SENTENCES_BEGIN = """
    a about according after an as at but he her here however if in it last many more now once one other our she since so
    some such that the their then there these they this we what when while yet you
"""
FILES = """
    bat bmp c class cgi cpp dll docx? exe gif gz h html? jar java jpe?g mov mp3 pdf php pl png ppt ps py sql tar txt wav
    x xml zip
"""
# With an apostrophe, and yet one word.
WHOLE = "cap'n c'est dunkin'"
WHOLE_IF_STRAIGHT = "c'mon e'er ev'ry li'l nat'l s'mores"

APOSTROPHE, QUOTE = "(?:['’\x92]|&(?ai:apos);)", "(?:['’\x92`‘‛\x91]|&(?ai:apos);)"
# Soft hyphens, and characters that no text has: they stand for the entities of accented letters.
MARKS = rf"{MARKS_ALONE}\u00ad\ufdd0-\ufdde"
LETTER, DIGIT = f"[{LETTERS}{MARKS}]", f"[{DIGITS}]"
LETTER_OR_DIGIT = f"[{LETTERS}{MARKS}{DIGITS}]"
WORD = f"[{LETTERS}{DIGITS}]+"
PART = rf"(?:[dolDOL]{QUOTE}[{LETTERS}{DIGITS}])?{WORD}"
THING = rf"{PART}(?:[-_֊‐‑]{PART})*"
NAME = rf"{LETTER}{LETTER_OR_DIGIT}*"
DOTTED = rf"{NAME}(?:[.!?]{NAME})*"
TAG_NAME = "[A-Za-z][A-Za-z0-9_:.-]*"
TAG = rf"""<(?:[!?][A-Za-z-][^>]*|/{TAG_NAME}|{TAG_NAME}(?: +{TAG_NAME}(?: *= *(?:"[^"]*"|'[^']*'))?)* */?) *>"""
AMPERSAND = "&(?ai:amp);"
AND = rf"[A-Z]+(?:(?:{AMPERSAND}|[&+])[A-Z]+)+"
GROUP = r"[0-9]{2,4}[- \u00a0]"  # of a telephone number
INITIALS = r"[A-Za-z](?:\.[A-Za-z])+\."
HYPHENED = rf"[A-Za-z0-9][A-Za-z0-9.,\u00ad]*(?:-(?:{INITIALS}|[A-Za-z0-9\u00ad]+))+"
QUOTES = "`\x91-\x94‘-‟‹›«»"
# The original's spaces are the common ones, and by a slip it means all from "," to "_" where it says three marks.
ADDRESS, ADDRESS_END = r'[^ \t\n"<>|(){}]', r'[^ \t\n"<>|(){}.,!?-]'
HOST, DOMAIN = r'[^ \t\n"<>|(){}.,!?]', r'[^ \t\n"`\'<>|(){}.,!?,-_$]'
PATH = rf'(?:/[^ \t\n"<>|()]+{ADDRESS_END})'
EMAIL = (
    r'(?:<|&(?ai:lt);)?[A-Za-z0-9][^ \t\n"<>|(){}\u00a0]*@(?:[^ \t\n"<>|(){}.\u00a0]+\.)*'
    r'[^ \t\n"<>|(){}.\u00a0]+(?:>|&(?ai:gt);)?'
)


def _one_of(words: str) -> str:
    return "|".join(words.split()).replace("'", APOSTROPHE)


# A rule's token is its group where it has one; the rest of the match is what it looks ahead at.
RULES = tuple(
    re.compile(rule)
    for rule in (
        # A word before 's, 've and the like.
        rf"({THING}|{DOTTED}){APOSTROPHE}(?ai:[msd]|re|ve|ll)",
        # Letters and digits, joined by hyphens and underscores, by slashes, by periods and other marks.
        THING,
        r"[A-Za-z0-9]+(?:-[A-Za-z]+){0,2}(?:\\?/[A-Za-z0-9]+(?:-[A-Za-z]+){0,2}){1,2}",
        DOTTED,
        # Addresses of people, before what else may be as long.
        EMAIL,
        # Apostrophes inside a word (d'art, O'Brien, ma'am, Hawai'i) or behind what another word follows (y'all).
        rf"[oO]{QUOTE}[oO]",
        rf"[nA-HJ-XZ]{QUOTE}[{LETTERS}]{{2,}}",
        rf"[{LETTERS}]+[aeiouyAEIOUY]{QUOTE}[aeiouA-Z][{LETTERS}]*",
        rf"(?ai:(?:[djl]|ol){APOSTROPHE}(?!d|m|s|ll|re|ve))",
        rf"([yY]{APOSTROPHE})(?!(?ai:d|m|s|ll|re|ve))[{LETTERS}]",
        rf"(?ai:{_one_of(WHOLE)}|{'|'.join(WHOLE_IF_STRAIGHT.split())})",
        rf"(?ai:{APOSTROPHE}(?:n{APOSTROPHE}|em|till?|cause)|'t(?=is|was)|(?:[’\x92]|&apos;)n|'n(?!\S))",
        rf"{APOSTROPHE}(?:[2-9]0[sS]|[0-9][0-9](?!\S))",
        # Contractions, and the word in front of one.
        rf"([A-Za-z\u00ad]*[A-MO-Za-mo-z])(?ai:n{QUOTE}t)",
        rf"(?ai:n{QUOTE}t)",
        r"('(?ai:[msd]|re|ve|ll))(?![A-Za-z])",
        r"(?:[’\x92]|&apos;)(?ai:[msd]|re|ve|ll)",
        # Periods that belong to the word. The original looks two characters on behind what may also end a sentence.
        rf"(?ai:{_one_of(ABBREVIATIONS)})\.",
        rf"((?ai:{_one_of(OF_ENDINGS)}|ph\.d)\.|(?:{_one_of(STATES)}|{_one_of(STATES.upper())})\.)[^\ufdd0-\ufdde]{{0,2}}",
        rf"((?ai:{_one_of(BEFORE_NUMBERS)})\.)\s*\d",
        rf"((?:{THING}|{DOTTED}|{HYPHENED}|{AND})\.)[,;:、]",
        INITIALS,
        HYPHENED,
        rf"[A-Za-z]\.(?!\s*$|\s+(?=[A-Z])(?ai:(?:{_one_of(SENTENCES_BEGIN)}|m[rs]\.)\s)|\s+{TAG}\s)",
        r"(?ai:-[lr][rcs]b-)",
        # Numbers, times, fractions, telephone numbers, money; AT&T and C++.
        rf"[+-]?(?:{DIGIT}*(?:[.:,\u00ad٫٬]{DIGIT}+)+|{DIGIT}+)",
        rf"(?:{DIGIT}{{1,4}}[- \u00a0])?{DIGIT}{{1,4}}(?:\\?/|⁄){DIGIT}{{1,4}}",
        rf"{DIGIT}{{1,2}}[-/]{DIGIT}{{1,2}}[-/]{DIGIT}{{2,4}}",
        rf"(?:\([0-9]{{2,3}}\)[ \u00a0]?|(?:\+\+?)?(?:{GROUP})?{GROUP})[0-9]{{3,4}}[- \u00a0]?[0-9]{{3,5}}",
        r"(?:(?:\+\+?)?[0-9]{2,4}\.)?[0-9]{2,4}\.[0-9]{3,4}\.[0-9]{3,5}",
        r"[A-Z]+\$",
        rf"{AND}|[cC]\+\+|[cCfF]#",
        # Addresses of pages and people, handles, files, tags and entities.
        rf"(?ai:https?)://{ADDRESS}+{ADDRESS_END}",
        rf"(?ai:www)\.(?:{HOST}+\.)+[A-Za-z]{{2,4}}{PATH}?",
        rf"(?ai:www)\.(?:{HOST}+?\.)+?[A-Za-z]{{2,4}}{PATH}",
        rf"(?:{DOMAIN}++\.)+(?ai:com|net|org|edu){PATH}?",
        rf"@[A-Za-z_][A-Za-z_0-9]*|#{LETTER}+",
        rf"({LETTER_OR_DIGIT}+(?:\.{LETTER_OR_DIGIT}+)*\.(?ai:{_one_of(FILES)}))(?:[.?!,\s]|$)",
        TAG,
        r"&(?ai:lt|gt|amp|md|[mn]dash|ht|tl|ur|lr|q[clr]|[oc]dq|quot|apos|nbsp|#[0-9]+);",
        # Faces; runs of one mark; any other character.
        r"[<>]?[:;=][-o*']?[()DPdpO\\{@|\[\]](?![A-Za-z0-9])",
        r"[-^x=~<>']_[-^x=~<>']|\((?:[-^x=~<>'][_.]?[-^x=~<>']|[\^x=~<>']-[\^x=~<>'`])\)",
        r"[⁺⁻₊₋]?(?:[²³¹⁰⁴-⁹]+|[₀-₉]+)",
        rf"-{{2,}}|\.{{3,5}}|\. \. \.|[!?]+|\*+|(?:\\\*)+|#+|_+|@+|<<|>>|''|[{QUOTES}]{{1,2}}",
        r"\S",
    )
)
