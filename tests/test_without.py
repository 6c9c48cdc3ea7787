"""Taking regions and words away: every model beside a text written without them, and an image that never had them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
import torch
from PIL import Image
from tests.test_models import SMALL, create

from saccade.data.records import Caption, Phrase, Question
from saccade.errors import DataError, RecipeError
from saccade.models import MODELS, model_sizes, output_of
from saccade.predict import Predictor
from saccade.tasks import (
    AnsweringConfig,
    AnsweringOptions,
    CaptioningConfig,
    CaptioningOptions,
    GroundingConfig,
    GroundingOptions,
    MatchingConfig,
    MatchingOptions,
)
from saccade.tasks.answering.task import AnsweringTask
from saccade.tasks.captioning.task import CaptioningTask
from saccade.tasks.grounding.task import GroundingTask
from saccade.tasks.intervening import left_texts
from saccade.tasks.matching.task import MatchingTask
from saccade.tasks.reply import OpenedImage, Reply
from saccade.text import TOKENISERS, Vocabulary
from saccade.types import NOTHING, Answers, Captions, Groundings, Grouping, Matches, Regions, Without

REGIONS, SIZE = 7, 11
TEXTS = [
    "the small dog sees a red ball",
    "two red balls",
    "a dog near the ball and a man in a red hat on a long street runs",  # longer than BAN and DFAF read
]
IMAGE_OF = torch.tensor([1, 0, 1])  # the second has five regions, two only pad
PHRASES = {0: ((0, 3), (4, 7)), 1: ((0, 3),), 2: ((0, 2), (6, 11))}
AWAY = [Without((1, 4), (1, 4)), Without((), (1,)), Without((0,), (3, 6, 16))]
TASKS = {Answers: AnsweringTask, Captions: CaptioningTask, Matches: MatchingTask, Groundings: GroundingTask}

every_model = pytest.mark.parametrize("name", MODELS)
models_that_read = pytest.mark.parametrize("name", [name for name in MODELS if output_of(name) is not Captions])
# Each of its places has a bias of its own: what stands behind a region that is cut out is another's place then.
models_over_sets = pytest.mark.parametrize("name", [name for name in MODELS if not name.startswith("smem")])


def build(name: str, **config: Any) -> Any:
    """The task of a model, its words those of the texts."""
    captions = [
        Caption(str(i), str(i), text, tuple(Phrase(words, ((0.0, 0.0, 0.5, 0.5),)) for words in PHRASES[i]))
        for i, text in enumerate(TEXTS)
    ]
    if output_of(name) is Answers:
        questions = [
            Question(str(i), str(i), text, (answer,)) for i, (text, answer) in enumerate(zip(TEXTS, "xyz", strict=True))
        ]
        return AnsweringTask.build(questions, AnsweringConfig(**config))
    if output_of(name) is Captions:
        return CaptioningTask.build(captions, CaptioningConfig(max_length=5, **config))
    if output_of(name) is Matches:
        return MatchingTask.build(captions, MatchingConfig(**config))
    return GroundingTask.build(captions, GroundingConfig(**config))


def made(name: str, task: Any, **others: Any) -> torch.nn.Module:
    torch.manual_seed(5)
    sizes: dict[str, Any] = {"hidden_size": 13} if "hidden_size" in model_sizes(name) else {}
    sizes |= SMALL.get(name, {}) | others
    if output_of(name) is Answers:
        sizes["num_answers"] = len(task.answers)
    model = create(name, **{"num_words": len(task.vocabulary), "region_size": SIZE, **sizes})
    for parameter in model.parameters():  # so far from zero that every word and region counts
        parameter.data += 0.1 * torch.randn_like(parameter)
    for module in model.modules():
        if isinstance(module, torch.nn.Embedding) and module.padding_idx is not None:
            module.weight.data[module.padding_idx] = 0
    return model.double().eval()


def images() -> Regions:
    generator = torch.Generator().manual_seed(4)
    features = torch.randn(2, REGIONS, SIZE, dtype=torch.float64, generator=generator)
    corners = torch.rand(2, REGIONS, 2, dtype=torch.float64, generator=generator) / 2
    mask = torch.ones(2, REGIONS, dtype=torch.bool)
    mask[1, 5:] = False
    return Regions(features, mask, torch.cat([corners, corners + 0.3], -1))


def cut(regions: Regions, away: Without) -> Regions:
    """The regions of one image without some, which were never there."""
    assert regions.boxes is not None
    kept = [place for place in range(int(regions.mask.sum())) if place not in away.regions]
    return Regions(regions.features[:, kept], regions.mask[:, kept], regions.boxes[:, kept])


def written_without(text: str, away: Without) -> str:
    return " ".join(word for place, word in enumerate(text.split()) if place not in away.words)


def options_of(name: str, text: str = "", away: Without = NOTHING) -> Any:
    """The task's options; a grounder is asked for the phrases of the text, which may be written without some words."""
    if output_of(name) is Groundings:
        parts = text.split()
        spans = [range(*span) for span in PHRASES[TEXTS.index(text)]]
        phrases = [" ".join(parts[place] for place in span if place not in away.words) for span in spans]
        return GroundingOptions(phrase=tuple(phrases))
    found = {Answers: AnsweringOptions, Captions: CaptioningOptions, Matches: MatchingOptions}[output_of(name)]
    return found()


