"""What tests of the viewer ask of a page and do to it."""

from __future__ import annotations

from base64 import b64decode
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image
from tests.browser.conftest import until
from tests.explain.samples import a_map, an_answer, peaked

from saccade.explain import Figure

DRAWN = "[...document.querySelectorAll('canvas')].every(each => each.dataset.drawn)"
STAGE = ".stage canvas"
GRID = (3, 5)
ASKED = ("what", "color", "is", "it")


def a_linked_answer(
    question: str = "What color is it?", words: tuple[str, ...] = ("what", "color", "is", "it")
) -> Figure:
    """One step over four words and regions: word i looks at region i + 5 of a grid, the second word most of all."""
    pairs = np.array([peaked(15, i + 5, 0.9) for i in range(4)]) * np.array([[0.1], [0.6], [0.2], [0.1]])
    attention = (a_map(pairs, ("words", "regions"), "glimpse 1"),)
    return an_answer(question, words, attention=attention, grid=GRID, image=Image.new("RGB", (150, 90), "teal"))


def all_of(browser: Any, selector: str) -> list[Any]:
    return browser.find_elements("css selector", selector)


def one(browser: Any, selector: str) -> Any:
    return browser.find_element("css selector", selector)


def said(browser: Any) -> str:
    """What stands, and is read aloud, of the word or region that is pointed at or pinned."""
    return one(browser, ".readout").text


def texts(browser: Any, selector: str) -> list[str]:
    """The texts of elements, those that are not seen included."""
    script = "return [...document.querySelectorAll(arguments[0])].map(each => each.textContent)"
    return browser.execute_script(script, selector)


def cells(row: Any) -> list[str]:
    """The texts of a row of a table."""
    return [cell.text for cell in row.find_elements("css selector", "th, td")]


def pressed(browser: Any, selector: str = "button.word") -> list[bool]:
    return [each.get_attribute("aria-pressed") == "true" for each in all_of(browser, selector)]


def pixels(browser: Any, selector: str = STAGE, at: int = 0) -> np.ndarray:
    """What stands on a canvas, rows by columns by RGB."""
    redrawn(browser)
    script = "return document.querySelectorAll(arguments[0])[arguments[1]].toDataURL('image/png')"
    content = b64decode(browser.execute_script(script, selector, at).split(",")[1])
    return np.asarray(Image.open(BytesIO(content)).convert("RGB")).astype(int)


def redrawn(browser: Any) -> None:
    """Waits until the stage shows the state as it is."""
    browser.execute_async_script(
        "const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done)))"
    )


def actions(browser: Any) -> Any:
    from selenium.webdriver.common.action_chains import ActionChains

    return ActionChains(browser, duration=20)


def at_fraction(browser: Any, x: float, y: float) -> Any:
    """A pointer's actions that lead to a place on the stage's image."""
    canvas = one(browser, STAGE)
    width, height = canvas.size["width"], canvas.size["height"]
    return actions(browser).move_to_element_with_offset(canvas, round((x - 0.5) * width), round((y - 0.5) * height))


def at_region(browser: Any, region: int, grid: tuple[int, int] = GRID) -> Any:
    """A pointer's actions that lead to the middle of a cell of a grid over the stage's image."""
    row, column = divmod(region, grid[1])
    return at_fraction(browser, (column + 0.5) / grid[1], (row + 0.5) / grid[0])


def leave(browser: Any) -> None:
    """Move the pointer and the focus to where there is nothing to show."""
    actions(browser).move_to_element(one(browser, "h1")).perform()
    browser.execute_script("document.activeElement.blur()")


def open_tables(browser: Any, least: int) -> None:
    for summary in all_of(browser, "summary"):
        browser.execute_script("arguments[0].click()", summary)
    until(browser, f"document.querySelectorAll('details table').length >= {least}")
