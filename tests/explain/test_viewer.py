"""Pages and pieces of HTML: well formed, nothing from outside, nothing unescaped, every weight in reach of a reader."""

from __future__ import annotations

import re
from base64 import b64decode
from importlib.resources import files
from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from tests.explain.page_reader import Reader
from tests.explain.samples import EVIL, GREY, SAMPLES, a_caption, a_grounding, a_map, an_answer

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
from saccade.explain.viewer import SIDES

REPORT = [
    MetricsTable("Numbers", ["all"], {"r-dan": [0.5]}),
    Facts("How", {"seed": "0"}),
    Commands("Next", [("saccade train r-dan-scenes", "Train longer")]),
    Chart("Curves", "<svg></svg>", "A curve"),
]


def pictures(read: Reader) -> list[Image.Image]:
    return [Image.open(BytesIO(b64decode(str(image["src"]).split(",")[1]))) for image in read.all("img")]


@pytest.mark.parametrize("name", [*SAMPLES, "report"])
def test_a_page_is_well_formed_and_needs_nothing_from_outside(name):
    figure = SAMPLES.get(name)
    markup = page("A report", [*REPORT, an_answer()], lead="So.") if figure is None else figure_page(figure)
    read = Reader(markup)
    assert markup.startswith("<!DOCTYPE html>")
    assert not [outside for outside in ("http", "url(", "@import") if outside in markup]
    assert not {"script", "link", "iframe"} & {tag for tag, _ in read.elements}
    assert all(str(image["src"]).startswith("data:image/jpeg;base64,") for image in read.all("img"))
    assert all(set(image) == {"src", "width", "height", "alt"} for image in read.all("img"))
    assert read.all("html") == [{"lang": "en", "class": "saccade"}]
    assert "prefers-color-scheme: dark" in markup
    assert "@media print" in markup


def test_every_class_has_its_style_and_every_style_its_class():
    styles = files("saccade.explain.viewer").joinpath("templates", "figure.css").read_text(encoding="utf-8")
    styled = set(re.findall(r"\.([a-z]+)", re.sub(r"\{[^{}]*\}", "{}", styles)))
    whole = page("All", [*REPORT, *SAMPLES.values()], lead="So.")
    used = {name for _, attributes in Reader(whole).elements for name in str(attributes.get("class", "")).split()}
    assert used - styled == {"large"}  # the size that the others differ from
    assert styled - used == set()


def test_the_images_are_the_picture_and_one_map_for_each_step():
    read = Reader(figure_page(an_answer()))
    images = read.all("img")
    assert [picture.size for picture in pictures(read)] == [(560, 187)] * 3
    assert [(image["width"], image["height"]) for image in images] == [("560", "187")] * 3
    assert images[0]["alt"] == "The image asked about: What color?"
    assert images[1]["alt"] == (
        "step 1, weights over the image: 15 regions, the strongest 0.72, 11 times the even share"
    )
    assert images[2]["alt"] == "step 2, weights over the image: even: none of 15 regions above 1.2 times the mean"


def test_every_word_carries_its_weight_as_text_and_title():
    read = Reader(figure_page(an_answer(words=("what", "color", "is", "it"))))
    spans = [span for span in read.all("span") if span.get("class") == "word"]
    assert [span["title"] for span in spans] == ["weight 0.10", "weight 0.20", "weight 0.30", "weight 0.40"]
    assert [span["style"] for span in spans] == ["--share:0.100", "--share:0.200", "--share:0.300", "--share:0.400"]
    found = re.findall(r"(what|color|is|it) (0\.\d\d)", read.text)
    assert found == [("what", "0.10"), ("color", "0.20"), ("is", "0.30"), ("it", "0.40")]


def test_answers_are_listed_with_percentages():
    text = Reader(figure_page(an_answer())).text
    assert "red83.1 %" in text
    assert "blue< 0.1 %" in text


def test_every_word_of_a_caption_has_its_panel_and_its_beta():
    read = Reader(figure_page(a_caption(betas=np.array([0.0, 0.314, 1.0]))))
    assert read.text_of("h3") == ["image", "a", "dog", "runs"]
    assert read.text_of("b") == ["0.00", "0.31", "1.00"]
    gauges = [p["style"] for p in read.all("p") if p.get("class") == "gauge"]
    assert gauges == ["--share:0.000", "--share:0.314", "--share:1.000"]
    assert "probability 0.018, on average 0.37 a word" in read.text_of("p")
    assert read.all("img")[2]["alt"].startswith("word 2, 'dog', weights over the image: 35 regions, the strongest 0.60")
    assert Reader(figure_page(a_caption(betas=None))).text_of("b") == []


