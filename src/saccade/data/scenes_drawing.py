"""Scenes drawn by lot, and their pixels.

Integers only: no floating point and no library's distribution stands between the seed and a pixel, so that every
platform and every NumPy version gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from saccade.data.records import Box

T = TypeVar("T")
RGB = tuple[int, int, int]

IMAGE_SIZE = 96
FEWEST, MOST = 2, 6  # things in a scene
MOST_OF_A_SIZE = 4  # six large things hardly fit; the same limit for small ones keeps the sizes even
GAP = 2  # pixels, at least, between the boxes of two things
SHAPES = ("circle", "square", "triangle", "diamond", "cross")
COLORS: dict[str, RGB] = {
    "red": (220, 35, 40),
    "orange": (245, 135, 20),
    "yellow": (240, 225, 45),
    "green": (35, 165, 55),
    "cyan": (60, 215, 225),
    "blue": (35, 65, 220),
    "purple": (150, 45, 185),
    "white": (243, 243, 243),
}
RADII = {"small": (6, 7), "large": (11, 12, 13)}
BACKGROUNDS = ("plain", "shaded", "striped", "checked")
CLOUDED = ("noisy", "cloudy")  # kinds of background that scenes have only where another look is asked for
COLOR_JITTER, TINT = 10, 8  # largest change of a channel, of a thing and of a background
FULL = 16  # what a wholly covered pixel counts: 4 x 4 samples


class Draws:
    """Whole numbers drawn by lot: the key alone decides them."""

    def __init__(self, *key: int) -> None:
        self._bits = np.random.PCG64(np.random.SeedSequence(key))

    def below(self, limit: int) -> int:
        """A number from 0 to `limit` - 1."""
        return (int(self._bits.random_raw()) >> 32) * limit >> 32

    def between(self, low: int, high: int) -> int:
        """A number from `low` to `high`, both possible."""
        return low + self.below(high - low + 1)

    def choice(self, options: Sequence[T]) -> T:
        """One of the options."""
        return options[self.below(len(options))]

    def sample(self, options: Sequence[T], count: int) -> list[T]:
        """So many of the options, in random order; with the count of all, a shuffle."""
        rest = list(options)
        return [rest.pop(self.below(len(rest))) for _ in range(count)]

    def bytes(self, count: int) -> NDArray[np.uint8]:
        """So many random bytes."""
        words = np.asarray(self._bits.random_raw(-(-count // 8)), dtype="<u8")  # the same bytes on big-endian machines
        return words.view(np.uint8)[:count]


@dataclass(frozen=True)
class Thing:
    """An object of a scene: it fills the square of `radius` pixels around (`x`, `y`); ``rgb`` is its own colour."""

    shape: str
    color: str
    size: str
    x: int
    y: int
    radius: int
    rgb: RGB

    @property
    def box(self) -> Box:
        """Its box, as x1, y1, x2, y2 fractions of the image."""
        x, y, r = self.x, self.y, self.radius
        return ((x - r) / IMAGE_SIZE, (y - r) / IMAGE_SIZE, (x + r) / IMAGE_SIZE, (y + r) / IMAGE_SIZE)


@dataclass(frozen=True)
class Background:
    """Two colours and the pattern that mixes them: its kind, direction (0 to 3; or a seed) and width in pixels."""

    kind: str
    first: RGB
    second: RGB
    direction: int
    period: int


@dataclass(frozen=True)
class Scene:
    """Things that do not overlap and differ in size, colour or shape, on a background."""

    things: tuple[Thing, ...]
    background: Background


def draw_scene(
    draws: Draws, radii_of: Mapping[str, Sequence[int]] = RADII, span: tuple[int, int] = (FEWEST, MOST)
) -> Scene:
    """A scene by lot. Every shape, colour and size is as likely as any other; most scenes repeat a few of them."""
    count = draws.between(*span)
    colors = draws.sample(tuple(COLORS), draws.choice((2, 3, 4, 8)))
    shapes = draws.sample(SHAPES, draws.choice((2, 3, 5)))
    appearances = _appearances(draws, count, (shapes, colors, tuple(RADII)))
    radii = [draws.choice(radii_of[size]) for _, _, size in appearances]
    things = [
        Thing(shape, color, size, x, y, radius, jittered(draws, COLORS[color], COLOR_JITTER))
        for (shape, color, size), radius, (x, y) in zip(appearances, radii, _centres(draws, radii), strict=True)
    ]
    return Scene(tuple(things), _background(draws))


def render(scene: Scene, draws: Draws, side: int = IMAGE_SIZE) -> Image.Image:
    """The scene's image, of `side` pixels each way; `draws` gives the noise."""
    pixels = _paint(scene, -(-side // IMAGE_SIZE))
    if len(pixels) != side:
        smaller = Image.fromarray(pixels.astype(np.uint8)).resize((side, side), Image.Resampling.BOX)
        pixels = np.array(smaller, np.int32)
    noise = draws.bytes(pixels.size).reshape(pixels.shape)
    pixels += ((noise & 15) + (noise >> 4)) >> 1  # the sum of two dice: 0 to 15, most often 7
    return Image.fromarray(np.clip(pixels - 7, 0, 255).astype(np.uint8))


def _paint(scene: Scene, scale: int) -> NDArray[np.int32]:
    """The scene without noise, so many times as wide as `IMAGE_SIZE`: [height, width, 3]."""
    background = scene.background
    mix = _pattern(background.kind, background.direction, background.period, scale)[..., None]
    pixels = (np.array(background.first, np.int32) * (255 - mix) + np.array(background.second, np.int32) * mix) // 255
    for thing in scene.things:
        x, y, r = (scale * pixels for pixels in (thing.x, thing.y, thing.radius))
        covered = coverage(thing.shape, r)[..., None]
        window = pixels[y - r : y + r, x - r : x + r]
        window[...] = (window * (FULL - covered) + np.array(thing.rgb, np.int32) * covered) // FULL
    return pixels


@cache
def coverage(shape: str, radius: int) -> NDArray[np.int32]:
    """How much of each pixel of its box a shape covers, 0 to `FULL`: [2 radius, 2 radius]."""
    edge = 8 * radius  # in eighths of a pixel, so that the 4 x 4 samples of a pixel lie at odd whole numbers
    across = np.abs(np.arange(1 - edge, edge, 2))[None, :]
    down = np.arange(1 - edge, edge, 2)[:, None]
    inside = {
        "circle": across**2 + down**2 <= edge**2,
        "square": (across <= edge) & (abs(down) <= edge),
        "triangle": 2 * across <= down + edge,
        "diamond": across + abs(down) <= edge,
        "cross": (3 * across <= edge) | (3 * abs(down) <= edge),
    }[shape]
    samples = inside.reshape(2 * radius, 4, 2 * radius, 4)
    return np.asarray(samples.sum(axis=(1, 3)), np.int32)


def _appearances(draws: Draws, count: int, options: Sequence[Sequence[str]]) -> list[tuple[str, str, str]]:
    """Shape, colour and size of each thing, no two alike."""
    while True:
        found = [(draws.choice(options[0]), draws.choice(options[1]), draws.choice(options[2])) for _ in range(count)]
        sizes = [size for _, _, size in found]
        if len(set(found)) == count and max(sizes.count(size) for size in RADII) <= MOST_OF_A_SIZE:
            return found


def _centres(draws: Draws, radii: Sequence[int]) -> list[tuple[int, int]]:
    """Centres of boxes of those radii: inside the image and apart. Starts over when the next one finds no room."""
    centres: list[tuple[int, int]] = []
    misses = 0
    while len(centres) < len(radii):
        radius = radii[len(centres)]
        x, y = (draws.between(radius, IMAGE_SIZE - radius) for _ in range(2))
        placed = zip(centres, radii, strict=False)
        if all(max(abs(x - x2), abs(y - y2)) >= radius + radius2 + GAP for (x2, y2), radius2 in placed):
            centres.append((x, y))
        else:
            misses += 1
        if misses > 40:
            centres, misses = [], 0
    return centres


def _background(draws: Draws) -> Background:
    level = draws.between(55, 125)
    first = jittered(draws, (level, level, level), TINT)
    level += draws.choice((-1, 1)) * draws.between(18, 36)
    second = jittered(draws, (level, level, level), TINT)
    return Background(draws.choice(BACKGROUNDS), first, second, draws.below(4), draws.between(4, 14))


def jittered(draws: Draws, rgb: RGB, most: int) -> RGB:
    """A colour by lot of which no channel is further than `most` from that of the one given."""
    red, green, blue = (min(255, channel + draws.between(-most, most)) for channel in rgb)
    return red, green, blue


def _pattern(kind: str, direction: int, period: int, scale: int) -> NDArray[np.int32]:
    """How much of the second colour each pixel has, 0 to 255; `scale` is what the pattern's sizes are multiplied by."""
    side, period = scale * IMAGE_SIZE, scale * period
    return _clouds(direction, period, side) if kind in CLOUDED else _lines(kind, direction, period, side)


@cache
def _lines(kind: str, direction: int, period: int, side: int) -> NDArray[np.int32]:
    y, x = np.mgrid[:side, :side].astype(np.int32)
    along = (x, y, x + y, x - y + side)[direction]
    mix = {
        "plain": np.zeros_like(x),
        "shaded": along * 255 // along.max(),
        "striped": along // period % 2 * 255,
        "checked": (x // period + y // period) % 2 * 255,
    }[kind]
    return np.asarray(mix, np.int32)


def _clouds(seed: int, cell: int, side: int) -> NDArray[np.int32]:
    """Random heights on a lattice of `cell` pixels, evenly in between, and half as much of a lattice twice as fine."""
    total = np.zeros((side, side), np.int32)
    for octave, weight in enumerate((4, 2, 1)):
        step = max(1, cell >> octave)
        count = side // step + 2
        heights = Draws(seed, octave).bytes(count * count).reshape(count, count).astype(np.int32)
        at, part = np.divmod(np.arange(side, dtype=np.int32), step)
        rows = (heights[at] * (step - part)[:, None] + heights[at + 1] * part[:, None]) // step
        total += weight * ((rows[:, at] * (step - part) + rows[:, at + 1] * part) // step)
    lowest = int(total.min())
    return np.asarray((total - lowest) * 255 // max(1, int(total.max()) - lowest), np.int32)
