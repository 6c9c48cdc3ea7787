"""Lines that no caption has: what a tokeniser of English meets at its edges, drawn at random."""

from __future__ import annotations

import random
from collections.abc import Callable

# A caption holds no line separator, and no half of a pair of surrogates.
SCRIPTS = {
    "Latin": (0xC0, 0x24F),
    "combining": (0x300, 0x36F),
    "Greek": (0x370, 0x3FF),
    "Cyrillic": (0x400, 0x52F),
    "Hebrew": (0x591, 0x5F4),
    "Arabic": (0x600, 0x6FF),
    "Devanagari": (0x900, 0x97F),
    "Bengali": (0x981, 0x9FB),
    "Tamil": (0xB82, 0xBFA),
    "Telugu": (0xC01, 0xC7F),
    "Thai": (0xE01, 0xE5B),
    "Tibetan": (0xF00, 0xFD4),
    "Burmese": (0x1000, 0x109F),
    "Hangul": (0x1100, 0x11FF),
    "Khmer": (0x1780, 0x17F9),
    "Vietnamese": (0x1EA0, 0x1EF9),
    "kana": (0x3041, 0x30FF),
    "Chinese": (0x4E00, 0x4FFF),
    "Korean": (0xAC00, 0xAFFF),
    "fullwidth": (0xFF01, 0xFFEE),
    "marks of text": (0x2010, 0x2027),
    "symbols": (0x2030, 0x22FF),
    "pictures": (0x2500, 0x27BF),
    "faces": (0x1F300, 0x1F64F),
    "letters of mathematics": (0x1D400, 0x1D4FF),
}
WORDS = """
    a an the A The dog dogs Dog man's two 2 three red T-shirt can't cannot Cannot gonna gotta wanna lemme gimme 'tis
    'twas 'em 'til 'n' o'clock O'Brien d'art l'eau y'all ma'am c'mon ol' it's It's I'm they're we've she'll he'd n't
    won't don’t it’s ’s ’em don`t James' rock'n'roll black-and-white x-ray re-do 5-year-old co-op e-mail and/or w/o
    km/h either/or I i x X o O p P no No nos fig art Café naïve straße ﬁn résumé under_score __init__ camelCase USA
    AT&T R&B a&b M&M's C++ C# c++ F# A+ #tag @name @a_b #1 -- --- - – — … ... .... .. . , ; : ! ? !! ?! !!! ' " ` '' ``
    “ ” ‘ ’ « » ‹ › ( ) [ ] { } < > / \\ | * ** ~ ^ = + % $ £ € ¢ ¥ # & @ _ § ¶ ° ½ ¼ ¾ ⅓ ⅔ ² ³ × ÷ ™ © \u00ad
    \u200b
"""
ABBREVIATED = """
    Mr. Mrs. Ms. Dr. St. Ave. Blvd. Inc. Ltd. Co. Corp. etc. e.g. i.e. a.m. p.m. A.M. P.M. U.S. U.S.A. D.C. Ph.D. J.
    K. Jr. Sr. Jan. Sept. Mon. Tues. no. No. nos. fig. vs. Cal. Calif. La. La Tex. Ore. Wash. Mass. in. ft. Gen. Gov.
    Sen. Rep. Prof. Assn. Bros. Dept. al. ca. p. pp. op. cf. vol. No Nos. z.B. N.Y. U.N. E.U. U.K. a.k.a. Ph.D
"""
NUMBERS = """
    1 22 333 1984 1,000 10,000.50 1.000,50 3.14 .5 -5 +5 -5.5 1/2 3/4 10:30 10:30:15 24/7 10/12/2009 1-2-2009
    12-25-09 2009-10-12 '90s '90S ’90s 90s 1990's 1980s '07 ’07 1st 2nd 3rd 20th 4x4 3D 5ft 6'2" 5' $5 $1,000 US$5 5$
    A$3 HK$ £5 €5 5¢ 50% #1 No.5 555-1234 1-800-555-1234 1,2,3 1.2.3 1..2 5km/h
    100m 1e5 1.5-liter 10,000-foot 0.5 ١٢٣ १२३ ２３ 5. 5.m. 1-U.S. 1.jpg 22.png 1a a1 a1b2 ½-inch 1½ 2¾
"""
ADDRESSES = """
    http://a.com https://www.example.com/a?b=1&c=2 Http://a.com HTTP://A.COM http://a.com/b_(c) http://a www.example.com
    www.a.co.uk/x WWW.EXAMPLE.COM example.com Example.Com a.org/b a.net b.edu/~c x.de me@example.com a.b@c.de <a@b.com>
    mailto:a@b.com ftp://a.b/c file.txt photo.jpg a.py 1.jpg IMG_001.JPG http:// #.com .com .NET Yahoo! Yahoo!'s
    http://a.com, (http://a.com) {http://a.com} "http://a.com" http://a.com. http://ä.de http://a.com:80/ a@b @a.b
"""
TAGS = """
    <b> </b> <br/> <br <unk> <UNK> <pad> <3 </3 &amp; &lt; &LT; &gt; &quot; &apos; &nbsp;
    &eacute; &mdash; &hellip; &#39; &#233; &AMP; &copy; &pound; &amp &; -LRB- -RRB- -lrb- -lsb- -RCB- -lcb-
"""
FACES = """
    :) :-) ;) :( :D :P :p :-/ :o) =) =D 8) :| :* :'( :3 xD XD ^_^ -_- >_< o_O T_T (: (-: <3 ;-) :] :[ {: :{ :@ :\\ :/
    ^.^ =.= :-D :-P :-o ¯\\_(ツ)_/¯ ;o) :O @_@ (^_^) >:( >:) <:) O.o \\o/
"""
PLAIN = "a the man dog in is on with two red and of running grass woman's child sign saying"
SPACED = (
    "3 1/2",
    "555 1234",
    "(555) 555-1234",
    "+1 555 555 1234",
    '<a href="x">',
    "< b >",
    "<!-- a -->",
    ". . .",
    "\u00a0",
)
POOLS = [pool.split() for pool in (WORDS, ABBREVIATED, NUMBERS, ADDRESSES, TAGS, FACES)] + [list(SPACED)]
KEYS = "aAbBsSdDtTnNmMlLrRvVeEoOyYzZ01259  ..,,''’’``--–_/!?:;()[]{}\"“”‘«»&$#@<>*+=~^|\\%£€½é\u0301\u00ad"


