"""The page: well formed, nothing from outside, nothing unescaped, every weight in reach of a reader."""

from __future__ import annotations

import re
from base64 import b64decode
from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from tests.explain.page_reader import Reader

from saccade.errors import SaccadeError
from saccade.explain import (
    Explanation,
    Step,
    answer_section,
    commands,
    facts,
    metrics_table,
    page,
    paragraphs,
)

EVIL = "<script>alert('1')</script> & \"why\"?"


def explained(question: str = "What color?", words: tuple[str, ...] = ("what", "color")) -> Explanation:
    weights = np.arange(1, len(words) + 1) / np.arange(1, len(words) + 1).sum()
    regions = np.full(15, 0.02)
    regions[4] = 0.72
    steps = (Step("step 1", regions, weights, grid=(3, 5)), Step("step 2", np.full(15, 1 / 15), None, grid=(3, 5)))
    return Explanation(Image.new("RGB", (90, 30), "navy"), question, words, (("red", 0.831), ("blue", 0.0002)), steps)


def whole(*sections) -> str:
    return page("A report", [*sections, answer_section(explained())], lead="What it says.")


def test_the_page_is_well_formed_and_needs_nothing_from_outside():
    markup = whole(
        paragraphs("Why", "One.", "Two."),
        facts("How", {"seed": "0"}),
        commands("Next", [("saccade train r-dan-scenes", "Train longer")]),
        metrics_table("Numbers", ["all"], {"r-dan": [0.5]}),
    )
    read = Reader(markup)
    assert markup.startswith("<!DOCTYPE html>")
    assert "http" not in markup
    assert "url(" not in markup
    assert "@import" not in markup
    assert not {"script", "link", "iframe"} & {tag for tag, _ in read.elements}
    assert all(image["src"].startswith("data:image/jpeg;base64,") for image in read.all("img"))
    assert read.all("html") == [{"lang": "en"}]
    assert "prefers-color-scheme: dark" in markup
    assert "@media print" in markup


def test_the_images_are_the_picture_and_one_map_for_each_step():
    images = Reader(answer_section(explained())).all("img")
    assert len(images) == 3
    for image in images:
        picture = Image.open(BytesIO(b64decode(image["src"].split(",")[1])))
        assert picture.size == (int(image["width"]), int(image["height"])) == (560, 187)
    assert "What color?" in images[0]["alt"]
    assert "15 regions, the strongest 0.72, 11 times the even share" in images[1]["alt"]
    assert "15 regions, all as good as even" in images[2]["alt"]


def test_every_word_carries_its_weight_as_text_and_title():
    read = Reader(answer_section(explained(words=("what", "color", "is", "it"))))
    spans = [span for span in read.all("span") if span.get("class") == "word"]
    assert [span["title"] for span in spans] == ["weight 0.10", "weight 0.20", "weight 0.30", "weight 0.40"]
    assert [span["style"] for span in spans] == ["--share:0.100", "--share:0.200", "--share:0.300", "--share:0.400"]
    assert re.findall(r"(what|color|is|it) (0\.\d\d)", read.text) == [
        ("what", "0.10"),
        ("color", "0.20"),
        ("is", "0.30"),
        ("it", "0.40"),
    ]


def test_answers_are_listed_with_percentages():
    text = Reader(answer_section(explained())).text
    assert "red83.1 %" in text
    assert "blue< 0.1 %" in text


def test_text_of_others_is_escaped_everywhere():
    step = Step(EVIL, np.full(4, 0.25), np.array([1.0]), grid=(2, 2))
    evil = Explanation(Image.new("RGB", (9, 9)), EVIL, (EVIL,), ((EVIL, 1.0),), (step,), note=EVIL)
    markup = page(
        EVIL,
        [
            answer_section(evil),
            paragraphs(EVIL, EVIL),
            facts(EVIL, {EVIL: EVIL}),
            commands(EVIL, [(EVIL, EVIL)]),
            metrics_table(EVIL, [EVIL], {EVIL: [0.5]}, caption=EVIL, first=EVIL),
        ],
        lead=EVIL,
    )
    read = Reader(markup)
    assert "<script" not in markup
    assert read.text.count(EVIL) == 21
    assert all(set(image) == {"src", "width", "height", "alt"} for image in read.all("img"))


def test_the_table_shows_percentages_dashes_and_the_best_in_bold():
    rows = {"r-dan": [0.8314, None, 0.25], "ibowimg": [0.5, float("nan"), 0.25], "question-only": [0.0, 0.3, 0.1]}
    markup = metrics_table("Numbers", ["all", "color", "count"], rows, first="model", caption="Of 7 questions.")
    assert re.findall(r"<td>(.*?)</td>", markup) == [
        "<strong>83.1 %</strong>", "–", "<strong>25.0 %</strong>",
        "50.0 %", "–", "<strong>25.0 %</strong>",
        "0.0 %", "<strong>30.0 %</strong>", "10.0 %",
    ]  # fmt: skip
    assert "<strong>" not in metrics_table("Numbers", ["all", "color", "count"], rows, best=False)
    assert "<strong>" not in metrics_table("Numbers", ["all"], {"r-dan": [0.5]})
    with pytest.raises(SaccadeError, match="row 'r-dan': expected 2 numbers, one a column, got 1"):
        metrics_table("Numbers", ["all", "color"], {"r-dan": [0.5]})
    Reader(metrics_table("Numbers", ["all"], {}))


def test_the_heading_is_the_question_another_text_or_none():
    assert "<h2>What color?</h2>" in answer_section(explained())
    assert "<h2>First</h2>" in answer_section(explained(), heading="First")
    assert "<h2" not in answer_section(explained(), heading=None)
