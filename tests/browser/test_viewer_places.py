"""Where the viewer is shown: both themes, a phone, paper, and notebooks."""

from __future__ import annotations

from base64 import b64decode

import pytest
from tests.browser.conftest import complaints, look, phone, until, violations
from tests.browser.viewing import DRAWN, a_linked_answer, all_of, one, open_tables, texts
from tests.explain.samples import SAMPLES, a_caption

from saccade.explain import MetricsTable, page

RIGHT = "\ue014"


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("chosen", [False, True])
def test_axe_finds_nothing(opened, theme, chosen):
    """In the system's theme, and in one that the page chose against the system's."""
    figures = [a_linked_answer(), *SAMPLES.values()]
    browser = opened(page("All", [MetricsTable("Numbers", ["all"], {"r-dan": [0.5]}), *figures], lead="So."))
    look(browser, {"light": "dark", "dark": "light"}[theme] if chosen else theme)
    if chosen:
        browser.execute_script("document.documentElement.dataset.theme = arguments[0]", theme)
    open_tables(browser, 6)
    one(browser, "button.word").click()
    paper = browser.execute_script("return getComputedStyle(document.documentElement).backgroundColor")
    assert paper == {"light": "rgb(255, 255, 255)", "dark": "rgb(21, 23, 27)"}[theme]
    assert violations(browser) == []


def test_a_phone_shows_all_without_scrolling_sideways(browser, opened):
    phone(browser)
    opened(page("All", [a_linked_answer(), *SAMPLES.values()]))
    open_tables(browser, 6)
    assert browser.execute_script("return [innerWidth, document.documentElement.scrollWidth]") == [360, 360]
    beyond = """
        const all = [...document.querySelectorAll("main *")].filter(each => !each.closest(".scrolled, .heard"));
        return all.filter(each => each.getBoundingClientRect().right > 361).map(each => each.outerHTML.slice(0, 80));
    """
    assert browser.execute_script(beyond) == []


def test_words_stay_under_the_pointer_that_points_at_them(browser, opened):
    phone(browser)
    opened(a_linked_answer())
    top = "return document.querySelector('button.word').getBoundingClientRect().top + scrollY"
    before = browser.execute_script(top)
    browser.execute_script("document.querySelector('button.word').focus({ preventScroll: true })")
    until(browser, "document.querySelector('.ramp')")
    assert browser.execute_script(top) == before


def test_text_goes_from_right_to_left_where_its_script_does(opened):
    browser = opened(a_linked_answer("ما هذا اللون؟", ("ما", "هذا", "اللون", "؟")))
    first, second = all_of(browser, ".line .word")[:2]
    assert first.location["x"] > second.location["x"]


def test_printing_shows_every_panel(opened):
    browser = opened(a_linked_answer())
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        height = "each => each.getBoundingClientRect().height > 0"
        shown = f"return [...document.querySelectorAll(arguments[0])].filter({height}).length"
        assert browser.execute_script(shown, ".sheet canvas") == 2
        assert browser.execute_script(shown, ".sheet .bars li") == 2
        assert browser.execute_script(shown, ".stage, .slider, .hint") == 0
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def test_panels_far_below_are_drawn_before_printing(browser, tmp_path):
    path = tmp_path / "long.html"
    path.write_text(page("Long", [a_caption() for _ in range(12)]), encoding="utf-8")
    browser.get(path.as_uri())
    until(browser, "document.querySelector('.sheet canvas').dataset.drawn")
    assert not browser.execute_script(f"return {DRAWN}")
    assert len(b64decode(browser.execute_cdp_cmd("Page.printToPDF", {})["data"])) > 5000
    until(browser, DRAWN)


def test_nothing_moves_where_that_is_asked_for(browser, opened):
    opened(a_linked_answer())
    moving = "return getComputedStyle(document.querySelector('.word > span')).transitionDuration"
    assert browser.execute_script(moving) != "0s"
    look(browser, still=True)
    assert browser.execute_script(moving) == "0s"


def test_pieces_in_a_notebook_draw_themselves_and_leave_no_name(browser):
    pieces = [a_linked_answer()._repr_html_(), a_caption()._repr_html_()]
    browser.get("data:text/html,<!DOCTYPE html><html lang=en><title>notebook</title><main></main>")
    # As notebooks do it: markup set as such does not run its scripts, so each is made again.
    script = """
        const before = Object.keys(window).sort().join();
        for (const piece of arguments[0]) {
            const output = document.createElement("div");
            output.innerHTML = piece;
            document.querySelector("main").append(output);
            for (const old of output.querySelectorAll("script")) {
                const fresh = document.createElement("script");
                for (const { name, value } of old.attributes) fresh.setAttribute(name, value);
                fresh.textContent = old.textContent;
                old.replaceWith(fresh);
            }
        }
        return before === Object.keys(window).sort().join();
    """
    assert browser.execute_script(script, pieces) is True
    until(browser, DRAWN)
    assert texts(browser, "h2") == ["What color is it?", "a dog runs"]
    assert len(all_of(browser, ".stage")) == 2
    assert all_of(browser, ".fallback") == []
    sliders = all_of(browser, "input[type=range]")
    sliders[1].send_keys(RIGHT)
    assert [slider.get_attribute("value") for slider in sliders] == ["0", "1"]
    assert complaints(browser) == []


def test_a_notebook_that_is_not_trusted_shows_the_picture(browser):
    browser.get("data:text/html,<!DOCTYPE html><main></main>")
    browser.execute_script("document.querySelector('main').innerHTML = arguments[0]", a_caption()._repr_html_())
    until(browser, "document.querySelector('.fallback img').naturalWidth > 300")
    assert "trust the notebook" in one(browser, ".fallback").text