def reply(
    name: str,
    task: Any,
    model: torch.nn.Module,
    regions: Regions,
    texts: list[str] | None,
    without: list[Without] | None = None,
    options: Any = None,
) -> list[Any]:
    count = len(regions.mask if texts is None else texts)
    pictures = [OpenedImage(Image.new("RGB", (40, 20)), "a.png")] * count
    said = None if output_of(name) is Captions else texts
    with torch.no_grad():
        found: list[Any] = task.reply(
            model, regions, pictures, said, options or options_of(name), torch.Generator(), without
        )
    return found


def what(found: Reply) -> list[float]:
    """What a reply says, in numbers."""
    plain = found.to_dict()
    if "phrases" in plain:
        return [number for each in plain["phrases"] for box in each["boxes"] for number in box] + [
            number for each in plain["phrases"] for number in (*each["scores"], *each["point"])
        ]
    if "answers" in plain:
        return [plain["answers"][0]["probability"], *sorted(each["probability"] for each in plain["answers"])]
    return [*plain["parts"]] if "parts" in plain else [plain["log_probability"]]


def assert_same(ours: Any, twin: Any, away: Without) -> None:
    """Both say the same; and our maps are the twin's with zeros for what was taken away."""
    assert what(ours) == pytest.approx(what(twin), abs=1e-6)
    assert ours.without == away
    assert ours.to_dict()["without"] == {"regions": list(away.regions), "words": list(away.words)}
    assert len(ours.attention) == len(twin.attention)
    for mine, theirs in zip(ours.attention, twin.attention, strict=True):
        assert (mine.name, mine.axes, mine.kind) == (theirs.name, theirs.axes, theirs.kind)
        weights = mine.weights
        for dimension, axis in enumerate(mine.axes, start=1):
            taken = {"regions": away.regions, "words": away.words}.get(axis, ())
            assert not mine.weights.index_select(dimension, torch.tensor(taken, dtype=torch.int64)).any()
            kept = [place for place in range(mine.weights.shape[dimension]) if place not in taken]
            weights = weights.index_select(dimension, torch.tensor(kept))
        whole = theirs.weights
        for dimension, axis in enumerate(mine.axes, start=1):  # a twin that still has the regions has no weight there
            if axis == "regions" and whole.shape[dimension] != weights.shape[dimension]:
                kept = [place for place in range(whole.shape[dimension]) if place not in away.regions]
                whole = whole.index_select(dimension, torch.tensor(kept))
        torch.testing.assert_close(weights, whole, atol=1e-6, rtol=1e-5)


