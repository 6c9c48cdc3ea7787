"""The page of `saccade serve`, task by task: what it shows is what the library says, by mouse and by keyboard."""

from __future__ import annotations

import re

import pytest
import torch
from tests.browser.conftest import complaints, until

from saccade.types import Without

QUESTION = "what color is the circle?"
SENTENCE = "the large circle is left of the square"
ENTER, SHIFT, LET_GO, HOME, RIGHT, SPACE, TAB = "\ue007", "\ue008", "\ue000", "\ue011", "\ue014", "\ue00d", "\ue004"


@pytest.fixture(autouse=True)
def silent(browser):
    """No test leaves a complaint in the console."""
    yield
    assert complaints(browser) == []


def promised(sentence: str) -> float:
    """How much of its weight a sentence says that the map had given."""
    return float(re.search(r"this region (?:< )?([\d.]+) %", sentence).group(1))


def percentages(share: float) -> str:
    return f"{100 * share:.1f} %"


def test_a_question_about_a_file_by_mouse(page, predictors, scene_file):
    page.open().give(scene_file).ask(QUESTION)
    said = predictors["run"].ask(scene_file, QUESTION)
    assert page.headline() == f"{said.answer} {percentages(said.answers[0][1])}"
    answers = [tuple(text.split("\n")) for text in page.texts(".shares li")]
    assert answers == [(answer, percentages(share)) for answer, share in said.answers]


def test_how_many_answers_is_a_field(page, predictors, scene_file):
    page.open().give(scene_file).ask(QUESTION)
    field = page.find("#option-top")
    field.send_keys("3", ENTER)
    until(page.browser, "document.querySelectorAll('.shares li').length === 3")
    assert page.state["option.top"] == "3"


def test_an_example_is_answered_at_once_and_tells_what_is_expected(page, serving):
    first = serving.get("/api/runs/run/examples", count=1).json()["examples"][0]
    page.open()
    page.wait_for(".thumbnails button")
    page.click(".thumbnails button")
    page.wait_for(".headline", "%")
    assert page.find("#text").get_attribute("value") == first["text"]
    assert page.wait_for("#expected", "Expected") == f"Expected: {first['expected'][0]}"


def test_a_question_by_keyboard_alone(page):
    page.open()
    page.wait_for(".thumbnails button")
    page.press("e").press(ENTER).settle()
    page.wait_for(".headline", "%")
    page.press("/")
    assert page.focused == "text"
    page.press("!", ENTER).settle()
    assert page.state["text"].endswith("!")
    page.press(TAB).tab_to("slider").press(HOME)
    assert page.state["panel.1"] == "1"
    page.press(RIGHT)
    assert page.state["panel.1"] == "2"
    page.tab_to("word-0").press(ENTER)
    page.wait_for(".without h3", "Without 1 word")
    assert page.focused == "word-0"
    page.press("u").settle()
    until(page.browser, "document.querySelectorAll('.without h3').length === 0")
    assert "without-words.1" not in page.state


def test_tab_goes_through_the_page_and_out_of_it(page):
    page.open(run="run", example=0, of="run", text=QUESTION)
    page.wait_for(".headline", "%")
    page.press(TAB)
    assert page.focused == "skip"
    seen = set()
    for _ in range(120):
        outlined = "getComputedStyle(document.activeElement, null).outlineStyle !== 'none'"
        assert page.focused == "BODY" or page.script(f"document.activeElement.id === 'file' || {outlined}"), (
            page.focused
        )
        seen.add(page.focused)
        page.press(TAB)
        if page.focused in ("BODY", "skip"):
            break
    assert page.focused in ("BODY", "skip")
    assert {"run", "beside", "file", "text", "ask", "slider", "word-0", "save-json", "help"} <= seen


def test_the_skip_link_leads_to_the_answers_and_leaves_the_address(page):
    page.open(run="run", example=0, of="run", text=QUESTION)
    before = page.state
    page.press(TAB).press(ENTER)
    assert page.focused == "results"
    assert page.state == before


def test_pointing_at_a_word_and_at_a_region_tells_what_they_have_to_do_with_each_other(page):
    from selenium.webdriver import ActionChains

    page.open(run="run", example=0, of="run", text=QUESTION)
    ActionChains(page.browser).move_to_element(page.find("[data-key=word-1]")).perform()
    assert "looks at" in page.wait_for(".view [role=status]", "“color”")
    canvas = page.find(".view .stage canvas")
    ActionChains(page.browser).move_to_element(canvas).perform()
    page.wait_for(".view [role=status]", "row")


