"""The viewer's modules as a page is served with them: taking regions and words away, writing words, a strict policy."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any

import numpy as np
import pytest
from tests.browser.conftest import complaints, look, until, violations
from tests.browser.viewing import (
    DRAWN,
    STAGE,
    a_linked_answer,
    actions,
    all_of,
    at_fraction,
    at_region,
    leave,
    one,
    pixels,
    pressed,
    said,
    texts,
)
from tests.explain.samples import a_caption, a_map, an_answer, peaked

from saccade.explain import Figure, RegionWeights
from saccade.explain.weights import scale_top, scaled, short_text, strongest, weight_text

ENTER, SPACE, TAB, RIGHT = "\ue007", "\ue00d", "\ue004", "\ue014"
KINDS = {".js": "text/javascript", ".css": "text/css"}
SHELL = (
    '<!DOCTYPE html><html lang="en"><head><title>t</title><link rel="stylesheet" href="/viewer/viewer.css"></head>'
    '<body><main class="saccade"><h1>Page</h1><div id="one" class="saccade"></div></main>'
    '<script type="module" src="/start.js"></script></body></html>'
)
START = """
import { showFigure } from "/viewer/viewer.js";
window.calls = [];
const figure = await (await fetch("/figure.json")).json();
const given = await (await fetch("/options.json")).json();
const told = (name) => (...values) => window.calls.push([name, ...values]);
for (const name of ["onAway", "onWord", "onPanel"]) if (given[name]) given[name] = told(name);
const place = document.querySelector("#one");
window.show = (more = {}) => { window.view = showFigure(place, figure, { ...given, ...more }); };
window.show();
"""


class Pages(ThreadingHTTPServer):
    """Serves what it holds by path: (content type, content)."""

    def __init__(self, held: dict[str, tuple[str, bytes]]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.held = held


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        kind, content = self.server.held.get(self.path, ("", b""))
        self.send_response(200 if kind else 404)
        self.send_header("Content-Type", kind or "text/plain")
        self.send_header("Content-Security-Policy", "default-src 'self'")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *values: Any) -> None:
        """Nothing: the tests say what went wrong."""


@pytest.fixture
def served(browser) -> Iterator[Callable[..., Any]]:
    """Opens a figure in a page that is served under `default-src 'self'`, with options of `showFigure`."""
    folder = files("saccade.explain.viewer")
    held = {"/": ("text/html", SHELL.encode()), "/start.js": (KINDS[".js"], START.encode())}
    held["/favicon.ico"] = ("image/png", b"")
    for suffix, kind in KINDS.items():
        named = [each for each in folder.iterdir() if each.name.endswith(suffix)]
        held |= {f"/viewer/{each.name}": (kind, each.read_bytes()) for each in named}
    server = Pages(held)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()

    def opened(figure: Figure, **options: Any) -> Any:
        for name, value in (("figure", figure.to_dict()), ("options", options)):
            held[f"/{name}.json"] = ("application/json", json.dumps(value).encode())
        browser.get(f"http://127.0.0.1:{server.server_port}/")
        until(browser, f"window.view && {DRAWN}")
        return browser

    yield opened
    browser.get("about:blank")
    server.shutdown()
    thread.join()
    server.server_close()


def calls(browser: Any) -> list[Any]:
    """What the page was told since it was last asked."""
    return [tuple(call) for call in browser.execute_script("return window.calls.splice(0)")]


def away(regions: list[int], words: list[int]) -> tuple[str, dict[str, list[int]]]:
    return "onAway", {"regions": regions, "words": words}


def test_a_view_is_given_chosen_and_ended(served):
    browser = served(a_linked_answer(), onPanel=True, panel=1)
    found = browser.execute_script("return [view.selected, view.figure.title, view.element.id]")
    assert found == [1, "What color is it?", "one"]
    browser.execute_script("view.select(0)")
    assert calls(browser) == [("onPanel", 0)]
    browser.execute_script("view.select(7)")
    assert browser.execute_script("return view.selected") == 1
    assert texts(browser, "#one h2") == ["What color is it?"]
    browser.execute_script("show({ heading: 4 })")
    assert texts(browser, "#one h4") == ["What color is it?"]
    assert complaints(browser) == []
    browser.execute_script("const old = view; show(); old.destroy()")
    assert texts(browser, "#one h2") == ["What color is it?"]
    browser.execute_script("view.destroy()")
    assert texts(browser, "#one") == [""]


def test_clicks_take_regions_and_words_away_and_put_them_back(served):
    browser = served(a_linked_answer(), onAway=True, panel=1)
    before = pixels(browser)
    at_region(browser, 7).click().perform()
    assert calls(browser) == [away([7], [])]
    all_of(browser, "button.word")[1].click()
    assert calls(browser) == [away([7], [1])]
    word = all_of(browser, "button.word")[1]
    assert pressed(browser) == [False, True, False, False]
    assert "line-through" in word.find_element("css selector", "span").value_of_css_property("text-decoration")
    assert "taken away" in word.get_attribute("textContent")
    assert said(browser) == "“color” is taken away"
    assert "Taken away: 1 region and 1 word" in one(browser, ".tools").text
    leave(browser)
    changed = np.abs(pixels(browser) - before).sum(axis=2) > 60
    assert "taken away: 1 region" in one(browser, STAGE).get_attribute("aria-label")
    height, width = changed.shape
    inside = changed[height // 3 : 2 * height // 3, 2 * width // 5 : 3 * width // 5]
    assert inside.mean() > 0.5
    assert inside.sum() > 0.97 * changed.sum()
    at_region(browser, 7).click().perform()
    assert calls(browser) == [away([], [1])]
    one(browser, "[data-key=back]").click()
    assert calls(browser) == [away([], [])]
    assert one(browser, "[data-key=back]").get_attribute("disabled")


def test_a_dragged_box_takes_all_regions_away_whose_centres_lie_in_it(served):
    browser = served(a_linked_answer(), onAway=True, away={"regions": [14], "words": []})
    at_fraction(browser, 0.05, 0.05).click_and_hold().perform()
    at_fraction(browser, 0.35, 0.4).perform()
    at_fraction(browser, 0.55, 0.55).release().perform()
    assert calls(browser) == [away([0, 1, 2, 5, 6, 7, 14], [])]


def test_a_click_pins_where_that_is_chosen_and_the_choice_stays(served):
    browser = served(a_linked_answer(), onAway=True)
    one(browser, "[data-key=taking-false]").click()
    at_region(browser, 7).click().perform()
    all_of(browser, "button.word")[2].click()
    assert calls(browser) == []
    assert pressed(browser) == [False, False, True, False]
    browser.execute_script("show()")
    assert one(browser, "[data-key=taking-false]").is_selected()


def test_everything_is_done_by_keyboard_too(served):
    browser = served(a_linked_answer(), onAway=True)
    all_of(browser, "button.word")[0].send_keys(SPACE)
    assert calls(browser) == [away([], [0])]
    one(browser, "summary").send_keys(ENTER)
    until(browser, "document.querySelector('[data-key=away-3]')")
    one(browser, "[data-key=away-3]").send_keys(SPACE)
    assert calls(browser) == [away([3], [0])]
    # The page draws the answer's new figure in the same place: the focus stays where it was.
    browser.execute_script("show({ away: { regions: [3], words: [0] } })")
    until(browser, "document.activeElement.dataset.key === 'away-3'")
    assert one(browser, "[data-key=away-3]").is_selected()
    browser.execute_script("document.activeElement.blur()")
    one(browser, "body").click()
    reached = set()
    for _ in range(60):
        actions(browser).send_keys(TAB).perform()
        reached.add(browser.execute_script("return document.activeElement.dataset?.key"))
    keys = "taking-true back stage slider word-0 word-3 panel-0 panel-1 numbers away-3 region-3"
    assert set(keys.split()) - reached == set()


def test_of_regions_that_overlap_the_strongest_is_found_and_without_weights_the_smallest(served):
    boxes = np.array([[0.0, 0.0, 1.0, 1.0], [0.2, 0.2, 0.8, 0.8], [0.3, 0.3, 0.7, 0.7]])
    figure = an_answer(attention=(a_map([0.2, 0.7, 0.1], ("regions",), "hop 1"),), boxes=boxes, grid=None)
    browser = served(figure, onAway=True, panel=1)
    at_fraction(browser, 0.5, 0.5).click().perform()
    assert calls(browser) == [away([1], [])]


def test_regions_and_words_that_a_figure_does_not_have_are_given(served):
    boxes = [[0.0, 0.0, 1.0, 1.0], [0.2, 0.2, 0.8, 0.8], [0.3, 0.3, 0.7, 0.7]]
    given = {"regions": {"boxes": boxes, "grid": None}, "words": ["what", "color"]}
    browser = served(an_answer(attention=(), grid=None), onAway=True, **given)
    at_fraction(browser, 0.5, 0.5).click().perform()
    assert calls(browser) == [away([2], [])]
    all_of(browser, "button.word")[1].click()
    assert calls(browser) == [away([2], [1])]
    one(browser, "summary").click()
    until(browser, "document.querySelectorAll('input[type=checkbox]').length === 3")


def test_words_of_a_caption_are_written_anew(served):
    browser = served(a_caption(), onWord=True, onAway=True, onPanel=True)
    assert not one(browser, ".another").is_displayed()
    all_of(browser, "button.word")[1].click()
    assert calls(browser) == [("onPanel", 2)]
    assert "Instead of “dog”" in one(browser, ".another").text
    one(browser, ".another input").send_keys("  cat ", ENTER)
    assert calls(browser) == [("onWord", 1, "cat")]
    at_region(browser, 9, (5, 7)).click().perform()
    assert calls(browser) == [away([9], [])]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_where_things_are_taken_away(browser, served, theme):
    look(browser, theme)
    words = ["what", "color", "is", "it"]
    served(a_linked_answer(), onAway=True, onWord=True, words=words, away={"regions": [3, 4], "words": [1]})
    one(browser, "summary").click()
    all_of(browser, "button.word")[0].click()
    until(browser, "document.querySelector('[data-key=away-3]')")
    assert violations(browser) == []


def test_what_is_pinned_gives_way_to_a_panel_that_is_chosen(served):
    browser = served(a_linked_answer())
    all_of(browser, "button.word")[1].click()
    leave(browser)
    assert "“color”" in said(browser)
    one(browser, "input[type=range]").send_keys(RIGHT)
    leave(browser)
    assert said(browser) == ""


def test_regions_that_are_not_those_of_the_maps_are_taken_away_all_the_same(served):
    """As those of a grounder, whose maps are over cells of the image."""
    given = {"boxes": [[0.0, 0.0, 0.5, 1.0], [0.4, 0.0, 1.0, 1.0]], "grid": None}
    browser = served(a_linked_answer(), onAway=True, panel=1, regions=given)
    at_fraction(browser, 0.8, 0.5).click().perform()
    assert calls(browser) == [away([1], [])]
    assert said(browser) == "Region 1 (40 to 100 % across, 0 to 100 % down) is taken away"
    one(browser, "summary").click()
    until(browser, "document.querySelectorAll('details table').length === 3")
    assert len(all_of(browser, "input[type=checkbox]")) == 2
    one(browser, "[data-key=taking-false]").click()
    at_region(browser, 6).perform()
    assert said(browser).startswith("Region 6 (row 2, column 2): glimpse 1 gives it")


def test_a_page_does_not_jump_when_a_figure_is_drawn_anew(served):
    browser = served(a_linked_answer())
    script = """
        const done = arguments[0], heights = [], canvas = () => document.querySelector(".stage canvas");
        const height = () => Math.round(document.querySelector("#one .stage").getBoundingClientRect().height);
        const first = height(), old = canvas();
        show();
        requestAnimationFrame(() => requestAnimationFrame(() => done([first, height(), old !== canvas()])));
    """
    before, after, anew = browser.execute_async_script(script)
    assert before == after
    assert anew


def test_an_image_that_is_none_leaves_the_words(served):
    browser = served(a_linked_answer())
    browser.execute_script("view.figure.images[0] = 'data:image/jpeg;base64,AAAA'; show()")
    all_of(browser, "button.word")[1].click()
    assert "“color” looks at region 6" in said(browser)
    assert complaints(browser) == []


def imported(browser: Any, name: str, expression: str, value: Any) -> Any:
    """What an expression gives of a module, as `module`, and of a value, as `each`, for each of several."""
    script = f"""
        const [all, done] = arguments;
        import("/viewer/{name}").then((module) => done(all.map((each) => {expression})));
    """
    return browser.execute_async_script(script, value)


def test_weights_are_read_as_python_reads_them(served):
    browser = served(a_caption())
    rows = [peaked(15, 4), (0.25,) * 4, (1.0,), peaked(196, 17, 0.02), (0.5, 0.3, 0.2), peaked(100, 3, 0.0119)]
    expression = (
        "[module.scaleTop(each), module.scaled(each), module.strongest(each), module.shortText(each[0]),"
        " module.weightText(each[0], each.length)]"
    )
    for weights, found in zip(rows, imported(browser, "numbers.js", expression, rows), strict=True):
        top, places, first, short, text = found
        assert top == pytest.approx(scale_top(weights))
        np.testing.assert_allclose(places, scaled(weights))
        assert first == strongest(weights)
        assert (short, text) == (short_text(weights[0]), weight_text(weights[0], len(weights)))


def test_grids_lie_where_python_lays_them(served):
    """Cells of a cropped image, the outer ones cut; those of a whole image; boxes that are no cells, called a grid."""
    edges = np.clip(np.linspace(-0.1, 1.1, 5), 0, 1).tolist()
    cut = tuple((edges[c], edges[r], edges[c + 1], edges[r + 1]) for r in range(4) for c in range(4))
    loose = tuple(map(tuple, np.random.default_rng(0).random((6, 4)).tolist()))
    given = [
        RegionWeights("a", (1 / 16,) * 16, cut),
        RegionWeights("b", (1 / 15,) * 15, grid=(3, 5)),
        RegionWeights("c", (1 / 6,) * 6, loose, (2, 3)),
    ]
    browser = served(a_caption())
    data = [{"boxes": each.boxes, "grid": each.grid} for each in given]
    for each, found in zip(given, imported(browser, "geometry.js", "module.placed(each)", data), strict=True):
        np.testing.assert_allclose(found["places"], each.places())
        np.testing.assert_allclose(found["extent"], each.extent(), atol=1e-12)