@models_that_read
def test_a_word_is_taken_away_as_if_the_text_had_been_written_without_it(name: str) -> None:
    task = build(name)
    model = made(name, task)
    for row, text in enumerate(TEXTS):
        away = Without(words=AWAY[row].words)
        regions = images().take(IMAGE_OF[row : row + 1])
        [ours] = reply(name, task, model, regions, [text], [away], options_of(name, text))
        shorter = written_without(text, away)
        [twin] = reply(name, task, model, regions, [shorter], None, options_of(name, text, away))
        assert_same(ours, twin, away)
        assert ours.words == tuple(text.split())
        assert f'without the word{"s" * (len(away.words) > 1)} "' in ours.figure().lines[-1]


@models_over_sets
def test_a_region_is_taken_away_as_if_the_image_had_never_had_it(name: str) -> None:
    task = build(name)
    model = made(name, task)
    for row, text in enumerate(TEXTS):
        away, regions = Without(regions=AWAY[row].regions), images().row(int(IMAGE_OF[row]))
        options = options_of(name, text)
        [ours] = reply(name, task, model, regions, [text], [away], options)
        [twin] = reply(name, task, model, cut(regions, away), [text], None, options)
        assert_same(ours, twin, away)
        assert ours.regions.mask.shape == regions.mask.shape
        assert ours.regions.mask.all()


@every_model
def test_nothing_is_seen_of_a_region_that_was_taken_away(name: str) -> None:
    """The twin has other features there, and so has what pads."""
    task = build(name)
    model = made(name, task)
    away, regions = Without(regions=(1, 4)), images()
    features = regions.features.clone()
    features[:, [1, 4]] = 100.0
    texts, options = TEXTS[:2], options_of(name, TEXTS[0])
    if output_of(name) is Groundings:
        texts = [TEXTS[0]] * 2
    ours = reply(name, task, model, regions, texts, [away] * 2, options)
    others = reply(name, task, model, replace(regions, features=features), texts, [away] * 2, options)
    whole = reply(name, task, model, regions, texts, None, options)
    for mine, theirs, before in zip(ours, others, whole, strict=True):
        assert what(mine) == pytest.approx(what(theirs), abs=1e-9)
        if name != "question-only":
            assert what(mine) != pytest.approx(what(before), abs=1e-6)
        for one, other in zip(mine.attention, theirs.attention, strict=True):
            assert torch.equal(one.weights, other.weights)


@every_model
def test_in_a_batch_each_has_its_own_taken_away(name: str) -> None:
    """Texts that share images, with all, some and nothing taken away of each."""
    task = build(name)
    model = made(name, task)
    texts = [*TEXTS, TEXTS[0], TEXTS[0]]
    away = [*AWAY, NOTHING, Without((0, 1, 2, 3), (0,))]
    rows = torch.tensor([1, 0, 1, 1, 0])
    if output_of(name) is Captions:
        away, texts = [replace(each, words=()) for each in away], []
        regions = images().take(rows)
    else:
        regions = images().grouped(Grouping.of(rows))
    options = GroundingOptions() if output_of(name) is Groundings else None
    together = reply(name, task, model, regions, texts or None, away, options)
    for row, (found, each) in enumerate(zip(together, away, strict=True)):
        regions = images().take(rows[row : row + 1])
        [alone] = reply(name, task, model, regions, texts[row : row + 1] or None, [each], options)
        assert what(found) == pytest.approx(what(alone), abs=1e-6)
        for one, other in zip(found.attention, alone.attention, strict=True):
            torch.testing.assert_close(one.weights, other.weights, atol=1e-6, rtol=1e-5)
        assert found.to_dict()["without"] == each.to_dict()
        assert found.figure().to_dict()["lines"] is not None


