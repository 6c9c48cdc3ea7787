"""Searching on the page of `saccade serve`: hits with their maps, by words, by an image, and sentences for an image."""

from __future__ import annotations

import pytest
from tests.browser.conftest import complaints
from tests.browser.serving import Page
from tests.serve.running import Running

from saccade.index.embedder import Embedder
from saccade.index.searching import Query
from saccade.index.sentences import index_sentences
from saccade.serve.runs import ServedIndex

ENTER = "\ue007"


@pytest.fixture(autouse=True)
def silent(browser):
    """No test leaves a complaint in the console."""
    yield
    assert complaints(browser) == []


def test_a_search_shows_hits_with_their_maps(page, serving):
    hits = serving.post("/api/search", {"index": "photos", "text": "a red circle"}).json()["hits"]
    page.open(run="search:photos").ask("a red circle")
    page.wait_for(".hits button")
    assert page.texts(".hits button > span:not(.unlikely)") == [hit["id"] for hit in hits]
    unlikely = page.script("[...document.querySelectorAll('.hits button')].map(e => e.innerText.includes('unlikely'))")
    assert unlikely == [hit["unlikely"] for hit in hits]
    page.click("[data-key=hit-2]")
    page.wait_for(".view h3", hits[2]["id"])
    assert page.state["chosen.1"] == "3"


def test_a_search_by_keyboard_alone(page, serving):
    page.open(run="search:photos").press("/")
    assert page.focused == "text"
    page.press("a red circle", ENTER).settle()
    page.wait_for(".hits button")
    page.tab_to("hit-1").press(ENTER)
    hits = serving.post("/api/search", {"index": "photos", "text": "a red circle"}).json()["hits"]
    page.wait_for(".view h3", hits[1]["id"])
    assert page.state["chosen.1"] == "2"
    assert page.focused == "hit-1"


def test_a_search_by_an_image(page, serving, scene_file):
    page.open(run="search:photos").give(scene_file)
    page.click("#with-image")
    page.click("#ask")
    token = serving.keep(scene_file.read_bytes())
    hits = serving.post("/api/search", {"index": "photos", "image": token}).json()["hits"]
    assert page.wait_for(".hits button").startswith(hits[0]["id"]) or hits[0]["id"] in page.texts(".hits button")[0]


def test_sentences_are_found_by_an_image(browser, runs, matching_run, scene_file, tmp_path):
    said = tmp_path / "said.txt"
    said.write_text("a red circle\na blue square\na green cross\n")
    index_sentences(Embedder(matching_run, device="cpu"), said, tmp_path / "said")
    index = ServedIndex(str(tmp_path / "said"))
    try:
        with Running(runs[1:2], [index]) as running:
            page = Page(browser, running.port).open(run="search:said")
            assert not page.find("#text").is_displayed()
            page.give(scene_file)
            page.wait_for(".hits button")
            hits = index.searcher.search(Query(image=scene_file))
            assert page.texts(".hits button > span") == [hit.id for hit in hits]
    finally:
        index.searcher.close()
