"""Words for scenes: descriptions of things, captions, and sentences whose phrases have boxes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from string import Formatter

from saccade.data.records import Phrase
from saccade.data.scenes_drawing import COLORS, IMAGE_SIZE, RADII, SHAPES, Draws, Scene, Thing

VALUES = {"size": tuple(RADII), "color": tuple(COLORS), "shape": SHAPES}  # in the order of English
ATTRIBUTES = tuple(VALUES)
PATTERNS = tuple(names for count in (1, 2, 3) for names in combinations(ATTRIBUTES, count))
ORDER = {"size": ("large", "small"), "color": tuple(COLORS), "shape": SHAPES}  # in which captions name things
NOUNS = ("thing", "object")
NUMBERS = ("no", "one", "two", "three", "four", "five", "six")
Piece = tuple[str, tuple[Thing, ...]]  # words of a caption, and the things they mean, if any
MARGIN = 14  # pixels between the centres of two things of which one is left of, or above, the other


@dataclass(frozen=True)
class Description:
    """What is said of a thing; None where nothing is said."""

    size: str | None = None
    color: str | None = None
    shape: str | None = None

    @classmethod
    def of(cls, thing: Thing, names: Sequence[str]) -> Description:
        """The thing described by the named attributes."""
        return cls(**{name: getattr(thing, name) for name in names})

    def matches(self, scene: Scene) -> tuple[Thing, ...]:
        """The things of the scene that it is true of."""
        said = [(name, value) for name in ATTRIBUTES if (value := getattr(self, name)) is not None]
        return tuple(thing for thing in scene.things if all(getattr(thing, name) == value for name, value in said))

    def words(self, noun: str, count: int = 1) -> str:
        """The noun phrase without an article, as in "large red circle"; `noun` stands in where no shape is named."""
        noun = self.shape or noun
        if count != 1:
            noun += "es" if noun == "cross" else "s"
        return " ".join([word for word in (self.size, self.color) if word] + [noun])


@dataclass(frozen=True)
class PhrasedSentence:
    """A sentence about an image. Its words are what spaces separate."""

    text: str
    phrases: tuple[Phrase, ...]


def references(scene: Scene) -> dict[Thing, list[Description]]:
    """For every thing the descriptions that are true of it alone, from short to long (no two are alike)."""
    found: dict[Thing, list[Description]] = {}
    for names in PATTERNS:
        described = [Description.of(thing, names) for thing in scene.things]
        counts = Counter(described)
        for thing, description in zip(scene.things, described, strict=True):
            if counts[description] == 1:
                found.setdefault(thing, []).append(description)
    return found


def article(words: str) -> str:
    """The words behind "a" or "an"."""
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def relations(a: Thing, b: Thing) -> list[tuple[str, str]]:
    """How `a` lies to `b`, on each axis where that is clear, one at least: what is true, and the opposite."""
    found = []
    for distance, before, behind in ((b.x - a.x, "left of", "right of"), (b.y - a.y, "above", "below")):
        if abs(distance) >= MARGIN:
            found.append((before, behind) if distance > 0 else (behind, before))
    return found


def halves(thing: Thing) -> tuple[str, str]:
    """In which halves of the image the whole thing lies: "top", "bottom" or "", and "left", "right" or ""."""
    middle, r = IMAGE_SIZE // 2, thing.radius
    down = "top" if thing.y + r <= middle else "bottom" if thing.y - r >= middle else ""
    across = "left" if thing.x + r <= middle else "right" if thing.x - r >= middle else ""
    return down, across


def place(thing: Thing) -> str:
    """Where in the image the whole thing lies, as in "at the top"; "in the middle" where no half holds it."""
    down, across = halves(thing)
    if down and across:
        return f"in the {down} {across}"
    return f"at the {down}" if down else f"on the {across}" if across else "in the middle"


def captions(scene: Scene, draws: Draws) -> tuple[PhrasedSentence, ...]:
    """Five captions: the things one by one, their number and the background, a relation, groups, and places.

    They name things in an order that the image alone decides: large before small, then by colour in the order of the
    rainbow (white last), then by shape. Where one is named it is the first, where two are named the first and the last.
    """
    things = tuple(sorted(scene.things, key=lambda thing: [ORDER[name].index(getattr(thing, name)) for name in ORDER]))
    ordered = replace(scene, things=things)
    return tuple(write(ordered, draws) for write in (_listing, _overview, _relation, _groups, _places))


def phrased_sentence(scene: Scene, draws: Draws) -> PhrasedSentence:
    """A sentence about two things, often about a group too if the scene has one; every phrase with its boxes."""
    words: list[str] = []
    phrases: list[Phrase] = []

    def say(text: str, *things: Thing) -> None:
        start = len(words)
        words.extend(text.split())
        if things:
            phrases.append(_phrase(start, text, things))

    known = references(scene)
    a, b = draws.sample(tuple(known), 2)
    relation, _ = draws.choice(relations(a, b))
    say(f"the {draws.choice(known[a]).words(draws.choice(NOUNS))}", a)
    say(f"{draws.choice(('is', 'lies'))} {relation}")
    say(f"the {draws.choice(known[b]).words(draws.choice(NOUNS))}", b)
    counts = Counter(Description.of(thing, names) for names in PATTERNS for thing in scene.things)
    groups = [group for group, count in counts.items() if count > 1]
    if groups and draws.below(3):
        group = draws.choice(groups)
        things = group.matches(scene)
        say("and there are")
        say(f"{NUMBERS[len(things)]} {group.words(draws.choice(NOUNS), len(things))}", *things)
    return PhrasedSentence(" ".join(words) + ".", tuple(phrases))


def _phrase(start: int, text: str, things: Sequence[Thing]) -> Phrase:
    """The phrase of those words, the first of them at `start`, by type "one" or "several"."""
    boxes = tuple(thing.box for thing in things)
    return Phrase((start, start + len(text.split())), boxes, ("one" if len(things) == 1 else "several",))


def _a(thing: Thing, draws: Draws) -> Piece:
    """The thing behind "a", by two or three of its attributes."""
    return article(Description.of(thing, draws.choice(PATTERNS[3:])).words(draws.choice(NOUNS))), (thing,)


def _series(parts: Sequence[Sequence[Piece]]) -> list[Piece]:
    """The parts with commas, and "and" before the last."""
    pieces = list(parts[0])
    for number, part in enumerate(parts[1:], 2):
        pieces += [(" and " if number == len(parts) else ", ", ()), *part]
    return pieces


def _sentence(template: str, *parts: Sequence[Piece]) -> PhrasedSentence:
    """The template with the parts in its numbered places, and a full stop. A piece about things is a phrase."""
    text, phrases = "", []
    for literal, field, _, _ in Formatter().parse(template + "."):
        pieces = [(literal, ()), *(parts[int(field)] if field is not None else ())]
        for words, things in pieces:
            if things:
                start = text.count(" ")
                phrases.append(_phrase(start, words, things))
            text += words
    return PhrasedSentence(text, tuple(phrases))


def _listing(scene: Scene, draws: Draws) -> PhrasedSentence:
    words = [article(Description.of(thing, ATTRIBUTES[draws.below(2) :]).words("")) for thing in scene.things]
    listed = _series([[(said, (thing,))] for said, thing in zip(words, scene.things, strict=True)])
    return _sentence(draws.choice(("{0}", "there is {0}", "the image shows {0}")), listed)


def _overview(scene: Scene, draws: Draws) -> PhrasedSentence:
    count = f"{NUMBERS[len(scene.things)]} {draws.choice(NOUNS)}s"
    background = f"a {scene.background.kind} background"
    one = _a(scene.things[0], draws)
    wordings = ("{0} on {1}, one of them {2}", "{1} with {0}, one of them {2}", "there are {0} on {1}, and one is {2}")
    return _sentence(draws.choice(wordings), [(count, scene.things)], [(background, ())], [one])


def _relation(scene: Scene, draws: Draws) -> PhrasedSentence:
    a, b = scene.things[0], scene.things[-1]
    relation, _ = draws.choice(relations(a, b))
    template = draws.choice(("{0} is {1} {2}", "{0} lies {1} {2}", "{0} {1} {2}"))
    return _sentence(template, [_a(a, draws)], [(relation, ())], [_a(b, draws)])


def _groups(scene: Scene, draws: Draws) -> PhrasedSentence:
    names = draws.choice(PATTERNS[1:6])  # the size alone would say little, all three attributes would list them all
    noun = draws.choice(NOUNS)
    counts = Counter(Description.of(thing, names) for thing in scene.things)
    listed = _series(
        [[(f"{NUMBERS[count]} {group.words(noun, count)}", group.matches(scene))] for group, count in counts.items()]
    )
    return _sentence(draws.choice(("{0}", "the image has {0}", "you can see {0}")), listed)


def _places(scene: Scene, draws: Draws) -> PhrasedSentence:
    ends = (scene.things[0], scene.things[-1])
    parts: list[list[Piece]] = [[_a(thing, draws), (f" {place(thing)}", ())] for thing in ends]
    return _sentence(draws.choice(("{0}", "there is {0}")), _series(parts))