def test_captions_to_choose_from_and_to_continue(page, predictors, scene_file):
    page.open(run="captioner").give(scene_file)
    [said] = predictors["captioner"].caption(scene_file, beam=3, top=3)
    assert page.headline().startswith(said.caption)
    listed = page.texts(".captions li button")
    assert listed == [said.caption, *(text for text, _ in said.alternatives)]
    page.click("[data-key=caption-1]")
    until(page.browser, "document.querySelector('[data-key=caption-1]').getAttribute('aria-current') === 'true'")
    assert page.state["begin.1"] == said.alternatives[0][0]
    assert page.headline().startswith(said.alternatives[0][0])


def test_another_word_in_a_caption(page, predictors, scene_file):
    page.open(run="captioner").give(scene_file)
    [said] = predictors["captioner"].caption(scene_file, beam=3, top=3)
    page.click("[data-key=word-1]")
    page.find("[data-key=another]").send_keys("red", ENTER)
    page.settle()
    begin = f"{said.words[0]} red"
    page.wait_for(".captions ~ p", "Continued from")
    [other] = predictors["captioner"].caption(scene_file, beam=3, top=3, begin=begin)
    assert page.state["begin.1"] == begin
    assert other.caption.startswith(begin)
    assert page.headline().startswith(other.caption)
    page.click("[data-key=best-caption]")
    assert "begin.1" not in page.state
    assert page.headline().startswith(said.caption)


def test_a_caption_by_keyboard_alone_with_another_look(page):
    page.open(run="captioner")
    page.wait_for(".thumbnails button")
    page.press("e").press(ENTER).settle()
    page.wait_for(".headline strong")
    page.script("document.querySelector('#option-look').focus()")
    page.press("a").settle()
    assert page.state["option.look"] == "argmax"
    page.tab_to("begin").press("a", ENTER).settle()
    assert page.state["begin.1"] == "a"
    assert page.headline().startswith("a ")


def test_sentences_are_ranked(page, predictors, scene_file):
    sentences = ["a red circle", "a large square below a circle", "a cross"]
    page.open(run="matcher").give(scene_file)
    another_line = SHIFT + ENTER + LET_GO
    page.find("#text").send_keys(another_line.join(sentences), ENTER)
    page.settle()
    page.wait_for(".headline", "score")
    scores = {sentence: predictors["matcher"].match(scene_file, sentence).score for sentence in sentences}
    ranked = sorted(sentences, key=scores.__getitem__, reverse=True)
    assert page.texts(".captions li button") == ranked
    assert float(page.headline().removeprefix("score ").replace("−", "-")) == pytest.approx(scores[ranked[0]], rel=1e-3)
    page.find(f"[data-key=sentence-{sentences.index(ranked[2])}]").click()
    page.settle()
    assert page.state["chosen.1"] == str(sentences.index(ranked[2]) + 1)
    assert page.texts(".captions [aria-current=true]") == [ranked[2]]


def test_sentences_are_ranked_and_intervened_by_keyboard_alone(page, predictors):
    page.open(run="matcher", example=0, of="matcher")
    page.press("/")
    assert page.focused == "text"
    page.press("a red circle").chord(SHIFT, ENTER).press("a cross", ENTER).settle()
    page.wait_for(".headline", "score")
    ranked = page.texts(".captions li button")
    assert sorted(ranked) == ["a cross", "a red circle"]
    other = ["a red circle", "a cross"].index(ranked[1])
    page.press(TAB).tab_to(f"sentence-{other}").press(ENTER).settle()
    assert page.texts(".captions [aria-current=true]") == [ranked[1]]
    page.tab_to("word-0").press(ENTER)
    page.wait_for(".without h3", "Without 1 word")


def test_phrases_noticed_and_chosen_by_hand(page, predictors, scene_file):
    page.open(run="grounder").give(scene_file).ask(SENTENCE)
    words = SENTENCE.split()
    noticed = [each.text for each in predictors["grounder"].ground(scene_file, SENTENCE).phrases]
    assert page.texts(".captions li button") == noticed
    for place in (1, 2):
        page.click(f"[data-key=phrase-word-{place}]")
    chosen = " ".join(words[1:3])
    page.wait_for(".headline", "1 phrase")
    assert page.texts(".captions li button") == [chosen]
    assert page.state["phrase"] == chosen
    [found] = predictors["grounder"].ground(scene_file, SENTENCE, [chosen]).phrases
    assert page.texts(".captions b") == [percentages(found.found.scores[0])]


