"""What goes wrong on the page of `saccade serve`, is stopped or waits: it says so in words, and nothing is lost."""

from __future__ import annotations

import time

import pytest
from tests.browser.conftest import complaints
from tests.browser.serving import Page
from tests.serve.running import Running

from saccade.serve.problems import RequestError

ESCAPE = "\ue00c"
QUESTION = "what color is the circle?"
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


def test_what_is_dropped_and_is_no_file(page):
    page.open()
    page.hand("drop")
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


def test_a_run_that_is_not_served_here(page):
    page.open(run="another", text=QUESTION)
    assert "no run named another" in page.alerts[0]
    assert page.find("#text").get_attribute("value") == QUESTION


def test_what_people_write_is_never_markup(page, scene_file):
    text = "<img src=x onerror=alert(1)> <b>red</b> & \"'?"
    page.open().give(scene_file).ask(text)
    assert page.state["text"] == text
    assert page.all("#results b > b, #results img") == []