@every_model
def test_an_image_of_which_all_regions_are_taken_away(name: str) -> None:
    """What finds phrases has nothing to find them in; any other says the same of every image, and looks nowhere."""
    task = build(name)
    model, away = made(name, task), [Without(regions=tuple(range(count))) for count in (7, 5)]
    options, texts = options_of(name, TEXTS[0]), [TEXTS[0]] * 2
    if output_of(name) is Groundings:
        with pytest.raises(DataError, match="expected one left to find phrases in, got all 5 taken away"):
            reply(name, task, model, images(), texts, [NOTHING, away[1]], options)
        return
    found, other = reply(name, task, model, images(), texts, away, options)
    assert what(found) == pytest.approx(what(other), abs=1e-6)
    assert all(torch.tensor(number).isfinite() for number in what(found))
    for each in found.attention:
        assert "regions" not in each.axes or not each.weights.any()
    assert "without regions 0, 1, 2, 3, 4, 5, 6" in found.figure().lines
    assert found.figure().to_dict()


@pytest.mark.parametrize("tokeniser", TOKENISERS)
def test_what_is_left_are_the_ids_of_the_words_that_are_left(tokeniser: str) -> None:
    texts = ["the dog's ball, is it red-ish?", "who doesn't see a CAT"]
    vocabulary = Vocabulary.build([texts[0], "who does see a"], tokeniser=tokeniser)
    away = [Without(words=(0, 2)), Without(words=(1,))]
    left = left_texts(vocabulary, texts, away, max_words=None)
    for row, (text, each) in enumerate(zip(texts, away, strict=True)):
        words = vocabulary.words(text)
        kept = [word for place, word in enumerate(words) if place not in each.words]
        ids = vocabulary.encode([" ".join(kept)]).ids[0].tolist()
        assert left.words.ids[row][left.words.mask[row]].tolist() == ids
        assert left.shown[row] == tuple(words)
        assert left.unknown[row] == tuple(word for word in kept if word not in vocabulary)


def test_a_text_that_is_cut_is_cut_where_one_written_without_the_words_is() -> None:
    task = build("r-dan", max_words=4)
    model, regions = made("r-dan", task), images().row(0)
    text, away = TEXTS[0], Without(words=(1, 4))
    assert reply("r-dan", task, model, regions, [text])[0].words == ("the", "small", "dog", "sees")
    [ours] = reply("r-dan", task, model, regions, [text], [away])
    [twin] = reply("r-dan", task, model, regions, [written_without(text, away)])
    assert twin.words == ("the", "dog", "sees", "red")
    assert ours.words == ("the", "small", "dog", "sees", "a", "red")
    assert_same(ours, twin, away)
    # What one took away first can be put back alone.
    [back] = reply("r-dan", task, model, regions, [text], [Without(words=(4,))])
    assert what(back) == pytest.approx(what(reply("r-dan", task, model, regions, [text])[0]))
    with pytest.raises(DataError, match=r"what is read of 'the small .*' has 4 words, 0 to 3, got 5"):
        reply("r-dan", task, model, regions, [text], [Without(words=(5,))])


def test_phrases_move_with_their_words_and_one_that_loses_all_is_refused() -> None:
    task = build("r-dan-grounder")
    model, regions, text = made("r-dan-grounder", task), images().row(0), TEXTS[0]

    def found(away: Without, *phrases: str) -> Any:
        options = GroundingOptions(phrase=phrases)
        return reply("r-dan-grounder", task, model, regions, [text], [away], options)[0]

    named = found(Without(words=(0, 3)), "a red ball", "small dog")
    assert [(each.text, each.words) for each in named.phrases] == [("a red ball", (4, 7)), ("small dog", (1, 3))]
    with pytest.raises(DataError, match="expected a word left of 'small dog', got all taken away; leave one of them"):
        found(Without(words=(1, 2)), "a red ball", "small dog")
    noticed = [each.text for each in found(NOTHING).phrases]
    assert noticed == ["the small dog", "a red ball"]
    assert [each.text for each in found(Without(words=(0, 1, 2))).phrases] == ["a red ball"]
    with pytest.raises(DataError, match="expected a word left of 'the small dog'"):
        found(Without(words=(0, 1, 2, 4, 5, 6)))
    weights = found(Without(regions=(2, 3))).weights
    assert not weights[:, 2:4].any()
    torch.testing.assert_close(weights.sum(1), torch.ones(2))


