"""Questions about scenes, seven kinds of them, with answers that the wording does not give away.

Every choice treats the values of an attribute alike, and whether the answer is to be yes or no, or which number, is
drawn before what is asked about. So names and wordings say nothing about the answer, beyond which answers there are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product

from saccade.data.records import Question
from saccade.data.scenes_drawing import Draws, Scene, Thing
from saccade.data.scenes_language import (
    NOUNS,
    PATTERNS,
    VALUES,
    Description,
    article,
    halves,
    references,
    relations,
)

Known = dict[Thing, list[Description]]  # how each thing can be named
Asked = tuple[str, str, Sequence[Thing]]  # the question, its answer, and the things that it is about

FEWEST_QUESTIONS, MOST_QUESTIONS = 7, 9
WORDINGS = {
    "color": ("what color is the {}?", "what is the color of the {}?", "which color does the {} have?"),
    "shape": ("what shape is the {}?", "what is the shape of the {}?", "which shape does the {} have?"),
    "size": ("is the {} small or large?", "what size is the {}?", "how big is the {}?"),
    "position": (
        "where in the image is the {}?",
        "in which part of the image is the {}?",
        "which quarter of the image holds the {}?",
    ),
    "count": ("how many {} are there?", "how many {} can you see?", "what is the number of {}?"),
    "existence": ("is there {}?", "can you see {}?", "does the image show {}?"),
    "relation": ("is the {} {} the {}?", "does the {} lie {} the {}?"),
}
COUNTED = ((), ("size",), ("color",), ("shape",), ("size", "color"), ("size", "shape"))


def ask(scene: Scene, draws: Draws, image: str) -> list[Question]:
    """The questions about a scene: one of each kind where possible, then more about single things, no two the same."""
    known = references(scene)
    wanted = draws.between(FEWEST_QUESTIONS, MOST_QUESTIONS)
    kinds = draws.sample(tuple(KINDS), len(KINDS))
    found: dict[str, Question] = {}
    while len(found) < wanted:
        kind = kinds.pop() if kinds else draws.choice(SINGLE)
        asked = KINDS[kind](scene, known, draws)
        if asked is not None and asked[0] not in found:
            text, answer, things = asked
            boxes = tuple(thing.box for thing in things)
            found[text] = Question(f"{image}/{len(found)}", image, text, (answer,), kind, boxes)
    return list(found.values())


def _about_one(kind: str, answers: dict[Thing, str], known: Known, draws: Draws) -> Asked | None:
    """A question about one of the things that have an answer, named without giving the answer away."""
    options = {
        thing: usable
        for thing in answers
        if (usable := [description for description in known[thing] if getattr(description, kind, None) is None])
    }
    if not options:
        return None
    thing = draws.choice(tuple(options))
    name = draws.choice(options[thing]).words(draws.choice(NOUNS))
    return draws.choice(WORDINGS[kind]).format(name), answers[thing], [thing]


def _color(scene: Scene, known: Known, draws: Draws) -> Asked | None:
    return _about_one("color", {thing: thing.color for thing in scene.things}, known, draws)


def _shape(scene: Scene, known: Known, draws: Draws) -> Asked | None:
    return _about_one("shape", {thing: thing.shape for thing in scene.things}, known, draws)


def _size(scene: Scene, known: Known, draws: Draws) -> Asked | None:
    return _about_one("size", {thing: thing.size for thing in scene.things}, known, draws)


def _position(scene: Scene, known: Known, draws: Draws) -> Asked | None:
    quarters = {thing: " ".join(place) for thing in scene.things if all(place := halves(thing))}
    return _about_one("position", quarters, known, draws)


def _count(scene: Scene, _: Known, draws: Draws) -> Asked | None:
    names = draws.choice(COUNTED)
    counts = Counter(Description.of(thing, names) for thing in scene.things)
    groups: dict[int, list[Description]] = {}
    for values in product(*(VALUES[name] for name in names)):
        description = Description(**dict(zip(names, values, strict=True)))
        groups.setdefault(counts[description], []).append(description)
    count = draws.choice(sorted(groups))
    group = draws.choice(groups[count])
    text = draws.choice(WORDINGS["count"]).format(group.words(draws.choice(NOUNS), 0))
    return text, str(count), group.matches(scene)


def _existence(scene: Scene, _: Known, draws: Draws) -> Asked | None:
    for names in draws.sample(PATTERNS, len(PATTERNS)):
        present = [Description.of(thing, names) for thing in scene.things]
        others = (replace(seen, **{name: value}) for seen in present for name in names for value in VALUES[name])
        absent = [description for description in others if description not in present]
        if absent:  # each differs in one word from something that is there
            exists = draws.below(2) == 1
            description = draws.choice(present if exists else absent)
            text = draws.choice(WORDINGS["existence"]).format(article(description.words(draws.choice(NOUNS))))
            return text, "yes" if exists else "no", description.matches(scene)
    return None


def _relation(_: Scene, known: Known, draws: Draws) -> Asked | None:
    a, b = draws.sample(tuple(known), 2)
    true, false = draws.choice(relations(a, b))
    holds = draws.below(2) == 1
    relation = true if holds else false
    if relation.endswith(" of"):
        relation = draws.choice(("", "to the ")) + relation
    name_a, name_b = (draws.choice(known[thing]).words(draws.choice(NOUNS)) for thing in (a, b))
    text = draws.choice(WORDINGS["relation"]).format(name_a, relation, name_b)
    return text, "yes" if holds else "no", [a, b]


KINDS: dict[str, Callable[[Scene, Known, Draws], Asked | None]] = {
    "color": _color,
    "shape": _shape,
    "size": _size,
    "position": _position,
    "count": _count,
    "existence": _existence,
    "relation": _relation,
}
SINGLE = ("color", "shape", "size", "position")
