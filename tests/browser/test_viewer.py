"""The viewer in a browser: what it draws, by pointer and by keyboard, in every theme; that nothing of others runs."""

from __future__ import annotations

import numpy as np
import pytest
from tests.browser.conftest import complaints, until
from tests.browser.viewing import (
    STAGE,
    a_linked_answer,
    actions,
    all_of,
    at_region,
    cells,
    leave,
    one,
    open_tables,
    pixels,
    pressed,
    redrawn,
    said,
    texts,
)
from tests.explain.samples import EVIL, GREY, SAMPLES, a_caption, a_map, an_answer, peaked

from saccade.explain import Facts, Figure, MetricsTable, Outline, Panel, Picture, page
from saccade.explain.overlay import laid
from saccade.explain.weights import scaled, short_text, weight_text

ENTER, ESCAPE, END, LEFT, RIGHT, DOWN = "\ue007", "\ue00c", "\ue010", "\ue012", "\ue014", "\ue015"


@pytest.mark.parametrize("name", SAMPLES)
def test_every_figure_is_drawn_from_a_file(opened, name):
    figure = SAMPLES[name]
    browser = opened(figure)
    figures = [each for each in (figure, *figure.parts) if each.panels]
    several = [each for each in figures if len(each.panels) > 1]
    assert len(all_of(browser, ".stage")) == len(figures)
    assert len(all_of(browser, ".sheet > li")) == sum(len(each.panels) for each in several)
    assert len(all_of(browser, "input[type=range]")) == len(several)
    text = one(browser, "main").text
    for each in (figure, *figure.parts):
        further = each.listing.rows if each.listing else ()
        assert all(line in text for line in (each.title, *each.lines, each.reading, *(row[1] for row in further)))
    assert not all_of(browser, ".fallback, script[type='application/json']")
    assert complaints(browser) == []


@pytest.mark.parametrize(
    ("name", "lines"), [("answer", 0.09), ("caption", 0.0), ("answer over boxes", 0.3), ("caption over boxes", 0.2)]
)
def test_pictures_look_as_those_of_a_png_file(opened, name, lines):
    """Against `overlay.laid`, pixel by pixel; of lines and labels, whose edges and fonts differ, a share may be off."""
    figure = SAMPLES[name]
    browser = opened(figure)
    for i, panel in enumerate(figure.panels):
        found = pixels(browser, ".sheet canvas", i)
        expected = np.asarray(laid(panel.picture, max(found.shape[:2])).resize(found.shape[1::-1])).astype(int)
        far = np.abs(found - expected).max(axis=2)
        assert np.median(far) <= 3
        assert (far > 24).mean() <= lines, panel.title