@pytest.mark.parametrize(
    ("away", "message"),
    [
        (Without(regions=(2, 5)), "the image has 5 regions, 0 to 4, got 5"),
        (Without(words=(7,)), "what is read of 'the small dog sees a red ball' has 7 words, 0 to 6, got 7"),
        (Without(words=tuple(range(7))), "expected at least one left of 'the small .*', got all 7 taken away"),
    ],
)
def test_what_is_not_there_cannot_be_taken_away(away: Without, message: str) -> None:
    task = build("r-dan")
    with pytest.raises(DataError, match=message):
        reply("r-dan", task, made("r-dan", task), images().row(1), TEXTS[:1], [away])


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ((-1,), "from 0 on, got -1"),
        ((1, 1), "each number once, got 1 twice; leave one out"),
        ((True,), "from 0 on, got True"),
    ],
)
@pytest.mark.parametrize("what", ["regions", "words"])
def test_numbers_that_cannot_be(what: str, numbers: tuple[Any, ...], message: str) -> None:
    with pytest.raises(RecipeError, match=rf"without {what}: expected .*{message}"):
        Without(**{what: numbers})


def test_numbers_are_kept_in_rising_order() -> None:
    assert Without((3, 1), (2, 0)) == Without((1, 3), (0, 2))
    assert not Without()
    assert Without(words=(0,))


def test_a_run_that_reads_no_words_has_none_to_take_away() -> None:
    task = build("nic")
    with pytest.raises(RecipeError, match="this run writes captions, so that there are no words to take away"):
        reply("nic", task, made("nic", task), images(), None, [Without(words=(0,))] * 2)


# Through Predictor


QUESTION = "what color is the large circle?"


@pytest.fixture(scope="module")
def predictor(trained_run) -> Predictor:
    return Predictor.from_pretrained(trained_run, device="cpu")


def near(ours: Any, twin: Any) -> None:
    assert what(ours) == pytest.approx(what(twin), abs=1e-5)
    for one, other in zip(ours.attention, twin.attention, strict=True):
        torch.testing.assert_close(one.weights, other.weights, atol=1e-5, rtol=0)


def test_one_for_all_or_one_for_each_reply(predictor, scene, tmp_path) -> None:
    questions = [QUESTION, "is there a cross?", QUESTION]
    each = [Without((3, 4), (1,)), NOTHING, Without(tuple(range(100)))]
    for found, question, away in zip(predictor(scene, questions, without=each), questions, each, strict=True):
        near(found, predictor.ask(scene, question, without=away))
        assert found.without == away
        assert found.regions.grid == (12, 12)
    for found, question in zip(predictor(scene, questions, without=each[0]), questions, strict=True):
        near(found, predictor.ask(scene, question, without=each[0]))
    broken = tmp_path / "broken.png"
    broken.write_text("no image")
    with pytest.warns(UserWarning, match="left out"):
        left = predictor([broken, scene, scene], QUESTION, without=each, on_error="skip")
    assert left[0] is None
    near(left[1], predictor.ask(scene, QUESTION))
    near(left[2], predictor.ask(scene, QUESTION, without=each[2]))


