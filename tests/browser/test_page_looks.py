"""How the page of `saccade serve` looks and loads: accessible in both themes, from phone to wide, at once."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest
from tests.browser.conftest import complaints, look, phone, until, violations

QUESTION = "what color is the circle?"
# Each task in a state that shows most of what it has.
STATES = {
    "nothing": {},
    "answering": {"run": "run", "example": 0, "of": "run", "text": QUESTION, "without-regions.1": "3-5"},
    "captioning": {"run": "captioner", "example": 0, "of": "captioner", "begin.1": "a red", "panel.1": 2},
    "matching": {"run": "matcher", "example": 0, "of": "matcher", "text": "a red circle\na cross\na square"},
    "grounding": {"run": "grounder", "example": 0, "of": "grounder", "text": "the circle is red", "phrase": "circle"},
    "search": {"run": "search:photos", "text": "a red circle"},
    "two": {"run": ["run", "grounder"], "example": 1, "of": "run", "text": "the circle", "without-words.1": "0"},
    "problem": {"run": "run", "image": "gone", "text": QUESTION},
}


@pytest.mark.parametrize("name", STATES)
def test_axe_finds_nothing_and_no_width_scrolls_sideways(page, name):
    page.open(**STATES[name])
    if name not in ("nothing", "problem"):
        page.wait_for(".files")
    for summary in page.all(".side summary"):
        page.script("arguments[0].click()", summary)
    said = complaints(page.browser)
    assert all("404" in each for each in said), said
    for theme in ("light", "dark"):
        look(page.browser, theme)
        assert violations(page.browser) == []
    phone(page.browser)
    assert violations(page.browser) == []
    for width in (360, 640, 1024, 1920):
        phone(page.browser, width)
        assert page.script("document.documentElement.scrollWidth") <= width
    assert complaints(page.browser) == []


def test_on_a_phone_columns_are_below_each_other(page):
    phone(page.browser)
    page.open(**STATES["two"])
    first, second = (each.rect for each in page.all(".column"))
    assert first["x"] == second["x"]
    assert second["y"] >= first["y"] + first["height"]


def test_keys_are_listed_and_can_be_switched_off(page):
    page.open()
    page.press("?")
    until(page.browser, "document.querySelector('#keys').open")
    assert violations(page.browser) == []
    assert "undo" in page.find("#keys").text
    page.click("#keys-on")
    page.press("\ue00c")
    until(page.browser, "!document.querySelector('#keys').open")
    page.press("/")
    assert page.focused != "text"
    page.click("#help")
    page.click("#keys-on")
    page.press("\ue00c", "/")
    assert page.focused == "text"


def test_the_theme_is_switched_and_remembered(page):
    def paper() -> str:
        return page.script("getComputedStyle(document.documentElement).backgroundColor")

    look(page.browser, "light")
    page.open(**STATES["answering"])
    light = paper()
    page.click("#theme")
    page.click("#theme")
    assert page.find("#theme").text == "Theme: dark"
    dark = paper()
    assert dark != light
    assert page.script("getComputedStyle(document.querySelector('.view')).colorScheme") == "dark"
    assert violations(page.browser) == []
    page.browser.refresh()
    assert paper() == dark
    page.settle().click("#theme")
    assert paper() == light
    look(page.browser, "dark")
    assert paper() == dark


def test_the_first_paint_comes_within_a_second(page):
    page.open()
    page.open()
    paint = "performance.getEntriesByType('paint').find(each => each.name === 'first-contentful-paint')?.startTime"
    assert until(page.browser, paint) < 1000


def test_nothing_is_loaded_from_elsewhere(page):
    page.open(**STATES["answering"])
    loaded = page.script("performance.getEntriesByType('resource').map(each => each.name)")
    assert all(each.startswith(page.address) for each in loaded)
    weights = page.script("performance.getEntriesByType('resource').map(each => each.encodedBodySize)")
    scripts = [weight for name, weight in zip(loaded, weights, strict=True) if re.search(r"\.(js|css)$", name)]
    assert sum(scripts) < 200_000


def test_every_module_is_loaded_at_once():
    page = files("saccade.serve") / "page"
    markup = (page / "index.html").read_text()
    preloaded = set(re.findall(r'rel="modulepreload" href="([^"]+)"', markup))
    own = {f"/page/{each.name}" for each in page.iterdir() if each.name.endswith(".js")}
    viewer = {
        f"/viewer/{each.name}" for each in (files("saccade.explain") / "viewer").iterdir() if each.name.endswith(".js")
    }
    assert own - preloaded == {"/page/main.js", "/page/theme.js"}
    assert preloaded - own <= viewer
    imported = {name for each in page.iterdir() if each.name.endswith(".js") for name in modules(each.read_text())}
    assert imported <= preloaded


def modules(script: str) -> set[str]:
    """The addresses that a module of the page imports."""
    found = re.findall(r'from "([^"]+)"', script)
    return {name.replace("./", "/page/", 1) if name.startswith("./") else name for name in found}


def test_markup_has_no_styles_and_no_scripts_of_its_own():
    markup = (files("saccade.serve") / "page" / "index.html").read_text()
    assert "style=" not in markup
    assert not re.search(r"<script(?![^>]*\bsrc=)", markup)
    assert not re.search(r"\bon\w+=", markup)