def test_maps_are_lightest_at_the_strongest_region_on_the_stage_too(opened):
    browser = opened(a_caption())
    for at in range(3):
        one(browser, ".canvas").send_keys(RIGHT)
        light = pixels(browser).sum(axis=2)
        y, x = np.unravel_index(light.argmax(), light.shape)
        assert (y * 5 // light.shape[0], x * 7 // light.shape[1]) == divmod(at, 7)


def test_slider_arrows_and_sheet_choose_the_panel(opened):
    browser = opened(an_answer())
    slider, canvas = one(browser, "input[type=range]"), one(browser, ".canvas")

    def shown() -> tuple[str, str, str, list[bool]]:
        redrawn(browser)
        chosen = [item.get_attribute("class") == "chosen" for item in all_of(browser, ".sheet > li")]
        label = one(browser, STAGE).get_attribute("aria-label").split(",")[0]
        return slider.get_attribute("value"), slider.get_attribute("aria-valuetext"), label, chosen

    assert shown() == ("0", "image (1 of 3)", "The image asked about: What color?", [True, False, False])
    slider.send_keys(RIGHT)
    assert shown() == ("1", "step 1 (2 of 3)", "step 1", [False, True, False])
    canvas.send_keys(RIGHT)
    assert shown() == ("2", "step 2 (3 of 3)", "step 2", [False, False, True])
    assert "even: none of 15 regions" in one(browser, ".scaled").text
    assert "red" in one(browser, ".beside").text  # the answers stay
    canvas.send_keys(DOWN)
    canvas.send_keys(LEFT)
    assert shown()[0] == "1"
    first, _, last = all_of(browser, ".sheet button")
    first.click()
    assert shown()[0] == "0"
    last.send_keys(ENTER)
    assert shown()[0] == "2"


def test_a_word_pointed_at_lights_its_regions(opened):
    figure = a_linked_answer()
    browser = opened(figure)
    before = pixels(browser)
    for i, word in enumerate(all_of(browser, "button.word")):
        actions(browser).move_to_element(word).perform()
        lit = pixels(browser).sum(axis=2)
        height, width = lit.shape[0] // 3, lit.shape[1] // 5
        means = lit[: 3 * height, : 5 * width].reshape(3, height, 5, width).mean(axis=(1, 3))
        assert means.argmax() == i + 5
        assert said(browser) == f"“{figure.links.words[i]}” looks at region {i + 5} (row 2, column {i + 1}), 0.90"
        assert f"what “{figure.links.words[i]}” looks at" in one(browser, STAGE).get_attribute("aria-label")
    leave(browser)
    np.testing.assert_array_equal(pixels(browser), before)
    assert said(browser) == ""
    browser.execute_script("arguments[0].focus()", all_of(browser, "button.word")[3])
    assert said(browser).startswith("“it” looks at region 8")


def test_a_region_pointed_at_shades_the_words_that_look_at_it(opened):
    figure = a_linked_answer()
    browser = opened(figure)
    all_of(browser, ".sheet button")[1].click()
    weights = np.array(figure.links.weights)
    for region in (5, 6, 8, 14):
        at_region(browser, region).perform()
        shares = (weights[:, region] / weights[:, region].sum()).tolist()
        assert texts(browser, ".line .word small") == [weight_text(share, 4) for share in shares]
        shade = "each => Number(each.style.getPropertyValue('--share'))"
        shades = browser.execute_script(f"return [...document.querySelectorAll('.line .word')].map({shade})")
        np.testing.assert_allclose(shades, scaled(shares), atol=1e-4)
        row, column = divmod(region, 5)
        word, weight = figure.links.words[int(np.argmax(shares))], figure.panels[1].picture.regions.weights[region]
        assert said(browser) == (
            f"Region {region} (row {row + 1}, column {column + 1}): glimpse 1 gives it {short_text(weight)}; "
            f"of what looks at it, “{word}” has {short_text(max(shares))}"
        )
    assert (np.abs(pixels(browser) - np.array([245, 158, 44])).sum(axis=2) < 12).any()  # the frame


def test_a_click_or_enter_pins_and_escape_or_another_click_unpins(opened):
    browser = opened(a_linked_answer())
    words = all_of(browser, "button.word")
    words[2].click()
    leave(browser)
    assert "“is” looks at region 7" in said(browser)
    assert pressed(browser) == [False, False, True, False]
    at_region(browser, 6).perform()  # what is pointed at comes before what is pinned
    assert said(browser).startswith("Region 6")
    leave(browser)
    assert "“is”" in said(browser)
    words[2].click()
    leave(browser)
    assert said(browser) == ""
    words[1].send_keys(ENTER)
    leave(browser)
    assert "“color” looks at" in said(browser)
    words[0].send_keys(ESCAPE)
    leave(browser)
    assert said(browser) == ""
    at_region(browser, 8).click().perform()
    leave(browser)
    assert said(browser).startswith("Region 8")
    one(browser, ".canvas").send_keys(ESCAPE)
    assert said(browser) == ""


def test_without_links_no_word_pretends_to_look(opened):
    apart = (a_map([0.25, 0.75], ("words",), "step 1"), a_map(peaked(15, 3), ("regions",), "step 2"))
    browser = opened(an_answer(attention=apart))
    assert all_of(browser, "button.word") == []
    assert one(browser, ".hint").text.startswith("Point at the image to see what a region weighs")
    one(browser, "input[type=range]").send_keys(END)
    at_region(browser, 3).perform()
    assert said(browser) == "Region 3 (row 1, column 4): step 2 gives it 0.60"


def test_the_numbers_are_a_table_that_is_made_when_opened(opened):
    figure = a_linked_answer()
    browser = opened(figure)
    assert all_of(browser, "table") == []
    one(browser, "summary").send_keys(ENTER)
    until(browser, "document.querySelectorAll('table').length === 2")
    regions, words = (
        [cells(row) for row in table.find_elements("tag name", "tr")] for table in all_of(browser, "table")
    )
    weights = figure.panels[1].picture.regions.weights
    assert regions[0] == ["region", "row", "column", "glimpse 1"]
    assert regions[1:] == [[str(i), str(i // 5 + 1), str(i % 5 + 1), weight_text(weights[i], 15)] for i in range(15)]
    assert words[0] == ["word", "glimpse 1", "looks most at region", "with"]
    assert words[2] == ["color", "0.60", "6", "0.90"]
    assert len(all_of(browser, "table:first-child th[scope=row]")) == 15 + 4
    browser.execute_script("arguments[0].focus()", one(browser, "[data-key=region-6]"))
    assert said(browser).startswith("Region 6 (row 2, column 2)")
    one(browser, "[data-key=region-6]").send_keys(ENTER)
    leave(browser)
    assert said(browser).startswith("Region 6")
    assert pressed(browser, "[data-key=region-6]") == [True]


def test_boxes_have_their_places_in_the_table(opened):
    boxes = np.array([[0.1, 0.2, 0.4, 0.9], [0.5, 0.5, 1.0, 1.0]])
    browser = opened(an_answer(attention=(a_map([0.7, 0.3], ("regions",), "hop 1"),), boxes=boxes, grid=None))
    open_tables(browser, 1)
    assert cells(one(browser, "tbody tr")) == ["0", "10 to 40 %", "20 to 90 %", "0.70"]


def test_text_of_others_stays_text(opened):
    steps = (a_map([0.25] * 4, ("regions",), EVIL), a_map([1.0], ("words",), EVIL))
    answer = an_answer(EVIL, (EVIL,), attention=steps, grid=(2, 2), answers=((EVIL, 1.0),), note=EVIL)
    caption = a_caption((EVIL,), note=EVIL, alternatives=((EVIL, -1.0),))
    outlined = Panel(EVIL, Picture(GREY, EVIL, None, (Outline((0.0, 0.0, 1.0, 1.0), EVIL),)), note=EVIL)
    report = [MetricsTable(EVIL, [EVIL], {EVIL: [0.5]}), Facts(EVIL, {EVIL: EVIL})]
    closing = "</script><script>document.title = 'ran'</script><!-- <img src=x onerror=\"document.title='ran'\">"
    figures = [answer, caption, Figure(EVIL, (EVIL, closing), (outlined,), reading=EVIL), an_answer(closing)]
    browser = opened(page(EVIL, [*figures, *report], lead=EVIL))
    open_tables(browser, 4)
    assert browser.title == EVIL
    assert one(browser, "main").text.count(EVIL) > 25
    assert closing in one(browser, "main").text
    assert all_of(browser, "main script, img") == []
    assert complaints(browser) == []
