"""The page of a server, driven as people do: what they see of it, choose, type and press."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

from tests.browser.conftest import until

DROP = """
const [name, type, kind, text] = arguments;
const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
const data = new DataTransfer();
if (name) data.items.add(new File([bytes], name, { type }));
const event = kind === "paste" ? new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true })
  : new DragEvent(kind, { dataTransfer: data, bubbles: true, cancelable: true });
document.body.dispatchEvent(event);
"""
QUIET = "!document.querySelector('[aria-busy=true]') && document.querySelector('#run').options.length > 0"


class Page:
    """The page in a browser; columns and questions are told by their numbers and words."""

    def __init__(self, browser: Any, port: int) -> None:
        self.browser, self.address = browser, f"http://127.0.0.1:{port}/"

    def open(self, **state: Any) -> Page:
        """Load the page in a state; a value that is a list comes several times."""
        fragment = urlencode(state, doseq=True)
        self.browser.get("about:blank")
        self.browser.get(f"{self.address}#{fragment}")
        return self.settle()

    def settle(self) -> Page:
        """Wait until nothing is under way."""
        until(self.browser, QUIET)
        return self

    @property
    def state(self) -> dict[str, str]:
        """What the address has."""
        return dict(parse_qsl(self.script("location.hash.slice(1)")))

    def script(self, expression: str, *arguments: Any) -> Any:
        return self.browser.execute_script(f"return {expression}", *arguments)

    def find(self, selector: str) -> Any:
        return self.browser.find_element("css selector", selector)

    def all(self, selector: str) -> list[Any]:
        return self.browser.find_elements("css selector", selector)

    def texts(self, selector: str) -> list[str]:
        """The texts of what the selector finds, as they are read."""
        return self.script("[...document.querySelectorAll(arguments[0])].map(each => each.innerText.trim())", selector)

    def wait_for(self, selector: str, text: str = "") -> str:
        """The text of the first of them that holds a text, when there is one."""
        script = (
            "[...document.querySelectorAll(arguments[0])].map(e => e.innerText).find(t => t.includes(arguments[1]))"
        )
        return until(self.browser, script, selector, text)

    def headline(self, column: int = 0) -> str:
        return self.texts("#results .column .headline")[column]

    @property
    def alerts(self) -> list[str]:
        return self.texts("[role=alert] p")

    def click(self, selector: str) -> Page:
        """Click the first that the selector finds, where it is in the middle of the window."""
        found = self.find(selector)
        self.script("arguments[0].scrollIntoView({ block: 'center' })", found)
        found.click()
        return self.settle()

    def choose(self, select: str, name: str) -> Page:
        """Choose a run, or the one beside it."""
        self.find(f"#{select} option[value='{name}']").click()
        return self.settle()

    def give(self, file: Path) -> Page:
        """Choose an image file."""
        before = self.state.get("image")
        self.find("#file").send_keys(str(file))
        until(self.browser, lambda _: self.state.get("image") != before or self.alerts)
        return self.settle()

    def hand(self, kind: str, file: Path | None = None) -> None:
        """Let a file, or what is none, be dropped or pasted: "drop", "paste"."""
        content = "" if file is None else b64encode(file.read_bytes()).decode("ascii")
        self.browser.execute_script(DROP, file and file.name, "image/png", kind, content)

    def ask(self, text: str | None = None) -> Page:
        """Type a text, where there is one, and press the button."""
        if text is not None:
            field = self.find("#text")
            field.clear()
            field.send_keys(text)
        self.find("#ask").click()
        return self.settle()

    def press(self, *keys: str) -> Page:
        """Press keys wherever the focus is."""
        from selenium.webdriver import ActionChains

        ActionChains(self.browser).send_keys(*keys).perform()
        return self

    def chord(self, held: str, key: str) -> Page:
        """Press a key while another one is held."""
        from selenium.webdriver import ActionChains

        ActionChains(self.browser).key_down(held).send_keys(key).key_up(held).perform()
        return self

    @property
    def focused(self) -> str:
        """What has the focus: its key, id or text."""
        return self.script(
            "(({ dataset, id, innerText, tagName }) => tagName === 'BODY' ? tagName : dataset.key || id || innerText)"
            "(document.activeElement)"
        )

    def tab_to(self, wanted: str, most: int = 150) -> Page:
        """Press Tab until that has the focus, by its key, id or text."""
        for _ in range(most):
            if self.focused == wanted:
                return self
            self.press("\ue004")
        raise AssertionError(f"Tab never came to {wanted}, last to {self.focused}")

    def click_region(self, region: int, grid: tuple[int, int], view: str = ".view") -> Page:
        """Click a cell of the grid over the image."""
        from selenium.webdriver import ActionChains

        canvas = self.find(f"{view} .stage canvas")
        self.script("arguments[0].scrollIntoView({ block: 'center' })", canvas)
        row, column = divmod(region, grid[1])
        width, height = canvas.size["width"], canvas.size["height"]
        x = (column + 0.5) / grid[1] * width - width / 2
        y = (row + 0.5) / grid[0] * height - height / 2
        ActionChains(self.browser).move_to_element_with_offset(canvas, x, y).click().perform()
        return self
