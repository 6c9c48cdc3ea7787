"""Colours that mean weights: from dark to bright for the map over an image, from paper to amber for words."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, UInt8

RGB = tuple[int, int, int]

PAPER: RGB = (255, 255, 255)
INK: RGB = (27, 30, 36)
QUIET: RGB = (95, 101, 112)
RULE: RGB = (214, 217, 223)
WASH: RGB = (238, 240, 243)
ACCENT: RGB = (38, 94, 168)
AMBER: RGB = (245, 158, 44)
# What a page has of these on light paper and on dark; pictures are on light paper.
THEMES: dict[str, tuple[RGB, RGB]] = {
    "paper": (PAPER, (21, 23, 27)),
    "ink": (INK, (231, 233, 237)),
    "quiet": (QUIET, (154, 161, 173)),
    "rule": (RULE, (54, 58, 67)),
    "wash": (WASH, (31, 34, 40)),
    "accent": (ACCENT, (116, 167, 234)),
    "amber": (AMBER, (158, 84, 8)),
}
# Of outlines and the words that belong to them: told apart by the colour-blind (Okabe and Ito 2008), and dark enough
# for white labels.
OUTLINES: tuple[RGB, ...] = ((0, 114, 178), (213, 94, 0), (0, 135, 98), (176, 82, 143), (120, 94, 0), (90, 90, 90))

# Evenly spaced anchors from near black over purple and orange to pale yellow, each lighter than the last, so that
# the order survives grey printing and colour blindness.
ANCHORS = np.array(
    [(8, 6, 30), (61, 15, 92), (120, 28, 109), (181, 50, 84), (229, 92, 48), (251, 155, 6), (252, 255, 164)],
    dtype=np.float64,
)
# How much of the colour lies over the image, at no weight and at the scale's top.
OPACITY = (0.4, 0.8)
MIDDLE_GREY = 128.0
# Under white light: how much of the image is left, and how much white is added, with no light and with most. What is
# lit most is lighter than what is not, whatever the image: half of white over black is more than 0.35 of white.
IMAGE_LEFT = (0.35, 0.5)
WHITE_ADDED = (0.0, 0.5)


def map_colors(shares: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape 3"]:
    """The colour map's RGB, from 0 to 255, at places on the scale from 0 to 1."""
    places = np.linspace(0.0, 1.0, len(ANCHORS))
    return np.stack([np.interp(shares, places, ANCHORS[:, channel]) for channel in range(3)], axis=-1)


def laid_over(
    under: Float[np.ndarray, "*shape 3"], shares: Float[np.ndarray, "*shape"]
) -> UInt8[np.ndarray, "*shape 3"]:
    """The RGB of the weights' colours lying over an image; the more weight, the less image."""
    opacity = np.interp(shares, (0.0, 1.0), OPACITY)[..., None]
    return np.asarray(np.rint(opacity * map_colors(shares) + (1 - opacity) * under), dtype=np.uint8)


def under_light(
    under: Float[np.ndarray, "*shape 3"], shares: Float[np.ndarray, "*shape"]
) -> UInt8[np.ndarray, "*shape 3"]:
    """The RGB of an image with white light on it: dim where the share is 0, whitened where it is 1."""
    left = np.interp(shares, (0.0, 1.0), IMAGE_LEFT)[..., None]
    added = np.interp(shares, (0.0, 1.0), WHITE_ADDED)[..., None]
    return np.asarray(np.rint(left * under + added * np.array(PAPER)), dtype=np.uint8)


def scale_colors(steps: int) -> UInt8[np.ndarray, "steps 3"]:
    """The scale's colours from 0 to its top, as they look over middle grey."""
    return laid_over(np.full((steps, 3), MIDDLE_GREY), np.linspace(0.0, 1.0, steps))


def word_color(share: float) -> RGB:
    """The shade behind a word at a place on the scale, on white paper."""
    red, green, blue = (round(paper + share * (amber - paper)) for paper, amber in zip(PAPER, AMBER, strict=True))
    return red, green, blue


def outline_color(color: int) -> RGB:
    """The colour of that number, counted from 0; after the last comes the first again."""
    return OUTLINES[color % len(OUTLINES)]