def test_many_replies_each_without_something_else(predictor, scene) -> None:
    each = [Without((place,), (place % 6,)) for place in range(70)]  # more than one batch
    found = predictor(scene, [QUESTION] * 70, without=each)
    for place in (0, 31, 32, 69):
        near(found[place], predictor.ask(scene, QUESTION, without=each[place]))
    assert len({reply.answers[0][1] for reply in found}) > 35


@pytest.mark.parametrize(
    ("without", "message"),
    [
        ([NOTHING] * 2, "expected one for all, or one for each of 3 replies, got 2"),
        ([NOTHING, None, NOTHING], r"expected saccade\.types\.Without\(regions, words\), got None"),
    ],
)
def test_others_than_one_for_each_are_refused(predictor, scene, without, message) -> None:
    with pytest.raises(RecipeError, match=message):
        predictor(scene, [QUESTION] * 3, without=without)


def test_a_sentence_is_matched_and_grounded_without(matching_run, grounding_run, scene) -> None:
    matcher, grounder = (Predictor.from_pretrained(run, device="cpu") for run in (matching_run, grounding_run))
    sentence, away = "the red circle is left of the blue square", Without((1, 2), (1,))
    matched = matcher.match(scene, sentence, without=away)
    shorter = matcher.match(scene, written_without(sentence, away), without=Without((1, 2)))
    assert matched.score == pytest.approx(shorter.score, abs=1e-5)
    assert matched.score != pytest.approx(matcher.match(scene, sentence).score, abs=1e-5)
    found = grounder.ground(scene, sentence, ["red circle"], without=away)
    assert found.without == away
    assert what(found) == pytest.approx(
        what(grounder.ground(scene, written_without(sentence, away), ["circle"], without=Without((1, 2)))), abs=1e-4
    )
    assert 'without regions 1, 2 and the word "red"' in found.figure().lines


# Prepared images


