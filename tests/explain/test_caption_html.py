"""The page of captions: well formed, nothing from outside, nothing unescaped, a panel for each word."""

from __future__ import annotations

import dataclasses
from base64 import b64decode
from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from tests.explain.page_reader import Reader

from saccade.explain import CaptionExplanation, caption_section, captions_page, save
from saccade.explain.caption_html import ALONE, SIDE, WITH_BOXES

EVIL = "<script>alert('1')</script> & \"why\"?"


def captioned(words: tuple[str, ...] = ("a", "dog", "runs"), **parts: object) -> CaptionExplanation:
    maps = np.full((len(words), 15), 0.02)
    maps[:, 4] = 0.72
    plain = CaptionExplanation(
        Image.new("RGB", (90, 30), "navy"),
        " ".join(words),
        words,
        -4.0,
        maps,
        np.linspace(0, 1, len(words)),
        None,
        (3, 5),
    )
    return dataclasses.replace(plain, **parts)


def pictures(read: Reader) -> list[Image.Image]:
    return [Image.open(BytesIO(b64decode(str(image["src"]).split(",")[1]))) for image in read.all("img")]


def test_a_page_needs_nothing_from_outside():
    markup = captions_page([captioned(alternatives=(("a cat", -5.0),)), captioned(("x",), betas=None)])
    read = Reader(markup)
    assert markup.startswith("<!DOCTYPE html>")
    assert not [outside for outside in ("http", "url(", "@import") if outside in markup]
    assert not {"script", "link", "iframe"} & {tag for tag, _ in read.elements}
    assert all(str(image["src"]).startswith("data:image/jpeg;base64,") for image in read.all("img"))


def test_every_word_has_its_panel_its_text_and_its_beta():
    read = Reader(caption_section(captioned(betas=np.array([0.0, 0.314, 1.0]))))
    assert read.text_of("h3") == ["image", "a", "dog", "runs"]
    assert read.text_of("b") == ["0.00", "0.31", "1.00"]
    assert [p["style"] for p in read.all("p") if p.get("class") == "beta"] == [
        "--share:0.000", "--share:0.314", "--share:1.000",
    ]  # fmt: skip
    images = read.all("img")
    assert len(images) == 4
    assert images[0]["alt"] == "The image captioned: a dog runs"
    assert images[2]["alt"] == (
        "word 2, 'dog': where the model looked; 15 regions, the strongest 0.72, 11 times the even share"
    )
    assert "probability 0.018, on average 0.37 a word" in read.text_of("p")


def test_the_maps_are_lightest_at_the_strongest_region():
    found = pictures(Reader(caption_section(captioned())))
    assert {picture.size for picture in found} == {(SIDE, round(SIDE / 3))}
    for picture in found[1:]:
        light = np.asarray(picture.convert("L")).astype(int)
        y, x = np.unravel_index(light.argmax(), light.shape)
        assert (y * 3 // light.shape[0], x * 5 // light.shape[1]) == (0, 4)


def test_a_model_without_a_gate_has_no_betas_and_one_without_attention_one_image():
    read = Reader(caption_section(captioned(betas=None)))
    assert read.text_of("b") == []
    assert len(read.all("img")) == 4
    read = Reader(caption_section(captioned(maps=None, betas=None)))
    assert [picture.width for picture in pictures(read)] == [ALONE]
    assert any("no attention" in text for text in read.text_of("p"))


def test_pictures_with_numbers_on_boxes_are_larger():
    boxes = np.tile([0.1, 0.1, 0.5, 0.5], (15, 1))
    found = pictures(Reader(caption_section(captioned(boxes=boxes, grid=None))))
    assert {picture.width for picture in found} == {WITH_BOXES}


def test_other_captions_come_with_their_probabilities():
    read = Reader(caption_section(captioned(alternatives=(("a cat", -0.5), ("two dogs", -2000.0)))))
    assert read.text_of("dt") == ["0.61", "2.6e-869"]
    assert read.text_of("dd") == ["a cat", "two dogs"]


def test_text_of_others_is_escaped_everywhere():
    markup = captions_page([captioned((EVIL,), note=EVIL, alternatives=((EVIL, -1.0),))])
    read = Reader(markup)
    assert "<script" not in markup
    assert [tag for tag, text in read.texts if text == EVIL] == ["title", "h1", "p", "h3", "dd"]
    assert all(set(image) == {"src", "width", "height", "alt"} for image in read.all("img"))


def test_one_caption_is_the_title_and_several_are_headings():
    one = Reader(captions_page([captioned()]))
    assert (one.text_of("title"), one.text_of("h1"), one.text_of("h2")) == (["a dog runs"], ["a dog runs"], [])
    empty = captioned(caption="", words=(), maps=None, betas=None)
    several = Reader(captions_page([captioned(), empty]))
    assert several.text_of("h1") == ["Captions of 2 images"]
    assert several.text_of("h2") == ["a dog runs", "(a caption without words)"]


@pytest.mark.parametrize("several", [False, True])
def test_pages_are_saved(tmp_path, several):
    path = tmp_path / "look.html"
    save([captioned(), captioned()] if several else captioned(), path)
    assert len(Reader(path.read_text(encoding="utf-8")).all("img")) == (8 if several else 4)
