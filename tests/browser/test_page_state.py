"""The page of `saccade serve` beyond one answer: two runs, links and Back, what is dropped, and files."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image
from tests.browser.conftest import complaints, until

from saccade.explain.figure import Figure

QUESTION = "what color is the circle?"


def test_two_runs_beside_each_other_on_the_same_image(page, scene_file, runs):
    page.open().give(scene_file).choose("beside", "grounder").ask("the large circle")
    answering, _, grounding, _ = (each.predictor for each in runs)
    assert page.texts(".column > header h2") == ["run", "grounder"]
    assert page.headline(0).startswith(answering.ask(scene_file, "the large circle").answer)
    found = len(grounding.ground(scene_file, "the large circle").phrases)
    assert page.headline(1).startswith(f"{found} phrase")
    left, right = (each.rect for each in page.all(".column"))
    assert left["y"] == right["y"]
    assert left["x"] + left["width"] <= right["x"]
    assert page.find("#text-label").text == "Question or sentence"


def test_the_example_of_one_run_is_shown_to_the_other(page, runs):
    page.open(run=["run", "captioner"], example=2, of="run", text=QUESTION)
    image = runs[0].examples.image(2)
    assert page.headline(1).startswith(runs[3].predictor.caption(image, beam=3, top=3)[0].caption)
    assert page.state["example"] == "2"


def test_a_link_restores_everything(page, scene_file):
    page.open().give(scene_file).choose("beside", "matcher").ask(QUESTION)
    page.click("[data-key=word-1]")
    page.wait_for(".without h3", "Without 1 word")
    page.click(".column [data-key=panel-1]")
    state, headlines = page.state, [page.headline(0), page.headline(1)]
    assert {"run", "image", "text", "panel.1", "without-words.1"} <= set(state)
    link = page.browser.current_url
    page.browser.get("about:blank")
    page.browser.get(link)
    page.settle()
    assert page.state == state
    assert [page.headline(0), page.headline(1)] == headlines
    assert page.find("#text").get_attribute("value") == QUESTION
    assert page.find("#beside").get_attribute("value") == "matcher"
    assert page.texts(".column:first-child .view output") == ["step 1 (2 of 3)", "step 1 (2 of 3)"]
    page.browser.refresh()
    page.settle()
    assert [page.headline(0), page.headline(1)] == headlines


def test_back_and_forward(page, scene_file):
    page.open().give(scene_file).ask(QUESTION)
    first = page.headline()
    page.ask("how many things are there?")
    second = page.state["text"]
    page.click("[data-key=word-0]")
    page.wait_for(".without h3", "Without 1 word")
    page.browser.back()
    until(page.browser, "!document.querySelector('.without h3')")
    assert page.state["text"] == second
    page.browser.back()
    page.settle()
    assert page.headline() == first
    assert page.find("#text").get_attribute("value") == QUESTION
    page.browser.forward()
    until(page.browser, f"document.querySelector('#text').value === {json.dumps(second)}")


def test_undo_goes_step_by_step(page):
    page.open(run="run", example=0, of="run", text=QUESTION)
    for word in (0, 2):
        page.click(f"[data-key=word-{word}]")
    page.wait_for(".without h3", "Without 2 words")
    assert page.state["without-words.1"] == "0,2"
    page.click("[data-key=undo]")
    page.wait_for(".without h3", "Without 1 word")
    assert page.state["without-words.1"] == "0"
    page.click("[data-key=undo]")
    assert "without-words.1" not in page.state


@pytest.mark.parametrize("kind", ["drop", "paste"])
def test_an_image_that_is_dropped_or_pasted(page, kind, scene_file):
    page.open(run="captioner")
    page.hand(kind, scene_file)
    page.wait_for(".headline strong")
    with Image.open(scene_file) as image:
        assert page.script("document.querySelector('#thumbnail canvas').width") == image.width


def test_downloads_are_opened_again(page, scene_file, runs):
    page.open().give(scene_file).ask(QUESTION)
    page.click("[data-key=word-1]")
    page.wait_for(".without h3", "Without 1 word")
    files = {}
    for kind in ("png", "html", "json"):
        page.click(f"[data-key=save-{kind}]")
        files[kind] = until(page.browser, lambda browser, kind=kind: saved(browser.downloads, f"saccade-ask.{kind}"))
    with Image.open(BytesIO(files["png"].read_bytes())) as image:
        assert image.format == "PNG"
        assert min(image.size) > 100
    values = json.loads(files["json"].read_text())
    assert values["reply"]["without"]["words"] == [1]
    assert Figure.from_dict(values["figure"]).title == QUESTION
    assert complaints(page.browser) == []
    page.browser.get(files["html"].as_uri())
    until(page.browser, "document.querySelectorAll('.stage canvas').length === 1")
    assert QUESTION in page.browser.title
    for file in files.values():
        file.unlink()


def saved(folder: Path, name: str) -> Path | None:
    """The file, when it is whole."""
    whole = (folder / name).is_file() and not list(folder.glob("*.crdownload"))
    return folder / name if whole else None


def test_the_command_line_that_does_the_same(page):
    page.open(run="run", example=0, of="run", text="what's red?")
    page.click("[data-key=command]")
    line = page.wait_for(".command code")
    assert line.startswith("saccade ask ")
    assert line.endswith(f"IMAGE {chr(39)}what{chr(39)}{chr(34)}{chr(39)}{chr(34)}{chr(39)}s red?{chr(39)}")
    page.click("[data-key=copy]")
    assert page.wait_for(".command [role=status]", "") in ("copied", "press Ctrl+C")
