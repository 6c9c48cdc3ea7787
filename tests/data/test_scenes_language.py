"""Everything said about a scene is true: read back word by word and checked against the things and their boxes."""

from __future__ import annotations

import re
from collections import Counter
from itertools import permutations

import pytest

from saccade.data.records import Caption, Question
from saccade.data.scenes import PhrasedScenes, Scenes
from saccade.data.scenes_drawing import COLORS, SHAPES, Scene, Thing
from saccade.data.scenes_questions import KINDS, WORDINGS

SCENES = Scenes(train=250, val=20, test=20)
IMAGES = [image for split in ("train", "val", "test") for image in SCENES.images(split)]
LOOKS = {"small": "size", "large": "size"}
LOOKS |= dict.fromkeys(["red", "orange", "yellow", "green", "cyan", "blue", "purple", "white"], "color")
LOOKS |= dict.fromkeys(["circle", "square", "triangle", "diamond", "cross"], "shape")
NUMBERS = {word: number for number, word in enumerate(["one", "two", "three", "four", "five", "six"], 1)}


def named(scene: Scene, phrase: str) -> list[Thing]:
    """The things that a noun phrase, singular or plural, is true of."""
    *before, noun = phrase.split()
    noun = {"crosses": "cross"}.get(noun, noun if noun == "cross" else noun.removesuffix("s"))
    said = before + ([] if noun in ("thing", "object") else [noun])
    return [thing for thing in scene.things if all(getattr(thing, LOOKS[word]) == word for word in said)]


def the(scene: Scene, phrase: str) -> Thing:
    (thing,) = named(scene, phrase)
    return thing


def lies(a: Thing, relation: str, b: Thing) -> bool:
    """Whether the relation clearly holds; a relation that is not clear either way must not be spoken of."""
    axis = 0 if relation in ("left of", "right of") else 1
    centre_a, centre_b = (thing.box[axis] + thing.box[axis + 2] for thing in (a, b))
    assert round(96 * abs(centre_a - centre_b) / 2) >= 14
    return (centre_a < centre_b) == (relation in ("left of", "above"))


def quarter(thing: Thing) -> str:
    x1, y1, x2, y2 = thing.box
    down = "top" if y2 <= 0.5 else "bottom" if y1 >= 0.5 else "?"
    across = "left" if x2 <= 0.5 else "right" if x1 >= 0.5 else "?"
    return f"{down} {across}"


def expected(scene: Scene, question: Question) -> tuple[str, list[Thing]]:
    """The answer and the things that matter, found from the question's words."""
    text = question.text
    if question.kind == "count":
        (phrase,) = re.fullmatch(
            r"(?:how many|what is the number of) (.+?)(?: are there| can you see)?\?", text
        ).groups()
        things = named(scene, phrase)
        return str(len(things)), things
    if question.kind == "existence":
        (phrase,) = re.fullmatch(r"(?:is there|can you see|does the image show) an? (.+)\?", text).groups()
        things = named(scene, phrase)
        return "yes" if things else "no", things
    if question.kind == "relation":
        pattern = r"(?:is|does) the (.+?)(?: lie)?(?: to the)? (left of|right of|above|below) the (.+)\?"
        first, relation, second = re.fullmatch(pattern, text).groups()
        a, b = the(scene, first), the(scene, second)
        return "yes" if lies(a, relation, b) else "no", [a, b]
    (phrase,) = re.fullmatch(r".*\bthe (.+?)(?: have| small or large)?\?", text).groups()
    thing = the(scene, phrase)
    return quarter(thing) if question.kind == "position" else getattr(thing, question.kind), [thing]


def test_every_answer_and_box_is_right():
    seen = set()
    for image in IMAGES:
        scene = SCENES.scene(image)
        for question in SCENES.questions_of(image):
            answer, things = expected(scene, question)
            assert question.answers == (answer,), question
            assert question.boxes == tuple(thing.box for thing in things), question
            seen.add(question.kind)
    assert seen == set(KINDS) == set(WORDINGS)