def test_words_that_come_twice_and_phrases_beside_each_other(page):
    page.open(run="grounder", example=0, of="grounder", text="the red circle is left of the blue square")
    for place in (6, 7, 1):
        page.click(f"[data-key=phrase-word-{place}]")
    assert page.find("#phrase").get_attribute("value") == "red, the blue"
    assert page.texts(".choosable [aria-pressed=true]") == ["red", "the", "blue"]
    page.click("[data-key=phrase-word-6]")
    page.wait_for(".captions li button", "blue")
    assert page.find("#phrase").get_attribute("value") == "red, blue"
    field = page.find("#phrase")
    field.clear()
    field.send_keys("red circle, is left of, blue square", ENTER)
    page.settle()
    assert page.texts(".captions li button") == ["red circle", "is left of", "blue square"]
    page.click("[data-key=phrase-word-4]")
    assert page.find("#phrase").get_attribute("value") == "red circle, is, of, blue square"
    page.ask("the red circle")
    assert page.find("#phrase").get_attribute("value") == "red circle"


def test_phrases_by_keyboard_alone(page):
    page.open(run="grounder", example=0, of="grounder", text=SENTENCE)
    page.tab_to("phrase-word-1").press(SPACE).settle()
    assert page.focused == "phrase-word-1"
    page.tab_to("phrase-0").press(ENTER)
    assert page.state["phrase"] == "large"
    assert page.state["panel.1"] == "2"


def test_what_is_taken_away_is_held_against_what_the_map_promised(page, predictors, scene_file):
    page.open().give(scene_file).ask(QUESTION)
    before = predictors["run"].ask(scene_file, QUESTION)
    grid = before.regions.grid
    place = grid[1] + 1
    page.click_region(place, grid)
    page.wait_for(".without h3", "Without 1 region")
    assert page.state["without-regions.1"] == str(place)
    after = predictors["run"].ask(scene_file, QUESTION, without=Without((place,)))
    was, now = dict(before.answers), dict(after.answers)
    names = page.texts(".compared tbody th")
    cells = page.texts(".compared tbody td")
    told = {name: tuple(cells[3 * row : 3 * row + 2]) for row, name in enumerate(names)}
    for answer in was.keys() & now.keys():
        assert told[answer] == (percentages(was[answer]), percentages(now[answer]))
    maps = [each.weights[0][place].item() for each in before.attention if each.axes == ("regions",)]
    sentence = page.wait_for(".sentence")
    assert promised(sentence) == pytest.approx(100 * sum(maps) / len(maps), abs=0.51)
    assert f"“{before.answer}”" in sentence
    assert page.headline().split(" → ")[1].startswith(after.answer)
    page.click("[data-key=restore]")
    assert page.headline() == f"{before.answer} {percentages(was[before.answer])}"
    assert "without-regions.1" not in page.state


@pytest.mark.parametrize(
    ("name", "said", "axes"),
    [
        ("captioner", "the caption", ("words", "regions")),
        ("matcher", "the score", ("regions",)),
        ("grounder", "box", ("phrases", "regions")),
    ],
)
def test_each_task_says_what_the_maps_promised_and_what_became_of_it(page, predictors, name, said, axes, scene_file):
    page.open(run=name).give(scene_file)
    if name != "captioner":
        page.ask(SENTENCE)
    page.wait_for(".headline")
    page.click(".numbers summary")
    page.wait_for("[data-key=away-4], .numbers table")
    page.click("[data-key=away-4]")
    sentence = page.wait_for(".sentence")
    assert said in sentence
    asked = ({"beam": 3, "top": 3}, None) if name == "captioner" else ({}, SENTENCE)
    [reply] = predictors[name](scene_file, asked[1], **asked[0])
    maps = torch.cat([each.weights.flatten(0, -2) for each in reply.attention if each.axes == axes])
    assert promised(sentence) == pytest.approx(100 * (maps[:, 4] / maps.sum(1)).mean().item(), abs=0.51)
    assert page.texts(".after .stage canvas") == [""]
    assert page.focused == "away-4"
