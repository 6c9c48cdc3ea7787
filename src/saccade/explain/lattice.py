"""Boxes that are the cells of a grid: which grid, and what it spans with its outer cells whole.

The cells of a feature map lie over the part of the image that the model saw. Of padding there are none, and the outer
cells may be cut by the image's edges.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

FEWEST = 4  # cells of a grid: fewer boxes that touch may be objects
TOUCHING = 1e-4  # of the image: edges that are one
CUT = 0.99  # of the widest cell: what is narrower was cut


def lattice_of(boxes: Float[np.ndarray, "boxes 4"]) -> tuple[int, int] | None:
    """The (rows, columns) of boxes that are a grid's cells in row-major order; None for other boxes."""
    if len(boxes) < FEWEST:
        return None
    columns = int(np.argmin([*(np.abs(boxes[:, 1] - boxes[0, 1]) < TOUCHING), False]))
    if len(boxes) % columns:
        return None
    cells = boxes.reshape(-1, columns, 4)
    lefts, tops, rights, bottoms = np.moveaxis(cells, 2, 0)
    alike = [
        *(lefts - lefts[:1], rights - rights[:1], tops - tops[:, :1], bottoms - bottoms[:, :1]),
        *(rights[:, :-1] - lefts[:, 1:], bottoms[:-1] - tops[1:]),
    ]
    if any((np.abs(difference) >= TOUCHING).any() for difference in alike):
        return None
    return (len(cells), columns) if (rights > lefts).all() and (bottoms > tops).all() else None


def whole_extent(boxes: Float[np.ndarray, "boxes 4"], grid: tuple[int, int]) -> tuple[float, float, float, float]:
    """What the grid of these boxes spans, as xyxy fractions, were its outer cells as wide and high as the others."""
    left, top = boxes[:, :2].min(0).tolist()
    right, bottom = boxes[:, 2:].max(0).tolist()
    if lattice_of(boxes) != grid:
        return left, top, right, bottom
    cells = boxes.reshape(*grid, 4)
    left, right = _whole(cells[0, :, 0], cells[0, :, 2])
    top, bottom = _whole(cells[:, 0, 1], cells[:, 0, 3])
    return left, top, right, bottom


def _whole(starts: Float[np.ndarray, " cells"], ends: Float[np.ndarray, " cells"]) -> tuple[float, float]:
    """Where the first of the cells would start and the last one end."""
    lengths = ends - starts
    longest = lengths.max()
    start = ends[0] - longest if lengths[0] < CUT * longest else starts[0]
    end = starts[-1] + longest if lengths[-1] < CUT * longest else ends[-1]
    return float(start), float(end)