def odd_lines(seed: int, count: int) -> list[str]:
    """Lines of a few odd things, apart or glued together; none has a space at an end or a line separator in it."""
    draw = random.Random(seed)
    lines = [" ".join(draw.choice(KINDS)(draw).split(" ")).strip() for _ in range(count)]
    return [line or "a" for line in lines]


def _keys(draw: random.Random) -> str:
    return "".join(draw.choices(KEYS, k=draw.randint(1, 12)))


def _pieces(draw: random.Random) -> str:
    """Words, abbreviations, numbers, addresses, tags and faces, with a space between or without."""
    pools = draw.choices(POOLS, [6, 3, 3, 1, 1, 1, 1], k=draw.randint(2, 6))
    glue = draw.choice([0.1, 0.5, 0.9])
    return "".join(_cased(draw, draw.choice(pool)) + ("" if draw.random() < glue else " ") for pool in pools)


def _glued(draw: random.Random) -> str:
    """One such thing with keys before and behind, or one of its characters changed."""
    text = draw.choice(draw.choice(POOLS))
    if draw.random() < 0.3:
        place = draw.randrange(len(text))
        text = text[:place] + draw.choice(KEYS) + text[place + draw.randint(0, 1) :]
    return draw.choice(KEYS) * draw.randint(0, 1) + _cased(draw, text) + draw.choice(KEYS) * draw.randint(0, 2)


def _sentence(draw: random.Random) -> str:
    """A caption as people write them, with odd marks and one odd thing in it."""
    words = draw.choices(PLAIN.split(), k=8)
    words.insert(draw.randrange(9), _glued(draw))
    return " ".join(words).capitalize() + draw.choice(["", ".", " .", "!", "...", ".'", '."', ".)", " . "])


def _script(draw: random.Random) -> str:
    """Words of one script: letters, marks, digits and what else its block has, between Latin ones and marks."""
    first, last = SCRIPTS[draw.choice(list(SCRIPTS))]
    words = []
    for _ in range(draw.randint(1, 4)):
        word = "".join(chr(draw.randint(first, last)) for _ in range(draw.randint(1, 7)))
        words.append(
            draw.choice(
                [
                    word,
                    word,
                    word,
                    _cased(draw, draw.choice(POOLS[0])),
                    draw.choice(KEYS) + word,
                    word + draw.choice(KEYS),
                ]
            )
        )
    return draw.choice([" ", " ", "", "-", "'"]).join(words)


def _anything(draw: random.Random) -> str:
    """Characters of the basic plane, from everywhere, and Latin letters."""
    return "".join(
        draw.choice([chr(draw.randint(0xA0, 0x2027)), chr(draw.randint(0x202A, 0xD7FF)), draw.choice(KEYS), "a"])
        for _ in range(draw.randint(1, 8))
    )


def _cased(draw: random.Random, text: str) -> str:
    return draw.choice([text, text, text, text.upper(), text.lower(), text.capitalize()])


KINDS: list[Callable[[random.Random], str]] = [_keys, _pieces, _pieces, _glued, _glued, _sentence, _script, _anything]