def test_the_maps_of_a_page_are_lightest_at_the_strongest_region():
    found = pictures(Reader(figure_page(a_caption())))[1:]
    for at, picture in enumerate(found):
        light = np.asarray(picture.convert("L")).astype(int)
        y, x = np.unravel_index(light.argmax(), light.shape)
        assert (y * 5 // light.shape[0], x * 7 // light.shape[1]) == divmod(at, 7)


@pytest.mark.parametrize(
    ("name", "size"),
    [("answer", "large"), ("caption", "small"), ("caption over boxes", "wide"), ("caption without attention", "alone")],
)
def test_pictures_are_as_large_as_needed_to_be_read(name, size):
    read = Reader(figure_page(SAMPLES[name]))
    assert {picture.width for picture in pictures(read)} == {SIDES[size]}
    assert next(div["class"] for div in read.all("div")) == f"panels {size}"


def test_an_even_map_says_so_in_the_page():
    almost = np.linspace(1, 1.15, 35) / np.linspace(1, 1.15, 35).sum()
    figure = a_caption(("a", "b"), maps=np.stack([np.full(35, 1 / 35), almost]))
    said = "even: none of 35 regions above 1.2 times the mean"
    assert Reader(figure_page(figure)).text.count(said) == 2
    assert [panel["picture"]["regions"]["said"] for panel in figure.to_dict()["panels"][1:]] == [said, said]
    assert "even:" not in Reader(figure_page(a_caption(("a", "b")))).text


def test_other_texts_stand_with_their_numbers():
    read = Reader(figure_page(a_caption(alternatives=(("a cat", -0.5), ("two dogs", -2000.0)))))
    assert read.text_of("dt") == ["0.61", "2.6e-869"]
    assert read.text_of("dd") == ["a cat", "two dogs"]


def test_words_of_an_outline_have_its_colour_and_the_picture_says_its_label():
    read = Reader(figure_page(a_grounding()))
    spans = [span for span in read.all("span") if span.get("class") == "word"]
    colors = [re.findall(r"--color:(.*)", str(span["style"])) for span in spans]
    assert colors[0] == colors[1] == ["rgb(0 114 178)"]
    assert colors[2] == []
    assert colors[3] == colors[4] != colors[0]
    assert [image["alt"] for image in read.all("img")] == ["A grey image; outlined: a man, a dog"]
    assert "title" not in spans[0]


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
    markup = page(EVIL, [answer, caption, Figure(EVIL, (EVIL,), (outlined,), reading=EVIL), *report], lead=EVIL)
    read = Reader(markup)
    assert "<script" not in markup
    assert "<script" not in figure_fragment(answer) + figure_page(caption)
    # Once in each place: 3 of the page, 5 of the answer, 4 of the caption, 5 of the outlined, 5, 3 and 3 of the report.
    assert read.text.count(EVIL) == 28
    assert all(set(image) == {"src", "width", "height", "alt"} for image in read.all("img"))


def test_one_figure_is_the_page_and_parts_have_headings():
    one = Reader(figure_page(a_caption()))
    assert (one.text_of("title"), one.text_of("h1"), one.text_of("h2")) == (["a dog runs"], ["a dog runs"], [])
    parts = (a_caption(), a_caption((), maps=None, betas=None))
    several = Reader(figure_page(Figure("Captions of 2 images", parts=parts)))
    assert several.text_of("h1") == ["Captions of 2 images"]
    assert several.text_of("h2") == ["a dog runs", "(a caption without words)"]
    report = Reader(page("A report", [*REPORT, an_answer()]))
    assert report.text_of("h2") == ["Numbers", "How", "Next", "Curves", "What color?"]


def test_half_an_emoji_can_be_written():
    assert figure_page(a_caption(("\ud83d",))).encode("utf-8").count(b"?") > 0
    assert figure_fragment(a_caption(("\ud83d",))).encode("utf-8")


def test_text_goes_from_right_to_left_where_its_script_does():
    read = Reader(figure_page(an_answer("ما هذا اللون؟", ("ما", "هذا"))))
    assert read.all("h1") == [{"dir": "auto"}]
    assert {p.get("dir") for p in read.all("p") if p.get("class") == "words"} == {"auto"}


@pytest.mark.parametrize("name", SAMPLES)
def test_a_piece_for_a_notebook_styles_nothing_else(name):
    markup = SAMPLES[name]._repr_html_()
    read = Reader(markup)
    outermost, *_ = read.elements
    assert outermost == ("div", {"class": "saccade"})
    assert not {"html", "body", "head", "script", "link", "iframe", "h1"} & {tag for tag, _ in read.elements}
    assert read.text_of("h2")[0] == SAMPLES[name].title
    [style] = re.findall(r"<style>(.*?)</style>", markup, re.DOTALL)
    rules = re.sub(r"@media[^{]*\{((?:[^{}]*\{[^{}]*\})*)\s*\}", r"\1", style)
    selectors = [each.strip() for rule in re.findall(r"([^{}]+)\{[^{}]*\}", rules) for each in rule.split(",")]
    assert len(selectors) > 50
    assert [each for each in selectors if not re.match(r"(div)?\.saccade\b", each)] == []
    assert "@keyframes" not in style
    assert " id=" not in markup


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
