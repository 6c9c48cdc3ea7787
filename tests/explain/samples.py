"""Figures of made-up weights that the tests draw."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image

from saccade.explain import Bar, Figure, Listing, Outline, Panel, Picture, WordWeights, answer_figure, caption_figure
from saccade.types import AttentionMap

GREY = Image.new("RGB", (97, 97), (128, 128, 128))
EVIL = "<script>alert('1')</script> & \"why\"?"


def peaked(count: int, at: int, top: float = 0.6) -> tuple[float, ...]:
    """Weights of which one is `top` and the others share the rest."""
    return tuple(top if i == at else (1 - top) / (count - 1) for i in range(count))


def a_map(weights: object, axes: tuple[str, ...], name: str) -> AttentionMap:
    return AttentionMap(torch.tensor(np.asarray(weights))[None], axes, name)


def an_answer(question: str = "What color?", words: tuple[str, ...] = ("what", "color"), **parts: object) -> Figure:
    """Two steps over a grid of 3 x 5: one with its peak in cell 4 and words of rising weight, then an even one."""
    rising = np.arange(1, len(words) + 1) / np.arange(1, len(words) + 1).sum()
    given: dict = {
        "image": Image.new("RGB", (90, 30), "navy"),
        "answers": (("red", 0.831), ("blue", 0.0002)),
        "attention": (
            a_map(peaked(15, 4, 0.72), ("regions",), "step 1"),
            a_map(rising, ("words",), "step 1"),
            a_map(np.full(15, 1 / 15), ("regions",), "step 2"),
        ),
        "grid": (3, 5),
    }
    return answer_figure(**given | {"question": question, "words": words} | parts)


def a_caption(words: tuple[str, ...] = ("a", "dog", "runs"), **parts: object) -> Figure:
    """Word i attends to cell i of a grid of 5 x 7; the gates rise from 0 to 1."""
    count = len(words)
    given: dict = {
        "image": GREY,
        "caption": " ".join(words),
        "words": words,
        "log_probability": -4.0,
        "maps": np.array([peaked(35, i % 35) for i in range(count)]).reshape(count, 35),
        "betas": np.linspace(0, 1, count),
        "grid": (5, 7),
    }
    return caption_figure(**given | parts)


def a_grounding() -> Figure:
    """What a task to come needs: boxes in colours, and words that belong to them."""
    outlines = (Outline((0.1, 0.2, 0.4, 0.9), "a man"), Outline((0.5, 0.5, 0.9, 0.8), "a dog", 1))
    picture = Picture(GREY, "A grey image", None, outlines)
    words = WordWeights("sentence", ("a", "man", "and", "a", "dog"), None, (0, 0, None, 1, 1))
    return Figure("a man and a dog", panels=(Panel("phrases", picture, words=words),))


def a_sheet() -> Figure:
    """What search needs: several images, each with its score."""
    images = (GREY, Image.new("RGB", (40, 60), "teal"))
    scores = (Bar("score", 0.9, "0.90"), Bar("score", 0.4, "0.40"))
    return Figure(
        "a dog",
        ("2 nearest of 8 images",),
        tuple(Panel("a.jpg", Picture(image), score) for image, score in zip(images, scores, strict=True)),
        "small",
        "Scores are inner products.",
        Listing("Further", (("0.1", "b.jpg"),)),
    )


SAMPLES = {
    "answer": an_answer(note="Right answer: red"),
    "answer over boxes": an_answer(boxes=torch.rand(15, 4), grid=None),
    "caption": a_caption(alternatives=(("a cat", -5.0),)),
    "caption over boxes": a_caption(boxes=np.tile([0.1, 0.1, 0.5, 0.5], (35, 1)), grid=None),
    "caption without attention": a_caption(maps=None, betas=None, grid=None),
    "grounding": a_grounding(),
    "sheet": a_sheet(),
    "several": Figure("Several", parts=(an_answer(), a_caption(), a_sheet())),
}  # fmt: skip
