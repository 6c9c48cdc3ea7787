"""A panel of a figure as plain data: an image with weights or boxes, shaded words, bars, a gauge, a note."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float
from PIL import Image

from saccade.errors import SaccadeError
from saccade.explain.lattice import lattice_of, whole_extent
from saccade.explain.weights import SUM_TOLERANCE, check_weights, said
from saccade.images import to_rgb

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class RegionWeights:
    """Weights of the regions of an image; `name` says whose, as in "step 1".

    ``boxes`` are xyxy fractions of the image. With a ``grid`` of (rows, columns) the regions are its cells in row-major
    order, drawn as one map over the boxes' extent, or over the whole image where boxes are None; boxes that are a
    grid's cells, as those of an image that was cropped or padded, are known for it. ``style`` is the colours of a heat
    map with its scale, or white light. ``said`` is what the weights say in words, made of them: that they are even,
    where they are. Raises SaccadeError for weights that are not finite, negative, or do not sum to 1, and for sizes
    that disagree.
    """

    name: str
    weights: tuple[float, ...]
    boxes: tuple[Box, ...] | None = None
    grid: tuple[int, int] | None = None
    style: Literal["heat", "light"] = "heat"
    said: str = ""

    def __post_init__(self) -> None:
        check_weights(self.weights, f"{self.name}: the regions' weights")
        object.__setattr__(self, "said", said(self.weights))
        count = len(self.weights)
        if self.boxes is None and self.grid is None:
            raise SaccadeError(f"{self.name}: {count} regions cannot be drawn without their boxes or their grid")
        if self.grid is not None and math.prod(self.grid) != count:
            rows, columns = self.grid
            raise SaccadeError(f"{self.name}: expected {rows} x {columns} weights for the grid, got {count}")
        if self.boxes is not None and len(self.boxes) != count:
            raise SaccadeError(f"{self.name}: expected a box for each of {count} regions, got {len(self.boxes)}")
        _check_boxes(self.boxes or (), self.name)
        if self.grid is None:
            object.__setattr__(self, "grid", lattice_of(self.places()))

    def places(self) -> Float[np.ndarray, "regions 4"]:
        """The regions' boxes in order of corner, inside the image; a grid's cells where no boxes were given."""
        boxes = self.boxes if self.boxes is not None else _cells(*(self.grid or (0, 0)))
        return inside(np.asarray(boxes, dtype=np.float64))

    def extent(self) -> Box:
        """What the grid spans; beyond the image where its outer cells were cut by the edges."""
        assert self.grid is not None
        return whole_extent(self.places(), self.grid)


@dataclass(frozen=True)
class Outline:
    """A box with a label on an image, xyxy fractions; words of the same `color` belong to it.

    Colours are counted from 0; after the last of the palette comes the first again. Raises SaccadeError for a box that
    is not finite or a colour below 0.
    """

    box: Box
    label: str = ""
    color: int = 0

    def __post_init__(self) -> None:
        _check_boxes((self.box,), f"outline {self.label!r}")
        _check_color(self.color)


@dataclass(frozen=True)
class Picture:
    """An image, upright, and what lies over it; `alt` says in words what it is where nothing lies over it."""

    image: Image.Image
    alt: str = ""
    regions: RegionWeights | None = None
    outlines: tuple[Outline, ...] = ()

    def __post_init__(self) -> None:
        if self.image.mode != "RGB":
            object.__setattr__(self, "image", to_rgb(self.image))


@dataclass(frozen=True)
class WordWeights:
    """The words of a text in reading order, shaded by their weights where they have any; `name` says whose weights.

    ``colors`` has for each word the colour of the outline it belongs to, or None; it may be left out. Raises
    SaccadeError for weights that are no shares and for sizes that disagree.
    """

    name: str
    words: tuple[str, ...]
    weights: tuple[float, ...] | None = None
    colors: tuple[int | None, ...] = ()

    def __post_init__(self) -> None:
        count = len(self.words)
        if self.weights is not None:
            check_weights(self.weights, f"{self.name}: the words' weights")
            if len(self.weights) != count:
                raise SaccadeError(
                    f"{self.name}: expected one weight for each of the {count} words, got {len(self.weights)}"
                )
        if self.colors and len(self.colors) != count:
            raise SaccadeError(
                f"{self.name}: expected one colour for each of the {count} words, got {len(self.colors)}"
            )
        for color in self.colors:
            _check_color(color or 0)


@dataclass(frozen=True)
class Links:
    """Which words look at which regions, both ways, as rows of weights over the regions of the maps.

    ``rows`` has for each word the row of ``weights`` that is its own, as the other words of a phrase may have it too,
    or None for a word that looks nowhere; left out, each word has a row in order. ``name`` says what the weights are:
    shares of no common whole, of which a row says where a word looks, and a column who looks at a region. Raises
    SaccadeError for sizes that disagree and for weights that are none.
    """

    name: str
    words: tuple[str, ...]
    weights: tuple[tuple[float, ...], ...]
    rows: tuple[int | None, ...] = ()

    def __post_init__(self) -> None:
        if not self.rows:
            object.__setattr__(self, "rows", tuple(range(len(self.weights))))
        if len(self.rows) != len(self.words):
            raise SaccadeError(f"{self.name}: expected a row for each of {len(self.words)} words, got {len(self.rows)}")
        if beyond := [row for row in self.rows if row is not None and not 0 <= row < len(self.weights)]:
            raise SaccadeError(f"{self.name}: expected one of the {len(self.weights)} rows, got {beyond[0]}")
        if len({len(row) for row in self.weights}) > 1:
            raise SaccadeError(f"{self.name}: expected rows over the same regions, got some of another length")
        for weight in (weight for row in self.weights for weight in row):
            if not 0.0 <= weight < math.inf:
                raise SaccadeError(f"{self.name}: expected finite weights of at least 0, got {weight:.3g}")


@dataclass(frozen=True)
class Bar:
    """A share of 1 as a bar between what it is of and its number as text; raises SaccadeError for what is no share."""

    label: str
    share: float
    text: str

    def __post_init__(self) -> None:
        if not 0.0 <= self.share <= 1.0 + SUM_TOLERANCE:
            raise SaccadeError(f"{self.label!r}: expected a number between 0 and 1, got {self.share:.3g}")


@dataclass(frozen=True)
class Panel:
    """One panel of a figure; what it has is drawn in the order of the fields.

    The first of `bars` is the best and stands out; `gauge` is one small bar that belongs to the image.
    """

    title: str = ""
    picture: Picture | None = None
    gauge: Bar | None = None
    bars: tuple[Bar, ...] = ()
    words: WordWeights | None = None
    note: str = ""


def inside(boxes: Float[np.ndarray, "boxes 4"]) -> Float[np.ndarray, "boxes 4"]:
    """Boxes with their corners in order, and inside the image."""
    corners = np.sort(boxes.reshape(-1, 2, 2), axis=1)
    within: Float[np.ndarray, "boxes 4"] = np.clip(corners, 0.0, 1.0).reshape(-1, 4)
    return within


def _check_boxes(boxes: tuple[Box, ...], what: str) -> None:
    if not all(math.isfinite(edge) for box in boxes for edge in box):
        raise SaccadeError(f"{what}: expected boxes as fractions of the image, some are not finite")


def _check_color(color: int) -> None:
    if color < 0:
        raise SaccadeError(f"expected colours counted from 0, got {color}")


def _cells(rows: int, columns: int) -> Float[np.ndarray, "cells 4"]:
    """The boxes of a grid's cells over the whole image, in row-major order."""
    y, x = np.divmod(np.arange(rows * columns, dtype=np.float64), columns)
    return np.stack([x / columns, y / rows, (x + 1) / columns, (y + 1) / rows], axis=1)