def test_a_question_about_an_attribute_does_not_name_it():
    for question in SCENES.records(Question, "train"):
        if question.kind in ("color", "shape", "size"):
            named_kinds = {
                LOOKS[word] for word in re.findall(r"\w+", question.text.split(" small or")[0]) if word in LOOKS
            }
            assert question.kind not in named_kinds, question.text


def test_questions_of_an_image_differ_and_number_seven_to_nine():
    for image in IMAGES:
        texts = [question.text for question in SCENES.questions_of(image)]
        assert 7 <= len(texts) == len(set(texts)) <= 9


def test_articles_fit():
    texts = [q.text for q in SCENES.records(Question, "train")] + [
        c.text for image in IMAGES for c in SCENES.captions_of(image)
    ]
    assert not [text for text in texts if re.search(r"\ba [aeiou]|\ban [^aeiou]", text)]
    assert any(" an orange" in text for text in texts)


def listing_is_true(scene: Scene, text: str) -> bool:
    parts = re.split(r", | and ", re.sub(r"^(there is|the image shows) ", "", text))
    phrases = [re.sub(r"^an? ", "", part) for part in parts]
    return any(
        len(order) == len(phrases)
        and all(thing in named(scene, phrase) for thing, phrase in zip(order, phrases, strict=True))
        for order in permutations(scene.things)
    )


def overview_is_true(scene: Scene, text: str) -> bool:
    (number,) = re.findall(r"\b(two|three|four|five|six) (?:things|objects)\b", text)
    (kind,) = re.findall(r"a (\w+) background", text)
    (phrase,) = re.findall(r"(?:one of them|one is) an? (.+)", text)
    return NUMBERS[number] == len(scene.things) and kind == scene.background.kind and bool(named(scene, phrase))


def relation_is_true(scene: Scene, text: str) -> bool:
    a, relation, b = re.fullmatch(r"an? (.+?)(?: is| lies)? (left of|right of|above|below) an? (.+)", text).groups()
    axis, sign = {"left of": (0, 1), "right of": (0, -1), "above": (1, 1), "below": (1, -1)}[relation]
    return any((y.box[axis] - x.box[axis]) * sign > 0 for x in named(scene, a) for y in named(scene, b) if x != y)


def groups_are_true(scene: Scene, text: str) -> bool:
    parts = re.split(r", | and ", re.sub(r"^(the image has|you can see) ", "", text))
    counts = [(NUMBERS[part.split()[0]], len(named(scene, part.split(" ", 1)[1]))) for part in parts]
    return all(said == true for said, true in counts) and sum(said for said, _ in counts) == len(scene.things)


def places_are_true(scene: Scene, text: str) -> bool:
    for part in text.removeprefix("there is ").split(" and "):
        phrase, place = re.fullmatch(r"an? (.+?) (?:in the|at the|on the) (.+)", part).groups()
        halves = [quarter(thing).replace("?", "").strip() or "middle" for thing in named(scene, phrase)]
        if place not in halves:
            return False
    return True


FORMS = (listing_is_true, overview_is_true, relation_is_true, groups_are_true, places_are_true)


@pytest.mark.parametrize("form", range(len(FORMS)), ids=[form.__name__ for form in FORMS])
def test_captions_are_true(form):
    for image in IMAGES:
        caption = SCENES.captions_of(image)[form].text
        assert caption.endswith(".")
        assert FORMS[form](SCENES.scene(image), caption[:-1]), (image, caption)


def test_captions_are_five_and_vary():
    captions = [[caption.text for caption in SCENES.captions_of(image)] for image in IMAGES]
    assert {len(set(five)) for five in captions} == {5}
    assert len({caption for five in captions for caption in five}) > 4.5 * len(IMAGES)


def test_captions_name_large_things_first_then_follow_the_rainbow():
    for image in IMAGES:
        things = sorted(
            SCENES.scene(image).things,
            key=lambda thing: (thing.size, tuple(COLORS).index(thing.color), SHAPES.index(thing.shape)),
        )
        boxes = [thing.box for thing in things]
        listing, overview, relation, groups, places = SCENES.captions_of(image)
        assert [phrase.boxes for phrase in listing.phrases] == [(box,) for box in boxes]
        assert overview.phrases[-1].boxes == (boxes[0],)
        assert [box for phrase in groups.phrases for box in phrase.boxes[:1]] == sorted(
            (phrase.boxes[0] for phrase in groups.phrases), key=boxes.index
        )
        for two in (relation, places):
            assert [phrase.boxes for phrase in two.phrases] == [(boxes[0],), (boxes[-1],)]


