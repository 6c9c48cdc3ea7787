"""Whether a caption is true of a scene: read back by the grammar that captions of scenes are written in.

Punctuation is passed over, as a captioner's words have none. Six forms are understood, those of `scenes_language`:

    [there is | the image shows] a small red circle a blue square and a cross
    three things on a plain background one of them a red circle         and its other two wordings
    a red circle [is | lies] left of a large square
    [the image has | you can see] two red circles and one cross
    [there is] a red circle at the top and a large blue thing in the bottom left
    the red circle [is | lies] left of the large thing [and there are two blue things]
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from saccade.data.scenes_drawing import BACKGROUNDS, CLOUDED, COLORS, RADII, SHAPES, Scene, Thing
from saccade.data.scenes_language import NOUNS, NUMBERS, Description, article, place, relations


def _any(words: Sequence[str]) -> str:
    return f"(?:{'|'.join(words)})"


ONE_NOUN = (*SHAPES, *NOUNS)
MANY_NOUNS = {Description(shape=noun).words("", 2): noun for noun in ONE_NOUN}
APPEARANCE = f"(?:{_any(tuple(RADII))} )?(?:{_any(tuple(COLORS))} )?"
# The plural first: with the singular first, "crosses" would be read as "cross".
NOUN_PHRASE = rf"{APPEARANCE}{_any((*MANY_NOUNS, *ONE_NOUN))}\b"
THING = rf"an? {APPEARANCE}{_any(ONE_NOUN)}\b"
NUMBER = _any(NUMBERS[1:])
GROUP = rf"{NUMBER} {NOUN_PHRASE}"
PLACE = r"(?:in the (?:top|bottom) (?:left|right)|at the (?:top|bottom)|on the (?:left|right)|in the middle)"
PLACED = rf"{THING} {PLACE}"
ON = rf"an? {_any((*BACKGROUNDS, *CLOUDED))} background"
COUNT = rf"{NUMBER} {_any([f'{noun}s' for noun in NOUNS])}"
LISTING = re.compile(rf"(?:there is |the image shows )?({THING}(?: {THING})* and {THING})")
OVERVIEW = re.compile(
    rf"(?:{COUNT} on {ON} one of them {THING}|{ON} with {COUNT} one of them {THING}"
    rf"|there are {COUNT} on {ON} and one is {THING})"
)
RELATION = re.compile(rf"({THING})(?: is| lies)? (left of|right of|above|below) ({THING})")
GROUPS = re.compile(rf"(?:the image has |you can see )?({GROUP}|{GROUP}(?: {GROUP})* and {GROUP})")
PLACES = re.compile(rf"(?:there is )?({PLACED} and {PLACED})")

SINGLE = rf"the {APPEARANCE}{_any(ONE_NOUN)}\b"
SINGLES = re.compile(rf"({SINGLE}) (?:is|lies) (left of|right of|above|below) ({SINGLE})(?: and there are ({GROUP}))?")


def is_true(caption: str, scene: Scene) -> bool:
    """Whether the caption is whole and all that it says holds in the scene.

    Words are the scenes' own, in lower case, with or without punctuation. A caption that the grammar does not know, or
    that stops midway, is not true. "the" means the only one, and "a" some: what is said must hold for some choice among
    the things that fit, and where several are named, of different things. A list need not be complete, but no group may
    count a thing again, and numbers must be exact. Places and relations mean what `scenes_language` means by them,
    margins included.
    """
    text = " ".join(re.sub(r"[.,]", " ", caption).split())
    return any(check(text, scene) for check in (_listing, _overview, _relation, _groups, _places, _singles))


def _listing(text: str, scene: Scene) -> bool:
    match = LISTING.fullmatch(text)
    return match is not None and _distinct([_named(phrase, scene) for phrase in re.findall(THING, match[1])])


def _overview(text: str, scene: Scene) -> bool:
    if not OVERVIEW.fullmatch(text):
        return False
    number = re.findall(COUNT, text)[0].split()[0]
    kind = re.findall(ON, text)[0].split()[1]
    one = re.findall(THING, text)[0]
    return NUMBERS.index(number) == len(scene.things) and kind == scene.background.kind and bool(_named(one, scene))


def _relation(text: str, scene: Scene) -> bool:
    match = RELATION.fullmatch(text)
    if match is None:
        return False
    pairs = ((a, b) for a in _named(match[1], scene) for b in _named(match[3], scene) if a is not b)
    return any(match[2] == relation for a, b in pairs for relation, _ in relations(a, b))


def _groups(text: str, scene: Scene) -> bool:
    match = GROUPS.fullmatch(text)
    if match is None:
        return False
    counted: list[Thing] = []
    for group in re.findall(GROUP, match[1]):
        number, _, phrase = group.partition(" ")
        count = NUMBERS.index(number)
        *said, noun = phrase.split()
        if (noun in MANY_NOUNS) != (count > 1):
            return False
        things = _fitting([*said, MANY_NOUNS.get(noun, noun)], scene)
        if len(things) != count:
            return False
        counted += things
    return len(set(counted)) == len(counted)


def _places(text: str, scene: Scene) -> bool:
    match = PLACES.fullmatch(text)
    if match is None:
        return False
    candidates = []
    for placed in re.findall(PLACED, match[1]):
        phrase, where = re.findall(THING, placed)[0], re.findall(PLACE, placed)[0]
        candidates.append([thing for thing in _named(phrase, scene) if place(thing) == where])
    return _distinct(candidates)


def _singles(text: str, scene: Scene) -> bool:
    match = SINGLES.fullmatch(text)
    if match is None:
        return False
    found = [_fitting(match[group].split()[1:], scene) for group in (1, 3)]
    if [len(things) for things in found] != [1, 1]:
        return False
    (a,), (b,) = found
    group = match[4]
    return any(match[2] == relation for relation, _ in relations(a, b)) and (group is None or _groups(group, scene))


def _named(phrase: str, scene: Scene) -> list[Thing]:
    """The things that "a red circle" may mean; none where the article is wrong or nothing is said of the thing."""
    words = phrase.split()[1:]
    return _fitting(words, scene) if article(" ".join(words)) == phrase else []


def _fitting(words: Sequence[str], scene: Scene) -> list[Thing]:
    said = [word for word in words if word not in NOUNS]
    return [t for t in scene.things if said and all(word in (t.size, t.color, t.shape) for word in said)]


def _distinct(candidates: Sequence[Sequence[Thing]]) -> bool:
    """Whether each list can give a thing that no other list gives."""
    if not candidates:
        return True
    first, *rest = candidates
    return any(_distinct([[other for other in more if other != thing] for more in rest]) for thing in first)
