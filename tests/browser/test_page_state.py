"""The page of `saccade serve` beyond one answer: two runs, links and Back, files, and everything that goes wrong."""

from __future__ import annotations

import json
import time
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image
from tests.browser.conftest import complaints, until
from tests.browser.serving import Page
from tests.serve.running import Running

from saccade.explain.figure import Figure
from saccade.serve.problems import RequestError

ESCAPE = "\ue00c"
QUESTION = "what color is the circle?"
DROP = """
const [name, type, kind, text] = arguments;
const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
const data = new DataTransfer();
if (name) data.items.add(new File([bytes], name, { type }));
const event = kind === "paste" ? new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true })
  : new DragEvent(kind, { dataTransfer: data, bubbles: true, cancelable: true });
document.body.dispatchEvent(event);
"""
# Holds back the first request of a kind until it is aborted, and remembers that it was.
HOLD = """
const real = window.fetch;
window.aborted = 0;
window.held = 0;
window.fetch = (path, request) => {
  if (path !== arguments[0] || window.held) return real(path, request);
  window.held += 1;
  return new Promise((_, reject) => request.signal.addEventListener("abort", () => {
    window.aborted += 1;
    reject(request.signal.reason);
  }));
};
"""


@pytest.fixture
def scene_file(scenes_folder) -> Path:
    return scenes_folder / "0.png"


@pytest.fixture
def own_page(browser, runs):
    """The page of a server of one's own, and that server, which may be stopped."""
    with Running(runs[:1], []) as running:
        yield Page(browser, running.port), running


def encoded(file: Path) -> str:
    from base64 import b64encode

    return b64encode(file.read_bytes()).decode("ascii")


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


def test_an_image_that_is_no_longer_held_says_so_and_keeps_all_else(page, serving, scene_file):
    page.open().give(scene_file).ask(QUESTION)
    serving.ask("DELETE", f"/api/images/{page.state['image']}")
    page.browser.refresh()
    page.settle()
    assert "no longer held" in page.alerts[0]
    assert page.find("#text").get_attribute("value") == QUESTION
    page.give(scene_file).ask()
    assert page.alerts == []
    page.wait_for(".headline", "%")
    assert all("404" in each for each in complaints(page.browser))


def test_an_image_that_the_server_dropped_is_uploaded_again(page, serving, scene_file):
    page.open().give(scene_file).ask(QUESTION)
    token = page.state["image"]
    serving.ask("DELETE", f"/api/images/{token}")
    page.ask("how many things are there?")
    assert page.alerts == []
    assert page.state["image"] != token
    page.wait_for(".headline", "%")


@pytest.mark.parametrize("kind", ["drop", "paste"])
def test_an_image_that_is_dropped_or_pasted(page, kind, scene_file):
    page.open(run="captioner")
    page.browser.execute_script(DROP, "scene.png", "image/png", kind, encoded(scene_file))
    page.wait_for(".headline strong")
    with Image.open(scene_file) as image:
        assert page.script("document.querySelector('#thumbnail canvas').width") == image.width


def test_what_is_dropped_and_is_no_file(page):
    page.open()
    page.browser.execute_script(DROP, "", "", "drop", "")
    assert "no file" in page.alerts[0]


@pytest.mark.parametrize(
    ("name", "kept_bytes", "said"), [("broken.png", 300, "image"), ("notes.txt", 0, "expected"), ("a.png", 8, "image")]
)
def test_what_is_no_image_is_refused_in_words(page, tmp_path, name, kept_bytes, said, scene_file):
    page.open().give(scene_file).ask(QUESTION)
    kept = page.state, page.headline()
    (tmp_path / name).write_bytes(scene_file.read_bytes()[:kept_bytes] or b"no image")
    page.give(tmp_path / name)
    assert said in page.alerts[0]
    assert (page.state, page.headline()) == kept
    complaints(page.browser)


def test_an_image_that_is_too_large_is_not_sent(browser, runs, scene_file):
    with Running(runs[:1], [], upload=1000) as running:
        page = Page(browser, running.port).open().give(scene_file)
        assert "at most 0.0 MB" in page.alerts[0]
        assert complaints(browser) == []


def test_a_text_of_unknown_words_only(page):
    page.open(run="run", example=0, of="run", text=QUESTION)
    before = page.headline()
    page.ask("xyzzy plugh")
    assert page.alerts or "xyzzy" in page.wait_for(".note")
    page.open(run="run", example=0, of="run", text=QUESTION).ask("?!")
    assert page.alerts[0]
    assert page.find("#text").get_attribute("value") == "?!"
    page.ask(QUESTION)
    assert page.headline() == before
    assert page.alerts == []
    complaints(page.browser)


def test_a_phrase_that_the_sentence_does_not_have(page):
    page.open(run="grounder", example=0, of="grounder", text="the red circle")
    field = page.find("#phrase")
    field.send_keys("red cirle", "\ue007")
    page.settle()
    assert "cirle" in page.alerts[0]
    assert page.find("#phrase").get_attribute("value") == "red cirle"
    complaints(page.browser)


def test_a_server_that_has_stopped(own_page):
    page, server = own_page
    page.open(run="run", example=0, of="run", text=QUESTION)
    answer = page.headline()
    server.stop()
    server.join()
    page.ask("is there a circle?")
    assert "does not answer" in page.alerts[0]
    assert page.headline() == answer
    assert page.find("#text").get_attribute("value") == "is there a circle?"
    complaints(page.browser)


def test_a_busy_server_is_asked_again(own_page, monkeypatch):
    page, server = own_page
    page.open(run="run", example=0, of="run")
    refused = []

    def busy() -> None:
        if len(refused) < 2:
            refused.append(time.monotonic())
            raise RequestError(429, "64 requests wait already", {"Retry-After": "1"})

    monkeypatch.setattr(server.service.queue, "check_room", busy)
    field = page.find("#text")
    field.send_keys(QUESTION, "\ue007")
    page.wait_for(".progress", "asking again in 1 s")
    page.wait_for(".headline", "%")
    assert len(refused) == 2
    assert refused[1] - refused[0] >= 1
    complaints(page.browser)


def test_a_later_question_stops_the_earlier(page):
    page.open(run="run", example=0, of="run")
    page.browser.execute_script(HOLD, "/api/ask")
    field = page.find("#text")
    field.send_keys("is it red?", "\ue007")
    page.wait_for(".progress", "Asking")
    field.clear()
    field.send_keys(QUESTION, "\ue007")
    page.wait_for(".headline", "%")
    assert page.script("window.aborted") == 1
    assert page.settle().alerts == []


@pytest.mark.parametrize("way", ["button", "key"])
def test_stop_stops(page, way):
    page.open(run="run", example=0, of="run")
    page.browser.execute_script(HOLD, "/api/ask")
    page.find("#text").send_keys(QUESTION, "\ue007")
    page.wait_for(".progress", "Asking")
    if way == "button":
        page.find("[data-key=stop]").click()
    else:
        page.press(ESCAPE)
    page.settle()
    assert page.focused == ("column-0" if way == "button" else "text")
    assert page.script("window.aborted") == 1
    assert page.alerts == []


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


def test_a_run_that_is_not_served_here(page):
    page.open(run="another", text=QUESTION)
    assert "no run named another" in page.alerts[0]
    assert page.find("#text").get_attribute("value") == QUESTION


def test_what_people_write_is_never_markup(page, scene_file):
    text = "<img src=x onerror=alert(1)> <b>red</b> & \"'?"
    page.open().give(scene_file).ask(text)
    assert page.state["text"] == text
    assert page.all("#results b > b, #results img") == []