@pytest.mark.parametrize("side", [96, 1500])
def test_a_prepared_image_is_replied_to_as_the_image_itself(predictor, scene, side, tmp_path) -> None:
    with Image.open(scene) as image:
        image.convert("RGB").resize((side, side // 2)).save(tmp_path / "photo.png")
    path = tmp_path / "photo.png"
    prepared, itself = predictor.prepare(path), predictor.ask(path, QUESTION)
    assert prepared.picture.image.size == ((side, side // 2) if side < 1024 else (1024, 512))
    assert prepared.picture.name == str(path)
    replies = predictor([prepared, prepared], [QUESTION, "is there a cross?"])
    replies = [predictor.ask(prepared, QUESTION), *replies]
    assert replies[0].to_dict() == itself.to_dict()
    assert replies[0].figure().to_dict() == itself.figure().to_dict()
    near(replies[1], itself)
    named = predictor.prepare(path.read_bytes(), "from the camera")
    assert predictor.ask(named, QUESTION).to_dict() == {**itself.to_dict(), "image": "from the camera"}


def test_a_prepared_image_is_opened_once(predictor, scene, monkeypatch) -> None:
    prepared = predictor.prepare(scene)
    monkeypatch.setattr("saccade.predict.read_image", lambda *_, **__: pytest.fail("opened again"))
    monkeypatch.setattr("saccade.features.extract.read_image", lambda *_, **__: pytest.fail("opened again"))
    assert len(predictor([prepared] * 3, QUESTION)) == 3


def test_what_cannot_be_prepared_or_is_another_runs(predictor, grounding_run, scene) -> None:
    from saccade.errors import ImageError

    with pytest.raises(ImageError, match=r"gone\.png: no such image file"):
        predictor.prepare("gone.png")
    with pytest.raises(ImageError, match="image: not an image that Pillow can read"):
        predictor.prepare(b"nothing")
    other = Predictor.from_pretrained(grounding_run, device="cpu")
    with pytest.raises(RecipeError, match=r"scene\.png: prepared by a run on scenes-cnn whose features are made othe"):
        predictor.ask(other.prepare(scene), QUESTION)


# The command line


def test_flags_take_away_what_the_reply_then_lists(saccade, refused, trained_run, scene, predictor, tmp_path) -> None:
    away = ("--without-regions", 3, 4, "--without-words", 1, 4)
    outcome = saccade("ask", trained_run, scene, QUESTION, *away, "--json", "--explain", tmp_path / "look.html")
    found = json.loads(outcome.out)
    assert found["without"] == {"regions": [3, 4], "words": [1, 4]}
    assert found == json.loads(json.dumps(predictor.ask(scene, QUESTION, without=Without((3, 4), (1, 4))).to_dict()))
    page = (tmp_path / "look.html").read_text()
    assert "without regions 3, 4 and the words" in page
    refused("ask", trained_run, scene, QUESTION, "--without-words", 6, parts=("has 6 words, 0 to 5, got 6",))
    refused("ask", trained_run, scene, QUESTION, "--without-regions", 1, 1, parts=("each number once, got 1 twice",))


def test_phrases_are_grounded_without(saccade, refused, grounding_run, scene) -> None:
    sentence = "the red circle is left of the blue square"
    outcome = saccade("ground", grounding_run, scene, sentence, "--without-words", 1, "--without-regions", 0, "--json")
    assert json.loads(outcome.out)["without"] == {"regions": [0], "words": [1]}
    lost = ("--phrase", "red circle", "--without-words", 1, 2)
    refused("ground", grounding_run, scene, sentence, *lost, parts=("expected a word left of 'red circle'",))


SENTENCES = ("a large red circle", "a small blue square", "a glorp")


def test_sentences_are_matched_best_first(saccade, matching_run, scene, tmp_path) -> None:
    matcher = Predictor.from_pretrained(matching_run, device="cpu")
    scores = sorted(((matcher.match(scene, each).score, each) for each in SENTENCES), reverse=True)
    for name in ("look.png", "look.html"):
        outcome = saccade("match", matching_run, scene, *SENTENCES, "--explain", tmp_path / name)
        assert outcome.out.endswith(f"Attention drawn in {tmp_path / name}\n")
        assert (tmp_path / name).stat().st_size > 10_000
    lines = [line.split(None, 1) for line in outcome.out.splitlines()[:3]]
    assert [sentence for _, sentence in lines] == [sentence for _, sentence in scores]
    assert [float(score) for score, _ in lines] == pytest.approx([score for score, _ in scores], rel=1e-3)
    assert outcome.err == "Words never seen in training, ignored: glorp\n"
    found = json.loads(saccade("match", matching_run, scene, *SENTENCES, "--without-regions", 5, "--json").out)
    assert [each["without"]["regions"] for each in found["matches"]] == [[5]] * 3
    assert sorted((each["score"] for each in found["matches"]), reverse=True) == [
        each["score"] for each in found["matches"]
    ]
    one = saccade("match", matching_run, scene, SENTENCES[0], "--without-words", 2, "--json")
    assert json.loads(one.out)["matches"][0]["score"] == pytest.approx(
        matcher.match(scene, "a large circle").score, abs=1e-5
    )


def test_what_cannot_be_matched(refused, matching_run, trained_run, scene, tmp_path) -> None:
    refused("match", matching_run, scene, parts=("expected at least one sentence, as in: saccade match RUN",))
    refused("match", matching_run, scene, "a", "b", "--without-words", 0, parts=("one sentence's words, got 2 sent",))
    refused("match", matching_run, scene, "..", parts=("at least one word", "'..'"))
    refused("match", matching_run, tmp_path / "gone.png", "a dog", parts=("gone.png: no such image file",))
    refused("match", matching_run, scene, "a", "--explain", "x.gif", parts=("no picture format",), code=2)
    refused("match", trained_run, scene, "a dog", parts=("is for answering, not for matching: use saccade ask",))
    refused("ask", matching_run, scene, "a dog?", parts=("use saccade match, or Predictor.match",))