def test_phrases_of_captions_name_what_their_boxes_hold():
    for image in IMAGES:
        scene = SCENES.scene(image)
        boxes = {thing.box for thing in scene.things}
        for form, caption in enumerate(SCENES.captions_of(image)):
            words = caption.text.replace(",", "").removesuffix(".").split()
            for phrase in caption.phrases:
                first, *rest = words[slice(*phrase.words)]
                things = {thing.box for thing in named(scene, " ".join(rest))}
                assert set(phrase.boxes) <= things, caption
                assert len(phrase.boxes) == (1 if first in ("a", "an") else NUMBERS[first]), caption
            said = {box for phrase in caption.phrases for box in phrase.boxes}
            assert said == boxes if form in (0, 1, 3) else len(caption.phrases) == len(said) == 2, caption


def test_phrases_name_what_their_boxes_hold():
    groups = 0
    for image in IMAGES:
        scene, sentence = SCENES.scene(image), SCENES.phrases(image)
        words = sentence.text.removesuffix(".").split()
        spoken = []
        for phrase in sentence.phrases:
            first, *rest = words[slice(*phrase.words)]
            things = named(scene, " ".join(rest))
            assert phrase.boxes == tuple(thing.box for thing in things), sentence
            assert len(things) == (1 if first == "the" else NUMBERS[first]), sentence
            spoken.append(things)
        (a,), (b,), *more = spoken
        between = words[sentence.phrases[0].words[1] + 1 : sentence.phrases[1].words[0]]
        assert lies(a, " ".join(between), b), sentence
        groups += len(more)
    assert groups > len(IMAGES) / 3


PHRASED = PhrasedScenes(train=250, val=20, test=20)


def test_phrased_scenes_have_three_sentences_an_image():
    for image in IMAGES:
        captions = PHRASED.captions_of(image)
        assert len({caption.text for caption in captions}) == 3
        assert [caption.id for caption in captions] == [f"{image}#{n}" for n in range(3)]
        assert (captions[0].text, captions[0].phrases) == (
            SCENES.phrases(image).text,
            SCENES.phrases(image).phrases,
        )
    assert len(PHRASED.records(Caption, "train")) == 750
    assert PHRASED.questions_of(IMAGES[0]) == SCENES.questions_of(IMAGES[0])
    assert PHRASED.open_image(IMAGES[0]).tobytes() == SCENES.open_image(IMAGES[0]).tobytes()


def test_phrased_scenes_single_out_what_they_mean():
    kinds = Counter()
    for image in IMAGES:
        scene = PHRASED.scene(image)
        for caption in PHRASED.captions_of(image):
            for phrase in caption.phrases:
                first, *rest = phrase.of(caption.text).removesuffix(".").split()
                things = named(scene, " ".join(rest))
                assert phrase.boxes == tuple(thing.box for thing in things), caption
                assert phrase.kinds == ("one" if len(things) == 1 else "several",)
                assert len(things) == (1 if first == "the" else NUMBERS[first])
                kinds[phrase.kinds] += 1
    assert kinds["one",] == 2 * 3 * len(IMAGES)
    assert kinds["several",] > len(IMAGES)


def test_a_tenth_of_the_phrases_of_captions_fit_other_things_too():
    phrases, ambiguous = 0, 0
    for image in IMAGES:
        scene = SCENES.scene(image)
        for caption in SCENES.captions_of(image):
            for phrase in caption.phrases:
                _, *rest = phrase.of(caption.text).strip(",.").split()
                phrases += 1
                ambiguous += len(named(scene, " ".join(rest))) > len(phrase.boxes)
    assert 0.05 < ambiguous / phrases < 0.15  # 9.8 % of the test split's


def test_a_scene_without_three_sentences_is_not_waited_for_forever():
    """Every scene has four sentences: two things, in either order, that are or lie."""
    for image in IMAGES:
        assert len(PHRASED.phrased(image, 4)) == 4
