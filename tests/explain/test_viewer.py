"""Pages and pieces of HTML as Python makes them: whole, nothing from outside, nothing unescaped, and small.

What the script in them draws is tested in a browser: tests/browser/test_viewer.py.
"""

from __future__ import annotations

import json
import re
from importlib.resources import files

import numpy as np
import pytest
from tests.explain.page_reader import Reader
from tests.explain.samples import EVIL, GREY, SAMPLES, a_caption, a_map, an_answer
from tools.viewer_colors import FILES

from saccade.errors import SaccadeError
from saccade.explain import (
    Chart,
    Commands,
    Facts,
    Figure,
    MetricsTable,
    Outline,
    Panel,
    Picture,
    figure_fragment,
    figure_page,
    page,
)
from saccade.explain.viewer import bundle

REPORT = [
    MetricsTable("Numbers", ["all"], {"r-dan": [0.5]}, caption="Of 7 questions."),
    Facts("How", {"seed": "0"}),
    Commands("Next", [("saccade train r-dan-scenes", "Train longer")]),
    Chart("Curves", "<svg></svg>", "A curve"),
]
VIEWER = files("saccade.explain.viewer")
MODULES = sorted(each.name for each in VIEWER.iterdir() if each.name.endswith(".js"))


def source(name: str) -> str:
    return VIEWER.joinpath(name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", [*SAMPLES, "report"])
def test_a_page_is_well_formed_and_needs_nothing_from_outside(name):
    figure = SAMPLES.get(name)
    markup = page("A report", [*REPORT, an_answer()], lead="So.") if figure is None else figure_page(figure)
    read = Reader(markup)
    assert markup.startswith("<!DOCTYPE html>")
    outside = ("http://", "https://", "url(", "@import", "import(", "fetch(", "eval(")
    assert [each for each in outside if each in markup] == []
    assert not {"link", "iframe", "img"} & {tag for tag, _ in read.elements}
    assert read.all("html") == [{"lang": "en", "class": "saccade"}]
    assert [each for each in read.all("script") if each] == [{"type": "application/json"}]
    assert len(read.scripts) == 1
    assert "light-dark(" in markup
    assert "@media print" in markup
    assert not [attributes for _, attributes in read.elements if "style" in attributes]


@pytest.mark.parametrize("name", SAMPLES)
def test_the_page_holds_the_figure_as_its_json_values(name):
    [found] = Reader(figure_page(SAMPLES[name])).figures
    expected = json.loads(json.dumps(SAMPLES[name].to_dict()))
    for figure, part in zip([found, *found["parts"]], [expected, *expected["parts"]], strict=True):
        if links := figure["links"]:
            maps = [
                panel["picture"] and (panel["picture"]["regions"] or {}).get("weights") for panel in figure["panels"]
            ]
            links["weights"] = [maps[row] if isinstance(row, int) else row for row in links["weights"]]
            assert links == part["links"]
    assert found == expected


def test_maps_stand_once_in_a_page():
    [found] = Reader(figure_page(a_caption())).figures
    assert found["links"]["weights"] == [1, 2, 3]


def a_long_caption() -> Figure:
    words = tuple(f"word{i}" for i in range(20))
    maps = np.random.default_rng(0).dirichlet(np.ones(196), 20)
    return a_caption(words, maps=maps, betas=np.linspace(0, 1, 20), grid=(14, 14))


def an_answer_of_eight_glimpses() -> Figure:
    random = np.random.default_rng(0)
    words = ("what", "is", "the", "color", "of", "the", "small", "thing", "that", "stands", "in", "front", "of", "it")
    maps = random.dirichlet(np.ones(len(words) * 100), 8).reshape(8, len(words), 100)
    attention = tuple(a_map(each, ("words", "regions"), f"glimpse {i + 1}") for i, each in enumerate(maps))
    return an_answer("?", words, attention=attention, boxes=random.random((100, 4)), grid=None)


@pytest.mark.parametrize("make", [a_long_caption, an_answer_of_eight_glimpses])
@pytest.mark.parametrize("write", [figure_page, figure_fragment])
def test_a_page_weighs_at_most_150_kilobytes_without_its_images(make, write):
    markup = write(make())
    without = re.sub(r"data:image/[a-z]+;base64,[A-Za-z0-9+/=]*", "", markup)
    assert len(without) < len(markup)
    assert len(without.encode()) <= 150_000


def test_every_class_has_its_style_and_every_style_its_class():
    styles = re.sub(r"\{[^{}]*\}|@media[^{]*|@container[^{]*", "{}", bundle.styles())
    styled = set(re.findall(r"\.([a-z]+)", styles)) - {"saccade"}
    templates = [each.read_text(encoding="utf-8") for each in VIEWER.joinpath("templates").iterdir()]
    written = "".join([*map(source, MODULES), *templates])
    given = re.findall(r'class: ["`]([^"`]*)["`]|class="([^"]*)"|classList\.toggle\("([a-z]+)"', written)
    used = set(re.findall(r"[a-z]+", re.sub(r"\$\{.*?\}|saccade", " ", " ".join(sum(given, ())))))
    used |= {"heat", "light", "narrow", "wider", "widest"}  # by the style of maps and the width that panels need
    assert used - styled == {"canvas", "line", "readout", "shown"}  # by which others find them
    assert styled - used == set()


def test_modules_keep_to_what_is_joined():
    names: list[str] = []
    for module in MODULES:
        text = source(module)
        assert len(re.findall(r"^import ", text, re.MULTILINE)) == len(bundle._IMPORT.findall(text)), module
        assert len(re.findall(r"\bexport\b", text)) == len(bundle._EXPORT.findall(text)), module
        names += re.findall(r"^(?:export )?(?:async )?(?:function|const|let|class) (\w+)", text, re.MULTILINE)
    assert len(MODULES) > 8
    assert sorted(names) == sorted(set(names))  # they share one scope in a page
    joined = bundle.script()
    assert not re.findall(r"^(?:import|export)\b", joined, re.MULTILINE)
    assert all(re.search(rf"\b{name}\b", joined) for name in names)
    assert "</" not in joined
    assert "<!--" not in joined
    assert not re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function", joined)


@pytest.mark.parametrize("name", FILES)
def test_colours_and_constants_are_those_of_python(name):
    assert source(name) == FILES[name](), "run python tools/viewer_colors.py"


def test_text_of_others_is_escaped_everywhere():
    steps = (a_map([0.25] * 4, ("regions",), EVIL), a_map([1.0], ("words",), EVIL))
    answer = an_answer(EVIL, (EVIL,), attention=steps, grid=(2, 2), answers=((EVIL, 1.0),), note=EVIL)
    caption = a_caption((EVIL,), note=EVIL, alternatives=((EVIL, -1.0),))
    outlined = Panel(EVIL, Picture(GREY, EVIL, None, (Outline((0.0, 0.0, 1.0, 1.0), EVIL),)), note=EVIL)
    report = [
        MetricsTable(EVIL, [EVIL], {EVIL: [0.5]}, caption=EVIL, first=EVIL),
        Facts(EVIL, {EVIL: EVIL}),
        Commands(EVIL, [(EVIL, EVIL)]),
    ]
    figures = [answer, caption, Figure(EVIL, (EVIL, "<!-- </script>"), (outlined,), reading=EVIL)]
    whole = page(EVIL, [*figures, *report], lead=EVIL)
    for markup in (whole, *map(figure_page, figures), *map(figure_fragment, figures)):
        assert "<script>alert" not in markup
        assert "<!--" not in markup
        read = Reader(markup)
        assert len(read.scripts) == 1
        assert read.figures[0]["title"] == EVIL
    read = Reader(whole)
    # Once in each place: 3 of the page, 6 that stand in for 3 figures, 5, 3 and 3 of the report.
    assert read.text.count(EVIL) == 20
    assert [figure["lines"][-1] for figure in read.figures] == [EVIL, EVIL, "<!-- </script>"]


def test_one_figure_is_the_page_and_those_of_a_report_have_headings():
    one = Reader(figure_page(a_caption()))
    assert (one.text_of("title"), one.text_of("h1"), one.text_of("h2")) == (["a dog runs"], ["a dog runs"], [])
    assert [div["data-saccade"] for div in one.all("div") if "data-saccade" in div] == ["0"]
    report = Reader(page("A report", [*REPORT, an_answer()]))
    assert report.text_of("h2") == ["Numbers", "How", "Next", "Curves"]
    assert [div["data-saccade"] for div in report.all("div") if "data-saccade" in div] == ["2"]
    assert Reader(page("No figure", REPORT)).all("script") == []


def test_half_an_emoji_can_be_written():
    for markup in (figure_page(a_caption(("\ud83d",))), figure_fragment(a_caption(("\ud83d",)))):
        assert markup.encode("utf-8").count(b"?") > 0
        assert Reader(markup).figures[0]["links"]["words"] == ["?"]


def test_headings_go_from_right_to_left_where_their_script_does():
    assert Reader(figure_page(an_answer("ما هذا اللون؟", ("ما", "هذا")))).all("h1") == [{"dir": "auto"}]


@pytest.mark.parametrize("name", SAMPLES)
def test_a_piece_for_a_notebook_styles_nothing_else(name):
    markup = SAMPLES[name]._repr_html_()
    read = Reader(markup)
    outermost, *_ = read.elements
    assert outermost == ("div", {"class": "saccade"})
    assert not {"html", "body", "head", "link", "iframe", "h1"} & {tag for tag, _ in read.elements}
    [style] = re.findall(r"<style>(.*?)</style>", markup, re.DOTALL)
    rules = re.sub(r"@[a-z]+[^{]*\{((?:[^{}]*\{[^{}]*\})*)\s*\}", r"\1", style)
    selectors = [each.strip() for rule in re.findall(r"([^{}]+)\{[^{}]*\}", rules) for each in rule.split(",")]
    assert len(selectors) > 50
    assert [each for each in selectors if not re.match(r'(div|html|\[data-theme="\w+"\] )?\.saccade\b', each)] == []
    assert "@keyframes" not in style
    assert " id=" not in markup
    assert read.scripts[0].strip().startswith("(() => {")
    assert read.scripts[0].strip().endswith("})();")


def test_a_piece_shows_the_picture_where_no_script_runs():
    read = Reader(figure_fragment(an_answer()))
    [image] = read.all("img")
    assert str(image["src"]).startswith("data:image/jpeg;base64,")
    assert image["alt"] == "What color?"
    assert "trust the notebook" in read.text
    assert "allow it, or write the figure as .png" in Reader(figure_page(an_answer())).text


def test_the_table_has_percentages_dashes_and_the_best_in_bold():
    rows = {"r-dan": [0.8314, None, 0.25], "ibowimg": [0.5, float("nan"), 0.25], "question-only": [0.0, 0.3, 0.1]}

    def markup(columns: list[str], rows: dict, **parts: object) -> str:
        return page("", [MetricsTable("Numbers", columns, rows, **parts)])

    found = markup(["all", "color", "count"], rows, first="model", caption="Of 7 questions.")
    assert re.findall(r"<td>(.*?)</td>", found) == [
        "<strong>83.1 %</strong>", "–", "<strong>25.0 %</strong>",
        "50.0 %", "–", "<strong>25.0 %</strong>",
        "0.0 %", "<strong>30.0 %</strong>", "10.0 %",
    ]  # fmt: skip
    assert "<strong>" not in markup(["all", "color", "count"], rows, best=False)
    assert "<strong>" not in markup(["all"], {"r-dan": [0.5]})
    with pytest.raises(SaccadeError, match="row 'r-dan': expected 2 numbers, one a column, got 1"):
        MetricsTable("Numbers", ["all", "color"], {"r-dan": [0.5]})
    Reader(markup(["all"], {}))
