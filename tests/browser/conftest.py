"""A browser for the tests of pages: Debian's Chromium without a window, one for all tests, and what they ask of it."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

DEBIAN = "Debian: apt install chromium chromium-driver"
SIZE = (1280, 1000)
SECONDS = 20  # that a page is waited for at the most


def missing() -> str:
    """What the tests of pages lack here, and how to get it; nothing where they can run."""
    for program in ("chromium", "chromedriver"):
        if shutil.which(program) is None:
            return f"{program} is not installed: {DEBIAN}"
    for package, name in (("selenium", "selenium"), ("axe_core_python", "axe-core-python")):
        if importlib.util.find_spec(package) is None:
            return f"{name} is not installed: pip install {name}"
    return ""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test in this folder needs the browser."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def driver(tmp_path_factory) -> Iterator[Any]:
    """The browser, for the session; tests take `browser`, which comes to each as new."""
    if reason := missing():
        pytest.skip(reason)
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    profile = tmp_path_factory.mktemp("chromium")
    downloads = tmp_path_factory.mktemp("downloads")
    # Its sandbox needs what containers lack, and /dev/shm is small there.
    flags = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars")
    for flag in (*flags, f"--user-data-dir={profile}", f"--window-size={SIZE[0]},{SIZE[1]}"):
        options.add_argument(flag)
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    options.binary_location = str(shutil.which("chromium"))
    service = webdriver.ChromeService(executable_path=shutil.which("chromedriver"))
    with pytest.MonkeyPatch.context() as patch:
        # A proxy of the machine must not stand between the driver and the browser beside it.
        patch.setenv("NO_PROXY", ",".join(filter(None, (os.environ.get("NO_PROXY"), "127.0.0.1", "localhost"))))
        started = webdriver.Chrome(options=options, service=service)
        started.set_script_timeout(SECONDS)
        started.set_page_load_timeout(SECONDS)
        started.downloads = downloads
        try:
            yield started
        finally:
            started.quit()


@pytest.fixture
def browser(driver) -> Iterator[Any]:
    """The browser with an empty page, a wide window, the light theme, motion, and an empty console."""
    driver.get("about:blank")
    driver.set_window_size(*SIZE)
    look(driver)
    driver.get_log("browser")
    yield driver
    driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def look(browser: Any, theme: str = "light", *, still: bool = False) -> None:
    """Show pages in a theme, "light" or "dark", and with reduced motion where `still`."""
    motion = "reduce" if still else "no-preference"
    wanted = {"prefers-color-scheme": theme, "prefers-reduced-motion": motion}
    features = [{"name": name, "value": value} for name, value in wanted.items()]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def phone(browser: Any, width: int = 360, height: int = 740) -> None:
    """Make the window as narrow as a phone, narrower than windows can be."""
    size = {"width": width, "height": height, "deviceScaleFactor": 2, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def until(browser: Any, condition: str | Callable[[Any], Any], *arguments: Any) -> Any:
    """What a JavaScript expression or a function of the browser gives, as soon as it is true; `arguments` are its own.

    Fails after SECONDS, naming the condition.
    """
    from selenium.webdriver.support.wait import WebDriverWait

    def met(asked: Any) -> Any:
        if callable(condition):
            return condition(asked)
        return asked.execute_script(f"return {condition}", *arguments)

    return WebDriverWait(browser, SECONDS, poll_frequency=0.05).until(met, f"never true: {condition}")


def complaints(browser: Any) -> list[str]:
    """What the console has of errors and warnings since it was last asked, one line each."""
    return [entry["message"] for entry in browser.get_log("browser") if entry["level"] in {"SEVERE", "WARNING"}]


def violations(browser: Any) -> list[str]:
    """What axe-core finds wrong with the page as it is, each with its rule and the elements, one line each.

    And what the console had before: what axe itself is refused there by the page's policy, such as a style, is dropped.
    """
    heard = complaints(browser)
    newer = os.environ.get("SACCADE_AXE")  # an axe.min.js, for the package has an old one
    axe = Path(newer) if newer else files("axe_core_python").joinpath("axe.min.js")
    script = axe.read_text(encoding="utf-8")
    browser.execute_script(script)
    found = browser.execute_async_script(
        "const done = arguments[arguments.length - 1];"
        "axe.run(document).then(result => done(result.violations), error => done([{id: String(error), nodes: []}]))"
    )
    complaints(browser)
    return heard + [
        f"{each['id']}: {node['target']} {node.get('failureSummary', '')}"
        for each in found
        for node in each["nodes"] or [{"target": ""}]
    ]


@pytest.fixture
def opened(browser, tmp_path) -> Callable[..., Any]:
    """Opens a figure's page, or any page's text, as a file, and waits until all is drawn."""

    drawn = "[...document.querySelectorAll('canvas')].every(each => each.dataset.drawn)"

    def opened(shown: Any) -> Any:
        from saccade.explain import figure_page

        path = tmp_path / "page.html"
        path.write_text(shown if isinstance(shown, str) else figure_page(shown), encoding="utf-8")
        browser.get(path.as_uri())
        until(browser, "document.querySelector('.figure')")
        browser.execute_script("window.dispatchEvent(new Event('beforeprint'))")
        until(browser, drawn)
        return browser

    return opened


@pytest.fixture(scope="session")
def runs(trained_run, matching_run, grounding_run, captioning_run) -> list[Any]:
    """A run of each task, as a server has them: "run", "matcher", "grounder" and "captioner"."""
    from saccade.serve.runs import ServedRun

    return [ServedRun(str(each), device="cpu") for each in (trained_run, matching_run, grounding_run, captioning_run)]


@pytest.fixture(scope="session")
def serving(runs, scenes_index) -> Iterator[Any]:
    """A server of them and of an index, "photos"."""
    from tests.serve.running import Running

    from saccade.serve.runs import ServedIndex

    index = ServedIndex(str(scenes_index))
    with Running(runs, [index]) as running:
        yield running
    index.searcher.close()


@pytest.fixture
def page(browser, serving) -> Any:
    """The page of that server, not opened yet."""
    from tests.browser.serving import Page

    return Page(browser, serving.port)


@pytest.fixture
def own_page(browser, runs) -> Iterator[Any]:
    """The page of a server of the first run alone, and that server, which may be stopped."""
    from tests.browser.serving import Page
    from tests.serve.running import Running

    with Running(runs[:1], []) as running:
        yield Page(browser, running.port), running


@pytest.fixture
def predictors(runs) -> dict[str, Any]:
    """What the pages are held against: the runs' predictors by their names."""
    return {each.name: each.predictor for each in runs}


@pytest.fixture
def scene_file(scenes_folder) -> Path:
    """The file of a scene."""
    return scenes_folder / "0.png"
